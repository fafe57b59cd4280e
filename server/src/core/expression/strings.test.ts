import { evaluate as reference } from "@marcbachmann/cel-js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { codeOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";

describe("strings", () => {
  test.each<[string, Json]>([
    ["size('😀é')", 2],
    ["vars.text.size()", 9],
    ["vars.text.charAt(6)", "😀"],
    ["'abc'.charAt(3)", ""],
    ["vars.text.substring(6)", "😀 x"],
    ["vars.text.substring(6, 7)", "😀"],
    ["vars.text.indexOf('x')", 8],
    ["vars.text.indexOf('l', 3)", 3],
    ["vars.text.indexOf('zz')", -1],
    ["vars.text.lastIndexOf('l')", 3],
    ["'abab'.lastIndexOf('ab', 1)", 0],
    ["vars.text.reverse()", "x 😀 olléh"],
    ["'Éa'.upperAscii() + 'ÉA'.lowerAscii()", "ÉAÉa"],
    ["' a '.trim()", "a"],
    ["'a,b,c'.split(',')", ["a", "b", "c"]],
    ["'a,b,c'.split(',', 2)", ["a", "b,c"]],
    ["'a,b'.split(',', 0)", []],
    ["'a😀'.split('')", ["a", "😀"]],
    ["['a', 'b'].join()", "ab"],
    ["['a', 'b'].join('-')", "a-b"],
    ["'abab'.replace('b', 'x')", "axax"],
    ["'abab'.replace('b', 'x', 1)", "axab"],
    ["'ab'.replace('', '-')", "-a-b-"],
    ["'ab'.replace('', '-', 2)", "-a-b"],
    ["'a$b'.replace('$', '$&')", "a$&b"],
    ["strings.quote('a\"b')", '"a\\"b"'],
    ["'%s is %.2f, %d, %x%%'.format(['a', 1.234, 3, 255])", "a is 1.23, 3, ff%"],
    ["'%s %s'.format([[1, 2.0], null])", "[1,2] null"],
    ["'%e %o %b %X'.format([1200, 8, 5, 255])", "1.200000e+03 10 101 FF"],
    ["'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", true],
    ["'abc'.matches('^a.c$') && matches('xabc', 'abc')", true],
    ["vars.text.matches(vars.text)", true],
    ["r'\\d' + \"\\u00e9\"", "\\dé"],
    ["b'abc'", "YWJj"],
    ["string(b'abc') + string(bytes('d') + b'e')", "abcde"],
    ["size(bytes('é')) + size(b'\\xff')", 3],
    ["string(true)", "true"],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toStrictEqual(value));

  test.each([
    "'abc'.charAt(4)",
    "'abc'.substring(2, 1)",
    "'abc'.substring(0, 4)",
    "'abc'.substring(0.5)",
    "[1].join()",
    "'%d'.format([])",
    "'%d'.format(['a'])",
    "'%d'.format([1.5])",
    "'%q'.format([1])",
    "string(b'\\xff')",
    "vars.text.matches(vars.one)",
    "'a'.matches('(' + 'x')",
    "string(vars.list)",
  ])("%s fails", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));

  test("agrees with the library that parses, where that follows the standard", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", " ", "c"), maxLength: 6 });
    const sources = [
      "x + y",
      "x < y",
      "x == y",
      "x.contains(y)",
      "x.startsWith(y)",
      "x.endsWith(y)",
      "x.indexOf(y)",
      "x.lastIndexOf(y)",
      "x.split(y)",
      "size(x)",
      "[x, y].join(y)",
      "x in [y]",
      "x.trim()",
      "x < y ? x : y",
    ];
    fc.assert(
      fc.property(text, text, fc.constantFrom(...sources), (x, y, source) => {
        const expression = compileExpression(source, { variables: ["x", "y"] });
        const theirs: unknown = reference(source, { x, y });
        expect(evaluate(expression, { x, y })).toEqual(typeof theirs === "bigint" ? Number(theirs) : theirs);
      }),
      { numRuns: 500 },
    );
  });
});
