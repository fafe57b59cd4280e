import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { codeOf, errorOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";

describe("numbers", () => {
  test.each<[string, Json]>([
    ["1 + 2", 3],
    ["vars.one + 1", 2],
    ["vars.half + 1", 1.5],
    ["1 - vars.half", 0.5],
    ["vars.list[0] * 2", 2],
    ["1 / 2", 0.5],
    ["4 / 2", 2],
    ["7 % 3", 1],
    ["-7 % 3", -1],
    ["7.0 % 3", 1],
    ["-(vars.one)", -1],
    ["- 0", 0],
    ["0 * -1", 0],
    ["0.1 + 0.2", 0.30000000000000004],
    ["1u + 1", 2],
    ["0x1F", 31],
    ["9007199254740991 + 0", 9007199254740991],
    ["size(vars.list) / 2", 1.5],
    ["size(vars.list) * vars.half", 1.5],
    ["vars.list[vars.one]", 2],
    ["vars.list[size(vars.list) - 1]", 3],
    ["[10, 20][1.0]", 20],
    ["1 == 1.0", true],
    ["vars.two == 2 && vars.two == 2u && vars.two == 2.0", true],
    ["1 < 1.5 && 2 >= 2.0 && vars.half <= 1 && 1 > vars.half", true],
    ["1 in [1.0, 2.0]", true],
    ["string(1.0)", "1"],
    ["string(vars.two)", "2"],
    ["string(0.5)", "0.5"],
    ["'n=' + string(size([1]))", "n=1"],
    ["int(3.7)", 3],
    ["int(-3.7)", -3],
    ["int('12')", 12],
    ["int(timestamp('1970-01-01T00:01:00Z'))", 60],
    ["uint(3.7)", 3],
    ["double('1.5e2')", 150],
    ["double(3)", 3],
    ["vars.huge", 1e300],
    ["vars.huge > 1", true],
    ["sum(vars.list)", 6],
    ["sum([])", 0],
    ["sum(vars.rows.map(r, r.amount))", 150],
    ["range(3)", [0, 1, 2]],
    ["range(0)", []],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toStrictEqual(value));

  test.each([
    "1 / 0",
    "1.0 / 0",
    "0 / 0",
    "1 % 0",
    "5.5 % 2",
    "5 % 0.5",
    "9007199254740991 + 1",
    "-9007199254740991 - 1",
    "9007199254740991 * 2",
    "vars.huge * vars.huge",
    "vars.huge * 1",
    "int(vars.huge)",
    "int('9007199254740993')",
    "int('0x10')",
    "int('1.5')",
    "int(' 1')",
    "uint(-1)",
    "uint('-1')",
    "double('x')",
    "double('Infinity')",
    "double('1e400')",
    "sum([vars.huge, 1])",
    "sum(['a'])",
    "vars.list[0.5]",
    "vars.list[-1]",
    "vars.list[3]",
    "range(-1)",
    "range(1.5)",
  ])("%s has no value", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));

  test.each(["9007199254740992", "9007199254740993", "18446744073709551615u", "1e400"])(
    "%s cannot be written",
    (source) => expect(codeOf(source)).toBe("EXPRESSION_INVALID"),
  );

  test("arithmetic is that of doubles, within bounds", () => {
    const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, min: -1e9, max: 1e9 }));
    const operators: Record<string, (a: number, b: number) => number> = {
      "+": (a, b) => a + b,
      "-": (a, b) => a - b,
      "*": (a, b) => a * b,
      "/": (a, b) => a / b,
    };
    fc.assert(
      fc.property(number, number, fc.constantFrom(...Object.keys(operators)), (a, b, operator) => {
        const expression = compileExpression(`vars.a ${operator} vars.b`, { variables: ["vars"] });
        const expected = operators[operator]!(a, b);
        if (Math.abs(expected) <= Number.MAX_SAFE_INTEGER)
          expect(evaluate(expression, { vars: { a, b } })).toBe(expected + 0);
        else expect(errorOf(() => evaluate(expression, { vars: { a, b } })).code).toBe("EVALUATION_FAILED");
      }),
    );
  });
});
