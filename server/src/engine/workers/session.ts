/**
 * A worker's session at this server: what it serves, how many jobs it may be given, and the jobs that it has. A crash
 * of the process loses it; its jobs are found again by their leases in the database.
 */
import type { Delivery } from "../../core/call.ts";
import type { JobQueue } from "../../store/contract/jobs.ts";
import type { ServerFrame, WorkerHello, WorkerLink } from "../api.ts";
import type { AssignedJob } from "./assigned-job.ts";
import { queueText } from "./job-queue.ts";
import type { KeptVars } from "./kept-vars.ts";

/** The most jobs that a worker may have at once, whatever credit it grants: each takes memory here. */
export const CREDIT_MAX = 10_000;

/** A hello and the actor of its caller, under whose name the session's results are recorded. */
export type SessionHello = WorkerHello & { actorId?: string };

export type Session = {
  readonly tenantId: string;
  readonly workerSessionId: string;
  hello: SessionHello;
  /** By `queueText`: how the worker serves each of its queues. */
  serves: ReadonlyMap<string, ServedQueue>;
  /** Missing while the worker is not connected. */
  link?: WorkerLink;
  /** The large vars that the worker keeps for the length of this link; undefined if it keeps none. */
  keptVars: KeptVars | undefined;
  /** How many more jobs the worker may be offered: at most `CREDIT_MAX`, and 0 while it is not connected. */
  credit: number;
  isDraining: boolean;
  /**
   * An offer has lapsed and the worker has sent nothing since: it may be frozen, or its network dead. It is offered
   * nothing.
   */
  isQuiet: boolean;
  /** By token; each is in the pool's `jobs` too. */
  readonly jobs: Map<string, AssignedJob>;
  /** By `queueText`: how many jobs the worker has or is being leased. A queue without any has no entry. */
  readonly inFlight: Map<string, number>;
  /** On the pool's clock: when the worker last sent a frame, and when it was last pinged. */
  heardAt: number;
  pingedAt: number;
  pingNo: number;
  /** On the pool's clock: when the jobs go to other workers. Infinity while the worker is connected. */
  lostAt: number;
};

export type ServedQueue = {
  queue: JobQueue;
  /** The versions of a handler's workflow; missing if the worker serves all of them. */
  versions?: readonly number[];
  delivery?: Delivery;
  /** The most jobs of the queue at once; missing if only credit limits them. */
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

/** Whether the session may be given any job now. */
export function hasRoom({ link, isDraining, isQuiet, credit }: Session): boolean {
  return link !== undefined && !isDraining && !isQuiet && credit > 0 && link.isFull?.() !== true;
}

/** Whether the session may be given a job of the queue now; a job of this version, if `version` is given. */
export function mayTake(session: Session, queue: string, version?: number): boolean {
  if (!hasRoom(session)) return false;
  const served = session.serves.get(queue);
  if (served === undefined || (version !== undefined && !servesVersion(served, version))) return false;
  return served.concurrency === undefined || (session.inFlight.get(queue) ?? 0) < served.concurrency;
}

export function servesVersion({ versions }: ServedQueue, version: number): boolean {
  return versions === undefined || versions.includes(version);
}

/** How a job is delivered to the session: as its node says, or else as the worker says. */
export function deliveryBy(session: Session, job: JobQueue & { delivery?: Delivery }): Delivery {
  return job.delivery ?? session.serves.get(queueText(job))?.delivery ?? "at_least_once";
}

/** Takes one credit for a job of the queue, before it is known whether a job is waiting. */
export function takeCredit(session: Session, queue: string): void {
  session.credit -= 1;
  joinQueue(session, queue);
}

/**
 * Returns a credit for which no job was offered.
 * @param link the session's link when the credit was taken: credit ends with the connection that granted it
 */
export function returnCredit(session: Session, queue: string, link: WorkerLink | undefined): void {
  if (session.link === link) session.credit = Math.min(session.credit + 1, CREDIT_MAX);
  leaveQueue(session, queue);
}

/** Counts one more job of the queue for the session. */
export function joinQueue(session: Session, queue: string): void {
  session.inFlight.set(queue, (session.inFlight.get(queue) ?? 0) + 1);
}

/** Counts one job of the queue less for the session. Its credit does not return: the worker grants new credit. */
export function leaveQueue(session: Session, queue: string): void {
  const count = (session.inFlight.get(queue) ?? 0) - 1;
  if (count <= 0) session.inFlight.delete(queue);
  else session.inFlight.set(queue, count);
}

/** Sends the worker a frame about jobs, unless it names none or the worker is not connected. */
export function sendTokens(session: Session, frame: ServerFrame & { tokens: readonly string[] }): void {
  if (frame.tokens.length > 0) session.link?.send(frame);
}
