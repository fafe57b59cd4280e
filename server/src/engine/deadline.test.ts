import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type DeadlineError, withDeadline } from "./deadline.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new Promise<never>(() => undefined);
const refusalOf = (work: Promise<unknown>): Promise<DeadlineError> =>
  work.then(
    () => expect.unreachable(),
    (error: DeadlineError) => error,
  );

test.each([
  { isDatabaseSilent: true, reason: "DATABASE_UNAVAILABLE", says: "The database did not answer" },
  { isDatabaseSilent: false, reason: "OVERLOADED", says: "The server did not finish" },
])("the refusal names what is slow: $reason", async ({ isDatabaseSilent, reason, says }) => {
  const refused = refusalOf(withDeadline({ boundMs: 1_000, isDatabaseSilent: () => isDatabaseSilent }, () => never));
  await vi.advanceTimersByTimeAsync(1_000);
  const error = await refused;
  expect(error.reason).toBe(reason);
  expect(error.message).toContain(says);
});

test("replies that arrived while the process stood still are taken up first", async () => {
  const replied = Promise.withResolvers<string>();
  const done = withDeadline({ boundMs: 1_000, isDatabaseSilent: () => true }, () => replied.promise);
  // The clock goes on, and no timer is served meanwhile.
  const now = performance.now();
  const spy = vi.spyOn(performance, "now").mockReturnValue(now + 60_000);
  vi.advanceTimersToNextTimer();
  replied.resolve("in time");
  expect(await done).toBe("in time");
  spy.mockRestore();
});

test("what arrives late is handed over to be undone", async () => {
  const replied = Promise.withResolvers<string>();
  const undone: string[] = [];
  const refused = refusalOf(
    withDeadline(
      { boundMs: 1_000, isDatabaseSilent: () => true },
      () => replied.promise,
      (value) => undone.push(value),
    ),
  );
  await vi.advanceTimersByTimeAsync(1_000);
  await refused;
  replied.resolve("late");
  await vi.advanceTimersByTimeAsync(1);
  expect(undone).toEqual(["late"]);
});
