/** Waits: opened and closed by transitions, listed while they are open, kept with how they ended. */
import type { RunState } from "../../core/run.ts";
import { reasonOf, shownWait, type Wait } from "../../core/wait.ts";
import type { Page, PageStart } from "../contract/page.ts";
import type { RunKey } from "../contract/runs.ts";
import type { WaitStore, StoredWait, WaitClosing, WaitFilter } from "../contract/waits.ts";
import type { RowState } from "../run-parts.ts";
import { type MemoryDatabase, readStored, rowKey, type RunRow, type WaitRow } from "./database.ts";
import { comparePlaces, hasLabels } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

export function openWait(database: MemoryDatabase, { tenantId, runId }: RunKey, wait: Wait): void {
  const waitText = JSON.stringify(wait);
  const row: WaitRow = { tenantId, runId, head: readStored(waitText) as Wait, waitText };
  const key = rowKey(tenantId, wait.wait_id);
  database.waits.set(key, row);
  database.openWaits.set(key, row);
}

export function closeWait(database: MemoryDatabase, tenantId: string, closing: WaitClosing): void {
  const key = rowKey(tenantId, closing.waitId);
  const row = database.openWaits.get(key);
  if (row === undefined) return;
  row.closing = { ...closing };
  database.openWaits.delete(key);
}

function getWait(database: MemoryDatabase, tenantId: string, waitId: string): StoredWait | undefined {
  const row = database.waits.get(rowKey(tenantId, waitId));
  return row === undefined ? undefined : waitFromRow(database, row);
}

/** The run of a wait exists as long as the wait does. */
function runOf(database: MemoryDatabase, row: WaitRow): RunRow {
  return database.runs.get(rowKey(row.tenantId, row.runId))!;
}

function waitFromRow(database: MemoryDatabase, row: WaitRow): StoredWait {
  const { workflowId, sessionId, labels } = readStored(runOf(database, row).stateText) as RowState;
  return {
    tenantId: row.tenantId,
    runId: row.runId,
    wait: readStored(row.waitText) as Wait,
    workflowId,
    ...(sessionId === undefined ? {} : { sessionId }),
    labels,
    ...(row.closing === undefined ? {} : { closing: { ...row.closing } }),
  };
}

function listWaits(
  database: MemoryDatabase,
  request: { tenantId: string; filter: WaitFilter; start?: PageStart; limit: number },
): Page<StoredWait> {
  const { tenantId, filter, start, limit } = request;
  const placeOf = ({ head }: WaitRow): PageStart => ({ time: head.create_time, id: head.wait_id });
  const rows = [...database.openWaits.values()]
    .filter((row) => row.tenantId === tenantId && waitMatches(row, runOf(database, row).head, filter))
    .filter((row) => start === undefined || comparePlaces(placeOf(row), start) > 0)
    .toSorted((a, b) => comparePlaces(placeOf(a), placeOf(b)));
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items.map((row) => waitFromRow(database, row)),
    ...(rows.length > limit && last !== undefined ? { next: placeOf(last) } : {}),
  };
}

function waitMatches({ head: wait }: WaitRow, run: RunState, filter: WaitFilter): boolean {
  return (
    filter.reasons.includes(reasonOf(wait)) &&
    (filter.workflowId === undefined || run.workflowId === filter.workflowId) &&
    (filter.sessionId === undefined || run.sessionId === filter.sessionId) &&
    (filter.runId === undefined || run.runId === filter.runId) &&
    (filter.assignee === undefined || (shownWait(wait).assignees ?? []).includes(filter.assignee)) &&
    (filter.labels === undefined || hasLabels(run.labels, filter.labels))
  );
}

export const waits: Statements<MemoryDatabase, WaitStore> = { get: getWait, list: listWaits };
