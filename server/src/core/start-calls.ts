/** Starts the calls of an effect: all of them are put in flight together. */
import { effectKey, planBody, type PlanFacts } from "./begin-step.ts";
import type { Effect } from "./call.ts";
import { assertFits } from "./complete-step.ts";
import type { DecisionBuilder } from "./decision-builder.ts";
import type { CallHandling } from "./effects/effect.ts";
import { jobTimesOf } from "./graph/effect-policy.ts";
import type { WorkflowNode } from "./graph/graph.ts";
import type { EarlierAttempts, JobDraft } from "./job.ts";
import { type Json, JSON_DEPTH_MAX } from "./json/json.ts";
import type { Names } from "./names.ts";

/** A call before it has its ordinal and its key. */
export type CallDraft = { name: string; callId?: string; payload: Json };

export type CallsDraft = {
  /** The effect as the ledger shows it. */
  effect: Effect;
  calls: readonly CallDraft[];
  handling: CallHandling;
  names: Names;
  plan: PlanFacts;
  /** Attempts made before there was a job row. */
  earlier?: EarlierAttempts;
};

/**
 * Puts calls in flight: their intent is committed before any worker sees them.
 * @throws {NodeFailure} if the calls are too large, or a time limit cannot be parsed
 */
export function startCalls(draft: DecisionBuilder, node: WorkflowNode, request: CallsDraft): void {
  const { effect, handling, names, plan, earlier } = request;
  const seq = draft.nextSeq;
  const calls = request.calls.map(({ name, callId }, ordinal) => ({
    ordinal,
    kind: handling.kind,
    name,
    ...(callId === undefined ? {} : { call_id: callId }),
    idempotency_key: effectKey(draft, node, ordinal),
  }));
  const { policy } = node;
  const facts = {
    nodeId: node.nodeId,
    seq,
    ...jobTimesOf(policy, handling.timeoutMsDefault, names),
    ...(policy.delivery === undefined ? {} : { delivery: policy.delivery }),
    fairnessKey: draft.run.sessionId ?? draft.run.runId,
    ...earlier,
  };
  const jobs = calls.map((call, ordinal): JobDraft => ({
    ...call,
    ...facts,
    payload: request.calls[ordinal]!.payload,
  }));
  const shown = request.calls.map(({ name, callId, payload }): Json => ({ name, call_id: callId ?? null, payload }));
  // Two levels more: the list and the object around each payload, which has the bound of its own.
  assertFits("calls", shown, JSON_DEPTH_MAX + 2);
  const body = { status: "started", effect, calls, ...planBody(draft, node, plan) } as const;
  draft.record("step.started", body, { ...plan, nodeId: node.nodeId });
  draft.commands.push({ type: "create_jobs", jobs });
}
