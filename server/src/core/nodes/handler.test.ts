import { callsOf, sequelOf } from "../run.ts";
import { describe, expect, test } from "vitest";

import {
  createTestRun,
  runOf,
  type TestRun,
  type TestStart,
  workflowOf,
} from "../../../../tests/support/test-world.ts";
import { decide } from "../decide.ts";
import type { HandlerOutcome, HandlerRequest } from "../handler-request.ts";
import { idempotencyKey } from "../identifiers.ts";
import type { Json, JsonObject } from "../json/json.ts";
import type { NodeDefinition, WorkflowDefinition } from "../graph/definition.ts";

const keyOf = (seq: number, ordinal = 0) =>
  idempotencyKey({ tenantId: "acme", runId: "run-1", epoch: 0, nodeId: "it", seq, ordinal });

type Rest = Omit<TestStart, "handler"> & { node?: Partial<NodeDefinition>; workflow?: Partial<WorkflowDefinition> };

/** A run of one handler node, which comes to what `outcome` says. `a` and `b` end the run with its vars; so does
 *  `failed`, by on_error. */
function handled(outcome: HandlerOutcome, { node = {}, ...rest }: Rest = {}): TestRun {
  return runOf(
    {
      it: { handler: {}, onError: "failed", next: [{ to: "a", when: "false" }, { to: "b" }], ...node },
      a: { complete: { output: { at: "a", vars: "${vars}" } } },
      b: { complete: { output: { at: "b", vars: "${vars}" } } },
      failed: { complete: { output: "${error.code + ': ' + error.message}" } },
    },
    { ...rest, handler: () => outcome },
  );
}

function planned(output: Json, rest: Rest = {}): TestRun {
  return handled({ type: "plan", output, actorId: "worker-1" }, rest);
}

function jobOf(run: TestRun) {
  const commands = run.commands.filter((command) => command.type === "create_jobs");
  expect(commands.length).toBe(1);
  const [command] = commands;
  return command!.jobs[0]!;
}

describe("what a handler is run for", () => {
  test("its step, its key, its time, and the names that expressions see", () => {
    const requests: HandlerRequest[] = [];
    const run = runOf(
      {
        first: { assign: { values: { n: "${vars.missing}" } }, onError: "it", next: [{ to: "it" }] },
        it: { handler: {}, policy: { timeout: "${vars.t}", heartbeatTimeout: "2s" }, next: [{ to: "it" }] },
      },
      {
        vars: { t: "7s" },
        sessionId: "session-1",
        handler: (request) => {
          requests.push(request);
          return { type: "plan", output: { completeOutput: 1 } };
        },
      },
    );
    expect(run.state).toMatchObject({ status: "completed", output: 1 });
    expect(requests).toEqual([
      {
        tenantId: "acme",
        runId: "run-1",
        workflowId: "flow",
        version: 1,
        sessionId: "session-1",
        nodeId: "it",
        seq: 3,
        idempotencyKey: keyOf(3),
        payload: {
          vars: { t: "7s" },
          run: expect.objectContaining({ run_id: "run-1", steps: 1 }) as object,
          error: expect.objectContaining({ code: "EVALUATION_FAILED", node_id: "first" }) as object,
          now: run.world.now,
        },
        timeoutMs: 7_000,
        heartbeatTimeoutMs: 2_000,
        fairnessKey: "session-1",
      },
    ]);
  });

  test("nothing is decided before it has run, and nothing if its time limit is none", () => {
    const workflow = workflowOf({ it: { handler: {}, policy: { timeout: "${vars.t}" } } });
    const { state, world } = createTestRun(workflow, { vars: { t: "1s" } });
    expect(decide(state, { type: "advance", now: world.now }, workflow)).toMatchObject({
      runHandler: { timeoutMs: 1_000, fairnessKey: "run-1" },
    });
    const run = createTestRun(workflow, { vars: { t: "soon" } });
    expect(run.settle()).toMatchObject({ status: "failed", error: { code: "EVALUATION_FAILED" } });
  });
});

describe("a plan that goes to a node", () => {
  test("is one step, with what was given; conditions of edges are not looked at", () => {
    const run = planned({ next_node: "a" });
    expect(run.state).toMatchObject({ status: "completed", output: { at: "a" }, steps: 2 });
    expect(run.records[1]).toMatchObject({
      kind: "step.completed",
      node_id: "it",
      actor_id: "worker-1",
      given: '{"nextNode":"a"}',
      body: { status: "completed", to: "a" },
    });
    expect(run.records[1]!.body).toEqual({ status: "completed", to: "a" });
    expect(run.commands).toEqual([]);
  });

  test("changes vars in the order of its operations, none of whose text is evaluated", () => {
    const run = planned(
      {
        nextNode: "b",
        patch: [
          { op: "set", path: "/new/a", value: ["${vars.old}"] },
          { op: "append", path: "/new/a", values: [null, { b: 1 }] },
          { op: "append", path: "/list", values: [2, 3] },
          { op: "unset", path: "/old" },
          { op: "set", path: "/list/0", value: null },
        ],
      },
      { vars: { old: 1, list: [1] } },
    );
    const vars = { new: { a: ["${vars.old}", null, { b: 1 }] }, list: [null, 2, 3] };
    expect(run.state.output).toEqual({ at: "b", vars });
    expect(run.records[1]!.body.patch).toEqual([
      { op: "set", path: "/new/a", of: "given", at: "/patch/0/value" },
      { op: "append", path: "/new/a", of: "given", at: "/patch/1/values" },
      { op: "append", path: "/list", of: "given", at: "/patch/2/values" },
      { op: "unset", path: "/old" },
      { op: "set", path: "/list/0", of: "given", at: "/patch/4/value" },
    ]);
  });

  test("writes no result where its node has a result key: a plan has its own", () => {
    const node = { resultKey: "r" };
    expect(planned({ nextNode: "a" }, { node }).state.output).toEqual({ at: "a", vars: {} });
    expect(planned({ completeOutput: 7 }, { node }).state).toMatchObject({ output: 7, vars: {} });
  });
});

describe("a plan that ends the run", () => {
  test.each<[Json]>([[{ done: ["${vars}"] }], [null], [""], [0]])("completes it with %j", (completeOutput) => {
    const run = planned({ completeOutput, patch: [{ op: "set", path: "/a", value: 1 }] });
    expect(run.state).toMatchObject({ status: "completed", vars: { a: 1 }, steps: 1 });
    expect(run.state.output).toEqual(completeOutput);
    // The output stands in the record once: in what was given.
    expect(run.records[1]!.body).toMatchObject({
      result: [{ op: "set", path: "", of: "given", at: "/completeOutput" }],
      output: { of: "result" },
    });
  });

  test("fails it: no on_error takes it", () => {
    const run = planned({
      fail: { code: "GIVEN_UP", message: "enough" },
      patch: [{ op: "set", path: "/a", value: 1 }],
    });
    expect(run.state).toMatchObject({ status: "failed", vars: { a: 1 }, steps: 1 });
    expect(run.state.error).toEqual({ code: "GIVEN_UP", message: "enough", retryable: false, node_id: "it" });
  });

  test.each<[string, JsonObject]>([
    ["completes", { completeOutput: 1 }],
    ["fails", { fail: { code: "GIVEN_UP" } }],
  ])("that is being cancelled %s, and is CANCELLED", (_what, output) => {
    const run = runOf(
      { ask: { askUser: { prompt: "?" } }, it: { handler: {} } },
      { workflow: { onCancel: "it" }, handler: () => ({ type: "plan", output }) },
    );
    run.perform({ type: "cancel" });
    expect(run.settle()).toMatchObject({ status: "cancelled" });
    expect(run.state.output).toBeUndefined();
    expect(run.records.at(-1)!.kind).toBe("run.cancelled");
  });
});

describe("a plan with an effect", () => {
  /** Lets an effect come to its result. */
  type Finish = (run: TestRun) => void;
  const answer: Finish = (run) => run.answer({ answer: 7 });
  const passSecond: Finish = (run) => {
    run.world.pass(1_000);
    run.wake();
  };
  const emit: Finish = (run) => {
    run.world.emit({ name: "tick", payload: 7 });
    run.wake();
  };
  const none: Finish = () => undefined;

  const effects: [string, JsonObject, Finish, Json][] = [
    ["ask_user", { askUser: { prompt: "${?}" } }, answer, { answer: 7 }],
    ["wait_until", { waitUntil: { after: "1s" } }, passSecond, { fire_time: "2026-03-01T09:00:01.000000Z" }],
    ["wait_event", { waitEvent: { names: ["tick"], scope: "global" } }, emit, { name: "tick", payload: 7 }],
    ["emit_event", { emitEvent: { name: "tock", event_id: "e-1" } }, none, { event_id: "e-1" }],
    ["answer_user", { answerUser: { message: "${vars}" } }, none, { message: "${vars}" }],
    [
      "tool_calls",
      { toolCalls: { calls: [{ name: "a", arguments: { text: "${vars}" } }, { name: "b" }] } },
      (run) => run.settleCalls({ ordinal: 1, output: 2 }, { ordinal: 0, output: 1 }),
      {
        results: [
          { name: "a", output: 1 },
          { name: "b", output: 2 },
        ],
      },
    ],
    [
      "tool_calls after an approval",
      { toolCalls: { calls: [{ name: "a" }], requireApproval: true } },
      (run) => {
        run.answer({ answer: "approve" });
        run.settleCalls({ output: 1 });
      },
      { results: [{ name: "a", output: 1 }] },
    ],
    [
      "tool_calls that are denied",
      { toolCalls: { calls: [{ name: "a" }], requireApproval: true } },
      (run) => run.answer({ answer: "deny" }),
      { results: [{ name: "a", error: { code: "APPROVAL_DENIED" } }] },
    ],
    ["custom", { custom: { type: "move" } }, (run) => run.settleCalls({ output: [7] }), [7]],
  ];
  const patch = [{ op: "set", path: "/patched", value: true }];

  test.each(effects)("%s: its result is written and the run goes to its node", (_what, effect, finish, result) => {
    const run = planned({ ...effect, resultKey: "deep.r", nextNode: "a", patch });
    // The patch comes with the record that begins the effect, before its result is there.
    expect(run.records[1]!.body.patch![0]).toMatchObject({ path: "/patched", of: "given" });
    expect(run.records[1]).toMatchObject({ actor_id: "worker-1", given: expect.stringContaining("patched") as string });
    expect((run.records[1]!.body.wait ?? run.records[1]!.body.calls) === undefined).toBe(finish === none);
    if (finish !== none) expect(sequelOf(run.state)).toMatchObject({ to: "a", result_path: "/deep/r" });
    finish(run);
    expect(run.state).toMatchObject({
      status: "completed",
      output: { at: "a", vars: { patched: true, deep: { r: result } } },
      steps: 2,
    });
    expect(sequelOf(run.state)).toBeUndefined();
  });

  test.each(effects)("%s: without more, its result completes the run", (_what, effect, finish, result) => {
    const run = planned(effect);
    finish(run);
    expect(run.state).toMatchObject({ status: "completed", output: result, node: "it", steps: 1 });
    expect(run.state.vars).toEqual({});
  });

  test.each(effects)("%s: its result is written where the node says, if the plan does not", (_what, effect, finish) => {
    const run = planned(effect, { node: { resultKey: "r" } });
    finish(run);
    expect(run.state.vars).toEqual({ r: run.state.output });
  });

  test.each(effects)("%s: the same where a worker ran the handler as a job", (_what, effect, finish, result) => {
    const run = handled({ type: "unserved" });
    run.settleCalls({ output: { ...effect, resultKey: "r", nextNode: "a", patch }, actorId: "worker-2" });
    expect(run.records[2]).toMatchObject({ actor_id: "worker-2", attempt: 1 });
    finish(run);
    expect(run.state.output).toMatchObject({ at: "a", vars: { patched: true, r: result } });
  });

  test("an event that is there already is the result at once", () => {
    const run = createTestRun(
      workflowOf({ it: { handler: {}, next: [{ to: "end" }] }, end: { complete: { output: "${vars}" } } }),
      {
        handler: () => ({
          type: "plan",
          output: { waitEvent: { names: ["tick"], scope: "global" }, resultKey: "r", nextNode: "end", patch },
        }),
      },
    );
    run.world.emit({ name: "tick", payload: 7 });
    expect(run.settle()).toMatchObject({ output: { patched: true, r: { payload: 7 } } });
    expect(run.records.map(({ kind }) => kind)).toEqual(["run.started", "step.completed", "run.completed"]);
    expect(run.records[1]!.idempotency_key).toBe(keyOf(2));
  });

  test("a question's answer is checked against its choices and schema", () => {
    const run = planned({ askUser: { prompt: "?", answerSchema: { type: "number", maximum: 9 } }, nextNode: "a" });
    expect(() => run.answer({ answer: 10 })).toThrow(/does not fit/);
    run.answer({ answer: 9 });
    expect(run.state).toMatchObject({ status: "completed" });
    const choosing = planned({ askUser: { prompt: "?", choices: ["yes"] }, nextNode: "a" });
    expect(() => choosing.answer({ answer: "no" })).toThrow(/does not fit/);
    choosing.answer({ answer: "yes" });
    expect(choosing.state).toMatchObject({ status: "completed" });
  });

  test("choices may be more than a schema can hold", () => {
    const choices = Array.from({ length: 100 }, (_, n) => `${n}`.padEnd(1_000, "x"));
    const run = planned({ askUser: { prompt: "?", choices }, nextNode: "a" });
    expect(() => run.answer({ answer: "x" })).toThrow(/does not fit/);
    run.answer({ answer: choices[7]! });
    expect(run.state).toMatchObject({ status: "completed" });
  });

  test("a question's timeout takes its default answer over the plan's own way", () => {
    const run = planned({
      askUser: { prompt: "?", timeout: "1s", defaultAnswer: "no" },
      resultKey: "r",
      nextNode: "a",
    });
    run.world.pass(1_000);
    expect(run.wake()).toMatchObject({ output: { at: "a", vars: { r: { answer: "no", timed_out: true } } } });
  });

  test("a tool's failure is data, or fails the handler's node", () => {
    const failure = { code: "NO_FUNDS", message: "none", nonRetryable: true };
    const asData = planned({ toolCalls: { calls: [{ name: "pay" }] }, resultKey: "r", nextNode: "a" });
    asData.settleCalls({ failure });
    expect(asData.state.output).toMatchObject({ at: "a", vars: { r: { results: [{ error: { code: "NO_FUNDS" } }] } } });
    const asError = planned({ toolCalls: { calls: [{ name: "pay" }], onFailure: "AS_ERROR" }, nextNode: "a" });
    expect(sequelOf(asError.state)).toEqual({ to: "a", failure_is_error: true });
    asError.settleCalls({ failure });
    expect(asError.state).toMatchObject({ output: "NO_FUNDS: none" });
  });

  test("the policy of the handler's node is that of its calls", () => {
    const node = { policy: { maxAttempts: 1, timeout: "7s" } };
    const run = planned({ toolCalls: { calls: [{ name: "pay" }], onFailure: "AS_ERROR" } }, { node });
    expect(jobOf(run)).toMatchObject({ kind: "tool", timeoutMs: 7_000 });
    run.settleCalls({ failure: { code: "AWAY", message: "away" } });
    expect(run.state).toMatchObject({ output: "AWAY: away" });
  });

  test.each<[string, JsonObject, RegExp]>([
    [
      "a question that is too large",
      { askUser: { prompt: "?", details: "x".repeat(300_000) } },
      /at most 262144 bytes/,
    ],
    [
      "a prompt that is too long",
      { askUser: { prompt: "x".repeat(16_385) } },
      /askUser\.prompt must be 1 to 16384 bytes/,
    ],
    ["a tool name that is too long", { toolCalls: { calls: [{ name: "x".repeat(129) }] } }, /1 to 128/],
    [
      "a call id that is too long",
      { toolCalls: { calls: [{ name: "x", callId: "x".repeat(257) }] } },
      /callId must be at most 256 characters/,
    ],
  ])("%s fails its node, and nothing of the plan counts", (_what, effect, message) => {
    const run = planned({ ...effect, nextNode: "a", patch });
    expect(run.state.output).toMatch(message);
    expect(run.state.vars).toEqual({});
    expect(run.commands).toEqual([]);
  });
});

describe("a result that is no plan for the run", () => {
  const declared = "which is not among the node's edges.";

  test.each<[string, Json, string]>([
    ["null", null, "RESULT_INVALID: The handler did not return a valid step plan: the plan must be an object."],
    [
      "a member that is not known",
      { nextNode: "a", x: 1 },
      "RESULT_INVALID: The handler did not return a valid step plan: the plan must",
    ],
    [
      "a bad place",
      { fail: {} },
      "RESULT_INVALID: The handler did not return a valid step plan: fail.code is required.",
    ],
    ["a node that is none", { nextNode: "z" }, `UNDECLARED_NODE: The handler of it goes to "z", ${declared}`],
    [
      "a node that the graph has, but not this node's edges",
      { nextNode: "failed" },
      `UNDECLARED_NODE: The handler of it goes to "failed", ${declared}`,
    ],
    [
      "an effect before a node that is none",
      { emitEvent: { name: "a" }, nextNode: "it" },
      `UNDECLARED_NODE: The handler of it goes to "it", ${declared}`,
    ],
    [
      "a patch that does not fit",
      { nextNode: "a", patch: [{ op: "append", path: "/n", values: [1] }] },
      "EVALUATION_FAILED: values can only be appended to a list",
    ],
    [
      "a patch beside an effect that does not fit",
      { waitUntil: { after: "1s" }, nextNode: "a", patch: [{ op: "set", path: "/n/x", value: 1 }] },
      "EVALUATION_FAILED: the path crosses a scalar",
    ],
    [
      "a patch beside a failure that does not fit",
      { fail: { code: "C" }, patch: [{ op: "set", path: "/list/9", value: 1 }] },
      "EVALUATION_FAILED: index 9 is beyond the end",
    ],
    [
      "vars that are too large",
      { nextNode: "a", patch: [{ op: "set", path: "/m", value: "x".repeat(600_000) }] },
      "EVALUATION_FAILED: The vars would have more than 1048576 bytes",
    ],
  ])("%s fails the node", (_what, output, message) => {
    const rest = { vars: { n: 1, list: [], big: "x".repeat(500_000) } };
    const run = planned(output, rest);
    expect(run.state).toMatchObject({ status: "completed", node: "failed", steps: 2 });
    expect(run.state.output).toContain(message);
    expect(run.state.vars).toEqual(rest.vars);
    expect(run.commands).toEqual([]);
    // The same where a worker ran it as a job: there is no other attempt, since it would give no other plan.
    const byJob = handled({ type: "unserved" }, rest);
    byJob.settleCalls({ output });
    expect(byJob.state).toMatchObject({ output: run.state.output, vars: rest.vars });
    expect(byJob.state.inFlight).toBeUndefined();
  });

  test("a long name is cut in the message", () => {
    const { output } = planned({ nextNode: "z".repeat(100_000) }).state;
    expect((output as string).length).toBeLessThan(300);
  });
});

describe("a handler that is not run at once", () => {
  test("is a job of its own: nobody here serves it", () => {
    const run = handled({ type: "unserved" }, { sessionId: "session-1" });
    const call = { ordinal: 0, kind: "handler", name: "flow", idempotency_key: keyOf(2) };
    expect(run.state).toMatchObject({
      status: "running",
      node: "it",
      inFlight: { at: "calls", calls: [call] },
      steps: 0,
    });
    expect(run.records[1]).toMatchObject({
      kind: "step.started",
      body: { effect: { type: "handler", payload: {} }, calls: [call] },
    });
    expect(run.records[1]!.given).toBeUndefined();
    expect(jobOf(run)).toEqual({
      ...call,
      nodeId: "it",
      seq: 2,
      payload: null,
      timeoutMs: 60_000,
      fairnessKey: "session-1",
    });
  });

  test("is a job that has lost a lease: its worker is gone", () => {
    const run = handled({ type: "lost" });
    expect(jobOf(run)).toMatchObject({ losses: 1 });
    expect(jobOf(run)).not.toHaveProperty("attempt");
    expect(callsOf(run.state)[0]).not.toHaveProperty("attempt");
  });

  test("goes on as a job once it has failed: its second attempt, after a pause", () => {
    const failure = { code: "AWAY", message: "no answer", details: { at: 1 } };
    const run = handled({ type: "failed", failure, actorId: "worker-1", random: 0.5 });
    const retryTime = "2026-03-01T09:00:00.500000Z";
    expect(run.records.map(({ kind }) => kind)).toEqual(["run.started", "step.started", "call.retrying"]);
    expect(run.records[2]).toMatchObject({
      node_id: "it",
      attempt: 1,
      actor_id: "worker-1",
      idempotency_key: keyOf(2),
      body: {
        status: "started",
        error: { ...failure, retryable: true, attempt: 1, node_id: "it" },
        call: { ordinal: 0, next_attempt: 2, retry_time: retryTime },
      },
    });
    expect(jobOf(run)).toMatchObject({ attempt: 2, dueTime: retryTime });
    expect(callsOf(run.state)).toMatchObject([{ attempt: 2, retry_time: retryTime }]);
    // What failed is an attempt, not the node.
    expect(run.state.error).toBeUndefined();
    run.world.pass(500);
    run.settleCalls({ output: { nextNode: "b" } });
    expect(run.state).toMatchObject({ status: "completed", output: { at: "b" } });
    expect(run.records[3]).toMatchObject({ kind: "step.completed", attempt: 2 });
  });

  test.each<[string, Partial<NodeDefinition>, boolean | undefined]>([
    ["which no attempt can mend", {}, true],
    ["whose code the policy names", { policy: { nonRetryableErrors: ["AWAY"] } }, undefined],
    ["with one attempt", { policy: { maxAttempts: 1 } }, undefined],
  ])("fails its node by a failure %s", (_what, node, nonRetryable) => {
    const failure = { code: "AWAY", message: "gone", ...(nonRetryable === undefined ? {} : { nonRetryable }) };
    const run = handled({ type: "failed", failure, actorId: "worker-1", random: 0 }, { node });
    expect(run.state).toMatchObject({ status: "completed", output: "AWAY: gone" });
    expect(run.records[1]).toMatchObject({
      kind: "step.failed",
      attempt: 1,
      actor_id: "worker-1",
      body: { to: "failed", error: { code: "AWAY", attempt: 1, node_id: "it" } },
    });
    expect(run.commands).toEqual([]);
  });

  test("fails its node when its attempts are spent", () => {
    const failure = { code: "AWAY", message: "gone" };
    const run = handled({ type: "failed", failure, random: 0 });
    run.settleCalls({ failure });
    expect(callsOf(run.state)).toMatchObject([{ attempt: 3 }]);
    run.settleCalls({ failure, actorId: "worker-2" });
    expect(run.state).toMatchObject({ status: "completed", output: "AWAY: gone", error: { attempt: 3 } });
  });
});
