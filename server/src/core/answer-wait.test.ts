import { openWaitOf } from "./run.ts";
import { describe, expect, test } from "vitest";

import { createTestWorld, runOf, type TestRun } from "../../../tests/support/test-world.ts";
import { DomainError, type ErrorReason } from "./errors.ts";
import type { Json } from "./json/json.ts";
import type { NodeDefinition } from "./graph/definition.ts";

type AskUser = NonNullable<NodeDefinition["askUser"]>;

function asking(askUser: Partial<AskUser> = {}, more: Partial<NodeDefinition> = {}): TestRun {
  return runOf({
    ask: { askUser: { prompt: "?", ...askUser }, resultKey: "reply", next: [{ to: "end" }], ...more },
    end: { complete: { output: "${vars.reply.answer}" } },
  });
}

function refusalOf(work: () => unknown): DomainError {
  try {
    work();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("an answer that fits", () => {
  const choices = ["yes", { n: 1 }, null];

  test.each<[string, Partial<AskUser>, Json]>([
    ["anything, where nothing is asked for", {}, { any: ["thing"] }],
    ["null", {}, null],
    ["a choice", { choices }, "yes"],
    ["a choice that is an object", { choices }, { n: 1 }],
    ["a choice that is null", { choices }, null],
    ["free text beside choices", { choices, allowFreeText: true }, "perhaps"],
    ["what fits the schema", { answerSchema: { type: "number", maximum: 9 } }, 9],
    ["a choice that fits the schema", { choices: [1, "a"], answerSchema: { type: "number" } }, 1],
  ])("%s", (_what, askUser, answer) => {
    const run = asking(askUser);
    expect(run.answer({ answer })).toMatchObject({ status: "completed", output: answer });
  });

  test("is a result with who and when, and given once", () => {
    const run = asking();
    run.world.pass(60_000);
    const [record] = run.perform({
      type: "answer",
      waitId: openWaitOf(run.state)!.wait_id,
      payload: { answer: { b: 1, a: 2 } },
      actorId: "ada",
      requestId: "request-1",
    });
    expect(record).toMatchObject({
      kind: "step.completed",
      node_id: "ask",
      actor_id: "ada",
      given: '{"answer":{"a":2,"b":1}}',
      body: { status: "completed", request_id: "request-1", to: "end" },
    });
    expect(JSON.stringify(record!.body)).not.toContain('"b"');
    expect(run.state.vars).toEqual({
      reply: {
        answer: { a: 2, b: 1 },
        timed_out: false,
        answered_by: "ada",
        answer_time: "2026-03-01T09:01:00.000000Z",
      },
    });
    expect(run.commands).toEqual([]);
    expect(run.allCommands).toMatchObject([
      { type: "open_wait" },
      { type: "notice", kind: "waiting" },
      { type: "close_wait", by: "answer", requestId: "request-1", actorId: "ada" },
      { type: "notice", kind: "resumed" },
    ]);
    expect(run.state.steps).toBe(1);
  });

  test("by nobody is answered by null", () => {
    const run = asking();
    run.answer({ answer: 1 });
    expect(run.state.vars).toMatchObject({ reply: { answered_by: null } });
  });

  test("is never a template", () => {
    const run = asking();
    expect(run.answer({ answer: "${run.run_id}" }).output).toBe("${run.run_id}");
  });

  test("comes before a timeout that is due but has not been taken", () => {
    const run = asking({ timeout: "1s", defaultAnswer: "no" });
    run.world.pass(5_000);
    expect(run.answer({ answer: "yes" }).output).toBe("yes");
  });

  test("of a paused run moves it, and it goes on when it is unpaused", () => {
    const run = asking();
    run.perform({ type: "pause" });
    expect(run.answer({ answer: 1 })).toMatchObject({ status: "running", node: "end", paused: true });
    run.perform({ type: "unpause" });
    expect(run.settle().status).toBe("completed");
  });

  test("that cannot be written fails the node, and stays in the ledger", () => {
    const run = runOf(
      {
        ask: { askUser: { prompt: "?" }, resultKey: "name.below", next: [{ to: "end" }], onError: "end" },
        end: { complete: { output: "${error.code}" } },
      },
      { vars: { name: "text" } },
    );
    expect(run.answer({ answer: 7 })).toMatchObject({ status: "completed", output: "EVALUATION_FAILED" });
    expect(run.records.at(-2)).toMatchObject({
      kind: "step.failed",
      given: '{"answer":7}',
      body: { status: "failed", to: "end" },
    });
  });
});

describe("an answer that does not fit is refused, and the question stays open", () => {
  test.each<[string, Partial<AskUser>, Json, string[]]>([
    ["not an object", {}, "yes", ["payload"]],
    ["a list", {}, [{ answer: 1 }], ["payload"]],
    ["null", {}, null, ["payload"]],
    ["without answer", {}, {}, ["payload.answer"]],
    ["with another name", {}, { answer: 1, by: "me" }, ["payload.by"]],
    ["not a choice", { choices: ["yes", "no"] }, { answer: "Yes" }, ["payload.answer"]],
    [
      "free text where it is not allowed",
      { choices: ["yes"], allowFreeText: false },
      { answer: "text" },
      ["payload.answer"],
    ],
    [
      "no text where free text is allowed",
      { choices: ["yes"], allowFreeText: true },
      { answer: 1 },
      ["payload.answer"],
    ],
    ["not of the schema", { answerSchema: { type: "number" } }, { answer: "1" }, ["payload.answer"]],
    [
      "not of the schema, in two places",
      {
        answerSchema: {
          type: "object",
          required: ["a"],
          properties: { a: { type: "object", properties: { n: { type: "number" }, m: { type: "number" } } } },
        },
      },
      { answer: { a: { n: "1", m: "2" } } },
      ["payload.answer.a.n", "payload.answer.a.m"],
    ],
    [
      "free text that does not fit the schema",
      { choices: [1], allowFreeText: true, answerSchema: { type: "number" } },
      { answer: "x" },
      ["payload.answer"],
    ],
  ])("%s", (_what, askUser, payload, paths) => {
    const run = asking(askUser);
    const before = run.state;
    const refusal = refusalOf(() => run.answer(payload));
    expect(refusal.reason).toBe("ANSWER_INVALID");
    expect(refusal.problems.map(({ path }) => path)).toEqual(paths);
    expect(run.state).toBe(before);
  });
});

describe("what takes no answer", () => {
  test.each<[string, () => TestRun, string | undefined, ErrorReason]>([
    ["a run that has ended", () => runOf({ end: { complete: {} } }), undefined, "RUN_NOT_WAITING"],
    ["a run that is at work", () => runOf({ it: { handler: {} } }), undefined, "RUN_NOT_WAITING"],
    ["another wait", () => asking(), "another", "WAIT_UNKNOWN"],
    ["a time", () => runOf({ it: { waitUntil: { after: "1d" } } }), undefined, "WAIT_NOT_ANSWERABLE"],
  ])("%s", (_what, make, waitId, reason) => {
    const run = make();
    const id = waitId ?? openWaitOf(run.state)?.wait_id ?? "none";
    const refusal = refusalOf(() => run.perform({ type: "answer", waitId: id, payload: { answer: 1 } }));
    expect(refusal.reason).toBe(reason);
    expect(refusal.metadata).toMatchObject({ run_id: "run-1", wait_id: id });
  });

  test("a question that was answered", () => {
    const run = asking({}, { next: [{ to: "end", when: "false" }, { to: "ask" }] });
    const { wait_id: first } = openWaitOf(run.state)!;
    run.answer({ answer: 1 });
    expect(refusalOf(() => run.perform({ type: "answer", waitId: first, payload: { answer: 2 } })).reason).toBe(
      "WAIT_UNKNOWN",
    );
  });
});

test("an event wait can be answered with the event's payload, and no cursor moves", () => {
  const world = createTestWorld();
  const run = runOf({ it: { waitEvent: { names: ["paid", "lost"], scope: "SCOPE_GLOBAL" } } }, { world });
  const waitId = openWaitOf(run.state)!.wait_id;
  run.perform({ type: "answer", waitId, payload: [1, "two"] });
  expect(run.state.output).toEqual({
    name: "paid",
    payload: [1, "two"],
    event_id: null,
    emit_time: "2026-03-01T09:00:00.000000Z",
    timed_out: false,
  });
  expect(run.state.cursors).toEqual([]);
});
