/**
 * The tables of an in-memory database, shared by the stores of several servers in one process.
 *
 * The maps are authoritative. Every verb changes them in one go, without an await in between, so that each verb is a
 * transaction. JSON is kept as text, as in Postgres: no caller can change a stored value by keeping a reference to it,
 * and what JSON cannot represent is lost here as it is there.
 */
import { type Instant, instantFromEpochMicros } from "../../core/duration.ts";
import type { Channel, ChannelEvent } from "../../core/event.ts";
import { parseOwnJson } from "../../core/json/json.ts";
import type { SealedPart, SealedRecord } from "../../core/ledger-format.ts";
import type { RunState } from "../../core/run.ts";
import type { Wait } from "../../core/wait.ts";
import type { Batch, CommittedBatch } from "../contract/batch.ts";
import type { FeedEntry } from "../contract/feed.ts";
import type { JobHead, NewJob } from "../contract/jobs.ts";
import type { Mail } from "../contract/mail.ts";
import type { RunKey, StoredRun } from "../contract/runs.ts";
import type { WaitClosing } from "../contract/waits.ts";
import type { StoredWorker } from "../contract/workers.ts";
import type { RunPart } from "../part.ts";

/** The faults that a test may inject into a database. */
export type MemoryFaults = {
  /** The database is unreachable: every verb throws StoreUnavailableError, and notices are lost. */
  away: boolean;
  /**
   * Awaited before the effect of every verb and again before its reply. It decides how the verbs of several servers
   * interleave. The effect itself is atomic.
   */
  turn?: ((verb: string) => void | Promise<void>) | undefined;
  /** Awaited before a batch is committed. If it throws, the error is the reply and nothing is committed. */
  beforeCommit?: ((batch: Batch) => void | Promise<void>) | undefined;
  /** Awaited after a batch was committed. If it throws, the error is the reply, but the batch is committed. */
  afterCommit?: ((batch: Batch) => void | Promise<void>) | undefined;
};

export type RunRow = RunKey &
  Omit<StoredRun, "state"> & {
    /** For filters; never returned. `vars` is null and `output` absent. */
    head: RunState;
    stateText: string;
    /** JSON texts, by kind and name. */
    parts: Map<RunPart, Map<string, string>>;
    wakeTime?: Instant;
    records: (Omit<SealedRecord, "parts"> & { parts: SealedPart[] })[];
  };

export type JobRow = RunKey &
  Pick<
    JobHead,
    "idempotencyKey" | "kind" | "name" | "state" | "leaseNo" | "losses" | "attempt" | "ordinal" | "timeoutMs"
  > &
  Pick<NewJob, "seq" | "nodeId" | "fairnessKey"> & {
    callId: string | undefined;
    payloadText: string;
    /** Jobs of a queue are given out by turn, then by position. Below 0 if the job returned to its queue. */
    turn: number;
    /** Rises from job to job. */
    position: number;
    /** True while its run is paused: the job is neither given out nor due. */
    held: boolean;
    /** Delayed: when it becomes open. Open: when it will have waited too long. */
    dueTime: Instant | undefined;
    /** Present while it is leased or running. */
    lease: { serverId: string; workerSessionId: string; time: Instant } | undefined;
    heartbeatTimeoutMs: number | undefined;
    queueTimeoutMs: number | undefined;
    delivery: JobHead["delivery"];
    settledLeaseNo: number | undefined;
    settledDigest: string | undefined;
    refusedResults: number;
    refusedResult: string | undefined;
  };

export type WaitRow = RunKey & {
  /** For filters; never returned. */
  head: Wait;
  waitText: string;
  closing?: WaitClosing;
};

export type EventRow = Omit<ChannelEvent, "payload"> & { payloadText: string };

export type ChannelRow = {
  channel: Channel;
  lastNumber: number;
  /** The listeners of all events up to this number have been woken. */
  wokenNumber: number;
  events: EventRow[];
  eventIds: Set<string>;
};

export type MailRow = Omit<Mail, "body"> & { bodyText: string; createTime: Instant };

export type ServerRow = { serverId: string; process: string; renewals: number; ended: boolean; endedMicros?: number };

export type LaneRow = {
  laneId: number;
  nonce: number;
  server: ServerRow;
  lastBatchNo: number;
  batches: Map<number, "committed" | "void">;
  feed: FeedEntry[];
  committed: CommittedBatch[];
};

export type WorkflowRow = {
  tenantId: string;
  workflowId: string;
  archived: boolean;
  /** Absent: the highest version is the current one. */
  pinnedVersion?: number;
  /** Version n is at n - 1. */
  versions: { digest: string; definitionText: string; createTime: Instant }[];
};

export type MemoryDatabase = {
  /** The database's clock: microseconds since 1970 UTC. */
  readonly nowMicros: () => number;
  readonly faults: MemoryFaults;
  readonly tokenKey: Uint8Array;
  readonly runs: Map<string, RunRow>;
  /** Keys of deleted runs; never used again. */
  readonly deletedRuns: Set<string>;
  readonly waits: Map<string, WaitRow>;
  /** The open ones among `waits`. */
  readonly openWaits: Map<string, WaitRow>;
  readonly channels: Map<string, ChannelRow>;
  readonly mail: Map<number, MailRow>;
  readonly servers: Map<string, ServerRow>;
  readonly lanes: Map<number, LaneRow>;
  readonly workflows: Map<string, WorkflowRow>;
  /** By idempotency key, which is unique within a tenant. */
  readonly jobs: Map<string, JobRow>;
  readonly workers: Map<string, StoredWorker>;
  readonly listeners: Set<(payload: string) => void>;
  lastMailId: number;
  lastJobPosition: number;
  lastLaneId: number;
  /** When the last batch was committed. The next one gets a later time, even if a test's clock stands still. */
  lastCommitMicros: number;
};

/** Database time. */
export function timeOf(database: MemoryDatabase): Instant {
  return instantFromEpochMicros(database.nowMicros());
}

/** The time of a commit: later than every commit before it. */
export function nextCommitTime(database: MemoryDatabase): Instant {
  database.lastCommitMicros = Math.max(database.nowMicros(), database.lastCommitMicros + 1);
  return instantFromEpochMicros(database.lastCommitMicros);
}

/** A key for maps, unique per tenant and id: ids contain no slash. */
export function rowKey(tenantId: string, id: string): string {
  return `${tenantId}/${id}`;
}

/** A state contains a payload and the fields around it. */
const STORED_BYTES_MAX = 16 * 1024 * 1024;
const STORED_DEPTH_MAX = 64;

/**
 * Bounds for values that were validated before they were stored: wide, so that whatever fits in a column can be read.
 */
export const STORED_BOUNDS = { bytesMax: STORED_BYTES_MAX, depthMax: STORED_DEPTH_MAX };

/**
 * Reads a value that was stored as text. Its objects have no prototype, like all values from outside. The caller that
 * stored it knows its type.
 */
export function readStored(text: string): unknown {
  return parseOwnJson(text);
}
