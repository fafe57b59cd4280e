/** Why an attempt of a call failed, and whether another follows. */
import { type EffectPolicy, maxAttemptsOf } from "./graph/effect-policy.ts";
import type { Failure } from "./failure.ts";
import type { Json } from "./json/json.ts";

/** The report of a failed attempt, by a worker or by the server in its place. */
export type CallFailure = { code: string; message: string; nonRetryable?: boolean; details?: Json };

/** The failure as the ledger holds it. `retryable` says whether another attempt could help, not whether one follows. */
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
