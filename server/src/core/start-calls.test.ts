import { callsOf, openWaitOf } from "./run.ts";
import { describe, expect, test } from "vitest";

import { runOf, type TestRun } from "../../../tests/support/test-world.ts";
import { DomainError } from "./errors.ts";
import type { Json } from "./json/json.ts";
import { shownWait } from "./wait.ts";
import type { NodeDefinition } from "./graph/definition.ts";

type ToolCalls = NonNullable<NodeDefinition["toolCalls"]>;

const TWO = [
  { name: "pay", arguments: { to: "${vars.to}" } },
  { name: "mail", callId: "m" },
];

/** A run at the question whether its calls may be made. */
function asking(toolCalls: Partial<ToolCalls> = {}, more: Partial<NodeDefinition> = {}): TestRun {
  return runOf(
    {
      it: {
        toolCalls: { calls: TWO, requireApproval: true, ...toolCalls },
        resultKey: "done",
        onError: "failed",
        next: [{ to: "end" }],
        ...more,
      },
      end: { complete: { output: "${vars.done}" } },
      failed: { complete: { output: "${error}" } },
    },
    { vars: { to: "ada" } },
  );
}

function answer(run: TestRun, value: Json, more: { requestId?: string; actorId?: string } = {}) {
  return run.perform({ type: "answer", waitId: openWaitOf(run.state)!.wait_id, payload: { answer: value }, ...more });
}

describe("the question for an approval", () => {
  test("shows the calls, evaluated, before any of them is made", () => {
    const run = asking();
    const wait = openWaitOf(run.state)!;
    expect(wait).toMatchObject({ asks: "approval", node_id: "it" });
    expect(shownWait(wait)).toEqual({
      prompt: "May these 2 tool calls be made: pay, mail?",
      details: {
        calls: [
          { name: "pay", call_id: "call_1", arguments: { to: "ada" } },
          { name: "mail", call_id: "m", arguments: {} },
        ],
      },
      choices: ["approve", "deny"],
      answerSchema: { enum: ["approve", "deny"] },
    });
    expect(wait).not.toHaveProperty("due_time");
    expect(run.commands).toEqual([]);
  });

  test.each<[string, ToolCalls["calls"], string]>([
    ["of one call", [{ name: "pay" }], "May pay be called?"],
    ["of one tool", [{ name: "pay" }, { name: "pay" }], "May these 2 tool calls be made: pay?"],
  ])("%s", (_what, calls, prompt) => {
    expect(openWaitOf(asking({ calls: calls! }).state)).toMatchObject({ prompt });
  });

  test("names no more tools than a question has room for", () => {
    const calls = Array.from({ length: 200 }, (_, n) => ({ name: `${"tool".repeat(20)}${n}` }));
    expect(shownWait(openWaitOf(asking({ calls }).state)!).prompt!.length).toBeLessThan(1_100);
  });

  test("is not asked about no calls", () => {
    const { calls: _calls, ...rest } = { calls: undefined, callsFrom: "[]" };
    const run = runOf({ it: { toolCalls: { ...rest, requireApproval: true } } });
    expect(run.state).toMatchObject({ status: "completed", output: { results: [] } });
  });

  test("that is too large fails the node", () => {
    const run = asking({ calls: [{ name: "pay", arguments: { text: "x".repeat(300_000) } }] });
    expect(run.state).toMatchObject({ node: "failed", output: { code: "EVALUATION_FAILED" } });
  });
});

describe("approved", () => {
  test("the calls are made as they were shown, with who approved them", () => {
    const run = asking();
    const [record] = answer(run, "approve", { requestId: "request-1", actorId: "bob" });
    expect(record).toMatchObject({
      kind: "step.started",
      node_id: "it",
      actor_id: "bob",
      given: '{"answer":"approve"}',
      body: { status: "started", request_id: "request-1", effect: { type: "tool_calls" } },
    });
    // Its wait ended by an answer: watchers are told so, as of any other.
    expect(run.allCommands).toContainEqual({ type: "notice", kind: "resumed", seq: 3 });
    expect(run.state.status).toBe("running");
    expect(callsOf(run.state)).toMatchObject([{ name: "pay" }, { name: "mail", call_id: "m" }]);
    expect(run.commands).toMatchObject([
      { type: "create_jobs", jobs: [{ seq: 3, payload: { to: "ada" } }, { payload: {} }] },
    ]);
    run.settleCalls({ ordinal: 1, output: null }, { output: { id: 7 } });
    expect(run.state).toMatchObject({
      status: "completed",
      output: {
        results: [
          { call_id: "call_1", success: true, output: { id: 7 } },
          { call_id: "m", success: true },
        ],
      },
    });
  });

  test("calls whose time limit is none fail the node; the answer was taken", () => {
    const run = asking({}, { policy: { timeout: "${vars.to}" } });
    const [record] = answer(run, "approve", { requestId: "request-1" });
    expect(record).toMatchObject({
      kind: "step.failed",
      given: '{"answer":"approve"}',
      body: { request_id: "request-1", error: { code: "EVALUATION_FAILED" }, to: "failed" },
    });
    expect(run.commands).toEqual([]);
    expect(run.allCommands).toContainEqual(
      expect.objectContaining({ type: "close_wait", by: "answer", requestId: "request-1" }),
    );
  });
});

describe("denied", () => {
  test("the calls are not made, and their results say so", () => {
    const run = asking();
    const [record] = answer(run, "deny", { requestId: "request-1", actorId: "bob" });
    expect(record).toMatchObject({
      kind: "step.completed",
      actor_id: "bob",
      given: '{"answer":"deny"}',
      body: { request_id: "request-1", to: "end" },
    });
    const error = { code: "APPROVAL_DENIED", message: "The call was not approved.", retryable: false };
    expect(run.settle().output).toEqual({
      results: [
        { call_id: "call_1", name: "pay", success: false, output: null, error },
        { call_id: "m", name: "mail", success: false, output: null, error },
      ],
    });
    expect(run.commands).toEqual([]);
    expect(run.allCommands).toContainEqual(expect.objectContaining({ type: "close_wait", by: "answer" }));
  });

  test("the node fails, where a tool's failure is an error", () => {
    const run = asking({ onFailure: "TOOL_FAILURE_AS_ERROR" });
    const [record] = answer(run, "deny", { requestId: "request-1", actorId: "bob" });
    expect(record).toMatchObject({
      kind: "step.failed",
      actor_id: "bob",
      given: '{"answer":"deny"}',
      body: { request_id: "request-1", to: "failed", error: { code: "APPROVAL_DENIED", node_id: "it" } },
    });
    expect(run.settle()).toMatchObject({ status: "completed", output: { code: "APPROVAL_DENIED" } });
  });
});

describe("neither", () => {
  test.each<[string, Json]>([
    ["another word", { answer: "yes" }],
    ["a boolean", { answer: true }],
    ["null", { answer: null }],
    ["nothing", {}],
    ["no object", "approve"],
    ["more than an answer", { answer: "approve", note: "fine" }],
  ])("%s is refused", (_what, payload) => {
    const run = asking();
    const work = () => run.perform({ type: "answer", waitId: openWaitOf(run.state)!.wait_id, payload });
    expect(work).toThrow(DomainError);
    expect(work).toThrow(expect.objectContaining({ reason: "ANSWER_INVALID" }) as Error);
    expect(run.state.status).toBe("waiting");
  });

  test("the run is cancelled while the question is open", () => {
    const run = asking();
    run.perform({ type: "cancel" });
    expect(run.state.status).toBe("cancelled");
    expect(run.state.inFlight).toBeUndefined();
    expect(run.commands).toEqual([]);
  });
});
