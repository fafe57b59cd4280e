/**
 * Runs a claim when something is due. The next due time is kept in memory, so an idle server sleeps until then. Claims
 * run in batches until nothing more is due.
 */
import { epochMicrosOf, type Instant } from "../core/duration.ts";
import type { Essentials } from "./essentials.ts";
import { reportFailure } from "./report-failure.ts";

/** The delay of setTimeout is limited to 32 bits; waking once a day costs nothing. */
const SLEEP_MS_MAX = 24 * 3_600_000;
const UNAVAILABLE_PAUSE_MS = 500;

export type DueTimer = {
  /** Notes that something is due at this time. */
  arm(dueTime: Instant): void;
  /**
   * Sleeps as long as the clock says now, which may have been set since the timer began to sleep. Called with what is
   * due next, if anything, each time that the database's clock was read.
   */
  adjust(nextTime: Instant | undefined): void;
  stop(): Promise<void>;
};

/** What a claim reports about the rest: the next due time, and whether more is due already. */
export type ClaimRest = { nextTime: Instant | undefined; isMore: boolean };

/** @param what is claimed, for the log */
export function createDueTimer(
  context: Pick<Essentials, "clock" | "log">,
  what: string,
  claim: () => Promise<ClaimRest>,
): DueTimer {
  let dueMicros = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let firing: Promise<void> | undefined;
  let isStopped = false;

  function schedule(): void {
    clearTimeout(timer);
    if (isStopped || firing !== undefined || dueMicros === Number.POSITIVE_INFINITY) return;
    const inMs = Math.ceil((dueMicros - context.clock.nowMicros()) / 1000);
    timer = setTimeout(fire, Math.min(Math.max(inMs, 0), SLEEP_MS_MAX));
  }

  function fire(): void {
    if (isStopped || firing !== undefined) return;
    firing = claimAll().finally(() => {
      firing = undefined;
      schedule();
    });
  }

  async function claimAll(): Promise<void> {
    dueMicros = Number.POSITIVE_INFINITY;
    try {
      for (;;) {
        const { nextTime, isMore } = await claim();
        if (nextTime !== undefined) dueMicros = Math.min(dueMicros, epochMicrosOf(nextTime));
        if (!isMore || isStopped) return;
      }
    } catch (error) {
      reportFailure(context.log, `claiming ${what} failed`)(error);
      dueMicros = context.clock.nowMicros() + UNAVAILABLE_PAUSE_MS * 1000;
    }
  }

  return {
    arm(dueTime) {
      const micros = epochMicrosOf(dueTime);
      if (micros >= dueMicros) return;
      dueMicros = micros;
      schedule();
    },
    adjust(nextTime) {
      if (nextTime !== undefined) dueMicros = Math.min(dueMicros, epochMicrosOf(nextTime));
      schedule();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await firing;
    },
  };
}
