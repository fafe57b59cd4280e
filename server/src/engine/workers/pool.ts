/** What the parts of the worker side share: the sessions of this server, its clock for their liveness, and its settings. */
import type { JobHead } from "../../store/contract.ts";
import type { EngineContext } from "../context.ts";
import { type JobToken, writeJobToken } from "./job-token.ts";
import { type HeldJob, type Session, servesVersion } from "./session.ts";

/** Tells apart the offers of this process that have no lease number. */
let lastOfferNo = 0;

export type WorkerPool = {
  readonly context: EngineContext;
  /** By `sessionText`. */
  readonly sessions: Map<string, Session>;
  /** Every job that a session of this server has, by its token. */
  readonly held: Map<string, { session: Session; job: HeldJob }>;
  /** Replies were lost: there may be leases of this server that nobody here knows of. */
  isDoubtful: boolean;
  /** Milliseconds in which this server was at work: time in which it stood still counts for nobody. */
  nowMs(): number;
};

export function sessionText(tenantId: string, workerSessionId: string): string {
  return `${tenantId}/${workerSessionId}`;
}

/** Whether a connected session of this server serves the queue. */
export function isServedHere(pool: WorkerPool, queue: string, version?: number): boolean {
  for (const session of pool.sessions.values()) {
    if (session.link === undefined || session.isDraining) continue;
    const served = session.serves.get(queue);
    if (served !== undefined && (version === undefined || servesVersion(served, version))) return true;
  }
  return false;
}

export function nextOfferNo(): number {
  lastOfferNo += 1;
  return lastOfferNo;
}

export function tokenOf(pool: WorkerPool, token: JobToken): string {
  return writeJobToken(pool.context.store.tokenKey, token);
}

/** The token of a job's lease: the same at every server. */
export function leaseToken(pool: WorkerPool, job: JobHead, isAtMostOnce: boolean): string {
  const { tenantId, runId, idempotencyKey, attempt, leaseNo } = job;
  return tokenOf(pool, { tenantId, runId, idempotencyKey, attempt, leaseNo, offerNo: 0, isAtMostOnce });
}
