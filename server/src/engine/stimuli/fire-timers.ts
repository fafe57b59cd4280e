/**
 * Timers. Due runs are claimed in batches, by the database's clock. A claim holds for a while; if this server dies,
 * another one claims the runs after that.
 */
import { wakeTimeOf } from "../../core/run.ts";
import { createDueTimer, type DueTimer } from "../due-timer.ts";
import type { Essentials } from "../essentials.ts";
import type { Reaction } from "../reactions.ts";
import type { TransitionParts } from "../transition/perform.ts";
import { wake } from "./wake-run.ts";

const CLAIM_MAX = 500;
const CLAIM_RETRY_MS = 10_000;

/** Armed with the times at which runs wake. */
export function createTimers({ store, clock, log }: Essentials, transitions: TransitionParts): DueTimer {
  return createDueTimer({ clock, log }, "due runs", async () => {
    const { now, runs, nextWakeTime } = await clock.reading(() => store.runs.claimDue(CLAIM_MAX, CLAIM_RETRY_MS));
    await Promise.all(runs.map((key) => wake(transitions, key, now)));
    return { nextTime: nextWakeTime, isMore: runs.length === CLAIM_MAX };
  });
}

/** After each commit, notes when the run wakes by itself. */
export function armTimers(timers: DueTimer): Reaction {
  return {
    committed({ run }) {
      const wakeTime = wakeTimeOf(run.state);
      if (wakeTime !== undefined) timers.arm(wakeTime);
    },
  };
}
