/**
 * What the engine asks of storage: a contract of verbs with two implementations, `postgres/` and `memory/`, that pass
 * one shared suite (`store-suite.ts`).
 *
 * Authoritative here: the ledger (step records). A run's row is a cache of its fold, changed only by `commit`, only where
 * its `seq` is the expected one. What is beside the state on that row (`ownerLane`, `wakeTime`) says who looks at the run
 * next and when.
 *
 * Lock order inside one commit: the lane, channels in order of their key, mail and runs (those that exist
 * are never waited for: locked mail or a locked run is a conflict), the rest are inserts. `lock_timeout` is 1 s everywhere.
 *
 * After a crash: a batch is there whole or not at all; `settleBatch` says which. Runs of an ended lane are handed out again by
 * `claimRuns`, timers by `claimDueRuns`, mail and events that nobody looked after by `findStrays`.
 */
import { DomainError } from "../core/errors.ts";
import type { Channel, ChannelEvent, EventDraft, EventLookup, EventQuery } from "../core/event.ts";
import type { Instant } from "../core/duration.ts";
import type { JobDraft } from "../core/decision.ts";
import type { SealedRecord } from "../core/ledger-format.ts";
import type { RunState, RunStatus } from "../core/run.ts";
import type { Wait, WaitReason } from "../core/wait.ts";
import type { WorkflowDefinition } from "../core/workflow.ts";

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
  after: StoredRun;
  /** Whether vars, output differ from what is stored; unchanged ones are not written. */
  varsChanged: boolean;
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
  jobs: readonly JobDraft[];
  /** Jobs of the run that are not to be done any more: all that are open. */
  cancelJobs: boolean;
  /** Mail that this transition acts on and takes away. All of it must still be there, for this run, and in the hands of no other
   *  transaction: otherwise the item is a conflict, so that of two servers that have read the same mail one acts on it. */
  consumedMail: readonly number[];
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
export type ServerLease = { serverId: string; process: string; renewals: number };

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
   * touches no other. Within a batch each run appears at most once.
   * @throws BatchOutcomeUnknownError, LaneFencedError, BatchRejectedError, BatchContendedError, StoreUnavailableError
   */
  commit(batch: Batch): Promise<ItemOutcome[]>;
  /** Says whether a batch was committed; if not, it never will be. Waits while it is still being committed. */
  settleBatch(laneId: number, batchNo: number): Promise<"committed" | "void">;

  // Runs.

  /** In the order of the keys; undefined where there is no such run. */
  loadRuns(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
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
  /** How far the listeners of a channel have been woken. */
  readWoken(channel: Channel): Promise<{ lastNumber: number; wokenNumber: number }>;

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
