/** Batches: the transitions and deliveries of one lane that are committed together. */
import type { Instant } from "../../core/duration.ts";
import type { Channel, EventDraft } from "../../core/event.ts";
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { VarsWrite } from "../vars-write.ts";
import type { NoticeDraft } from "./feed.ts";
import type { JobSettlement, NewJob } from "./jobs.ts";
import type { MailDraft } from "./mail.ts";
import type { RunKey, StoredRun } from "./runs.ts";
import type { OpenWait, WaitClosing } from "./waits.ts";

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

/** Mail and events that come from outside of any run. */
export type Delivery = { type: "event"; event: EventDraft } | ({ type: "mail"; mail: MailDraft } & RunKey);

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

export interface BatchStore {
  /**
   * Commits a batch in one round trip and one transaction; outcomes stand in the order of the items. One item's conflict
   * touches no other, but for one that is rare: that a step record's place is taken is a conflict of an item that is alone, and rejects a
   * batch of several. Within a batch each run appears at most once.
   * @throws BatchOutcomeUnknownError, LaneFencedError, BatchRejectedError, BatchContendedError, StoreUnavailableError
   */
  commit(batch: Batch): Promise<ItemOutcome[]>;
  /** Says whether a batch was committed; if not, it never will be. Waits while it is still being committed. */
  settle(laneId: number, batchNo: number): Promise<"committed" | "void">;
}
