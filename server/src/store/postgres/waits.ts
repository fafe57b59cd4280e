/** Waits: the inbox, and how waits were closed. */
import assert from "node:assert/strict";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { parseOwnJson } from "../../core/json/json.ts";
import type { Instant } from "../../core/duration.ts";
import { readWait, reasonOf, type Wait, type WaitReason } from "../../core/wait.ts";
import type { Page, PageStart } from "../contract/page.ts";
import type { WaitStore, StoredWait, WaitClosing, WaitFilter } from "../contract/waits.ts";
import type { Fragment, Sql } from "./client.ts";
import { readLabels } from "./run-row.ts";
import { SCAN_MAX } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

type WaitRow = {
  tenant_id: string;
  wait_id: string;
  run_id: string;
  reason: WaitReason;
  body: string;
  create_time: Instant;
  close_time: Instant | null;
  closed_by: WaitClosing["by"];
  closed_run_seq: number;
  request_id: string | null;
  answered_by: string | null;
  workflow_id: string;
  session_id: string | null;
  labels: unknown;
};

function waitColumns(sql: Sql): Fragment {
  return sql`
    w.tenant_id, w.wait_id, w.run_id, w.reason, w.body, w.create_time, w.close_time, w.closed_by, w.closed_run_seq,
    w.request_id, w.answered_by, r.workflow_id, r.session_id, r.labels`;
}

function waitFromRow(row: WaitRow): StoredWait {
  const closing: WaitClosing | undefined =
    row.close_time === null
      ? undefined
      : {
          waitId: row.wait_id,
          closeTime: row.close_time,
          by: row.closed_by,
          runSeq: row.closed_run_seq,
          ...(row.request_id === null ? {} : { requestId: row.request_id }),
          ...(row.answered_by === null ? {} : { actorId: row.answered_by }),
        };
  return {
    tenantId: row.tenant_id,
    runId: row.run_id,
    ...decodeStored(
      () => ({ wait: waitOfRow(row) }),
      (what, cause) => new DamageError("wait", { run_id: row.run_id, wait_id: row.wait_id }, what, cause),
      (damage) => ({ wait: unreadableWait(row), damage }),
    ),
    workflowId: row.workflow_id,
    ...(row.session_id === null ? {} : { sessionId: row.session_id }),
    labels: readLabels(row.labels) ?? {},
    ...(closing === undefined ? {} : { closing }),
  };
}

function waitOfRow(row: WaitRow): Wait {
  const wait = readWait(parseOwnJson(row.body));
  const isOfRow = wait.wait_id === row.wait_id && wait.create_time === row.create_time;
  assert(isOfRow && reasonOf(wait) === row.reason, "a wait is the one of its row");
  return wait;
}

/** Stands for a wait that cannot be read. */
function unreadableWait({ wait_id, create_time, reason }: WaitRow): Wait {
  const known = { wait_id, node_id: "", create_time };
  switch (reason) {
    case "event":
      return { ...known, asks: "event", names: [], scope: "run", scope_id: "" };
    case "until":
      return { ...known, asks: "time", due_time: create_time };
    default:
      return { ...known, asks: "question", prompt: "", answer_schema: {} };
  }
}

async function getWait(sql: Sql, tenantId: string, waitId: string): Promise<StoredWait | undefined> {
  const rows = await sql<WaitRow[]>`
    select ${waitColumns(sql)} from waits w join runs r on r.tenant_id = w.tenant_id and r.run_id = w.run_id
    where w.tenant_id = ${tenantId} and w.wait_id = ${waitId}`;
  return rows[0] === undefined ? undefined : waitFromRow(rows[0]);
}

/** Lists open waits, oldest first. */
export async function listWaits(
  sql: Sql,
  request: { tenantId: string; filter: WaitFilter; start?: PageStart; limit: number },
): Promise<Page<StoredWait>> {
  const { tenantId, filter, start, limit } = request;
  const after =
    start === undefined ? sql`` : sql`and (w.create_time, w.wait_id) > (${start.time}::timestamptz, ${start.id})`;
  const position = sql`order by w.create_time, w.wait_id`;
  const indexed = sql`${indexedConditions(sql, tenantId, filter)} ${after}`;
  const rows = await sql<(WaitRow & { edge_time: Instant | null; edge_id: string | null })[]>`
    with matched as materialized (
      select w.tenant_id, w.wait_id, w.create_time
      from (select w.* from waits w where ${indexed} ${position} limit ${SCAN_MAX}) as w
      join runs r on r.tenant_id = w.tenant_id and r.run_id = w.run_id
      where true ${otherConditions(sql, filter)}
      ${position} limit ${limit + 1}
    )
    select edge.create_time as edge_time, edge.wait_id as edge_id, ${waitColumns(sql)}
    from (select) as one
    left join lateral (
      -- The last wait that was looked at, if there were too few that match.
      select w.create_time, w.wait_id from waits w
      where ${indexed} and (select count(*) from matched) <= ${limit}
      ${position} limit 1 offset ${SCAN_MAX - 1}
    ) as edge on true
    left join (
      matched m join waits w on w.tenant_id = m.tenant_id and w.wait_id = m.wait_id
      join runs r on r.tenant_id = w.tenant_id and r.run_id = w.run_id
    ) on true
    order by m.create_time, m.wait_id`;
  // One row without a wait says how far it was looked if no wait matches.
  const found = rows.filter((row) => (row.wait_id as string | null) !== null);
  const items = found.slice(0, limit).map(waitFromRow);
  const { edge_time: edgeTime, edge_id: id } = rows[0]!;
  if (edgeTime !== null && id !== null) return { items, next: { time: edgeTime, id } };
  const last = found[limit - 1];
  if (found.length <= limit || last === undefined) return { items };
  return { items, next: { time: last.create_time, id: last.wait_id } };
}

/** A single reason is compared for equality, so that the index also provides the order. */
function reasonsCondition(sql: Sql, reasons: WaitFilter["reasons"]): Fragment {
  const [first, ...more] = reasons;
  if (first !== undefined && more.length === 0) return sql`w.reason = ${first}`;
  return sql`w.reason in (select json_array_elements_text(${JSON.stringify(reasons)}::text::json))`;
}

function indexedConditions(sql: Sql, tenantId: string, filter: WaitFilter): Fragment[] {
  const conditions = [
    sql`w.tenant_id = ${tenantId} and w.close_time is null and ${reasonsCondition(sql, filter.reasons)}`,
  ];
  if (filter.runId !== undefined) conditions.push(sql`and w.run_id = ${filter.runId}`);
  return conditions;
}

function otherConditions(sql: Sql, filter: WaitFilter): Fragment[] {
  // The driver takes an empty list for a parameter.
  const conditions: Fragment[] = [sql``];
  if (filter.workflowId !== undefined) conditions.push(sql`and r.workflow_id = ${filter.workflowId}`);
  if (filter.sessionId !== undefined) conditions.push(sql`and r.session_id = ${filter.sessionId}`);
  if (filter.assignee !== undefined) conditions.push(sql`and ${filter.assignee} = any (w.assignees)`);
  if (filter.labels !== undefined) conditions.push(sql`and r.labels @> ${JSON.stringify(filter.labels)}::text::jsonb`);
  return conditions;
}

export const waits: Statements<Sql, WaitStore> = { get: getWait, list: listWaits };
