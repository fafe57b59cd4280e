import { type Instant, epochMicrosOf, instantFromEpochMicros } from "../core/duration.ts";

/**
 * The server's clock: database time as far as it is known, and strictly rising, so that record times order what this
 * server does and never lie before what it has read.
 */
export type Clock = {
  /** A new instant, later than every one given before and than `after`. */
  next(after?: Instant): Instant;
  /** Epoch microseconds now, by database time. */
  nowMicros(): number;
  /** Takes note of the database's time; called with every renewal of the lease. */
  observe(databaseNow: Instant): void;
};

/** @param wallMicros epoch microseconds of this machine's clock, replaced by tests */
export function createClock(wallMicros: () => number = machineMicros): Clock {
  let offsetMicros = 0;
  let last = 0;
  /** `last` as an instant. */
  let lastInstant: Instant | undefined;
  const nowMicros = () => wallMicros() + offsetMicros;
  return {
    nowMicros,
    next(after) {
      // Instants of the same length compare as they lie in time, and nearly all are this server's own.
      const isBehind = after === undefined || (lastInstant !== undefined && after <= lastInstant);
      last = Math.max(nowMicros(), last + 1, isBehind ? 0 : epochMicrosOf(after) + 1);
      lastInstant = instantFromEpochMicros(last);
      return lastInstant;
    },
    observe(databaseNow) {
      const micros = epochMicrosOf(databaseNow);
      offsetMicros = micros - wallMicros();
      // A reply may be late: what the database called due by a newer one is due all the same.
      last = Math.max(last, micros);
    },
  };
}

function machineMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
