/**
 * What follows a change of a run. `transition/perform.ts` makes the change and knows nobody who reacts to it; workers,
 * timers, listeners, watchers and other servers are reactions, listed in engine.ts in the order in which they hear of a
 * commit.
 */
import type { NewJob } from "../store/contract/jobs.ts";
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import type { Plan } from "./transition/plan.ts";

/**
 * The jobs of one transition, leased to workers as far as there are any. Exactly one of the two functions is called,
 * once.
 */
export type Reservation = {
  readonly jobs: readonly NewJob[];
  /** The transition was committed. */
  commit(): void;
  /** It was not, or perhaps not. */
  cancel(): void;
};

/** A transition that was committed. */
export type Committed = {
  readonly key: RunKey;
  /** The run as it is now. */
  readonly run: StoredRun;
  /** Without records where nothing but mail was taken away. */
  readonly plan: Plan;
  /** Whether the feed over all runs has grown. */
  readonly hasNotices: boolean;
};

/**
 * Every function is called while the run is in this server's hands, so none may wait; what takes long goes on in the
 * background.
 */
export type Reaction = {
  /** Before the commit: takes on the jobs that the plan makes. Undefined: it makes none. */
  reserve?(plan: Plan): Reservation | undefined;
  /** After the commit, and after a reservation's own `commit`. */
  committed?(commit: Committed): void;
  /**
   * What was decided was not committed, or perhaps not.
   * @param storedSeq the seq of the run that it was decided from
   */
  refused?(key: RunKey, storedSeq: number): void;
};

/** The reservation of the first reaction that takes the plan's jobs on. */
export function reserve(reactions: readonly Reaction[], plan: Plan): Reservation | undefined {
  for (const reaction of reactions) {
    const reservation = reaction.reserve?.(plan);
    if (reservation !== undefined) return reservation;
  }
  return undefined;
}
