/** The feed over all runs: the lanes' notices, merged by time. */
import type { FeedStore, FeedEntry, LanePosition } from "../contract/feed.ts";
import type { MemoryDatabase } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

/**
 * Merges the lanes by reading only the head of each. Entries of a lane keep their order even if their times disagree,
 * so a reader can continue from the end of any page.
 */
function readFeed(
  database: MemoryDatabase,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
): FeedEntry[] {
  const lanes = positions.map((position) => unreadOf(database, tenantId, position, limit));
  const entries: FeedEntry[] = [];
  while (entries.length < limit) {
    let earliest: FeedEntry[] | undefined;
    for (const lane of lanes)
      if (lane.length > 0 && (earliest === undefined || isBefore(lane, earliest))) earliest = lane;
    const entry = earliest?.shift();
    if (entry === undefined) break;
    entries.push({ ...entry });
  }
  return entries;
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

function isBefore([a]: FeedEntry[], [b]: FeedEntry[]): boolean {
  return a!.time !== b!.time ? a!.time < b!.time : a!.laneId < b!.laneId;
}

export const feed: Statements<MemoryDatabase, FeedStore> = { read: readFeed };
