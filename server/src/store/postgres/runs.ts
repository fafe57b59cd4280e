/**
 * Reads, lists, deletes and claims runs. Only commit.ts writes them, except for the owner and wake time, which claims
 * change.
 */
import type { Instant } from "../../core/duration.ts";
import type { Page, PageStart } from "../contract/page.ts";
import type { RunFilter, RunKey, RunOrder, StoredRun, RunStore } from "../contract/runs.ts";
import { type Fragment, lockTimeout, rowsParameter, type Sql } from "./client.ts";
import { headFromRow, runFromRow, type RunRow } from "./run-row.ts";
import type { Statements } from "../map-verbs.ts";

type KeyRow = { tenant_id: string; run_id: string };

/** Rows for a set of run keys, read as `(tenant_id text, run_id text)`. */
export function keyRows(keys: readonly RunKey[]): string {
  return rowsParameter(keys.map(({ tenantId, runId }) => ({ tenant_id: tenantId, run_id: runId })));
}

export function keyFromRow(row: KeyRow): RunKey {
  return { tenantId: row.tenant_id, runId: row.run_id };
}

/** The columns that `runFromRow` reads, without payloads. */
function runColumns(sql: Sql): Fragment {
  return sql`
    r.tenant_id, r.run_id, r.workflow_id, r.version, r.status, r.paused, r.node, r.seq, r.head_hash, r.owner_lane,
    r.create_time, r.update_time, r.end_time, r.session_id, r.actor_id, r.parent_run_id, r.root_run_id, r.labels,
    r.request_digest, r.format, r.state`;
}

/**
 * The records that are not yet in a run's row. They are read together with the row: between two statements the row
 * might move.
 * @param given null is enough for a run without payloads
 */
function missingRecords(sql: Sql, given: Fragment): Fragment {
  // Only the rows of runs with an owner can be behind.
  return sql`
    case when r.owner_lane is not null then (
      select json_agg(
        json_build_object(
          'header', s.header, 'hash', encode(s.hash, 'hex'), 'body', s.body,
          'body_salt', encode(s.body_salt, 'hex'), 'given', ${given}, 'given_salt', encode(s.given_salt, 'hex')
        ) order by s.seq
      )
      from step_records s where s.tenant_id = r.tenant_id and s.run_id = r.run_id and s.seq > r.seq
    ) end as missing`;
}

/** The parts that a run without payloads needs: no vars, and no outcomes. */
function headParts(sql: Sql): Fragment {
  return sql`(
    select '[' || string_agg('["' || p.part || '",' || to_json(p.name) || ',' || p.value || ']', ',') || ']'
    from run_parts p
    where p.tenant_id = r.tenant_id and p.run_id = r.run_id and p.part in ('calls', 'attempt')
  )`;
}

/**
 * The parts of a run as one JSON list, concatenated from JSON texts so that none of them is escaped within another.
 * Outputs of calls come from their records.
 */
function allParts(sql: Sql): Fragment {
  return sql`(
    select '[' || string_agg(
      '["' || p.part || '",' || case p.name when '' then '""' else to_json(p.name)::text end || ','
        || case when s.seq is null then p.value else '{"output":' || s.given || ',"seq":' || p.value || '}' end || ']',
      ','
    ) || ']'
    from run_parts p
    left join step_records s
      on s.tenant_id = p.tenant_id and s.run_id = p.run_id
      and s.seq = case when p.part = 'outcome' and p.value ~ '^[0-9]{1,15}$' then p.value::bigint end
    where p.tenant_id = r.tenant_id and p.run_id = r.run_id
  )`;
}

/** The columns that `headFromRow` reads. Parts only for runs with many calls in flight, and no outcomes. */
export function headColumns(sql: Sql): Fragment {
  return sql`
    ${runColumns(sql)},
    case when strpos(r.state, '"calls":"apart"') > 0 then ${headParts(sql)} end as parts,
    ${missingRecords(sql, sql`null`)}`;
}

export async function loadRuns(sql: Sql, keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]> {
  return await loadEach(
    sql,
    keys,
    sql`${runColumns(sql)}, ${allParts(sql)} as parts, ${missingRecords(sql, sql`s.given`)} from runs r`,
    runFromRow,
  );
}

/** Loads runs without payloads. */
async function loadRunHeads(sql: Sql, keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]> {
  return await loadEach(sql, keys, sql`${headColumns(sql)} from runs r`, headFromRow);
}

/** @param columnsAndTables the columns and tables to select from; the runs are `r` */
async function loadEach(
  sql: Sql,
  keys: readonly RunKey[],
  columnsAndTables: Fragment,
  decode: (row: RunRow) => StoredRun,
): Promise<(StoredRun | undefined)[]> {
  if (keys.length === 0) return [];
  // The limit makes the planner look up each key by itself. Without it, a plan made for a small table could scan it
  // all.
  const rows = await sql<RunRow[]>`
    select run.* from json_to_recordset(${keyRows(keys)}::text::json) as k (tenant_id text, run_id text)
    cross join lateral (
      select ${columnsAndTables}
      where r.tenant_id = k.tenant_id and r.run_id = k.run_id
      limit 1
    ) as run`;
  const found = new Map(rows.map((row) => [mapKey(keyFromRow(row)), row]));
  // Decoded once per key, so that a key given twice yields two runs that share no objects.
  return keys.map((key) => {
    const row = found.get(mapKey(key));
    return row === undefined ? undefined : decode(row);
  });
}

function mapKey({ tenantId, runId }: RunKey): string {
  return `${tenantId}/${runId}`;
}

/** Lists runs without payloads. */
async function listRuns(
  sql: Sql,
  request: { tenantId: string; filter: RunFilter; order: RunOrder; start?: PageStart; limit: number },
): Promise<Page<StoredRun>> {
  const { tenantId, filter, order, start, limit } = request;
  const time = order === "update_time_desc" ? sql`r.update_time` : sql`r.create_time`;
  const isAscending = order === "create_time_asc";
  const direction = isAscending ? sql`asc` : sql`desc`;
  const operator = isAscending ? sql`>` : sql`<`;
  const after =
    start === undefined ? sql`` : sql`and (${time}, r.run_id) ${operator} (${start.time}::timestamptz, ${start.id})`;
  const position = sql`order by ${time} ${direction}, r.run_id ${direction}`;
  const indexed = sql`${indexedConditions(sql, tenantId, filter)} ${after}`;
  const rows = await sql<(RunRow & { edge_time: Instant | null; edge_id: string | null })[]>`
    with matched as materialized (
      select r.tenant_id, r.run_id, ${time} as at
      from (select r.* from runs r where ${indexed} ${position} limit ${SCAN_MAX}) as r
      where true ${otherConditions(sql, filter)}
      ${position} limit ${limit + 1}
    )
    select edge.at as edge_time, edge.run_id as edge_id, ${headColumns(sql)}
    from (select) as one
    left join lateral (
      -- The last run that was looked at, if there were too few that match.
      select ${time} as at, r.run_id from runs r
      where ${indexed} and (select count(*) from matched) <= ${limit}
      ${position} limit 1 offset ${SCAN_MAX - 1}
    ) as edge on true
    left join matched m on true
    left join runs r on r.tenant_id = m.tenant_id and r.run_id = m.run_id
    order by m.at ${direction}, m.run_id ${direction}`;
  // One row without a run says how far it was looked if no run matches.
  const found = rows.filter((row) => (row.run_id as string | null) !== null);
  const page = found.slice(0, limit);
  const items = page.map(headFromRow);
  const { edge_time: edgeTime, edge_id: id } = rows[0]!;
  if (edgeTime !== null && id !== null) return { items, next: { time: edgeTime, id } };
  const last = page.at(-1);
  if (found.length <= limit || last === undefined) return { items };
  // The time of the row itself, which orders the list: the run may have moved on since.
  const lastTime = order === "update_time_desc" ? last.update_time : last.create_time;
  return { items, next: { time: lastTime, id: last.run_id } };
}

/** Runs that one read of a list looks at, so that a filter without an index does not read a whole history: 20 ms. */
export const SCAN_MAX = 10_000;

const OPEN_STATUSES: ReadonlySet<string> = new Set(["running", "waiting"]);

/** The conditions of a filter for the runs `r`. */
export function conditionsOf(sql: Sql, tenantId: string, filter: RunFilter): Fragment[] {
  return [...indexedConditions(sql, tenantId, filter), ...otherConditions(sql, filter)];
}

/** The conditions that have an index in the order of the list. */
function indexedConditions(sql: Sql, tenantId: string, filter: RunFilter): Fragment[] {
  const conditions: Fragment[] = [sql`r.tenant_id = ${tenantId}`];
  const { statuses = [], waitingReasons = [] } = filter;
  if (filter.workflowId !== undefined) conditions.push(sql`and r.workflow_id = ${filter.workflowId}`);
  if (filter.sessionId !== undefined) conditions.push(sql`and r.session_id = ${filter.sessionId}`);
  if (filter.parentRunId !== undefined) conditions.push(sql`and r.parent_run_id = ${filter.parentRunId}`);
  if (filter.rootRunId !== undefined) {
    // Two conditions, each of which has an index. A root run is its own root.
    const root = filter.rootRunId;
    conditions.push(
      sql`
        and r.root_run_id = ${root}
        and (r.run_id = ${root} or (r.parent_run_id is not null and r.root_run_id = ${root}))`,
    );
  }
  if (filter.createTimeAfter !== undefined)
    conditions.push(sql`and r.create_time >= ${filter.createTimeAfter}::timestamptz`);
  if (filter.createTimeBefore !== undefined)
    conditions.push(sql`and r.create_time < ${filter.createTimeBefore}::timestamptz`);
  // Few runs are open, and they have an index of their own.
  const isOpenOnly = statuses.length > 0 && statuses.every((status) => OPEN_STATUSES.has(status));
  if (isOpenOnly || waitingReasons.length > 0) conditions.push(sql`and r.end_time is null`);
  return conditions;
}

function otherConditions(sql: Sql, filter: RunFilter): Fragment[] {
  // The driver takes an empty list for a parameter.
  const conditions: Fragment[] = [sql``];
  const { statuses = [], waitingReasons = [], labels } = filter;
  if (filter.version !== undefined) conditions.push(sql`and r.version = ${filter.version}`);
  if (filter.actorId !== undefined) conditions.push(sql`and r.actor_id = ${filter.actorId}`);
  if (filter.paused !== undefined) conditions.push(sql`and r.paused = ${filter.paused}`);
  if (labels !== undefined) conditions.push(sql`and r.labels @> ${JSON.stringify(labels)}::text::jsonb`);
  if (statuses.length > 0)
    conditions.push(sql`and r.status in (select json_array_elements_text(${JSON.stringify(statuses)}::text::json))`);
  if (waitingReasons.length > 0) {
    const reasons = JSON.stringify(waitingReasons);
    conditions.push(sql`and r.wait_reason in (select json_array_elements_text(${reasons}::text::json))`);
  }
  return conditions;
}

/**
 * Deletes an ended run with everything that belongs to it, its channel included, and keeps its id from being used
 * again. Does not wait for a run that another transaction is changing.
 */
export async function deleteRun(sql: Sql, { tenantId, runId }: RunKey): Promise<boolean> {
  const rows = await sql`
    with run as (
      select tenant_id, run_id from ${lockTimeout(sql)}, runs
      where tenant_id = ${tenantId} and run_id = ${runId} and end_time is not null
      for update of runs skip locked
    ),
    tombstone as (insert into deleted_runs (tenant_id, run_id) select tenant_id, run_id from run),
    parts as (delete from run_parts t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    record_parts as (delete from record_parts t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    records as (delete from step_records t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    waits as (delete from waits t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    jobs as (delete from jobs t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    mail as (delete from mail t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id),
    events as (
      delete from events t using run where t.tenant_id = run.tenant_id and t.scope = 'run' and t.scope_id = run.run_id
    ),
    channels as (
      delete from channels t using run where t.tenant_id = run.tenant_id and t.scope = 'run' and t.scope_id = run.run_id
    )
    delete from runs t using run where t.tenant_id = run.tenant_id and t.run_id = run.run_id
    returning t.run_id`;
  return rows.length > 0;
}

/** Returns whether a run with this id was deleted. */
async function wasDeleted(sql: Sql, { tenantId, runId }: RunKey): Promise<boolean> {
  const rows = await sql`select from deleted_runs where tenant_id = ${tenantId} and run_id = ${runId}`;
  return rows.length > 0;
}

/**
 * Lanes that own runs and have ended. There are few owners and maybe many runs, so this skips from owner to owner in
 * their index instead of reading all of it.
 */
export function orphanedLanes(sql: Sql): Fragment {
  return sql`
    with recursive owners (lane_id) as (
      (select owner_lane from runs where owner_lane is not null order by owner_lane limit 1)
      union all
      select (select r.owner_lane from runs r where r.owner_lane > o.lane_id order by r.owner_lane limit 1)
      from owners o where o.lane_id is not null
    )
    select l.lane_id from owners o join lanes l on l.lane_id = o.lane_id where l.ended_at is not null`;
}

/** Makes a lane the owner of orphaned runs. */
export async function claimRuns(sql: Sql, laneId: number, limit: number): Promise<RunKey[]> {
  const rows = await sql<KeyRow[]>`
    with orphans as materialized (
      select tenant_id, run_id from runs
      where owner_lane in (${orphanedLanes(sql)})
      limit ${limit} for no key update skip locked
    )
    update runs r set owner_lane = ${laneId}
    from orphans o where r.tenant_id = o.tenant_id and r.run_id = o.run_id
    returning r.tenant_id, r.run_id`;
  return rows.map(keyFromRow);
}

/** The runs that a lane owns. */
export async function listOwnedRuns(sql: Sql, laneId: number): Promise<RunKey[]> {
  const rows = await sql<KeyRow[]>`select tenant_id, run_id from runs where owner_lane = ${laneId}`;
  return rows.map(keyFromRow);
}

type DueRow = { now: Instant; runs: { tenant_id: string; run_id: string }[] | null; next_wake_time: Instant | null };

/** Takes runs that are due and moves their wake time ahead. */
export async function claimDueRuns(
  sql: Sql,
  limit: number,
  retryAfterMs: number,
): Promise<{ now: Instant; runs: RunKey[]; nextWakeTime?: Instant }> {
  const [row] = await sql<DueRow[]>`
    with due as materialized (
      select tenant_id, run_id, wake_at from runs
      where wake_at is not null and wake_at <= now()
      order by wake_at limit ${limit} for no key update skip locked
    ), moved as (
      update runs r set wake_at = now() + ${retryAfterMs} * interval '1 millisecond'
      from due d where r.tenant_id = d.tenant_id and r.run_id = d.run_id
      returning r.wake_at
    )
    select
      now() as now,
      (select json_agg(json_build_object('tenant_id', tenant_id, 'run_id', run_id) order by wake_at) from due) as runs,
      least(
        (select min(wake_at) from moved),
        (
          select r.wake_at from runs r
          where r.wake_at is not null
            and not exists (select from due d where d.tenant_id = r.tenant_id and d.run_id = r.run_id)
          order by r.wake_at limit 1
        )
      ) as next_wake_time`;
  if (row === undefined) throw new Error("the claim of due runs returned no row");
  return {
    now: row.now,
    runs: (row.runs ?? []).map(keyFromRow),
    ...(row.next_wake_time === null ? {} : { nextWakeTime: row.next_wake_time }),
  };
}

export const runs: Statements<Sql, RunStore> = {
  load: loadRuns,
  loadHeads: loadRunHeads,
  list: listRuns,
  delete: deleteRun,
  wasDeleted,
  claim: claimRuns,
  claimDue: claimDueRuns,
};
