/** Takes over the leases of a worker's session, wherever it was connected before. */
import { epochMicrosOf } from "../../../core/duration.ts";
import type { JobHead } from "../../../store/contract/jobs.ts";
import { queueText } from "../job-queue.ts";
import { type LeaseToEnd, leaseToEnd } from "../leases/release.ts";
import { leaseToken, type WorkerPool } from "../pool.ts";
import { CREDIT_MAX, deliveryBy, joinQueue, type Session } from "../session.ts";
import type { WorkerParts } from "./parts.ts";

/** How long a lease that is unknown here is left alone: longer than any statement about it takes. */
const UNKNOWN_LEASE_GRACE_MS = 20_000;

type Adoption = {
  head: JobHead;
  token: string;
  /** The tokens of the jobs that the worker says it has; undefined if it has not just said so. */
  workerTokens: ReadonlySet<string> | undefined;
};

/**
 * Adopts the leases that the session has in the database. Jobs that the worker does not know of go to other workers at
 * once: they never reached it, or its process was restarted.
 * @param workerTokens the tokens of the jobs that the worker says it has; undefined if it has not just said so
 */
export async function adoptLeases(
  parts: WorkerParts,
  session: Session,
  workerTokens: ReadonlySet<string> | undefined,
): Promise<void> {
  const { pool, leases, serverId } = parts;
  const { tenantId, workerSessionId } = session;
  // This limit has no effect: a worker never has more jobs.
  const request = { tenantId, workerSessionId, serverId: serverId(), limit: CREDIT_MAX };
  const heads = await pool.context.store.jobs.adopt(request);
  const unwanted: LeaseToEnd[] = [];
  for (const head of heads) {
    const token = tokenOf(pool, session, head);
    if (adopt(parts, session, { head, token, workerTokens })) continue;
    leases.take(token);
    unwanted.push(leaseToEnd(head, false));
  }
  leases.release(unwanted);
  if (workerTokens !== undefined) giveBackHandlers(parts, session, workerTokens);
}

/** Returns whether the lease stays with the session, as far as is known here. */
function adopt(parts: WorkerParts, session: Session, adoption: Adoption): boolean {
  const { pool } = parts;
  const { head, token, workerTokens } = adoption;
  if (session.jobs.has(token)) return workerTokens === undefined || workerTokens.has(token);
  if (workerTokens?.has(token) === true) {
    assignAdopted(parts, session, adoption);
    return true;
  }
  // The result decides about the job, whether or not the worker still knows of it.
  if (pool.settling.has(token)) return true;
  if (workerTokens !== undefined) return false;
  // A statement of this server may have made the lease just now; it is checked again later.
  const isRecent = !isOlderThanGrace(pool, head);
  pool.isDoubtful ||= isRecent;
  return isRecent;
}

function isOlderThanGrace({ context }: WorkerPool, { leaseTime }: JobHead): boolean {
  const graceMicros = UNKNOWN_LEASE_GRACE_MS * 1_000;
  if (leaseTime === undefined) return false;
  // A lease from the future was made before the database's clock was set back.
  return Math.abs(context.clock.nowMicros() - epochMicrosOf(leaseTime)) > graceMicros;
}

/** Handlers without a job row have no lease in the database. */
function giveBackHandlers({ leases }: WorkerParts, session: Session, workerTokens: ReadonlySet<string>): void {
  for (const job of session.jobs.values()) {
    if (job.handlerRun !== undefined && !workerTokens.has(job.token)) leases.giveBack(session, job);
  }
}

function assignAdopted({ pool, leases }: WorkerParts, session: Session, { head, token }: Adoption): void {
  const { tenantId, runId, idempotencyKey, leaseNo, attempt, timeoutMs, heartbeatTimeoutMs, state, leaseTime } = head;
  const { clock } = pool.context;
  const queue = queueText(head);
  joinQueue(session, queue);
  leases.assign(session, {
    token,
    run: { tenantId, runId },
    queue,
    idempotencyKey,
    attempt,
    isAtMostOnce: deliveryBy(session, head) === "at_most_once",
    lease: { tenantId, idempotencyKey, leaseNo },
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    state: state === "running" ? "running" : "accepted",
    // Never negative: an attempt that began before the database's clock was set back gets its whole time again.
    ...(leaseTime === undefined
      ? {}
      : { elapsedMs: Math.max(0, (clock.nowMicros() - epochMicrosOf(leaseTime)) / 1_000) }),
  });
}

function tokenOf(pool: WorkerPool, session: Session, head: JobHead): string {
  return leaseToken(pool, head, deliveryBy(session, head) === "at_most_once");
}
