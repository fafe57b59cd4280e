/** Opens delayed jobs when they are due, and fails open jobs that have waited for a worker for too long. */
import { epochMicrosOf } from "../../core/duration.ts";
import { createDueTimer, type DueTimer } from "../due-timer.ts";
import type { Essentials } from "../essentials.ts";
import { queueText } from "./job-queue.ts";
import type { JobSettler } from "./settle-jobs.ts";

const CLAIM_MAX = 500;
const CLAIM_RETRY_MS = 10_000;

/** A timer to be armed with the times at which jobs are due. */
export function createJobTimers(
  { store, clock, log }: Essentials,
  parts: { settler: JobSettler; onOpen: (queue: string) => void },
): DueTimer {
  return createDueTimer({ clock, log }, "due jobs", async () => {
    const { queues, expired, nextJobTime } = await store.jobs.claimDue(CLAIM_MAX, CLAIM_RETRY_MS);
    for (const queue of queues) parts.onOpen(queueText(queue));
    for (const { tenantId, runId, idempotencyKey, attempt, leaseNo } of expired) {
      const failure = { code: "QUEUE_TIMEOUT", message: "No worker took the job in time.", nonRetryable: true };
      const end = { idempotencyKey, attempt, isAtMostOnce: false, outcome: { failure }, random: Math.random() };
      parts.settler.settle({ tenantId, runId }, { end, leaseNo, onlyOpen: true, onSettled: () => undefined });
    }
    const isDue = nextJobTime !== undefined && epochMicrosOf(nextJobTime) <= clock.nowMicros();
    return { nextTime: nextJobTime, isMore: isDue && queues.length + expired.length > 0 };
  });
}
