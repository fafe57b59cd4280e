import { describe, expect, test } from "vitest";

import { codeOf, errorOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";

describe("time", () => {
  test.each<[string, Json]>([
    ["now", "2026-01-02T03:04:05.12Z"],
    ["string(now)", "2026-01-02T03:04:05.12Z"],
    ["now + duration('1h')", "2026-01-02T04:04:05.12Z"],
    ["duration('1d') + now", "2026-01-03T03:04:05.12Z"],
    ["now - duration('500ms')", "2026-01-02T03:04:04.62Z"],
    ["timestamp('2026-01-02T00:00:00+02:00')", "2026-01-01T22:00:00Z"],
    ["timestamp(60)", "1970-01-01T00:01:00Z"],
    ["now - timestamp('2026-01-02T03:04:05Z')", "0.12s"],
    ["timestamp('2026-01-02T03:04:05Z') - now", "-0.12s"],
    ["now > timestamp('2026-01-01T00:00:00Z')", true],
    ["now == timestamp('2026-01-02T03:04:05.120Z')", true],
    ["duration('90s')", "90s"],
    ["duration('1h30m') - duration('2h')", "-1800s"],
    ["string(duration('1.5s'))", "1.5s"],
    ["duration('-1us')", "-0.000001s"],
    ["duration('90s') == duration('1m30s') && duration('1s') < duration('1m')", true],
    ["duration('90m').getHours()", 1],
    ["duration('90m').getMinutes() + duration('90s').getSeconds()", 180],
    ["duration('1.5s').getMilliseconds()", 500],
    [
      "[now.getFullYear(), now.getMonth(), now.getDate(), now.getDayOfMonth(), now.getDayOfWeek(), now.getDayOfYear()]",
      [2026, 0, 2, 1, 5, 1],
    ],
    ["[now.getHours(), now.getMinutes(), now.getSeconds(), now.getMilliseconds()]", [3, 4, 5, 120]],
    [
      "[now.getHours('America/New_York'), now.getDate('America/New_York'), now.getFullYear('America/New_York')]",
      [22, 1, 2026],
    ],
    [
      "[now.getHours('+05:30'), now.getMinutes('+05:30'), now.getHours('-04:00'), now.getMilliseconds('Asia/Tokyo')]",
      [8, 34, 23, 120],
    ],
    ["timestamp('2024-12-31T00:00:00Z').getDayOfYear()", 365],
    ["{'at': now}", { at: "2026-01-02T03:04:05.12Z" }],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toEqual(value));

  test.each([
    "duration('1 s')",
    "duration('x')",
    "duration('')",
    "timestamp('2026-01-01')",
    "timestamp('yesterday')",
    "duration('300000d')",
  ])("%s is refused before it runs", (source) =>
    expect(errorOf(() => compileExpression(source, { variables: [] })).code).toBe("EXPRESSION_INVALID"),
  );

  test.each([
    "duration(vars.text)",
    "timestamp(vars.text)",
    "now.getHours('Nowhere/None')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1m')",
    "timestamp('9999-01-01T00:00:00Z') - timestamp('0001-01-01T00:00:00Z')",
    "timestamp(vars.huge)",
  ])("%s fails", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));
});
