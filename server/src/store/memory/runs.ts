/** Reads, lists, hands out and deletes runs. */
import type { SealedRecord } from "../../core/ledger-format.ts";
import { addMs, type Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";
import { hasEnded, type RunState, waitReasonOf } from "../../core/run.ts";
import type { Page, PageStart } from "../contract/page.ts";
import type { RunFilter, RunKey, RunOrder, StoredRun, RunStore } from "../contract/runs.ts";
import type { RunPart } from "../part.ts";
import { partsByKind, type RowState, stateFromRow } from "../run-parts.ts";
import { foldMissing, foldMissingHeads } from "../row-behind.ts";
import { deleteJobs } from "./jobs.ts";
import { type MemoryDatabase, readStored, rowKey, type RunRow, timeOf } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

function loadRuns(database: MemoryDatabase, keys: readonly RunKey[], withPayload: boolean): (StoredRun | undefined)[] {
  return keys.map(({ tenantId, runId }) => {
    const row = database.runs.get(rowKey(tenantId, runId));
    return row === undefined ? undefined : readRun(row, withPayload);
  });
}

/** @param withPayload false: `vars` is null and `output` absent */
export function readRun(row: RunRow, withPayload: boolean): StoredRun {
  // Record n is at n - 1.
  const missing = row.records.slice(row.head.seq);
  return withPayload ? foldMissing(runFromRow(row, true), missing) : foldMissingHeads(runFromRow(row, false), missing);
}

function runFromRow(row: RunRow, withPayload: boolean): StoredRun {
  const state = readStored(row.stateText) as RowState;
  const parts = withPayload ? partsOf(row) : partsOf(row, HEAD_PARTS);
  const { headHash, requestDigest, ownerLane, format } = row;
  return {
    state: stateFromRow(state, partsByKind(parts)),
    headHash,
    requestDigest,
    ...(ownerLane === undefined ? {} : { ownerLane }),
    format,
  };
}

/** The parts that a run without payloads has. */
const HEAD_PARTS: ReadonlySet<RunPart> = new Set(["calls", "attempt"]);

function* partsOf({ parts, records }: RunRow, only?: ReadonlySet<RunPart>): Generator<[RunPart, string, Json]> {
  for (const [part, texts] of parts) {
    if (only !== undefined && !only.has(part)) continue;
    for (const [name, text] of texts) {
      const value = readStored(text) as Json;
      // The output is in its record; record n is at n - 1.
      const isSeq = part === "outcome" && typeof value === "number";
      yield [part, name, isSeq ? { output: givenOf(records[value - 1]!), seq: value } : value];
    }
  }
}

function givenOf({ parts }: SealedRecord): Json {
  return readStored(parts.find(({ name }) => name === "given")!.text) as Json;
}

function listRuns(
  database: MemoryDatabase,
  request: { tenantId: string; filter: RunFilter; order: RunOrder; start?: PageStart; limit: number },
): Page<StoredRun> {
  const { tenantId, filter, order, start, limit } = request;
  const placeOf = ({ head }: RunRow): PageStart => ({
    time: order === "update_time_desc" ? head.updateTime : head.createTime,
    id: head.runId,
  });
  const direction = order === "create_time_asc" ? 1 : -1;
  const rows = [...database.runs.values()]
    .filter((row) => row.tenantId === tenantId && runMatches(row.head, filter))
    .filter((row) => start === undefined || direction * comparePlaces(placeOf(row), start) > 0)
    .toSorted((a, b) => direction * comparePlaces(placeOf(a), placeOf(b)));
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items.map((row) => readRun(row, false)),
    ...(rows.length > limit && last !== undefined ? { next: placeOf(last) } : {}),
  };
}

/** Compares by time, then by id in code units, as COLLATE "C" does for ids, which are ASCII. */
export function comparePlaces(a: PageStart, b: PageStart): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return 0;
}

function runMatches(run: RunState, filter: RunFilter): boolean {
  return (
    (filter.workflowId === undefined || run.workflowId === filter.workflowId) &&
    (filter.version === undefined || run.version === filter.version) &&
    (filter.statuses === undefined || filter.statuses.includes(run.status)) &&
    (filter.sessionId === undefined || run.sessionId === filter.sessionId) &&
    (filter.actorId === undefined || run.actorId === filter.actorId) &&
    (filter.parentRunId === undefined || run.parentRunId === filter.parentRunId) &&
    (filter.rootRunId === undefined || run.rootRunId === filter.rootRunId) &&
    (filter.labels === undefined || hasLabels(run.labels, filter.labels)) &&
    (filter.paused === undefined || run.paused === filter.paused) &&
    (filter.waitingReasons === undefined || filter.waitingReasons.includes(waitReasonOf(run)!)) &&
    (filter.createTimeAfter === undefined || run.createTime >= filter.createTimeAfter) &&
    (filter.createTimeBefore === undefined || run.createTime < filter.createTimeBefore)
  );
}

/** Whether `labels` has every one of the required labels. */
export function hasLabels(
  labels: Readonly<Record<string, string>>,
  required: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(required).every(([name, value]) => labels[name] === value);
}

function deleteRun(database: MemoryDatabase, { tenantId, runId }: RunKey): boolean {
  const key = rowKey(tenantId, runId);
  const row = database.runs.get(key);
  if (row === undefined || !hasEnded(row.head)) return false;
  database.runs.delete(key);
  database.deletedRuns.add(key);
  deleteJobs(database, row);
  for (const [waitKey, wait] of database.waits) {
    if (rowKey(wait.tenantId, wait.runId) !== key) continue;
    database.waits.delete(waitKey);
    database.openWaits.delete(waitKey);
  }
  for (const [mailId, mail] of database.mail) {
    if (rowKey(mail.tenantId, mail.runId) === key) database.mail.delete(mailId);
  }
  return true;
}

function wasDeleted(database: MemoryDatabase, { tenantId, runId }: RunKey): boolean {
  return database.deletedRuns.has(rowKey(tenantId, runId));
}

function isOrphan(database: MemoryDatabase, row: RunRow): boolean {
  return row.ownerLane !== undefined && database.lanes.get(row.ownerLane)?.server.ended !== false;
}

export function hasOrphans(database: MemoryDatabase): boolean {
  return database.runs.values().some((row) => isOrphan(database, row));
}

function claimRuns(database: MemoryDatabase, laneId: number, limit: number): RunKey[] {
  return database.runs
    .values()
    .filter((row) => isOrphan(database, row))
    .take(limit)
    .map((row) => {
      row.ownerLane = laneId;
      return { tenantId: row.tenantId, runId: row.runId };
    })
    .toArray();
}

export function nextWakeTime(database: MemoryDatabase): Instant | undefined {
  let earliest: Instant | undefined;
  for (const { wakeTime } of database.runs.values()) {
    if (wakeTime !== undefined && (earliest === undefined || wakeTime < earliest)) earliest = wakeTime;
  }
  return earliest;
}

function claimDueRuns(
  database: MemoryDatabase,
  limit: number,
  retryAfterMs: number,
): { now: Instant; runs: RunKey[]; nextWakeTime?: Instant } {
  const now = timeOf(database);
  const taken = [...database.runs.values()]
    .flatMap((row) => (row.wakeTime !== undefined && row.wakeTime <= now ? [{ row, time: row.wakeTime }] : []))
    .toSorted((a, b) => comparePlaces({ time: a.time, id: a.row.runId }, { time: b.time, id: b.row.runId }))
    .slice(0, limit);
  for (const { row } of taken) row.wakeTime = addMs(now, retryAfterMs);
  const next = nextWakeTime(database);
  return {
    now,
    runs: taken.map(({ row }) => ({ tenantId: row.tenantId, runId: row.runId })),
    ...(next === undefined ? {} : { nextWakeTime: next }),
  };
}

export const runs: Statements<MemoryDatabase, RunStore> = {
  load: (database, keys) => loadRuns(database, keys, true),
  loadHeads: (database, keys) => loadRuns(database, keys, false),
  list: listRuns,
  delete: deleteRun,
  wasDeleted,
  claim: claimRuns,
  claimDue: claimDueRuns,
};
