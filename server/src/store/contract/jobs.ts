/**
 * Jobs: work for workers, in queues.
 *
 *   open ──claim──> leased ──result──> settled
 *    ^ ^              │ └──start──> running ──result──> settled
 *    │ └─lease ended──┘
 *    └─due── delayed <──failed attempt── leased, running        each of them ──> cancelled
 *
 * A running job is a leased one that is delivered at most once and may have begun. Transitions create, settle and
 * cancel jobs; the verbs decide who may do the work. No verb touches a run.
 */
import type { DamageError } from "../../core/damage.ts";
import type { Delivery as JobDelivery } from "../../core/call.ts";
import type { JobDraft } from "../../core/job.ts";
import type { Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";

/** A queue. Its fairness keys take turns; jobs with the same key are given out in their order. */
export type JobQueue = {
  tenantId: string;
  kind: JobDraft["kind"];
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
};

export type JobKey = { tenantId: string; idempotencyKey: string };

/**
 * A job's lease: the right to report its result. `leaseNo` rises with every lease of the job and fences earlier ones.
 */
export type JobLease = JobKey & { leaseNo: number };

/**
 * A job for a transition to create. It has a lease if a worker was found before the commit; its lease number is then 1.
 */
export type NewJob = JobDraft & {
  lease?: { serverId: string; workerSessionId: string };
  /**
   * Present if an earlier attempt has already failed: when the next attempt, number `attempt`, may begin. The job
   * starts as delayed.
   */
  dueTime?: Instant;
};

/**
 * Settles a job or ends one of its attempts. The item that carries it commits only if the job is neither settled nor
 * cancelled, its lease number is `leaseNo`, and no other transaction is changing it; otherwise the whole item is a
 * conflict. A lease that has ended still settles its job if no other lease followed. Each lease settles only once:
 * after a retry, settling again is a conflict. `onlyOpen` settlements have no lease and are exempt.
 */
export type JobSettlement = {
  idempotencyKey: string;
  leaseNo: number;
  /** True: settle the job only if it is open (it waited for a worker too long). */
  onlyOpen?: boolean;
  /** Lower-case hex SHA-256 of the result as it was sent, to recognize a repeat; absent if no worker sent it. */
  digest?: string;
  /** Absent: the job settles. */
  retry?: { attempt: number; dueTime: Instant };
};

export type JobState = "open" | "delayed" | "leased" | "running" | "settled" | "cancelled";

/** A job without its payload. */
export type JobHead = JobKey & {
  runId: string;
  kind: JobDraft["kind"];
  name: string;
  state: JobState;
  /** 0 if it was never leased. */
  leaseNo: number;
  workerSessionId?: string;
  /** The server that keeps the lease: the one that its worker was last connected to. */
  leaseServerId?: string;
  /** When the lease began, in database time. */
  leaseTime?: Instant;
  /** Leases that ended without a result. */
  losses: number;
  attempt: number;
  ordinal: number;
  /** The lease whose result was the last to count. `settledDigest` is that result's digest. */
  settledLeaseNo?: number;
  settledDigest?: string;
  timeoutMs: number;
  heartbeatTimeoutMs?: number;
  delivery?: JobDelivery;
};

/** A job that was just leased, with everything its offer needs. */
export type LeasedJob = JobHead & {
  workerSessionId: string;
  seq: number;
  nodeId: string;
  callId?: string;
  /** Null if it cannot be read. */
  payload: Json;
  workflowId: string;
  version: number;
  sessionId?: string;
  /** The payload cannot be read. */
  damage?: DamageError;
};

/** How many jobs of a queue to lease, and to which worker sessions. */
export type JobRequest = JobQueue & {
  /** For a handler's workflow: only runs of these versions. Absent: all versions. */
  versions?: readonly number[];
  /** One entry for each job: the worker session to lease it to. */
  workerSessionIds: readonly string[];
};

/** Leases of a server that has ended. */
export type OrphanedLeases = {
  tenantId: string;
  workerSessionId: string;
  serverId: string;
  /** How long ago the server's lease ended, in database time. */
  goneMs: number;
};

export interface JobStore {
  /**
   * Leases open jobs to worker sessions, at most one for each entry of `workerSessionIds`. Fairness keys of a queue
   * take turns; jobs with the same key keep their order. Jobs of paused runs, and jobs that another transaction has
   * locked, are skipped. Each request names a different queue, or different versions of one.
   */
  claim(serverId: string, requests: readonly JobRequest[]): Promise<LeasedJob[]>;
  /**
   * Ends leases, and returns an outcome for each in their order:
   * - "open": the job is back in its queue at its old place, with one more loss unless it was never accepted.
   * - "exhausted": one more loss would exceed `lossesMax`; nothing changed.
   * - "running": the job is delivered at most once and may have begun; nothing changed.
   * - "gone": the lease had already ended, or belongs to another server.
   * @param serverId only leases of this server, because a worker session that moved to another server took its leases
   * along. Absent: leases of any server
   */
  release(
    leases: readonly (JobLease & { isLoss: boolean })[],
    lossesMax: number,
    serverId?: string,
  ): Promise<("open" | "exhausted" | "running" | "gone")[]>;
  /**
   * Commits that jobs that are delivered at most once may begin: leased ones become running. Returns for each whether
   * its lease still holds.
   */
  start(leases: readonly JobLease[]): Promise<boolean[]>;
  /**
   * Moves at most `limit` leases of a worker session to `serverId` and returns them. They come from any server, or only
   * from `fromServerId` if it is given.
   */
  adopt(request: {
    tenantId: string;
    workerSessionId: string;
    serverId: string;
    fromServerId?: string;
    limit: number;
  }): Promise<JobHead[]>;
  /** Returns leases that belong to servers whose own lease has ended. */
  listOrphanedLeases(limit: number): Promise<OrphanedLeases[]>;
  /**
   * Handles what is due in database time. Delayed jobs become open, and their queues are returned. Open jobs that
   * waited too long are returned, and returned again every `retryAfterMs` until they settle.
   */
  claimDue(
    limit: number,
    retryAfterMs: number,
  ): Promise<{ queues: JobQueue[]; expired: JobHead[]; nextJobTime?: Instant }>;
  /** Returns the jobs in the order of the keys; undefined for a job that does not exist. */
  load(keys: readonly JobKey[]): Promise<(JobHead | undefined)[]>;
  /** Counts a refused result, and keeps it, cut to 64 KiB, as the job's last one. */
  noteRefusedResult(key: JobKey, refusal: { reason: string; output: string }): Promise<void>;
}
