import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { VARIABLES, errorOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { Json } from "../json/json.ts";
import { compileExpression, EXPRESSION_CHARS_MAX } from "./compile.ts";
import { evaluate } from "./evaluate.ts";
import { ExpressionError } from "./expression-error.ts";

describe("compileExpression refuses", () => {
  test.each<[string, number | undefined]>([
    ["", 0],
    ["1 +", 3],
    ["(1", 2],
    ["1 2", 2],
    ["'open", undefined],
    ["vars.", 5],
    ["nope + 1", 0],
    ["1 + nope", 4],
    ["nope(1)", 0],
    ["1 + vars.nope(1)", 4],
    ["optional.nope()", 0],
    ["eval('1')", 0],
    ["size()", 0],
    ["size(1)", 0],
    ["'a' + 1", 0],
    ["1 < 'a'", 0],
    ["!1", 0],
    ["-'a'", 0],
    ["1 && true", 0],
    ["1 ? 2 : 3", 0],
    ["'a'.b", 4],
    ["'a'[0]", 0],
    ["1.orValue(2)", undefined],
    ["{1: 2}", 1],
    ["{'__proto__': 1}", 1],
    ["vars.__proto__", 5],
    ["[1].map(1, 2)", undefined],
    ["has(vars)", undefined],
    ["has(vars['a'])", undefined],
    ["cel.bind(1, 2, 3)", undefined],
    ["cel.bind(a, 2)", 0],
    ["'a'.matches('(?=a)')", 0],
    ["'a'.matches('(')", 0],
    ["'a'.matches('(a)\\\\1')", 0],
    ["'a'.matches('a{2000}')", 0],
    ["'\\u0000'", 0],
    ["return", undefined],
    ["vars = 1", undefined],
    ["vars.list.all(i, v, true)", undefined],
    ["vars.list.all(i, true, true)", 14],
    ["vars.list.all(i, 'a')", 0],
    ["vars.list < [1]", 0],
    ["timestamp(1e15)", 0],
    ["vars.in", 5],
    [".nope", 0],
  ])("%s", (source, position) => {
    const error = errorOf(() => compileExpression(source, { variables: VARIABLES }));
    expect(error.code).toBe("EXPRESSION_INVALID");
    if (position !== undefined) expect(error.position).toBe(position);
  });

  test("a name that is not known here, naming those that are", () => {
    expect(errorOf(() => compileExpression("item", { variables: ["vars", "run"] })).message).toContain("vars, run");
    expect(
      evaluate(compileExpression("item.x + index", { variables: ["item", "index"] }), { item: { x: 1 }, index: 2 }),
    ).toBe(3);
  });

  test.each<[string, string]>([
    ["a long source", "'" + "a".repeat(EXPRESSION_CHARS_MAX) + "'"],
    ["parentheses", "(".repeat(4_000) + "1" + ")".repeat(4_000)],
    ["open brackets", "[".repeat(8_000)],
    ["negations", "!".repeat(8_000) + "true"],
    ["signs", "-".repeat(3_000) + "vars.one"],
    ["a long chain", "1" + "+1".repeat(1_500)],
    ["selections", "vars" + ".a".repeat(3_000)],
    ["conditions", "true?1:".repeat(1_100) + "1"],
    ["binds", "cel.bind(a,1,".repeat(300) + "a" + ")".repeat(300)],
    ["many regular expressions", "[" + Array.from({ length: 200 }, () => "'a'.matches('a{900}')").join(",") + "]"],
  ])("%s", (_, source) =>
    expect(errorOf(() => compileExpression(source, { variables: VARIABLES })).code).toBe("EXPRESSION_INVALID"),
  );
});

test("the bound of an expression is the contract's, in characters and not in UTF-16 units", () => {
  expect(BOUNDS.edge.when).toEqual({ maxLength: EXPRESSION_CHARS_MAX });
  expect(BOUNDS.toolCalls.callsFrom).toEqual({ maxLength: EXPRESSION_CHARS_MAX });
  const quoted = (characters: number): string => `'${"😀".repeat(characters - 2)}'`;
  expect(evaluate(compileExpression(quoted(EXPRESSION_CHARS_MAX), { variables: [] }), {})).toHaveLength(16_380);
  expect(errorOf(() => compileExpression(quoted(EXPRESSION_CHARS_MAX + 1), { variables: [] })).message).toContain(
    "longer than 8192 characters",
  );
});

test("no source makes anything but an ExpressionError or JSON", () => {
  const words =
    "vars now x 1 0 2.5 'a' null true [ ] ( ) { } , : . .? [? + - * / % == < && || ! ? .map(x, .all(x, .filter(x, " +
    "size( string( int( json( parseJson( sum( range( merge( duration( timestamp( .list .text .map cel.bind(x, has( " +
    "optional.of( .orValue( .matches( type(";
  const word = fc.constantFrom(" in ", ...words.split(" "));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 14 }), (words) => {
      let value: Json;
      try {
        value = evaluateSource(words.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(ExpressionError);
        return;
      }
      expect(() => JSON.stringify(value)).not.toThrow();
    }),
    { numRuns: 5_000 },
  );
});
