import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { runOf, workflowOf } from "../../../../tests/support/test-world.ts";
import type { Command } from "../decision.ts";
import { DURATION_MS_MAX } from "../duration.ts";
import { backoffMs, type EffectPolicy, jobTimesOf, maxAttemptsOf, POLICY_DEFAULT } from "./effect-policy.ts";
import { NodeFailure } from "../failure.ts";
import { callHandlingOf } from "../nodes/nodes.ts";
import type { Json } from "../json/json.ts";
import type { Names } from "../names.ts";
import type { NodeDefinition } from "./definition.ts";

type Policy = NonNullable<NodeDefinition["policy"]>;

/** The policy as a graph compiles it. */
function policyOf(policy?: Policy): EffectPolicy {
  return workflowOf({ it: { handler: {}, ...(policy === undefined ? {} : { policy }) } }).nodes.get("it")!.policy;
}

function namesWith(vars: Json): Names {
  return { vars, run: {}, result: null, error: null, now: null };
}

const NAMES = namesWith({ text: "7s", number: 7, list: [] });

describe("time limits", () => {
  test.each([
    ["tool", 900_000],
    ["custom", 900_000],
    ["handler", 60_000],
  ] as const)("of a %s, where the graph says nothing", (kind, timeoutMs) => {
    expect(jobTimesOf(policyOf(), callHandlingOf(kind).timeoutMsDefault, NAMES)).toEqual({ timeoutMs });
  });

  test("are those of the graph, for every kind", () => {
    const policy = policyOf({ timeout: "2h", heartbeatTimeout: "${vars.text}", queueTimeout: "1.5s" });
    const times = { timeoutMs: 7_200_000, heartbeatTimeoutMs: 7_000, queueTimeoutMs: 1_500 };
    expect(jobTimesOf(policy, 60_000, NAMES)).toEqual(times);
    expect(jobTimesOf(policy, 900_000, NAMES)).toEqual(times);
  });

  test.each<[string, Policy, RegExp]>([
    ["a number", { timeout: "${vars.number}" }, /^timeout: "7" is not a duration/],
    ["a list", { queueTimeout: "${vars.list}" }, /^queue_timeout: "\[\]" is not a duration/],
    ["text that is none", { heartbeatTimeout: "${vars.text}!" }, /^heartbeat_timeout: "7s!" is not a duration/],
    ["one of more than 100 years", { timeout: "${'9' + '999w'}" }, /^timeout: "9999w" is more than 100 years/],
  ])("that evaluate to %s fail", (_what, policy, message) => {
    expect(() => jobTimesOf(policyOf(policy), 900_000, NAMES)).toThrow(NodeFailure);
    expect(() => jobTimesOf(policyOf(policy), 900_000, NAMES)).toThrow(message);
  });

  test("fail the node before any call is in flight", () => {
    const run = runOf(
      { it: { toolCalls: { calls: [{ name: "pay" }] }, policy: { timeout: "${vars.soon}" } } },
      { vars: { soon: "soon" } },
    );
    expect(run.state).toMatchObject({ status: "failed", error: { code: "EVALUATION_FAILED" } });
    expect(run.commands).toEqual([]);
  });

  test("reach the jobs, with the delivery and the run's fairness key", () => {
    const policy = { timeout: "${vars.t}", queueTimeout: "1h", delivery: "DELIVERY_AT_MOST_ONCE" } as const;
    const jobOf = (sessionId?: string) => {
      const run = runOf(
        { it: { custom: { type: "move", payload: 1 }, policy } },
        { vars: { t: "9s" }, ...(sessionId === undefined ? {} : { sessionId }) },
      );
      return (run.commands[0] as Extract<Command, { type: "create_jobs" }>).jobs[0];
    };
    const job = { timeoutMs: 9_000, queueTimeoutMs: 3_600_000, delivery: "at_most_once", payload: 1, nodeId: "it" };
    expect(jobOf()).toMatchObject({ ...job, fairnessKey: "run-1" });
    expect(jobOf()).not.toHaveProperty("heartbeatTimeoutMs");
    expect(jobOf("session-1")).toMatchObject({ ...job, fairnessKey: "session-1" });
  });
});

describe("attempts", () => {
  test.each<[Policy | undefined, boolean, number]>([
    [undefined, false, 3],
    [undefined, true, 1],
    [{ maxAttempts: 0 }, false, 3],
    [{ maxAttempts: 7 }, false, 7],
    [{ maxAttempts: 7 }, true, 7],
  ])("of %j, at most once: %s", (policy, isAtMostOnce, expected) => {
    expect(maxAttemptsOf(policyOf(policy), isAtMostOnce)).toBe(expected);
  });
});

describe("the pause after a failed attempt", () => {
  const steady = { jitter: "JITTER_NONE" } as const;

  test.each<[string, Policy, number[]]>([
    ["doubles from a second to a minute", {}, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]],
    ["grows by its multiplier", { initialBackoff: "10ms", backoffMultiplier: 10 }, [10, 100, 1_000, 10_000, 60_000]],
    ["stays with a multiplier of 1", { backoffMultiplier: 1 }, [1_000, 1_000, 1_000]],
    ["has its own cap", { maxBackoff: "3s" }, [1_000, 2_000, 3_000, 3_000]],
    ["is capped from the first one on", { initialBackoff: "2m" }, [60_000, 60_000]],
    ["has a cap above a minute", { initialBackoff: "2m", maxBackoff: "1h" }, [120_000, 240_000]],
    ["is none", { initialBackoff: "0s" }, [0, 0, 0]],
    ["is whole milliseconds", { initialBackoff: "5ms", backoffMultiplier: 1.5 }, [5, 7, 11]],
    ["is evaluated", { initialBackoff: "${vars.text}", maxBackoff: "${'1' + '0s'}" }, [7_000, 10_000]],
  ])("%s", (_what, policy, pauses) => {
    const compiled = policyOf({ ...policy, ...steady });
    expect(pauses.map((_, index) => backoffMs(compiled, index + 1, 0.1, NAMES))).toEqual(pauses);
  });

  test.each([
    [0, 0],
    [0.5, 2_000],
    [0.999999, 3_999],
  ])("is spread over all of its length: drawn %d", (random, pause) => {
    expect(backoffMs(POLICY_DEFAULT, 3, random, NAMES)).toBe(pause);
  });

  test("of any policy and attempt is whole and within its cap", () => {
    const duration = fc.constantFrom("0s", "1ms", "7s", "3d", "5217w");
    const policies = fc.record({
      initialBackoff: duration,
      maxBackoff: duration,
      backoffMultiplier: fc.double({ min: 1, max: 100, noNaN: true }),
      jitter: fc.constantFrom("JITTER_NONE", "JITTER_FULL"),
    });
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 1_000 }), random, (policy, attempt, drawn) => {
        const compiled = policyOf(policy);
        const pause = backoffMs(compiled, attempt, drawn, NAMES);
        expect(Number.isInteger(pause)).toBe(true);
        expect(pause).toBeGreaterThanOrEqual(0);
        expect(pause).toBeLessThanOrEqual(DURATION_MS_MAX);
        if (policy.initialBackoff === "0s" || policy.maxBackoff === "0s") expect(pause).toBe(0);
        const longest = backoffMs({ ...compiled, hasJitter: false }, attempt, 0, NAMES);
        expect(pause).toBeLessThanOrEqual(longest);
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, Policy]>([
    ["the first one", { initialBackoff: "${vars.number}" }],
    ["the longest one", { maxBackoff: "${vars.list}" }],
  ])("fails where %s is no duration", (_what, policy) => {
    expect(() => backoffMs(policyOf(policy), 1, 0, NAMES)).toThrow(NodeFailure);
  });
});
