/** What the end of a step changes, for all kinds of records: its result, vars, cursors and error. */
import { callResults } from "../call.ts";
import type { Instant } from "../duration.ts";
import type { EventCursor } from "../event.ts";
import type { Json } from "../json/json.ts";
import { applyPatch, type PatchOp, type PatchSources } from "../json/pointer.ts";
import type { RecordBody } from "../records.ts";
import { callsOf, type RunState, type RunStatus } from "../run.ts";

/**
 * The result that a record's body describes. Undefined if it has no result.
 * @param calls the results of the step's calls (`callResults`); without them, a result that consists of them is
 * undefined
 */
export function resultOf(body: RecordBody, given: Json | undefined, calls?: Json): Json | undefined {
  if (body.result === undefined) return undefined;
  if (calls === undefined && takesFromCalls(body.result)) return undefined;
  return applyPatch(null, body.result, sourcesOf({ given, calls }));
}

function takesFromCalls(ops: readonly PatchOp[] | undefined): boolean {
  return ops?.some((op) => "of" in op && op.of === "calls") ?? false;
}

/** The result of the step that a record ends. */
export function stepResult(run: RunState, body: RecordBody, given: Json | undefined): Json | undefined {
  return resultOf(body, given, takesFromCalls(body.result) ? callResults(callsOf(run)) : undefined);
}

/** The run after a step has ended: vars, cursors and error are updated, and nothing is in flight. */
export function afterStep(run: RunState, body: RecordBody, given: Json | undefined, result?: Json): RunState {
  const { inFlight: _inFlight, ...rest } = run;
  return {
    ...rest,
    status: "running",
    vars: patchedVars(run, body, given, result),
    steps: run.steps + 1,
    cursors: body.cursors === undefined ? run.cursors : mergeCursors(run.cursors, body.cursors),
    ...(body.error === undefined ? {} : { error: body.error }),
  };
}

/** The run at its end. */
export function ended(run: RunState, status: RunStatus, endTime: Instant): RunState {
  const { inFlight: _inFlight, ...rest } = run;
  return { ...rest, status, paused: false, endTime };
}

export function patchedVars({ vars }: RunState, { patch }: RecordBody, given: Json | undefined, result?: Json): Json {
  return patch === undefined ? vars : applyPatch(vars, patch, sourcesOf({ given, result }));
}

export function sourcesOf(sources: { [name in keyof PatchSources]: Json | undefined }): PatchSources {
  return Object.fromEntries(Object.entries(sources).filter(([, value]) => value !== undefined));
}

function mergeCursors(before: readonly EventCursor[], changes: readonly EventCursor[]): EventCursor[] {
  const isSame = (a: EventCursor, b: EventCursor) => a.scope === b.scope && a.name === b.name && a.key === b.key;
  const kept = before.filter((cursor) => !changes.some((change) => isSame(cursor, change)));
  return [...kept, ...changes];
}
