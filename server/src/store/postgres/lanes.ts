/** Leases of servers, and their lanes. */
import { randomInt } from "node:crypto";
import type { Instant } from "../../core/duration.ts";
import type { Lane, LaneState, LaneStore, ServerLease, Surroundings } from "../contract/lanes.ts";
import { StoreUnavailableError } from "../contract/errors.ts";
import { lockTimeout, type Sql } from "./client.ts";
import { MIGRATION_LOCK, missingFunctions, schemaKey } from "./functions.ts";
import { nextDueTime, orphanHolders } from "./jobs.ts";
import { orphanedLanes } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

/** Locked while lane ids are given out, so that the transaction with the lower ids becomes visible first. */
const LANE_IDS_LOCK = 7_400_002;
const NONCE_MAX = 2 ** 31 - 1;

/** @param functions the names of the functions that the server calls */
async function openServer(
  sql: Sql,
  functions: readonly string[],
  { serverId, process, lanes }: { serverId: string; process: string; lanes: number },
): Promise<Lane[]> {
  const nonces = Array.from({ length: lanes }, () => ({ nonce: randomInt(NONCE_MAX) }));
  const opened = await sql.begin(async (transaction) => {
    // No server drops a function between this check and the commit that names it.
    await transaction`select pg_advisory_xact_lock_shared(${MIGRATION_LOCK}, ${schemaKey(transaction)})`;
    const missing = await missingFunctions(transaction, functions);
    if (missing.length > 0) {
      const what = missing.join(", ");
      throw new StoreUnavailableError(`the database has no ${what}; restart this server to create what is missing`, {
        kind: "schema_missing",
      });
    }
    await transaction`select pg_advisory_xact_lock(${LANE_IDS_LOCK}, ${schemaKey(transaction)})`;
    await transaction`
      insert into servers (server_id, process, functions)
      values (
        ${serverId}, ${process}, array(select json_array_elements_text(${JSON.stringify(functions)}::text::json))
      )`;
    return await transaction<{ lane_id: number; nonce: number }[]>`
      insert into lanes (server_id, nonce)
      select ${serverId}, nonce from json_to_recordset(${JSON.stringify(nonces)}::text::json) as n (nonce int)
      returning lane_id, nonce`;
  });
  return opened.map(({ lane_id, nonce }) => ({ laneId: lane_id, nonce })).toSorted((a, b) => a.laneId - b.laneId);
}

type SurroundingsRow = {
  now: Instant;
  lease_open: boolean;
  others: ServerLease[] | null;
  has_orphans: boolean;
  next_wake_time: Instant | null;
  has_orphaned_leases: boolean;
  next_job_time: Instant | null;
};

/** Renews the lease and reads the server's surroundings in one statement. */
async function renewLease(sql: Sql, serverId: string): Promise<Surroundings> {
  const [row] = await sql<SurroundingsRow[]>`
    with renewed as (
      update servers set renewals = renewals + 1 where server_id = ${serverId} and ended_at is null returning server_id
    )
    select
      clock_timestamp() as now,
      exists (select from renewed) as lease_open,
      (
        select json_agg(json_build_object(
          'serverId', server_id, 'process', process, 'renewals', renewals
        ))
        from servers where ended_at is null and server_id <> ${serverId}
      ) as others,
      exists (${orphanedLanes(sql)}) as has_orphans,
      (select wake_at from runs where wake_at is not null order by wake_at limit 1) as next_wake_time,
      exists (${orphanHolders(sql)}) as has_orphaned_leases,
      (${nextDueTime(sql)}) as next_job_time`;
  if (row === undefined) throw new Error("the renewal returned no row");
  const others: ServerLease[] = row.others ?? [];
  return {
    now: row.now,
    leaseOpen: row.lease_open,
    others,
    hasOrphans: row.has_orphans,
    ...(row.next_wake_time === null ? {} : { nextWakeTime: row.next_wake_time }),
    hasOrphanedLeases: row.has_orphaned_leases,
    ...(row.next_job_time === null ? {} : { nextJobTime: row.next_job_time }),
  };
}

/**
 * Ends a lease, and removes the server's workers from the list. Batches in flight have the rows of their lanes locked,
 * so this waits for them, each at most lock_timeout.
 */
async function endServer(sql: Sql, serverId: string): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`select from ${lockTimeout(sql)}`;
    await transaction`update lanes set ended_at = now() where server_id = ${serverId} and ended_at is null`;
    await transaction`update servers set ended_at = now() where server_id = ${serverId} and ended_at is null`;
    await transaction`delete from workers where server_id = ${serverId}`;
  });
}

/** The lanes, as the cursors of the feed need them. */
async function listLanes(sql: Sql, aboveLaneId: number): Promise<LaneState[]> {
  const rows = await sql<{ lane_id: number; nonce: number; ended: boolean; last_batch_no: number }[]>`
    select lane_id, nonce, ended_at is not null as ended, last_batch_no
    from lanes where ended_at is null or lane_id > ${aboveLaneId}
    order by lane_id`;
  return rows.map((row) => ({
    laneId: row.lane_id,
    nonce: row.nonce,
    ended: row.ended,
    lastBatchNo: row.last_batch_no,
  }));
}

export type LaneConnections = {
  sql: Sql;
  /** The names of the functions that the server calls. */
  functions: readonly string[];
  /** Lanes whose last claim may have been committed although its reply was lost. */
  doubtfulClaims: ReadonlySet<number>;
};

export const lanes: Statements<LaneConnections, LaneStore> = {
  open: ({ sql, functions }, request) => openServer(sql, functions, request),
  renew: async ({ sql, doubtfulClaims }, serverId) => {
    const seen = await renewLease(sql, serverId);
    return { ...seen, hasOrphans: seen.hasOrphans || doubtfulClaims.size > 0 };
  },
  end: ({ sql }, serverId) => endServer(sql, serverId),
  list: ({ sql }, aboveLaneId) => listLanes(sql, aboveLaneId),
};
