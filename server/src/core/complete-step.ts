/** How a step ends: its result is written, an edge is chosen, or its failure finds a handler. */
import { callResults, type Effect } from "./call.ts";
import type { DecisionBuilder, RecordFacts } from "./decision-builder.ts";
import type { EventCursor } from "./event.ts";
import { evaluate } from "./expression/evaluate.ts";
import { ExpressionError } from "./expression/expression-error.ts";
import { type Failure, NodeFailure } from "./failure.ts";
import { DomainError } from "./errors.ts";
import { assertJson, type Json, JSON_DEPTH_MAX, measureJson } from "./json/json.ts";
import { largeMembersOf } from "./json/large-members.ts";
import { applyPatch, PatchError, type PatchOp } from "./json/pointer.ts";
import { namesOf } from "./names.ts";
import type { RecordBodies } from "./records.ts";
import { callsOf, type RunState, sequelOf } from "./run.ts";
import { nodeWithSequel, type Workflow, type WorkflowNode } from "./graph/graph.ts";

export type StepOutcome = {
  effect?: Effect;
  /** Builds the result from null. */
  result?: PatchOp[];
  /** Other changes to vars, applied before the result is written. */
  patch?: PatchOp[];
  cursors?: EventCursor[];
  requestId?: string;
} & RecordFacts;

/** The parts of a record's body that describe the end of a step, besides its status. */
type StepEndBody = Omit<RecordBodies["step.failed"], "status" | "error" | "to" | "handled_by">;

/** The operations that build a result from a single value. */
export function valueResult(value: Json): PatchOp[] {
  return [{ op: "set", path: "", value }];
}

/** Runs `work` and returns a failure caused by the graph as data. Anything else that is thrown is a bug and is
 *  rethrown. */
export function orFail<T>(work: () => T): { value: T } | { failure: Failure } {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof NodeFailure) return { failure: error.failure };
    if (error instanceof ExpressionError) {
      const code = error.code === "EXPRESSION_LIMIT" ? "EXPRESSION_LIMIT" : "EVALUATION_FAILED";
      return { failure: { code, message: error.message, retryable: false } };
    }
    if (error instanceof PatchError) {
      return { failure: { code: "EVALUATION_FAILED", message: error.message, retryable: false } };
    }
    throw error;
  }
}

/** The run's node at the end of its step. At an effect of a step plan, the plan has replaced its result key and
 *  edges. */
export function endingNode(run: RunState, workflow: Workflow): WorkflowNode {
  const node = workflow.nodes.get(run.node)!;
  const sequel = sequelOf(run);
  return sequel === undefined ? node : nodeWithSequel(node, sequel);
}

/** Writes a step's result and moves on: over the first edge that holds, or to the run's end if there is no edge. */
export function completeStep(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  outcome: StepOutcome,
): void {
  const given = outcome.given?.value;
  const calls = callsOf(draft.run);
  const sources = {
    ...(given === undefined ? {} : { given }),
    ...(calls.length === 0 ? {} : { calls: callResults(calls) }),
  };
  const result = outcome.result === undefined ? null : applyPatch(null, outcome.result, sources);
  const patch: PatchOp[] = [
    ...(outcome.patch ?? []),
    ...(node.resultPointer === undefined ? [] : [{ op: "set", path: node.resultPointer, of: "result" } as const]),
  ];
  const body = {
    status: "completed",
    ...(outcome.effect === undefined ? {} : { effect: outcome.effect }),
    ...(outcome.result === undefined ? {} : { result: outcome.result }),
    ...(outcome.cursors === undefined ? {} : { cursors: outcome.cursors }),
    ...(outcome.requestId === undefined ? {} : { request_id: outcome.requestId }),
  } as const;
  const facts: RecordFacts = { ...outcome, nodeId: node.nodeId };

  const written = orFail(() => {
    if (patch.length === 0) return draft.run.vars;
    const vars = applyPatch(draft.run.vars, patch, { result, ...(given === undefined ? {} : { given }) });
    assertVarsFit(vars, draft.run.vars);
    return vars;
  });
  if ("failure" in written) {
    // An answer or a consumed event stays in the ledger even if it could not be written to vars.
    const { status: _status, ...end } = body;
    failStep(draft, workflow, node, written.failure, { body: end, facts });
    return;
  }
  const withPatch = patch.length === 0 ? body : { ...body, patch };
  if (node.next.length === 0) {
    // A cancelled run has no output: the result of its on_cancel stays in the record.
    if (draft.run.cancelling) {
      draft.notice("cancelled");
      draft.record("run.cancelled", withPatch, facts);
    } else {
      const output = outcome.result === undefined ? { value: null } : ({ of: "result" } as const);
      draft.notice("completed");
      draft.record("run.completed", { ...withPatch, output }, facts);
    }
    return;
  }
  const moved = orFail(() => chooseEdge(draft, node, { vars: written.value, result }));
  if ("value" in moved) {
    draft.record("step.completed", { ...withPatch, to: moved.value }, facts);
    return;
  }
  draft.record("step.completed", withPatch, facts);
  failStep(draft, workflow, node, moved.failure);
}

/**
 * Fails a node: its `on_error` takes over, else the workflow's, else the run fails. The workflow's `on_error` is not
 * entered again before the run has rested: otherwise a failing handler would run for ever.
 */
export function failStep(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  failure: Failure,
  more: { body?: StepEndBody; facts?: RecordFacts } = {},
): void {
  const error: Failure = { ...failure, node_id: node.nodeId };
  const facts: RecordFacts = { ...more.facts, nodeId: node.nodeId };
  const body = { status: "failed", ...more.body, error } as const;
  const { cancelling, handlingError } = draft.run;
  if (node.onError !== undefined) {
    draft.record("step.failed", { ...body, to: node.onError }, facts);
  } else if (workflow.onError !== undefined && !cancelling && handlingError === undefined) {
    draft.record("step.failed", { ...body, to: workflow.onError, handled_by: "workflow" }, facts);
  } else {
    endRun(draft, error, { body, facts });
  }
}

/** Ends the run with a failure; a run that is being cancelled ends as cancelled. */
export function endRun(
  draft: DecisionBuilder,
  error: Failure,
  more: { body?: Omit<RecordBodies["run.failed"], "error">; facts?: RecordFacts } = {},
): void {
  const facts = { nodeId: draft.run.node, ...more.facts };
  if (draft.run.cancelling) {
    draft.notice("cancelled");
    draft.record("run.cancelled", { ...more.body, error }, facts);
  } else {
    draft.notice("failed");
    draft.record("run.failed", { ...more.body, error }, facts);
  }
}

function chooseEdge(draft: DecisionBuilder, node: WorkflowNode, after: { vars: Json; result: Json }): string {
  const names = { ...namesOf(draft.run, draft.now, after.result), vars: after.vars };
  for (const edge of node.next) {
    if (edge.when === undefined) return edge.to;
    const holds = evaluate(edge.when, names);
    if (typeof holds !== "boolean") {
      throw new NodeFailure("EVALUATION_FAILED", `The condition of the edge to ${edge.to} is not a boolean.`);
    }
    if (holds) return edge.to;
  }
  throw new NodeFailure("NO_EDGE", `No edge of node ${node.nodeId} holds.`);
}

/**
 * Checks that vars are within the bounds of a payload, in bytes and in depth: they are stored, and shown to clients,
 * whole.
 * @param before the vars before the change; large members that are unchanged are not measured again
 * @throws {NodeFailure}
 */
export function assertVarsFit(vars: Json, before: Json): void {
  const large = largeMembersOf(vars, before);
  fitOrFail("vars", () => measureJson(vars, {}, (name) => large.get(name)?.size));
}

/**
 * Checks that a value is within the bounds of a payload. Counting stops at the bound, so a list of large parts is not
 * measured to its end only to be refused.
 * @throws {NodeFailure}
 */
export function assertFits(what: string, value: Json, depthMax = JSON_DEPTH_MAX): void {
  fitOrFail(what, () => assertJson(value, { depthMax }));
}

function fitOrFail(what: string, measure: () => void): void {
  try {
    measure();
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    throw new NodeFailure("EVALUATION_FAILED", `The ${what} would have ${error.message}.`);
  }
}
