/** A session begins with a hello, outlives its stream for a while, and ends when its worker is gone. */
import { DomainError } from "../../../core/errors.ts";
import type { WorkerLink } from "../../api.ts";
import { createKeptVars } from "../kept-vars.ts";
import { sessionText, type WorkerPool } from "../pool.ts";
import { servedQueues, type Session, type SessionHello } from "../session.ts";
import type { WorkerParts } from "./parts.ts";
import { removeWorker } from "./worker-list.ts";

/**
 * The session of the hello, with the jobs that it has if its worker has come back. Ends the session's stream, if it has
 * one.
 */
export function openSession(pool: WorkerPool, tenantId: string, hello: SessionHello, link: WorkerLink): Session {
  const { workerSessionId, keptVarsBytes = 0 } = hello;
  const text = sessionText(tenantId, workerSessionId);
  const known = pool.sessions.get(text);
  known?.link?.end(sessionReplaced(workerSessionId));
  const nowMs = pool.nowMs();
  const fresh = {
    hello,
    serves: servedQueues(tenantId, hello),
    link,
    keptVars: keptVarsBytes === 0 ? undefined : createKeptVars(keptVarsBytes),
    credit: 0,
    isDraining: false,
    isQuiet: false,
    heardAt: nowMs,
    pingedAt: nowMs,
    pingNo: 0,
    lostAt: Number.POSITIVE_INFINITY,
  };
  if (known !== undefined) return Object.assign(known, fresh);
  const session: Session = { tenantId, workerSessionId, jobs: new Map(), inFlight: new Map(), ...fresh };
  pool.sessions.set(text, session);
  return session;
}

export function sessionReplaced(workerSessionId: string): DomainError {
  const message = `Another stream has connected with the session id ${workerSessionId}.`;
  return new DomainError("WORKER_SESSION_REPLACED", message, { metadata: { worker_session_id: workerSessionId } });
}

/** The stream of the session is gone. Its worker has `graceMs` to come back. */
export function leaveSession(parts: WorkerParts, session: Session, graceMs: number): void {
  delete session.link;
  session.keptVars = undefined;
  session.credit = 0;
  session.lostAt = parts.pool.nowMs() + graceMs;
  if (graceMs <= 0) endSession(parts, session);
}

/** The worker of the session is gone. Its jobs go to other workers. */
export function endSession(parts: WorkerParts, session: Session): void {
  const { sessions } = parts.pool;
  const text = sessionText(session.tenantId, session.workerSessionId);
  if (sessions.get(text) === session) sessions.delete(text);
  parts.leases.loseAll(session);
  removeWorker(parts, session);
}
