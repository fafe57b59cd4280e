import { type Duration, type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";

/** @param what for messages
 *  @throws {TypeError} */
export function timestampOf(time: Date | string, what: string): Timestamp {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) throw new TypeError(`${what} is no time: ${String(time)}`);
  return timestampFromDate(date);
}

export function durationOf(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return {
    $typeName: "google.protobuf.Duration",
    seconds: BigInt(seconds),
    nanos: Math.floor((ms - seconds * 1_000) * 1_000_000),
  };
}
