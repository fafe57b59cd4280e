/** Calls: the remote work that an effect asks for, put in flight together. */
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

/** A call before it has its place and its key. */
export type CallDraft = { name: string; callId?: string; payload: Json };

export type CallsDraft = {
  /** The effect as the ledger shows it. */
  effect: Effect;
  calls: readonly CallDraft[];
  handling: CallHandling;
  names: Names;
  plan: PlanFacts;
  /** Attempts that were made before there was a job row. */
  earlier?: EarlierAttempts;
};

/**
 * Puts calls in flight: their intent is committed here, before any worker sees them.
 * @throws {NodeFailure} if the calls are too large, or a time limit cannot be parsed
 */
export function startCalls(draft: DecisionBuilder, node: WorkflowNode, asked: CallsDraft): void {
  const { effect, handling, names, plan, earlier } = asked;
  const seq = draft.nextSeq;
  const calls = asked.calls.map(({ name, callId }, ordinal) => ({
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
  const jobs = calls.map((call, ordinal): JobDraft => ({ ...call, ...facts, payload: asked.calls[ordinal]!.payload }));
  const shown = asked.calls.map(({ name, callId, payload }): Json => ({ name, call_id: callId ?? null, payload }));
  // A list of objects around the payloads, which are bounded themselves.
  assertFits("calls", shown, JSON_DEPTH_MAX + 2);
  const body = { status: "started", effect, calls, ...planBody(draft, node, plan) } as const;
  draft.record("step.started", body, { ...plan, nodeId: node.nodeId });
  draft.commands.push({ type: "create_jobs", jobs });
}
