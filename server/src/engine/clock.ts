/**
 * The server's clock: an estimate of the database's time, by which everything is due. It may go back, because clocks
 * are set back. The order of records does not come from here: a record is never before the previous record of its run,
 * whatever the clocks do (core/decision-builder.ts).
 *
 * Between two answers of the database the estimate goes on by this machine's steady clock, which nobody can set. So the
 * time of day of this machine decides nothing; that it was set is only reported.
 */
import { epochMicrosOf, type Instant, instantFromEpochMicros } from "../core/duration.ts";

/** A smaller change is drift, or a correction of it. */
const STEP_MICROS_MIN = 1_000_000;

export type Clock = {
  /** The database's current time. */
  now(): Instant;
  /** The same in epoch microseconds. */
  nowMicros(): number;
  /** Asks the database something and adjusts the clock to the time that it answers. */
  reading<T extends { now: Instant }>(ask: () => Promise<T>): Promise<T>;
};

/** A clock that was set, or one that stood still while the machine was suspended. */
export type ClockStep = { clock: "database" | "server"; stepMs: number };

export type ClockSources = {
  /** A clock of this machine that only rises, in microseconds; tests replace it. */
  steadyMicros?: () => number;
  /** This machine's time of day in epoch microseconds. */
  dayMicros?: () => number;
};

/** @param onStep called once for each step of a clock that a reading shows */
export function createClock(sources: ClockSources = {}, onStep: (step: ClockStep) => void = () => undefined): Clock {
  const { steadyMicros = machineMicros, dayMicros = () => Date.now() * 1000 } = sources;
  /** By how much the database's clock is before `steadyMicros`, as far as its answers say. */
  let offset: { atLeast: number; atMost: number } | undefined;
  let dayOffsetMicros = dayMicros() - steadyMicros();
  /** When a step was seen last. Answers to earlier questions may be of the time before it. */
  let steppedMicros = Number.NEGATIVE_INFINITY;
  // The lower bound, so that what is due by this clock is due by the database's.
  const nowMicros = (): number => steadyMicros() + (offset?.atLeast ?? 0);

  function noteStep(clock: ClockStep["clock"], micros: number): void {
    if (Math.abs(micros) < STEP_MICROS_MIN) return;
    steppedMicros = steadyMicros();
    onStep({ clock, stepMs: Math.round(micros / 1000) });
  }

  /**
   * The database read its clock after it was asked and before its answer arrived, which bounds the offset from both
   * sides. All answers together bound it closely, so a late one changes nothing. Only if an answer contradicts the
   * others, a clock was set.
   */
  function observe(databaseMicros: number, askedMicros: number, answeredMicros: number): void {
    const seen = { atLeast: databaseMicros - answeredMicros, atMost: databaseMicros - askedMicros };
    const known = offset ?? seen;
    const both = { atLeast: Math.max(known.atLeast, seen.atLeast), atMost: Math.min(known.atMost, seen.atMost) };
    const isSet = both.atLeast > both.atMost;
    if (isSet && askedMicros < steppedMicros) return;
    offset = isSet ? seen : both;
    if (isSet) noteStep("database", seen.atLeast - known.atLeast);
    const dayOffset = dayMicros() - steadyMicros();
    noteStep("server", dayOffset - dayOffsetMicros);
    dayOffsetMicros = dayOffset;
  }

  return {
    nowMicros,
    now: () => instantFromEpochMicros(nowMicros()),
    async reading(ask) {
      const askedMicros = steadyMicros();
      const answer = await ask();
      observe(epochMicrosOf(answer.now), askedMicros, steadyMicros());
      return answer;
    },
  };
}

/** Counts from the time of day at which the process began, so that a clock that was never adjusted is nearly right. */
function machineMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
