/**
 * The worker side of the engine: sessions, dispatch, leases, handlers, and what a crash of a server or a worker leaves
 * of them. Authoritative is the database (who holds which job under which lease); everything here can be lost at any
 * moment.
 */
import { DomainError } from "../../core/errors.ts";
import type { RunState } from "../../core/run.ts";
import type { Surroundings } from "../../store/contract/lanes.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { JobStanding } from "../../store/contract/standings.ts";
import type { BlockedReason, Caller, JobReason, WorkerConnection, WorkerHello, WorkerLink } from "../api.ts";
import { actorOf } from "../caller.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import type { Reaction } from "../reactions.ts";
import { reportFailure } from "../report-failure.ts";
import type { TransitionParts } from "../transition/perform.ts";
import { blockedReasonOf } from "./blocked-reason.ts";
import { adoptLeases } from "./connection/adopt-leases.ts";
import { connectWorker } from "./connection/connect-worker.ts";
import type { WorkerParts } from "./connection/parts.ts";
import { endSession, leaveSession } from "./connection/session-life.ts";
import { createDispatcher } from "./dispatch/dispatcher.ts";
import { createWorkersElsewhere } from "./elsewhere.ts";
import type { HandlerRun, HandlerRuns } from "./handler-runs.ts";
import { jobReasonOf } from "./job-reason.ts";
import { createJobReaction } from "./job-reaction.ts";
import { createJobTimers } from "./job-timers.ts";
import { createLeaseKeeper } from "./leases/lease-keeper.ts";
import { createOrphanKeeper } from "./orphaned-leases.ts";
import { findHandlerWorker, type WorkerContext, type WorkerPool } from "./pool.ts";
import { createJobSettler } from "./settle-jobs.ts";

/** A sweep that comes later than this many intervals: the process stood still, which counts for nobody. */
const STALLED_INTERVALS = 4;
const SWEEPS_PER_ACCEPT = 20;

export type Workers = {
  connect(caller: Caller, hello: WorkerHello, link: WorkerLink): Promise<WorkerConnection>;
  /** Looks for a worker for a handler. */
  dispatchHandler(handlerRun: HandlerRun): void;
  /** Nobody wants the handler's outcome any more. */
  dropHandler(handlerRun: HandlerRun): void;
  /** Leases and offers the jobs that transitions make, and tells handlers what became of their outcomes. */
  readonly reaction: Reaction;
  /** Another server says that something waits in this queue. */
  hearJobs(queue: string): void;
  /** Why a run does not move, if its jobs are why. */
  blockedReason(run: RunState): BlockedReason | undefined;
  /** Why a job of the run has no result yet, as far as this server knows. */
  jobReason(run: RunState, job: JobStanding): JobReason;
  /** The session of the worker of this server that has the run's handler, which has no job row. */
  handlerWorker(run: RunKey): string | undefined;
  onSurroundings(surroundings: Surroundings): void;
  /** This server has a new lease: what its workers have goes on under it. */
  onNewLease(): void;
  /** Something may wait in any queue: word of it may have been missed. */
  recheckQueues(): void;
  /** Finds what a lost notice or reply has left undone. */
  sweepStrays(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
};

export function createWorkers(options: {
  context: WorkerContext;
  transitions: TransitionParts;
  lanes: Pick<Lanes, "hasOthers">;
  handlerRuns: HandlerRuns;
  serverId: () => string;
}): Workers {
  const { context, transitions, lanes, handlerRuns, serverId } = options;
  const { settings, store, isStopping } = context;
  const sweepMs = Math.max(1, Math.ceil(settings.acceptMs / SWEEPS_PER_ACCEPT));
  let workedMs = 0;
  let sweptAt = performance.now();
  let sweepTimer: NodeJS.Timeout | undefined;
  const pool: WorkerPool = {
    context,
    sessions: new Map(),
    jobs: new Map(),
    settling: new Set(),
    listChanges: new Map(),
    isDoubtful: false,
    nowMs: () => workedMs + Math.min(performance.now() - sweptAt, sweepMs * STALLED_INTERVALS),
  };
  const settler = createJobSettler({ transitions, jobs: store.jobs, isStopping });
  const leases = createLeaseKeeper(pool, {
    settler,
    handlerRuns: () => handlerRuns,
    serverId,
    onOpen: (queue) => dispatcher.noteJobs(queue),
    onRoom: () => dispatcher.pump(),
  });
  const dispatcher = createDispatcher(pool, { leases, handlerRuns, serverId });
  const timers = createJobTimers(context, { settler, onOpen: (queue) => dispatcher.noteJobs(queue) });
  const parts: WorkerParts = { pool, leases, dispatcher, handlerRuns, settler, serverId };
  const orphans = createOrphanKeeper(parts);
  const elsewhere = createWorkersElsewhere(store.workers, serverId);

  function sweep(): void {
    const now = performance.now();
    workedMs += Math.min(now - sweptAt, sweepMs * STALLED_INTERVALS);
    sweptAt = now;
    leases.sweep();
    const nowMs = pool.nowMs();
    for (const session of pool.sessions.values()) {
      if (session.link === undefined) {
        if (nowMs >= session.lostAt) endSession(parts, session);
      } else if (nowMs - session.heardAt >= settings.silenceMs) {
        const { link } = session;
        // Not when the stream is seen to end: what is written to a peer that takes nothing ends late.
        leaveSession(parts, session, settings.reconnectMs);
        link.end(new DomainError("WORKER_SILENT", `The worker said nothing for ${settings.silenceMs} ms.`));
      } else if (nowMs - session.pingedAt >= settings.pingMs) {
        session.pingedAt = nowMs;
        session.pingNo += 1;
        session.link.send({ type: "ping", number: session.pingNo });
      }
    }
  }

  function recheckQueues(): void {
    for (const session of pool.sessions.values()) if (session.link !== undefined) dispatcher.noteSession(session);
  }

  return {
    connect: (caller, hello, link) => connectWorker(parts, caller, { ...hello, ...actorOf(caller) }, link),
    dispatchHandler: dispatcher.dispatchHandler,
    dropHandler(handlerRun) {
      dispatcher.forgetHandler(handlerRun);
      if (handlerRun.token !== undefined) leases.cancelHandler(handlerRun.token);
    },
    reaction: createJobReaction({ dispatcher, handlerRuns, timers }),
    hearJobs: (queue) => dispatcher.noteJobs(queue, true),
    blockedReason: (run) => blockedReasonOf(pool, elsewhere, run),
    jobReason: (run, job) => jobReasonOf({ pool, elsewhere, serverId: serverId() }, run, job),
    handlerWorker: (run) => findHandlerWorker(pool, run),
    onSurroundings(surroundings) {
      if (surroundings.nextJobTime !== undefined) timers.arm(surroundings.nextJobTime);
      const what = "reading leases and workers of other servers failed";
      if (surroundings.hasOrphanedLeases) orphans.check().catch(reportFailure(context.log, what));
      else orphans.clear();
      if (surroundings.others.length > 0) elsewhere.read().catch(reportFailure(context.log, what));
      else elsewhere.clear();
    },
    onNewLease() {
      for (const session of pool.sessions.values()) {
        if (session.link === undefined) continue;
        // Its worker is registered, and its leases are taken over, as if it had come just now.
        session.link.end(new DomainError("SHUTTING_DOWN", "The server has a new lease; connect again."));
      }
    },
    recheckQueues,
    async sweepStrays() {
      recheckQueues();
      // Alone, this server hears of everything in its own process.
      if (lanes.hasOthers()) await leases.reconcile();
      if (!pool.isDoubtful) return;
      pool.isDoubtful = false;
      for (const session of pool.sessions.values()) {
        if (session.link !== undefined) await adoptLeases(parts, session, undefined);
      }
    },
    start() {
      sweptAt = performance.now();
      sweepTimer = setInterval(sweep, sweepMs);
    },
    async stop() {
      clearInterval(sweepTimer);
      await timers.stop();
    },
  };
}
