import { evaluate as reference } from "@marcbachmann/cel-js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { codeOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";

const TRIM = compileExpression("vars.trim()", { variables: ["vars"] });

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

  test("trim() cuts the white space of Unicode, and nothing else", () => {
    const cut: number[] = [];
    for (let code = 1; code <= 0xffff; code++) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const character = String.fromCharCode(code);
      const trimmed = evaluate(TRIM, { vars: `${character}a${character}` });
      if (trimmed === "a") cut.push(code);
      else if (trimmed !== `${character}a${character}`) throw new Error(`U+${code.toString(16)} is cut on one side`);
    }
    // The characters with the property White_Space: https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt
    const spaces = [0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000];
    for (let code = 0x09; code <= 0x0d; code++) spaces.push(code);
    for (let code = 0x2000; code <= 0x200a; code++) spaces.push(code);
    expect(cut).toEqual(spaces.toSorted((a, b) => a - b));
  });

  test.each<[string, string]>([
    ["\u0085 a\ufeff", "a\ufeff"],
    [" \t\n", ""],
    ["", ""],
    ["a \u3000b", "a \u3000b"],
  ])("trim() of %j is %j", (text, trimmed) => expect(evaluate(TRIM, { vars: text })).toBe(trimmed));

  test("strings.quote() escapes what CEL escapes, and its text reads back", () => {
    const quote = compileExpression("strings.quote(vars)", { variables: ["vars"] });
    const quoted: string[] = [];
    for (let code = 1; code < 0x3000; code++) {
      const character = String.fromCharCode(code);
      const text = evaluate(quote, { vars: character }) as string;
      if (text !== `"${character}"`) quoted.push(text);
      expect(evaluateSource(text)).toBe(character);
    }
    expect(quoted).toEqual(['"\\a"', '"\\b"', '"\\t"', '"\\n"', '"\\v"', '"\\f"', '"\\r"', '"\\""', '"\\\\"']);
  });

  test("agrees with the library @marcbachmann/cel-js, where that follows the standard", () => {
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
