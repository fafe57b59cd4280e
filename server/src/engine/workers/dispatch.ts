/**
 * Who gets which job. A new job is leased in the transaction that makes it, where a worker with credit is connected and nothing
 * waits in its queue; everything else is claimed from its queue in batches. Offers are written after the commit of their leases.
 */
import type { HandlerPayload, HandlerRequest } from "../../core/handler-request.ts";
import type { JobDraft } from "../../core/job.ts";
import { namesOf } from "../../core/names.ts";
import { handlerPayload } from "../../core/handler-request.ts";
import { type RunState, callsOf } from "../../core/run.ts";
import type { JobRequest, LeasedJob, NewJob } from "../../store/contract/jobs.ts";
import type { OfferedJob, WorkerLink } from "../api.ts";
import { pause } from "../pause.ts";
import { reportFailure } from "../report-failure.ts";
import { createFairQueue, type FairQueue } from "./fair-queue.ts";
import type { HandlerRun, HandlerRuns } from "./handler-runs.ts";
import { queueFromText, queueText } from "./job-queue.ts";
import type { LeaseKeeper } from "./leases.ts";
import { newHandlerToken } from "./job-token.ts";
import { charsOf, givenHandler } from "./kept-vars.ts";
import { isServedHere, leaseToken, type WorkerPool } from "./pool.ts";
import {
  deliveryBy,
  hasRoom,
  type HeldJob,
  mayTake,
  returnCredit,
  servesVersion,
  type Session,
  takeCredit,
} from "./session.ts";

/** Jobs claimed at once, and characters of payloads that a claim should bring: each may have a million, and then fewer are claimed. */
const CLAIM_MAX = 200;
const CLAIM_CHARS_MAX = 8 * 1024 * 1024;
/** Pause before jobs are claimed again after the database refused. */
const CLAIM_RETRY_MS = 500;
/** How long a handler waits for a worker here that serves it but has no time, before others may take it as a job. */
const HANDLER_QUEUE_MS = 2_000;

/** What a job is given: JSON text, or what a handler sees. */
type Payload = string | HandlerPayload;

/** Jobs of one transition, leased to workers as far as there are any. Exactly one of the two functions is called. */
export type Reservation = {
  jobs: NewJob[];
  /** The transition was committed: the jobs are offered. */
  commit(): void;
  cancel(): void;
};

export type Dispatcher = {
  reserve(jobs: readonly JobDraft[], run: RunState): Reservation;
  /** Something may be waiting in this queue. `isHeard`: another server said so. */
  noteJobs(queue: string, isHeard?: boolean): void;
  /** A session has credit, or is new. */
  pump(): void;
  /** Everything that the session serves may have something waiting. */
  noteSession(session: Session): void;
  /** Looks for a worker for a handler. */
  dispatchHandler(handlerRun: HandlerRun): void;
  forgetHandler(handlerRun: HandlerRun): void;
};

export function createDispatcher(
  pool: WorkerPool,
  parts: { leases: LeaseKeeper; handlerRuns: HandlerRuns; serverId: () => string },
): Dispatcher {
  const { context } = pool;
  const { leases, handlerRuns, serverId } = parts;
  /** Queues in which something may wait, as far as this server knows. */
  const backlog = new Set<string>();
  /** Queues in which something came to wait after the last claim of them began. */
  const notedSince = new Set<string>();
  /** Queues that were found empty of some versions, as `versionsText` has them: jobs of others may wait for a worker with time. */
  const askedVersions = new Map<string, ReadonlySet<string>>();
  const waitingHandlers = new Map<string, FairQueue<HandlerRun>>();
  const handlerTimers = new Map<HandlerRun, NodeJS.Timeout>();
  let isClaiming = false;
  let isAskedAgain = false;
  let lastServed = 0;
  let claimMax = CLAIM_MAX;

  /** A session that may take a job of the queue; in turn, so that one worker does not get everything. */
  function findSession(queue: string, version?: number): Session | undefined {
    const sessions = [...pool.sessions.values()];
    for (let step = 1; step <= sessions.length; step++) {
      const index = (lastServed + step) % sessions.length;
      const session = sessions[index]!;
      if (!mayTake(session, queue, version)) continue;
      lastServed = index;
      return session;
    }
    return undefined;
  }

  function reserve(drafts: readonly JobDraft[], run: RunState): Reservation {
    const taken: { session: Session; link: WorkerLink | undefined; queue: string; job: NewJob }[] = [];
    const left = new Set<string>();
    const jobs = drafts.map((draft): NewJob => {
      const queue = queueText({ tenantId: run.tenantId, kind: draft.kind, name: draft.name });
      const isLater = draft.dueTime !== undefined || run.paused || backlog.has(queue);
      const session = isLater ? undefined : findSession(queue, run.version);
      if (session === undefined) {
        if (draft.dueTime === undefined) left.add(queue);
        return draft;
      }
      takeCredit(session, queue);
      const job = { ...draft, lease: { serverId: serverId(), workerSessionId: session.workerSessionId } };
      taken.push({ session, link: session.link, queue, job });
      return job;
    });
    return {
      jobs,
      commit() {
        for (const { session, queue, job } of taken) offer(session, queue, leasedJob(job, run), payloadOf(job, run));
        for (const queue of left) noteJobs(queue);
      },
      cancel() {
        pool.isDoubtful ||= taken.length > 0;
        for (const { session, link, queue } of taken) returnCredit(session, queue, link);
        if (taken.length > 0) pump();
      },
    };
  }

  /** Of a handler's job the names that it sees, at this moment: its payload is never stored. */
  function payloadOf({ kind, payload }: JobDraft | LeasedJob, run: RunState): Payload {
    if (kind !== "handler") return JSON.stringify(payload);
    return handlerPayload(namesOf(run, context.clock.next(run.updateTime)));
  }

  /** @returns the characters of what is offered */
  function offer(session: Session, queue: string, job: LeasedJob, payload: Payload): number {
    const delivery = deliveryBy(session, job);
    const isAtMostOnce = delivery === "at_most_once";
    const token = leaseToken(pool, job, isAtMostOnce);
    const { tenantId, runId, idempotencyKey, leaseNo, attempt, timeoutMs, heartbeatTimeoutMs, kind, name } = job;
    const held = leases.hold(session, {
      token,
      run: { tenantId, runId },
      queue,
      idempotencyKey,
      attempt,
      isAtMostOnce,
      lease: { tenantId, idempotencyKey, leaseNo },
      timeoutMs,
      ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    });
    const { workflowId, version, nodeId, sessionId, callId } = job;
    return send(session, held, payload, {
      token,
      kind,
      name,
      runId,
      workflowId,
      version,
      ...(sessionId === undefined ? {} : { sessionId }),
      nodeId,
      ...(callId === undefined ? {} : { callId }),
      idempotencyKey,
      attempt,
      leaseNumber: leaseNo,
      timeoutMs,
      ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
      delivery,
    });
  }

  /** @returns the characters of what is sent */
  function send(session: Session, held: HeldJob, payload: Payload, facts: Omit<OfferedJob, "payload">): number {
    const { link, keptVars } = session;
    // A session that has gone since its lease was committed: the job waits for its return, then goes to others.
    if (link === undefined) {
      leases.giveBack(session, held);
      return 0;
    }
    // What the worker keeps counts as sent from here on, so nothing may come between the two.
    const given = typeof payload === "string" ? { payload } : givenHandler(facts.runId, payload, keptVars);
    const job = { ...facts, ...given };
    link.send({ type: "offer", jobs: [job] });
    return charsOf(job);
  }

  function noteJobs(queue: string, isHeard = false): void {
    if (isServedHere(pool, queue)) {
      noteQueue(queue);
      pump();
    }
    // Somebody else may have the worker that this server lacks, or time where this one's workers have none.
    if (!isHeard && !isTakenHere(queue)) context.tellOthers({ jobs: queue });
  }

  function noteQueue(queue: string): void {
    backlog.add(queue);
    notedSince.add(queue);
    askedVersions.delete(queue);
  }

  /** Whether a session of this server may take a job of the queue now, of whatever version. */
  function isTakenHere(queue: string): boolean {
    for (const session of pool.sessions.values()) {
      if (mayTake(session, queue) && session.serves.get(queue)?.versions === undefined) return true;
    }
    return false;
  }

  function pump(): void {
    isAskedAgain = true;
    if (isClaiming || context.isStopping()) return;
    isClaiming = true;
    claimWhileAsked().catch((error: unknown) => context.log.error({ err: error }, "claiming jobs failed"));
  }

  async function claimWhileAsked(): Promise<void> {
    try {
      while (isAskedAgain && !context.isStopping()) {
        isAskedAgain = false;
        const wanted = wantedJobs();
        if (wanted.length > 0 && (await claim(wanted))) isAskedAgain = true;
        serveWaitingHandlers();
      }
    } finally {
      isClaiming = false;
    }
  }

  type Wanted = { queue: string; versions?: readonly number[]; sessions: Session[] };

  /** What the sessions of this server could take of the queues in which something may wait. Takes the credits for it. */
  function wantedJobs(): Wanted[] {
    const wanted: Wanted[] = [];
    let total = 0;
    for (const [queue, asked] of askedVersions) {
      if ([...sessionsByVersions(queue).keys()].some((versions) => !asked.has(versions))) backlog.add(queue);
      else if (!isKnown(queue)) askedVersions.delete(queue);
    }
    // The queue that was looked at first comes last the next time: none starves the others of its workers' credit.
    for (const queue of backlog) {
      if (!isKnown(queue)) {
        // Whoever comes to serve it has it looked at again.
        backlog.delete(queue);
        notedSince.delete(queue);
        continue;
      }
      for (const [versions, sessions] of sessionsByVersions(queue)) {
        const entry: Wanted = {
          queue,
          sessions: [],
          ...(versions === "" ? {} : { versions: JSON.parse(versions) as number[] }),
        };
        let isMore = true;
        // A share for each queue, so that a long one does not take all credit of a worker that serves many.
        const share = Math.max(1, Math.ceil(claimMax / backlog.size));
        while (isMore && entry.sessions.length < share && total < claimMax) {
          isMore = false;
          for (const session of sessions) {
            if (!mayTake(session, queue) || total >= claimMax || entry.sessions.length >= share) continue;
            if (!servesVersions(session, queue, entry.versions)) continue;
            takeCredit(session, queue);
            entry.sessions.push(session);
            total += 1;
            isMore = true;
          }
        }
        if (entry.sessions.length > 0) wanted.push(entry);
      }
    }
    for (const { queue } of wanted) {
      backlog.delete(queue);
      backlog.add(queue);
    }
    return wanted;
  }

  function isKnown(queue: string): boolean {
    for (const session of pool.sessions.values()) if (session.serves.has(queue)) return true;
    return false;
  }

  /** Sessions that may take jobs of the queue, grouped by which versions they serve; "" are all. */
  function sessionsByVersions(queue: string): Map<string, Session[]> {
    const groups = new Map<string, Session[]>();
    for (const session of pool.sessions.values()) {
      const served = session.serves.get(queue);
      if (served === undefined || !hasRoom(session)) continue;
      const text = versionsText(served.versions);
      const group = groups.get(text);
      if (group === undefined) groups.set(text, [session]);
      else group.push(session);
    }
    return groups;
  }

  /** Versions as text that is the same for the same ones; "" are all. */
  function versionsText(versions: readonly number[] | undefined): string {
    return versions === undefined ? "" : JSON.stringify(versions.toSorted((a, b) => a - b));
  }

  function servesVersions(session: Session, queue: string, versions: readonly number[] | undefined): boolean {
    const served = session.serves.get(queue);
    if (served === undefined) return false;
    return versions === undefined ? served.versions === undefined : versions.every((one) => servesVersion(served, one));
  }

  /** Claims jobs and offers them. Says whether there may be more. */
  async function claim(wanted: readonly Wanted[]): Promise<boolean> {
    const requests = wanted.map(({ queue, versions, sessions }): JobRequest => ({
      ...queueFromText(queue),
      ...(versions === undefined ? {} : { versions }),
      workerSessionIds: sessions.map(({ workerSessionId }) => workerSessionId),
    }));
    for (const { queue } of wanted) notedSince.delete(queue);
    const links = new Map(
      wanted.flatMap(({ sessions }) => sessions.map((session) => [session, session.link] as const)),
    );
    let claimed: LeasedJob[];
    try {
      claimed = await context.store.jobs.claim(serverId(), requests);
    } catch (error) {
      for (const { queue, sessions } of wanted) {
        for (const session of sessions) returnCredit(session, queue, links.get(session));
      }
      pool.isDoubtful = true;
      reportFailure(context.log, "claiming jobs failed")(error);
      await pause(CLAIM_RETRY_MS);
      return true;
    }
    let chars = 0;
    for (const job of claimed) {
      const queue = queueText(job);
      const sessions = wanted.find((one) => one.queue === queue && one.sessions.some(isOf(job)))?.sessions;
      const [session] = sessions?.splice(sessions.findIndex(isOf(job)), 1) ?? [];
      if (session !== undefined) chars += await offerClaimed(session, queue, job, links.get(session));
    }
    const fitting = chars <= CLAIM_CHARS_MAX ? claimMax * 2 : Math.floor((claimed.length * CLAIM_CHARS_MAX) / chars);
    claimMax = Math.min(Math.max(fitting, 1), CLAIM_MAX);
    // A queue that gave as much as was wanted may have more; one that gave less is empty, unless it was filled meanwhile.
    const full = new Set(wanted.filter(({ sessions }) => sessions.length === 0).map(({ queue }) => queue));
    for (const { queue, sessions } of wanted) {
      for (const session of sessions) returnCredit(session, queue, links.get(session));
      if (full.has(queue) || notedSince.has(queue)) continue;
      backlog.delete(queue);
      const asked = wanted.filter((one) => one.queue === queue).map(({ versions }) => versionsText(versions));
      if (asked.includes("")) askedVersions.delete(queue);
      else askedVersions.set(queue, new Set([...(askedVersions.get(queue) ?? []), ...asked]));
    }
    // Credit that came back may be for queues that were not asked, because there was none left for them.
    return full.size > 0 || wanted.some(({ sessions }) => sessions.length > 0);
  }

  function isOf({ workerSessionId }: LeasedJob): (session: Session) => boolean {
    return (session) => session.workerSessionId === workerSessionId;
  }

  /** @returns the characters of what is offered */
  async function offerClaimed(
    session: Session,
    queue: string,
    job: LeasedJob,
    link: WorkerLink | undefined,
  ): Promise<number> {
    if (job.kind !== "handler") return offer(session, queue, job, JSON.stringify(job.payload));
    const run = await context.loadRun(job).catch(() => undefined);
    const isWanted =
      run &&
      callsOf(run.state).some((call) => call.idempotency_key === job.idempotencyKey && call.outcome === undefined);
    if (run !== undefined && isWanted === true) return offer(session, queue, job, payloadOf(job, run.state));
    returnCredit(session, queue, link);
    leases.release([{ ...job, queue, isLoss: false }]);
    return 0;
  }

  function dispatchHandler(handlerRun: HandlerRun): void {
    const { queue, request } = handlerRun;
    const session = backlog.has(queue) ? undefined : findSession(queue, request.version);
    if (session !== undefined) {
      takeCredit(session, queue);
      offerHandler(session, handlerRun);
      return;
    }
    const waiting = waitingHandlers.get(queue) ?? createFairQueue<HandlerRun>();
    waitingHandlers.set(queue, waiting);
    waiting.push(request.fairnessKey, handlerRun);
    const waitMs = isServedHere(pool, queue, request.version) ? HANDLER_QUEUE_MS : context.settings.handlerParkMs;
    handlerTimers.set(
      handlerRun,
      setTimeout(() => {
        forgetHandler(handlerRun);
        handlerRuns.finish(handlerRun, { type: "unserved" });
      }, waitMs),
    );
    if (backlog.has(queue)) pump();
  }

  function forgetHandler(handlerRun: HandlerRun): void {
    clearTimeout(handlerTimers.get(handlerRun));
    handlerTimers.delete(handlerRun);
    const waiting = waitingHandlers.get(handlerRun.queue);
    waiting?.remove(handlerRun.request.fairnessKey, handlerRun);
    if (waiting?.size === 0) waitingHandlers.delete(handlerRun.queue);
  }

  /** Handlers without a job row come after the jobs that wait in the queue. */
  function serveWaitingHandlers(): void {
    for (const [queue, waiting] of waitingHandlers) {
      if (backlog.has(queue)) continue;
      for (;;) {
        let session: Session | undefined;
        const handlerRun = waiting.take(({ request }) => {
          session = findSession(queue, request.version);
          return session !== undefined;
        });
        if (handlerRun === undefined || session === undefined) break;
        forgetHandler(handlerRun);
        takeCredit(session, queue);
        offerHandler(session, handlerRun);
      }
    }
  }

  function offerHandler(session: Session, handlerRun: HandlerRun): void {
    const { request, queue } = handlerRun;
    const { tenantId, runId, idempotencyKey, timeoutMs, heartbeatTimeoutMs } = request;
    const token = newHandlerToken();
    const held = leases.hold(session, {
      token,
      run: { tenantId, runId },
      queue,
      idempotencyKey,
      attempt: 1,
      isAtMostOnce: false,
      handlerRun,
      timeoutMs,
      ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    });
    send(session, held, request.payload, { token, ...offeredHandler(request) });
  }

  return {
    reserve,
    noteJobs,
    pump,
    noteSession(session) {
      for (const queue of session.serves.keys()) noteQueue(queue);
      pump();
    },
    dispatchHandler,
    forgetHandler,
  };
}

function offeredHandler(request: HandlerRequest): Omit<OfferedJob, "token" | "payload"> {
  const { workflowId, runId, version, sessionId, nodeId, idempotencyKey } = request;
  const { timeoutMs, heartbeatTimeoutMs } = request;
  return {
    kind: "handler",
    name: workflowId,
    runId,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
    nodeId,
    idempotencyKey,
    attempt: 1,
    leaseNumber: 1,
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    delivery: "at_least_once",
  };
}

/** A job that its own transition has leased, as a claim would give it. */
function leasedJob(job: NewJob, run: RunState): LeasedJob {
  const { tenantId, runId, workflowId, version, sessionId } = run;
  return {
    tenantId,
    idempotencyKey: job.idempotency_key,
    runId,
    kind: job.kind,
    name: job.name,
    state: "leased",
    leaseNo: 1,
    workerSessionId: job.lease!.workerSessionId,
    losses: job.losses ?? 0,
    attempt: job.attempt ?? 1,
    ordinal: job.ordinal,
    timeoutMs: job.timeoutMs,
    ...(job.heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs: job.heartbeatTimeoutMs }),
    ...(job.delivery === undefined ? {} : { delivery: job.delivery }),
    seq: job.seq,
    nodeId: job.nodeId,
    ...(job.call_id === undefined ? {} : { callId: job.call_id }),
    payload: job.payload,
    workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
  };
}
