/** Timers: due runs are claimed in batches by the database's clock; a claim holds for a while, so that another server tries if this
 *  one dies. */
import type { EngineContext } from "../context.ts";
import { createDueTimer, type DueTimer } from "../due-timer.ts";
import { wake } from "./wake-run.ts";

const CLAIM_MAX = 500;
const CLAIM_RETRY_MS = 10_000;

/** Armed with the times at which runs wake. */
export function createTimers(context: EngineContext): DueTimer {
  return createDueTimer(context, "due runs", async () => {
    const { now, runs, nextWakeTime } = await context.store.runs.claimDue(CLAIM_MAX, CLAIM_RETRY_MS);
    // From here on this server's clock is not behind the one that called the runs due.
    context.clock.observe(now);
    await Promise.all(runs.map((key) => wake(context, key)));
    return { nextTime: nextWakeTime, isMore: runs.length === CLAIM_MAX };
  });
}
