import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DomainError, type ErrorReason } from "../core/errors.ts";
import { LaneFencedError, StoreUnavailableError } from "../store/contract/errors.ts";
import { isGone, isTransient, isUnavailable, OwnedElsewhereError, retryUntilDone } from "./retry.ts";

const refusal = (reason: ErrorReason) => new DomainError(reason, reason);

test.each([
  [new StoreUnavailableError("away"), { isUnavailable: true, isTransient: true, isGone: false }],
  [new LaneFencedError("ended"), { isUnavailable: true, isTransient: true, isGone: false }],
  [refusal("SHUTTING_DOWN"), { isUnavailable: true, isTransient: true, isGone: false }],
  [refusal("TRANSITION_CONFLICT"), { isUnavailable: false, isTransient: true, isGone: false }],
  [refusal("OVERLOADED"), { isUnavailable: false, isTransient: true, isGone: false }],
  [refusal("TRANSITION_REJECTED"), { isUnavailable: false, isTransient: false, isGone: false }],
  [refusal("RUN_ENDED"), { isUnavailable: false, isTransient: false, isGone: false }],
  [refusal("RUN_UNKNOWN"), { isUnavailable: false, isTransient: false, isGone: true }],
  [new OwnedElsewhereError(), { isUnavailable: false, isTransient: false, isGone: true }],
  [new Error("a bug"), { isUnavailable: false, isTransient: false, isGone: false }],
])("%s", (error, expected) => {
  expect({ isUnavailable: isUnavailable(error), isTransient: isTransient(error), isGone: isGone(error) }).toEqual(
    expected,
  );
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("attempts are made until one is done, with pauses that grow to 2 s", async () => {
  const attemptedAt: number[] = [];
  const begin = Date.now();
  const done = retryUntilDone(
    () => false,
    async () => attemptedAt.push(Date.now() - begin) === 7,
  );
  await vi.advanceTimersByTimeAsync(10_000);
  await done;
  expect(attemptedAt).toEqual([0, 50, 250, 750, 1_750, 3_750, 5_750]);
});

test("a server that stops attempts nothing more", async () => {
  let attempts = 0;
  let isStopping = false;
  const done = retryUntilDone(
    () => isStopping,
    async () => {
      attempts += 1;
      return false;
    },
  );
  await vi.advanceTimersByTimeAsync(60);
  isStopping = true;
  await vi.advanceTimersByTimeAsync(10_000);
  await done;
  expect(attempts).toBe(2);
});
