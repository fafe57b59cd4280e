/** The feed over all runs of a tenant. */
import type { Instant } from "../../core/duration.ts";
import type { NoticeKind } from "../../core/decision.ts";
import type { FeedStore, FeedEntry, FeedFilter, LanePosition } from "../contract/feed.ts";
import { type Fragment, rowsParameter, type Sql } from "./client.ts";
import { conditionsOf } from "./runs.ts";
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
  wanted: boolean;
  scanned: number;
};

/** Entries of a lane that one read with a filter looks at: about 30 ms. */
const SCAN_MAX = 5_000;

/** Merges the next entries of each lane. */
async function readFeed(
  sql: Sql,
  tenantId: string,
  positions: readonly LanePosition[],
  limit: number,
  filter?: FeedFilter,
): Promise<FeedEntry[]> {
  if (positions.length === 0) return [];
  const rows = await readLanes(sql, tenantId, positions, filter === undefined ? { limit } : { limit, filter });
  const entries = rows.map((row) => entryFromRow(tenantId, row));
  return mergeFeed([...Map.groupBy(entries, ({ laneId }) => laneId).values()], limit);
}

async function readLanes(
  sql: Sql,
  tenantId: string,
  positions: readonly LanePosition[],
  { limit, filter }: { limit: number; filter?: FeedFilter },
): Promise<FeedRow[]> {
  const places = positions.map(({ laneId, batchNo, ordinal }) => ({ lane_id: laneId, batch_no: batchNo, ordinal }));
  return await sql<FeedRow[]>`
    select f.*
    from json_to_recordset(${rowsParameter(places)}::text::json) as p (lane_id bigint, batch_no bigint, ordinal int)
    cross join lateral (${
      filter === undefined
        ? sql`select s.*, true as wanted, 0 as scanned from (${laneEntries(sql, tenantId, limit)}) as s`
        : matchingEntries(sql, tenantId, limit, filter)
    }) as f
    order by f.lane_id, f.batch_no, f.ordinal`;
}

/** The next entries of the lane of a position `p`. */
function laneEntries(sql: Sql, tenantId: string, limit: number): Fragment {
  return sql`
    select lane_id, batch_no, ordinal, run_id, kind, seq, time from feed
    where tenant_id = ${tenantId} and lane_id = p.lane_id and (batch_no, ordinal) > (p.batch_no, p.ordinal)
    order by batch_no, ordinal limit ${limit}`;
}

/** The first that match of the lane's next entries, and the last one looked at, unless more match than are wanted. */
function matchingEntries(sql: Sql, tenantId: string, limit: number, { kinds, runs }: FeedFilter): Fragment {
  const ofKind =
    kinds.length === 0
      ? sql``
      : sql`and s.kind in (select json_array_elements_text(${JSON.stringify(kinds)}::text::json))`;
  return sql`
    select lane_id, batch_no, ordinal, run_id, kind, seq, time, wanted, scanned from (
      select
        s.*, match.run_id is not null as wanted, (count(*) over ())::int as scanned,
        count(match.run_id) over (order by s.batch_no, s.ordinal) as matches,
        row_number() over (order by s.batch_no desc, s.ordinal desc) = 1 as is_last
      from (${laneEntries(sql, tenantId, SCAN_MAX)}) as s
      left join lateral (
        select r.run_id from runs r
        where ${conditionsOf(sql, tenantId, runs)} and r.run_id = s.run_id ${ofKind}
        limit 1
      ) as match on true
    ) as looked
    where matches <= ${limit} and (wanted or is_last)`;
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
    ...(row.wanted ? {} : { passed: { isMore: row.scanned === SCAN_MAX } }),
  };
}

export const feed: Statements<Sql, FeedStore> = { read: readFeed };
