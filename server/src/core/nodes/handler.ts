/** Runs code in a worker that returns a step plan: changes to vars, an effect, and where to go next. */
import { effectKey, planBody, type PlanFacts } from "../begin-step.ts";
import { failureOf, mayRetry } from "../call-failure.ts";
import { recordRetry } from "../call-retry.ts";
import { completeStep, endRun, failStep, orFail } from "../complete-step.ts";
import { addMs } from "../duration.ts";
import type { BeginningStep, CallHandling } from "../effects/effect.ts";
import { effectOf } from "../effects/effects.ts";
import type { EventQuery } from "../event.ts";
import { NodeFailure } from "../failure.ts";
import { backoffMs, jobTimesOf } from "../graph/effect-policy.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { nodeWithSequel, type WorkflowNode } from "../graph/graph.ts";
import { type HandlerOutcome, handlerPayload, type HandlerRequest } from "../handler-request.ts";
import type { EarlierAttempts } from "../job.ts";
import { canonicalJson, type Json } from "../json/json.ts";
import { namesOf } from "../names.ts";
import { callsOf } from "../run.ts";
import { startCalls } from "../start-calls.ts";
import { readStepPlan, type StepPlan } from "../step-plan.ts";
import type { NodeKind } from "./node.ts";

export type Handler = { type: "handler" };

const TIMEOUT_MS_DEFAULT = 60_000;
/** How much of an invalid plan a message shows. */
const NODE_CHARS_MAX = 128;
const MESSAGE_CHARS_MAX = 1_000;

const calls: CallHandling = {
  kind: "handler",
  timeoutMsDefault: TIMEOUT_MS_DEFAULT,
  completed(_call, step, output, { facts, lookup }) {
    const { draft, workflow, node } = step;
    const { attempt, actorId } = facts;
    const planFacts = { attempt, ...(actorId === undefined ? {} : { actorId }) };
    const beginning = { ...step, names: namesOf(draft.run, draft.now), lookup, plan: {} };
    const done = orFail(() => takePlan(beginning, output, planFacts));
    if ("value" in done) return done.value;
    failStep(draft, workflow, node, done.failure, { facts: planFacts });
    return undefined;
  },
  failed(_call, { draft, workflow, node }, error, facts) {
    failStep(draft, workflow, node, error, { facts });
  },
};

export const handler: NodeKind<Handler, NonNullable<NodeDefinition["handler"]>> = {
  key: "handler",
  type: "handler",
  rests: true,
  hasResult: true,
  isEnd: false,
  choosesItsEdge: true,
  compile: () => ({ type: "handler" }),
  begin(_compiled, step) {
    if (step.handler === undefined) return { runHandler: requestOf(step) };
    const lookUp = takeOutcome(step, step.handler);
    return lookUp && { lookUp };
  },
  calls,
  summary: () => "handler",
  drawing: { shape: ["[[", "]]"] },
};

/** The request to run the node's handler. @throws {NodeFailure} if a time limit of the policy cannot be parsed */
function requestOf({ draft, workflow, node, names }: BeginningStep): HandlerRequest {
  const { tenantId, runId, version, sessionId } = draft.run;
  const { timeoutMs, heartbeatTimeoutMs } = jobTimesOf(node.policy, TIMEOUT_MS_DEFAULT, names);
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
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    fairnessKey: sessionId ?? runId,
  };
}

/** Ends the handler's step, or begins its effect, from its outcome. Without a plan, the handler continues as a job. */
function takeOutcome(step: BeginningStep, outcome: HandlerOutcome): EventQuery | undefined {
  const { draft, workflow, node, names } = step;
  switch (outcome.type) {
    case "plan":
      return takePlan(step, outcome.output, outcome);
    case "unserved":
      parkOnJob(step);
      return undefined;
    case "lost":
      parkOnJob(step, { losses: 1 });
      return undefined;
    case "failed": {
      const { failure, actorId, random } = outcome;
      const error = { ...failureOf(failure, 1), node_id: node.nodeId };
      const actor = actorId === undefined ? {} : { actorId };
      if (!mayRetry(node.policy, failure, { attempt: 1, isAtMostOnce: false })) {
        failStep(draft, workflow, node, error, { facts: { ...actor, attempt: 1 } });
        return undefined;
      }
      const dueTime = addMs(draft.now, backoffMs(node.policy, 1, random, names));
      const retry = { attempt: 2, dueTime };
      parkOnJob(step, retry);
      const call = callsOf(draft.run)[0]!;
      const facts = { ...actor, nodeId: node.nodeId, attempt: 1, idempotencyKey: call.idempotency_key };
      recordRetry(draft, call, { error, facts, retry });
      return undefined;
    }
  }
}

/** Parks the run on a job for its handler, which no worker of this server could run, or finish. */
function parkOnJob({ draft, workflow, node, names }: BeginningStep, earlier: EarlierAttempts = {}): void {
  startCalls(draft, node, {
    effect: { type: "handler", payload: {} },
    calls: [{ name: workflow.workflowId, payload: null }],
    handling: calls,
    names,
    plan: {},
    earlier,
  });
}

/**
 * Carries out the step plan that a handler returned.
 * @throws {NodeFailure} RESULT_INVALID if the result is not a step plan; UNDECLARED_NODE if it goes to a node that is
 * not among the node's edges
 */
function takePlan(
  step: BeginningStep,
  output: Json,
  { actorId, attempt }: { actorId?: string; attempt?: number },
): EventQuery | undefined {
  const { draft, workflow, node } = step;
  const read = readStepPlan(output);
  if ("problems" in read) {
    const [problem] = read.problems;
    const message = `The handler did not return a valid step plan: ${problem!.path || "the plan"} ${problem!.message}.`;
    throw new NodeFailure("RESULT_INVALID", message.slice(0, MESSAGE_CHARS_MAX));
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
    case "effect":
      return beginPlannedEffect(step, plan, facts);
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
      const error = { code, message, retryable: false, node_id: node.nodeId };
      // Only effects have `request_id` and `sequel`.
      const { patch: changes } = planBody(draft, node, facts);
      const body = { status: "failed", ...(changes === undefined ? {} : { patch: changes }) } as const;
      endRun(draft, error, { body, facts });
      return undefined;
    }
  }
}

function beginPlannedEffect(
  step: BeginningStep,
  { effect, sequel }: Extract<StepPlan, { next: "effect" }>,
  plan: PlanFacts,
): EventQuery | undefined {
  const kind = effectOf(effect)!;
  const { resultPointer } = step.node;
  const node = nodeWithSequel(step.node, {
    // The plan's own result path, if any, overrides this one.
    ...(resultPointer === undefined ? {} : { result_path: resultPointer }),
    ...sequel,
    ...kind.sequel?.(effect),
  });
  return kind.begin(effect, { ...step, node, plan });
}

function assertDeclared(node: WorkflowNode, plan: StepPlan): void {
  const to = plan.next === "node" ? plan.to : plan.next === "effect" ? plan.sequel.to : undefined;
  if (to === undefined || node.next.some((edge) => edge.to === to)) return;
  const target = JSON.stringify(to.slice(0, NODE_CHARS_MAX));
  const message = `The handler of ${node.nodeId} goes to ${target}, which is not among the node's edges.`;
  throw new NodeFailure("UNDECLARED_NODE", message);
}
