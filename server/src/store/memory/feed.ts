/** The feed over all runs: the lanes' notices, merged by time. */
import type { FeedStore, FeedEntry, LanePosition } from "../contract/feed.ts";
import type { MemoryDatabase } from "./database.ts";
import type { Statements } from "../map-verbs.ts";
import { mergeFeed } from "../merge-feed.ts";

/** Merges the next entries of each lane. */
function readFeed(
  database: MemoryDatabase,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
): FeedEntry[] {
  const lanes = positions.map((position) => unreadOf(database, tenantId, position, limit));
  return mergeFeed(lanes, limit).map((entry) => ({ ...entry }));
}

function unreadOf(database: MemoryDatabase, tenantId: string, position: LanePosition, limit: number): FeedEntry[] {
  const feed = database.lanes.get(position.laneId)?.feed ?? [];
  return feed
    .filter(
      (entry) =>
        entry.tenantId === tenantId &&
        (entry.batchNo > position.batchNo || (entry.batchNo === position.batchNo && entry.ordinal > position.ordinal)),
    )
    .slice(0, limit);
}

export const feed: Statements<MemoryDatabase, FeedStore> = { read: readFeed };
