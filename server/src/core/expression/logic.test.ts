import { describe, expect, test } from "vitest";

import { codeOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";

describe("logic and comparison", () => {
  test.each<[string, Json]>([
    ["true && !false", true],
    ["false && vars.nope", false],
    ["vars.nope && false", false],
    ["vars.nope || true", true],
    ["vars.yes ? 1 : vars.nope", 1],
    ["vars.yes ? 'a' : 1", "a"],
    ["'a' < 'b' && false < true", true],
    ["'\\uffff' < '😀'", true],
    ["[1, [2]] == [1.0, [2.0]]", true],
    ["{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", true],
    ["vars.map == {'a': 2, 'b': 1}", true],
    ["1 == '1'", false],
    ["null == vars.nil", true],
    ["vars.list != [1, 2]", true],
    ["b'a' == b'a' && b'a' < b'b'", true],
    ["type(1) == int && type(1) == double && type(vars) == map && type('') == string", true],
    ["type(null) == null_type && type([]) == list && type(true) == bool && type(int) == type", true],
    ["dyn(1)", 1],
    ["bool('true')", true],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toStrictEqual(value));

  test.each([
    "vars.one && true",
    "vars.text ? 1 : 2",
    "!vars.one",
    "vars.one < vars.text",
    "vars.list < vars.list",
    "vars.nil < 1",
    "vars.text + vars.one",
    "vars.map + vars.map",
    "bool('maybe')",
    "true && vars.nope",
  ])("%s fails", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));
});
