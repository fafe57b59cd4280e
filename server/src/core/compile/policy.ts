import { parseDurationMs } from "../duration.ts";
import type { PolicyDefinition } from "../graph/definition.ts";
import { type EffectPolicy, POLICY_DEFAULT } from "../graph/effect-policy.ts";
import type { GraphAllowances } from "./graph-allowances.ts";
import { type At, compileText } from "./place.ts";

const DURATION_FIELDS = ["initialBackoff", "maxBackoff", "timeout", "queueTimeout", "heartbeatTimeout"] as const;

const DELIVERY_BY_NAME: Record<string, EffectPolicy["delivery"]> = {
  DELIVERY_AT_LEAST_ONCE: "at_least_once",
  DELIVERY_AT_MOST_ONCE: "at_most_once",
};

/** Compiles the policy of a node. */
export function compilePolicy(
  policy: PolicyDefinition | undefined,
  path: string,
  { at, allowances }: { at: At; allowances: GraphAllowances },
): EffectPolicy {
  if (policy === undefined) return POLICY_DEFAULT;
  const durations = DURATION_FIELDS.flatMap((field) => {
    const text = policy[field];
    const compiled = text && at(`${path}.${field}`, () => compileText(text, parseDurationMs, allowances));
    return compiled ? [[field, compiled] as const] : [];
  });
  const delivery = DELIVERY_BY_NAME[policy.delivery ?? ""];
  return {
    ...Object.fromEntries(durations),
    ...(policy.maxAttempts ? { maxAttempts: policy.maxAttempts } : {}),
    ...(policy.backoffMultiplier ? { backoffMultiplier: policy.backoffMultiplier } : {}),
    hasJitter: policy.jitter !== "JITTER_NONE",
    ...(delivery === undefined ? {} : { delivery }),
    nonRetryableErrors: new Set(policy.nonRetryableErrors ?? []),
  };
}
