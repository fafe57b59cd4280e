import { type Instant, epochMicrosOf, instantFromEpochMicros } from "../core/duration.ts";

/**
 * The server's clock: an estimate of database time that strictly increases. Record times therefore follow the order of
 * what this server does, and are never earlier than what it has read.
 */
export type Clock = {
  /** Returns a new instant, later than every earlier one and later than `after`. */
  next(after?: Instant): Instant;
  /** The current database time, in epoch microseconds. */
  nowMicros(): number;
  /** Adjusts the clock to the database's time; called after every renewal of the lease. */
  observe(databaseNow: Instant): void;
};

/** @param wallMicros this machine's clock in epoch microseconds; tests replace it */
export function createClock(wallMicros: () => number = machineMicros): Clock {
  let offsetMicros = 0;
  let last = 0;
  let lastInstant: Instant | undefined;
  const nowMicros = () => wallMicros() + offsetMicros;
  return {
    nowMicros,
    next(after) {
      // Instants of the same length compare as strings in the order of time. Nearly all of them are this server's own.
      const isBehind = after === undefined || (lastInstant !== undefined && after <= lastInstant);
      last = Math.max(nowMicros(), last + 1, isBehind ? 0 : epochMicrosOf(after) + 1);
      lastInstant = instantFromEpochMicros(last);
      return lastInstant;
    },
    observe(databaseNow) {
      const micros = epochMicrosOf(databaseNow);
      offsetMicros = micros - wallMicros();
      // A reply may arrive late. What the database has called due at a later time stays due.
      last = Math.max(last, micros);
    },
  };
}

function machineMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
