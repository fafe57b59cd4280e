// Timestamps and durations, to the microsecond.
import { addMicros, type Instant, instantFromEpochMicros, microsBetween, parseInstant } from "../duration.ts";
import type { Evaluation } from "./evaluation.ts";
import { failed, shown } from "./expression-error.ts";
import { exact, wholeZero } from "./numbers.ts";
import type { Overloads } from "./overloads.ts";
import { Duration, Timestamp } from "./values.ts";

/** A timestamp as RFC 3339 in UTC, with as many fraction digits as needed. */
export function timestampText(instant: Instant): string {
  const fraction = instant.slice(20, 26).replace(/0+$/, "");
  return `${instant.slice(0, 19)}${fraction === "" ? "" : "." + fraction}Z`;
}

/** A duration in seconds, with as many fraction digits as needed: `90s`, `-1.5s`. */
export function durationText(micros: number): string {
  const whole = Math.floor(Math.abs(micros) / 1_000_000);
  const fraction = String(Math.abs(micros) % 1_000_000)
    .padStart(6, "0")
    .replace(/0+$/, "");
  return `${micros < 0 ? "-" : ""}${whole}${fraction === "" ? "" : "." + fraction}s`;
}

export function timestampFromText(text: string): Timestamp {
  return new Timestamp(parseInstant(text));
}

/** Microseconds per unit. CEL lacks `d` and `w`; the durations of a graph have them. */
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ["w", 604_800_000_000],
  ["d", 86_400_000_000],
  ["h", 3_600_000_000],
  ["m", 60_000_000],
  ["s", 1_000_000],
  ["ms", 1_000],
  ["us", 1],
  ["µs", 1],
  ["ns", 0.001],
]);

function durationFromText(text: string): Duration {
  const match = /^([+-]?)((?:[0-9]+(?:\.[0-9]*)?(?:ms|us|µs|ns|[wdhms]))+)$/.exec(text.slice(0, 128));
  if (match === null || text.length > 128) throw failed(`${shown(text)} is not a duration`);
  let micros = 0;
  for (const [, number, unit] of match[2]!.matchAll(/([0-9]+(?:\.[0-9]*)?)([a-zµ]+)/g)) {
    micros += Number(number) * DURATION_UNITS.get(unit!)!;
  }
  return new Duration(Math.round(match[1] === "-" ? wholeZero(-micros) : micros));
}

/** A method that returns a part of a date, in UTC or in a time zone. */
function overloadsOfDatePart(method: string, part: (date: Date) => number): Overloads {
  return {
    [`(timestamp).${method}(): number`]: (_: Evaluation, a: Timestamp) => part(new Date(a.instant)),
    [`(timestamp).${method}(string): number`]: (evaluation: Evaluation, a: Timestamp, zone: string) => {
      // Creating a formatter for a zone takes tens of microseconds.
      evaluation.spend(100);
      return part(dateInZone(a.instant, zone));
    },
  };
}

/** Operators and functions of timestamps and durations. */
export const TIME: Overloads = {
  "timestamp(timestamp): timestamp": (_, a: Timestamp) => a,
  "timestamp(string): timestamp": (_, a: string) => timestampFromText(a),
  "timestamp(number): timestamp": (_, seconds: number) =>
    new Timestamp(instantFromEpochMicros(exact(seconds * 1_000_000))),
  "duration(duration): duration": (_, a: Duration) => a,
  "duration(string): duration": (_, a: string) => durationFromText(a),
  "+(timestamp, duration): timestamp": (_, a: Timestamp, b: Duration) => new Timestamp(addMicros(a.instant, b.micros)),
  "+(duration, timestamp): timestamp": (_, a: Duration, b: Timestamp) => new Timestamp(addMicros(b.instant, a.micros)),
  "-(timestamp, duration): timestamp": (_, a: Timestamp, b: Duration) => new Timestamp(addMicros(a.instant, -b.micros)),
  "-(timestamp, timestamp): duration": (_, a: Timestamp, b: Timestamp) =>
    new Duration(microsBetween(b.instant, a.instant)),
  "+(duration, duration): duration": (_, a: Duration, b: Duration) => new Duration(a.micros + b.micros),
  "-(duration, duration): duration": (_, a: Duration, b: Duration) => new Duration(a.micros - b.micros),
  "-_(duration): duration": (_, a: Duration) => new Duration(wholeZero(-a.micros)),
  "(duration).getHours(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 3_600_000_000)),
  "(duration).getMinutes(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 60_000_000)),
  "(duration).getSeconds(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 1_000_000)),
  "(duration).getMilliseconds(): number": (_, a: Duration) => wholeZero(Math.trunc((a.micros % 1_000_000) / 1_000)),
  // As CEL specifies, getMonth, getDayOfMonth, getDayOfWeek and getDayOfYear count from 0, and getDate from 1.
  ...overloadsOfDatePart("getFullYear", (date) => date.getUTCFullYear()),
  ...overloadsOfDatePart("getMonth", (date) => date.getUTCMonth()),
  ...overloadsOfDatePart("getDate", (date) => date.getUTCDate()),
  ...overloadsOfDatePart("getDayOfMonth", (date) => date.getUTCDate() - 1),
  ...overloadsOfDatePart("getDayOfWeek", (date) => date.getUTCDay()),
  ...overloadsOfDatePart("getDayOfYear", (date) => {
    const start = new Date(date);
    start.setUTCMonth(0, 1);
    return Math.round((date.getTime() - start.getTime()) / 86_400_000);
  }),
  ...overloadsOfDatePart("getHours", (date) => date.getUTCHours()),
  ...overloadsOfDatePart("getMinutes", (date) => date.getUTCMinutes()),
  ...overloadsOfDatePart("getSeconds", (date) => date.getUTCSeconds()),
  ...overloadsOfDatePart("getMilliseconds", (date) => date.getUTCMilliseconds()),
};

/** A Date whose UTC fields are the local time in `zone`: an IANA name, or an offset such as `+02:00`. */
function dateInZone(instant: Instant, zone: string): Date {
  const offset = /^([+-]?)([0-9]{2}):([0-9]{2})$/.exec(zone);
  const date = new Date(instant);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3]);
    return new Date(date.getTime() + (offset[1] === "-" ? -minutes : minutes) * 60_000);
  }
  let shownDate: string;
  try {
    // Swedish dates are written as in ISO 8601.
    shownDate = date.toLocaleString("sv-SE", { timeZone: zone });
  } catch {
    throw failed(`${shown(zone)} is not a time zone`);
  }
  const local = new Date(shownDate.replace(" ", "T") + "Z");
  local.setUTCMilliseconds(date.getUTCMilliseconds());
  return local;
}
