/**
 * The worker side of the engine: sessions, dispatch, leases, handlers, and what a crash of a server or a worker leaves
 * undone. The database is authoritative about which worker has which job under which lease. Everything here can be lost
 * at any moment.
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

/** If a sweep is later than this many intervals, the process was suspended; that time is charged to no worker. */
const STALLED_INTERVALS = 4;
const SWEEPS_PER_ACCEPT = 20;

export type Workers = {
  connect(caller: Caller, hello: WorkerHello, link: WorkerLink): Promise<WorkerConnection>;
  /** Looks for a worker for a handler. */
  dispatchHandler(handlerRun: HandlerRun): void;
  /** The handler's outcome is not needed any more. */
  dropHandler(handlerRun: HandlerRun): void;
  /** Leases and offers the jobs that transitions create, and reports to handlers what became of their outcomes. */
  readonly reaction: Reaction;
  /** Another server has announced that a job waits in this queue. */
  hearJobs(queue: string): void;
  /** Why a run does not go on, if that is because of its jobs. */
  blockedReason(run: RunState): BlockedReason | undefined;
  /** Why a job of the run has no result yet, as far as this server knows. */
  jobReason(run: RunState, job: JobStanding): JobReason;
  /** The session of this server's worker that has the run's handler, if the handler has no job row. */
  handlerWorker(run: RunKey): string | undefined;
  onSurroundings(surroundings: Surroundings): void;
  /** This server has a new lease: its workers' jobs continue under it. */
  onNewLease(): void;
  /** Jobs may wait in any queue: an announcement may have been missed. */
  recheckQueues(): void;
  /** Finds what a lost notice or reply left undone. */
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
        // Not when the stream is seen to end: a stream to a peer that reads nothing ends late.
        leaveSession(parts, session, settings.reconnectMs);
        link.end(
          new DomainError("WORKER_SILENT", `The worker sent nothing for ${settings.silenceMs} ms; connect again.`),
        );
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
    reaction: createJobReaction({ dispatcher, handlerRuns, timers, clock: context.clock }),
    hearJobs: (queue) => dispatcher.noteJobs(queue, true),
    blockedReason: (run) => blockedReasonOf(pool, elsewhere, run),
    jobReason: (run, job) => jobReasonOf({ pool, elsewhere, serverId: serverId() }, run, job),
    handlerWorker: (run) => findHandlerWorker(pool, run),
    onSurroundings(surroundings) {
      timers.adjust(surroundings.nextJobTime);
      const what = "reading leases and workers of other servers failed";
      if (surroundings.hasOrphanedLeases) orphans.check().catch(reportFailure(context.log, what));
      else orphans.clear();
      if (surroundings.others.length > 0) elsewhere.read().catch(reportFailure(context.log, what));
      else elsewhere.clear();
    },
    onNewLease() {
      for (const session of pool.sessions.values()) {
        if (session.link === undefined) continue;
        // The worker connects again: it is then registered, and its leases are adopted, as on its first connection.
        session.link.end(new DomainError("SHUTTING_DOWN", "The server has a new lease; connect again."));
      }
    },
    recheckQueues,
    async sweepStrays() {
      recheckQueues();
      // Without other servers, this server hears of everything in its own process.
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
