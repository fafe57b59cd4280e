/** One step of an active run: execute its current node. */
import assert from "node:assert/strict";
import { endRun, failStep, orFail } from "./complete-step.ts";
import type { Decision, HandlerNeeded, LookUpNeeded } from "./decision.ts";
import { DecisionBuilder } from "./decision-builder.ts";
import type { Instant } from "./duration.ts";
import type { EventLookup } from "./event.ts";
import type { Workflow } from "./graph/graph.ts";
import { MAX_STEPS_DEFAULT } from "./graph/limits.ts";
import type { HandlerOutcome } from "./handler-request.ts";
import { namesOf } from "./names.ts";
import { nodeKindOf } from "./nodes/nodes.ts";
import { hasNextStep, type RunState } from "./run.ts";

export type AdvanceStimulus = {
  type: "advance";
  now: Instant;
  lookup?: EventLookup;
  /** The outcome of the handler that an earlier decision asked for. */
  handler?: HandlerOutcome;
};

/** Executes the current node of a run that has a next step. A paused run has one too: the caller decides whether to. */
export function advanceRun(
  run: RunState,
  { now, lookup, handler }: AdvanceStimulus,
  workflow: Workflow,
): Decision | LookUpNeeded | HandlerNeeded {
  assert(hasNextStep(run), "only a running run with nothing in flight advances");
  const draft = new DecisionBuilder(run, now);
  const stepsMax = run.limits.maxSteps ?? MAX_STEPS_DEFAULT;
  if (run.steps >= stepsMax) {
    const message = `The run has taken ${run.steps} steps, which is its max_steps limit.`;
    endRun(draft, { code: "LIMIT_MAX_STEPS", message, retryable: false, node_id: run.node });
    return draft.decision();
  }
  const node = workflow.nodes.get(run.node);
  assert(node !== undefined, `workflow ${workflow.workflowId} has no node ${run.node}`);
  const names = namesOf(draft.run, draft.now);
  const step = { draft, workflow, node, names, lookup, handler, plan: {} };
  const begun = orFail(() => nodeKindOf(node.kind).begin(node.kind as never, step));
  if ("failure" in begun) failStep(draft, workflow, node, begun.failure);
  else if (begun.value !== undefined) return begun.value;
  return draft.decision();
}
