import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type Instant, parseInstant } from "../core/duration.ts";

export function timestampFromInstant(instant: Instant): Timestamp {
  const seconds = Date.parse(`${instant.slice(0, 19)}Z`) / 1_000;
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: Number(instant.slice(20, 26)) * 1_000 });
}

export function optionalTimestamp(instant: Instant | undefined): Timestamp | undefined {
  return instant === undefined ? undefined : timestampFromInstant(instant);
}

/** The instant of a timestamp; nanoseconds are truncated to microseconds.
 *  @throws {RangeError | InstantError} outside the years 0001 to 9999, or `nanos` outside a second */
export function instantFromTimestamp(timestamp: Timestamp): Instant {
  const { seconds, nanos } = timestamp;
  if (nanos < 0 || nanos > 999_999_999) throw new RangeError("nanos must be 0 to 999,999,999");
  const wholeSeconds = new Date(Number(seconds) * 1_000).toISOString().slice(0, -5);
  return parseInstant(`${wholeSeconds}.${String(Math.floor(nanos / 1_000)).padStart(6, "0")}Z`);
}

export function durationFromMs(ms: number): Duration {
  const seconds = Math.trunc(ms / 1_000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) });
}

/** Milliseconds, fractions included. */
export function msFromDuration(duration: Duration): number {
  return Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
}
