/** Calls: the remote work that an effect asks for, put in flight together. */
import { effectKey, openWait, planBody, type PlanFacts, type WaitQuestion } from "./begin-step.ts";
import type { DecisionBuilder, JobDraft } from "./decision.ts";
import { type EffectPolicy, jobTimesOf } from "./effect-policy.ts";
import { evaluate, type Expression } from "./expression.ts";
import { NodeFailure } from "./failure.ts";
import { BOUNDS } from "./graph/gen/bounds.ts";
import { textProblem } from "./graph/text-bounds.ts";
import { type Json, JSON_DEPTH_MAX, type JsonObject } from "./json.ts";
import type { Names } from "./names.ts";
import { assertFits, completeStep, valueResult } from "./settle-step.ts";
import type { Call, Effect } from "./step-record.ts";
import type { NodeKind, Workflow, WorkflowNode } from "./workflow.ts";

/** Calls of one tool_calls effect. */
export const CALLS_MAX = BOUNDS.toolCalls.calls.maxItems;
const { name: NAME_BOUNDS, callId: CALL_ID_BOUNDS } = BOUNDS.toolCall;

type CallDraft = { kind: Call["kind"]; name: string; callId?: string; payload: Json };

type CallingKind = Extract<NodeKind, { type: "tool_calls" | "custom" }>;

/** The answers to "may these calls be made?". */
export const APPROVAL_CHOICES = ["approve", "deny"] as const;

/** Starts the calls of an effect, or asks a person first whether they may be made. */
export function beginCalls(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  kind: CallingKind,
  { names, plan }: { names: Names; plan: PlanFacts },
): void {
  const calls = callsOf(kind, names);
  if (calls.length === 0) {
    // Nothing would ever come back: no calls are done at once.
    const effect = { type: "tool_calls", payload: { calls: [] } };
    completeStep(draft, workflow, node, { ...plan, effect, result: valueResult({ results: [] }) });
  } else if (kind.type === "tool_calls" && kind.requireApproval) {
    askApproval(draft, node, calls, plan);
  } else {
    startCalls(draft, node, kind.type, calls, { names, plan });
  }
}

/** Parks a run on a job for its handler, which nobody here could run, or not to its end. */
export function startHandlerCall(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  names: Names,
  before: Pick<JobDraft, "losses" | "attempt" | "dueTime"> = {},
): void {
  const call: CallDraft = { kind: "handler", name: workflow.workflowId, payload: null };
  startCalls(draft, node, "handler", [call], { names, plan: {} }, before);
}

/** Puts calls in flight that a person has approved, as they stand in the question. */
export function startApprovedCalls(
  draft: DecisionBuilder,
  node: WorkflowNode,
  details: Json,
  { names, plan }: { names: Names; plan: PlanFacts },
): void {
  startCalls(draft, node, "tool_calls", approvedCalls(details), { names, plan });
}

/** Whether a tool call that fails, or is not approved, fails the node instead of being part of its result. */
export function failureIsError({ kind, sequel }: WorkflowNode): boolean {
  return kind.type === "tool_calls" ? kind.failureIsError : sequel?.failure_is_error === true;
}

/** The calls that a question for approval shows, as results of calls that were not made. */
export function deniedResults(details: Json): Json {
  const error = { code: "APPROVAL_DENIED", message: "The call was not approved.", retryable: false };
  return approvedCalls(details).map(({ name, callId }) => ({
    call_id: callId ?? null,
    name,
    success: false,
    output: null,
    error,
  }));
}

function askApproval(draft: DecisionBuilder, node: WorkflowNode, calls: readonly CallDraft[], plan: PlanFacts): void {
  const shown = calls.map(({ name, callId, payload }): Json => ({ name, call_id: callId ?? null, arguments: payload }));
  const names = [...new Set(calls.map(({ name }) => name))];
  const question = {
    reason: "user" as const,
    prompt:
      calls.length === 1
        ? `May ${names[0]} be called?`
        : `May these ${calls.length} tool calls be made: ${names.join(", ").slice(0, 1_000)}?`,
    details: { calls: shown },
    choices: [...APPROVAL_CHOICES],
    answer_schema: { enum: [...APPROVAL_CHOICES] },
    approves: true as const,
  } satisfies WaitQuestion;
  openWait(draft, node, "tool_calls", question, plan);
}

function approvedCalls(details: Json): CallDraft[] {
  const { calls } = details as { calls: { name: string; call_id: string; arguments: Json }[] };
  return calls.map((call) => ({ kind: "tool", name: call.name, callId: call.call_id, payload: call.arguments }));
}

function callsOf(kind: CallingKind, names: Names): CallDraft[] {
  if (kind.type === "custom") return [{ kind: "custom", name: kind.effectType, payload: kind.payload.evaluate(names) }];
  const calls =
    "source" in kind.calls
      ? callsFromExpression(kind.calls, names)
      : kind.calls.map((call) => ({
          name: call.name.evaluate(names),
          arguments: call.arguments?.evaluate(names) ?? {},
          callId: call.callId?.evaluate(names),
        }));
  if (calls.length > CALLS_MAX) {
    throw new NodeFailure(
      "EVALUATION_FAILED",
      `An effect makes at most ${CALLS_MAX} calls; this one has ${calls.length}.`,
    );
  }
  return calls.map((call, ordinal) => {
    if (typeof call.name !== "string" || textProblem(call.name, NAME_BOUNDS) !== undefined) {
      const message = `The tool name of call ${ordinal} is not 1 to ${NAME_BOUNDS.maxLength} characters.`;
      throw new NodeFailure("EVALUATION_FAILED", message);
    }
    const callId = call.callId ?? `call_${ordinal + 1}`;
    if (typeof callId !== "string" || callId === "" || textProblem(callId, CALL_ID_BOUNDS) !== undefined) {
      const message = `The call_id of call ${ordinal} is not a string of 1 to ${CALL_ID_BOUNDS.maxLength} characters.`;
      throw new NodeFailure("EVALUATION_FAILED", message);
    }
    const { arguments: payload } = call;
    if (payload === null || typeof payload !== "object" || Array.isArray(payload)) {
      throw new NodeFailure("EVALUATION_FAILED", `The arguments of call ${ordinal} are not an object.`);
    }
    return { kind: "tool", name: call.name, callId, payload };
  });
}

function callsFromExpression(expression: Expression, names: Names) {
  const list = evaluate(expression, names);
  if (!Array.isArray(list)) throw new NodeFailure("EVALUATION_FAILED", "calls_from gave no list.");
  return list.map((item, ordinal) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) {
      throw new NodeFailure("EVALUATION_FAILED", `Call ${ordinal} of calls_from is not an object.`);
    }
    return { name: item.name ?? null, arguments: item.arguments ?? {}, callId: item.call_id ?? undefined };
  });
}

/** Puts calls in flight: their intent is committed here, before any worker sees them. */
function startCalls(
  draft: DecisionBuilder,
  node: WorkflowNode,
  effectType: string,
  drafts: readonly CallDraft[],
  { names, plan }: { names: Names; plan: PlanFacts },
  before: Pick<JobDraft, "losses" | "attempt" | "dueTime"> = {},
): void {
  const seq = draft.nextSeq;
  const calls = drafts.map((call, ordinal) => ({
    ordinal,
    kind: call.kind,
    name: call.name,
    ...(call.callId === undefined ? {} : { call_id: call.callId }),
    idempotency_key: effectKey(draft, node, ordinal),
  }));
  const policy: EffectPolicy = node.policy;
  const facts = {
    nodeId: node.nodeId,
    seq,
    ...jobTimesOf(policy, drafts[0]!.kind, names),
    ...(policy.delivery === undefined ? {} : { delivery: policy.delivery }),
    fairnessKey: draft.run.sessionId ?? draft.run.runId,
    ...before,
  };
  const jobs = calls.map((call, ordinal): JobDraft => ({ ...call, ...facts, payload: drafts[ordinal]!.payload }));
  const calling = drafts.map(({ name, callId, payload }): Json => ({ name, call_id: callId ?? null, payload }));
  // A list of objects around the payloads, which are bounded themselves.
  assertFits("calls", calling, JSON_DEPTH_MAX + 2);
  const effect: Effect = { type: effectType, payload: payloadOf(effectType, drafts) };
  const body = { status: "started", effect, calls, ...planBody(draft, node, plan) } as const;
  draft.record("step.started", body, { ...plan, nodeId: node.nodeId });
  draft.commands.push({ type: "create_jobs", jobs });
}

function payloadOf(effectType: string, drafts: readonly CallDraft[]): JsonObject {
  switch (effectType) {
    case "tool_calls":
      return {
        calls: drafts.map(({ name, payload, callId }) => ({ name, arguments: payload, call_id: callId ?? null })),
      };
    case "custom":
      return { type: drafts[0]!.name, payload: drafts[0]!.payload };
    default:
      return {};
  }
}
