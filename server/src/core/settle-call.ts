/** What calls in flight gave: each end is a record of its own; when all have come back, the step is settled. */
import { callResults } from "./apply.ts";
import { type CallFailure, failureOf, mayRetry } from "./call-failure.ts";
import { type CallSettlement, type Decision, DecisionBuilder, type LookUpNeeded } from "./decision.ts";
import { addMs, type Instant } from "./duration.ts";
import { backoffMs } from "./effect-policy.ts";
import { DomainError } from "./errors.ts";
import type { EventLookup, EventQuery } from "./event.ts";
import type { Failure } from "./failure.ts";
import { assertListFits, canonicalJson, type Json, JSON_DEPTH_MAX, type JsonSize, measureJson } from "./json.ts";
import { namesOf } from "./names.ts";
import type { RunState } from "./run.ts";
import { takePlan } from "./run-handler.ts";
import { completeStep, failStep, orFail, settlingNode } from "./settle-step.ts";
import { failureIsError } from "./start-calls.ts";
import type { Call, CallOutcome } from "./step-record.ts";
import type { Workflow, WorkflowNode } from "./workflow.ts";

/** How one attempt of a call ended. */
export type CallEnd = {
  idempotencyKey: string;
  attempt: number;
  actorId?: string;
  /** Whether the attempt was delivered at most once, so that by default no other follows. */
  isAtMostOnce: boolean;
  outcome: { output: Json } | { failure: CallFailure };
  /** From 0 to 1, 1 left out: spreads the pause before the next attempt. */
  random: number;
};

export type SettleStimulus = { type: "settle"; now: Instant; ends: readonly CallEnd[]; lookup?: EventLookup };

/**
 * Settles calls. Ends of calls that are not in flight, or of attempts that are not under way, change nothing; the command
 * `settle_jobs` says which ones counted.
 */
export function settleCalls(run: RunState, stimulus: SettleStimulus, workflow: Workflow): Decision | LookUpNeeded {
  const draft = new DecisionBuilder(run, stimulus.now);
  const settlements: CallSettlement[] = [];
  for (const end of stimulus.ends) {
    const call = draft.run.calls.find((one) => one.idempotency_key === end.idempotencyKey);
    if (call === undefined || call.outcome !== undefined || (call.attempt ?? 1) !== end.attempt) continue;
    const node = settlingNode(draft.run, workflow.nodes.get(draft.run.node)!);
    const settled = settleCall(draft, workflow, node, call, end, stimulus.lookup);
    if ("lookUp" in settled) return settled;
    settlements.push(settled);
  }
  if (settlements.length > 0) draft.commands.push({ type: "settle_jobs", settlements });
  return draft.decision();
}

function settleCall(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  call: Call,
  end: CallEnd,
  lookup: EventLookup | undefined,
): CallSettlement | LookUpNeeded {
  const { idempotencyKey, attempt, actorId, outcome } = end;
  const facts = { nodeId: node.nodeId, attempt, idempotencyKey, ...(actorId === undefined ? {} : { actorId }) };
  const named = { ordinal: call.ordinal, ...(call.call_id === undefined ? {} : { call_id: call.call_id }) };
  if ("failure" in outcome) {
    const error = { ...failureOf(outcome.failure, attempt), node_id: node.nodeId };
    const retry = retryOf(draft, node, end, outcome.failure);
    if (retry !== undefined) {
      const change = { ...named, next_attempt: retry.attempt, retry_time: retry.dueTime };
      draft.record("call.retrying", { status: "started", error, call: change }, facts);
      return { idempotencyKey, retry };
    }
    if (call.kind === "tool") {
      const kept = fittingError(draft.run.calls, call, error);
      draft.record("call.failed", { status: "started", error: kept, call: named }, facts);
      finishTools(draft, workflow, node);
    } else failStep(draft, workflow, node, error, { facts });
    return { idempotencyKey };
  }
  const { output } = outcome;
  const given = { text: canonicalJson(output), value: output };
  switch (call.kind) {
    case "tool": {
      const excess = excessOf(draft.run.calls, call, { output });
      if (excess !== undefined) {
        const failure = { code: "RESULT_TOO_LARGE", message: excess, nonRetryable: true };
        return settleCall(draft, workflow, node, call, { ...end, outcome: { failure } }, lookup);
      }
      draft.record("call.completed", { status: "started", call: named }, { ...facts, given });
      finishTools(draft, workflow, node);
      break;
    }
    case "custom":
      completeStep(draft, workflow, node, { ...facts, given, result: [{ op: "set", path: "", of: "given" }] });
      break;
    case "handler": {
      const query = settleHandler(draft, workflow, node, {
        output,
        attempt,
        lookup,
        ...(actorId === undefined ? {} : { actorId }),
      });
      if (query !== undefined) return { lookUp: query };
      break;
    }
  }
  return { idempotencyKey };
}

/** The results of an effect are one payload: says so where `outcome` would make it too large. */
function excessOf(calls: readonly Call[], call: Call, outcome: CallOutcome): string | undefined {
  if (calls.length === 1) return undefined;
  try {
    assertListFits(calls.map((one) => (one === call ? measureResult({ ...one, outcome }) : resultSize(one))));
    return undefined;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return `The results would have ${error.message}.`;
  }
}

/** Sizes of the results of calls: with each of a thousand that come back, only its own is new. */
const resultSizes = new WeakMap<Call, JsonSize>();

function resultSize(call: Call): JsonSize {
  const known = resultSizes.get(call);
  if (known !== undefined) return known;
  const size = measureResult(call);
  resultSizes.set(call, size);
  return size;
}

function measureResult(call: Call): JsonSize {
  const [result] = callResults([call]) as Json[];
  // An object around the output, which is bounded itself.
  return measureJson(result, { depthMax: JSON_DEPTH_MAX + 1 });
}

/** A failure is part of the results too; one that does not fit keeps its code. */
function fittingError(calls: readonly Call[], call: Call, error: Failure): Failure {
  const excess = excessOf(calls, call, { error: { ...error } });
  if (excess === undefined) return error;
  const { details: _details, ...rest } = error;
  return { ...rest, message: excess };
}

function retryOf(
  draft: DecisionBuilder,
  node: WorkflowNode,
  { attempt, isAtMostOnce, random }: CallEnd,
  failure: CallFailure,
): CallSettlement["retry"] {
  if (!mayRetry(node.policy, failure, { attempt, isAtMostOnce })) return undefined;
  const names = namesOf(draft.run, draft.now);
  const pause = orFail(() => backoffMs(node.policy, attempt, random, names));
  // A pause that cannot be evaluated is none to wait for; the failure of the attempt is what counts.
  return "failure" in pause ? undefined : { attempt: attempt + 1, dueTime: addMs(draft.now, pause.value) };
}

function settleHandler(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  facts: { output: Json; attempt: number; actorId?: string; lookup: EventLookup | undefined },
): EventQuery | undefined {
  const names = namesOf(draft.run, draft.now);
  const done = orFail(() => takePlan(draft, workflow, node, { ...facts, names }));
  if ("value" in done) return done.value;
  const { attempt, actorId } = facts;
  failStep(draft, workflow, node, done.failure, { facts: { attempt, ...(actorId === undefined ? {} : { actorId }) } });
  return undefined;
}

/** Settles the step of a tool_calls effect once all of its calls have come back. */
function finishTools(draft: DecisionBuilder, workflow: Workflow, node: WorkflowNode): void {
  const { calls } = draft.run;
  if (calls.some(({ outcome }) => outcome === undefined)) return;
  const failed = calls.find(({ outcome }) => outcome !== undefined && "error" in outcome);
  if (failed !== undefined && failureIsError(node)) {
    failStep(draft, workflow, node, (failed.outcome as { error: Failure }).error);
    return;
  }
  completeStep(draft, workflow, node, {
    result: [
      { op: "set", path: "", value: {} },
      { op: "set", path: "/results", of: "calls" },
    ],
  });
}
