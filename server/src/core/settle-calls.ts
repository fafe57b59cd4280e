/** Settles calls in flight: the end of each call is a record. When all calls have settled, the step ends. */
import { callHandlingOf } from "./nodes/nodes.ts";
import { type Call, isOpen } from "./call.ts";
import { type CallFailure, failureOf, mayRetry } from "./call-failure.ts";
import { recordRetry } from "./call-retry.ts";
import { endingNode, orFail } from "./complete-step.ts";
import type { Decision, LookUpNeeded } from "./decision.ts";
import { DecisionBuilder } from "./decision-builder.ts";
import { addMs, type Instant } from "./duration.ts";
import type { Step } from "./effects/effect.ts";
import type { EventLookup } from "./event.ts";
import { backoffMs } from "./graph/effect-policy.ts";
import type { Workflow } from "./graph/graph.ts";
import type { CallSettlement } from "./job.ts";
import type { Json } from "./json/json.ts";
import { namesOf } from "./names.ts";
import { callsOf, type RunState } from "./run.ts";

/** How one attempt of a call ended. */
export type CallEnd = {
  idempotencyKey: string;
  attempt: number;
  actorId?: string;
  /** Whether the attempt was delivered at most once; by default, no other then follows. */
  isAtMostOnce: boolean;
  outcome: { output: Json } | { failure: CallFailure };
  /** In [0, 1): spreads the backoff before the next attempt. */
  random: number;
};

export type SettleStimulus = { type: "settle"; now: Instant; ends: readonly CallEnd[]; lookup?: EventLookup };

/**
 * Settles calls. Ends of calls that are not in flight, or of attempts that are not the current one, change nothing. The
 * command `settle_jobs` lists the ends that counted.
 */
export function settleCalls(run: RunState, stimulus: SettleStimulus, workflow: Workflow): Decision | LookUpNeeded {
  const draft = new DecisionBuilder(run, stimulus.now);
  const settlements: CallSettlement[] = [];
  for (const end of stimulus.ends) {
    const call = callsOf(draft.run).find((one) => one.idempotency_key === end.idempotencyKey);
    if (call === undefined || !isOpen(call) || (call.attempt ?? 1) !== end.attempt) continue;
    const step = { draft, workflow, node: endingNode(draft.run, workflow) };
    const settled = settleCall(call, step, end, stimulus.lookup);
    if ("lookUp" in settled) return settled;
    settlements.push(settled);
  }
  if (settlements.length > 0) draft.commands.push({ type: "settle_jobs", settlements });
  return draft.decision();
}

function settleCall(
  call: Call,
  step: Step,
  end: CallEnd,
  lookup: EventLookup | undefined,
): CallSettlement | LookUpNeeded {
  const { idempotencyKey, attempt, actorId, outcome } = end;
  const { nodeId } = step.node;
  const facts = { nodeId, attempt, idempotencyKey, ...(actorId === undefined ? {} : { actorId }) };
  const handling = callHandlingOf(call.kind);
  if ("output" in outcome) {
    const lookUp = handling.completed(call, step, outcome.output, { facts, lookup });
    return lookUp === undefined ? { idempotencyKey } : { lookUp };
  }
  const error = { ...failureOf(outcome.failure, attempt), node_id: nodeId };
  const retry = retryOf(step, end, outcome.failure);
  if (retry === undefined) handling.failed(call, step, error, facts);
  else recordRetry(step.draft, call, { error, facts, retry });
  return { idempotencyKey, ...(retry === undefined ? {} : { retry }) };
}

function retryOf(
  { draft, node }: Step,
  { attempt, isAtMostOnce, random }: CallEnd,
  failure: CallFailure,
): CallSettlement["retry"] {
  if (!mayRetry(node.policy, failure, { attempt, isAtMostOnce })) return undefined;
  const names = namesOf(draft.run, draft.now);
  const backoff = orFail(() => backoffMs(node.policy, attempt, random, names));
  // If the backoff cannot be evaluated, do not retry; report the attempt's own failure.
  return "failure" in backoff ? undefined : { attempt: attempt + 1, dueTime: addMs(draft.now, backoff.value) };
}
