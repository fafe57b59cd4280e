/**
 * Jobs: work for workers, in queues.
 *
 *   open ──claim──> leased ──result──> settled          running: a leased job, delivered at most once, that may have begun
 *    ^ ^              │ └──start──> running ──result──> settled
 *    │ └─lease ended──┘
 *    └─due── delayed <──failed attempt── leased, running        each of them ──> cancelled
 *
 * Transitions make, settle and cancel jobs; the verbs say who may do them. None of the verbs touches a run.
 */
import type { Delivery as JobDelivery } from "../../core/call.ts";
import type { JobDraft } from "../../core/job.ts";
import type { Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";

/** One queue. Its jobs are given out in turn over their fairness keys, and in their order inside a key. */
export type JobQueue = {
  tenantId: string;
  kind: JobDraft["kind"];
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
};

export type JobKey = { tenantId: string; idempotencyKey: string };

/**
 * A job's lease: who may give its result. `leaseNo` rises with every lease of the job, so that it fences earlier ones.
 */
export type JobLease = JobKey & { leaseNo: number };

/**
 * A job to be made by a transition; with a lease where a worker was found before the commit. Its lease number is then
 * 1.
 */
export type NewJob = JobDraft & {
  lease?: { serverId: string; workerSessionId: string };
  /**
   * When an attempt that failed already may be followed by the next; `attempt` says which that is. The job begins as
   * delayed.
   */
  dueTime?: Instant;
};

/**
 * An end of a job or of one attempt. The item it belongs to counts only while the job is neither settled nor cancelled
 * and its lease number is `leaseNo`, and nobody else is changing it: otherwise the whole item is a conflict. A lease
 * that has ended, and that was not followed by another, still settles its job. A lease settles once: after a retry it
 * is a conflict (`onlyOpen` is none).
 */
export type JobSettlement = {
  idempotencyKey: string;
  leaseNo: number;
  /** True: only while the job is open (it waited for a worker too long). */
  onlyOpen?: boolean;
  /** Lower-case hex SHA-256 of the result as it was sent, to know it again; absent where no worker sent one. */
  digest?: string;
  /** Absent: the job is settled. */
  retry?: { attempt: number; dueTime: Instant };
};

export type JobState = "open" | "delayed" | "leased" | "running" | "settled" | "cancelled";

/** A job without its payload. */
export type JobHead = JobKey & {
  runId: string;
  kind: JobDraft["kind"];
  name: string;
  state: JobState;
  /** 0: never leased. */
  leaseNo: number;
  workerSessionId?: string;
  /** The server that keeps the lease, at which its worker was connected last. */
  leaseServerId?: string;
  /** When the lease began; database time. */
  leaseTime?: Instant;
  /** Leases that ended without a result. */
  losses: number;
  attempt: number;
  ordinal: number;
  /** The lease whose result counted last, and that result's digest. */
  settledLeaseNo?: number;
  settledDigest?: string;
  timeoutMs: number;
  heartbeatTimeoutMs?: number;
  delivery?: JobDelivery;
};

/** A job that was leased just now: what its offer says. */
export type LeasedJob = JobHead & {
  workerSessionId: string;
  seq: number;
  nodeId: string;
  callId?: string;
  payload: Json;
  workflowId: string;
  version: number;
  sessionId?: string;
};

/** How many jobs of a queue are wanted, and by whom. */
export type JobRequest = JobQueue & {
  /** Of a handler's workflow: only runs of these versions. Absent: all. */
  versions?: readonly number[];
  /** One entry for each job that is wanted: the worker session that it is leased to. */
  workerSessionIds: readonly string[];
};

/** Leases of a server that is gone. */
export type OrphanedLeases = {
  tenantId: string;
  workerSessionId: string;
  serverId: string;
  /** How long ago the server's lease ended, by the database's clock. */
  goneMs: number;
};

export interface JobStore {
  /**
   * Leases open jobs to worker sessions, at most one for each wanted: of each queue in turn over its fairness keys, and
   * in their order inside a key. Jobs of paused runs, and those that another transaction has in hand, are passed over.
   * Requests are for different queues, or different versions of one.
   */
  claim(serverId: string, requests: readonly JobRequest[]): Promise<LeasedJob[]>;
  /**
   * Ends leases. "open": the job is in its queue again, at its old place, with one loss more unless it was never
   * accepted; "exhausted": that would have been more than `lossesMax` losses, and nothing was changed; "running": it is
   * delivered at most once and may have begun, and nothing was changed; "gone": the lease had ended already, or is
   * another server's. In the order of the leases.
   * @param serverId only leases of this server: a worker session that has moved to another one has taken its leases
   * along. Absent: all
   */
  release(
    leases: readonly (JobLease & { isLoss: boolean })[],
    lossesMax: number,
    serverId?: string,
  ): Promise<("open" | "exhausted" | "running" | "gone")[]>;
  /**
   * Commits that jobs delivered at most once may begin: leased ones become running. Says for each whether the lease
   * holds.
   */
  start(leases: readonly JobLease[]): Promise<boolean[]>;
  /**
   * Moves the leases of a worker session to `serverId`, from any server or only from `fromServerId`, and gives them; at
   * most `limit`.
   */
  adopt(request: {
    tenantId: string;
    workerSessionId: string;
    serverId: string;
    fromServerId?: string;
    limit: number;
  }): Promise<JobHead[]>;
  /** Leases held by servers whose own lease has ended. */
  listOrphanedLeases(limit: number): Promise<OrphanedLeases[]>;
  /**
   * Deals with what is due (database time): delayed jobs become open, in queues that are given; open ones that have
   * waited too long are given, and given again after `retryAfterMs` while nobody settles them.
   */
  claimDue(
    limit: number,
    retryAfterMs: number,
  ): Promise<{ queues: JobQueue[]; expired: JobHead[]; nextJobTime?: Instant }>;
  /** In the order of the keys; undefined where there is no such job. */
  load(keys: readonly JobKey[]): Promise<(JobHead | undefined)[]>;
  /** Counts a result that was refused and keeps it as the job's last, cut to 64 KiB. */
  noteRefusedResult(key: JobKey, refusal: { reason: string; output: string }): Promise<void>;
}
