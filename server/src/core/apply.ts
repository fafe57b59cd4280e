/**
 * The fold: `apply(run, record)` gives the state after a record. It reads no workflow, evaluates nothing and asks no
 * clock, so a ledger means the same to every release and every language.
 */
import assert from "node:assert/strict";
import type { EventCursor } from "./event.ts";
import { type Json, parseOwnJson } from "./json.ts";
import { applyPatch, type PatchOp, type PatchSources } from "./pointer.ts";
import { hasEnded, type RunState, type RunStatus } from "./run.ts";
import type { Call, RecordBody, StepRecordDraft } from "./step-record.ts";

const STATUS_BY_END: Partial<Record<StepRecordDraft["kind"], RunStatus>> = {
  "run.completed": "completed",
  "run.failed": "failed",
  "run.cancelled": "cancelled",
};

/**
 * The result that a record's body describes, or undefined where it has none.
 * @param calls what the calls of the step gave (`callResults`); without it, a result that is made of it is undefined
 */
export function resultOf(body: RecordBody, given: Json | undefined, calls?: Json): Json | undefined {
  if (body.result === undefined) return undefined;
  if (calls === undefined && takesFromCalls(body.result)) return undefined;
  return applyPatch(null, body.result, sourcesOf({ given, calls }));
}

function takesFromCalls(ops: readonly PatchOp[] | undefined): boolean {
  return ops?.some((op) => "of" in op && op.of === "calls") ?? false;
}

/** The results of an effect's calls, in their order. */
export function callResults(calls: readonly Call[]): Json {
  return calls.map(({ call_id, name, outcome }): Json => {
    const what = { call_id: call_id ?? null, name };
    if (outcome === undefined) return { ...what, success: false, output: null, error: null };
    if ("output" in outcome) return { ...what, success: true, output: outcome.output, error: null };
    return { ...what, success: false, output: null, error: { ...outcome.error } as Json };
  });
}

/**
 * Gives the state of a run after one more record.
 * @param run the state before; undefined exactly for run.started
 * @param given the parsed `given` part; read from the record when left out
 */
export function apply(run: RunState | undefined, record: StepRecordDraft, given?: Json): RunState {
  const givenValue = given ?? (record.given === undefined ? undefined : parseOwnJson(record.given));
  const { body } = record;
  if (run === undefined) return applyStart(record, givenValue);
  assert(!hasEnded(run), "a run that has ended takes no more records");
  assert.equal(record.seq, run.seq + 1, "a ledger is gapless");
  assert(record.time >= run.updateTime, "a record is never before the previous one");
  const result = resultOf(body, givenValue, takesFromCalls(body.result) ? callResults(run.calls) : undefined);
  const { wait: _wait, handlingError: _handlingError, sequel: _sequel, ...rest } = run;
  const end = STATUS_BY_END[record.kind];
  const isStep = record.kind === "step.completed" || record.kind === "step.failed" || (end && body.status);
  const keepsStep = record.kind === "run.paused" || record.kind === "run.unpaused" || body.call !== undefined;
  const wait = keepsStep ? run.wait : body.wait;
  const calls = keepsStep ? callsAfter(run.calls, body, givenValue) : (body.calls ?? []);
  const sequel = keepsStep ? run.sequel : body.sequel;
  const sources = sourcesOf({ given: givenValue, result });
  const vars = body.patch === undefined ? run.vars : applyPatch(run.vars, body.patch, sources);
  return {
    ...rest,
    status: end ?? (wait === undefined ? "running" : "waiting"),
    paused: end === undefined ? (body.paused ?? run.paused) : false,
    cancelling: run.cancelling || record.kind === "run.cancel_requested",
    ...(isHandlingError(run, body) ? { handlingError: true as const } : {}),
    node: body.to ?? run.node,
    vars,
    ...(wait === undefined ? {} : { wait }),
    calls,
    ...(sequel === undefined ? {} : { sequel }),
    steps: run.steps + (isStep ? 1 : 0),
    epoch: record.epoch,
    cursors: body.cursors === undefined ? run.cursors : mergeCursors(run.cursors, body.cursors),
    ...(body.deadline_time === undefined ? {} : { deadlineTime: body.deadline_time }),
    ...(body.output === undefined ? {} : { output: "of" in body.output ? result! : body.output.value }),
    // What fails a call need not fail the node.
    ...(body.error === undefined || body.call !== undefined ? {} : { error: body.error }),
    updateTime: record.time,
    ...(end === undefined ? {} : { endTime: record.time }),
    seq: record.seq,
  };
}

function isHandlingError(run: RunState, body: RecordBody): boolean {
  if (body.handled_by === "workflow") return true;
  const isResting = body.wait !== undefined || body.calls !== undefined;
  return run.handlingError === true && !isResting;
}

/** The calls after a record that is about one of them, or about none. */
function callsAfter(
  calls: readonly Call[],
  { call: change, error }: RecordBody,
  given: Json | undefined,
): readonly Call[] {
  if (change === undefined) return calls;
  const { ordinal, next_attempt, retry_time } = change;
  return calls.map((call): Call => {
    if (call.ordinal !== ordinal) return call;
    const { retry_time: _retryTime, ...rest } = call;
    if (next_attempt !== undefined) {
      return { ...rest, attempt: next_attempt, ...(retry_time === undefined ? {} : { retry_time }) };
    }
    return { ...rest, outcome: error === undefined ? { output: given ?? null } : { error } };
  });
}

/** Folds a whole ledger from its first record. */
export function fold(records: Iterable<StepRecordDraft>): RunState | undefined {
  let run: RunState | undefined;
  for (const record of records) run = apply(run, record);
  return run;
}

function applyStart(record: StepRecordDraft, given: Json | undefined): RunState {
  const { body } = record;
  const start = body.start;
  assert(start !== undefined && record.kind === "run.started" && record.seq === 1, "a ledger begins with run.started");
  return {
    tenantId: record.tenant_id,
    runId: record.run_id,
    workflowId: start.workflow_id,
    version: start.version,
    digest: record.workflow ?? "",
    ...(start.session_id === undefined ? {} : { sessionId: start.session_id }),
    ...(record.actor_id === undefined ? {} : { actorId: record.actor_id }),
    ...(start.parent_run_id === undefined ? {} : { parentRunId: start.parent_run_id }),
    rootRunId: start.root_run_id,
    labels: start.labels,
    limits: start.limits,
    channels: start.channels,
    createTime: record.time,
    status: body.wait === undefined ? "running" : "waiting",
    paused: body.paused ?? false,
    cancelling: false,
    node: start.entry_node,
    vars: applyPatch({}, body.patch ?? [], sourcesOf({ given })),
    ...(body.wait === undefined ? {} : { wait: body.wait }),
    calls: [],
    steps: 0,
    epoch: record.epoch,
    cursors: [],
    ...(body.deadline_time === undefined ? {} : { deadlineTime: body.deadline_time }),
    updateTime: record.time,
    seq: 1,
  };
}

function sourcesOf(sources: { [name in keyof PatchSources]: Json | undefined }): PatchSources {
  return Object.fromEntries(Object.entries(sources).filter(([, value]) => value !== undefined));
}

function mergeCursors(before: readonly EventCursor[], changes: readonly EventCursor[]): EventCursor[] {
  const isSame = (a: EventCursor, b: EventCursor) => a.scope === b.scope && a.name === b.name && a.key === b.key;
  const kept = before.filter((cursor) => !changes.some((change) => isSame(cursor, change)));
  return [...kept, ...changes];
}
