import { expect, test } from "vitest";
import { callEnd, runOf } from "../../../tests/support/test-world.ts";
import { addMs } from "./duration.ts";
import type { NodeDefinition } from "./graph/definition.ts";
import { callsOf, openWaitOf, type RunState } from "./run.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

const ask: NodeDefinition = { askUser: { prompt: "Sure?" }, next: [{ to: "it" }] };

const dueOf = (run: RunState) => openWaitOf(run)?.due_time;

test.each<[string, NodeDefinition, (run: RunState) => string | undefined]>([
  ["a wait for a duration", { waitUntil: { after: "1h" } }, dueOf],
  ["a wait until a time that counts from now", { waitUntil: { at: "${now + duration('1h')}" } }, dueOf],
  ["a question's timeout", { askUser: { prompt: "And now?", timeout: "1h" } }, dueOf],
  ["an event's timeout", { waitEvent: { names: ["paid"], timeout: "1h" } }, dueOf],
])("after the clock was set back, %s counts from the new time, and the record keeps its order", (_said, node, due) => {
  const run = runOf({ ask, it: { ...node, next: [{ to: "done" }] }, done: { complete: {} } });
  const before = run.state.updateTime;
  run.world.pass(-YEAR_MS);
  run.answer({ answer: "yes" });
  expect(due(run.state)).toBe(addMs(run.world.now, HOUR_MS));
  expect(run.state.updateTime).toBe(before);
  run.world.pass(HOUR_MS);
  expect(run.wake().status).toBe("completed");
});

test("after the clock was set back, a retry counts from the new time", () => {
  const run = runOf({
    it: {
      toolCalls: { calls: [{ name: "a" }] },
      policy: { maxAttempts: 3, initialBackoff: "1h", maxBackoff: "1h", jitter: "JITTER_NONE" },
      next: [{ to: "done" }],
    },
    done: { complete: {} },
  });
  run.world.pass(-YEAR_MS);
  run.perform({
    type: "settle",
    ends: [callEnd(run.state, { failure: { code: "AWAY", message: "no answer" } })],
  });
  expect(callsOf(run.state)[0]?.retry_time).toBe(addMs(run.world.now, HOUR_MS));
});
