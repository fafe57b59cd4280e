/** The queues in which jobs may be waiting, and the loop that claims from them while workers have credit. */
import { retryUntilDone } from "../../retry.ts";
import { isServedHere } from "../pool.ts";
import type { Session } from "../session.ts";
import { claimJobs } from "./claim-jobs.ts";
import { takeDemands } from "./demands.ts";
import { hasSessionForAnyVersion } from "./eligible-sessions.ts";
import type { DispatchState } from "./state.ts";
import { serveWaitingHandlers } from "./waiting-handlers.ts";

/**
 * Notes that jobs may be waiting in the queue.
 * @param isFromOther another server has announced it, so the other servers know
 */
export function noteJobs(state: DispatchState, queue: string, isFromOther: boolean): void {
  const { pool } = state;
  if (isServedHere(pool, queue)) {
    noteQueue(state, queue);
    pump(state);
  }
  // Another server may have a worker for the queue, or one with more room.
  if (!isFromOther && !hasSessionForAnyVersion(pool, queue)) pool.context.tellOthers({ jobs: queue });
}

/** Notes that jobs may be waiting in every queue that the session serves. */
export function noteSession(state: DispatchState, session: Session): void {
  for (const queue of session.serves.keys()) noteQueue(state, queue);
  pump(state);
}

function noteQueue({ backlog, notedSinceClaim, emptyVersions }: DispatchState, queue: string): void {
  backlog.add(queue);
  notedSinceClaim.add(queue);
  emptyVersions.delete(queue);
}

/** Claims jobs and serves waiting handlers in the background, for as long as there is credit for them. */
export function pump(state: DispatchState): void {
  const { context } = state.pool;
  state.isClaimDue = true;
  if (state.isClaiming || context.isStopping()) return;
  state.isClaiming = true;
  claimWhileDue(state).catch((error: unknown) => context.log.error({ err: error }, "claiming jobs failed"));
}

async function claimWhileDue(state: DispatchState): Promise<void> {
  const { isStopping } = state.pool.context;
  try {
    while (state.isClaimDue && !isStopping()) {
      await retryUntilDone(isStopping, async () => {
        state.isClaimDue = false;
        // Each attempt counts anew who has credit: workers come and go during a pause.
        const demands = takeDemands(state);
        const outcome = demands.length > 0 ? await claimJobs(state, demands) : "empty";
        if (outcome === "more") state.isClaimDue = true;
        serveWaitingHandlers(state);
        return outcome !== "failed";
      });
    }
  } finally {
    state.isClaiming = false;
  }
}
