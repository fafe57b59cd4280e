/** The feed over all runs of a tenant. */
import type { Instant } from "../../core/duration.ts";
import type { NoticeKind } from "../../core/decision.ts";
import type { FeedStore, FeedEntry, LanePosition } from "../contract/feed.ts";
import { rowsParameter, type Sql } from "./client.ts";
import type { Statements } from "../map-verbs.ts";
import { mergeFeed } from "../merge-feed.ts";

type FeedRow = {
  lane_id: number;
  batch_no: number;
  ordinal: number;
  run_id: string;
  kind: NoticeKind;
  seq: number;
  time: Instant;
};

/** Merges the next entries of each lane. */
async function readFeed(
  sql: Sql,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
): Promise<FeedEntry[]> {
  if (positions.length === 0) return [];
  const entries = (await readLanes(sql, tenantId, positions, limit)).map((row) => entryFromRow(tenantId, row));
  return mergeFeed([...Map.groupBy(entries, ({ laneId }) => laneId).values()], limit);
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
