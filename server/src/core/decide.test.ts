import { describe, expect, test } from "vitest";

import {
  callEnd,
  createTestRun,
  createTestWorld,
  runOf,
  type TestRun,
  workflowOf,
} from "../../../tests/support/test-world.ts";
import { decide, type Stimulus } from "./decide.ts";
import { parseInstant } from "./duration.ts";
import { DomainError } from "./errors.ts";
import { wakeTimeOf, openWaitOf } from "./run.ts";
import type { NodeDefinition } from "./graph/definition.ts";

const question: NodeDefinition = { askUser: { prompt: "?", timeout: "1h" } };
const answered = { type: "answer", payload: { answer: 1 } } as const;

/** Every state that a run can be in. */
const states: Record<string, () => TestRun> = {
  active: () => createTestRun(workflowOf({ go: { complete: {} } })),
  "active, paused": () => createTestRun(workflowOf({ go: { complete: {} } }), { paused: true }),
  "calls in flight": () => runOf({ it: { handler: {} } }),
  "calls in flight, paused": () => {
    const run = runOf({ it: { toolCalls: { calls: [{ name: "a" }] } } });
    run.perform({ type: "pause" });
    return run;
  },
  "an approval": () => runOf({ it: { toolCalls: { calls: [{ name: "a" }], requireApproval: true } } }),
  "a question": () => runOf({ it: question }),
  "a question, paused": () => {
    const run = runOf({ it: question });
    run.perform({ type: "pause" });
    return run;
  },
  "an event": () => runOf({ it: { waitEvent: { names: ["a"], timeout: "1h" } } }),
  "a time": () => runOf({ it: { waitUntil: { after: "1h" } } }),
  "its start": () =>
    createTestRun(workflowOf({ go: { complete: {} } }), { startAt: parseInstant("2026-03-01T10:00:00Z") }),
  cancelling: () => {
    const run = runOf({ it: question, undo: question }, { workflow: { onCancel: "undo" } });
    run.perform({ type: "cancel" });
    run.settle();
    return run;
  },
  completed: () => runOf({ go: { complete: {} } }),
  failed: () => runOf({ go: { fail: { code: "X", message: "x" } } }),
  cancelled: () => {
    const run = runOf({ it: question });
    run.perform({ type: "cancel" });
    return run;
  },
};

/** What each stimulus of `names` gives in each state: the kinds of the records, "" for none, or the reason of the
 *  refusal. */
const table: Record<string, string[]> = {
  active: ["", "", "RUN_NOT_WAITING", "run.cancelled", "run.paused", "RUN_NOT_PAUSED", "run.failed", ""],
  "active, paused": ["", "", "RUN_NOT_WAITING", "run.cancelled", "", "run.unpaused", "run.failed", ""],
  "calls in flight": [
    "",
    "",
    "RUN_NOT_WAITING",
    "run.cancelled",
    "run.paused",
    "RUN_NOT_PAUSED",
    "run.failed",
    "run.completed",
  ],
  "calls in flight, paused": [
    "",
    "",
    "RUN_NOT_WAITING",
    "run.cancelled",
    "",
    "run.unpaused",
    "run.failed",
    "call.completed run.completed",
  ],
  "an approval": ["", "", "ANSWER_INVALID", "run.cancelled", "run.paused", "RUN_NOT_PAUSED", "run.failed", ""],
  "a question": [
    "",
    "run.completed",
    "run.completed",
    "run.cancelled",
    "run.paused",
    "RUN_NOT_PAUSED",
    "run.failed",
    "",
  ],
  "a question, paused": ["", "", "run.completed", "run.cancelled", "", "run.unpaused", "run.failed", ""],
  "an event": ["", "run.completed", "run.completed", "run.cancelled", "run.paused", "RUN_NOT_PAUSED", "run.failed", ""],
  "a time": [
    "",
    "run.completed",
    "WAIT_NOT_ANSWERABLE",
    "run.cancelled",
    "run.paused",
    "RUN_NOT_PAUSED",
    "run.failed",
    "",
  ],
  "its start": [
    "",
    "run.resumed",
    "WAIT_NOT_ANSWERABLE",
    "run.cancelled",
    "run.paused",
    "RUN_NOT_PAUSED",
    "run.failed",
    "",
  ],
  cancelling: ["", "run.cancelled", "run.cancelled", "", "run.paused", "RUN_NOT_PAUSED", "run.cancelled", ""],
  completed: ["", "", "RUN_NOT_WAITING", "", "RUN_ENDED", "RUN_NOT_PAUSED", "", ""],
  failed: ["", "", "RUN_NOT_WAITING", "", "RUN_ENDED", "RUN_NOT_PAUSED", "", ""],
  cancelled: ["", "", "RUN_NOT_WAITING", "", "RUN_ENDED", "RUN_NOT_PAUSED", "", ""],
};

const failure = { code: "STORE_REJECTED", message: "x", retryable: false };
const stimuli: ((run: TestRun) => Parameters<TestRun["perform"]>[0])[] = [
  () => ({ type: "wake" }),
  (run) => {
    run.world.pass(3_600_000);
    return { type: "wake" };
  },
  (run) => ({ ...answered, waitId: openWaitOf(run.state)?.wait_id ?? "none" }),
  () => ({ type: "cancel" }),
  () => ({ type: "pause" }),
  () => ({ type: "unpause" }),
  () => ({ type: "fail", failure }),
  (run) => ({ type: "settle", ends: [callEnd(run.state, { output: { completeOutput: 1 } })] }),
];
const names = ["wake at once", "wake after an hour", "answer", "cancel", "pause", "unpause", "fail", "settle"];

function outcomeOf(run: TestRun, stimulus: Parameters<TestRun["perform"]>[0]): string {
  try {
    return run
      .perform(stimulus)
      .map(({ kind }) => kind)
      .join(" ");
  } catch (error) {
    if (error instanceof DomainError) return error.reason;
    throw error;
  }
}

describe("every state and stimulus", () => {
  const cases = Object.keys(states).flatMap((state) =>
    stimuli.map((_stimulus, index) => ({ state, stimulus: names[index]!, index, expected: table[state]![index]! })),
  );
  test.each(cases)("$state, $stimulus: $expected", ({ state, index, expected }) => {
    const run = states[state]!();
    expect(outcomeOf(run, stimuli[index]!(run))).toBe(expected);
  });
});

describe("advance is for running runs without calls, paused or not: anything else is a bug of the caller", () => {
  test.each(Object.keys(states))("%s", (name) => {
    const { state, workflow, world } = states[name]!();
    const advance = () => decide(state, { type: "advance", now: world.now }, workflow);
    if (name.startsWith("active")) expect(advance()).toMatchObject({ run: { status: "completed" } });
    else expect(advance).toThrow("only a running run with nothing in flight");
  });
});

test("the same arguments give the same decision, and nothing of them is changed", () => {
  const run = states["a question"]!();
  const stimulus: Stimulus = {
    ...answered,
    now: run.world.now,
    waitId: openWaitOf(run.state)!.wait_id,
    actorId: "ada",
  };
  const before = JSON.stringify([run.state, stimulus]);
  const decisions = [decide(run.state, stimulus, run.workflow), decide(run.state, stimulus, run.workflow)];
  expect(decisions[0]).toEqual(decisions[1]);
  expect(JSON.stringify([run.state, stimulus])).toBe(before);
});

test("a clock that is behind does not take time back", () => {
  const world = createTestWorld();
  const run = runOf({ it: question }, { world });
  world.pass(-60_000);
  const [record] = run.perform({ ...answered, waitId: openWaitOf(run.state)!.wait_id });
  expect(record!.time).toBe(run.records[1]!.time);
});

test.each<[string, string | undefined]>([
  ["active", undefined],
  ["a question", "2026-03-01T10:00:00.000000Z"],
  ["a question, paused", undefined],
  ["a time", "2026-03-01T10:00:00.000000Z"],
  ["its start", "2026-03-01T10:00:00.000000Z"],
  // The timeout of the question comes after the time that on_cancel has.
  ["cancelling", "2026-03-01T09:15:00.000000Z"],
  ["completed", undefined],
])("a run that is %s wakes at %s", (name, time) => {
  expect(wakeTimeOf(states[name]!().state)).toBe(time);
});
