import { describe, expect, test } from "vitest";

import { codeOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";

describe("macros", () => {
  test.each<[string, Json]>([
    ["vars.list.map(x, x * 2)", [2, 4, 6]],
    ["vars.list.map(x, x > 1, x * 2)", [4, 6]],
    ["vars.list.filter(x, x > 1)", [2, 3]],
    ["vars.list.all(x, x > 0)", true],
    ["vars.list.all(x, x > 1)", false],
    ["[].all(x, false)", true],
    ["vars.list.exists(x, x == 2)", true],
    ["[].exists(x, true)", false],
    ["vars.list.exists_one(x, x == 2)", true],
    ["vars.list.existsOne(x, x > 1)", false],
    ["vars.map.map(k, k)", ["a", "b"]],
    ["vars.map.all(k, vars.map[k] > 0)", true],
    ["vars.list.exists(x, 1 / (x - 1) > 0 || x == 2)", true],
    ["vars.list.exists(x, x == 3 || vars.nope)", true],
    ["vars.list.all(x, x < 2 && vars.nope)", false],
    ["vars.rows.filter(r, r.amount > 100)[0].tag", "b"],
    ["cel.bind(x, vars.one + 1, x * x)", 4],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toStrictEqual(value));

  test.each([
    "vars.list.all(x, vars.nope)",
    "vars.list.map(x, vars.nope)",
    "vars.list.filter(x, x)",
    "vars.list.exists_one(x, vars.nope)",
    "vars.one.map(x, x)",
    "vars.text.all(x, true)",
    "vars.list.all(x, vars.one)",
  ])("%s fails", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));
});
