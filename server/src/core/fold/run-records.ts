/** The changes of records about the whole run. */
import assert from "node:assert/strict";
import type { Json } from "../json/json.ts";
import { applyPatch } from "../json/pointer.ts";
import type { RecordBody, RecordOf } from "../records.ts";
import type { RunState } from "../run.ts";
import type { Change } from "./change.ts";
import { afterStep, ended, sourcesOf, stepResult } from "./step-end.ts";
import { defined } from "../defined.ts";

type RunKind =
  | "run.resumed"
  | "run.paused"
  | "run.unpaused"
  | "run.cancel_requested"
  | "run.completed"
  | "run.failed"
  | "run.cancelled";

export const RUN_RECORDS: { [K in RunKind]: Change<K> } = {
  "run.resumed": (run) => {
    const { inFlight: _inFlight, ...rest } = run;
    return { ...rest, status: "running" };
  },
  "run.paused": (run) => ({ ...run, paused: true }),
  "run.unpaused": (run) => ({ ...run, paused: false }),
  "run.cancel_requested": (run, { body }) => {
    const { inFlight: _inFlight, ...rest } = run;
    const { to, deadline_time: deadlineTime } = body;
    return { ...rest, status: "running", paused: false, cancelling: true, node: to, deadlineTime };
  },
  "run.completed": (run, { body, time }, given) => {
    const output = "of" in body.output ? stepResult(run, body, given)! : body.output.value;
    return { ...ended(afterLastStep(run, body, given), "completed", time), output };
  },
  "run.failed": (run, { body, time }, given) => ended(afterLastStep(run, body, given), "failed", time),
  "run.cancelled": (run, { body, time }, given) => ended(afterLastStep(run, body, given), "cancelled", time),
};

/** The end of a run is also the end of a step if the record has a step's status. */
function afterLastStep(run: RunState, body: RecordBody, given: Json | undefined): RunState {
  if (body.status !== undefined) return afterStep(run, body, given, stepResult(run, body, given));
  return body.error === undefined ? run : { ...run, error: body.error };
}

/** The state after a ledger's first record. */
export function startedRun(record: RecordOf<"run.started">, given: Json | undefined): RunState {
  const { body } = record;
  const { start, wait } = body;
  assert.equal(record.seq, 1, "run.started is the first record");
  return {
    tenantId: record.tenant_id,
    runId: record.run_id,
    workflowId: start.workflow_id,
    version: start.version,
    digest: record.workflow ?? "",
    ...defined({ sessionId: start.session_id, actorId: record.actor_id, parentRunId: start.parent_run_id }),
    rootRunId: start.root_run_id,
    labels: start.labels,
    limits: start.limits,
    channels: start.channels,
    createTime: record.time,
    status: wait === undefined ? "running" : "waiting",
    paused: body.paused ?? false,
    cancelling: false,
    node: start.entry_node,
    vars: applyPatch({}, body.patch, sourcesOf({ given })),
    ...(wait === undefined ? {} : { inFlight: { at: "wait", wait } }),
    steps: 0,
    epoch: record.epoch,
    cursors: [],
    ...(body.deadline_time === undefined ? {} : { deadlineTime: body.deadline_time }),
    updateTime: record.time,
    seq: 1,
  };
}
