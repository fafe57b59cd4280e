import { describe, expect, test } from "vitest";

import { codeOf, evaluateSource, vars } from "../../../../tests/support/evaluate-source.ts";
import type { Json, JsonObject } from "../json/json.ts";

describe("maps, lists and JSON", () => {
  test.each<[string, Json]>([
    ["{'a': 1, 'b': [true, null, {}]}", { a: 1, b: [true, null, {}] }],
    ["{'constructor': 1}", { constructor: 1 }],
    ["merge(vars.map, {'c': 3, 'a': 9})", { b: 1, a: 9, c: 3 }],
    ["[1] + ['a']", [1, "a"]],
    ["[?vars.?nope, 1, ?vars.?one, ?optional.of(null)]", [1, 1, null]],
    ["{?'a': vars.?nope, ?'b': vars.?one, 'c': 2}", { b: 1, c: 2 }],
    ["{'a': 1, ?'a': vars.?nope}", { a: 1 }],
    ["size([?optional.none()]) + size({?vars.text: optional.none()})", 0],
    ["json({'b': 1.0, 'a': [now]})", '{"a":["2026-01-02T03:04:05.12Z"],"b":1}'],
    ["json('a')", '"a"'],
    ["parseJson('{\"a\":[1]}').a[0]", 1],
    ["parseJson(json(vars)) == vars", true],
    ["size(vars.map) + size({})", 2],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toEqual(value));

  test("maps have no prototype", () => {
    expect("toString" in (evaluateSource("{'a': 1}") as JsonObject)).toBe(false);
    expect("toString" in (evaluateSource("merge({}, vars.map)") as JsonObject)).toBe(false);
    expect("toString" in (evaluateSource("parseJson('{}')") as JsonObject)).toBe(false);
    expect("toString" in (evaluateSource("{'a': now}") as JsonObject)).toBe(false);
  });

  test.each([
    "{vars.text: 1, vars.text: 2}",
    "{vars.one: 1}",
    "{'a': 1, ?'a': vars.?one}",
    "[?vars.one]",
    "[?1]",
    "{?'a': vars.one}",
    "{?'a': 'b'}",
    "{'__pro' + 'to__': 1}",
    "parseJson('{')",
    "parseJson('9007199254740993')",
    'parseJson(\'{"a":1,"a":2}\')',
    "[optional.none()]",
    "'\\ud83d'.size() == 1 ? 1 : vars.nope",
  ])("%s fails", (source) => expect(["EVALUATION_FAILED", "EXPRESSION_INVALID"]).toContain(codeOf(source)));

  test("leaves what it was given unchanged", () => {
    const before = JSON.stringify(vars);
    evaluateSource("merge(vars.map, {'c': 1})");
    evaluateSource("vars.list + [4]");
    evaluateSource("[vars.rows, now]");
    expect(JSON.stringify(vars)).toBe(before);
  });
});
