/** What the parts of the worker side share: the sessions of this server, its clock for their liveness, and its settings. */
import type { JobHead } from "../../store/contract/jobs.ts";
import type { Essentials } from "../essentials.ts";
import type { Neighbours } from "../neighbours.ts";
import type { NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { writeJobToken } from "./job-token.ts";
import { type HeldJob, type Session, servesVersion } from "./session.ts";

/** What the worker side takes from the rest of the engine. */
export type WorkerContext = Essentials &
  Pick<Reads, "loadRun" | "loadRunHead"> & {
    readonly hub: Pick<NoticeHub, "watchNamedRun">;
    /** Tells other servers that something waits in a queue of jobs. */
    readonly tellOthers: Neighbours["tell"];
    readonly isStopping: () => boolean;
  };

export type WorkerPool = {
  readonly context: WorkerContext;
  /** By `sessionText`. */
  readonly sessions: Map<string, Session>;
  /** Every job that a session of this server has, by its token. */
  readonly held: Map<string, { session: Session; job: HeldJob }>;
  /** Tokens whose results have come and are being committed. */
  readonly settling: Set<string>;
  /** Changes of the list of workers that are being made, by `sessionText`: the last of each session, which never rejects. */
  readonly listChanges: Map<string, Promise<void>>;
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

/** The token of a job's lease: the same at every server. */
export function leaseToken(pool: WorkerPool, job: JobHead, isAtMostOnce: boolean): string {
  const { tenantId, runId, idempotencyKey, attempt, leaseNo } = job;
  const { tokenKey } = pool.context.store;
  return writeJobToken(tokenKey, { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce });
}
