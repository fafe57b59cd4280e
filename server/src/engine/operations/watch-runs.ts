/**
 * The feed over all runs. A cursor has one position for each lane, so nothing is skipped, whatever the servers do:
 * within a lane batches become visible in order, and new lanes are read from their beginning.
 */
import { DomainError } from "../../core/errors.ts";
import type { Json } from "../../core/json/json.ts";
import { type RunState, waitReasonOf } from "../../core/run.ts";
import type { FeedEntry, FeedFilter } from "../../store/contract/feed.ts";
import type { LaneState } from "../../store/contract/lanes.ts";
import type { Caller, NoticeKind, RunFilter, RunsMessage } from "../api.ts";
import type { Store } from "../../store/contract/store.ts";
import type { Essentials } from "../essentials.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import { pause } from "../pause.ts";
import type { Reads } from "../reads.ts";
import type { RunViewer } from "../run-view.ts";
import { readToken, writeToken } from "../token.ts";

/** Entries read at once, with their runs in one query. */
const ENTRIES_PAGE = 100;
/**
 * News that comes in quick succession is read together: otherwise a busy server would read after each of its commits.
 */
const READ_PAUSE_MS = 10;
/** A position after every entry of a batch: ordinals are 32-bit. */
const ORDINAL_MAX = 2 ** 31 - 1;
/** The cursor from which everything that is kept is read. */
const FROM_BEGINNING = "beginning";

type Parts = Pick<Essentials, "store" | "settings"> & {
  reads: Pick<Reads, "loadListedRun">;
  hub: Pick<NoticeHub, "watchFeed">;
  viewOf: RunViewer;
  isStopping: () => boolean;
};

type Position = { laneId: number; nonce: number; batchNo: number; ordinal: number };
type Cursor = {
  /** Every lane up to this id that has no position here was read to its end. */
  highestLaneId: number;
  positions: Position[];
};

/**
 * Yields the notices after a cursor, then new ones as they come.
 * @throws {DomainError} CURSOR_INVALID, CURSOR_EXPIRED
 */
export async function* watchRuns(
  parts: Parts,
  caller: Caller,
  request: { filter: RunFilter; kinds: readonly NoticeKind[]; cursor: string; signal: AbortSignal },
): AsyncGenerator<RunsMessage> {
  const { store, hub, settings, isStopping } = parts;
  const { signal } = request;
  const { tenantId } = caller;
  const purpose = `watch-runs/${tenantId}`;
  const filter = feedFilterOf(request);
  const changed = createSignal();
  const unwatch = hub.watchFeed(changed.raise);
  try {
    const cursor = await openCursor(store, request.cursor, purpose);
    const text = () => writeToken(store.tokenKey, purpose, encodeCursor(cursor));
    // The first message has the cursor at which the stream begins, so a client that loses the stream at once misses
    // nothing.
    yield { cursor: text() };
    while (!signal.aborted && !isStopping()) {
      // Which lanes have ended is read before their entries: a lane that had ended by then and is read to its end is
      // done.
      const lanes = await store.lanes.list(cursor.highestLaneId);
      const open = new Set(lanes.filter((lane) => !lane.ended).map((lane) => lane.laneId));
      addLanes(cursor, lanes);
      const entries = await store.feed.read(tenantId, cursor.positions, ENTRIES_PAGE, filter);
      const runs = await Promise.all(entries.map((entry) => wantedRun(parts, entry, request)));
      let isSilent = true;
      for (const [index, entry] of entries.entries()) {
        advanceCursor(cursor, entry);
        const run = runs[index];
        if (run !== undefined) {
          isSilent = false;
          yield { cursor: text(), notice: { noticeId: noticeIdOf(cursor, entry), kind: entry.kind, run } };
        }
        if (signal.aborted) return;
      }
      if (entries.length === ENTRIES_PAGE || entries.some(({ passed }) => passed?.isMore === true)) {
        // A client that wants little of much sees how far the stream is, and need not begin anew if it loses it.
        if (isSilent) yield { cursor: text() };
        continue;
      }
      cursor.positions = cursor.positions.filter((position) => open.has(position.laneId));
      const readAt = performance.now();
      const isNews = await changed.wait(settings.heartbeatMs, signal);
      const early = READ_PAUSE_MS - (performance.now() - readAt);
      if (isNews && early > 0) await pause(early);
      if (!isNews && !signal.aborted) yield { cursor: text() };
    }
  } finally {
    unwatch();
  }
}

async function openCursor(store: Store, token: string, purpose: string): Promise<Cursor> {
  if (token === FROM_BEGINNING) return { highestLaneId: 0, positions: [] };
  if (token === "") {
    const lanes = await store.lanes.list(0);
    const open = lanes.filter((lane) => !lane.ended);
    const positions = open.map(({ laneId, nonce, lastBatchNo }) => ({
      laneId,
      nonce,
      batchNo: lastBatchNo,
      ordinal: ORDINAL_MAX,
    }));
    return { highestLaneId: Math.max(0, ...lanes.map((lane) => lane.laneId)), positions };
  }
  const cursor = decodeCursor(readToken(store.tokenKey, purpose, token, "CURSOR_INVALID"));
  await assertKnown(store, cursor);
  return cursor;
}

/** Refuses a cursor that is ahead of the database: the database was restored from an older backup. */
async function assertKnown(store: Store, cursor: Cursor): Promise<void> {
  const lowest = Math.min(cursor.highestLaneId, ...cursor.positions.map((position) => position.laneId));
  const lanes = new Map((await store.lanes.list(lowest - 1)).map((lane) => [lane.laneId, lane]));
  const isKnown = (position: Position) => {
    const lane = lanes.get(position.laneId);
    return lane !== undefined && lane.nonce === position.nonce && position.batchNo <= lane.lastBatchNo;
  };
  if ((cursor.highestLaneId === 0 || lanes.has(cursor.highestLaneId)) && cursor.positions.every(isKnown)) return;
  throw new DomainError(
    "CURSOR_EXPIRED",
    "The cursor belongs to another database or a later state of it; start again without one.",
  );
}

function addLanes(cursor: Cursor, lanes: readonly LaneState[]): void {
  for (const { laneId, nonce } of lanes) {
    if (laneId <= cursor.highestLaneId) continue;
    cursor.positions.push({ laneId, nonce, batchNo: 0, ordinal: 0 });
  }
  cursor.highestLaneId = Math.max(cursor.highestLaneId, ...lanes.map((lane) => lane.laneId));
}

function advanceCursor(cursor: Cursor, entry: FeedEntry): void {
  const position = cursor.positions.find(({ laneId }) => laneId === entry.laneId)!;
  position.batchNo = entry.batchNo;
  position.ordinal = entry.ordinal;
}

/** What the store can tell by itself; undefined if the reader wants everything. */
function feedFilterOf(request: { filter: RunFilter; kinds: readonly NoticeKind[] }): FeedFilter | undefined {
  // These change, and the row of a run may be behind its ledger.
  const { statuses: _statuses, paused: _paused, waitingReasons: _reasons, ...runs } = request.filter;
  const { kinds } = request;
  return kinds.length === 0 && Object.keys(runs).length === 0 ? undefined : { kinds, runs };
}

async function wantedRun(
  { reads, viewOf }: Parts,
  entry: FeedEntry,
  request: { filter: RunFilter; kinds: readonly NoticeKind[] },
) {
  if (entry.passed !== undefined) return undefined;
  if (request.kinds.length > 0 && !request.kinds.includes(entry.kind)) return undefined;
  const run = await reads.loadListedRun(entry);
  // A run that has been deleted since has no news.
  return run === undefined || !matchesFilter(run.state, request.filter) ? undefined : viewOf(run, "basic");
}

/** Whether a run matches a filter. */
function matchesFilter(run: RunState, filter: RunFilter): boolean {
  const isOf = (wanted: string | number | boolean | undefined, actual: unknown) =>
    wanted === undefined || wanted === actual;
  return (
    isOf(filter.workflowId, run.workflowId) &&
    isOf(filter.version, run.version) &&
    isOf(filter.sessionId, run.sessionId) &&
    isOf(filter.actorId, run.actorId) &&
    isOf(filter.parentRunId, run.parentRunId) &&
    isOf(filter.rootRunId, run.rootRunId) &&
    isOf(filter.paused, run.paused) &&
    (filter.statuses === undefined || filter.statuses.length === 0 || filter.statuses.includes(run.status)) &&
    (filter.waitingReasons === undefined ||
      filter.waitingReasons.length === 0 ||
      filter.waitingReasons.includes(waitReasonOf(run)!)) &&
    (filter.createTimeAfter === undefined || run.createTime >= filter.createTimeAfter) &&
    (filter.createTimeBefore === undefined || run.createTime < filter.createTimeBefore) &&
    Object.entries(filter.labels ?? {}).every(([name, value]) => run.labels[name] === value)
  );
}

function noticeIdOf(cursor: Cursor, { laneId, batchNo, ordinal }: FeedEntry): string {
  const { nonce } = cursor.positions.find((position) => position.laneId === laneId)!;
  return `${laneId}-${nonce}-${batchNo}-${ordinal}`;
}

function encodeCursor({ highestLaneId, positions }: Cursor): Json {
  return [
    highestLaneId,
    ...positions.map((position) => [position.laneId, position.nonce, position.batchNo, position.ordinal]),
  ];
}

function decodeCursor(value: Json): Cursor {
  const [highestLaneId, ...positions] = value as [number, ...number[][]];
  return {
    highestLaneId,
    positions: positions.map(([laneId, nonce, batchNo, ordinal]) => ({
      laneId: laneId!,
      nonce: nonce!,
      batchNo: batchNo!,
      ordinal: ordinal!,
    })),
  };
}
