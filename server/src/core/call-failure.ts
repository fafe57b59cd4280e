/** Why an attempt of a call failed, and whether another follows. */
import { type EffectPolicy, maxAttemptsOf } from "./graph/effect-policy.ts";
import type { Failure } from "./failure.ts";
import type { Json } from "./json/json.ts";

/** What a worker, or the server in its place, says of a failed attempt. */
export type CallFailure = { code: string; message: string; nonRetryable?: boolean; details?: Json };

/** The failure as the ledger holds it. `retryable` says whether another attempt could have helped, not whether there is one. */
export function failureOf({ code, message, nonRetryable, details }: CallFailure, attempt: number): Failure {
  const retryable = nonRetryable !== true;
  return { code, message, retryable, attempt, ...(details === undefined ? {} : { details }) };
}

export function mayRetry(
  policy: EffectPolicy,
  failure: CallFailure,
  { attempt, isAtMostOnce }: { attempt: number; isAtMostOnce: boolean },
): boolean {
  if (failure.nonRetryable === true || policy.nonRetryableErrors.has(failure.code)) return false;
  return attempt < maxAttemptsOf(policy, isAtMostOnce);
}
