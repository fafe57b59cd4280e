import { describe, expect, test } from "vitest";

import { type CallFailure, failureOf, mayRetry } from "./call-failure.ts";
import { type EffectPolicy, POLICY_DEFAULT } from "./graph/effect-policy.ts";

describe("a failure as the ledger holds it", () => {
  test.each<[string, CallFailure, object]>([
    [
      "without more, another attempt could help",
      { code: "AWAY", message: "no answer" },
      { code: "AWAY", message: "no answer", retryable: true, attempt: 2 },
    ],
    [
      "that no attempt can mend",
      { code: "BAD", message: "", nonRetryable: true },
      { code: "BAD", message: "", retryable: false, attempt: 2 },
    ],
    [
      "with details, of which null is one",
      { code: "BAD", message: "x", nonRetryable: false, details: null },
      { code: "BAD", message: "x", retryable: true, attempt: 2, details: null },
    ],
  ])("%s", (_what, failure, expected) => {
    expect(failureOf(failure, 2)).toEqual(expected);
  });
});

describe("whether another attempt follows", () => {
  const away: CallFailure = { code: "AWAY", message: "no answer" };
  const policy = (more: Partial<EffectPolicy>): EffectPolicy => ({ ...POLICY_DEFAULT, ...more });

  test.each<[string, EffectPolicy, CallFailure, number, boolean, boolean]>([
    ["the first of three", POLICY_DEFAULT, away, 1, false, true],
    ["the second of three", POLICY_DEFAULT, away, 2, false, true],
    ["not the third of three", POLICY_DEFAULT, away, 3, false, false],
    ["not what is delivered at most once", POLICY_DEFAULT, away, 1, true, false],
    ["what is delivered at most once, if the policy has attempts", policy({ maxAttempts: 2 }), away, 1, true, true],
    ["not beyond the attempts of the policy", policy({ maxAttempts: 2 }), away, 2, false, false],
    ["not the only attempt of the policy", policy({ maxAttempts: 1 }), away, 1, false, false],
    ["not what no attempt can mend", POLICY_DEFAULT, { ...away, nonRetryable: true }, 1, false, false],
    ["not a code that the policy names", policy({ nonRetryableErrors: new Set(["AWAY"]) }), away, 1, false, false],
    ["a code that the policy does not name", policy({ nonRetryableErrors: new Set(["BAD"]) }), away, 1, false, true],
  ])("%s", (_what, given, failure, attempt, isAtMostOnce, expected) => {
    expect(mayRetry(given, failure, { attempt, isAtMostOnce })).toBe(expected);
  });
});
