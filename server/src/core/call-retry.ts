import type { Call } from "./call.ts";
import type { DecisionBuilder } from "./decision-builder.ts";
import type { CallFacts } from "./effects/effect.ts";
import type { Failure } from "./failure.ts";
import type { CallSettlement } from "./job.ts";

/** Records that an attempt of a call failed and that another follows. */
export function recordRetry(
  draft: DecisionBuilder,
  { ordinal, call_id }: Call,
  { error, facts, retry }: { error: Failure; facts: CallFacts; retry: NonNullable<CallSettlement["retry"]> },
): void {
  const call = {
    ordinal,
    ...(call_id === undefined ? {} : { call_id }),
    next_attempt: retry.attempt,
    retry_time: retry.dueTime,
  };
  draft.record("call.retrying", { status: "started", error, call }, facts);
}
