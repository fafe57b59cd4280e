/**
 * Timers: the next due time is known in memory, so an idle server sleeps until then. Due runs are claimed in batches by the
 * database's clock; a claim holds for a while, so that another server tries if this one dies.
 */
import { epochMicrosOf, type Instant } from "../core/duration.ts";
import { StoreUnavailableError } from "../store/contract.ts";
import type { EngineContext } from "./context.ts";
import { wake } from "./wake-run.ts";

const CLAIM_MAX = 500;
const CLAIM_RETRY_MS = 10_000;
/** setTimeout takes 32 bits; looking again once a day costs nothing. */
const SLEEP_MS_MAX = 24 * 3_600_000;
const UNAVAILABLE_PAUSE_MS = 500;

export type Timers = {
  /** Notes that a run wakes at this time. */
  arm(wakeTime: Instant): void;
  stop(): Promise<void>;
};

export function createTimers(context: EngineContext): Timers {
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
    firing = claim().finally(() => {
      firing = undefined;
      schedule();
    });
  }

  async function claim(): Promise<void> {
    dueMicros = Number.POSITIVE_INFINITY;
    for (;;) {
      try {
        const { now, runs, nextWakeTime } = await context.store.claimDueRuns(CLAIM_MAX, CLAIM_RETRY_MS);
        // From here on this server's clock is not behind the one that called the runs due.
        context.clock.observe(now);
        await Promise.all(runs.map((key) => wake(context, key)));
        if (nextWakeTime !== undefined) dueMicros = Math.min(dueMicros, epochMicrosOf(nextWakeTime));
        if (runs.length < CLAIM_MAX || isStopped) return;
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) context.log.error({ err: error }, "claiming due runs failed");
        dueMicros = context.clock.nowMicros() + UNAVAILABLE_PAUSE_MS * 1000;
        return;
      }
    }
  }

  return {
    arm(wakeTime) {
      const micros = epochMicrosOf(wakeTime);
      if (micros >= dueMicros) return;
      dueMicros = micros;
      schedule();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await firing;
    },
  };
}
