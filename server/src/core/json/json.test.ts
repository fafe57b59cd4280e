import canonicalize from "canonicalize";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { DomainError, type ErrorReason } from "../errors.ts";
import {
  assertJson,
  canonicalJson,
  deepEqual,
  JSON_BYTES_MAX,
  JSON_DEPTH_MAX,
  type Json,
  parseJson,
  parseOwnJson,
} from "./json.ts";

function refusalOf(
  run: () => unknown,
): { reason: ErrorReason; pointer: string | undefined; message: string } | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return { reason: error.reason, pointer: error.metadata["pointer"], message: error.message };
  }
}

function nested(levels: number): string {
  return "[".repeat(levels) + "]".repeat(levels);
}

/** A row of a table with a title that is printable and short, and the text itself last. */
function named([text, reason, pointer]: (string | undefined)[]): [string, string, string | undefined, string] {
  return [JSON.stringify(text).slice(0, 40), reason!, pointer, text!];
}

function withoutPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  if (value === null || typeof value !== "object") return value;
  const copy = Object.create(null) as Record<string, unknown>;
  for (const [key, item] of Object.entries(value)) copy[key] = withoutPrototypes(item);
  return copy;
}

/** Values whose text I-JSON allows. */
const iJson = fc.jsonValue({ maxDepth: 5 }).filter((value) => {
  const text = JSON.stringify(value);
  return (
    text.isWellFormed() && !/\\u(0000|d[89a-f])|__proto__/.test(text) && refusalOf(() => parseJson(text)) === undefined
  );
});

describe("parseJson", () => {
  test("reads what JSON.parse reads, into objects without prototypes", () => {
    fc.assert(
      fc.property(iJson, fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        // Through the text once, because -0 has none.
        expect(parseJson(text)).toStrictEqual(withoutPrototypes(JSON.parse(text)));
      }),
    );
  });

  test("refuses the texts that JSON.parse refuses, as PAYLOAD_INVALID", () => {
    const syntax = fc.string({ unit: fc.constantFrom(...'{}[]",:\\u01-+.eEtrue fals\n'.split("")), maxLength: 12 });
    fc.assert(
      fc.property(syntax, (text) => {
        let parsed = true;
        try {
          JSON.parse(text);
        } catch {
          parsed = false;
        }
        const refusal = refusalOf(() => parseJson(text));
        if (!parsed) expect(refusal?.reason).toBe("PAYLOAD_INVALID");
      }),
      { numRuns: 5_000 },
    );
  });

  test.each(
    [
      ["", "PAYLOAD_INVALID", ""],
      ["[1,]", "PAYLOAD_INVALID", "/1"],
      ["nul", "PAYLOAD_INVALID", ""],
      ["[1] 2", "PAYLOAD_INVALID", ""],
      ["01", "PAYLOAD_INVALID", ""],
      ["+1", "PAYLOAD_INVALID", ""],
      ["1.", "PAYLOAD_INVALID", ""],
      ["Infinity", "PAYLOAD_INVALID", ""],
      ["NaN", "PAYLOAD_INVALID", ""],
      ['"a\nb"', "PAYLOAD_INVALID", ""],
      ["\ufeff1", "PAYLOAD_INVALID", ""],
      ['{"a":{"b":1,"b":2}}', "PAYLOAD_INVALID", "/a"],
      ['{"a":1,"\\u0061":2}', "PAYLOAD_INVALID", ""],
      ['{"x":{"__proto__":1}}', "PAYLOAD_INVALID", "/x"],
      ['{"x":[{"\\u005f_proto__":1}]}', "PAYLOAD_INVALID", "/x/0"],
      ['["\\ud800"]', "PAYLOAD_INVALID", "/0"],
      ['["\\udc00\\ud800"]', "PAYLOAD_INVALID", "/0"],
      ['["\\ud800\\u0041"]', "PAYLOAD_INVALID", "/0"],
      ['["a\ud800"]', "PAYLOAD_INVALID", "/0"],
      ['["\udc00"]', "PAYLOAD_INVALID", "/0"],
      ['["\ud800\\udc00"]', "PAYLOAD_INVALID", "/0"],
      ['{"\\ud800":1}', "PAYLOAD_INVALID", ""],
      ['{"a":"x\\u0000"}', "PAYLOAD_INVALID", "/a"],
      ['{"a\\u0000":1}', "PAYLOAD_INVALID", ""],
      ['{"a":"\0"}', "PAYLOAD_INVALID", "/a"],
      ['{"a/b~c":[9007199254740993]}', "NUMBER_NOT_EXACT", "/a~1b~0c/0"],
      ["-9007199254740993", "NUMBER_NOT_EXACT", ""],
      ["1152921504606846977", "NUMBER_NOT_EXACT", ""],
      ["1" + "0".repeat(400), "NUMBER_NOT_EXACT", ""],
      ["[1e400]", "NUMBER_NOT_EXACT", "/0"],
      ["-1e400", "NUMBER_NOT_EXACT", ""],
      [nested(JSON_DEPTH_MAX + 1), "PAYLOAD_TOO_DEEP", "/0".repeat(JSON_DEPTH_MAX)],
      ["[".repeat(500_000), "PAYLOAD_TOO_DEEP", "/0".repeat(JSON_DEPTH_MAX)],
      ['{"a":'.repeat(100_000), "PAYLOAD_TOO_DEEP", "/a".repeat(JSON_DEPTH_MAX)],
      ['"' + "a".repeat(JSON_BYTES_MAX - 1) + '"', "PAYLOAD_TOO_LARGE", undefined],
      ['"' + "é".repeat(JSON_BYTES_MAX / 2) + '"', "PAYLOAD_TOO_LARGE", undefined],
    ].map(named),
  )("refuses %s as %s", (_, reason, pointer, text) => {
    const refusal = refusalOf(() => parseJson(text));
    expect(refusal).toMatchObject({ reason, pointer });
    expect(refusal?.message).not.toMatch(/\0/);
    if (pointer) expect(refusal?.message).toContain(pointer);
  });

  test.each([
    ["9007199254740992", 9007199254740992],
    ["-9007199254740992", -9007199254740992],
    ["1152921504606846976", 2 ** 60],
    ["1.0", 1],
    ["1e3", 1000],
    ["0.1", 0.1],
    ["1e-400", 0],
    ["-0", 0],
    ["9007199254740993.0", 9007199254740992],
    ['"\\ud83d\\ude00\u{1f600}"', "😀😀"],
    ['"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"', '"\\/\b\f\n\r\té'],
    ['"\\u0001"', "\u0001"],
  ])("accepts %s", (text, value) => expect(parseJson(text)).toBe(value));

  test("accepts what just fits", () => {
    expect(parseJson(nested(JSON_DEPTH_MAX))).toHaveLength(1);
    expect(parseJson('"' + "é".repeat(JSON_BYTES_MAX / 2 - 1) + '"')).toHaveLength(JSON_BYTES_MAX / 2 - 1);
  });

  test("takes other bounds", () => {
    expect(parseJson(nested(40), { depthMax: 40 })).toBeInstanceOf(Array);
    expect(refusalOf(() => parseJson("[1,2,3]", { bytesMax: 6 }))?.reason).toBe("PAYLOAD_TOO_LARGE");
    expect(parseJson("[1,2,3]", { bytesMax: 7 })).toEqual([1, 2, 3]);
  });

  test("shows a bounded part of a long path", () => {
    const key = "k".repeat(5_000);
    expect(refusalOf(() => parseJson(`{"${key}":1e999}`))?.message.length).toBeLessThan(500);
    expect(refusalOf(() => parseJson(`{"${key}":1,"${key}":2}`))?.message.length).toBeLessThan(500);
  });
});

describe("assertJson", () => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  // 2^30 leaves in 30 arrays.
  let shared: unknown = [1];
  for (let i = 0; i < 30; i++) shared = [shared, shared];

  test.each<[string, unknown, ErrorReason, string | undefined]>([
    ["undefined", { a: undefined }, "PAYLOAD_INVALID", "/a"],
    ["a hole", { a: Array.from({ length: 1 }) }, "PAYLOAD_INVALID", "/a/0"],
    ["a bigint", [1n], "PAYLOAD_INVALID", "/0"],
    ["a function", { f: () => 1 }, "PAYLOAD_INVALID", "/f"],
    ["a Date", { d: new Date(0) }, "PAYLOAD_INVALID", "/d"],
    ["a Map", new Map(), "PAYLOAD_INVALID", ""],
    ["bytes", new Uint8Array(1), "PAYLOAD_INVALID", ""],
    ["a symbol", { [Symbol("s")]: 1 }, "PAYLOAD_INVALID", ""],
    ["NaN", { a: [Number.NaN] }, "NUMBER_NOT_EXACT", "/a/0"],
    ["infinity", Number.POSITIVE_INFINITY, "NUMBER_NOT_EXACT", ""],
    ["a lone surrogate", ["\ud800"], "PAYLOAD_INVALID", "/0"],
    ["a lone surrogate in a name", { "\udc00": 1 }, "PAYLOAD_INVALID", ""],
    ["U+0000", ["\0"], "PAYLOAD_INVALID", "/0"],
    ["U+0000 in a name", { "\0": 1 }, "PAYLOAD_INVALID", ""],
    ["__proto__", JSON.parse('{"a":{"__proto__":1}}'), "PAYLOAD_INVALID", "/a"],
    ["too deep", JSON.parse(nested(JSON_DEPTH_MAX + 1)), "PAYLOAD_TOO_DEEP", "/0".repeat(JSON_DEPTH_MAX)],
    ["a cycle", cyclic, "PAYLOAD_TOO_DEEP", "/0".repeat(JSON_DEPTH_MAX)],
    ["a long string", "a".repeat(JSON_BYTES_MAX), "PAYLOAD_TOO_LARGE", undefined],
    ["shared parts", shared, "PAYLOAD_TOO_LARGE", undefined],
  ])("refuses %s", (_, value, reason, pointer) => {
    expect(refusalOf(() => assertJson(value))).toMatchObject({ reason, pointer });
  });

  test("measures the canonical text to the byte", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          iJson,
          fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0")),
        ),
        (value) => {
          const bytes = Buffer.byteLength(canonicalJson(value as Json));
          expect(refusalOf(() => assertJson(value, { bytesMax: bytes }))).toBeUndefined();
          expect(refusalOf(() => assertJson(value, { bytesMax: bytes - 1 }))?.reason).toBe("PAYLOAD_TOO_LARGE");
        },
      ),
    );
  });

  test("accepts objects with and without prototypes", () => {
    expect(
      refusalOf(() => assertJson({ a: JSON.parse("{}") as object, b: [{}, "\u0001\n"], c: null, d: true })),
    ).toBeUndefined();
  });
});

describe("canonicalJson", () => {
  test("writes what the canonicalize package writes", () => {
    fc.assert(
      fc.property(iJson, (value) => {
        expect(canonicalJson(value as Json)).toBe(canonicalize(value));
      }),
    );
  });

  test.each<[Json, string]>([
    [{ b: 1, a: 2 }, '{"a":2,"b":1}'],
    [{ 10: 1, 9: 2, a: 3 }, '{"10":1,"9":2,"a":3}'],
    [{ a: { 2: [], 10: {} } }, '{"a":{"10":{},"2":[]}}'],
    [{ toJSON: "x", "": 0 }, '{"":0,"toJSON":"x"}'],
    [{ "\ufb33": 1, "\ud83d\ude00": 2, é: 3 }, '{"é":3,"😀":2,"\ufb33":1}'],
    [-0, "0"],
    [1e21, "1e+21"],
    [0.000001, "0.000001"],
    [1e-7, "1e-7"],
    ['\u0001\u20ac$\n"\\', '"\\u0001€$\\n\\"\\\\"'],
    [[null, true, []], "[null,true,[]]"],
  ])("%j", (value, text) => {
    expect(canonicalJson(value)).toBe(text);
    expect(canonicalJson(withoutPrototypes(value) as Json)).toBe(text);
  });
});

describe("deepEqual", () => {
  test("agrees with equality of the canonical texts", () => {
    const small = fc.jsonValue({ maxDepth: 2, stringUnit: fc.constantFrom("a", "b") });
    fc.assert(
      fc.property(small, small, (a, b) => {
        expect(deepEqual(a as Json, b as Json)).toBe(canonicalJson(a as Json) === canonicalJson(b as Json));
        expect(deepEqual(a as Json, withoutPrototypes(JSON.parse(JSON.stringify(a))) as Json)).toBe(true);
      }),
    );
  });

  test.each<[Json, Json, boolean]>([
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [{ a: 1 }, { b: 1 }, false],
    [{ a: null }, {}, false],
    [[], {}, false],
    [[1, 2], [2, 1], false],
    [0, -0, true],
    [1, "1", false],
    [null, {}, false],
    [{ toString: 1 }, { valueOf: 1 }, false],
  ])("%j and %j: %s", (a, b, equal) => expect(deepEqual(a, b)).toBe(equal));
});

describe("parseOwnJson", () => {
  test("reads back every double that JSON.stringify writes", () => {
    for (const value of [
      52440573493784730,
      2 ** 53 + 2,
      -(2 ** 60),
      1e21,
      1e22,
      123456789012345680000,
      Number.MAX_VALUE,
      5e-324,
    ]) {
      expect(parseOwnJson(JSON.stringify({ value }))).toEqual({ value });
    }
    expect(() => parseJson("52440573493784730")).toThrow(expect.objectContaining({ reason: "NUMBER_NOT_EXACT" }));
  });
});

test("a payload is bounded as protobuf too: a list of numbers is several times larger there", () => {
  const refused = refusalOf(() => assertJson(Array.from({ length: 150_000 }, () => 1)));
  expect(refused).toMatchObject({ reason: "PAYLOAD_TOO_LARGE" });
  expect(() => assertJson("x".repeat(1024 * 1024 - 2))).not.toThrow();
  expect(() => assertJson(Array.from({ length: 80_000 }, () => 1))).not.toThrow();
});
