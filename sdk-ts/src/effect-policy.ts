/** The policy of nodes whose work is done by workers. */
import { enumName } from "./enum-names.ts";
import { given } from "./given.ts";
import { type JsonObject, jsonObjectOf } from "./json.ts";

/** How jobs are run. Durations are strings such as `500ms`, `90s`, `15m`; each may be a template. */
export type EffectPolicy = {
  /** How often a job is tried, including the first attempt. Default 3, or 1 if `delivery` is `at-most-once`. */
  readonly maxAttempts?: number;
  /** The pause before the second attempt. Default 1s. */
  readonly initialBackoff?: string;
  /** The factor by which each pause is longer than the one before it. Default 2. */
  readonly backoffMultiplier?: number;
  /** The longest pause. Default 60s. */
  readonly maxBackoff?: string;
  /** Whether pauses are randomized. Default full. */
  readonly jitter?: "full" | "none";
  /** How long one attempt may take. Default 15m, for handlers 60s. */
  readonly timeout?: string;
  /** How long a job may wait for a worker. Default: no limit. */
  readonly queueTimeout?: string;
  /** How long a worker may send nothing about an attempt. Default: as long as it is connected. */
  readonly heartbeatTimeout?: string;
  /** Whether a job may run twice. Default at-least-once. */
  readonly delivery?: "at-least-once" | "at-most-once";
  /** Failure codes after which there is no further attempt. */
  readonly nonRetryableErrors?: readonly string[];
};

export function policyJson({ jitter, delivery, ...rest }: EffectPolicy): JsonObject {
  return {
    ...jsonObjectOf(rest, "policy"),
    ...given({
      jitter: jitter && enumName("JITTER_", jitter),
      delivery: delivery && enumName("DELIVERY_", delivery),
    }),
  };
}
