/** The feed over all runs of a tenant. */
import type { Instant } from "../../core/duration.ts";
import type { NoticeKind } from "../../core/decision.ts";
import type { FeedStore, FeedEntry, LanePosition } from "../contract/feed.ts";
import { rowsParameter, type Sql } from "./client.ts";
import type { Statements } from "../map-verbs.ts";

type FeedRow = {
  lane_id: number;
  batch_no: number;
  ordinal: number;
  run_id: string;
  kind: NoticeKind;
  seq: number;
  time: Instant;
};

/**
 * Merges the next entries of each lane. Always takes the earliest of the lanes' heads, so each lane keeps its order.
 */
async function readFeed(
  sql: Sql,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
): Promise<FeedEntry[]> {
  if (positions.length === 0) return [];
  const rows = await readLanes(sql, tenantId, positions, limit);
  const lanes = [...Map.groupBy(rows, (row) => row.lane_id).values()].map((entries) => ({ entries, next: 0 }));
  const merged: FeedEntry[] = [];
  while (merged.length < limit) {
    let first: { row: FeedRow; lane: { next: number } } | undefined;
    for (const lane of lanes) {
      const row = lane.entries[lane.next];
      if (row !== undefined && (first === undefined || row.time < first.row.time)) first = { row, lane };
    }
    if (first === undefined) break;
    first.lane.next += 1;
    merged.push(entryFromRow(tenantId, first.row));
  }
  return merged;
}

async function readLanes(
  sql: Sql,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
): Promise<FeedRow[]> {
  const places = positions.map(({ laneId, batchNo, ordinal }) => ({ lane_id: laneId, batch_no: batchNo, ordinal }));
  return await sql<FeedRow[]>`
    select f.*
    from json_to_recordset(${rowsParameter(places)}::text::json) as p (lane_id bigint, batch_no bigint, ordinal int)
    cross join lateral (
      select lane_id, batch_no, ordinal, run_id, kind, seq, time from feed
      where tenant_id = ${tenantId} and lane_id = p.lane_id and (batch_no, ordinal) > (p.batch_no, p.ordinal)
      order by batch_no, ordinal limit ${limit}
    ) as f
    order by f.lane_id, f.batch_no, f.ordinal`;
}

function entryFromRow(tenantId: string, row: FeedRow): FeedEntry {
  return {
    tenantId,
    runId: row.run_id,
    laneId: row.lane_id,
    batchNo: row.batch_no,
    ordinal: row.ordinal,
    kind: row.kind,
    seq: row.seq,
    time: row.time,
  };
}

export const feed: Statements<Sql, FeedStore> = { read: readFeed };
