/** How the jobs of a node are run: time limits, attempts, and the pauses between them (CONTRACT.md, rule 13). */
import type { Delivery } from "./decision.ts";
import { DURATION_MS_MAX, parseDurationMs } from "./duration.ts";
import { orEvaluationFailure } from "./failure.ts";
import { plainText } from "./json.ts";
import type { Names } from "./names.ts";
import type { Call } from "./step-record.ts";
import type { TemplateValue } from "./template.ts";

/** A policy as the graph states it; what is absent has its default. */
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

/** What a node without a policy has. */
export const POLICY_DEFAULT: EffectPolicy = { hasJitter: true, nonRetryableErrors: new Set() };

const ATTEMPTS_DEFAULT = 3;
const INITIAL_BACKOFF_MS_DEFAULT = 1_000;
const BACKOFF_MULTIPLIER_DEFAULT = 2;
const MAX_BACKOFF_MS_DEFAULT = 60_000;
const TIMEOUT_MS_DEFAULT: Record<Call["kind"], number> = { tool: 15 * 60_000, custom: 15 * 60_000, handler: 60_000 };

export type JobTimes = { timeoutMs: number; heartbeatTimeoutMs?: number; queueTimeoutMs?: number };

/** The time limits of a job, evaluated. @throws {NodeFailure} a duration that is none */
export function jobTimesOf(policy: EffectPolicy, kind: Call["kind"], names: Names): JobTimes {
  const heartbeatTimeoutMs = durationMs(policy.heartbeatTimeout, "heartbeat_timeout", names);
  const queueTimeoutMs = durationMs(policy.queueTimeout, "queue_timeout", names);
  return {
    timeoutMs: durationMs(policy.timeout, "timeout", names) ?? TIMEOUT_MS_DEFAULT[kind],
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    ...(queueTimeoutMs === undefined ? {} : { queueTimeoutMs }),
  };
}

export function maxAttemptsOf(policy: EffectPolicy, isAtMostOnce: boolean): number {
  return policy.maxAttempts ?? (isAtMostOnce ? 1 : ATTEMPTS_DEFAULT);
}

/**
 * The pause after a failed attempt.
 * @param attempt the attempt that failed, from 1
 * @param random from 0 to 1, 1 left out; drawn by the caller, since core has no chance of its own
 */
export function backoffMs(policy: EffectPolicy, attempt: number, random: number, names: Names): number {
  const first = durationMs(policy.initialBackoff, "initial_backoff", names) ?? INITIAL_BACKOFF_MS_DEFAULT;
  const longest = durationMs(policy.maxBackoff, "max_backoff", names) ?? MAX_BACKOFF_MS_DEFAULT;
  const growth = (policy.backoffMultiplier ?? BACKOFF_MULTIPLIER_DEFAULT) ** (attempt - 1);
  // Of many attempts the growth is infinite, which no pause of 0 may be multiplied by.
  const pause = Math.min(first * Math.min(growth, DURATION_MS_MAX), longest);
  return Math.floor(policy.hasJitter ? pause * random : pause);
}

function durationMs(template: TemplateValue | undefined, what: string, names: Names): number | undefined {
  if (template === undefined) return undefined;
  const text = plainText(template.evaluate(names));
  return orEvaluationFailure(what, () => parseDurationMs(text));
}
