import { describe, expect, test } from "vitest";

import { ExpressionError } from "./expression/expression-error.ts";
import { type Json, type JsonObject, parseJson } from "./json/json.ts";
import { compileTemplate, compileTemplateValue, evaluateTemplate } from "./template.ts";

const options = { variables: ["vars", "result"] };
const names = {
  vars: parseJson('{"name":"Ann","n":2.0,"half":0.5,"list":[1,"a"],"map":{"b":1,"a":null},"text":"${vars.n}"}'),
  result: undefined,
};

function run(text: string): Json {
  return evaluateTemplate(compileTemplate(text, options), names);
}

function errorOf(work: () => unknown): ExpressionError {
  try {
    work();
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("compileTemplate", () => {
  test.each<[string, Json]>([
    ["", ""],
    ["plain", "plain"],
    ["$ and } and { and $x", "$ and } and { and $x"],
    ["${vars.n}", 2],
    ["${ vars.list }", [1, "a"]],
    ["${vars.map.a}", null],
    ["${vars.name}", "Ann"],
    [" ${vars.n}", " 2"],
    ["${vars.n} ", "2 "],
    ["${vars.n}${vars.n}", "22"],
    ["Hello ${vars.name}, ${vars.n} of ${vars.half}!", "Hello Ann, 2 of 0.5!"],
    ["${vars.list} ${vars.map} ${vars.map.a} ${true}", '[1,"a"] {"a":null,"b":1} null true'],
    ["$${vars.n}", "${vars.n}"],
    ["$$${vars.n}", "$${vars.n}"],
    ["a$${b}${vars.n}$${c}", "a${b}2${c}"],
    ["${vars.n}$${", "2${"],
    ["${{'a': {'b': 1}}.a.b}", 1],
    ["${'}'}", "}"],
    ["${\"}\" + '{'}", "}{"],
    ["${'\\'}'}", "'}"],
    ["${r'\\'}'}", "\\'}"],
    ["${'''}'}'''}", "}'}"],
    ["${string(b'}')}", "}"],
    ["${1 // }\n + 1}", 2],
    ["${size('${')}", 2],
    ["${vars.text}", "${vars.n}"],
    ["is ${vars.text}", "is ${vars.n}"],
  ])("%j is %j", (text, value) => expect(run(text)).toEqual(value));

  test.each([
    ["plain", true],
    ["$${x}", true],
    ["${1}", false],
    ["a ${vars.n}", false],
  ])("%j is constant: %s", (text, constant) => expect(compileTemplate(text, options).isConstant).toBe(constant));

  test.each<[string, number]>([
    ["${", 0],
    ["ab ${vars.n", 3],
    ["${{'a': 1}", 0],
    ["${'}", 2],
    ["${}", 2],
    ["ab ${ 1 + }", 10],
    ["ab ${nope}", 5],
    ["${vars.n} ${nope(1)}", 12],
  ])("refuses %j at %d", (text, position) => {
    expect(errorOf(() => compileTemplate(text, options))).toMatchObject({ code: "EXPRESSION_INVALID", position });
  });

  test.each<[string, Json]>([
    ["${ r'\\' }", "\\"],
    ["a ${ r'\\' } b ${ '}' }", "a \\ b }"],
    ["${ r\"}\" + '''}'}''' }", "}}'}"],
    ["${ {'a': \"}\"}.`a` }", "}"],
    ["${ 1 // } '\n }", 1],
    ["${ string(b'}\\x7d') }", "}}"],
    ["${ [?vars.?nope, ?vars.?n] }", [2]],
    ["${ '\\'}' }", "'}"],
  ])("%j ends where its expression does, and is %j", (text, value) => expect(run(text)).toEqual(value));

  test("refuses a text with too many expressions", () => {
    expect(errorOf(() => compileTemplate("${1}".repeat(65), options)).code).toBe("EXPRESSION_INVALID");
    expect(compileTemplate("${1}".repeat(64), options).parts).toHaveLength(64);
  });

  test("fails where an expression has no value, or the text gets too long", () => {
    expect(errorOf(() => run("${vars.nope}")).code).toBe("EVALUATION_FAILED");
    expect(errorOf(() => run("x ${result}")).code).toBe("EVALUATION_FAILED");
    const long = compileTemplate("${vars.x}${vars.x}", options);
    expect(errorOf(() => evaluateTemplate(long, { vars: { x: "a".repeat(600_000) } })).code).toBe("EXPRESSION_LIMIT");
  });
});

describe("compileTemplateValue", () => {
  function compile(value: Json) {
    return compileTemplateValue(value, options);
  }

  test("evaluates every string, at any depth, and no name", () => {
    const value = compile({ a: ["${vars.n}", { b: "x ${vars.name}", c: 1 }], "${vars.n}": "$${y}", d: null });
    expect(value.isConstant).toBe(false);
    expect(value.evaluate(names)).toEqual({ a: [2, { b: "x Ann", c: 1 }], "${vars.n}": "${y}", d: null });
    expect("toString" in (value.evaluate(names) as JsonObject)).toBe(false);
  });

  test("a null result is a value", () => expect(compile(["${vars.map.a}", 1]).evaluate(names)).toEqual([null, 1]));

  test("a constant is the same object each time", () => {
    const constant: Json = { a: [1, "b"] };
    const value = compile(constant);
    expect(value.isConstant).toBe(true);
    expect(value.evaluate(names)).toBe(constant);
  });

  test.each<[string, Json]>([
    ["text that is escaped", ["$${x}", "b"]],
    ["text alone", "$${x}"],
  ])("%s is constant, and unescaped", (_, escaped) => {
    const value = compile(escaped);
    expect(value.isConstant).toBe(true);
    expect(value.evaluate(names)).toEqual(JSON.parse(JSON.stringify(escaped).replaceAll("$$", "$")));
    expect(value.evaluate(names)).toBe(value.evaluate({}));
  });

  test("shares the constant parts", () => {
    const constant: Json = { x: [1] };
    const result = compile({ constant, n: "${vars.n}" }).evaluate(names) as { constant: Json };
    expect(result.constant).toBe(constant);
  });

  test("counts the expressions of a value, and not the texts between them", () => {
    const list = (expressions: number): Json => Array.from({ length: expressions }, () => "a ${vars.n} b");
    expect(compile(list(1_000)).evaluate(names)).toHaveLength(1_000);
    expect(errorOf(() => compile(list(1_001))).message).toContain("more than 1000 expressions in one value");
  });

  test("does not change the graph", () => {
    const graph = Object.freeze({ a: Object.freeze(["${vars.n}"]) as unknown as Json[] });
    expect(compile(graph).evaluate(names)).toEqual({ a: [2] });
    expect(graph).toEqual({ a: ["${vars.n}"] });
  });

  test("says where a problem is, and tells all of them if asked", () => {
    const value: Json = { a: ["ok", "${nope}"], "b/c": "${1 +}", d: "${vars.n}" };
    expect(errorOf(() => compile(value))).toMatchObject({ code: "EXPRESSION_INVALID", path: "/a/1", position: 2 });
    const problems: ExpressionError[] = [];
    compileTemplateValue(value, { ...options, onProblem: (problem) => problems.push(problem) });
    expect(problems.map((problem) => problem.path)).toEqual(["/a/1", "/b~1c"]);
    expect(errorOf(() => compile({ a: ["${vars.nope}"] }).evaluate(names))).toMatchObject({
      code: "EVALUATION_FAILED",
      path: "/a/0",
    });
  });

  test("bounds the expressions, the depth and the size of the result", () => {
    expect(errorOf(() => compile(Array.from({ length: 1_001 }, () => "${1}"))).code).toBe("EXPRESSION_INVALID");
    expect(errorOf(() => compile(JSON.parse("[".repeat(33) + "]".repeat(33)) as Json)).code).toBe("EXPRESSION_INVALID");
    const big = { vars: { x: "a".repeat(600_000) } };
    expect(errorOf(() => compile(["${vars.x}", "${vars.x}"]).evaluate(big)).code).toBe("EXPRESSION_LIMIT");
    const deep = { vars: { x: JSON.parse("[".repeat(31) + "]".repeat(31)) as Json } };
    expect(compile(["${vars.x}"]).evaluate(deep)).toHaveLength(1);
    expect(errorOf(() => compile([["${vars.x}"]]).evaluate(deep)).code).toBe("EXPRESSION_LIMIT");
  });

  test("its expressions share their steps", () => {
    const value = compile(Array.from({ length: 200 }, () => "${size(range(1000).map(x, x))}"));
    expect(errorOf(() => value.evaluate(names)).code).toBe("EXPRESSION_LIMIT");
    expect(compile(["${size(range(1000).map(x, x))}"]).evaluate(names)).toEqual([1000]);
  });
});
