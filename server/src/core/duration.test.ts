import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  addMicros,
  addMs,
  DURATION_MS_MAX,
  DurationError,
  epochMicrosOf,
  InstantError,
  instantFromEpochMicros,
  instantToDate,
  maxInstant,
  microsBetween,
  parseDurationMs,
  parseInstant,
} from "./duration.ts";

describe("parseDurationMs", () => {
  test.each([
    ["0s", 0],
    ["90s", 90_000],
    ["15m", 900_000],
    ["72h", 259_200_000],
    ["3d", 259_200_000],
    ["2w", 1_209_600_000],
    ["250ms", 250],
    ["1.5s", 1_500],
    ["0.1s", 100],
    ["1h30m", 5_400_000],
    ["1w2d3h4m5s6ms", 788_645_006],
    ["1.0005s", 1_001],
    ["36525d", DURATION_MS_MAX],
  ])("%s", (text, ms) => expect(parseDurationMs(text)).toBe(ms));

  test.each([
    "",
    "0",
    "90",
    "s",
    "-1s",
    "+1s",
    "1 s",
    " 1s",
    "1s ",
    "1S",
    "1m1h",
    "1s1s",
    "1y",
    "1us",
    ".5s",
    "1.s",
    "1e3s",
    "1.5.5s",
    "36526d",
    "9".repeat(80) + "s",
    "${vars.x}",
    "PT1H",
    "1h\n",
  ])("refuses %j", (text) => expect(() => parseDurationMs(text)).toThrow(DurationError));
});

describe("parseInstant", () => {
  test.each([
    ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"],
    ["2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100000Z"],
    ["2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z"],
    ["2026-01-02T03:04:05.000999+01:00", "2026-01-02T02:04:05.000999Z"],
    ["2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00.000000Z"],
    ["2026-12-31T23:30:00-00:45", "2027-01-01T00:15:00.000000Z"],
    ["2026-01-02t03:04:05z", "2026-01-02T03:04:05.000000Z"],
    ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"],
    ["0099-01-01T00:00:00Z", "0099-01-01T00:00:00.000000Z"],
    ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"],
  ])("%s", (text, instant) => expect(parseInstant(text)).toBe(instant));

  test.each([
    "",
    "2026-01-02",
    "2026-01-02T03:04:05",
    "2026-01-02 03:04:05Z",
    "2026-1-2T03:04:05Z",
    "2026-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T03:60:00Z",
    "2026-12-31T23:59:60Z",
    "2026-01-02T03:04:05.Z",
    "2026-01-02T03:04:05+24:00",
    "2026-01-02T03:04:05+01:60",
    "2026-01-02T03:04:05+0100",
    "0000-12-31T23:59:59Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "12026-01-02T03:04:05Z",
    "2026-01-02T03:04:05Z\n",
    "2026-01-02T03:04:05." + "1".repeat(40) + "Z",
  ])("refuses %j", (text) => expect(() => parseInstant(text)).toThrow(InstantError));
});

describe("instants", () => {
  // 1700 to 2250, where a double counts microseconds.
  const micros = fc.integer({ min: -8_520_336_000_000_000, max: 8_835_868_800_000_000 });

  test("text order is time order, and microseconds survive", () => {
    fc.assert(
      fc.property(micros, micros, (a, b) => {
        const [textA, textB] = [instantFromEpochMicros(a), instantFromEpochMicros(b)];
        expect(epochMicrosOf(textA)).toBe(a);
        expect(parseInstant(textA)).toBe(textA);
        expect(Math.sign(textA < textB ? -1 : textA > textB ? 1 : 0)).toBe(Math.sign(a - b));
        expect(maxInstant(textA, textB)).toBe(a > b ? textA : textB);
        expect(addMicros(textA, b - a === 0 ? 0 : Math.trunc((b - a) / 2))).toBe(
          instantFromEpochMicros(a + Math.trunc((b - a) / 2)),
        );
        expect(microsBetween(textA, addMicros(textA, 12_345_678))).toBe(12_345_678);
      }),
    );
  });

  test("addMs rounds to whole milliseconds and keeps microseconds", () => {
    const instant = parseInstant("2026-01-02T03:04:05.123456Z");
    expect(addMs(instant, 1.4)).toBe("2026-01-02T03:04:05.124456Z");
    expect(addMs(instant, -3_600_000)).toBe("2026-01-02T02:04:05.123456Z");
    expect(addMs(parseInstant("9000-01-01T00:00:00.000001Z"), 1)).toBe("9000-01-01T00:00:00.001001Z");
    expect(instantToDate(instant).toISOString()).toBe("2026-01-02T03:04:05.123Z");
  });

  test("refuses times outside the years 0001 to 9999", () => {
    expect(() => addMs(parseInstant("9999-12-31T23:59:59Z"), 1_000)).toThrow(InstantError);
    expect(() => instantFromEpochMicros(Number.NaN)).toThrow(InstantError);
    expect(() => instantFromEpochMicros(1e18)).toThrow(InstantError);
  });
});
