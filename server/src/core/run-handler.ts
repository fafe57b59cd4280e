/** A handler's step: what its worker is given, and what its step plan makes of the run. */
import { effectKey, planBody, type PlanFacts } from "./begin-step.ts";
import { type CallFailure, failureOf, mayRetry } from "./call-failure.ts";
import type { DecisionBuilder, HandlerPayload, HandlerRequest } from "./decision.ts";
import { addMs } from "./duration.ts";
import { backoffMs, jobTimesOf } from "./effect-policy.ts";
import type { EventLookup, EventQuery } from "./event.ts";
import { executeEffect } from "./execute-effect.ts";
import { NodeFailure } from "./failure.ts";
import { canonicalJson, type Json } from "./json.ts";
import { smallVarsText, varsText } from "./large-members.ts";
import type { Names } from "./names.ts";
import { completeStep, failStep } from "./settle-step.ts";
import { startHandlerCall } from "./start-calls.ts";
import { readStepPlan, type StepPlan } from "./step-plan.ts";
import { nodeWithSequel, type Workflow, type WorkflowNode } from "./workflow.ts";

/** What came of a handler that was offered to a worker without a job row. */
export type HandlerOutcome =
  | { type: "plan"; output: Json; actorId?: string }
  | { type: "failed"; failure: CallFailure; actorId?: string; random: number }
  /** Nobody here could run it now. */
  | { type: "unserved" }
  /** The worker that ran it is gone. */
  | { type: "lost" };

/** What a handler is run for. @throws {NodeFailure} a time limit of the policy is no duration */
export function handlerRequest(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  names: Names,
): HandlerRequest {
  const { tenantId, runId, version, sessionId } = draft.run;
  return {
    tenantId,
    runId,
    workflowId: workflow.workflowId,
    version,
    ...(sessionId === undefined ? {} : { sessionId }),
    nodeId: node.nodeId,
    seq: draft.nextSeq,
    idempotencyKey: effectKey(draft, node),
    payload: handlerPayload(names),
    ...handlerTimes(node, names),
    fairnessKey: sessionId ?? runId,
  };
}

/** The names that a handler is given. */
export function handlerPayload({ vars, run, error, now }: Names): HandlerPayload {
  return { vars, run, error, now };
}

/** The JSON text of what a handler is given. What is large in its vars is not written anew for every handler. */
export function handlerPayloadText(payload: HandlerPayload): string {
  return textWith(varsText(payload.vars), payload);
}

/** The same with null in place of each large member of vars. */
export function smallHandlerPayloadText(payload: HandlerPayload): string {
  return textWith(smallVarsText(payload.vars), payload);
}

function textWith(text: string, { vars: _vars, ...others }: HandlerPayload): string {
  return `{"vars":${text},${JSON.stringify(others).slice(1)}`;
}

function handlerTimes(node: WorkflowNode, names: Names): { timeoutMs: number; heartbeatTimeoutMs?: number } {
  const { timeoutMs, heartbeatTimeoutMs } = jobTimesOf(node.policy, "handler", names);
  return { timeoutMs, ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }) };
}

type TakeFacts = { names: Names; lookup: EventLookup | undefined };

/** Makes the handler's step of what came of it. Whatever is not a plan at once goes on as a job. */
export function takeHandlerOutcome(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  { outcome, ...facts }: TakeFacts & { outcome: HandlerOutcome },
): EventQuery | undefined {
  switch (outcome.type) {
    case "plan":
      return takePlan(draft, workflow, node, { ...facts, ...outcome });
    case "unserved":
      startHandlerCall(draft, workflow, node, facts.names);
      return undefined;
    case "lost":
      startHandlerCall(draft, workflow, node, facts.names, { losses: 1 });
      return undefined;
    case "failed": {
      const { failure, actorId, random } = outcome;
      const error = { ...failureOf(failure, 1), node_id: node.nodeId };
      const actor = actorId === undefined ? {} : { actorId };
      if (!mayRetry(node.policy, failure, { attempt: 1, isAtMostOnce: false })) {
        failStep(draft, workflow, node, error, { facts: { ...actor, attempt: 1 } });
        return undefined;
      }
      const dueTime = addMs(draft.now, backoffMs(node.policy, 1, random, facts.names));
      startHandlerCall(draft, workflow, node, facts.names, { attempt: 2, dueTime });
      const [call] = draft.run.calls;
      draft.record(
        "call.retrying",
        { status: "started", error, call: { ordinal: 0, next_attempt: 2, retry_time: dueTime } },
        { ...actor, nodeId: node.nodeId, attempt: 1, idempotencyKey: call!.idempotency_key },
      );
      return undefined;
    }
  }
}

/**
 * Makes a handler's step of its result.
 * @throws {NodeFailure} RESULT_INVALID: the result is no step plan; UNDECLARED_NODE: it leads to a node that the graph does not name
 */
export function takePlan(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  { names, lookup, output, actorId, attempt }: TakeFacts & { output: Json; actorId?: string; attempt?: number },
): EventQuery | undefined {
  const read = readStepPlan(output);
  if ("problems" in read) {
    const [problem] = read.problems;
    const message = `The handler gave no step plan: ${problem!.path || "the plan"} ${problem!.message}.`;
    throw new NodeFailure("RESULT_INVALID", message.slice(0, 1_000));
  }
  const { plan } = read;
  const { given, patch } = plan;
  assertDeclared(node, plan);
  const facts: PlanFacts = {
    patch,
    given: { text: canonicalJson(given), value: given },
    ...(actorId === undefined ? {} : { actorId }),
    ...(attempt === undefined ? {} : { attempt }),
  };
  switch (plan.next) {
    case "effect": {
      const { effect } = plan;
      const isError = effect.type === "tool_calls" && effect.failureIsError;
      const sequel = {
        // What the plan says of it comes first.
        ...(node.resultPointer === undefined ? {} : { result_path: node.resultPointer }),
        ...plan.sequel,
        ...(isError ? { failure_is_error: true as const } : {}),
      };
      const settling = nodeWithSequel(node, sequel);
      return executeEffect(effect, { draft, workflow, node: settling, names, lookup, plan: facts });
    }
    case "node":
      completeStep(draft, workflow, nodeWithSequel(node, { to: plan.to }), facts);
      return undefined;
    case "complete": {
      const result = [{ op: "set", path: "", of: "given", at: "/completeOutput" } as const];
      completeStep(draft, workflow, nodeWithSequel(node, {}), { ...facts, result });
      return undefined;
    }
    case "fail": {
      const { code, message } = plan;
      const body = { status: "failed", error: { code, message, retryable: false, node_id: node.nodeId } } as const;
      const end = draft.run.cancelling ? "run.cancelled" : "run.failed";
      draft.record(end, { ...body, ...planBody(draft, node, facts) }, { ...facts, nodeId: node.nodeId });
      return undefined;
    }
  }
}

function assertDeclared(node: WorkflowNode, plan: StepPlan): void {
  const to = plan.next === "node" ? plan.to : plan.next === "effect" ? plan.sequel.to : undefined;
  if (to === undefined || node.next.some((edge) => edge.to === to)) return;
  const message = `The handler of ${node.nodeId} goes to ${JSON.stringify(to.slice(0, 128))}, which is not among the node's edges.`;
  throw new NodeFailure("UNDECLARED_NODE", message);
}
