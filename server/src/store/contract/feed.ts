/** The feed over all runs: the notices that batches carry, lane by lane. */
import type { Instant } from "../../core/duration.ts";
import type { RunKey } from "./runs.ts";

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

/**
 * A notice in the feed over all runs, at its position. `time` is when its batch was committed, by the database's clock.
 */
export type FeedEntry = RunKey & {
  laneId: number;
  batchNo: number;
  ordinal: number;
  kind: NoticeKind;
  seq: number;
  time: Instant;
};

/** How far a reader has come in one lane; entries after (batchNo, ordinal) are unread. */
export type LanePosition = { laneId: number; batchNo: number; ordinal: number };

export interface FeedStore {
  /**
   * Entries of one tenant after the given positions in the lanes named. Each lane's entries come in the lane's order,
   * so a page never leaves out an earlier one while it has a later one; lanes are merged by the time of their batches.
   */
  read(tenantId: string, positions: readonly LanePosition[], limit: number): Promise<FeedEntry[]>;
}
