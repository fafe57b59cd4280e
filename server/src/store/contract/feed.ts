/** The feed over all runs: the notices that batches carry, in order per lane. */
import type { NoticeKind } from "../../core/decision.ts";
import type { Instant } from "../../core/duration.ts";
import type { RunKey } from "./runs.ts";

export type NoticeDraft = { kind: NoticeKind; seq: number };

/** A notice in the feed over all runs, with its position. `time` is when its batch was committed, in database time. */
export type FeedEntry = RunKey & {
  laneId: number;
  batchNo: number;
  ordinal: number;
  kind: NoticeKind;
  seq: number;
  time: Instant;
};

/** How far a reader has read in one lane. Entries after (batchNo, ordinal) are unread. */
export type LanePosition = { laneId: number; batchNo: number; ordinal: number };

export interface FeedStore {
  /**
   * Returns one tenant's entries after the given positions, in the lanes named. Entries of one lane keep the lane's
   * order, so a page that has an entry also has all earlier unread ones of its lane. Lanes are merged by the time of
   * their batches, and a run's entries by seq.
   */
  read(tenantId: string, positions: readonly LanePosition[], limit: number): Promise<FeedEntry[]>;
}
