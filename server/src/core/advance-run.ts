/** One step of an active run: execute the node that it stands at. */
import assert from "node:assert/strict";
import { assertText, textOf } from "./begin-step.ts";
import { type Decision, DecisionBuilder, type HandlerNeeded, type LookUpNeeded } from "./decision.ts";
import type { Instant } from "./duration.ts";
import type { EventLookup, EventQuery } from "./event.ts";
import { executeEffect } from "./execute-effect.ts";
import { BOUNDS } from "./graph/gen/bounds.ts";
import { namesOf, type Names } from "./names.ts";
import type { PatchOp } from "./pointer.ts";
import { hasNextStep, type RunState } from "./run.ts";
import { type HandlerOutcome, handlerRequest, takeHandlerOutcome } from "./run-handler.ts";
import { completeStep, failStep, orFail } from "./settle-step.ts";
import { MAX_STEPS_DEFAULT, type NodeKind, type Workflow, type WorkflowNode } from "./workflow.ts";

export type AdvanceStimulus = {
  type: "advance";
  now: Instant;
  lookup?: EventLookup;
  /** What came of the handler that an earlier decision asked for. */
  handler?: HandlerOutcome;
};

type Needed = LookUpNeeded | HandlerNeeded | undefined;

/** Executes the current node of a run that has a next step; whether it should, paused as it may be, is the caller's business. */
export function advanceRun(
  run: RunState,
  stimulus: AdvanceStimulus,
  workflow: Workflow,
): Decision | LookUpNeeded | HandlerNeeded {
  assert(hasNextStep(run), "only a running run without calls in flight advances");
  const draft = new DecisionBuilder(run, stimulus.now);
  const stepsMax = run.limits.maxSteps ?? MAX_STEPS_DEFAULT;
  if (run.steps >= stepsMax) {
    const message = `The run has taken ${run.steps} steps, as many as its limit max_steps allows.`;
    const error = { code: "LIMIT_MAX_STEPS", message, retryable: false, node_id: run.node };
    draft.record(run.cancelling ? "run.cancelled" : "run.failed", { error }, { nodeId: run.node });
    return draft.decision();
  }
  const node = workflow.nodes.get(run.node);
  assert(node !== undefined, `workflow ${workflow.workflowId} has no node ${run.node}`);
  const done = orFail(() => executeNode(draft, workflow, node, stimulus));
  if ("failure" in done) failStep(draft, workflow, node, done.failure);
  else if (done.value !== undefined) return done.value;
  return draft.decision();
}

/** Executes `node`, or says what has to be looked up first. Records are made only after everything is evaluated. */
function executeNode(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  { lookup, handler }: AdvanceStimulus,
): Needed {
  const names = namesOf(draft.run, draft.now);
  const { kind } = node;
  switch (kind.type) {
    case "assign":
      completeStep(draft, workflow, node, { patch: assignPatch(kind, names) });
      return undefined;
    case "complete": {
      const output = kind.output === undefined ? null : kind.output.evaluate(names);
      const body = { status: "completed" } as const;
      if (draft.run.cancelling) draft.record("run.cancelled", body, { nodeId: node.nodeId });
      else draft.record("run.completed", { ...body, output: { value: output } }, { nodeId: node.nodeId });
      return undefined;
    }
    case "fail": {
      const code = textOf(kind.code, names, "code");
      assertText("code", code, BOUNDS.fail.code);
      const message = textOf(kind.message, names, "message");
      const error = { code, message, retryable: false, node_id: node.nodeId };
      const end = draft.run.cancelling ? "run.cancelled" : "run.failed";
      draft.record(end, { status: "failed", error }, { nodeId: node.nodeId });
      return undefined;
    }
    case "handler":
      if (handler === undefined) return { runHandler: handlerRequest(draft, workflow, node, names) };
      return lookUpOf(takeHandlerOutcome(draft, workflow, node, { names, lookup, outcome: handler }));
    default:
      return lookUpOf(executeEffect(kind, { draft, workflow, node, names, lookup, plan: {} }));
  }
}

function lookUpOf(query: EventQuery | undefined): LookUpNeeded | undefined {
  return query && { lookUp: query };
}

function assignPatch(kind: Extract<NodeKind, { type: "assign" }>, names: Names): PatchOp[] {
  // All right-hand sides see vars as they were on entry, so everything is evaluated before anything is written.
  return [
    ...kind.values.map(({ pointer, value }): PatchOp => ({ op: "set", path: pointer, value: value.evaluate(names) })),
    ...kind.append.map(({ pointer, value }): PatchOp => ({
      op: "append",
      path: pointer,
      values: [value.evaluate(names)],
    })),
    ...kind.unset.map((pointer): PatchOp => ({ op: "unset", path: pointer })),
  ];
}
