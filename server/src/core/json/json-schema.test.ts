import { describe, expect, test } from "vitest";

import { type Json, parseJson } from "./json.ts";
import { compileSchema } from "./json-schema.ts";
import { SchemaError } from "./schema-check.ts";

function problems(schema: string, value: string): { path: string; message: string }[] {
  return compileSchema(parseJson(schema)).validate(parseJson(value));
}

function schemaErrorOf(schema: Json): SchemaError {
  try {
    compileSchema(schema);
  } catch (error) {
    if (error instanceof SchemaError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("validate", () => {
  const order = JSON.stringify({
    type: "object",
    required: ["amount"],
    properties: {
      amount: { type: "number", exclusiveMinimum: 0 },
      lines: { type: "array", items: { type: "string", minLength: 1 } },
    },
    additionalProperties: false,
  });

  test.each<[string, string, string[]]>([
    [order, '{"amount":1,"lines":["a"]}', []],
    [order, "{}", [""]],
    [order, '{"amount":0,"lines":["a",""]}', ["/amount", "/lines/1"]],
    [order, '{"amount":1,"x":2}', [""]],
    [order, "[]", [""]],
    ["true", "1", []],
    ["false", "1", [""]],
    ["{}", "null", []],
    ['{"enum":["yes","no"]}', '"maybe"', [""]],
    ['{"const":{"a":[1]}}', '{"a":[1]}', []],
    ['{"oneOf":[{"type":"string"},{"type":"number"}]}', "true", ["", "", ""]],
    ['{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', "1", [""]],
    ['{"$ref":"#name","$defs":{"a":{"$anchor":"name","type":"string"}}}', "1", [""]],
    ['{"prefixItems":[{"type":"string"}],"items":false}', '["a",1]', ["/1"]],
    ['{"uniqueItems":true}', '[{"a":1,"b":2},{"b":2,"a":1}]', [""]],
    ['{"uniqueItems":true}', '[1,"1",[1],null]', []],
    ['{"uniqueItems":false}', "[1,1]", []],
    ['{"contains":{"const":1},"minContains":2}', "[1,2]", ["/1", ""]],
    ['{"dependentRequired":{"a":["b"]}}', '{"a":1}', [""]],
    ['{"properties":{"a":true},"unevaluatedProperties":false}', '{"a":1,"b":2}', [""]],
    ['{"dependencies":{"a":["b"],"c":{"required":["d"]}}}', '{"a":1,"c":1}', ["", ""]],
    ['{"dependencies":{"a":["b"]}}', '{"a":1,"b":2}', []],
    ['{"prefixItems":[true],"unevaluatedItems":false}', "[1,2]", ["/1"]],
    ['{"allOf":[{"prefixItems":[true]}],"unevaluatedItems":{"type":"null"}}', "[1,null]", []],
    ['{"$dynamicRef":"#n","$defs":{"n":{"$dynamicAnchor":"n","type":"null"}}}', "1", [""]],
    ['{"pattern":"^\\\\p{Letter}+$"}', '"aé"', []],
    ['{"pattern":"^\\\\p{Script=Greek}$"}', '"a"', [""]],
    ['{"if":{"required":["a"]},"then":{"required":["b"]}}', '{"a":1}', ["", ""]],
    ['{"properties":{"a":{"type":"object","properties":{"~/":{"type":"string"}}}}}', '{"a":{"~/":1}}', ["/a/~0~1"]],
    ['{"required":["toString"]}', "{}", [""]],
    ['{"properties":{"constructor":{"type":"string"}},"additionalProperties":false}', '{"constructor":"a"}', []],
    ['{"pattern":"^a+$"}', '"aab"', [""]],
    ['{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}', '{"x-a":1}', ["/x-a"]],
    ['{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}', '{"x-a":"1"}', []],
    ['{"format":"date-time"}', '"2026-01-02T03:04:05Z"', []],
    ['{"format":"date-time"}', '"2026-01-02"', [""]],
    ['{"format":"date"}', '"2026-02-30"', [""]],
    ['{"format":"time"}', '"03:04:05Z"', []],
    ['{"format":"email"}', '"a@b.c"', []],
    ['{"format":"email"}', '"a b@c"', [""]],
    ['{"format":"uri"}', '"https://example.org/x"', []],
    ['{"format":"uri"}', '"/x"', [""]],
    ['{"format":"uuid"}', '"123e4567-e89b-12d3-a456-426614174000"', []],
    ['{"format":"uuid"}', '"123"', [""]],
    ['{"format":"my-own"}', '"x"', []],
    [
      '{"title":"T","x-ui":{"type":"nope"},"$async":true,"id":"x","nullable":5,"default":{"$ref":"http://x"},"type":"string"}',
      "1",
      [""],
    ],
    [
      '{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.org/s","type":"string"}',
      '"a"',
      [],
    ],
  ])("%s of %s: %j", (schema, value, paths) => {
    expect(problems(schema, value).map((problem) => problem.path)).toEqual(paths);
  });

  test("says what is wrong", () => {
    expect(problems('{"enum":["yes","no"]}', '"x"')[0]?.message).toContain('["yes","no"]');
    expect(problems(order, '{"amount":1,"x":2}')[0]?.message).toContain('"x"');
    expect(problems(order, "{}")[0]?.message).toContain("amount");
  });

  test("does not take names of Object.prototype for members", () => {
    expect(compileSchema({ required: ["toString"] }).validate({ a: 1 })).toHaveLength(1);
  });

  test("tells ten problems at most, in short", () => {
    expect(problems('{"items":{"type":"string"}}', JSON.stringify(Array.from({ length: 50 }, () => 1)))).toHaveLength(
      10,
    );
    const long = problems(JSON.stringify({ enum: ["a".repeat(5_000)] }), "1");
    expect(long[0]?.message.length).toBeLessThan(300);
  });

  test("is repeatable, and schemas with one $id do not disturb each other", () => {
    const first = compileSchema({ $id: "https://example.org/s", type: "string" });
    const second = compileSchema({ $id: "https://example.org/s", type: "number" });
    for (let i = 0; i < 2; i++) {
      expect([first.validate("a"), second.validate(1)]).toEqual([[], []]);
      expect([first.validate(1).length, second.validate("a").length]).toEqual([1, 1]);
    }
  });
});

describe("compileSchema refuses", () => {
  const many = { anyOf: Array.from({ length: 1_001 }, (_, i) => ({ const: i })) };
  test.each<[string, Json, string | undefined]>([
    ["a string", "x", ""],
    ["null", null, ""],
    ["an unknown type", { properties: { a: { type: "strin" } } }, "/properties/a/type"],
    ["a schema that is none", { properties: { a: 1 } }, "/properties/a"],
    ["a list that is none", { anyOf: {} }, "/anyOf"],
    ["an empty list", { anyOf: [] }, "/anyOf"],
    ["a map that is none", { properties: [] }, "/properties"],
    ["a negative length", { minLength: -1 }, "/minLength"],
    ["required of no names", { required: "a" }, "/required"],
    ["a reference to elsewhere", { $ref: "https://example.org/x" }, "/$ref"],
    ["a reference to a file", { items: { $ref: "other.json#/a" } }, "/items/$ref"],
    ["a dynamic reference to elsewhere", { $dynamicRef: "x#y" }, "/$dynamicRef"],
    ["a reference to nothing", { $ref: "#/$defs/nope" }, undefined],
    ["a reference that is none", { $ref: 1 }, "/$ref"],
    ["another dialect", { $schema: "http://json-schema.org/draft-07/schema#" }, "/$schema"],
    ["an inner $id", { properties: { a: { $id: "x" } } }, "/properties/a/$id"],
    ["a pattern that backtracks", { items: { pattern: "(a)\\1" } }, "/items/pattern"],
    ["a pattern that looks ahead", { patternProperties: { "(?=a)": {} } }, "/patternProperties/(?=a)"],
    ["a pattern that is none", { pattern: "(" }, "/pattern"],
    [
      "patterns that are too large",
      { anyOf: Array.from({ length: 9 }, () => ({ pattern: "a{900}" })) },
      "/anyOf/5/pattern",
    ],
    ["too many subschemas", many, "/anyOf/999"],
    ["too many levels", JSON.parse('{"not":'.repeat(33) + "{}" + "}".repeat(33)) as Json, undefined],
    ["too large", { description: "a".repeat(64 * 1024) }, undefined],
    ["a reference to what is no schema", { $ref: "#/properties", properties: {} }, "/$ref"],
    ["a reference to an unknown anchor", { $ref: "#a", properties: { a: { title: "a" } } }, "/$ref"],
    [
      "an anchor that occurs twice",
      { $defs: { a: { $anchor: "x" }, b: { $dynamicAnchor: "x" } } },
      "/$defs/b/$dynamicAnchor",
    ],
    ["__proto__", JSON.parse('{"properties":{"__proto__":{}}}') as Json, "/properties"],
  ])("%s", (_, schema, path) => {
    const error = schemaErrorOf(schema);
    if (path !== undefined) expect(error.path).toBe(path);
    expect(error.message.length).toBeLessThan(400);
  });

  // Ignored, these would accept what their author wanted to be refused.
  test.each<[string, Json]>([
    ["additionalItems", false],
    ["$recursiveRef", "#"],
    ["$recursiveAnchor", true],
    ["divisibleBy", 2],
    ["disallow", "string"],
    ["extends", {}],
    ["items", [{ type: "string" }]],
    ["exclusiveMinimum", true],
    ["required", true],
  ])("a keyword of an older draft: %s", (keyword, value) => {
    expect(schemaErrorOf({ properties: { a: { [keyword]: value } } }).path).toBe(`/properties/a/${keyword}`);
  });

  test("and runs none of its text", () => {
    const marker = "__schemaWasRun";
    const evil = `"];globalThis.${marker}=1;//\`\${globalThis.${marker}=1}'+(globalThis.${marker}=1)+'`;
    const schema: Json = {
      title: evil,
      properties: { [evil]: { const: evil, enum: [evil], description: evil, format: evil } },
      required: [evil],
      dependentRequired: { [evil]: [evil] },
      patternProperties: { '\\\\";//': { type: "string" } },
      $defs: { [evil]: { $anchor: "a" } },
    };
    compileSchema(schema).validate({ [evil]: evil });
    compileSchema(schema).validate({});
    expect(Object.hasOwn(globalThis, marker)).toBe(false);
  });
});

describe("validation that would run for ever stops", () => {
  test.each<[string, Json, Json]>([
    ["a schema that is itself", { $ref: "#" }, 1],
    [
      "two that are each other",
      { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { allOf: [{ $ref: "#/$defs/a" }] } } },
      1,
    ],
    [
      "exponential recursion that fails",
      {
        $ref: "#/$defs/a",
        $defs: {
          a: {
            properties: { x: { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] } },
            required: ["x"],
          },
        },
      },
      JSON.parse('{"x":'.repeat(25) + '{"x":{}}' + "}".repeat(25)) as Json,
    ],
    [
      "exponential recursion that fails by type alone",
      {
        $ref: "#/$defs/a",
        $defs: { a: { items: { anyOf: Array.from({ length: 4 }, () => ({ $ref: "#/$defs/a" })) }, type: "array" } },
      },
      JSON.parse("[".repeat(28) + "1" + "]".repeat(28)) as Json,
    ],
    [
      "contains in contains",
      {
        contains: { contains: { contains: { const: 0 } } },
        anyOf: Array.from({ length: 200 }, () => ({ contains: { contains: { const: 0 } } })),
      },
      Array.from({ length: 1_000 }, () => Array.from({ length: 100 }, () => 1)),
    ],
    [
      "a pattern on long text, many times",
      { anyOf: Array.from({ length: 200 }, (_, i) => ({ pattern: `^(a|aa)*[b${i}]$` })) },
      "a".repeat(500_000),
    ],
    [
      "large lists of unique items, many times",
      {
        anyOf: Array.from({ length: 900 }, () => ({ uniqueItems: true, maxItems: 1 })),
        allOf: Array.from({ length: 90 }, () => ({ uniqueItems: true })),
      },
      Array.from({ length: 100_000 }, (_, i) => i),
    ],
  ])("%s", (_, schema, value) => {
    const found = compileSchema(schema).validate(value);
    expect(found).toHaveLength(1);
    expect(found[0]?.message).toContain("too long to check");
  });

  test("and ordinary large values are checked", () => {
    const schema = compileSchema({
      type: "array",
      uniqueItems: true,
      items: { type: "object", properties: { id: { type: "integer" } }, required: ["id"] },
    });
    const rows = Array.from({ length: 30_000 }, (_, id) => ({ id }));
    expect(schema.validate(rows)).toEqual([]);
    expect(schema.validate([...rows, { id: "x" }, { id: 1 }]).length).toBeGreaterThan(0);
  });
});
