/**
 * The jobs that workers of this server have, from their offer to their end: accepted in time, at work no longer than they may,
 * stopped when their run does not want them any more, and given to others when their worker is lost.
 *
 * The database says who holds a lease; what is here (deadlines, what was accepted) may be lost, and then the lease ends as that of
 * a server which is gone.
 */
import type { CallFailure } from "../../core/call-failure.ts";
import { type RunState, callsOf } from "../../core/run.ts";
import type { JobHead } from "../../store/contract/jobs.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { ServerFrame } from "../api.ts";
import { pause } from "../pause.ts";
import { reportFailure } from "../report-failure.ts";
import { runKeyText } from "../run-table.ts";
import type { HandlerRuns } from "./handler-runs.ts";
import { queueText } from "./job-queue.ts";
import type { WorkerPool } from "./pool.ts";
import { type HeldJob, leaveQueue, type Session } from "./session.ts";
import type { JobSettler } from "./settle-jobs.ts";

const RETRY_PAUSE_MS = 500;
/** Leases looked at in one statement. */
const RECONCILE_MAX = 500;

/** A lease that is to end without a result. */
export type LeaseToEnd = Pick<JobHead, "tenantId" | "runId" | "idempotencyKey" | "leaseNo" | "attempt"> & {
  queue: string;
  /** Whether the job counts it: it was accepted, and its worker is gone. */
  isLoss: boolean;
};

export type LeaseKeeper = {
  /** Notes that a session is being offered a job; its credit was taken before. */
  hold(session: Session, job: NewHeldJob): HeldJob;
  /** Takes back a job that could not be offered. */
  giveBack(session: Session, job: HeldJob): void;
  accept(session: Session, tokens: readonly string[]): void;
  heartbeat(session: Session, tokens: readonly string[]): void;
  /** Looks at the runs of all that a session has: it has come back, and is told anew whether they are paused or gone. */
  lookAtAll(session: Session): void;
  /** A run whose jobs are here, as this server last committed it; undefined where it did not, or another server said that it did. */
  runOf(key: RunKey): StoredRun | undefined;
  /** The result of a job has come: nothing else happens to it here. */
  take(token: string): HeldJob | undefined;
  /** Ends leases in the background, for as long as it takes. */
  release(leases: readonly LeaseToEnd[]): void;
  /** Ends all leases of a session whose worker is gone. */
  loseAll(session: Session): void;
  /** Stops a handler whose run has gone another way. */
  cancelHandler(token: string): void;
  /** Looks at every deadline. */
  sweep(): void;
  /** Finds leases that have ended unheard, because word of another server was lost. Reads a row for each, without payloads. */
  reconcile(): Promise<void>;
};

export type NewHeldJob = Omit<HeldJob, "state" | "acceptBy" | "endBy" | "beatBy" | "isSettling" | "isPaused"> &
  Partial<Pick<HeldJob, "state">> & {
    /** How long ago a job that was accepted elsewhere was leased. */
    elapsedMs?: number;
  };

export function createLeaseKeeper(
  pool: WorkerPool,
  parts: {
    settler: JobSettler;
    handlerRuns: () => HandlerRuns;
    serverId: () => string;
    /** Jobs are in this queue again. */
    onOpen: (queue: string) => void;
    /** A worker that has as many jobs of a queue as it may have at once has one less. */
    onRoom: () => void;
  },
): LeaseKeeper {
  const { context, held } = pool;
  const { settler, onOpen, onRoom } = parts;
  const { acceptMs } = context.settings;
  /** News of the runs whose jobs are here. */
  const watches = new Map<string, { tokens: Set<string>; unwatch: () => void; run?: StoredRun }>();

  function watch(job: HeldJob): void {
    const text = runKeyText(job.run);
    const known = watches.get(text);
    if (known !== undefined) {
      known.tokens.add(job.token);
      return;
    }
    // Word of another server may be lost; `reconcile` finds what it was about.
    const unwatch = context.hub.watchNamedRun(job.run, (news) => {
      const entry = watches.get(text);
      if (news !== undefined) {
        if (entry !== undefined) entry.run = news;
        lookAt(text, news.state);
        return;
      }
      delete entry?.run;
      reload(text, job.run).catch(reportFailure(context.log, "looking at a run failed"));
    });
    watches.set(text, { tokens: new Set([job.token]), unwatch });
  }

  function unwatch(job: HeldJob): void {
    const text = runKeyText(job.run);
    const known = watches.get(text);
    if (known === undefined) return;
    known.tokens.delete(job.token);
    if (known.tokens.size > 0) return;
    known.unwatch();
    watches.delete(text);
  }

  async function reload(text: string, key: RunKey): Promise<void> {
    const run = await context.loadRunHead(key);
    lookAt(text, run?.state);
  }

  /** Stops the jobs that their run does not want any more, and tells the others whether it is paused. */
  function lookAt(text: string, run: RunState | undefined): void {
    const attempts = new Map(
      (run === undefined ? [] : callsOf(run)).flatMap((call) =>
        call.outcome === undefined ? [[call.idempotency_key, call.attempt ?? 1] as const] : [],
      ),
    );
    for (const token of watches.get(text)?.tokens ?? []) {
      const entry = held.get(token);
      if (entry === undefined || entry.job.isSettling) continue;
      const { session, job } = entry;
      if (attempts.get(job.idempotencyKey) !== job.attempt) {
        remove(session, job);
        session.link?.send({ type: "cancel", tokens: [token] });
      } else if (run!.paused !== job.isPaused) {
        job.isPaused = run!.paused;
        session.link?.send({ type: "pause", tokens: [token], paused: job.isPaused });
      }
    }
  }

  let isRoomTold = false;

  function remove(session: Session, job: HeldJob): void {
    held.delete(job.token);
    session.held.delete(job.token);
    leaveQueue(session, job.queue);
    if (job.handlerRun === undefined) unwatch(job);
    // Its worker need not grant anything for the next one to be given to it; told once for all of a frame.
    if (isRoomTold || session.serves.get(job.queue)?.concurrency === undefined) return;
    isRoomTold = true;
    queueMicrotask(() => {
      isRoomTold = false;
      onRoom();
    });
  }

  function toEnd(job: HeldJob, isLoss: boolean): LeaseToEnd {
    const { run, idempotencyKey, attempt, queue, lease } = job;
    return { ...run, idempotencyKey, leaseNo: lease!.leaseNo, attempt, queue, isLoss };
  }

  /** Ends a lease whose worker did nothing wrong, or is gone. */
  function lose(session: Session, job: HeldJob): LeaseToEnd[] {
    remove(session, job);
    const isBegun = job.state !== "offered";
    if (job.handlerRun === undefined) return [toEnd(job, isBegun)];
    parts.handlerRuns().finish(job.handlerRun, { type: isBegun ? "lost" : "unserved" });
    return [];
  }

  /** Fails the attempt in the worker's place. */
  function fail(session: Session, job: HeldJob, failure: CallFailure): void {
    remove(session, job);
    session.link?.send({ type: "cancel", tokens: [job.token] });
    if (job.handlerRun !== undefined) {
      parts.handlerRuns().finish(job.handlerRun, { type: "failed", failure, random: Math.random() });
      return;
    }
    const outcome = { failure: job.state === "running" ? outcomeUnknown(failure.message) : failure };
    settleInPlace(toEnd(job, true), outcome, job.isAtMostOnce);
  }

  /** Fails the attempt of a worker that says nothing of it, unless it may say so at another server, to which it has moved unseen. */
  async function failSilent(session: Session, job: HeldJob, failure: CallFailure): Promise<void> {
    if (job.lease === undefined) {
      fail(session, job, failure);
      return;
    }
    job.beatBy = Number.POSITIVE_INFINITY;
    try {
      const [head] = await context.store.jobs.load([job.lease]);
      const isHeardOf = job.beatBy !== Number.POSITIVE_INFINITY;
      if (!held.has(job.token) || isHeardOf) return;
      if (head?.leaseNo === job.lease.leaseNo && head.leaseServerId === parts.serverId()) fail(session, job, failure);
      else remove(session, job);
    } catch (error) {
      job.beatBy = pool.nowMs();
      throw error;
    }
  }

  function settleInPlace(lease: LeaseToEnd, outcome: { failure: CallFailure }, isAtMostOnce: boolean): void {
    const { tenantId, runId, idempotencyKey, attempt, leaseNo } = lease;
    const end = { idempotencyKey, attempt, isAtMostOnce, outcome, random: Math.random() };
    settler.settle({ tenantId, runId }, { end, leaseNo, onSettled: () => undefined });
  }

  function release(leases: readonly LeaseToEnd[]): void {
    if (leases.length > 0) releaseUntilDone(leases).catch(reportFailure(context.log, "ending leases failed"));
  }

  async function releaseUntilDone(leases: readonly LeaseToEnd[]): Promise<void> {
    while (!context.isStopping()) {
      try {
        const outcomes = await context.store.jobs.release(leases, context.settings.leaseLossesMax, parts.serverId());
        for (const [index, lease] of leases.entries()) {
          if (outcomes[index] === "exhausted") {
            const message = `The job has lost its worker more than ${context.settings.leaseLossesMax} times.`;
            settleInPlace(lease, { failure: { code: "WORKER_LOST", message, nonRetryable: true } }, false);
          } else if (outcomes[index] === "running") {
            settleInPlace(lease, { failure: outcomeUnknown("The worker is gone.") }, true);
          }
        }
        const open = leases.filter((_lease, index) => outcomes[index] === "open");
        for (const queue of new Set(open.map((lease) => lease.queue))) onOpen(queue);
        return;
      } catch (error) {
        reportFailure(context.log, "ending leases failed")(error);
      }
      await pause(RETRY_PAUSE_MS);
    }
  }

  async function start(session: Session, jobs: readonly HeldJob[]): Promise<void> {
    const leases = jobs.map(({ lease }) => lease!);
    for (;;) {
      try {
        const begun = await context.store.jobs.start(leases);
        const [going, gone] = [jobs.filter((_job, i) => begun[i]), jobs.filter((_job, i) => !begun[i])];
        for (const job of going) if (held.has(job.token)) job.state = "running";
        tell(session, {
          type: "start",
          tokens: going.filter(({ token }) => held.has(token)).map(({ token }) => token),
        });
        for (const job of gone) if (held.has(job.token)) remove(session, job);
        tell(session, { type: "lease_lost", tokens: gone.map(({ token }) => token) });
        return;
      } catch (error) {
        reportFailure(context.log, "starting jobs failed")(error);
      }
      await pause(RETRY_PAUSE_MS);
      if (context.isStopping() || !jobs.some(({ token }) => held.has(token))) return;
    }
  }

  function tell(session: Session, frame: ServerFrame & { tokens: readonly string[] }): void {
    if (frame.tokens.length > 0) session.link?.send(frame);
  }

  function sweepJob(session: Session, job: HeldJob, nowMs: number): LeaseToEnd[] {
    if (job.state === "offered") {
      if (nowMs < job.acceptBy) return [];
      // Else the job would come back to it, and wait as long again, and so would all that follows.
      session.isQuiet = true;
      session.link?.send({ type: "lease_lost", tokens: [job.token] });
      return lose(session, job);
    }
    if (nowMs >= job.endBy) {
      fail(session, job, { code: "TIMEOUT", message: `The attempt took longer than ${job.timeoutMs} ms.` });
    } else if (nowMs >= job.beatBy && session.link !== undefined) {
      // Who is not connected cannot say anything here; it has its own time to come back.
      const message = `The worker said nothing about the attempt for ${job.heartbeatTimeoutMs} ms.`;
      failSilent(session, job, { code: "HEARTBEAT_TIMEOUT", message }).catch(
        reportFailure(context.log, "looking at a silent job failed"),
      );
    }
    return [];
  }

  return {
    hold(session, { elapsedMs = 0, ...facts }) {
      const nowMs = pool.nowMs();
      const isAccepted = facts.state !== undefined && facts.state !== "offered";
      const job: HeldJob = {
        state: "offered",
        ...facts,
        acceptBy: nowMs + acceptMs,
        endBy: isAccepted ? nowMs + Math.max(facts.timeoutMs - elapsedMs, 0) : Number.POSITIVE_INFINITY,
        beatBy: isAccepted ? beatBy(nowMs, facts) : Number.POSITIVE_INFINITY,
        isSettling: false,
        isPaused: false,
      };
      held.set(job.token, { session, job });
      session.held.set(job.token, job);
      if (job.handlerRun === undefined) watch(job);
      else job.handlerRun.token = job.token;
      return job;
    },
    giveBack(session, job) {
      release(lose(session, job));
    },
    accept(session, tokens) {
      const nowMs = pool.nowMs();
      const toStart: HeldJob[] = [];
      const lost: string[] = [];
      for (const token of tokens) {
        const job = session.held.get(token);
        if (job === undefined) {
          lost.push(token);
          continue;
        }
        if (job.state === "offered") {
          job.state = "accepted";
          job.endBy = nowMs + job.timeoutMs;
          job.beatBy = beatBy(nowMs, job);
        }
        // Said again after a reconnection: the start may have been lost with the stream. A worker begins a job once.
        if (job.isAtMostOnce) toStart.push(job);
      }
      tell(session, { type: "lease_lost", tokens: lost });
      if (toStart.length > 0) start(session, toStart).catch(reportFailure(context.log, "starting jobs failed"));
    },
    heartbeat(session, tokens) {
      const nowMs = pool.nowMs();
      const lost: string[] = [];
      for (const token of tokens) {
        const job = session.held.get(token);
        if (job === undefined) lost.push(token);
        else if (job.state !== "offered") job.beatBy = beatBy(nowMs, job);
      }
      tell(session, { type: "lease_lost", tokens: lost });
    },
    runOf: (key) => watches.get(runKeyText(key))?.run,
    lookAtAll(session) {
      const runs = new Map<string, RunKey>();
      for (const job of session.held.values()) {
        job.isPaused = false;
        if (job.handlerRun === undefined) runs.set(runKeyText(job.run), job.run);
      }
      for (const [text, run] of runs) reload(text, run).catch(reportFailure(context.log, "looking at a run failed"));
    },
    take(token) {
      const entry = held.get(token);
      if (entry === undefined) return undefined;
      entry.job.isSettling = true;
      remove(entry.session, entry.job);
      return entry.job;
    },
    release,
    loseAll(session) {
      release([...session.held.values()].flatMap((job) => lose(session, job)));
    },
    cancelHandler(token) {
      const entry = held.get(token);
      if (entry === undefined) return;
      remove(entry.session, entry.job);
      entry.session.link?.send({ type: "cancel", tokens: [token] });
    },
    async reconcile() {
      const jobs = [...held.values()].filter(({ job }) => job.lease !== undefined);
      for (let from = 0; from < jobs.length; from += RECONCILE_MAX) {
        const some = jobs.slice(from, from + RECONCILE_MAX);
        const heads = await context.store.jobs.load(some.map(({ job }) => job.lease!));
        for (const [index, { session, job }] of some.entries()) {
          if (held.get(job.token)?.job !== job || job.isSettling || keepsLease(job, heads[index])) continue;
          remove(session, job);
          session.link?.send({ type: "cancel", tokens: [job.token] });
        }
      }
    },
    sweep() {
      const nowMs = pool.nowMs();
      const ended: LeaseToEnd[] = [];
      for (const { session, job } of held.values()) ended.push(...sweepJob(session, job, nowMs));
      release(ended);
    },
  };
}

/** The end of an attempt that may have done its work, and must not be made again unseen. */
function outcomeUnknown(why: string): CallFailure {
  const message = `${why} The work is delivered at most once and may have been done.`;
  return { code: "OUTCOME_UNKNOWN", message, nonRetryable: true };
}

function beatBy(nowMs: number, { heartbeatTimeoutMs }: Pick<HeldJob, "heartbeatTimeoutMs">): number {
  return heartbeatTimeoutMs === undefined ? Number.POSITIVE_INFINITY : nowMs + heartbeatTimeoutMs;
}

/** Whether the job is still under the lease that it is held under; at which server its worker is now does not matter. */
function keepsLease({ lease }: HeldJob, head: JobHead | undefined): boolean {
  return (head?.state === "leased" || head?.state === "running") && head.leaseNo === lease!.leaseNo;
}

/** A lease of the database as one to end. */
export function leaseToEnd(head: JobHead, isLoss: boolean): LeaseToEnd {
  return { ...head, queue: queueText(head), isLoss };
}
