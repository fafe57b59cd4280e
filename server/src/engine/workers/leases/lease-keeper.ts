/**
 * The jobs that workers of this server have, from offer to end. A job must be accepted in time and may not take longer
 * than its timeout; it is stopped when its run does not need it any more, and goes to another worker when its worker is
 * lost.
 *
 *   offered ──accept──> accepted ──start, if delivered at most once──> running
 *
 * Each of the three states ends with the job's result (jobs.ts), when the run moves on (run-news.ts), at a deadline
 * (deadlines.ts), when the worker is gone (end-jobs.ts), or when the lease has ended elsewhere (start-jobs.ts,
 * reconcile.ts).
 *
 * The database says who has a lease. A crash loses what is here (deadlines, and which jobs were accepted); the leases
 * then end like those of any server that is gone.
 */
import type { CallFailure } from "../../../core/call-failure.ts";
import type { AssignedJob } from "../assigned-job.ts";
import type { WorkerPool } from "../pool.ts";
import type { Session } from "../session.ts";
import { sweepDeadlines } from "./deadlines.ts";
import { giveBackJob, loseJobsOf } from "./end-jobs.ts";
import { acceptJobs, assignJob, type NewAssignedJob, noteHeartbeats, takeJob } from "./jobs.ts";
import { reconcileLeases } from "./reconcile.ts";
import { type LeaseToEnd, releaseLeases, settleWithFailure } from "./release.ts";
import { cancelJob } from "./remove-job.ts";
import { readRunsOf } from "./run-news.ts";
import { createLeaseState, type LeaseParts } from "./state.ts";

export type LeaseKeeper = {
  /** Notes that a session is being offered a job; its credit was taken before. */
  assign(session: Session, job: NewAssignedJob): AssignedJob;
  /** Returns a job that could not be offered, or never arrived, to its queue. */
  giveBack(session: Session, job: AssignedJob): void;
  accept(session: Session, tokens: readonly string[]): void;
  heartbeat(session: Session, tokens: readonly string[]): void;
  /**
   * Reads the runs of all jobs of a session that is connected again: its worker learns which are paused or not needed.
   */
  readRunsOf(session: Session): void;
  /** The result of a job has arrived: nothing else happens to the job here. */
  take(token: string): AssignedJob | undefined;
  /** Ends leases in the background, for as long as it takes. */
  release(leases: readonly LeaseToEnd[]): void;
  /** Fails the job of a lease in its worker's place: it was never offered. */
  fail(lease: LeaseToEnd, failure: CallFailure): void;
  /** Ends all leases of a session whose worker is gone. */
  loseAll(session: Session): void;
  /** Stops a handler whose run has moved on. */
  cancelHandler(token: string): void;
  /** Ends every job that has missed a deadline. */
  sweep(): void;
  /**
   * Stops jobs whose leases have ended unheard, because news from another server was lost. Reads one row for each job.
   */
  reconcile(): Promise<void>;
};

export function createLeaseKeeper(pool: WorkerPool, parts: LeaseParts): LeaseKeeper {
  const state = createLeaseState(pool, parts);
  return {
    assign: (session, job) => assignJob(state, session, job),
    giveBack: (session, job) => giveBackJob(state, session, job),
    accept: (session, tokens) => acceptJobs(state, session, tokens),
    heartbeat: (session, tokens) => noteHeartbeats(state, session, tokens),
    readRunsOf: (session) => readRunsOf(state, session),
    take: (token) => takeJob(state, token),
    release: (leases) => releaseLeases(state, leases),
    fail: (lease, failure) => settleWithFailure(state, lease, failure, false),
    loseAll: (session) => loseJobsOf(state, session),
    cancelHandler(token) {
      const entry = pool.jobs.get(token);
      if (entry !== undefined) cancelJob(state, entry.session, entry.job);
    },
    sweep: () => sweepDeadlines(state),
    reconcile: () => reconcileLeases(state),
  };
}
