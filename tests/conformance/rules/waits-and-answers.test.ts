/** How runs wait, and how their waits are answered. */
import { describe, expect, test } from "vitest";
import { createApi, type Json, type JsonObject, type Run } from "../api.ts";
import { useServer } from "../server.ts";

const api = createApi(useServer());

const end = { complete: { output: "${vars}" } };
const toEnd = [{ to: "end" }];
const graphOf = (node: JsonObject, more: JsonObject = {}) => ({
  entryNode: "node",
  nodes: { node: { resultKey: "result", next: toEnd, ...node }, end },
  ...more,
});
const ask = (question: JsonObject = {}) => graphOf({ askUser: { prompt: "Well?", ...question } });

/** The value that the node's result has at the end of the run. */
function resultOf(run: Run): JsonObject {
  expect(run.status, `the error is ${JSON.stringify(run.error)}`).toBe("RUN_STATUS_COMPLETED");
  return run.vars?.["result"] as JsonObject;
}

describe("Waiting", () => {
  test.each<[what: string, node: JsonObject, reason: string]>([
    ["user", { askUser: { prompt: "?" } }, "WAIT_REASON_USER"],
    ["event", { waitEvent: { names: ["e"] } }, "WAIT_REASON_EVENT"],
    ["until", { waitUntil: { after: "1h" } }, "WAIT_REASON_UNTIL"],
  ])("is shown for %s", async (_what, node, reason) => {
    const run = await api.run(graphOf(node));
    expect(run).toMatchObject({
      status: "RUN_STATUS_WAITING",
      currentNode: "node",
      waiting: { reason, nodeId: "node", runId: run.runId },
    });
    expect(run.blockedReason).toBeUndefined();
    expect(run.waiting!.waitId).toMatch(/^[a-z2-7]{26}$/);
    const { wait } = await api.call("GetWait", { waitId: run.waiting!.waitId });
    expect(wait).toEqual(run.waiting);
  });

  test.each<[what: string, node: JsonObject]>([
    ["tool_calls", { toolCalls: { calls: [{ name: "pay" }] } }],
    ["custom", { custom: { type: "print", payload: { page: 1 } } }],
    ["handler", { handler: {}, resultKey: "" }],
  ])("while nobody serves a run's jobs it is RUNNING, NO_WORKER: %s", async (_what, node) => {
    const run = await api.run(graphOf(node));
    expect(run).toMatchObject({
      status: "RUN_STATUS_RUNNING",
      blockedReason: "BLOCKED_REASON_NO_WORKER",
      currentNode: "node",
    });
    expect(run.waiting).toBeUndefined();
    const listed = await api.call("ListRuns", { filter: { workflowId: run.workflowId } });
    expect(listed.runs).toMatchObject([{ runId: run.runId, blockedReason: "BLOCKED_REASON_NO_WORKER" }]);
    // Jobs for workers are not a wait: AwaitRun returns the run as it is after its timeout.
    const awaited = await api.call("AwaitRun", { runId: run.runId, timeout: "0.05s" });
    expect(awaited.run).toEqual(run);
    const last = (await api.records(run.runId)).at(-1)!;
    expect(last).toMatchObject({ kind: "step.started", status: "STEP_STATUS_STARTED", nodeId: "node" });
  });

  test("a run has at most one open wait, each with an id of its own", async () => {
    const graph = {
      entryNode: "a",
      nodes: {
        a: { askUser: { prompt: "first" }, next: [{ to: "b" }] },
        b: { askUser: { prompt: "second" }, next: [{ to: "a", when: "result.answer == 'again'" }, { to: "end" }] },
        end,
      },
    };
    const ids = new Set<string>();
    let run = await api.run(graph);
    for (const [prompt, answer] of [
      ["first", 1],
      ["second", "again"],
      ["first", 2],
      ["second", "done"],
    ] as const) {
      const { waits = [] } = await api.call("ListWaits", { filter: { runId: run.runId } });
      expect(waits).toEqual([run.waiting]);
      expect(run.waiting?.prompt).toBe(prompt);
      ids.add(run.waiting!.waitId);
      ({ run } = await api.call("ResumeRun", { runId: run.runId, waitId: run.waiting!.waitId, payload: { answer } }));
    }
    expect(run.status).toBe("RUN_STATUS_COMPLETED");
    expect(ids.size).toBe(4);
    expect((await api.call("ListWaits", { filter: { runId: run.runId } })).waits).toBeUndefined();
  });

  test("a run that waits for its start_at waits for a time", async () => {
    const workflowId = await api.register(ask());
    const startAt = new Date(Date.now() + 3_600_000).toISOString();
    const { run } = await api.call("StartRun", { workflowId, startAt });
    expect(run).toMatchObject({ status: "RUN_STATUS_WAITING", waiting: { reason: "WAIT_REASON_UNTIL" } });
    expect(Date.parse(run.waiting!.dueTime!)).toBe(Date.parse(startAt));
    expect(run.waiting!.nodeId).toBeUndefined();
    const past = await api.call("StartRun", { workflowId, startAt: "2020-01-01T00:00:00Z" });
    expect(past.run.waiting?.reason).toBe("WAIT_REASON_USER");
  });

  describe("AwaitRun returns", () => {
    test("at the end", async () => {
      const { runId } = await api.run(graphOf({ waitUntil: { after: "50ms" } }));
      const { run } = await api.call("AwaitRun", { runId, timeout: "20s" });
      expect(run.status).toBe("RUN_STATUS_COMPLETED");
    });

    test("at once if the run has ended", async () => {
      const { runId } = await api.run({ entryNode: "end", nodes: { end } });
      expect((await api.call("AwaitRun", { runId, timeout: "300s" })).run.status).toBe("RUN_STATUS_COMPLETED");
    });

    test.each<[reason: string, node: JsonObject]>([
      ["WAIT_REASON_USER", { askUser: { prompt: "?" } }],
      ["WAIT_REASON_EVENT", { waitEvent: { names: ["e"] } }],
    ])("at %s where no reasons are given", async (reason, node) => {
      const { runId } = await api.run(graphOf(node));
      expect((await api.call("AwaitRun", { runId, timeout: "300s" })).run.waiting?.reason).toBe(reason);
    });

    test("at a wait for a time only if that is requested", async () => {
      const { runId } = await api.run(graphOf({ waitUntil: { after: "1h" } }));
      const asked = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_UNTIL"], timeout: "300s" });
      expect(asked.run.waiting?.reason).toBe("WAIT_REASON_UNTIL");
      const sent = performance.now();
      const byDefault = await api.call("AwaitRun", { runId, timeout: "0.2s" });
      expect(performance.now() - sent).toBeGreaterThan(190);
      expect(byDefault.run.waiting?.reason).toBe("WAIT_REASON_UNTIL");
    });

    test("not at a wait whose reason is not in reasons, but at the next one that is", async () => {
      const graph = {
        entryNode: "ask",
        nodes: {
          ask: { askUser: { prompt: "?" }, next: [{ to: "listen" }] },
          listen: { waitEvent: { names: ["e"] }, next: toEnd },
          end,
        },
      };
      const { runId, waiting } = await api.run(graph);
      const awaited = api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_EVENT"], timeout: "60s" });
      await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: 1 } });
      expect((await awaited).run.waiting).toMatchObject({ reason: "WAIT_REASON_EVENT", names: ["e"] });
    });

    test("after timeout with the run as it is", async () => {
      const run = await api.run(graphOf({ waitUntil: { after: "1h" } }));
      expect((await api.call("AwaitRun", { runId: run.runId, timeout: "0s" })).run).toEqual(run);
    });
  });

  test("wait_until's result has when it was due and when it fired", async () => {
    const { runId } = await api.run(graphOf({ waitUntil: { after: "20ms" } }));
    const { run } = await api.call("AwaitRun", { runId, timeout: "20s" });
    const { due_time, fire_time } = resultOf(run) as { due_time: string; fire_time: string };
    expect(Date.parse(fire_time)).toBeGreaterThanOrEqual(Date.parse(due_time));
  });

  test("a time that has passed does not hold the run", async () => {
    const { runId } = await api.run(graphOf({ waitUntil: { at: "2020-01-01T00:00:00Z" } }));
    const { run } = await api.call("AwaitRun", { runId, timeout: "20s" });
    expect(Date.parse(resultOf(run)["due_time"] as string)).toBe(Date.parse("2020-01-01T00:00:00Z"));
  });

  test.each<[what: string, wait: JsonObject, event: JsonObject]>([
    ["scope run", {}, { name: "e", runId: "RUN" }],
    ["scope session", { scope: "SCOPE_SESSION" }, { name: "e", scope: "SCOPE_SESSION", sessionId: "SESSION" }],
    ["scope workflow", { scope: "SCOPE_WORKFLOW" }, { name: "e", scope: "SCOPE_WORKFLOW", workflowId: "WORKFLOW" }],
    ["scope global", { scope: "SCOPE_GLOBAL", names: ["everywhere"] }, { name: "everywhere", scope: "SCOPE_GLOBAL" }],
    ["a key", { key: "${vars.order}" }, { name: "e", runId: "RUN", key: "o-1" }],
    ["any key, where the wait has none", {}, { name: "e", runId: "RUN", key: "o-2" }],
    ["a name that ends in *", { names: ["order.*"] }, { name: "order.paid", runId: "RUN" }],
    ["one of several names", { names: ["x", "e", "y"] }, { name: "e", runId: "RUN" }],
  ])("wait_event takes an event: %s", async (what, wait, event) => {
    const workflowId = await api.register(graphOf({ waitEvent: { names: ["e"], ...wait } }));
    const sessionId = `session-${workflowId}`;
    const { run } = await api.call("StartRun", { workflowId, sessionId, vars: { order: "o-1" } });
    const names: Record<string, string> = { RUN: run.runId, SESSION: sessionId, WORKFLOW: workflowId };
    const target = Object.fromEntries(
      Object.entries(event).map(([name, value]) => [name, names[value as string] ?? value]),
    );
    const payload = { what };
    const emitted = await api.call("EmitEvent", { ...target, payload, eventId: `event-${workflowId}`, actorId: "bob" });
    expect(emitted.eventId).toBe(`event-${workflowId}`);
    const ended = await api.call("AwaitRun", { runId: run.runId, reasons: ["WAIT_REASON_USER"], timeout: "20s" });
    expect(resultOf(ended.run)).toMatchObject({
      name: event["name"],
      payload,
      event_id: `event-${workflowId}`,
      timed_out: false,
    });
  });

  test.each<[what: string, wait: JsonObject, event: JsonObject]>([
    ["another name", {}, { name: "f" }],
    ["another key", { key: "o-1" }, { name: "e", key: "o-2" }],
    ["no key where the wait has one", { key: "o-1" }, { name: "e" }],
    ["a name that only begins alike", { names: ["order"] }, { name: "order.paid" }],
  ])("wait_event leaves an event: %s", async (_what, wait, event) => {
    const { runId } = await api.run(graphOf({ waitEvent: { names: ["e"], ...wait } }));
    const { delivered = 0 } = await api.call("EmitEvent", { runId, ...event });
    expect(delivered).toBe(0);
    const { run } = await api.call("GetRun", { runId });
    expect(run.status).toBe("RUN_STATUS_WAITING");
  });

  test("an event emitted since the run began is taken later, in order", async () => {
    const graph = {
      entryNode: "ask",
      nodes: {
        ask: { askUser: { prompt: "?" }, next: [{ to: "first" }] },
        first: { waitEvent: { names: ["e"] }, resultKey: "first", next: [{ to: "second" }] },
        second: { waitEvent: { names: ["e"] }, resultKey: "second", next: toEnd },
        end,
      },
    };
    const { runId, waiting } = await api.run(graph);
    for (const payload of [1, 2]) await api.call("EmitEvent", { name: "e", runId, payload });
    await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: "go" } });
    const { run } = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "20s" });
    expect(run.output).toMatchObject({ first: { payload: 1 }, second: { payload: 2 } });
  });

  test("emit_event of a graph reaches a wait of another run", async () => {
    const waiter = await api.run(graphOf({ waitEvent: { names: ["done"], scope: "SCOPE_GLOBAL", key: "k-1" } }));
    const emit = {
      emitEvent: { name: "done", scope: "SCOPE_GLOBAL", key: "k-${vars.n}", payload: { n: "${vars.n}" } },
    };
    const emitter = await api.run(graphOf(emit), { vars: { n: 1 } });
    const { event_id } = resultOf(emitter);
    const { run } = await api.call("AwaitRun", { runId: waiter.runId, reasons: ["WAIT_REASON_USER"], timeout: "20s" });
    expect(resultOf(run)).toMatchObject({ payload: { n: 1 }, event_id });
  });

  test("an event with the id of an earlier one in its channel is a duplicate", async () => {
    const { runId } = await api.run(ask());
    const event = { name: "e", runId, eventId: "once" };
    expect((await api.call("EmitEvent", { ...event, payload: 1 })).eventId).toBe("once");
    expect((await api.call("EmitEvent", { ...event, payload: 2 })).eventId).toBe("once");
  });
});

describe("Answers", () => {
  async function answer(question: JsonObject, payload: Json, more: JsonObject = {}): Promise<Run> {
    const { runId, waiting } = await api.run(ask(question));
    const { run } = await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload, ...more });
    return run;
  }

  async function checkRefused(question: JsonObject, payload: Json, field: string): Promise<void> {
    const before = await api.run(ask(question));
    const { runId, waiting } = before;
    const refusal = await api.refused("ResumeRun", { runId, waitId: waiting!.waitId, payload });
    expect(refusal).toMatchObject({ httpStatus: 400, code: "invalid_argument", reason: "ANSWER_INVALID" });
    expect(refusal.metadata["wait_id"]).toBe(waiting!.waitId);
    expect(refusal.fields).toContain(field);
    expect(refusal.message).toContain(field);
    expect((await api.call("GetRun", { runId })).run).toEqual(before);
  }

  test("an answer is { answer: … }; the result says who gave it and when", async () => {
    const run = await answer({}, { answer: "yes" }, { actorId: "ann" });
    const { answer_time, ...rest } = resultOf(run);
    expect(rest).toEqual({ answer: "yes", timed_out: false, answered_by: "ann" });
    expect(Date.parse(answer_time as string)).toBe(Date.parse((await api.records(run.runId)).at(-2)!.time));
  });

  test("answered_by is null if no actor is given", async () => {
    expect(resultOf(await answer({}, { answer: 1 }))["answered_by"]).toBeNull();
  });

  test.each<[sentence: string, question: JsonObject, value: Json]>([
    ["any JSON where nothing is asked for", {}, { a: [1, null] }],
    ["null is an answer", {}, null],
    ["a choice", { choices: ["yes", "no"] }, "no"],
    ["choices are JSON values", { choices: [1, { size: "L" }, null] }, { size: "L" }],
    ["choices may come from a template", { choices: "${['a', 'b']}" }, "b"],
    ["free text beside choices", { choices: ["yes", "no"], allowFreeText: true }, "perhaps"],
    ["what the schema allows", { answerSchema: { type: "integer", minimum: 3 } }, 3],
    ["choices and schema", { choices: [1, 5], answerSchema: { type: "integer" } }, 5],
  ])("is taken: %s", async (_sentence, question, value) => {
    expect(resultOf(await answer(question, { answer: value }))["answer"]).toEqual(value);
  });

  test.each<[sentence: string, question: JsonObject, payload: Json, field: string]>([
    ["the bare value", {}, "yes", "payload"],
    ["null", {}, null, "payload"],
    ["a list", {}, ["yes"], "payload"],
    ["an object without answer", {}, {}, "payload.answer"],
    ["something beside answer", {}, { answer: 1, comment: "c" }, "payload.comment"],
    ["none of the choices", { choices: ["yes", "no"] }, { answer: "perhaps" }, "payload.answer"],
    ["a choice in another type", { choices: [1, 2] }, { answer: "1" }, "payload.answer"],
    ["free text that is no text", { choices: ["yes"], allowFreeText: true }, { answer: 1 }, "payload.answer"],
    ["what the schema refuses", { answerSchema: { type: "string" } }, { answer: 1 }, "payload.answer"],
    [
      "what the schema refuses, deep down",
      { answerSchema: { type: "object", properties: { items: { items: { type: "number" } } } } },
      { answer: { items: [1, "two"] } },
      "payload.answer.items[1]",
    ],
    [
      "a choice that the schema refuses",
      { choices: ["a", 1], answerSchema: { type: "string" } },
      { answer: 1 },
      "payload.answer",
    ],
  ])("is refused and the question stays: %s", async (_sentence, question, payload, field) => {
    await checkRefused(question, payload, field);
  });

  test.each<[sentence: string, question: JsonObject, schema: JsonObject]>([
    ["a free question", {}, {}],
    ["choices", { choices: ["yes", "no"] }, { enum: ["yes", "no"] }],
    ["the graph's own", { answerSchema: { type: "integer" } }, { type: "integer" }],
  ])("every wait that a person can answer carries answer_schema: %s", async (_sentence, question, schema) => {
    const { waiting } = await api.run(ask(question));
    expect(waiting!.answerSchema).toEqual(schema);
  });

  test("the question is shown with templates evaluated", async () => {
    const question = {
      prompt: "Pay ${vars.amount}?",
      details: { text: "${vars.text}" },
      choices: ["yes", "${vars.text}"],
      assignees: ["finance", "${vars.who}"],
      timeout: "72h",
    };
    const { waiting } = await api.run(ask(question), {
      vars: { amount: 7, text: "lunch", who: "ann" },
      labels: { team: "blue" },
      sessionId: "s",
    });
    expect(waiting).toMatchObject({
      prompt: "Pay 7?",
      details: { text: "lunch" },
      choices: ["yes", "lunch"],
      assignees: ["finance", "ann"],
      labels: { team: "blue" },
      sessionId: "s",
    });
    expect(Date.parse(waiting!.dueTime!) - Date.parse(waiting!.createTime)).toBe(72 * 3_600_000);
  });

  test("wait_id is always required", async () => {
    const { runId } = await api.run(ask());
    expect(await api.refused("ResumeRun", { runId, payload: { answer: 1 } })).toMatchObject({
      reason: "REQUEST_INVALID",
      fields: ["waitId"],
    });
  });

  test("the same request_id returns the same reply; another answer is WAIT_ALREADY_ANSWERED", async () => {
    const { runId, waiting } = await api.run(ask());
    const request = { runId, waitId: waiting!.waitId, payload: { answer: "yes" }, requestId: "r-1", actorId: "ann" };
    const first = await api.call("ResumeRun", request);
    expect(await api.call("ResumeRun", request)).toEqual(first);
    for (const other of [{ requestId: "r-2" }, { requestId: "" }, { requestId: "r-2", payload: { answer: "no" } }]) {
      const refusal = await api.refused("ResumeRun", { ...request, ...other });
      expect(refusal, `with ${JSON.stringify(other)}`).toMatchObject({
        httpStatus: 400,
        code: "failed_precondition",
        reason: "WAIT_ALREADY_ANSWERED",
        metadata: { run_id: runId, wait_id: waiting!.waitId },
      });
    }
    expect((await api.records(runId)).filter(({ requestId }) => requestId === "r-1")).toHaveLength(1);
    const { wait } = await api.call("GetWait", { waitId: waiting!.waitId });
    expect(wait).toMatchObject({ answeredBy: "ann" });
    expect(wait.closeTime).toBeDefined();
  });

  test("another answer with the request_id of the first is another answer", async () => {
    const { runId, waiting } = await api.run(ask());
    const request = { runId, waitId: waiting!.waitId, payload: { answer: "yes" }, requestId: "r-1" };
    await api.call("ResumeRun", request);
    const refusal = await api.refused("ResumeRun", { ...request, payload: { answer: "no" } });
    expect(refusal.reason).toBe("WAIT_ALREADY_ANSWERED");
  });

  test("a wait that has timed out accepts no answer", async () => {
    const { runId, waiting } = await api.run(ask({ timeout: "10ms" }));
    await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_JOB"], timeout: "20s" });
    const refusal = await api.refused("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: 1 } });
    expect(refusal).toMatchObject({ code: "failed_precondition", reason: "RUN_NOT_WAITING" });
  });

  test.each<[what: string, question: JsonObject, expected: Json]>([
    ["default_answer", { defaultAnswer: { choice: "${vars.fallback}" } }, { choice: "no" }],
    ["null where there is none", {}, null],
    ["default_answer is not checked", { choices: ["yes"], defaultAnswer: "no one" }, "no one"],
  ])("a timeout is a result: timed_out, and answer is %s", async (_what, question, expected) => {
    const { runId } = await api.run(ask({ timeout: "10ms", ...question }), { vars: { fallback: "no" } });
    const { run } = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_JOB"], timeout: "20s" });
    expect(resultOf(run)).toMatchObject({ answer: expected, timed_out: true, answered_by: null });
    expect(run.error).toBeUndefined();
  });

  test("an event wait accepts what the event would carry", async () => {
    const { runId, waiting } = await api.run(graphOf({ waitEvent: { names: ["e"] } }));
    const { run } = await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { a: 1 } });
    expect(resultOf(run)).toMatchObject({ payload: { a: 1 }, timed_out: false });
  });

  test("a wait for a time accepts no answer", async () => {
    const { runId, waiting } = await api.run(graphOf({ waitUntil: { after: "1h" } }));
    const refusal = await api.refused("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: 1 } });
    expect(refusal).toMatchObject({ code: "failed_precondition", reason: "WAIT_NOT_ANSWERABLE" });
  });

  test("a paused run takes its answer, and goes on when it is unpaused", async () => {
    const { runId, waiting } = await api.run(ask());
    await api.call("PauseRun", { runId });
    const paused = await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: "yes" } });
    expect(paused.run).toMatchObject({ paused: true });
    expect(paused.run.endTime).toBeUndefined();
    await api.call("UnpauseRun", { runId });
    const { run } = await api.call("AwaitRun", { runId, timeout: "20s" });
    expect(resultOf(run)["answer"]).toBe("yes");
  });

  test("the inbox lists user waits by default, the oldest first; others by reason and filter", async () => {
    const workflowId = await api.register(ask({ assignees: ["${vars.who}"] }));
    const listener = await api.register(graphOf({ waitEvent: { names: ["e"] } }));
    const start = async (who: string, id: string) =>
      (await api.call("StartRun", { workflowId, runId: id, vars: { who }, sessionId: "inbox", labels: { who } })).run
        .runId;
    const [a, b] = [await start("ann", "inbox-a"), await start("bob", "inbox-b")];
    const event = await api.call("StartRun", { workflowId: listener, sessionId: "inbox" });
    const runsOf = async (filter: object) =>
      ((await api.call("ListWaits", { filter: { sessionId: "inbox", ...filter } })).waits ?? []).map(
        ({ runId }) => runId,
      );
    expect(await runsOf({})).toEqual([a, b]);
    expect(await runsOf({ reasons: ["WAIT_REASON_EVENT"] })).toEqual([event.run.runId]);
    expect(await runsOf({ reasons: ["WAIT_REASON_EVENT", "WAIT_REASON_USER"] })).toHaveLength(3);
    expect(await runsOf({ assignee: "bob" })).toEqual([b]);
    expect(await runsOf({ labels: { who: "ann" } })).toEqual([a]);
    expect(await runsOf({ workflowId: listener })).toEqual([]);
    expect(await runsOf({ runId: b })).toEqual([b]);
    expect(await runsOf({ runId: "nobody" })).toEqual([]);
  });
});
