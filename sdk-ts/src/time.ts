/** Times and durations of the contract. */
import { type Duration, type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";

/** @param what for messages
 *  @throws {TypeError} if the text is not a time */
export function timestampOf(time: Date | string, what: string): Timestamp {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) throw new TypeError(`${what} is not a time: ${String(time)}`);
  return timestampFromDate(date);
}

/** The date of a field that every reply has. */
export function dateOf(time: Timestamp | undefined): Date {
  return time === undefined ? new Date(0) : timestampDate(time);
}

export function durationOf(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return {
    $typeName: "google.protobuf.Duration",
    seconds: BigInt(seconds),
    nanos: Math.floor((ms - seconds * 1_000) * 1_000_000),
  };
}
