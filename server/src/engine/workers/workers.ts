/**
 * The worker side of the engine: sessions, dispatch, leases, handlers, and what a crash of a server or a worker leaves of them.
 * Authoritative is the database (who holds which job under which lease); everything here can be lost at any moment.
 */
import type { HandlerRequest, JobDraft } from "../../core/decision.ts";
import { epochMicrosOf, type Instant } from "../../core/duration.ts";
import { DomainError } from "../../core/errors.ts";
import type { RunState } from "../../core/run.ts";
import type { OrphanedLeases, RunKey, StoredRun, Surroundings } from "../../store/contract.ts";
import type { BlockedReason, Caller, WorkerConnection, WorkerHello, WorkerLink } from "../api.ts";
import type { EngineContext } from "../context.ts";
import { reportFailure } from "../report-failure.ts";
import { adoptLeases } from "./connection/adopt-leases.ts";
import { connectWorker } from "./connection/connect-worker.ts";
import type { WorkerParts } from "./connection/parts.ts";
import { endSession, leaveSession } from "./connection/session-life.ts";
import type { Reservation } from "./dispatch/direct-leases.ts";
import { createDispatcher } from "./dispatch/dispatcher.ts";
import { createHandlerRuns, type HandlerRun } from "./handler-runs.ts";
import { queueText } from "./job-queue.ts";
import { createJobTimers } from "./job-timers.ts";
import { createLeaseKeeper } from "./leases/lease-keeper.ts";
import { leaseToEnd } from "./leases/release.ts";
import { isServedHere, sessionText, type WorkerPool } from "./pool.ts";
import { CREDIT_MAX, servedQueues, servesVersion, type ServedQueue } from "./session.ts";
import { createJobSettler } from "./settle-jobs.ts";

const ORPHANS_MAX = 1_000;
/** The part of the time that workers have to come back in which this server itself must have been there: a quarter. */
const OBSERVED_SHARE = 4;
/** How often the workers of other servers are read: what they serve only shows why a run does not move. */
const ELSEWHERE_MS = 5_000;
/** Workers of other servers that are known here, to tell a job without a worker from one that waits for its turn. */
const ELSEWHERE_MAX = 1_000;
/** A sweep that comes later than this many intervals: the process stood still, which counts for nobody. */
const STALLED_INTERVALS = 4;
const SWEEPS_PER_ACCEPT = 20;

export type Workers = {
  connect(caller: Caller, hello: WorkerHello, link: WorkerLink): Promise<WorkerConnection>;
  /** Leases the jobs of a transition to workers, as far as there are any, before it is committed. */
  reserve(jobs: readonly JobDraft[], run: RunState): Reservation;
  /** Has the handler of a run's step run; `run` is absent while more of the run is uncommitted. */
  runHandler(request: HandlerRequest, run?: StoredRun): HandlerRun;
  /** The run as it was when its handler was asked for, if one is under way. */
  rememberedRun(key: RunKey): StoredRun | undefined;
  /** The handler that was asked for with just this run, if there is an outcome. */
  finishedHandler(run: StoredRun): HandlerRun | undefined;
  forgetRun(key: RunKey): void;
  /** Handlers of a run for steps behind `afterSeq` are of no use: the steps before them were not committed, or not here. */
  abandonHandlers(key: RunKey, afterSeq: number): void;
  /** What a handler gave is committed. */
  handlerTaken(handlerRun: HandlerRun): void;
  runMoved(key: RunKey, run: StoredRun): void;
  /** Notes that a job is due at a time. */
  armTimer(dueTime: Instant): void;
  /** The jobs of a run that was paused are back in their queues. */
  noteCalls(run: RunState): void;
  /** Another server says that something waits in this queue. */
  hearJobs(queue: string): void;
  /** Why a run does not move, if its jobs are why. */
  blockedReason(run: RunState): BlockedReason | undefined;
  onSurroundings(surroundings: Surroundings): void;
  /** This server has a new lease: what its workers hold goes on under it. */
  onNewLease(): void;
  /** Something may wait in any queue: word of it may have been missed. */
  lookAgain(): void;
  /** Looks for what a lost notice or reply has left behind. */
  sweepStrays(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
};

export function createWorkers(context: EngineContext, serverId: () => string): Workers {
  const { settings, store } = context;
  const sweepMs = Math.max(1, Math.ceil(settings.acceptMs / SWEEPS_PER_ACCEPT));
  let workedMs = 0;
  let sweptAt = performance.now();
  let sweepTimer: NodeJS.Timeout | undefined;
  let elsewhere: Map<string, ServedQueue[]> = new Map();
  let isLookingElsewhere = false;
  let lookedElsewhereAt = Number.NEGATIVE_INFINITY;
  const orphans = new Map<string, { quietMs: number; seenAt: number }>();

  const pool: WorkerPool = {
    context,
    sessions: new Map(),
    jobs: new Map(),
    settling: new Set(),
    listChanges: new Map(),
    isDoubtful: false,
    nowMs: () => workedMs + Math.min(performance.now() - sweptAt, sweepMs * STALLED_INTERVALS),
  };
  const settler = createJobSettler(context);
  const leases = createLeaseKeeper(pool, {
    settler,
    handlerRuns: () => handlerRuns,
    serverId,
    onOpen: (queue) => dispatcher.noteJobs(queue),
    onRoom: () => dispatcher.pump(),
  });
  const handlerRuns = createHandlerRuns({
    onBegin: (handlerRun) => dispatcher.dispatchHandler(handlerRun),
    onDone: (key) => context.advance(key),
    onDropped(handlerRun) {
      dispatcher.forgetHandler(handlerRun);
      if (handlerRun.token !== undefined) leases.cancelHandler(handlerRun.token);
    },
  });
  const dispatcher = createDispatcher(pool, { leases, handlerRuns, serverId });
  const timers = createJobTimers(context, { settler, onOpen: (queue) => dispatcher.noteJobs(queue) });
  const parts: WorkerParts = { pool, leases, dispatcher, handlerRuns, settler, serverId };

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

  function lookAgain(): void {
    for (const session of pool.sessions.values()) if (session.link !== undefined) dispatcher.noteSession(session);
  }

  async function lookElsewhere(): Promise<void> {
    if (isLookingElsewhere || performance.now() - lookedElsewhereAt < ELSEWHERE_MS) return;
    lookedElsewhereAt = performance.now();
    isLookingElsewhere = true;
    try {
      const found = new Map<string, ServedQueue[]>();
      for (const worker of await store.listWorkersElsewhere(serverId(), ELSEWHERE_MAX)) {
        const tools = worker.toolNames.map((name) => ({ name, concurrency: 0 }));
        for (const [queue, served] of servedQueues(worker.tenantId, { ...worker, tools })) {
          found.set(queue, [...(found.get(queue) ?? []), served]);
        }
      }
      elsewhere = found;
    } finally {
      isLookingElsewhere = false;
    }
  }

  /** Leases of servers that are gone: their workers have a while to come to another server, then the jobs go to others. */
  async function lookAfterOrphans(): Promise<void> {
    const found = await store.listOrphanedLeases(ORPHANS_MAX);
    const seen = new Set<string>();
    for (const orphan of found) {
      const text = `${sessionText(orphan.tenantId, orphan.workerSessionId)}/${orphan.serverId}`;
      seen.add(text);
      await lookAfterOrphan(orphan, text);
    }
    for (const text of orphans.keys()) if (!seen.has(text)) orphans.delete(text);
  }

  async function lookAfterOrphan(orphan: OrphanedLeases, text: string): Promise<void> {
    const { tenantId, workerSessionId } = orphan;
    const session = pool.sessions.get(sessionText(tenantId, workerSessionId));
    if (session?.link !== undefined) {
      await adoptLeases(parts, session, undefined);
      return;
    }
    const nowMs = pool.nowMs();
    const known = orphans.get(text);
    // Time between two looks further apart than usual, as while the database is away, does not count.
    const elapsedMs = known === undefined ? 0 : Math.min(nowMs - known.seenAt, settings.lookAroundMs * 3);
    const quietMs = (known?.quietMs ?? 0) + elapsedMs;
    orphans.set(text, { quietMs, seenAt: nowMs });
    // Since the lease ended, and while this server was there to be connected to: servers that come and go count together.
    if (orphan.goneMs < settings.orphanMs || quietMs < settings.orphanMs / OBSERVED_SHARE) return;
    const request = { tenantId, workerSessionId, serverId: serverId(), fromServerId: orphan.serverId };
    const heads = await store.adoptJobs({ ...request, limit: CREDIT_MAX });
    leases.release(heads.map((head) => leaseToEnd(head, true)));
    orphans.delete(text);
  }

  return {
    connect: (caller, hello, link) => connectWorker(parts, caller, hello, link),
    reserve: dispatcher.reserve,
    runHandler: handlerRuns.begin,
    rememberedRun: handlerRuns.rememberedRun,
    finishedHandler: handlerRuns.finishedFor,
    forgetRun: handlerRuns.forgetRun,
    abandonHandlers: handlerRuns.abandon,
    handlerTaken: handlerRuns.taken,
    runMoved: handlerRuns.runMoved,
    armTimer: timers.arm,
    noteCalls({ tenantId, calls }) {
      const queues = new Set<string>();
      for (const { kind, name, outcome, retry_time: retryTime } of calls) {
        if (outcome === undefined) queues.add(queueText({ tenantId, kind, name }));
        if (outcome === undefined && retryTime !== undefined) timers.arm(retryTime);
      }
      for (const queue of queues) dispatcher.noteJobs(queue);
    },
    hearJobs: (queue) => dispatcher.noteJobs(queue, true),
    blockedReason(run) {
      if (run.status !== "running") return undefined;
      const open = run.calls.filter(({ outcome }) => outcome === undefined);
      if (open.length === 0) return undefined;
      const isServed = (call: (typeof open)[number]): boolean => {
        const queue = queueText({ tenantId: run.tenantId, kind: call.kind, name: call.name });
        if (isServedHere(pool, queue, run.version)) return true;
        return (elsewhere.get(queue) ?? []).some((served) => servesVersion(served, run.version));
      };
      if (!open.every(isServed)) return "no_worker";
      const now = context.clock.nowMicros();
      return open.every((call) => call.retry_time !== undefined && epochMicrosOf(call.retry_time) > now)
        ? "retry_at"
        : undefined;
    },
    onSurroundings(surroundings) {
      if (surroundings.nextJobTime !== undefined) timers.arm(surroundings.nextJobTime);
      const what = "looking after leases and workers of other servers failed";
      if (surroundings.hasOrphanedLeases) lookAfterOrphans().catch(reportFailure(context.log, what));
      else orphans.clear();
      if (surroundings.others.length > 0) lookElsewhere().catch(reportFailure(context.log, what));
      else elsewhere = new Map();
    },
    onNewLease() {
      for (const session of pool.sessions.values()) {
        if (session.link === undefined) continue;
        // Its worker is registered, and its leases are taken over, as if it had come just now.
        session.link.end(new DomainError("SHUTTING_DOWN", "The server has a new lease; connect again."));
      }
    },
    lookAgain,
    async sweepStrays() {
      lookAgain();
      // Alone, this server hears of everything in its own process.
      if (context.hasOthers()) await leases.reconcile();
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
