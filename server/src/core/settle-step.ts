/** How a step ends: its result is written, an edge is chosen, or its failure finds a handler. */
import type { DecisionBuilder, RecordFacts } from "./decision.ts";
import type { EventCursor } from "./event.ts";
import { evaluate, ExpressionError } from "./expression.ts";
import { type Failure, NodeFailure } from "./failure.ts";
import { DomainError } from "./errors.ts";
import { assertJson, type Json, JSON_DEPTH_MAX, measureJson } from "./json.ts";
import { largeMembersOf } from "./large-members.ts";
import { callResults } from "./apply.ts";
import { applyPatch, PatchError, type PatchOp } from "./pointer.ts";
import { namesOf } from "./names.ts";
import type { RunState } from "./run.ts";
import type { Effect } from "./step-record.ts";
import { nodeWithSequel, type Workflow, type WorkflowNode } from "./workflow.ts";

export type StepOutcome = {
  effect?: Effect;
  /** Builds the result from null. */
  result?: PatchOp[];
  /** What else changes in vars, before the result is written. */
  patch?: PatchOp[];
  cursors?: EventCursor[];
  requestId?: string;
} & RecordFacts;

/** The operations that build a result which is one value. */
export function valueResult(value: Json): PatchOp[] {
  return [{ op: "set", path: "", value }];
}

/** Runs `work`; a failure of the graph's own making fails the node, anything else is a bug and passes. */
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

/** The node as its step is settled: with what a step plan put in place of its result key and edges, if the run is at one's effect. */
export function settlingNode(run: RunState, node: WorkflowNode): WorkflowNode {
  return run.sequel === undefined ? node : nodeWithSequel(node, run.sequel);
}

/** Writes a step's result and moves on: over the first edge that holds, or to the end where there is no edge. */
export function completeStep(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  outcome: StepOutcome,
): void {
  const given = outcome.given?.value;
  const { calls } = draft.run;
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
    // What was answered or consumed stays in the ledger, though it could not be written to vars.
    failStep(draft, workflow, node, written.failure, { body: { ...body, status: "failed" }, facts });
    return;
  }
  const withPatch = patch.length === 0 ? body : { ...body, patch };
  if (node.next.length === 0) {
    // A cancelled run has no output: what its on_cancel gave stays in the record.
    if (draft.run.cancelling) draft.record("run.cancelled", withPatch, facts);
    else {
      const output = outcome.result === undefined ? { value: null } : ({ of: "result" } as const);
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
 * Fails a node: its `on_error` takes over, else the workflow's, else the run has failed. What fails while the workflow's
 * handler is at work does not come to it again before the run has rested: it would turn in circles.
 */
export function failStep(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  failure: Failure,
  more: { body?: object; facts?: RecordFacts } = {},
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
    draft.record(cancelling ? "run.cancelled" : "run.failed", body, facts);
  }
}

function chooseEdge(draft: DecisionBuilder, node: WorkflowNode, after: { vars: Json; result: Json }): string {
  const names = { ...namesOf(draft.run, draft.now, after.result), vars: after.vars };
  for (const edge of node.next) {
    if (edge.when === undefined) return edge.to;
    const holds = evaluate(edge.when, names);
    if (typeof holds !== "boolean") {
      throw new NodeFailure("EVALUATION_FAILED", `The condition of the edge to ${edge.to} gave no boolean.`);
    }
    if (holds) return edge.to;
  }
  throw new NodeFailure("NO_EDGE", `No edge of node ${node.nodeId} holds.`);
}

/** Vars are bounded like every payload, in bytes and in depth: they are stored, and shown to clients, whole.
 *  @param before the vars before the change: what of them is large and the same is not measured again
 *  @throws {NodeFailure} */
export function assertVarsFit(vars: Json, before: Json): void {
  const large = largeMembersOf(vars, before);
  fitOrFail("vars", () => measureJson(vars, {}, (name) => large.get(name)?.size));
}

/** Bounds a value like a payload. Counting stops at the bound, so a list of large parts is never put together only to be refused.
 *  @throws {NodeFailure} */
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
