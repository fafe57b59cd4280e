/** How the jobs of a node are run: time limits, attempts, and the backoff between them. */
import type { Delivery } from "../call.ts";
import { DURATION_MS_MAX, parseDurationMs } from "../duration.ts";
import { orEvaluationFailure } from "../failure.ts";
import { plainText } from "../json/json.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";

/** The policy of a node. Absent fields have their defaults. */
export type EffectPolicy = {
  readonly maxAttempts?: number;
  readonly initialBackoff?: TemplateValue;
  readonly backoffMultiplier?: number;
  readonly maxBackoff?: TemplateValue;
  readonly hasJitter: boolean;
  readonly timeout?: TemplateValue;
  readonly queueTimeout?: TemplateValue;
  readonly heartbeatTimeout?: TemplateValue;
  readonly delivery?: Delivery;
  /** Failure codes after which there is no further attempt. */
  readonly nonRetryableErrors: ReadonlySet<string>;
};

/** The policy of a node that states none. */
export const POLICY_DEFAULT: EffectPolicy = { hasJitter: true, nonRetryableErrors: new Set() };

const ATTEMPTS_DEFAULT = 3;
const INITIAL_BACKOFF_MS_DEFAULT = 1_000;
const BACKOFF_MULTIPLIER_DEFAULT = 2;
const MAX_BACKOFF_MS_DEFAULT = 60_000;

export type JobTimes = { timeoutMs: number; heartbeatTimeoutMs?: number; queueTimeoutMs?: number };

/**
 * The time limits of a job, evaluated.
 * @param timeoutMsDefault how long an attempt may take if the policy does not say
 * @throws {NodeFailure} if a duration cannot be parsed
 */
export function jobTimesOf(policy: EffectPolicy, timeoutMsDefault: number, names: Names): JobTimes {
  const heartbeatTimeoutMs = durationMs(policy.heartbeatTimeout, "heartbeat_timeout", names);
  const queueTimeoutMs = durationMs(policy.queueTimeout, "queue_timeout", names);
  return {
    timeoutMs: durationMs(policy.timeout, "timeout", names) ?? timeoutMsDefault,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    ...(queueTimeoutMs === undefined ? {} : { queueTimeoutMs }),
  };
}

export function maxAttemptsOf(policy: EffectPolicy, isAtMostOnce: boolean): number {
  return policy.maxAttempts ?? (isAtMostOnce ? 1 : ATTEMPTS_DEFAULT);
}

/**
 * The backoff after a failed attempt.
 * @param attempt the attempt that failed, from 1
 * @param random in [0, 1); passed in because core has no randomness
 */
export function backoffMs(policy: EffectPolicy, attempt: number, random: number, names: Names): number {
  const first = durationMs(policy.initialBackoff, "initial_backoff", names) ?? INITIAL_BACKOFF_MS_DEFAULT;
  const longest = durationMs(policy.maxBackoff, "max_backoff", names) ?? MAX_BACKOFF_MS_DEFAULT;
  const growth = (policy.backoffMultiplier ?? BACKOFF_MULTIPLIER_DEFAULT) ** (attempt - 1);
  // After many attempts the growth is infinite, and 0 times infinity is not a number.
  const backoff = Math.min(first * Math.min(growth, DURATION_MS_MAX), longest);
  return Math.floor(policy.hasJitter ? backoff * random : backoff);
}

function durationMs(template: TemplateValue | undefined, what: string, names: Names): number | undefined {
  if (template === undefined) return undefined;
  const text = plainText(template.evaluate(names));
  return orEvaluationFailure(what, () => parseDurationMs(text));
}
