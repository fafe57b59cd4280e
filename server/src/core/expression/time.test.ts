import { describe, expect, test } from "vitest";

import { codeOf, errorOf, evaluateSource } from "../../../../tests/support/evaluate-source.ts";
import type { Json } from "../json/json.ts";
import { compileExpression } from "./compile.ts";
import { evaluate } from "./evaluate.ts";

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
    ["timestamp(253402300799)", "9999-12-31T23:59:59Z"],
    ["timestamp(-62135596800)", "0001-01-01T00:00:00Z"],
    ["timestamp(-0.25)", "1969-12-31T23:59:59.75Z"],
    ["int(timestamp('9999-12-31T23:59:59.999999Z'))", 253402300799],
    ["int(timestamp('0001-01-01T00:00:00.000001Z'))", -62135596800],
    ["int(timestamp('1969-12-31T23:59:59.5Z'))", -1],
    ["duration('.5h') + duration('1.m') + duration('+1s')", "1861s"],
    ["duration('0') == duration('-0') && duration('+0') == duration('0s')", true],
    ["duration('1\u00b5s') == duration('1\u03bcs') && duration('1000ns') == duration('1us')", true],
    ["duration('8000000000.123457s')", "8000000000.123457s"],
    ["[duration('500ns'), duration('-500ns'), duration('499ns')]", ["0.000001s", "-0.000001s", "0s"]],
    ["type(now) == google.protobuf.Timestamp && type(duration('1s')) == google.protobuf.Duration", true],
    ["[type(now), type(optional.none()) == optional_type]", ["google.protobuf.Timestamp", true]],
    ["[{'google': 1}].map(google, google.google)", [1]],
    ["{'at': now}", { at: "2026-01-02T03:04:05.12Z" }],
  ])("%s is %j", (source, value) => expect(evaluateSource(source)).toEqual(value));

  test.each([
    "duration('1 s')",
    "duration('x')",
    "duration('')",
    "timestamp('2026-01-01')",
    "timestamp('yesterday')",
    "duration('300000d')",
    "timestamp(253402300800)",
    "timestamp(-62135596801)",
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
    "now.getHours('+24:00')",
    "now.getHours('-12:60')",
    "now.getHours('+0530')",
    "now.getHours('+5:30')",
    "now.getHours('')",
    "now.getHours('local')",
  ])("%s fails", (source) => expect(codeOf(source)).toBe("EVALUATION_FAILED"));

  test("a long text that is almost a duration is refused at once", () => {
    for (const text of ["1".repeat(127) + "x", `${"36525d".repeat(15)}%25255d`, `${"1.".repeat(60)}s`]) {
      expect(codeOf(`duration(vars.text == '' ? '' : '${text}')`)).toBe("EVALUATION_FAILED");
    }
  });

  test("every part of a date is right in every zone and every year", () => {
    const zones = [
      ..."UTC America/New_York Africa/Monrovia Asia/Kathmandu Pacific/Apia Pacific/Kiritimati".split(" "),
      ..."Etc/GMT+12 Australia/Lord_Howe America/St_Johns Europe/Dublin Antarctica/Troll".split(" "),
      ..."-23:59 +23:59 +05:30 -00:30 02:00".split(" "),
    ];
    const years = [1, 2, 4, 33, 99, 100, 400, 999, 1000, 1582, 1600, 1752, 1883, 1900, 1969, 1970, 2000, 2024, 9999];
    const days = ["01-01T00:00:00", "01-01T23:59:59.999999", "02-28T23:30:00.5", "07-01T12:34:56.78", "12-31T23:59:59"];
    const parts = "FullYear Month Date DayOfMonth DayOfWeek DayOfYear Hours Minutes Seconds Milliseconds".split(" ");
    const expressions = zones.map((zone) =>
      compileExpression(`[${parts.map((part) => `now.get${part}('${zone}')`).join(",")}]`, {
        variables: ["now"],
      }),
    );
    for (const [i, zone] of zones.entries()) {
      for (const year of years) {
        for (const day of days) {
          const now = `${String(year).padStart(4, "0")}-${day}Z`;
          expect(evaluate(expressions[i]!, { now }), `${now} in ${zone}`).toEqual(partsInZone(new Date(now), zone));
        }
      }
    }
  });
});

/** The same parts by way of the texts of Intl. */
function partsInZone(date: Date, zone: string): number[] {
  const shown = new Intl.DateTimeFormat("en-GB", {
    timeZone: /^[0-9]/.test(zone) ? `+${zone}` : zone,
    calendar: "gregory",
    era: "short",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
    hourCycle: "h23",
  }).formatToParts(date);
  const part = (type: string): number => Number(shown.find((part) => part.type === type)!.value);
  const isBefore = shown.find((part) => part.type === "era")!.value.startsWith("B");
  const year = isBefore ? 1 - part("year") : part("year");
  const [month, day] = [part("month") - 1, part("day")];
  const midnight = (ofMonth: number, ofDay: number): Date => {
    const at = new Date(0);
    at.setUTCFullYear(year, ofMonth, ofDay);
    return at;
  };
  const at = midnight(month, day);
  const dayOfYear = (at.getTime() - midnight(0, 1).getTime()) / 86_400_000;
  const time = [part("hour"), part("minute"), part("second"), date.getUTCMilliseconds()];
  return [year, month, day, day - 1, at.getUTCDay(), dayOfYear, ...time];
}
