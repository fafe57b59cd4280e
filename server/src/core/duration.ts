/** A point in time as text: UTC with exactly six fraction digits, `2026-01-02T03:04:05.000000Z`. Comparing the texts
 *  compares the times. */
export type Instant = string & { readonly __instant: true };

/** Text that is not a duration of a graph. */
export class DurationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DurationError";
  }
}

/** Text that is not an instant, or one outside the years 0001 to 9999. */
export class InstantError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InstantError";
  }
}

/** 100 years of 365.25 days: longer waits are mistakes, and adding this to a current date stays exact. */
export const DURATION_MS_MAX = 36_525 * 86_400_000;

/** The longest text worth parsing: every unit once, with as many digits as the bounds allow. */
const DURATION_CHARS_MAX = 64;

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ["w", 604_800_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

/** Parses a duration of a graph and returns milliseconds: `90s`, `1.5h`, `1h30m`.
 *
 *  Each part is an unsigned integer or decimal with a unit of `w d h m s ms`. Units go from the largest to the
 *  smallest, each at most once. At most 100 years; fractions of a millisecond are rounded.
 *  @throws {DurationError} */
export function parseDurationMs(text: string): number {
  if (text.length > DURATION_CHARS_MAX) throw new DurationError("a duration must be at most 64 characters");
  // Created only when thrown: creating an error takes longer than parsing.
  const refused = () => new DurationError(`${JSON.stringify(text)} is not a duration such as 90s, 15m, 1h30m or 3d`);
  if (text === "") throw refused();
  let total = 0;
  let unitsFrom = 0;
  for (let rest = text; rest !== "";) {
    const part = /^([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])/.exec(rest);
    if (part === null) throw refused();
    const unit = UNITS.findIndex(([name], index) => index >= unitsFrom && name === part[2]);
    if (unit === -1) throw refused();
    total += Number(part[1]) * UNITS[unit]![1];
    unitsFrom = unit + 1;
    rest = rest.slice(part[0].length);
  }
  const ms = Math.round(total);
  if (ms > DURATION_MS_MAX) throw new DurationError(`${JSON.stringify(text)} is more than 100 years`);
  return ms;
}

const RFC3339 =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,32}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/;

const MS_MIN = Date.parse("0001-01-01T00:00:00.000Z");
const MS_MAX = Date.parse("9999-12-31T23:59:59.999Z");

/** Parses an RFC 3339 time; the offset is required. Digits beyond microseconds are cut off; leap seconds are refused.
 *  @throws {InstantError} */
export function parseInstant(text: string): Instant {
  const shown = JSON.stringify(text.length > 64 ? text.slice(0, 64) + "…" : text);
  const match = RFC3339.exec(text);
  if (match === null) throw new InstantError(`${shown} is not an RFC 3339 time with an offset`);
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour = "0", offsetMinute = "0"] = match;
  // Dates roll over (30 February becomes 2 March), so the parsed day must equal the written one.
  const local = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`);
  if (
    Number.isNaN(local.getTime()) ||
    local.getUTCDate() !== Number(day) ||
    Number(hour) > 23 ||
    Number(offsetHour) > 23 ||
    Number(offsetMinute) > 59
  ) {
    throw new InstantError(`${shown} does not exist in the calendar`);
  }
  const offsetMs = (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000 * (sign === "-" ? -1 : 1);
  const micros = fraction.padEnd(6, "0").slice(0, 6);
  return instantFromParts(local.getTime() - offsetMs + Number(micros.slice(0, 3)), micros.slice(3));
}

/** The instant `micros` whole microseconds after 1970 UTC. A double holds them exactly from 1684 to 2255.
 *  @throws {InstantError} if `micros` is not finite, or the result is outside the years 0001 to 9999 */
export function instantFromEpochMicros(micros: number): Instant {
  const whole = Math.trunc(micros);
  const ms = Math.floor(whole / 1000);
  return instantFromParts(ms, String(whole - ms * 1000).padStart(3, "0"));
}

/** Microseconds since 1970 UTC; exact from 1684 to 2255, elsewhere to 32 microseconds. */
export function epochMicrosOf(instant: Instant): number {
  return epochMsOf(instant) * 1000 + Number(instant.slice(23, 26));
}

/** Moves `instant` by `ms` milliseconds, rounded to a whole number; exact in every year.
 *  @throws {InstantError} if the result is outside the years 0001 to 9999 */
export function addMs(instant: Instant, ms: number): Instant {
  return instantFromParts(epochMsOf(instant) + Math.round(ms), instant.slice(23, 26));
}

/** Moves `instant` by whole microseconds; exact in every year.
 *  @throws {InstantError} if the result is outside the years 0001 to 9999 */
export function addMicros(instant: Instant, micros: number): Instant {
  const total = Number(instant.slice(23, 26)) + (micros % 1000);
  const carryMs = Math.floor(total / 1000);
  const ms = epochMsOf(instant) + Math.trunc(micros / 1000) + carryMs;
  return instantFromParts(ms, String(total - carryMs * 1000).padStart(3, "0"));
}

/** Microseconds from `since` to `until`; exact up to 285 years. */
export function microsBetween(since: Instant, until: Instant): number {
  const ms = epochMsOf(until) - epochMsOf(since);
  return ms * 1000 + Number(until.slice(23, 26)) - Number(since.slice(23, 26));
}

/** The later of two instants. */
export function maxInstant(a: Instant, b: Instant): Instant {
  return a < b ? b : a;
}

/** An instant as people read it, in whole seconds: `2026-01-02T03:04:05Z`. */
export function secondsText(instant: Instant): string {
  return `${instant.slice(0, 19)}Z`;
}

/** The instant as a Date; microseconds are cut off. */
export function instantToDate(instant: Instant): Date {
  return new Date(epochMsOf(instant));
}

function epochMsOf(instant: Instant): number {
  return Date.parse(instant.slice(0, 23) + "Z");
}

/** The last formatted millisecond: under load, many instants differ only in their microseconds. */
let lastMs = Number.NaN;
let lastMsText = "";

function instantFromParts(ms: number, micros: string): Instant {
  if (ms !== lastMs) {
    if (!(ms >= MS_MIN && ms <= MS_MAX)) throw new InstantError("a time must be in the years 0001 to 9999");
    lastMsText = new Date(ms).toISOString().slice(0, 23);
    lastMs = ms;
  }
  return `${lastMsText}${micros}Z` as Instant;
}
