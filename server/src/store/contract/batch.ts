/** Batches: the transitions and deliveries of one lane that are committed together. */
import type { Instant } from "../../core/duration.ts";
import type { Channel, EventDraft } from "../../core/event.ts";
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { PartsWrite } from "../part.ts";
import type { NoticeDraft } from "./feed.ts";
import type { JobSettlement, NewJob } from "./jobs.ts";
import type { MailDraft } from "./mail.ts";
import type { RunKey, StoredRun } from "./runs.ts";
import type { OpenWait, WaitClosing } from "./waits.ts";

/** One run's step forward: committed whole or not at all, and only if the run's seq is still `expectedSeq`. */
export type Transition = RunKey & {
  /** 0 for a new run. */
  expectedSeq: number;
  /**
   * The seq of the run's row: `expectedSeq`, or less if the row is behind. If `after.behind` is present, the commit
   * does not touch the row and writes only records and events.
   */
  rowSeq: number;
  after: StoredRun;
  /** What changes in the parts of the run's state that have rows of their own. Absent: no part changes. */
  parts?: PartsWrite;
  /** When the run is due to wake without any other input. */
  wakeTime?: Instant;
  records: readonly SealedRecord[];
  notices: readonly NoticeDraft[];
  openWaits: readonly OpenWait[];
  closeWaits: readonly WaitClosing[];
  events: readonly EventDraft[];
  /** The transition commits only if each channel's last number is at most `upTo`. */
  expectChannels: readonly { channel: Channel; upTo: number }[];
  jobs: readonly NewJob[];
  /** Jobs of the run that have settled, or whose current attempt has ended. */
  settledJobs: readonly JobSettlement[];
  /** Whether to cancel every job of the run that is not settled. Applied after `settledJobs`. */
  cancelJobs: boolean;
  /**
   * True holds the run's jobs back in their queue (the run was paused); false lets them out again. Absent: no change.
   */
  holdJobs?: boolean;
  /**
   * Mail that this transition acts on and deletes. All of it must still exist for this run, and no other transaction
   * may have it locked; otherwise the group is a conflict. So if two servers have read the same mail, only one acts on
   * it.
   */
  consumedMail: readonly number[];
  /** Mail that it sends, in order. */
  mail: readonly (RunKey & MailDraft)[];
};

/** Mail and events that come from outside any run. */
export type Delivery = { type: "event"; event: EventDraft } | ({ type: "mail"; mail: MailDraft } & RunKey);

/** The most transitions in one group: a run and the children it starts. */
export const GROUP_TRANSITIONS_MAX = 256;

/** A group commits all or nothing: 1 to GROUP_TRANSITIONS_MAX transitions, each of a different run. */
export type BatchItem =
  | { type: "group"; transitions: readonly Transition[] }
  | { type: "delivery"; delivery: Delivery };

/**
 * Why a group was refused.
 * - "seq": the run's seq differs, or another transaction is changing its row.
 * - "record": the ledger already has a record at the transition's first seq, although the run's row does not show it.
 * - "run_exists": the run to start exists, or existed and was deleted.
 * - "mail": some of its `consumedMail` no longer exists, or another transaction has it locked.
 * - "job": a job to settle is already settled, is under another lease, or is locked by another transaction.
 */
export type ConflictCause = "seq" | "record" | "run_exists" | "mail" | "job";

/**
 * The outcome of one item. A refused group names the first transition that was refused, by its number in the group, in
 * the order in which the store checks: "channel_moved" (a channel has an event that the transition did not see), then
 * "mail", "job", "seq" or "record", and "run_exists". An event gets its number, or "duplicate" if its event_id is
 * already in the channel.
 */
export type ItemOutcome =
  | { type: "committed"; number?: number }
  | { type: "conflict"; transition: number; cause: ConflictCause }
  | { type: "channel_moved"; transition: number }
  | { type: "duplicate" };

export type Batch = { laneId: number; batchNo: number; items: readonly BatchItem[] };

/** What one batch committed to one tenant's ledgers. */
export type CommittedBatch = {
  tenantId: string;
  laneId: number;
  batchNo: number;
  /**
   * In the order of the batch: each run's record hashes in lower-case hex. The first hash belongs to the record at
   * `firstSeq`.
   */
  runs: { runId: string; firstSeq: number; hashes: string[] }[];
};

export interface BatchStore {
  /**
   * Commits a batch in one round trip and one transaction, and returns the outcomes in the order of the items. A
   * refused group leaves no row and does not affect any other. Each run appears at most once in a batch.
   *
   * There is one exception: two commits that write the same record at the same moment, which the lanes' leases rule
   * out. The later one is a conflict if its item is alone in its batch; otherwise its whole batch is rejected.
   * @throws BatchOutcomeUnknownError, LaneFencedError, BatchRejectedError, BatchContendedError, StoreUnavailableError
   */
  commit(batch: Batch): Promise<ItemOutcome[]>;
  /**
   * Returns what the batches of a lane committed to a tenant's ledgers, in order. Batches without records of the tenant
   * are left out. The entries stay when a run is deleted: hashes and ids reveal nothing of a record's content.
   */
  list(request: { tenantId: string; laneId: number; afterBatchNo: number; limit: number }): Promise<CommittedBatch[]>;
  /**
   * Returns whether a batch was committed. If it was not, it never will be. Waits while the batch is still being
   * committed.
   */
  resolve(laneId: number, batchNo: number): Promise<"committed" | "void">;
}
