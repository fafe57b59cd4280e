/**
 * What the engine needs from storage: verbs by noun, with two implementations, `postgres/` and `memory/`, which pass
 * one shared suite (`suite/`). Each noun has a file of its name in each of these folders.
 *
 * The ledger (step records) is authoritative. A run's row caches the fold of its ledger; only `batches.commit` changes
 * it, and only if its `seq` is the expected one. The row of an active run may be behind (row-behind.ts): every reader
 * here folds the records after the row into it. The other columns of that row (`ownerLane`, `wakeTime`) say which
 * server takes up the run next, and when.
 *
 * Lock order inside one commit: the lane; channels in order of their key; mail, jobs that settle and rows of runs (a
 * commit never waits for these three: a locked one is a conflict); jobs that are cancelled or held; runs that start, in
 * order of their keys. Everything else belongs to runs whose rows are locked. The verbs for jobs never wait for one job
 * while they have another locked. `lock_timeout` is 1 s everywhere.
 *
 * After a crash, a batch exists whole or not at all; `batches.resolve` says which. `runs.claim` hands out the runs of
 * an ended lane again, `runs.claimDue` handles timers, and `mail.findStrays` finds unprocessed mail and events. Leases
 * of jobs outlive their server: `jobs.listOrphanedLeases` finds them and `jobs.adopt` moves them; `jobs.claimDue`
 * returns jobs that are due.
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

/** Every verb that uses the database. */
export type Verbs = Nouns & {
  /** Returns the database time. */
  now(): Promise<Instant>;
  /**
   * Resolves if a commit can go through: what it needs is there, the server may use it, and a row can be written.
   * Leaves nothing behind.
   */
  probe(): Promise<void>;
};

export type Store = Verbs & {
  /** A random value of 32 bytes that all servers on this database share; signs cursors and page tokens. */
  readonly tokenKey: Uint8Array;
  /** Where the database is, for the log: host, port and database, without user and password. */
  readonly place: string;
  /** How many connections the database grants and how many were configured, while it grants fewer. */
  shortage(): { granted: number; wanted: number } | undefined;
  close(): Promise<void>;
};

/** A verb's name, prefixed by its noun: "runs.load". */
export type Verb = "now" | "probe" | { [N in keyof Nouns]: `${N}.${keyof Nouns[N] & string}` }[keyof Nouns];

/**
 * One call of a verb and its outcome. "ok": the verb returned; a conflict of a batch item is part of what it returned.
 * "refused": the database was reached and refused: a lane is fenced, or a batch is rejected or contended. "failed":
 * everything else, such as an unavailable database or a batch whose outcome is unknown.
 */
export type VerbCall = { verb: Verb; durationMs: number; outcome: "ok" | "refused" | "failed" };
