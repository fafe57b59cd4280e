/**
 * State that the parts of the worker side share: the sessions of this server, their jobs, and a clock for their
 * liveness.
 */
import type { JobHead } from "../../store/contract/jobs.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Essentials } from "../essentials.ts";
import type { Neighbours } from "../neighbours.ts";
import type { NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import type { AssignedJob } from "./assigned-job.ts";
import { writeJobToken } from "./job-token.ts";
import { type Session, servesVersion } from "./session.ts";

/** What the worker side uses of the rest of the engine. */
export type WorkerContext = Essentials &
  Pick<Reads, "loadRun" | "loadRunHead"> & {
    readonly hub: Pick<NoticeHub, "watchNamedRun">;
    /** Announces to other servers that a job waits in a queue. */
    readonly tellOthers: Neighbours["tell"];
    readonly isStopping: () => boolean;
  };

export type WorkerPool = {
  readonly context: WorkerContext;
  /** By `sessionText`. */
  readonly sessions: Map<string, Session>;
  /** By token: every job of a session of this server. */
  readonly jobs: Map<string, { session: Session; job: AssignedJob }>;
  /** Tokens whose results have arrived and are being committed. */
  readonly settling: Set<string>;
  /** By `sessionText`: the last change to the list of workers that is under way for the session. It never rejects. */
  readonly listChanges: Map<string, Promise<void>>;
  /** Replies were lost: the database may have leases of this server that it does not know of. */
  isDoubtful: boolean;
  /** Milliseconds for which this server has run. Time for which the process was suspended does not count. */
  nowMs(): number;
};

export function sessionText(tenantId: string, workerSessionId: string): string {
  return `${tenantId}/${workerSessionId}`;
}

/** Whether a connected session of this server serves the queue, in this version if one is given. */
export function isServedHere(pool: WorkerPool, queue: string, version?: number): boolean {
  for (const session of pool.sessions.values()) {
    if (session.link === undefined || session.isDraining) continue;
    const served = session.serves.get(queue);
    if (served !== undefined && (version === undefined || servesVersion(served, version))) return true;
  }
  return false;
}

/** The session of this server that has the run's handler, if that is a handler without a job row. */
export function findHandlerWorker({ jobs }: WorkerPool, { tenantId, runId }: RunKey): string | undefined {
  for (const { session, job } of jobs.values()) {
    const isOfRun = job.run.runId === runId && job.run.tenantId === tenantId;
    if (isOfRun && job.handlerRun !== undefined) return session.workerSessionId;
  }
  return undefined;
}

/** The token of a job's lease; every server computes the same one. */
export function leaseToken(pool: WorkerPool, job: JobHead, isAtMostOnce: boolean): string {
  const { tenantId, runId, idempotencyKey, attempt, leaseNo } = job;
  const { tokenKey } = pool.context.store;
  return writeJobToken(tokenKey, { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce });
}
