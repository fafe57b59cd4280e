/**
 * What the engine asks of storage: verbs by noun, with two implementations, `postgres/` and `memory/`, that pass one
 * shared suite (`suite/`). Each noun has a file of its name in each of these folders.
 *
 * Authoritative here: the ledger (step records). A run's row is a cache of its fold, changed only by `batches.commit`,
 * only where its `seq` is the expected one. The row of an active run may be behind (row-behind.ts): whatever reads a
 * run here folds the records after its row into it. What is beside the state on that row (`ownerLane`, `wakeTime`) says
 * who takes up the run next and when.
 *
 * Lock order inside one commit: the lane, channels in order of their key, mail, jobs that are settled and rows of runs
 * (these three are never waited for: what is locked is a conflict), jobs that are cancelled or held, runs that start in
 * order of their keys; the rest belongs to runs whose rows are locked. The verbs for jobs never wait for one job while
 * they hold another. `lock_timeout` is 1 s everywhere.
 *
 * After a crash: a batch is there whole or not at all; `batches.resolve` says which. Runs of an ended lane are handed
 * out again by `runs.claim`, timers by `runs.claimDue`, unprocessed mail and events by `mail.findStrays`.
 * Leases of jobs outlive their server: `jobs.listOrphanedLeases` finds them and `jobs.adopt` moves them;
 * `jobs.claimDue` returns jobs that are due.
 */
import type { Instant } from "../../core/duration.ts";
import type { BatchStore } from "./batch.ts";
import type { EventStore } from "./events.ts";
import type { FeedStore } from "./feed.ts";
import type { JobStore } from "./jobs.ts";
import type { LaneStore } from "./lanes.ts";
import type { LedgerStore } from "./ledger.ts";
import type { MailStore } from "./mail.ts";
import type { NoticeStore } from "./notices.ts";
import type { RunStore } from "./runs.ts";
import type { StandingStore } from "./standings.ts";
import type { WaitStore } from "./waits.ts";
import type { WorkerStore } from "./workers.ts";
import type { WorkflowStore } from "./workflows.ts";

export type Nouns = {
  readonly lanes: LaneStore;
  readonly batches: BatchStore;
  readonly runs: RunStore;
  readonly standings: StandingStore;
  readonly ledger: LedgerStore;
  readonly waits: WaitStore;
  readonly events: EventStore;
  readonly jobs: JobStore;
  readonly workers: WorkerStore;
  readonly mail: MailStore;
  readonly workflows: WorkflowStore;
  readonly feed: FeedStore;
  readonly notices: NoticeStore;
};

/** Everything that asks the database. */
export type Verbs = Nouns & {
  /** Database time. */
  now(): Promise<Instant>;
  /** Whether the database answers. */
  ping(): Promise<void>;
};

export type Store = Verbs & {
  /** A random value of 32 bytes that all servers on this database share; signs cursors and page tokens. */
  readonly tokenKey: Uint8Array;
  close(): Promise<void>;
};

/** A verb's name with its noun: "runs.load". */
export type Verb = "now" | "ping" | { [N in keyof Nouns]: `${N}.${keyof Nouns[N] & string}` }[keyof Nouns];

/**
 * What happened to one call of a verb. "ok": the verb returned; a conflict of an item of a batch is in what it
 * returned. "refused": the database was asked, and the answer is no: a lane that is fenced, a batch that is rejected or
 * contended. "failed": all else, such as a database that is away and a batch whose outcome is unknown.
 */
export type VerbCall = { verb: Verb; durationMs: number; outcome: "ok" | "refused" | "failed" };
