// Timestamps and durations, to the microsecond.
import { addMicros, addMs, type Instant, instantFromEpochMicros, microsBetween, parseInstant } from "../duration.ts";
import type { Evaluation } from "./evaluation.ts";
import { failed, shown } from "./expression-error.ts";
import { wholeZero } from "./numbers.ts";
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
  // Two characters look like this: U+00B5 and U+03BC.
  ["\u00b5s", 1],
  ["\u03bcs", 1],
  ["ns", 0.001],
]);

/** The longest text worth parsing as a duration, in UTF-16 units. */
const DURATION_CHARS_MAX = 128;
/** As Go has it, a number may begin or end with its point, and zero needs no unit. There is one way only to match a
 *  number, or a long text that does not match would be tried in every way. */
const DURATION = /^([+-]?)(0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ms|[u\u00b5\u03bcn]s|[wdhms]))+)$/;
const DURATION_PART = /([0-9]*)(\.?[0-9]*)([a-z\u00b5\u03bc]+)/g;

function durationFromText(text: string): Duration {
  const match = text.length > DURATION_CHARS_MAX ? null : DURATION.exec(text);
  if (match === null) throw failed(`${shown(text)} is not a duration such as 90s, 1h30m or -1.5s`);
  let micros = 0;
  for (const [, whole, fraction, unit] of match[2]!.matchAll(DURATION_PART)) {
    const unitMicros = DURATION_UNITS.get(unit!)!;
    // Apart, because their product would be rounded as one number.
    micros += Number(whole) * unitMicros + Number(`0${fraction}`) * unitMicros;
  }
  const rounded = Math.round(micros);
  return new Duration(match[1] === "-" ? wholeZero(-rounded) : rounded);
}

/** A method that returns a part of a date, in UTC or in a time zone. */
function overloadsOfDatePart(method: string, part: (date: Date) => number): Overloads {
  return {
    [`(timestamp).${method}(): number`]: (_: Evaluation, a: Timestamp) => part(new Date(a.instant)),
    [`(timestamp).${method}(string): number`]: (evaluation: Evaluation, a: Timestamp, zone: string) => {
      // Creating a formatter for a zone takes about 100 µs, and the same expression must cost the same each time.
      evaluation.spend(100);
      return part(dateInZone(a.instant, zone));
    },
  };
}

/** Operators and functions of timestamps and durations. */
export const TIME: Overloads = {
  "timestamp(timestamp): timestamp": (_, a: Timestamp) => a,
  "timestamp(string): timestamp": (_, a: string) => timestampFromText(a),
  "timestamp(number): timestamp": (_, seconds: number) => timestampFromSeconds(seconds),
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

/** A Date whose UTC fields are the local time in `zone`: an IANA name, or an offset such as `+02:00`. In a zone, the
 *  first and the last hours of the years 0001 to 9999 may be in year 0 and in year 10000. */
function dateInZone(instant: Instant, zone: string): Date {
  const date = new Date(instant);
  return new Date(date.getTime() + offsetSeconds(date, zone) * 1000);
}

const ZONE_OFFSET = /^([+-]?)([01][0-9]|2[0-3]):([0-5][0-9])$/;
/** How Intl writes an offset; there are seconds in the local times that cities had before there were zones. */
const SHOWN_OFFSET = /GMT([+-])([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?$/;

function offsetSeconds(date: Date, zone: string): number {
  const match = ZONE_OFFSET.exec(zone) ?? SHOWN_OFFSET.exec(zoneFormat(zone).format(date));
  // Intl writes GMT alone for an offset of zero in some locales.
  if (match === null) return 0;
  const [, sign, hours, minutes, seconds = "0"] = match;
  const total = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -total : total;
}

/** Formatters by zone: using one takes 1 µs, and creating it a hundred times as long. */
const ZONE_FORMATS = new Map<string, Intl.DateTimeFormat>();
/** How many are kept; few programs use more zones at a time. */
const ZONE_FORMATS_MAX = 32;

function zoneFormat(zone: string): Intl.DateTimeFormat {
  let format = ZONE_FORMATS.get(zone);
  if (format !== undefined) return format;
  // Intl takes further forms of offsets, such as +0200, which CEL does not have.
  if (!/^[a-zA-Z]/.test(zone)) throw failed(`${shown(zone)} is not a time zone`);
  try {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
  } catch {
    throw failed(`${shown(zone)} is not a time zone`);
  }
  if (ZONE_FORMATS.size >= ZONE_FORMATS_MAX) ZONE_FORMATS.clear();
  ZONE_FORMATS.set(zone, format);
  return format;
}

const EPOCH = instantFromEpochMicros(0);

/** Seconds since 1970 as a timestamp, exact in every year. */
function timestampFromSeconds(seconds: number): Timestamp {
  const whole = Math.floor(seconds);
  return new Timestamp(addMicros(addMs(EPOCH, whole * 1000), Math.round((seconds - whole) * 1_000_000)));
}
