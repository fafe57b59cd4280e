/** A batch: everything or nothing of each item, and nothing at all of a batch that is fenced or refused. */
import assert from "node:assert/strict";
import { channelKey } from "../../core/event.ts";
import { assertJson, type Json } from "../../core/json.ts";
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { RunState } from "../../core/run.ts";
import { BatchRejectedError, LaneFencedError } from "../contract/errors.ts";
import type { Batch, BatchItem, Delivery, ItemOutcome, Transition } from "../contract/batch.ts";
import {
  type LaneRow,
  type MemoryDatabase,
  nextCommitTime,
  readStored,
  rowKey,
  type RunRow,
  STORED_BOUNDS,
} from "./database.ts";
import { emitEvent } from "./events.ts";
import { canSettle, changeJobs, createJobs } from "./jobs.ts";
import { deliverMail } from "./mail.ts";
import { closeWait, openWait } from "./waits.ts";

/** Commits a batch. All checks come before the first change, so that a throw leaves everything as it was. */
export function commitBatch(database: MemoryDatabase, batch: Batch): ItemOutcome[] {
  const { laneId, batchNo, items } = batch;
  const lane = database.lanes.get(laneId);
  if (lane === undefined || lane.server.ended) throw new LaneFencedError(`lane ${laneId} has ended`);
  if (lane.batches.has(batchNo)) throw new BatchRejectedError(`batch ${batchNo} of lane ${laneId} is settled`);
  assert(batchNo > lane.lastBatchNo, "the batches of a lane are committed in their order");
  assertRunsAppearOnce(items);
  const refusals = items.map((item) => (item.type === "transition" ? refusalOf(database, item.transition) : undefined));
  const isTaken = (transition: Transition, i: number): boolean =>
    refusals[i] === undefined && recordsOf(database, transition).length > transition.expectedSeq;
  if (items.some((item, i) => item.type === "transition" && isTaken(item.transition, i))) {
    if (items.length === 1) return [{ type: "conflict" }];
    throw new BatchRejectedError("a step record is there already");
  }
  assertJobsAreNew(database, transitionsOf(items.filter((_, i) => refusals[i] === undefined)));
  for (const [i, item] of items.entries()) {
    if (item.type === "delivery") assertDeliveryFits(item.delivery);
    else assertTransitionFits(database, item.transition, refusals[i] === undefined);
  }
  lane.batches.set(batchNo, "committed");
  lane.lastBatchNo = batchNo;
  const place: BatchPlace = { lane, batchNo, nextOrdinal: 0 };
  const committed = transitionsOf(items.filter((_, i) => refusals[i] === undefined));
  changeJobs(database, committed);
  createJobs(database, committed);
  return items.map((item, i): ItemOutcome => {
    const refusal = refusals[i];
    if (refusal !== undefined) return refusal;
    if (item.type === "delivery") return applyDelivery(database, item.delivery);
    applyTransition(database, place, item.transition);
    return { type: "committed" };
  });
}

type BatchPlace = { lane: LaneRow; batchNo: number; nextOrdinal: number };

/** What stands against a transition, seen before any item of its batch: its own batch moves no channel under it. */
function refusalOf(database: MemoryDatabase, transition: Transition): ItemOutcome | undefined {
  const key = rowKey(transition.tenantId, transition.runId);
  const row = database.runs.get(key);
  const isLeft = transition.after.behind !== undefined;
  if (!isLeft && (row?.head.seq ?? 0) !== transition.rowSeq) return { type: "conflict" };
  if ((row?.records.length ?? 0) < transition.expectedSeq) return { type: "conflict" };
  if (database.deletedRuns.has(key)) return { type: "conflict" };
  const { expectChannel, consumedMail } = transition;
  if (expectChannel !== undefined) {
    const lastNumber = database.channels.get(channelKey(expectChannel.channel))?.lastNumber ?? 0;
    if (lastNumber > expectChannel.upTo) return { type: "channel_moved" };
  }
  const isThere = (mailId: number): boolean => {
    const mail = database.mail.get(mailId);
    return mail !== undefined && rowKey(mail.tenantId, mail.runId) === key;
  };
  return consumedMail.every(isThere) && canSettle(database, transition) ? undefined : { type: "conflict" };
}

function recordsOf(database: MemoryDatabase, { tenantId, runId }: Transition): readonly SealedRecord[] {
  return database.runs.get(rowKey(tenantId, runId))?.records ?? [];
}

function transitionsOf(items: readonly BatchItem[]): Transition[] {
  return items.flatMap((item) => (item.type === "transition" ? [item.transition] : []));
}

function assertRunsAppearOnce(items: readonly BatchItem[]): void {
  const keys = transitionsOf(items).map(({ tenantId, runId }) => rowKey(tenantId, runId));
  assert.equal(new Set(keys).size, keys.length, "each run appears at most once in a batch");
}

/** Idempotency keys are unique in a tenant. */
function assertJobsAreNew(database: MemoryDatabase, transitions: readonly Transition[]): void {
  const keys = transitions.flatMap(({ tenantId, jobs }) => jobs.map((job) => rowKey(tenantId, job.idempotency_key)));
  if (new Set(keys).size < keys.length || keys.some((key) => database.jobs.has(key))) {
    throw new BatchRejectedError("an idempotency key is used twice");
  }
}

function assertDeliveryFits(delivery: Delivery): void {
  if (delivery.type === "event") {
    const { payload, ...columns } = delivery.event;
    assertText(Object.values(columns));
    assertStorable(payload);
  } else {
    assertText([delivery.tenantId, delivery.runId, delivery.mail.actorId, delivery.mail.reason]);
  }
}

/** @param willCommit whether the rows are inserted at all; unique keys count only then */
function assertTransitionFits(database: MemoryDatabase, transition: Transition, willCommit: boolean): void {
  const { tenantId, runId, expectedSeq, after, records, openWait: wait } = transition;
  const { state } = after;
  assert.equal(state.tenantId, tenantId, "a state belongs to the run it is stored under");
  assert.equal(state.runId, runId, "a state belongs to the run it is stored under");
  assert.equal(state.seq, expectedSeq + records.length, "a ledger is gapless");
  for (const [i, record] of records.entries()) assert.equal(record.seq, expectedSeq + i + 1, "a ledger is gapless");
  const lastHash = records.at(-1)?.hash;
  assert(lastHash === undefined || lastHash === after.headHash, "headHash is that of the last record");
  assert(wait === undefined || wait.wait_id === state.wait?.wait_id, "an open wait is the state's wait");
  assertText([tenantId, runId, state.workflowId, state.sessionId, state.actorId, state.parentRunId, wait?.wait_id]);
  assertStorable(state.vars);
  if (state.output !== undefined) assertStorable(state.output);
  for (const event of transition.events) assertDeliveryFits({ type: "event", event });
  for (const job of transition.jobs) {
    assertText([job.idempotency_key, job.name, job.call_id, job.fairnessKey]);
    assertStorable(job.payload);
  }
  if (!willCommit) return;
  if (wait !== undefined && database.waits.has(rowKey(tenantId, wait.wait_id))) {
    throw new BatchRejectedError(`wait ${wait.wait_id} exists`);
  }
}

/** Postgres has no text with a U+0000 in it. */
function assertText(columns: readonly (string | number | undefined)[]): void {
  for (const column of columns) {
    if (typeof column === "string" && column.includes("\0")) throw new BatchRejectedError("a text holds U+0000");
  }
}

/** Values that JSON text would change (undefined members, class instances) are bugs of whoever commits them. */
function assertStorable(value: Json): void {
  try {
    assertJson(value, STORED_BOUNDS);
  } catch (error) {
    throw new BatchRejectedError("a value is not JSON", { cause: error });
  }
}

function applyDelivery(database: MemoryDatabase, delivery: Delivery): ItemOutcome {
  if (delivery.type === "event") {
    const number = emitEvent(database, delivery.event);
    return number === undefined ? { type: "duplicate" } : { type: "committed", number };
  }
  deliverMail(database, delivery, delivery.mail);
  return { type: "committed" };
}

function applyTransition(database: MemoryDatabase, place: BatchPlace, transition: Transition): void {
  const { tenantId, runId } = transition;
  const key = rowKey(tenantId, runId);
  database.runs.set(key, rowAfter(database.runs.get(key), transition));
  const time = nextCommitTime(database);
  for (const { kind, seq } of transition.notices) {
    const { lane, batchNo } = place;
    lane.feed.push({ tenantId, runId, laneId: lane.laneId, batchNo, ordinal: place.nextOrdinal, kind, seq, time });
    place.nextOrdinal += 1;
  }
  if (transition.closeWait !== undefined) closeWait(database, tenantId, transition.closeWait);
  if (transition.openWait !== undefined) openWait(database, transition, transition.openWait);
  for (const event of transition.events) emitEvent(database, event);
  for (const mailId of transition.consumedMail) database.mail.delete(mailId);
}

function rowAfter(before: RunRow | undefined, transition: Transition): RunRow {
  const { tenantId, runId, after, outputChanged, wakeTime } = transition;
  const records = [...(before?.records ?? []), ...transition.records.map((record) => structuredClone(record))];
  if (after.behind !== undefined) return { ...before!, records };
  const { vars, output, ...state } = after.state;
  const stateText = JSON.stringify({ ...state, vars: null });
  const varsText = transition.vars !== undefined || before === undefined ? JSON.stringify(vars) : before.varsText;
  const outputText = outputChanged ? textOrAbsent(output) : before?.outputText;
  return {
    tenantId,
    runId,
    head: readStored(stateText) as RunState,
    stateText,
    varsText,
    ...(outputText === undefined ? {} : { outputText }),
    headHash: after.headHash,
    requestDigest: after.requestDigest,
    ...(after.ownerLane === undefined ? {} : { ownerLane: after.ownerLane }),
    format: after.format,
    ...(wakeTime === undefined ? {} : { wakeTime }),
    records,
  };
}

function textOrAbsent(value: Json | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}
