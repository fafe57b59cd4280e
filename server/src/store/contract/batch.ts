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

/** One run's step forward; committed whole or not at all, and only if the run's seq is still `expectedSeq`. */
export type Transition = RunKey & {
  /** 0: the run is new. */
  expectedSeq: number;
  /**
   * The seq of the run's row: `expectedSeq`, or less where the row is behind. With `after.behind` the row is left as it
   * is, and nothing but records and events is written.
   */
  rowSeq: number;
  after: StoredRun;
  /** What is written of the parts of the run's state that have rows of their own. Absent: they stay as they are. */
  parts?: PartsWrite;
  /** When the run wakes by itself. */
  wakeTime?: Instant;
  records: readonly SealedRecord[];
  notices: readonly NoticeDraft[];
  openWaits: readonly OpenWait[];
  closeWaits: readonly WaitClosing[];
  events: readonly EventDraft[];
  /** The commit counts only while each channel's last number is at most `upTo`. */
  expectChannels: readonly { channel: Channel; upTo: number }[];
  jobs: readonly NewJob[];
  /** Jobs of the run that have come to an end, or to the end of an attempt. */
  settledJobs: readonly JobSettlement[];
  /** Jobs of the run that are not to be done any more: all that are not settled, after `settledJobs`. */
  cancelJobs: boolean;
  /** Whether the queue holds the run's jobs back (its run was paused) or gives them out again; absent: as before. */
  holdJobs?: boolean;
  /**
   * Mail that this transition acts on and takes away. All of it must still be there, for this run, and in the hands of
   * no other transaction: otherwise the group is a conflict, so that of two servers that have read the same mail one
   * acts on it.
   */
  consumedMail: readonly number[];
  /** Mail that it sends, in its order. */
  mail: readonly (RunKey & MailDraft)[];
};

/** Mail and events that come from outside of any run. */
export type Delivery = { type: "event"; event: EventDraft } | ({ type: "mail"; mail: MailDraft } & RunKey);

/** Transitions of one group at most: a run and the children that it starts. */
export const GROUP_TRANSITIONS_MAX = 256;

/** A group is committed all or none: 1 to GROUP_TRANSITIONS_MAX transitions of as many runs. */
export type BatchItem =
  | { type: "group"; transitions: readonly Transition[] }
  | { type: "delivery"; delivery: Delivery };

/**
 * Why a group was refused.
 * - "seq": the run's seq is another one, or its row is being changed now.
 * - "record": the ledger has a record already where the first of the transition would be, though the run's row does not
 *   show it.
 * - "run_exists": a run that would begin exists, or existed and was deleted.
 * - "mail": its `consumedMail` is not there any more, or is in the hands of another transaction.
 * - "job": a job that it settles is settled already, is under another lease, or is in the hands of another transaction.
 */
export type ConflictCause = "seq" | "record" | "run_exists" | "mail" | "job";

/**
 * What became of one item. Refused groups name the transition, by its number in the group, that is refused first, in
 * the order in which the store checks: "channel_moved" (a channel has an event that the transition did not see), then
 * "mail", "job", "seq" or "record", and "run_exists". For an event: the number it got, or "duplicate" where its
 * event_id is in the channel already.
 */
export type ItemOutcome =
  | { type: "committed"; number?: number }
  | { type: "conflict"; transition: number; cause: ConflictCause }
  | { type: "channel_moved"; transition: number }
  | { type: "duplicate" };

export type Batch = { laneId: number; batchNo: number; items: readonly BatchItem[] };

/** What a batch committed of one tenant's ledgers. */
export type CommittedBatch = {
  tenantId: string;
  laneId: number;
  batchNo: number;
  /**
   * In the order of the batch: for each run the lower-case hex hashes of its records, the first of which has
   * `firstSeq`.
   */
  runs: { runId: string; firstSeq: number; hashes: string[] }[];
};

export interface BatchStore {
  /**
   * Commits a batch in one round trip and one transaction; outcomes stand in the order of the items. A group that is
   * refused leaves no row and touches no other. Within a batch each run appears at most once.
   *
   * Two commits that write the same record at the same moment, which the lanes' leases rule out, are the exception: the
   * later one is a conflict if its item is alone, else its batch is rejected.
   * @throws BatchOutcomeUnknownError, LaneFencedError, BatchRejectedError, BatchContendedError, StoreUnavailableError
   */
  commit(batch: Batch): Promise<ItemOutcome[]>;
  /**
   * What the batches of a lane committed of a tenant's ledgers, in their order. A batch without records of the tenant
   * is left out. Stays when a run is deleted: hashes and ids tell nothing of what was in the records.
   */
  list(request: { tenantId: string; laneId: number; afterBatchNo: number; limit: number }): Promise<CommittedBatch[]>;
  /** Says whether a batch was committed; if not, it never will be. Waits while it is still being committed. */
  resolve(laneId: number, batchNo: number): Promise<"committed" | "void">;
}
