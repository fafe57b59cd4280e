/**
 * Decides which worker gets which job. A new job is leased in the transaction that creates it, if a worker with credit
 * is connected and nothing waits in the job's queue; all other jobs are claimed from their queues in batches. A job is
 * offered after the commit of its lease.
 *
 *   new jobs of a transition ─── direct-leases ─────────────────────┐
 *   jobs in their queues ─────── backlog, demands, claim-jobs ──────┼──> offers
 *   handlers without a row ───── dispatch-handler, waiting-handlers ┘
 */
import type { JobDraft } from "../../../core/job.ts";
import type { RunState } from "../../../core/run.ts";
import type { Reservation } from "../../reactions.ts";
import type { HandlerRun, HandlerRuns } from "../handler-runs.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { WorkerPool } from "../pool.ts";
import type { Session } from "../session.ts";
import { noteJobs, noteSession, pump } from "./backlog.ts";
import { reserveJobs } from "./direct-leases.ts";
import { dispatchHandler } from "./dispatch-handler.ts";
import { createDispatchState } from "./state.ts";
import { forgetHandler } from "./waiting-handlers.ts";

export type Dispatcher = {
  /** Leases the jobs of a transition to workers before it is committed, as far as workers have credit. */
  reserve(jobs: readonly JobDraft[], run: RunState): Reservation;
  /** Jobs may be waiting in this queue. `isHeard`: another server has announced it. */
  noteJobs(queue: string, isHeard?: boolean): void;
  /** A session has new credit. */
  pump(): void;
  /** Jobs may be waiting in every queue that the session serves. */
  noteSession(session: Session): void;
  /** Finds a worker for a handler. */
  dispatchHandler(handlerRun: HandlerRun): void;
  /** The handler's outcome is of no use any more. */
  forgetHandler(handlerRun: HandlerRun): void;
};

export function createDispatcher(
  pool: WorkerPool,
  parts: { leases: LeaseKeeper; handlerRuns: HandlerRuns; serverId: () => string },
): Dispatcher {
  const state = createDispatchState({ pool, ...parts });
  return {
    reserve: (jobs, run) => reserveJobs(state, jobs, run),
    noteJobs: (queue, isHeard = false) => noteJobs(state, queue, isHeard),
    pump: () => pump(state),
    noteSession: (session) => noteSession(state, session),
    dispatchHandler: (handlerRun) => dispatchHandler(state, handlerRun),
    forgetHandler: (handlerRun) => forgetHandler(state, handlerRun),
  };
}
