import { callsOf } from "./run.ts";
import { describe, expect, test } from "vitest";

import { callEnd, runOf, type TestCallEnd, type TestRun, type TestStart } from "../../../tests/support/test-world.ts";
import type { CallFailure } from "./call-failure.ts";
import { decide } from "./decide.ts";
import type { Json } from "./json/json.ts";
import type { NodeDefinition, WorkflowDefinition } from "./graph/definition.ts";

type ToolCalls = NonNullable<NodeDefinition["toolCalls"]>;

const AWAY: CallFailure = { code: "AWAY", message: "no answer" };
const NEVER: CallFailure = { code: "NEVER", message: "cannot be", nonRetryable: true };

type Rest = TestStart & { node?: Partial<NodeDefinition>; workflow?: Partial<WorkflowDefinition> };

/** A run at the calls `a`, `b`, `c`, or those that are given. */
function calling(toolCalls: Partial<ToolCalls> = {}, { node = {}, ...rest }: Rest = {}): TestRun {
  const calls = [{ name: "a" }, { name: "b", callId: "second" }, { name: "c" }];
  return runOf(
    {
      it: {
        toolCalls: { calls, ...toolCalls },
        resultKey: "r",
        onError: "failed",
        next: [{ to: "end" }],
        ...node,
      },
      end: { complete: { output: "${vars.r}" } },
      failed: { complete: { output: "${error}" } },
    },
    rest,
  );
}

function kindsOf(run: TestRun): string[] {
  return run.records.map(({ kind }) => kind);
}

function settle(run: TestRun, ...ends: TestCallEnd[]) {
  return run.perform({ type: "settle", ends: ends.map((end) => callEnd(run.state, end)) });
}

describe("calls that come back", () => {
  const succeeded = (call_id: string, name: string, output: Json) => ({
    call_id,
    name,
    success: true,
    output,
    error: null,
  });

  test.each([
    ["in their order", [0, 1, 2]],
    ["in another order", [2, 0, 1]],
    ["backwards", [2, 1, 0]],
  ])("%s: a record for each, the results in the order of the calls", (_what, order) => {
    const run = calling();
    for (const ordinal of order) {
      expect(run.state).toMatchObject({ status: "running", node: "it", steps: 0 });
      run.settleCalls({ ordinal, output: `of ${ordinal}`, actorId: `worker-${ordinal}` });
    }
    expect(kindsOf(run)).toEqual([
      "run.started",
      "step.started",
      "call.completed",
      "call.completed",
      "call.completed",
      "step.completed",
      "run.completed",
    ]);
    expect(run.state.output).toEqual({
      results: [succeeded("call_1", "a", "of 0"), succeeded("second", "b", "of 1"), succeeded("call_3", "c", "of 2")],
    });
    expect(run.records.slice(2, 5).map((record) => record.actor_id)).toEqual(
      order.map((ordinal) => `worker-${ordinal}`),
    );
  });

  test("all in one decision", () => {
    const run = calling();
    const records = settle(run, { ordinal: 1, output: 1 }, { ordinal: 2, output: 2 }, { ordinal: 0, output: 0 });
    expect(records.map(({ kind }) => kind)).toEqual([
      "call.completed",
      "call.completed",
      "call.completed",
      "step.completed",
    ]);
    const settlements = [1, 2, 0].map((ordinal) => ({
      idempotencyKey: run.records[1]!.body.calls![ordinal]!.idempotency_key,
    }));
    expect(run.commands.at(-1)).toEqual({ type: "settle_jobs", settlements });
  });

  test("what a call gave stands in its record and in the state until the step is done", () => {
    const run = calling();
    const [record] = settle(run, { ordinal: 1, output: { z: 1, a: [null] }, actorId: "worker-1" });
    expect(record).toMatchObject({
      kind: "call.completed",
      node_id: "it",
      attempt: 1,
      actor_id: "worker-1",
      idempotency_key: callsOf(run.state)[1]!.idempotency_key,
      given: '{"a":[null],"z":1}',
    });
    expect(record!.body).toEqual({ status: "started", call: { ordinal: 1, call_id: "second" } });
    expect(callsOf(run.state).map(({ outcome }) => outcome)).toEqual([
      undefined,
      { output: { z: 1, a: [null] }, seq: 3 },
      undefined,
    ]);
    run.settleCalls({ output: 1 }, { ordinal: 2, output: 2 });
    const settled = run.records.find(({ kind }) => kind === "step.completed")!;
    expect(settled.body.result).toEqual([
      { op: "set", path: "", value: {} },
      { op: "set", path: "/results", of: "calls" },
    ]);
    expect(callsOf(run.state)).toEqual([]);
  });

  test.each<[Json]>([[null], [false], [0], [""], [[]], [{}]])("%j is a result", (output) => {
    const run = calling({ calls: [{ name: "a" }] });
    run.settleCalls({ output });
    expect(run.state.output).toEqual({ results: [succeeded("call_1", "a", output)] });
  });

  test("edges and templates see the results", () => {
    const run = runOf({
      it: {
        toolCalls: { calls: [{ name: "a" }, { name: "b" }] },
        next: [
          { to: "large", when: "result.results[0].output.amount > 100" },
          { to: "small", when: "result.results.all(r, r.success) && result.results[1].output == null" },
        ],
      },
      large: { complete: { output: "large" } },
      small: { complete: { output: "small: ${vars}" } },
    });
    run.settleCalls({ ordinal: 1, output: null }, { output: { amount: 12.5 } });
    expect(run.state.output).toBe("small: {}");
    const kept = calling(
      { calls: [{ name: "a" }] },
      { node: { next: [{ to: "end", when: "vars.r.results[0].output.n == 7" }] } },
    );
    kept.settleCalls({ output: { n: 7 } });
    expect(kept.state).toMatchObject({ status: "completed", node: "end" });
  });

  test("an edge that none of them lets hold fails the node: the results are written", () => {
    const run = calling(
      { calls: [{ name: "a" }] },
      { node: { next: [{ to: "end", when: "result.results[0].output == 1" }] } },
    );
    run.settleCalls({ output: 2 });
    expect(run.state).toMatchObject({
      node: "failed",
      output: { code: "NO_EDGE" },
      vars: { r: { results: [{ output: 2 }] } },
    });
  });

  test("results are the run's output where nothing follows", () => {
    const run = runOf({ it: { toolCalls: { calls: [{ name: "a" }] } } });
    run.settleCalls({ output: 1 });
    expect(run.state).toMatchObject({ status: "completed", output: { results: [succeeded("call_1", "a", 1)] } });
    expect(run.records.at(-1)!.body.output).toEqual({ of: "result" });
  });
});

describe("what changes nothing", () => {
  const nothing: [string, (run: TestRun) => TestCallEnd][] = [
    ["a call that is not known", () => ({ idempotencyKey: "x".repeat(52), output: 1 })],
    ["an attempt that is over", () => ({ ordinal: 2, attempt: 1, output: 1 })],
    ["an attempt that has not begun", () => ({ ordinal: 0, attempt: 2, output: 1 })],
    ["attempt 0", () => ({ ordinal: 0, attempt: 0, output: 1 })],
    ["a call that has come back", () => ({ ordinal: 1, output: 1 })],
    ["a failure of a call that has come back", () => ({ ordinal: 1, failure: NEVER })],
  ];
  const atWork = () => {
    const run = calling();
    settle(run, { ordinal: 1, output: "first" }, { ordinal: 2, failure: AWAY });
    return run;
  };

  test.each(nothing)("%s", (_what, endOf) => {
    const run = atWork();
    const { commands, state } = run;
    const before = commands.length;
    expect(settle(run, endOf(run))).toEqual([]);
    expect(run.state).toBe(state);
    expect(commands.length).toBe(before);
  });

  test("beside what counts, which alone is told", () => {
    const run = atWork();
    const { state } = run;
    const ends = [...nothing.map(([, endOf]) => endOf(run)), { output: 3 }, { output: 4 }];
    const records = settle(run, ...ends);
    expect(records.map(({ kind, given }) => [kind, given])).toEqual([["call.completed", "3"]]);
    expect(run.commands.at(-1)).toEqual({
      type: "settle_jobs",
      settlements: [{ idempotencyKey: callsOf(state)[0]!.idempotency_key }],
    });
  });

  const late: [string, (run: TestRun) => void][] = [
    ["a run that has been cancelled", (run) => run.perform({ type: "cancel" })],
    ["a run that has timed out", (run) => (run.world.pass(60_000), run.wake())],
    [
      "a run that has gone on",
      (run) => run.settleCalls({ output: 1 }, { ordinal: 1, output: 2 }, { ordinal: 2, output: 3 }),
    ],
  ];

  test.each(late)("an end that comes to %s", (_what, end) => {
    const run = calling({}, { workflow: { limits: { runTimeout: "1m" } } });
    const { state: before } = run;
    settle(run, { output: 1 });
    end(run);
    const { state } = run;
    expect(callsOf(state)).toEqual([]);
    const ends = callsOf(before).map((_call, ordinal) => callEnd(before, { ordinal, output: "late" }));
    expect(run.perform({ type: "settle", ends })).toEqual([]);
    expect(run.state).toBe(state);
  });

  test("an end that comes while on_cancel is at work", () => {
    const run = runOf(
      { it: { toolCalls: { calls: [{ name: "a" }] } }, undo: { toolCalls: { calls: [{ name: "undo" }] } } },
      { workflow: { onCancel: "undo" } },
    );
    const { state: before } = run;
    run.perform({ type: "cancel" });
    expect(run.state.cancelling).toBe(true);
    expect(run.state.inFlight).toBeUndefined();
    run.settle();
    expect(run.perform({ type: "settle", ends: [callEnd(before, { output: 1 })] })).toEqual([]);
    run.settleCalls({ output: "undone" });
    expect(run.state).toMatchObject({ status: "cancelled" });
    expect(run.state.output).toBeUndefined();
  });

  test("the end of a visit before, when a loop has come back", () => {
    const run = runOf({ it: { toolCalls: { calls: [{ name: "a" }] }, next: [{ to: "it" }] } });
    const { state: before } = run;
    run.settleCalls({ output: 1 });
    expect(run.state).toMatchObject({ node: "it", steps: 1, inFlight: { calls: [{ name: "a" }] } });
    expect(run.perform({ type: "settle", ends: [callEnd(before, { output: 2 })] })).toEqual([]);
  });
});

describe("a failed attempt", () => {
  test("is followed by another one, after a pause", () => {
    const run = calling();
    const [record] = settle(run, {
      ordinal: 1,
      failure: { ...AWAY, details: { at: 1 } },
      random: 0.5,
      actorId: "worker-1",
    });
    const retry_time = "2026-03-01T09:00:00.500000Z";
    expect(record).toMatchObject({
      kind: "call.retrying",
      node_id: "it",
      attempt: 1,
      actor_id: "worker-1",
      idempotency_key: callsOf(run.state)[1]!.idempotency_key,
    });
    expect(record!.body).toEqual({
      status: "started",
      error: { ...AWAY, retryable: true, attempt: 1, node_id: "it", details: { at: 1 } },
      call: { ordinal: 1, call_id: "second", next_attempt: 2, retry_time },
    });
    expect(callsOf(run.state)[1]).toMatchObject({ attempt: 2, retry_time });
    expect(run.commands.at(-1)).toEqual({
      type: "settle_jobs",
      settlements: [{ idempotencyKey: record!.idempotency_key, retry: { attempt: 2, dueTime: retry_time } }],
    });
    settle(run, { ordinal: 1, failure: AWAY, random: 0.5 });
    expect(callsOf(run.state)[1]).toMatchObject({ attempt: 3, retry_time: "2026-03-01T09:00:01.000000Z" });
    expect(run.state.error).toBeUndefined();
  });

  test("whose last attempt gives an output is none in the results", () => {
    const run = calling({ calls: [{ name: "a" }] });
    run.settleCalls({ failure: AWAY });
    run.settleCalls({ output: 1 });
    expect(run.state.output).toEqual({
      results: [{ call_id: "call_1", name: "a", success: true, output: 1, error: null }],
    });
    expect(run.records.find(({ kind }) => kind === "call.completed")).toMatchObject({ attempt: 2 });
    expect(run.state.error).toBeUndefined();
  });

  test("twice in one decision: the second attempt too", () => {
    const run = calling({ calls: [{ name: "a" }] });
    const ends = [
      { failure: AWAY, attempt: 1 },
      { failure: AWAY, attempt: 2 },
    ];
    expect(settle(run, ...ends).map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(callsOf(run.state)).toMatchObject([{ attempt: 3 }]);
  });

  test.each<[string, NodeDefinition["policy"], TestCallEnd]>([
    ["that no other can mend", undefined, { failure: NEVER }],
    ["that was delivered at most once", undefined, { failure: AWAY, isAtMostOnce: true }],
    ["whose code the policy names", { nonRetryableErrors: ["AWAY"] }, { failure: AWAY }],
    ["that is the only one", { maxAttempts: 1 }, { failure: AWAY }],
    ["whose pause is no duration", { initialBackoff: "${vars.soon}" }, { failure: AWAY }],
  ])("%s is the call's end", (_what, policy, end) => {
    const run = calling({ calls: [{ name: "a" }] }, { node: policy === undefined ? {} : { policy } });
    const [record, settled] = settle(run, end);
    const { code, message } = (end as { failure: CallFailure }).failure;
    expect(record).toMatchObject({ kind: "call.failed", attempt: 1, body: { error: { code, message, attempt: 1 } } });
    expect(record!.given).toBeUndefined();
    expect(settled).toMatchObject({ kind: "step.completed" });
    expect(run.settle().output).toMatchObject({ results: [{ success: false, output: null, error: { code } }] });
  });

  test("when attempts are spent, the last failure is the call's", () => {
    const run = calling({ calls: [{ name: "a" }] }, { node: { policy: { maxAttempts: 4 } } });
    for (const message of ["1st", "2nd", "3rd", "4th"]) run.settleCalls({ failure: { code: "AWAY", message } });
    expect(run.state.output).toMatchObject({ results: [{ error: { message: "4th", attempt: 4 } }] });
    expect(kindsOf(run).filter((kind) => kind === "call.retrying").length).toBe(3);
  });
});

describe("a failed call", () => {
  test("is data beside the others' outputs", () => {
    const run = calling();
    run.settleCalls({ ordinal: 2, failure: { ...NEVER, details: [1] } }, { output: 1 });
    expect(run.state).toMatchObject({ status: "running" });
    run.settleCalls({ ordinal: 1, output: 2 });
    const error = { code: "NEVER", message: "cannot be", retryable: false, attempt: 1, node_id: "it", details: [1] };
    expect(run.state.output).toEqual({
      results: [
        { call_id: "call_1", name: "a", success: true, output: 1, error: null },
        { call_id: "second", name: "b", success: true, output: 2, error: null },
        { call_id: "call_3", name: "c", success: false, output: null, error },
      ],
    });
    // The node has not failed.
    expect(run.state.error).toBeUndefined();
    expect(run.state.steps).toBe(2);
  });

  test("fails the node where it is an error, once all have come back", () => {
    const run = calling({ onFailure: "TOOL_FAILURE_AS_ERROR" });
    run.settleCalls({ ordinal: 2, failure: { ...NEVER, code: "LAST" } });
    run.settleCalls({ ordinal: 1, failure: { ...NEVER, code: "FIRST" } });
    expect(run.state).toMatchObject({ status: "running", node: "it" });
    run.settleCalls({ output: 1 });
    // Of several the first in the order of the calls.
    expect(run.state).toMatchObject({ node: "failed", output: { code: "FIRST", node_id: "it", attempt: 1 } });
    expect(kindsOf(run).slice(-3)).toEqual(["call.completed", "step.failed", "run.completed"]);
    expect(run.state.vars).toEqual({});
  });
});

describe("results that are too large together", () => {
  const half = "x".repeat(600_000);

  test("the output that would make them so is not taken", () => {
    const run = calling({ calls: [{ name: "a" }, { name: "b" }] });
    settle(run, { ordinal: 1, output: half });
    const [record] = settle(run, { output: half, actorId: "worker-1" });
    expect(record).toMatchObject({
      kind: "call.failed",
      attempt: 1,
      actor_id: "worker-1",
      body: { error: { code: "RESULT_TOO_LARGE", retryable: false, node_id: "it" } },
    });
    expect(record!.body.error!.message).toMatch(/The results would have more than 1048576 bytes/);
    const [settled] = run.commands.slice(-1);
    expect(run.settle().output).toMatchObject({
      results: [
        { success: false, error: { code: "RESULT_TOO_LARGE" } },
        { success: true, output: half },
      ],
    });
    expect(settled).toEqual({
      type: "settle_jobs",
      settlements: [{ idempotencyKey: record!.idempotency_key }],
    });
  });

  test("a failure that would make them so loses its words", () => {
    const run = calling({ calls: [{ name: "a" }, { name: "b" }] });
    settle(run, { ordinal: 1, output: half });
    const failure = { code: "LONG", message: "m".repeat(300_000), nonRetryable: true, details: "d".repeat(300_000) };
    const [record] = settle(run, { failure });
    expect(record!.body.error).toEqual({
      code: "LONG",
      message: expect.stringMatching(/The results would have more than/) as string,
      retryable: false,
      attempt: 1,
      node_id: "it",
    });
  });

  test("one call alone may give as much as a payload holds, which vars then cannot", () => {
    const run = calling({ calls: [{ name: "a" }] });
    run.settleCalls({ output: "x".repeat(1_048_574) });
    expect(run.state).toMatchObject({ node: "failed", output: { code: "EVALUATION_FAILED" } });
    const alone = runOf({ it: { toolCalls: { calls: [{ name: "a" }] } } });
    alone.settleCalls({ output: "x".repeat(1_048_574) });
    expect(alone.state.status).toBe("completed");
  });
});

describe("custom effects and handlers", () => {
  const one = (node: NodeDefinition): TestRun =>
    runOf({
      it: { resultKey: "r", onError: "failed", next: [{ to: "end" }], ...node },
      end: { complete: { output: "${vars}" } },
      failed: { complete: { output: "${error}" } },
    });

  test("a custom effect's result is what its worker gave", () => {
    const run = one({ custom: { type: "move", payload: 1 } });
    const { state } = run;
    const [record] = settle(run, { output: { at: [1] }, actorId: "robot" });
    expect(record).toMatchObject({
      kind: "step.completed",
      attempt: 1,
      actor_id: "robot",
      idempotency_key: callsOf(state)[0]!.idempotency_key,
      given: '{"at":[1]}',
      body: { result: [{ op: "set", path: "", of: "given" }], to: "end" },
    });
    expect(run.commands.at(-1)).toMatchObject({ type: "settle_jobs", settlements: [{}] });
    expect(run.settle().output).toEqual({ r: { at: [1] } });
  });

  test("an edge sees the result of a custom effect, and null is one", () => {
    const run = one({ custom: { type: "move" }, next: [{ to: "end", when: "result == null" }] });
    run.settleCalls({ output: null });
    expect(run.state.output).toEqual({ r: null });
  });

  test.each<[string, NodeDefinition]>([
    ["custom effect", { custom: { type: "move" } }],
    ["handler", { handler: {} }],
  ])("a %s is tried again, and then fails its node", (_what, node) => {
    const run = one({ ...node, policy: { maxAttempts: 2 } });
    const { state } = run;
    const [retrying] = settle(run, { failure: AWAY });
    expect(retrying).toMatchObject({
      kind: "call.retrying",
      attempt: 1,
      body: { call: { ordinal: 0, next_attempt: 2 } },
    });
    expect(retrying!.body.call).not.toHaveProperty("call_id");
    const [failed] = settle(run, { failure: AWAY, actorId: "robot" });
    expect(failed).toMatchObject({
      kind: "step.failed",
      attempt: 2,
      actor_id: "robot",
      idempotency_key: callsOf(state)[0]!.idempotency_key,
      body: { error: { ...AWAY, attempt: 2 }, to: "failed" },
    });
    expect(run.settle()).toMatchObject({ output: { code: "AWAY", node_id: "it" } });
    expect(run.state.inFlight).toBeUndefined();
  });

  test("a handler's plan may need to know what lies in a channel", () => {
    const run = one({ handler: {} });
    run.world.emit({ name: "tick", payload: 7 });
    const output = { waitEvent: { names: ["tick"], scope: "global" }, resultKey: "e", nextNode: "end" };
    const ends = [callEnd(run.state, { output })];
    const asked = decide(run.state, { type: "settle", now: run.world.now, ends }, run.workflow);
    expect(asked).toMatchObject({ lookUp: { names: ["tick"], channel: { scope: "global" } } });
    run.settleCalls({ output });
    expect(run.state.output).toEqual({
      e: { name: "tick", payload: 7, event_id: "event-1", emit_time: run.world.now, timed_out: false },
    });
    expect(run.commands.some(({ type }) => type === "settle_jobs")).toBe(true);
  });

  test("what a handler gives that is no plan is not asked for again", () => {
    const run = one({ handler: {} });
    const [record] = settle(run, { output: "plan", actorId: "worker-1" });
    expect(record).toMatchObject({
      kind: "step.failed",
      attempt: 1,
      actor_id: "worker-1",
      body: { error: { code: "RESULT_INVALID" } },
    });
  });
});

describe("a paused run", () => {
  test("takes what comes back, and goes on when it is unpaused", () => {
    const run = calling();
    run.perform({ type: "pause" });
    run.settleCalls({ output: 1 }, { ordinal: 1, failure: AWAY });
    expect(run.state).toMatchObject({
      paused: true,
      inFlight: { calls: [{ outcome: { output: 1 } }, { attempt: 2 }, {}] },
    });
    run.settleCalls({ ordinal: 1, output: 2 }, { ordinal: 2, output: 3 });
    expect(run.state).toMatchObject({ paused: true, status: "running", node: "end", steps: 1 });
    expect(run.state.inFlight).toBeUndefined();
    run.perform({ type: "unpause" });
    expect(run.settle()).toMatchObject({ status: "completed" });
  });

  test("that was paused and unpaused between keeps its calls", () => {
    const run = calling();
    run.settleCalls({ ordinal: 2, output: 3 });
    const calls = callsOf(run.state);
    run.perform({ type: "pause" });
    run.perform({ type: "unpause" });
    expect(callsOf(run.state)).toEqual(calls);
  });
});
