/** A worker's session at this server: what it serves, what it may be given, and the jobs it has. Lost with the process, and then
 *  found again in the leases of the database. */
import type { Delivery } from "../../core/call.ts";
import type { JobLease, JobQueue } from "../../store/contract/jobs.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { WorkerHello, WorkerLink } from "../api.ts";
import type { HandlerRun } from "./handler-runs.ts";
import { queueText } from "./job-queue.ts";
import type { KeptVars } from "./kept-vars.ts";

/** Jobs that a worker may have outstanding, whatever it grants: each is held in memory here. */
export const CREDIT_MAX = 10_000;

export type HeldJob = {
  readonly token: string;
  readonly run: RunKey;
  readonly queue: string;
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly isAtMostOnce: boolean;
  /** Absent: a handler that was offered without a job row, for `handlerRun`. */
  readonly lease?: JobLease;
  readonly handlerRun?: HandlerRun;
  readonly timeoutMs: number;
  readonly heartbeatTimeoutMs?: number;
  state: "offered" | "accepted" | "running";
  /** On the pool's clock: when it must be accepted, have ended, have been heard of. */
  acceptBy: number;
  endBy: number;
  beatBy: number;
  /** Its result has come, or its lease is being ended: nothing else may happen to it. */
  isSettling: boolean;
  isPaused: boolean;
};

/** A hello, and the actor that its caller is: the results of the session are the actor's. */
export type SessionHello = WorkerHello & { actorId?: string };

export type Session = {
  readonly tenantId: string;
  readonly workerSessionId: string;
  hello: SessionHello;
  /** How each queue that it serves is served, by `queueText`. */
  serves: ReadonlyMap<string, ServedQueue>;
  /** Absent while it is not connected. */
  link?: WorkerLink;
  /** What the worker keeps of what this link has brought it; undefined: nothing. */
  keptVars: KeptVars | undefined;
  credit: number;
  isDraining: boolean;
  /** It has let an offer lapse and said nothing since: frozen, perhaps, or behind a dead network. */
  isQuiet: boolean;
  readonly held: Map<string, HeldJob>;
  /** Jobs of each queue that it has, or that are being leased to it. */
  readonly inFlight: Map<string, number>;
  /** On the pool's clock. */
  heardAt: number;
  pingedAt: number;
  pingNo: number;
  /** When the jobs of a session that is not connected are given to others. */
  lostAt: number;
};

export type ServedQueue = {
  queue: JobQueue;
  /** Of a handler's workflow; absent: all. */
  versions?: readonly number[];
  delivery?: Delivery;
  /** Jobs of it at once; absent: as many as there is credit for. */
  concurrency?: number;
};

export function servedQueues(
  tenantId: string,
  hello: Pick<WorkerHello, "workflows" | "customTypes"> & {
    tools: readonly Pick<WorkerHello["tools"][number], "name" | "delivery" | "concurrency">[];
  },
): Map<string, ServedQueue> {
  const served = new Map<string, ServedQueue>();
  const add = (entry: ServedQueue) => served.set(queueText(entry.queue), entry);
  for (const { name, delivery, concurrency } of hello.tools) {
    add({ queue: { tenantId, kind: "tool", name }, ...serviceOf(delivery, concurrency) });
  }
  for (const { type, delivery, concurrency } of hello.customTypes) {
    add({ queue: { tenantId, kind: "custom", name: type }, ...serviceOf(delivery, concurrency) });
  }
  for (const { workflowId, versions } of hello.workflows) {
    const queue: JobQueue = { tenantId, kind: "handler", name: workflowId };
    add({ queue, ...(versions.length === 0 ? {} : { versions }) });
  }
  return served;
}

function serviceOf(delivery: Delivery | undefined, concurrency: number): Pick<ServedQueue, "delivery" | "concurrency"> {
  return { ...(delivery === undefined ? {} : { delivery }), ...(concurrency === 0 ? {} : { concurrency }) };
}

/** Whether the session may be given jobs at all now. */
export function hasRoom({ link, isDraining, isQuiet, credit }: Session): boolean {
  return link !== undefined && !isDraining && !isQuiet && credit > 0 && link.isFull?.() !== true;
}

/** Whether the session may be given a job of the queue now, of this version where one is given. */
export function mayTake(session: Session, queue: string, version?: number): boolean {
  if (!hasRoom(session)) return false;
  const served = session.serves.get(queue);
  if (served === undefined || (version !== undefined && !servesVersion(served, version))) return false;
  return served.concurrency === undefined || (session.inFlight.get(queue) ?? 0) < served.concurrency;
}

export function servesVersion({ versions }: ServedQueue, version: number): boolean {
  return versions === undefined || versions.includes(version);
}

/** How a job is delivered to the session: as its node says, else as its worker does. */
export function deliveryBy(session: Session, job: JobQueue & { delivery?: Delivery }): Delivery {
  return job.delivery ?? session.serves.get(queueText(job))?.delivery ?? "at_least_once";
}

/** Takes one credit for a job of the queue, before it is known whether there is one. */
export function takeCredit(session: Session, queue: string): void {
  session.credit -= 1;
  joinQueue(session, queue);
}

/** Gives a credit back that no job was offered for. What an earlier connection granted ended with it: `link` is the one of that time. */
export function returnCredit(session: Session, queue: string, link: WorkerLink | undefined): void {
  if (session.link === link) session.credit = Math.min(session.credit + 1, CREDIT_MAX);
  leaveQueue(session, queue);
}

/** The session has a job of the queue. */
export function joinQueue(session: Session, queue: string): void {
  session.inFlight.set(queue, (session.inFlight.get(queue) ?? 0) + 1);
}

/** A job of the queue has left the session. Its credit does not come back by itself: the worker grants it. */
export function leaveQueue(session: Session, queue: string): void {
  const left = (session.inFlight.get(queue) ?? 0) - 1;
  if (left <= 0) session.inFlight.delete(queue);
  else session.inFlight.set(queue, left);
}
