import { describe, expect, test } from "vitest";

import { runOf, type TestRun } from "../../../tests/support/test-world.ts";
import { DomainError } from "./errors.ts";
import { isActive } from "./run.ts";
import type { NodeDefinition } from "./graph/definition.ts";

const question: NodeDefinition = { askUser: { prompt: "?" }, next: [{ to: "end" }] };
const end: NodeDefinition = { complete: {} };

function refusal(reason: string): unknown {
  return expect.objectContaining({ reason, metadata: { run_id: "run-1" } }) as unknown;
}

describe("cancel without on_cancel", () => {
  test.each<[string, () => TestRun]>([
    ["a run that waits", () => runOf({ ask: question, end })],
    ["a run with calls in flight", () => runOf({ it: { handler: {} } })],
    ["a run that is paused", () => runOf({ ask: question, end }, { paused: true })],
  ])("%s ends at once", (_what, make) => {
    const run = make();
    const [record] = run.perform({ type: "cancel", actorId: "ada", reason: "enough" });
    expect(record).toMatchObject({ kind: "run.cancelled", actor_id: "ada", body: { reason: "enough" } });
    expect(run.state).toMatchObject({ status: "cancelled", paused: false, steps: 0 });
    expect(run.state.inFlight).toBeUndefined();
    expect(run.state.output).toBeUndefined();
  });
});

describe("cancel with on_cancel", () => {
  const cancelled = (undo: { [nodeId: string]: NodeDefinition }, more: object = {}) => {
    const run = runOf({ ask: question, end, ...undo }, { workflow: { onCancel: "undo", ...more } });
    run.perform({ type: "cancel", actorId: "ada", reason: "enough" });
    return run;
  };

  test("runs it once, then the run is CANCELLED", () => {
    const run = cancelled({ undo: { assign: { values: { undone: true } }, next: [{ to: "end" }] } });
    expect(run.records.at(-1)).toMatchObject({
      kind: "run.cancel_requested",
      body: { to: "undo", reason: "enough", deadline_time: "2026-03-01T09:15:00.000000Z" },
    });
    expect(run.state).toMatchObject({ status: "running", cancelling: true, node: "undo" });
    expect(run.settle()).toMatchObject({ status: "cancelled", vars: { undone: true }, steps: 2 });
    expect(run.state.output).toBeUndefined();
  });

  test("has run_timeout for it, counted from the cancel", () => {
    const run = cancelled({ undo: question }, { limits: { runTimeout: "2h" } });
    expect(run.state.deadlineTime).toBe("2026-03-01T11:00:00.000000Z");
  });

  test("asked for again changes nothing", () => {
    const run = cancelled({ undo: question });
    run.settle();
    expect(run.perform({ type: "cancel" })).toEqual([]);
  });

  test("unpauses the run", () => {
    const run = runOf({ ask: question, undo: end, end }, { paused: true, workflow: { onCancel: "undo" } });
    run.perform({ type: "cancel" });
    expect(isActive(run.state)).toBe(true);
    expect(run.settle().status).toBe("cancelled");
  });

  test.each<[string, NodeDefinition]>([
    ["completes", { complete: { output: 1 } }],
    ["ends with an effect's result", { answerUser: { message: "undone" } }],
    ["fails by its own word", { fail: { code: "STUCK", message: "no way" } }],
    ["fails by an evaluation", { assign: { values: { a: "${1 / 0}" } }, next: [{ to: "end" }] }],
    ["has no edge", { answerUser: { message: "undone" }, next: [{ to: "end", when: "false" }] }],
  ])("that %s ends CANCELLED all the same", (_what, undo) => {
    const run = cancelled({ undo }, { onError: "end" });
    const state = run.settle();
    expect(state.status).toBe("cancelled");
    expect(state.output).toBeUndefined();
  });

  test("may be handled by its own on_error, not by the workflow's", () => {
    const failing: NodeDefinition = { assign: { values: { a: "${1 / 0}" } }, next: [{ to: "end" }] };
    const note: NodeDefinition = { assign: { values: { noted: true } }, next: [{ to: "end" }] };
    const own = cancelled({ undo: { ...failing, onError: "note" }, note });
    expect(own.settle()).toMatchObject({ status: "cancelled", vars: { noted: true } });
    const general = cancelled({ undo: failing, note }, { onError: "note" });
    expect(general.settle().status).toBe("cancelled");
    expect(general.state.vars).toEqual({});
  });

  test("that turns in circles is ended by max_steps", () => {
    const undo: NodeDefinition = { assign: { values: {} }, next: [{ to: "end", when: "false" }, { to: "undo" }] };
    const run = cancelled({ undo }, { limits: { maxSteps: 20 } });
    expect(run.settle()).toMatchObject({ status: "cancelled", steps: 20, error: { code: "LIMIT_MAX_STEPS" } });
  });

  test("that waits can be answered, and paused", () => {
    const run = cancelled({ undo: { askUser: { prompt: "really?" } } });
    run.settle();
    run.perform({ type: "pause" });
    run.perform({ type: "unpause" });
    expect(run.answer({ answer: 1 }).status).toBe("cancelled");
  });
});

test("cancel of a run that has ended changes nothing", () => {
  const run = runOf({ end });
  expect(run.perform({ type: "cancel" })).toEqual([]);
  expect(run.state.status).toBe("completed");
});

describe("pause and unpause", () => {
  test("a paused run stands still, with its wait and its calls", () => {
    for (const run of [runOf({ ask: question, end }), runOf({ it: { handler: {} } })]) {
      const { inFlight, status } = run.state;
      const [record] = run.perform({ type: "pause", actorId: "ada", reason: "lunch" });
      expect(record).toMatchObject({ kind: "run.paused", actor_id: "ada", body: { reason: "lunch" } });
      expect(run.state).toMatchObject({ paused: true, status });
      expect(run.state.inFlight).toEqual(inFlight);
      expect(run.perform({ type: "unpause", actorId: "ada" })).toMatchObject([
        { kind: "run.unpaused", actor_id: "ada" },
      ]);
      expect(run.state).toMatchObject({ paused: false, status });
      expect(run.state.inFlight).toEqual(inFlight);
    }
  });

  test("pausing twice changes nothing, unpausing twice is refused", () => {
    const run = runOf({ ask: question, end });
    run.perform({ type: "pause" });
    expect(run.perform({ type: "pause" })).toEqual([]);
    run.perform({ type: "unpause" });
    expect(() => run.perform({ type: "unpause" })).toThrow(refusal("RUN_NOT_PAUSED"));
  });

  test("a run that has ended can be neither", () => {
    const run = runOf({ end });
    expect(() => run.perform({ type: "pause" })).toThrow(refusal("RUN_ENDED"));
    expect(() => run.perform({ type: "unpause" })).toThrow(refusal("RUN_NOT_PAUSED"));
    expect(() => run.perform({ type: "pause" })).toThrow(DomainError);
  });
});

describe("a run whose next transition cannot be stored", () => {
  const failure = { code: "STORE_REJECTED", message: "refused", retryable: false };

  test("is failed, with its node", () => {
    const run = runOf({ ask: question, end });
    run.perform({ type: "fail", failure });
    expect(run.state).toMatchObject({ status: "failed", error: { ...failure, node_id: "ask" } });
  });

  test("is cancelled if it was being cancelled", () => {
    const run = runOf({ ask: question, undo: question, end }, { workflow: { onCancel: "undo" } });
    run.perform({ type: "cancel" });
    run.perform({ type: "fail", failure });
    expect(run.state).toMatchObject({ status: "cancelled", error: { ...failure, node_id: "undo" } });
  });

  test("and has ended, stays as it is", () => {
    const run = runOf({ end });
    expect(run.perform({ type: "fail", failure })).toEqual([]);
  });
});
