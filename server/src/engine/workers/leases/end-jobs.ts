/** Ends jobs in their worker's place: because the worker is lost, or because the attempt has failed. */
import type { CallFailure } from "../../../core/call-failure.ts";
import type { AssignedJob } from "../assigned-job.ts";
import type { Session } from "../session.ts";
import { cancelJob, removeJob } from "./remove-job.ts";
import { leaseOfJob, type LeaseToEnd, outcomeUnknown, releaseLeases, settleWithFailure } from "./release.ts";
import type { LeaseState } from "./state.ts";

/**
 * Removes a job that its worker has not accepted, or whose worker is gone.
 * @returns the lease to end, if the job has one
 */
export function loseJob(state: LeaseState, session: Session, job: AssignedJob): LeaseToEnd | undefined {
  removeJob(state, session, job);
  const isAccepted = job.state !== "offered";
  if (job.handlerRun === undefined) return leaseOfJob(job, isAccepted);
  state.handlerRuns().finish(job.handlerRun, { type: isAccepted ? "lost" : "unserved" });
  return undefined;
}

/** Returns a job to its queue, from which another worker may get it. */
export function giveBackJob(state: LeaseState, session: Session, job: AssignedJob): void {
  const lease = loseJob(state, session, job);
  if (lease !== undefined) releaseLeases(state, [lease]);
}

/** Returns all jobs of a session whose worker is gone to their queues. */
export function loseJobsOf(state: LeaseState, session: Session): void {
  const leases: LeaseToEnd[] = [];
  for (const job of session.jobs.values()) {
    const lease = loseJob(state, session, job);
    if (lease !== undefined) leases.push(lease);
  }
  releaseLeases(state, leases);
}

/** Fails the attempt in the worker's place. */
export function failJob(state: LeaseState, session: Session, job: AssignedJob, failure: CallFailure): void {
  cancelJob(state, session, job);
  if (job.handlerRun !== undefined) {
    state.handlerRuns().finish(job.handlerRun, { type: "failed", failure, random: Math.random() });
    return;
  }
  const actual = job.state === "running" ? outcomeUnknown(failure.message) : failure;
  settleWithFailure(state, leaseOfJob(job, true), actual, job.isAtMostOnce);
}

/**
 * Fails the attempt of a worker that sends no heartbeats, unless the job's row shows that the job has left this server:
 * the worker may have moved, and send its heartbeats to another server.
 */
export async function failSilentJob(
  state: LeaseState,
  session: Session,
  job: AssignedJob,
  failure: CallFailure,
): Promise<void> {
  const { lease } = job;
  if (lease === undefined) {
    failJob(state, session, job, failure);
    return;
  }
  const { pool } = state;
  // No sweep comes here again meanwhile, and a heartbeat that arrives meanwhile is seen below.
  job.beatBy = Number.POSITIVE_INFINITY;
  try {
    const [head] = await pool.context.store.jobs.load([lease]);
    const hasBeaten = job.beatBy !== Number.POSITIVE_INFINITY;
    if (!pool.jobs.has(job.token) || hasBeaten) return;
    const isOwnLease = head?.leaseNo === lease.leaseNo && head.leaseServerId === state.serverId();
    if (isOwnLease) failJob(state, session, job, failure);
    else removeJob(state, session, job);
  } catch (error) {
    job.beatBy = pool.nowMs();
    throw error;
  }
}
