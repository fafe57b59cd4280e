import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { RunState } from "../../core/run.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { createNoticeHub } from "../notice-hub.ts";
import { awaitControl } from "./control-run.ts";

const KEY: RunKey = { tenantId: "t", runId: "r" };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A reply that waits until the owner has acted on a request for the run, which is in `state` at first. */
function waitFor(kind: "cancel" | "pause" | "unpause", state: Partial<RunState>) {
  const hub = createNoticeHub();
  let run: StoredRun | undefined;
  let looks = 0;
  let endedAfterMs: number | undefined;
  const change = (now: Partial<RunState> | undefined): void => {
    const whole = { status: "running", paused: false, cancelling: false, ...now } as RunState;
    run = now && ({ state: whole } as StoredRun);
  };
  change(state);
  const reads = {
    loadRunHead: async () => {
      looks += 1;
      return run;
    },
  };
  const begin = performance.now();
  const waiting = awaitControl({ reads, hub }, KEY, kind).then(() => (endedAfterMs = performance.now() - begin));
  return {
    waiting,
    /** Another server has committed a step of the run, after which it is in this state. */
    commit(now: Partial<RunState> | undefined) {
      change(now);
      hub.publish(KEY, undefined);
    },
    get looks() {
      return looks;
    },
    get endedAfterMs() {
      return endedAfterMs;
    },
    get watchers() {
      return hub.watchers;
    },
  };
}

describe.each<["cancel" | "pause" | "unpause", Partial<RunState>, [string, Partial<RunState> | undefined][]]>([
  ["cancel", {}, [["is being cancelled", { cancelling: true }]]],
  ["pause", {}, [["is paused", { paused: true }]]],
  ["unpause", { paused: true }, [["is not paused", {}]]],
])("the reply to a %s waits through other news until the run", (kind, before, states) => {
  test.each([...states, ["has ended", { ...before, status: "completed" as const }], ["was deleted", undefined]])(
    "%s",
    async (_what, after) => {
      const reply = waitFor(kind, before);
      await vi.advanceTimersByTimeAsync(10);
      reply.commit(before);
      await vi.advanceTimersByTimeAsync(100);
      expect(reply.endedAfterMs).toBeUndefined();
      reply.commit(after);
      await vi.advanceTimersByTimeAsync(20);
      expect(reply.endedAfterMs).toBeLessThan(150);
      expect(reply.watchers).toBe(0);
    },
  );
});

test("a request that was acted on before the reply waits does not make it wait", async () => {
  const reply = waitFor("pause", { paused: true });
  await vi.advanceTimersByTimeAsync(0);
  expect(reply.endedAfterMs).toBe(0);
});

test("the wait ends after a second, with or without news, and looks at a busy run only now and then", async () => {
  const [busy, quiet] = [waitFor("pause", {}), waitFor("pause", {})];
  for (let steps = 0; steps < 1_100; steps++) {
    busy.commit({});
    await vi.advanceTimersByTimeAsync(1);
  }
  for (const reply of [busy, quiet]) {
    expect(reply.endedAfterMs).toBeGreaterThanOrEqual(1_000);
    expect(reply.endedAfterMs).toBeLessThan(1_010);
    expect(reply.watchers).toBe(0);
  }
  expect(busy.looks).toBeLessThanOrEqual(9);
  expect(quiet.looks).toBe(1);
});
