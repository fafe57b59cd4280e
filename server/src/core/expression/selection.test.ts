import { describe, expect, test } from "vitest";

import { codeOf, errorOf, evaluateSource, vars } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";

describe("selection", () => {
  test.each<[string, Json]>([
    ["vars.map.a", 2],
    ["vars['map']['a']", 2],
    ["run.run_id", "r1"],
    ["has(vars.one)", true],
    ["has(vars.nope)", false],
    ["has(vars.nil)", true],
    ["has(vars.map.nope)", false],
    ["'a' in vars.map", true],
    ["'nope' in vars.map", false],
    ["1 in vars.map", false],
    ["'constructor' in vars.map", false],
    ["has(vars.map.constructor)", false],
    ["vars.?nope.orValue(1)", 1],
    ["vars.?one.orValue(7)", 1],
    ["vars.?nope.deeper.orValue('x')", "x"],
    ["vars.?nope.?deeper[0].orValue('x')", "x"],
    ["vars.?nil.?x.orValue('x')", "x"],
    ["vars.?nil.orValue('x')", null],
    ["vars.list[?7].orValue(9)", 9],
    ["vars.list[?0].orValue(9)", 1],
    ["vars.map[?'z'].hasValue()", false],
    ["vars.?one.hasValue()", true],
    ["vars.?one.value()", 1],
    ["vars.?nope.or(vars.?one).value()", 1],
    ["vars.?nope.or(optional.none()).hasValue()", false],
    ["vars.?one", 1],
    ["optional.of(2)", 2],
    ["optional.ofNonZeroValue('').hasValue()", false],
    ["vars.?one.optMap(x, x + 1).orValue(0)", 2],
    ["vars.?nope.optMap(x, x + 1).orValue(0)", 0],
    ["vars.?map.optFlatMap(m, m.?a).orValue(0)", 2],
    ["vars.yes || vars.nope", true],
    ["optional.of([1])[0].orValue(3)", 1],
    ["{'a-b': {'c d': 3}}.`a-b`.`c d`", 3],
    ["has({'a-b': 1}.`a-b`) && !has(vars.`a-b`)", true],
    ["vars.?`a-b`.orValue(4)", 4],
    [".vars.one", 1],
    ["[5].map(vars, .vars.one)[0]", 1],
    [".size([1])", 1],
    ["[1].map(optional, .optional.of(2).value())[0]", 2],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toStrictEqual(value));

  test.each([
    ["vars.nope", /no such key: "nope"/],
    ["vars.map.nope.deeper", /no such key/],
    ["vars.constructor", /no such key/],
    ["vars['__proto__']", /no such key/],
    ["vars.`a-b`", /no such key: "a-b"/],
    ["vars.toString", /no such key/],
    ["vars.list.length", /a list has no field/],
    ["vars.text.length", /a string has no field/],
    ["vars.nil.x", /a null has no field/],
    ["vars[0]", /the key of a map must be a string/],
    ["vars.one[0]", /a number cannot be indexed/],
    ["error.code", /error is not set here/],
    ["has(vars.nope.deeper)", /no such key/],
    ["vars.?nope", /the result is an optional that has no value/],
    ["vars.?nope.value()", /the optional has no value/],
    ["optional.none()", /the result is an optional that has no value/],
    ["vars.one.orValue(1)", /is not an optional/],
  ])("%s fails", (source, message) => {
    const error = errorOf(() => evaluateSource(source));
    expect(error.code).toBe("EVALUATION_FAILED");
    expect(error.message).toMatch(message);
  });

  test("a variable of a macro hides a name, and only inside", () => {
    expect(evaluateSource("[5].map(vars, vars)[0] + vars.one")).toBe(6);
    expect(evaluateSource("cel.bind(x, 2, cel.bind(x, x + 1, x) * x)")).toBe(6);
    expect(evaluateSource("[[1, 2], [3]].map(x, x.map(x, x * 2))")).toEqual([[2, 4], [6]]);
    expect(codeOf("[1].map(x, x)[0] + x")).toBe("EXPRESSION_INVALID");
  });

  test.each(["vars.constructor", "vars['constructor']", "vars.toString", "has(vars.constructor) ? 1 : vars.nope"])(
    "%s finds nothing in an object that has a prototype",
    (source) => {
      const expression = compileExpression(source, { variables: ["vars"] });
      expect(errorOf(() => evaluate(expression, { vars: { a: 1 } })).message).toContain("no such key");
    },
  );

  test("gives back what it was given, not a copy", () => {
    expect(evaluateSource("vars.map")).toBe((vars as { [key: string]: Json })["map"]);
  });
});
