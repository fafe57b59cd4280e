/**
 * What the engine asks of storage: a contract of verbs with two implementations, `postgres/` and `memory/`, that pass
 * one shared suite (`store-suite.ts`).
 *
 * Authoritative here: the ledger (step records). A run's row is a cache of its fold, changed only by `commit`, only where
 * its `seq` is the expected one. The row of an active run may be behind (row-behind.ts): whatever reads a run here folds the records
 * behind its row into it. What is beside the state on that row (`ownerLane`, `wakeTime`) says who looks at the run next and when.
 *
 * Lock order inside one commit: the lane, channels in order of their key, mail, jobs that are settled and runs (those that exist
 * are never waited for: what is locked is a conflict), jobs that are cancelled or held; the rest are inserts. The verbs for jobs never
 * wait for one job while they hold another. `lock_timeout` is 1 s everywhere.
 *
 * After a crash: a batch is there whole or not at all; `settleBatch` says which. Runs of an ended lane are handed out again by
 * `claimRuns`, timers by `claimDueRuns`, mail and events that nobody looked after by `findStrays`. Leases of jobs outlive their server: they are
 * found by `listOrphanedLeases` and moved by `adoptJobs`; jobs that are due are given by `claimDueJobs`.
 */
import { DomainError } from "../core/errors.ts";
import type { Channel, ChannelEvent, EventDraft, EventLookup, EventQuery } from "../core/event.ts";
import type { Instant } from "../core/duration.ts";
import type { Delivery as JobDelivery } from "../core/call.ts";
import type { JobDraft } from "../core/job.ts";
import type { Json } from "../core/json.ts";
import type { SealedRecord } from "../core/ledger-format.ts";
import type { RunState, RunStatus } from "../core/run.ts";
import type { Wait, WaitReason } from "../core/wait.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { RowBehind } from "./row-behind.ts";
import type { VarsWrite } from "./vars-write.ts";

export type RunKey = { tenantId: string; runId: string };

/** A run as it is stored: the fold, and what the engine needs beside it. */
export type StoredRun = {
  state: RunState;
  /** Lower-case hex: `prev` of the next record. */
  headHash: string;
  /** Lower-case hex: the RFC 8785 digest of the request that started it. */
  requestDigest: string;
  /** The lane whose server computes on the run; absent while it is parked. */
  ownerLane?: number;
  /** Which release's rules the row follows; a server leaves alone what is newer than itself. */
  format: number;
  /** Absent: the row says what `state` says. */
  behind?: RowBehind;
};

/** What happened to a run that watchers of all runs want to know. */
export type NoticeKind =
  | "started"
  | "waiting"
  | "resumed"
  | "paused"
  | "unpaused"
  | "completed"
  | "failed"
  | "cancelled";
export type NoticeDraft = { kind: NoticeKind; seq: number };

/** An open wait to be listed in the inbox and found by events. */
export type OpenWait = Wait & { seq: number };

/** How an open wait came to its end. Kept, so that a repeated answer finds its first reply. */
export type WaitClosing = {
  waitId: string;
  closeTime: Instant;
  by: "answer" | "time" | "event" | "cancel" | "end";
  /** The seq that the run had when the transition that closed the wait was committed. */
  runSeq: number;
  requestId?: string;
  actorId?: string;
};

/** One run's step forward; committed whole or not at all, and only if the run's seq is still `expectedSeq`. */
export type Transition = RunKey & {
  /** 0: the run is new. */
  expectedSeq: number;
  /** The seq of the run's row: `expectedSeq`, or less where the row is behind. With `after.behind` the row is left as it is, and nothing
   *  but records and events is written. */
  rowSeq: number;
  after: StoredRun;
  /** How vars are written that differ from what is stored; present for a new run. Absent: they are left as they are. */
  vars?: VarsWrite;
  /** Whether the output differs from what is stored; an unchanged one is not written. */
  outputChanged: boolean;
  /** When the run wakes by itself. */
  wakeTime?: Instant;
  records: readonly SealedRecord[];
  notices: readonly NoticeDraft[];
  openWait?: OpenWait;
  closeWait?: WaitClosing;
  events: readonly EventDraft[];
  /** The commit counts only while the channel's last number is at most `upTo`. */
  expectChannel?: { channel: Channel; upTo: number };
  jobs: readonly NewJob[];
  /** Jobs of the run that have come to an end, or to the end of an attempt. */
  settledJobs: readonly JobSettlement[];
  /** Jobs of the run that are not to be done any more: all that are not settled, after `settledJobs`. */
  cancelJobs: boolean;
  /** Whether the queue holds the run's jobs back (its run was paused) or gives them out again; absent: as before. */
  holdJobs?: boolean;
  /** Mail that this transition acts on and takes away. All of it must still be there, for this run, and in the hands of no other
   *  transaction: otherwise the item is a conflict, so that of two servers that have read the same mail one acts on it. */
  consumedMail: readonly number[];
};

// Jobs.
//
//   open ──claim──> leased ──result──> settled          running: a leased job, delivered at most once, that may have begun
//    ^ ^              │ └──start──> running ──result──> settled
//    │ └─lease ended──┘
//    └─due── delayed <──failed attempt── leased, running        each of them ──> cancelled

/** One queue. Its jobs are given out in turn over their fairness keys, and in their order inside a key. */
export type JobQueue = {
  tenantId: string;
  kind: JobDraft["kind"];
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
};

export type JobKey = { tenantId: string; idempotencyKey: string };

/** A job's lease: who may give its result. `leaseNo` rises with every lease of the job, so that it fences earlier ones. */
export type JobLease = JobKey & { leaseNo: number };

/** A job to be made by a transition; with a lease where a worker was found before the commit. Its lease number is then 1. */
export type NewJob = JobDraft & {
  lease?: { serverId: string; workerSessionId: string };
  /** When an attempt that failed already may be followed by the next; `attempt` says which that is. The job begins as delayed. */
  dueTime?: Instant;
};

/**
 * An end of a job or of one attempt. The item it belongs to counts only while the job is neither settled nor cancelled and its
 * lease number is `leaseNo`, and nobody else is changing it: otherwise the whole item is a conflict. A lease that has ended, and
 * that was not followed by another, still settles its job. A lease settles once: after a retry it is a conflict (`onlyOpen` is none).
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

/** Leases that a server which is gone has left behind. */
export type OrphanedLeases = {
  tenantId: string;
  workerSessionId: string;
  serverId: string;
  /** How long ago the server's lease ended, by the database's clock. */
  goneMs: number;
};

/** A worker that is connected to a server. */
export type StoredWorker = {
  tenantId: string;
  workerSessionId: string;
  serverId: string;
  actorId?: string;
  name: string;
  tools: readonly StoredTool[];
  workflows: readonly { workflowId: string; versions: readonly number[] }[];
  customTypes: readonly { type: string; delivery?: JobDelivery; concurrency: number }[];
  connectTime: Instant;
  draining: boolean;
};

/** What a worker serves, without what its tools look like. */
export type WorkerServices = Pick<StoredWorker, "tenantId" | "workerSessionId" | "workflows" | "customTypes"> & {
  toolNames: readonly string[];
};

export type StoredTool = {
  name: string;
  version: string;
  description: string;
  /** JSON text; "" where there is none. */
  inputSchema: string;
  delivery?: JobDelivery;
  /** 0: no bound of its own. */
  concurrency: number;
};

/** Mail and events that come from outside of any run. */
export type Delivery = { type: "event"; event: EventDraft } | ({ type: "mail"; mail: MailDraft } & RunKey);

export type MailDraft = { kind: "cancel" | "pause" | "unpause"; actorId?: string; reason?: string };
export type Mail = RunKey & MailDraft & { mailId: number };

export type BatchItem = { type: "transition"; transition: Transition } | { type: "delivery"; delivery: Delivery };

/**
 * What became of one item. "conflict": the run's seq is another one, the row is being changed now, its `consumedMail` is not
 * there any more, or (expectedSeq 0) the run exists or existed. "channel_moved": the channel has an event that the transition did not see. For an event: the number it got, or
 * "duplicate" where its event_id is in the channel already.
 */
export type ItemOutcome =
  | { type: "committed"; number?: number }
  | { type: "conflict" }
  | { type: "channel_moved" }
  | { type: "duplicate" };

export type Batch = { laneId: number; batchNo: number; items: readonly BatchItem[] };

/** A lane lease. Its number rises with time over the whole database; `nonce` tells it from its like before a restored backup. */
export type Lane = { laneId: number; nonce: number };

/** A server's lease, observed by the others. */
export type ServerLease = {
  serverId: string;
  process: string;
  renewals: number;
  /** The newest format of runs that it knows. */
  runFormat: number;
};

/** What the regular look around sees; one statement, about every 2 s. */
export type Surroundings = {
  /** Database time. */
  now: Instant;
  /** False: others have ended this server's lease, so it must stop committing. */
  leaseHeld: boolean;
  /** Every other server whose lease is open. */
  others: ServerLease[];
  /** Whether active runs belong to lanes that have ended. */
  hasOrphans: boolean;
  /** The earliest `wakeTime` of all runs. */
  nextWakeTime?: Instant;
  /** Whether jobs are leased to workers of servers that have ended. */
  hasOrphanedLeases: boolean;
  /** The earliest time at which a delayed job becomes open, or an open one has waited too long. */
  nextJobTime?: Instant;
};

/** A notice in the feed over all runs, at its position. `time` is when its batch was committed, by the database's clock. */
export type FeedEntry = RunKey & {
  laneId: number;
  batchNo: number;
  ordinal: number;
  kind: NoticeKind;
  seq: number;
  time: Instant;
};

/** How far a reader has come in one lane; entries behind (batchNo, ordinal) are unread. */
export type LanePosition = { laneId: number; batchNo: number; ordinal: number };

/** A lane as the feed's cursors see it. */
export type LaneState = Lane & { ended: boolean; lastBatchNo: number };

export type RunFilter = {
  workflowId?: string;
  version?: number;
  statuses?: readonly RunStatus[];
  sessionId?: string;
  actorId?: string;
  parentRunId?: string;
  rootRunId?: string;
  labels?: Readonly<Record<string, string>>;
  paused?: boolean;
  waitingReasons?: readonly WaitReason[];
  createTimeAfter?: Instant;
  createTimeBefore?: Instant;
};
export type RunOrder = "create_time_desc" | "create_time_asc" | "update_time_desc";

/** Where a page of a list begins: behind this entry. */
export type PageStart = { time: Instant; id: string };
export type Page<T> = { items: T[]; next?: PageStart };

export type WaitFilter = {
  reasons: readonly WaitReason[];
  workflowId?: string;
  sessionId?: string;
  runId?: string;
  assignee?: string;
  labels?: Readonly<Record<string, string>>;
};

/** A wait with what the inbox shows of its run; `closing` once it has ended. */
export type StoredWait = RunKey & {
  wait: Wait;
  workflowId: string;
  sessionId?: string;
  labels: Readonly<Record<string, string>>;
  closing?: WaitClosing;
};

export type StoredWorkflow = {
  tenantId: string;
  workflowId: string;
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  createTime: Instant;
  /** Whether starts without a version take this one. */
  current: boolean;
  archived: boolean;
};

/** A wait that events of a channel may end. */
export type Listener = RunKey & { waitId: string; names: string[]; key?: string };

/** What a crash left behind, or another server did not come to: bounded lists, oldest first. */
export type Strays = {
  /** Runs with mail that is older than `olderThanMs`. */
  mailed: RunKey[];
  /** Channels with events whose listeners were not all woken. */
  channels: Channel[];
};

/** How long callers should leave a database that is away alone. */
const UNAVAILABLE_RETRY_AFTER_MS = 1_000;

/** The database cannot be reached, or is starting or stopping. A refusal, because callers can act on it: ask again. */
export class StoreUnavailableError extends DomainError {
  /** @param why for the log; callers are not told how the database is reached */
  constructor(why: string, options: ErrorOptions = {}) {
    super("DATABASE_UNAVAILABLE", "The database cannot be reached now; ask again.", {
      retryAfterMs: UNAVAILABLE_RETRY_AFTER_MS,
    });
    this.cause = options.cause ?? new Error(why);
  }
}

/** The connection died while a batch was being committed: ask `settleBatch` before anything else. */
export class BatchOutcomeUnknownError extends Error {}

/** The lane's lease has ended: nothing of this batch was or will be committed. */
export class LaneFencedError extends StoreUnavailableError {}

/** The database refuses this batch for what is in it (not transient). */
export class BatchRejectedError extends Error {}

/** Nothing of the batch was committed: for `lock_timeout` somebody held a lock that it needs (a channel's), or it was given up for
 *  another in a deadlock. Again, or in parts, it may succeed. */
export class BatchContendedError extends Error {}

/** How far a channel's listeners have been woken. */
export type ChannelProgress = {
  /** The last event's number, 0 where nothing was emitted. */
  lastNumber: number;
  wokenNumber: number;
  /** Whether there are open waits for events of the channel. A wait that opens later has looked at all events up to then. */
  isHeard: boolean;
};

export interface Store {
  /** A random value of 32 bytes that all servers on this database share; signs cursors and page tokens. */
  readonly tokenKey: Uint8Array;

  // Leases.

  /** Opens a server's lease with `lanes` lanes. Lane ids become visible in their order. */
  openServer(request: { serverId: string; process: string; lanes: number }): Promise<Lane[]>;
  /** Renews the lease and looks around, on a connection of its own that busy statements cannot starve. */
  lookAround(serverId: string): Promise<Surroundings>;
  /** Ends a server's lease: waits for the batches of its lanes in flight (at most lock_timeout), fences all later ones. */
  endServer(serverId: string): Promise<void>;

  // Commits.

  /**
   * Commits a batch in one round trip and one transaction; outcomes stand in the order of the items. One item's conflict
   * touches no other, but for one that is rare: that a step record's place is taken is a conflict of an item that is alone, and rejects a
   * batch of several. Within a batch each run appears at most once.
   * @throws BatchOutcomeUnknownError, LaneFencedError, BatchRejectedError, BatchContendedError, StoreUnavailableError
   */
  commit(batch: Batch): Promise<ItemOutcome[]>;
  /** Says whether a batch was committed; if not, it never will be. Waits while it is still being committed. */
  settleBatch(laneId: number, batchNo: number): Promise<"committed" | "void">;

  // Runs.

  /** In the order of the keys; undefined where there is no such run. */
  loadRuns(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** The same without payloads: vars are null, and there is no output. */
  loadRunHeads(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** Without vars and output: `state.vars` is null and `state.output` absent. */
  listRuns(request: {
    tenantId: string;
    filter: RunFilter;
    order: RunOrder;
    start?: PageStart;
    limit: number;
  }): Promise<Page<StoredRun>>;
  /**
   * Deletes an ended run with its records, waits, jobs and mail. False: it has not ended, or is not there.
   *
   * Its id is never used again: a start of it is a conflict for ever. Idempotency keys and wait ids are derived from run id and
   * seq, so a second run of the id would be given the answers of the first, and repeat its effects' keys.
   */
  deleteRun(key: RunKey): Promise<boolean>;
  /** Whether there was a run of this id that was deleted. */
  wasDeleted(key: RunKey): Promise<boolean>;
  /** Makes `laneId` the owner of up to `limit` active runs whose lanes have ended, and gives their keys. */
  claimRuns(laneId: number, limit: number): Promise<RunKey[]>;
  /**
   * Takes up to `limit` runs whose wake time has come (database time), earliest first. Their wake time is moved ahead by
   * `retryAfterMs`, so that another server tries if the taker dies.
   */
  claimDueRuns(limit: number, retryAfterMs: number): Promise<{ now: Instant; runs: RunKey[]; nextWakeTime?: Instant }>;

  // Ledger.

  listStepRecords(key: RunKey, afterSeq: number, limit: number): Promise<SealedRecord[]>;

  // Waits.

  getWait(tenantId: string, waitId: string): Promise<StoredWait | undefined>;
  /** Open waits, oldest first. */
  listWaits(request: {
    tenantId: string;
    filter: WaitFilter;
    start?: PageStart;
    limit: number;
  }): Promise<Page<StoredWait>>;

  // Events.

  /** The last number of each channel, 0 where nothing was emitted. */
  readChannels(channels: readonly Channel[]): Promise<number[]>;
  /** For each query the first event that `queryMatches`, and the number up to which that is so. Makes the channels' rows. */
  lookUpEvents(queries: readonly EventQuery[]): Promise<EventLookup[]>;
  /** Events numbered above `after`, in order. */
  listEvents(channel: Channel, after: number, limit: number): Promise<ChannelEvent[]>;
  /** Open, unpaused event waits on a channel that one of the (name, key) pairs matches, in order of wait id. */
  listListeners(request: {
    channel: Channel;
    events: readonly { name: string; key: string }[];
    afterWaitId?: string;
    limit: number;
  }): Promise<Listener[]>;
  /** Notes that the listeners of all events up to `number` have been woken. */
  markWoken(channels: readonly { channel: Channel; number: number }[]): Promise<void>;
  /** How far the listeners of each channel have been woken. */
  readWoken(channels: readonly Channel[]): Promise<ChannelProgress[]>;

  // Jobs. Transitions make, settle and cancel them; here is who may do them. None of these touches a run.

  /**
   * Leases open jobs to worker sessions, at most one for each wanted: of each queue in turn over its fairness keys, and in their
   * order inside a key. Jobs of paused runs, and those that another transaction has in hand, are passed over. Requests are for
   * different queues, or different versions of one.
   */
  claimJobs(serverId: string, requests: readonly JobRequest[]): Promise<LeasedJob[]>;
  /**
   * Ends leases. "open": the job is in its queue again, at its old place, with one loss more unless it was never accepted; "exhausted":
   * that would have been more than `lossesMax` losses, and nothing was changed; "running": it is delivered at most once and may have
   * begun, and nothing was changed; "gone": the lease had ended already, or is another server's. In the order of the leases.
   * @param serverId only leases of this server: a worker session that has moved to another one has taken its leases along. Absent: all
   */
  releaseJobs(
    leases: readonly (JobLease & { isLoss: boolean })[],
    lossesMax: number,
    serverId?: string,
  ): Promise<("open" | "exhausted" | "running" | "gone")[]>;
  /** Commits that jobs delivered at most once may begin: leased ones become running. Says for each whether the lease holds. */
  startJobs(leases: readonly JobLease[]): Promise<boolean[]>;
  /** Moves the leases of a worker session to `serverId`, from any server or only from `fromServerId`, and gives them; at most `limit`. */
  adoptJobs(request: {
    tenantId: string;
    workerSessionId: string;
    serverId: string;
    fromServerId?: string;
    limit: number;
  }): Promise<JobHead[]>;
  /** Leases held by servers whose own lease has ended. */
  listOrphanedLeases(limit: number): Promise<OrphanedLeases[]>;
  /**
   * Looks after what is due (database time): delayed jobs become open, in queues that are given; open ones that have waited too long
   * are given, and given again after `retryAfterMs` while nobody settles them.
   */
  claimDueJobs(
    limit: number,
    retryAfterMs: number,
  ): Promise<{ queues: JobQueue[]; expired: JobHead[]; nextJobTime?: Instant }>;
  /** In the order of the keys; undefined where there is no such job. */
  loadJobs(keys: readonly JobKey[]): Promise<(JobHead | undefined)[]>;
  /** Counts a result that was refused and keeps it as the job's last, cut to 64 KiB. */
  noteRefusedResult(key: JobKey, refusal: { reason: string; output: string }): Promise<void>;

  // Workers.

  /** Registers a connected worker, in place of an earlier connection of its session. Its connect time is the database's. */
  saveWorker(worker: Omit<StoredWorker, "connectTime">): Promise<void>;
  /** Takes a worker off the list, unless it has connected to another server since. */
  removeWorker(worker: Pick<StoredWorker, "tenantId" | "workerSessionId" | "serverId">): Promise<void>;
  /** Workers of servers that have not ended, by session id. */
  listWorkers(request: { tenantId: string; tool?: string; start?: string; limit: number }): Promise<StoredWorker[]>;
  /** What workers serve, of all tenants, that are connected to other servers that have not ended, and that take jobs. */
  listWorkersElsewhere(serverId: string, limit: number): Promise<WorkerServices[]>;

  // Mail and what was left behind.

  listMail(keys: readonly RunKey[]): Promise<Mail[]>;
  findStrays(olderThanMs: number, limit: number): Promise<Strays>;

  // Workflows.

  /** Registers a definition under its digest; a known digest changes nothing and gives its version. */
  registerWorkflow(request: {
    tenantId: string;
    digest: string;
    definition: WorkflowDefinition;
  }): Promise<StoredWorkflow>;
  /** version 0: the current one. */
  getWorkflow(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  /** The current version of each workflow, by id; or, given `workflowId`, all its versions, newest first. */
  listWorkflows(request: {
    tenantId: string;
    workflowId?: string;
    includeArchived: boolean;
    /** The last workflow id, or the last version, of the page before. */
    start?: string | number;
    limit: number;
  }): Promise<StoredWorkflow[]>;
  /** version 0: follow the highest again. Undefined: there is no such version. */
  setCurrentVersion(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  setArchived(tenantId: string, workflowId: string, archived: boolean): Promise<StoredWorkflow | undefined>;

  // The feed over all runs.

  /** Every lane that has not ended, or that ended with an id above `aboveLaneId`. */
  listLanes(aboveLaneId: number): Promise<LaneState[]>;
  /** Entries of one tenant behind the given positions in the lanes named. Each lane's entries come in the lane's order, so a
   *  page never leaves out an earlier one while it has a later one; lanes are merged by the time of their batches. */
  readFeed(tenantId: string, positions: readonly LanePosition[], limit: number): Promise<FeedEntry[]>;

  // Other servers.

  /** Tells the other servers something small; may be lost. At most 7,000 bytes. */
  notify(payload: string): Promise<void>;
  /** Calls back with what other servers (and this one) say, until the returned function is called. */
  listen(onPayload: (payload: string) => void): Promise<() => Promise<void>>;

  /** Database time. */
  now(): Promise<Instant>;
  /** Whether the database answers. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
