/**
 * What follows a change of a run. `transition/perform.ts` makes the change and does not know who reacts to it. Workers,
 * timers, listeners, watchers and other servers are reactions; engine.ts lists them in the order in which they hear of
 * a commit.
 */
import type { NewJob } from "../store/contract/jobs.ts";
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import type { Plan } from "./transition/plan.ts";

/** The jobs of one transition, leased to workers where possible. Exactly one of the two functions is called, once. */
export type Reservation = {
  readonly jobs: readonly NewJob[];
  /** The transition was committed. */
  commit(): void;
  /** The transition was not committed, or its outcome is unknown. */
  cancel(): void;
};

/** A committed transition. */
export type Committed = {
  readonly key: RunKey;
  /** The run as it is now. */
  readonly run: StoredRun;
  /** Empty if the transition only removed mail. */
  readonly plan: Plan;
  /** Whether the feed over all runs has grown. */
  readonly hasNotices: boolean;
};

/**
 * The functions are called while this server holds the run, so none of them may wait: long work continues in the
 * background.
 */
export type Reaction = {
  /** Before the commit: reserves the jobs that the plan creates. Undefined if it creates no jobs. */
  reserve?(plan: Plan): Reservation | undefined;
  /** After the commit, and after a reservation's own `commit`. */
  committed?(commit: Committed): void;
  /**
   * A decision was not committed, or its outcome is unknown.
   * @param storedSeq the seq of the run from which it was decided
   */
  refused?(key: RunKey, storedSeq: number): void;
};

/** The reservation of the first reaction that accepts the plan's jobs. */
export function reserve(reactions: readonly Reaction[], plan: Plan): Reservation | undefined {
  for (const reaction of reactions) {
    const reservation = reaction.reserve?.(plan);
    if (reservation !== undefined) return reservation;
  }
  return undefined;
}
