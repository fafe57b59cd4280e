/** Ends leases without a result: their jobs go back to their queues, or fail if they have lost too many workers. */
import type { CallFailure } from "../../../core/call-failure.ts";
import type { JobHead } from "../../../store/contract/jobs.ts";
import { reportFailure } from "../../report-failure.ts";
import { retryUntilDone } from "../../retry.ts";
import type { AssignedJob } from "../assigned-job.ts";
import { queueText } from "../job-queue.ts";
import type { LeaseState } from "./state.ts";

/** A lease that is to end without a result. */
export type LeaseToEnd = Pick<JobHead, "tenantId" | "runId" | "idempotencyKey" | "leaseNo" | "attempt"> & {
  /** By `queueText`. */
  queue: string;
  /** Whether the lease counts as lost by its job: it was accepted, and its worker is gone. */
  isLoss: boolean;
};

export function leaseToEnd(head: JobHead, isLoss: boolean): LeaseToEnd {
  return { ...head, queue: queueText(head), isLoss };
}

/** @param job a job with a lease */
export function leaseOfJob(job: AssignedJob, isLoss: boolean): LeaseToEnd {
  const { run, idempotencyKey, attempt, queue, lease } = job;
  return { ...run, idempotencyKey, leaseNo: lease!.leaseNo, attempt, queue, isLoss };
}

/** Ends leases in the background, for as long as it takes. */
export function releaseLeases(state: LeaseState, leases: readonly LeaseToEnd[]): void {
  if (leases.length === 0) return;
  releaseUntilDone(state, leases).catch(reportFailure(state.pool.context.log, "ending leases failed"));
}

async function releaseUntilDone(state: LeaseState, leases: readonly LeaseToEnd[]): Promise<void> {
  const { store, settings, log, isStopping } = state.pool.context;
  await retryUntilDone(isStopping, async () => {
    try {
      const outcomes = await store.jobs.release(leases, settings.leaseLossesMax, state.serverId());
      const openQueues = new Set<string>();
      for (const [index, lease] of leases.entries()) {
        if (outcomes[index] === "open") openQueues.add(lease.queue);
        else if (outcomes[index] === "exhausted") settleExhausted(state, lease);
        else if (outcomes[index] === "running") settleRunning(state, lease);
      }
      for (const queue of openQueues) state.onOpen(queue);
      return true;
    } catch (error) {
      reportFailure(log, "ending leases failed")(error);
      return false;
    }
  });
}

function settleExhausted(state: LeaseState, lease: LeaseToEnd): void {
  const message = `The job has lost its worker more than ${state.pool.context.settings.leaseLossesMax} times.`;
  settleWithFailure(state, lease, { code: "WORKER_LOST", message, nonRetryable: true }, false);
}

function settleRunning(state: LeaseState, lease: LeaseToEnd): void {
  settleWithFailure(state, lease, outcomeUnknown("The worker is gone."), true);
}

/** Settles the job in its worker's place. */
export function settleWithFailure(
  state: LeaseState,
  { tenantId, runId, idempotencyKey, attempt, leaseNo }: LeaseToEnd,
  failure: CallFailure,
  isAtMostOnce: boolean,
): void {
  const end = { idempotencyKey, attempt, isAtMostOnce, outcome: { failure }, random: Math.random() };
  state.settler.settle({ tenantId, runId }, { end, leaseNo, onSettled: () => undefined });
}

/** The failure of an attempt that may have done its work, and must not be repeated on its own. */
export function outcomeUnknown(why: string): CallFailure {
  const message = `${why} The work is delivered at most once and may have been done.`;
  return { code: "OUTCOME_UNKNOWN", message, nonRetryable: true };
}
