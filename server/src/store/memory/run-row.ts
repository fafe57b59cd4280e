/** A run as a row, as its transitions write it. */
import assert from "node:assert/strict";
import type { Transition } from "../contract/batch.ts";
import type { RunPart } from "../part.ts";
import { NO_PARTS, type RowState, stateFromRow, stateToRow } from "../run-parts.ts";
import { readStored, type RunRow } from "./database.ts";
import { assertTexts } from "./sections/section.ts";

export function assertRow({ tenantId, runId, after, openWaits }: Transition): void {
  const { state } = after;
  assert.equal(state.tenantId, tenantId, "a state belongs to the run it is stored under");
  assert.equal(state.runId, runId, "a state belongs to the run it is stored under");
  const opened = openWaits.map(({ wait }) => wait.wait_id);
  assert.equal(new Set(opened).size, opened.length, "a wait is opened once");
  assertTexts([tenantId, runId, state.workflowId, state.sessionId, state.actorId, state.parentRunId]);
}

/** The row after a transition; its parts and records are written by their own sections. */
export function rowAfter(before: RunRow | undefined, { tenantId, runId, after, wakeTime }: Transition): RunRow {
  const stateText = JSON.stringify(stateToRow(after.state));
  return {
    tenantId,
    runId,
    head: stateFromRow(readStored(stateText) as RowState, NO_PARTS),
    stateText,
    parts: before?.parts ?? new Map<RunPart, Map<string, string>>(),
    headHash: after.headHash,
    requestDigest: after.requestDigest,
    ...(after.ownerLane === undefined ? {} : { ownerLane: after.ownerLane }),
    format: after.format,
    ...(wakeTime === undefined ? {} : { wakeTime }),
    records: before?.records ?? [],
  };
}
