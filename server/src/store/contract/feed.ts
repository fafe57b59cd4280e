/** The feed over all runs: the notices that batches carry, in order per lane. */
import type { NoticeKind } from "../../core/decision.ts";
import type { Instant } from "../../core/duration.ts";
import type { RunFilter, RunKey } from "./runs.ts";

export type NoticeDraft = { kind: NoticeKind; seq: number };

/** A notice in the feed over all runs, with its position. `time` is when its batch was committed, in database time. */
export type FeedEntry = RunKey & {
  laneId: number;
  batchNo: number;
  ordinal: number;
  kind: NoticeKind;
  seq: number;
  time: Instant;
  /**
   * The entry does not match the filter. It only says how far its lane was read; `isMore`: the lane was not read to its
   * end.
   */
  passed?: { isMore: boolean };
};

/** What a reader wants, as far as it never changes. Entries of other runs and kinds need not be returned. */
export type FeedFilter = {
  kinds: readonly NoticeKind[];
  runs: Pick<
    RunFilter,
    | "workflowId"
    | "version"
    | "sessionId"
    | "actorId"
    | "parentRunId"
    | "rootRunId"
    | "labels"
    | "createTimeAfter"
    | "createTimeBefore"
  >;
};

/** How far a reader has read in one lane. Entries after (batchNo, ordinal) are unread. */
export type LanePosition = { laneId: number; batchNo: number; ordinal: number };

export interface FeedStore {
  /**
   * Returns one tenant's entries after the given positions, in the lanes named. Entries of one lane keep the lane's
   * order, so a page that has an entry also has all earlier unread ones of its lane. Lanes are merged by the time of
   * their batches, and a run's entries by seq.
   *
   * With a filter, a bounded number of entries of each lane is read, and of those that do not match at most the last
   * one is returned, as `passed`: so a reader that wants little gets on, and knows how far it is.
   */
  read(tenantId: string, positions: readonly LanePosition[], limit: number, filter?: FeedFilter): Promise<FeedEntry[]>;
}
