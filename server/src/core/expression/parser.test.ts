import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { describe, expect, test } from "vitest";

import { createRandom } from "../../../../tests/simulation/random.ts";
import { errorOf } from "../../../../tests/support/evaluate-source.ts";
import { randomExpression } from "../../../../tests/support/random-expression.ts";
import { treeText } from "../../../../tests/support/tree-text.ts";
import { parseExpression } from "./parser.ts";
import { Bytes } from "./values.ts";

/** The same text of a tree of the library. */
function libraryText(node: ASTNode): string {
  const list = (nodes: readonly ASTNode[]): string => nodes.map(libraryText).join(", ");
  switch (node.op) {
    case "value": {
      const value: unknown = node.args;
      if (value instanceof Uint8Array) return `b'${Buffer.from(value).toString("hex").replace(/../g, "\\x$&")}'`;
      if (typeof value === "string" || typeof value === "boolean" || value === null) return JSON.stringify(value);
      // The others are numbers: a bigint, or a class of the library for 1u.
      return String(Number(value));
    }
    case "id":
      return node.args;
    case ".":
    case ".?":
      return `(${libraryText(node.args[0])}).${node.op === ".?" ? "?" : ""}${node.args[1]}`;
    case "[]":
    case "[?]":
      return `(${libraryText(node.args[0])})[${node.op === "[?]" ? "?" : ""}${libraryText(node.args[1])}]`;
    case "call":
      return `${node.args[0]}(${list(node.args[1])})`;
    case "rcall":
      return `(${libraryText(node.args[1])}).${node.args[0]}(${list(node.args[2])})`;
    case "list":
      return `[${list(node.args)}]`;
    case "map":
      return `{${node.args.map(([key, value]) => `${libraryText(key)}: ${libraryText(value)}`).join(", ")}}`;
    case "?:":
      return `(${libraryText(node.args[0])} ? ${libraryText(node.args[1])} : ${libraryText(node.args[2])})`;
    case "!_":
      return `(!${libraryText(node.args)})`;
    case "-_":
      return `(-${libraryText(node.args)})`;
    default: {
      const [left, right] = node.args;
      return `(${libraryText(left)} ${node.op} ${libraryText(right)})`;
    }
  }
}

const LIBRARY = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  enableOptionalTypes: true,
});

const SEEDS = Array.from({ length: 2_000 }, (_, seed) => seed);

test("agrees with the parser of @marcbachmann/cel-js about every source that both read", () => {
  for (const seed of SEEDS) {
    const source = randomExpression(createRandom(seed), 3);
    expect(treeText(parseExpression(source)), `seed ${seed}: ${source}`).toBe(libraryText(LIBRARY.parse(source).ast));
  }
});

test("a tree written with all parentheses is read as the same tree", () => {
  for (const seed of SEEDS.slice(0, 500)) {
    const written = treeText(parseExpression(randomExpression(createRandom(seed), 3)));
    expect(treeText(parseExpression(written)), `seed ${seed}`).toBe(written);
  }
});

describe("CEL that the library does not read, or reads otherwise", () => {
  test.each([
    ["a == b < c", "((a == b) < c)"],
    ["a < b == c in d", "(((a < b) == c) in d)"],
    [".99 + .5e1", "(0.99 + 5)"],
    ["[?a.?b, c, ?d]", "[?(a).?b, c, ?d]"],
    ["{?'a': b, 'c': d,}", '{?"a": b, "c": d}'],
    ["a.`b-c`.`d e/f.g`", "((a).`b-c`).`d e/f.g`"],
    ["a.?`b-c`", "(a).?`b-c`"],
    ["has(a.`b-c`)", "has((a).`b-c`)"],
    [".a.b", "(.a).b"],
    [". a", ".a"],
    ["a.return.while()", "((a).return).while()"],
    ["a\f+\fb", "(a + b)"],
    ["1 // one", "1"],
    ["1//\r\n+2", "(1 + 2)"],
    ["- - -1", "(-(-(-1)))"],
    ["!a.b", "(!(a).b)"],
    ["a ? b : c ? d : e", "(a ? b : (c ? d : e))"],
    ["a?[?b]:c", "(a ? [?b] : c)"],
    ["a ?.b : c", "(a ? .b : c)"],
    ["0xAu+0X1f", "(10 + 31)"],
  ])("%j is %s", (text, tree) => expect(treeText(parseExpression(text))).toBe(tree));
});

describe("literals of strings and bytes", () => {
  const valueOf = (text: string): unknown => {
    const node = parseExpression(text);
    if (node.op !== "literal") throw new Error(`${text} is not a literal`);
    return node.value instanceof Bytes ? [...node.value.data] : node.value;
  };

  test.each<[string, unknown]>([
    ["r'\\'", "\\"],
    ["r'a\\'", "a\\"],
    ['R"\\d\\n"', "\\d\\n"],
    ["r'''\\'''", "\\"],
    ["r'''a'\"\n\\'''", "a'\"\n\\"],
    ["'''it's'''", "it's"],
    ["''''a'''", "'a"],
    ['""', ""],
    ["''''''", ""],
    ["'\t\u0001\u007f'", "\t\u0001\u007f"],
    ["'''a\r\nb\rc\n'''", "a\nb\nc\n"],
    ["r'''a\r\nb'''", "a\nb"],
    ["'\\\\\\?\\\"\\'\\`\\a\\b\\f\\n\\r\\t\\v'", "\\?\"'`\u0007\b\f\n\r\t\v"],
    ["'\\x41\\X42\\103\\u0044\\U00000045\\U0001F600'", "ABCDE😀"],
    ["'\\xff\\377'", "ÿÿ"],
    ["b''", []],
    ["b'abc'", [97, 98, 99]],
    ['B"\t\u0001"', [9, 1]],
    ["b'é😀'", [0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80]],
    ["b'é\\xe9\\351é'", [0xc3, 0xa9, 0xe9, 0xe9, 0xc3, 0xa9]],
    ["b'\\000\\x00\\n\\a'", [0, 0, 10, 7]],
    ["b'''a\r\nb'''", [97, 10, 98]],
    ["br'\\x'", [92, 120]],
    ["rb'\\'", [92]],
    ["bR'''a'\\'''", [97, 39, 92]],
    ['Br"é"', [0xc3, 0xa9]],
  ])("%j is %j", (text, value) => expect(valueOf(text)).toEqual(value));

  test("every escape of one character is known, and no other", () => {
    const known = [];
    for (let code = 0x20; code < 0x7f; code++) {
      const character = String.fromCharCode(code);
      try {
        valueOf(`"\\${character}"`);
        known.push(character);
      } catch {
        // Refused, as most are.
      }
    }
    expect(known.join("")).toBe("\"'?\\`abfnrtv");
  });

  test.each<[string, number, RegExp]>([
    ["'a", 0, /not closed/],
    ["'a\\'", 0, /not closed/],
    ["1 + r'''a''", 4, /not closed/],
    ["'a\nb'", 2, /three quotes/],
    ["r'a\rb'", 3, /three quotes/],
    ["'a\\q'", 2, /"\\\\q" is not an escape sequence/],
    ["'a\\x4'", 2, /two hexadecimal digits/],
    ["'\\u12'", 1, /four hexadecimal digits/],
    ["'\\U0001F60'", 1, /eight hexadecimal digits/],
    ["'\\477'", 1, /one byte in octal/],
    ["'\\12'", 1, /one byte in octal/],
    ["'\\uD83D\\uDE00'", 1, /U\+D83D is not a character/],
    ["'\\U00110000'", 1, /U\+110000 is not a character/],
    ["'\\U00000000'", 0, /U\+0000/],
    ["b'\\u0041'", 2, /bytes have no/],
    ["b'\\U00000041'", 2, /bytes have no/],
  ])("%j is refused at %d", (text, position, message) => {
    const error = errorOf(() => parseExpression(text));
    expect(error.position).toBe(position);
    expect(error.message).toMatch(message);
  });
});

describe("an error names the place and what to write", () => {
  test.each<[string, number, RegExp]>([
    ["", 0, /expected a value, not the end of the expression/],
    ["1 +", 3, /expected a value, not the end/],
    ["a = 1", 2, /write == to compare/],
    ["a & b", 2, /write && for and/],
    ["a | b", 2, /write \|\| for or/],
    ["a; b", 1, /";" has no meaning here/],
    ["a + é", 4, /"é" has no meaning/],
    ["😀", 0, /"😀"/],
    ["1 2", 2, /expected an operator or the end, not "2"/],
    ["f(1 2)", 4, /expected "\)", not "2"/],
    ["[1 2]", 3, /expected "\]"/],
    ["{'a' 1}", 5, /expected ":"/],
    ["a ? b", 5, /expected ":", not the end/],
    ["a.1", 1, /expected an operator or the end, not ".1"/],
    ["a.'b'", 2, /the name of a field/],
    ["a.true", 2, /write \['\.\.\.'\] for a keyword/],
    ["a.`b$`", 2, /write \['\.\.\.'\]/],
    ["a.``", 2, /quoted field/],
    ["`a`", 0, /expected a value/],
    ["a.?b()", 4, /expected an operator or the end/],
    ["a.`b`()", 5, /expected an operator or the end/],
    ["Money{units: 1}", 5, /messages cannot be built/],
    ["a.b{}", 3, /messages cannot be built/],
    ["for", 0, /for is a reserved word/],
    ["0x", 0, /hexadecimal number needs digits/],
    ["1e999", 0, /too large/],
    ["9007199254740992", 0, /write it as a string/],
    ["0x20000000000000", 0, /write it as a string/],
  ])("%j at %d", (text, position, message) => {
    const error = errorOf(() => parseExpression(text));
    expect(error.code).toBe("EXPRESSION_INVALID");
    expect(error.position).toBe(position);
    expect(error.message).toMatch(message);
  });
});
