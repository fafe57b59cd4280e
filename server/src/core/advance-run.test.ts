import { shownWait } from "./wait.ts";
import { openWaitOf, callsOf } from "./run.ts";
import { describe, expect, test } from "vitest";

import { createTestRun, createTestWorld, runOf, workflowOf } from "../../../tests/support/test-world.ts";
import { EVENT_CURSORS_MAX } from "./effects/wait-event.ts";
import { CALLS_MAX } from "./effects/tool-calls.ts";
import { decide } from "./decide.ts";
import { idempotencyKey } from "./identifiers.ts";
import type { Json, JsonObject } from "./json/json.ts";
import type { NodeDefinition, WorkflowDefinition } from "./graph/definition.ts";

type Nodes = { [nodeId: string]: NodeDefinition };
const end: NodeDefinition = { complete: { output: "${vars}" } };

/** Runs one node and gives the vars after it, or the failure that it ended with. */
function runNode(node: NodeDefinition, vars: JsonObject = {}, rest: Partial<WorkflowDefinition> = {}) {
  return runOf({ it: { next: [{ to: "end" }], ...node }, end }, { vars, workflow: rest });
}

describe("assign", () => {
  test.each<[string, NonNullable<NodeDefinition["assign"]>, JsonObject, Json]>([
    ["sets whole values", { values: { a: { x: 1 } } }, { a: { y: 2 } }, { a: { x: 1 } }],
    ["makes objects on the way", { values: { "a.b.c": 1 } }, {}, { a: { b: { c: 1 } } }],
    ["sets null", { values: { a: null } }, { a: 1 }, { a: null }],
    ["replaces an element", { values: { "a.1": "x" } }, { a: [1, 2] }, { a: [1, "x"] }],
    ["appends one value", { append: { a: [1] } }, { a: [0] }, { a: [0, [1]] }],
    ["appends to a list that is not there", { append: { "a.b": 1 } }, {}, { a: { b: [1] } }],
    ["unsets, also what is not there", { unset: ["a", "b.c"] }, { a: 1, d: 2 }, { d: 2 }],
    [
      "sees vars as they were on entry in every right-hand side",
      { values: { a: "${vars.b}", b: "${vars.a}" }, append: { log: "${vars.a + vars.b}" } },
      { a: 1, b: 2 },
      { a: 2, b: 1, log: [3] },
    ],
  ])("%s", (_what, assign, vars, expected) => {
    const run = runNode({ assign }, vars);
    expect(run.state.output).toEqual(expected);
    expect(run.state.steps).toBe(2);
  });

  test.each<[string, NonNullable<NodeDefinition["assign"]>, JsonObject, RegExp]>([
    ["an expression that fails", { values: { a: 1, b: "${vars.missing}" } }, {}, /no such key: "missing"/],
    ["a way through a scalar", { values: { "a.b": 1 } }, { a: 1 }, /crosses a scalar/],
    ["an append to no list", { append: { a: 1 } }, { a: 1 }, /appended to a list/],
    ["an index beyond the end", { values: { "a.5": 1 } }, { a: [1] }, /beyond the end/],
  ])("fails by %s and changes nothing", (_what, assign, vars, message) => {
    const { state } = runNode({ assign }, vars);
    expect(state).toMatchObject({ status: "failed", node: "it", vars });
    expect(state.error).toMatchObject({
      code: "EVALUATION_FAILED",
      node_id: "it",
      message: expect.stringMatching(message) as string,
    });
  });

  test("vars larger than a payload fail the node", () => {
    const { state } = runNode({ assign: { values: { b: "${vars.a}" } } }, { a: "x".repeat(600_000) });
    expect(state.error?.message).toMatch(/The vars would have more than 1048576 bytes/);
    expect(Object.keys(state.vars as object)).toEqual(["a"]);
  });

  test("vars deeper than a payload fail the node: no client could read them", () => {
    const { state } = runNode(
      { assign: { values: { a: "${[vars.a]}" } }, next: [{ to: "it", when: "true" }, { to: "end" }] },
      { a: 0 },
    );
    expect(state.error?.message).toMatch(/more than 32 levels deep/);
    expect(state.steps).toBe(32);
  });

  test("an expression that costs too much has its own code", () => {
    const { state } = runNode({ assign: { values: { a: "${range(90000).map(x, x * x)}" } } });
    expect(state.error?.code).toBe("EXPRESSION_LIMIT");
  });
});

describe("edges", () => {
  const nodes = (next: NodeDefinition["next"], more: Partial<NodeDefinition> = {}): Nodes => ({
    it: { answerUser: { message: "hi" }, resultKey: "r", ...more, next: next! },
    a: { complete: { output: "a" } },
    b: { complete: { output: "b" } },
    rescue: { complete: { output: "${error.code}" } },
  });
  const outputOf = (graph: Nodes, rest: Partial<WorkflowDefinition> = {}) =>
    runOf(graph, { vars: { n: 1 }, workflow: { onError: "rescue", ...rest } }).state.output;

  test.each<[string, NonNullable<NodeDefinition["next"]>, Json]>([
    ["the first that holds is taken", [{ to: "a", when: "vars.n == 1" }, { to: "b" }], "a"],
    ["one that does not hold is passed over", [{ to: "a", when: "vars.n == 2" }, { to: "b" }], "b"],
    ["they see the result", [{ to: "a", when: "result.message == 'hi'" }, { to: "b" }], "a"],
    ["they see the result where it was written", [{ to: "a", when: "vars.r.message == 'hi'" }, { to: "b" }], "a"],
    [
      "they see the time of the record",
      [{ to: "a", when: "now == timestamp('2026-03-01T09:00:00Z')" }, { to: "b" }],
      "a",
    ],
    [
      "none that holds fails the node",
      [
        { to: "a", when: "false" },
        { to: "b", when: "false" },
      ],
      "NO_EDGE",
    ],
    ["one that fails fails the node", [{ to: "a", when: "vars.nope" }, { to: "b" }], "EVALUATION_FAILED"],
    ["one that is no boolean fails the node", [{ to: "a", when: "vars.n" }, { to: "b" }], "EVALUATION_FAILED"],
  ])("%s", (_what, next, output) => {
    expect(outputOf(nodes(next))).toBe(output);
  });

  test("a node whose edges fail has still done its work", () => {
    const run = runOf(
      nodes([
        { to: "a", when: "false" },
        { to: "b", when: "false" },
      ]),
      { workflow: { onError: "rescue" } },
    );
    expect(run.records.map(({ kind, body }) => [kind, body.to])).toEqual([
      ["run.started", undefined],
      ["step.completed", undefined],
      ["step.failed", "rescue"],
      ["run.completed", undefined],
    ]);
    expect(run.state.vars).toEqual({ r: { message: "hi" } });
  });

  test("an effect without edges completes the run with its result", () => {
    const { state, records } = runOf({ it: { answerUser: { message: "bye" }, resultKey: "r" } });
    expect(state).toMatchObject({ status: "completed", output: { message: "bye" }, vars: { r: { message: "bye" } } });
    // The result is stored once.
    expect(JSON.stringify(records).match(/bye/g)).toHaveLength(2);
  });
});

describe("on_error", () => {
  const failing: NodeDefinition = { assign: { values: { a: "${1 / 0}" } }, next: [{ to: "end" }] };
  const rescue = (output: string): NodeDefinition => ({
    complete: { output: `${output} \${error.code} \${error.node_id}` },
  });

  test("the node's own comes first", () => {
    const graph = { it: { ...failing, onError: "own" }, own: rescue("own"), general: rescue("general"), end };
    expect(runOf(graph, { workflow: { onError: "general" } }).state.output).toBe("own EVALUATION_FAILED it");
  });

  test("then the workflow's", () => {
    const graph = { it: failing, general: rescue("general"), end };
    expect(runOf(graph, { workflow: { onError: "general" } }).state.output).toBe("general EVALUATION_FAILED it");
  });

  test("then the run is FAILED, with its error", () => {
    const { state } = runOf({ it: failing, end });
    expect(state).toMatchObject({
      status: "failed",
      node: "it",
      steps: 1,
      error: { code: "EVALUATION_FAILED", node_id: "it" },
    });
  });

  test("the workflow's handler does not handle its own failure", () => {
    const graph = { it: failing, general: { ...failing, assign: { values: { b: "${vars.none}" } } }, end };
    const { state } = runOf(graph, { workflow: { onError: "general" } });
    expect(state).toMatchObject({ status: "failed", error: { node_id: "general", message: 'no such key: "none"' } });
  });

  test("the workflow's handler is not come to again before the run has rested", () => {
    const graph = {
      it: failing,
      general: { assign: { values: { tried: "${vars.?tried.orValue(0) + 1}" } }, next: [{ to: "it" }] },
      end,
    } satisfies Nodes;
    const { state } = runOf(graph, { workflow: { onError: "general" } });
    expect(state).toMatchObject({ status: "failed", vars: { tried: 1 }, error: { node_id: "it" } });
  });

  test("the workflow's handler is come to again after a rest", () => {
    const graph = {
      it: failing,
      general: { askUser: { prompt: "again?" }, next: [{ to: "it" }] },
      end,
    } satisfies Nodes;
    const first = runOf(graph, { workflow: { onError: "general" } });
    expect(first.state).toMatchObject({ status: "waiting", node: "general" });
    expect(first.state.handlingError).toBeUndefined();
  });

  test("a chain of handlers: the error is the last one, until the next", () => {
    const graph: Nodes = {
      it: { ...failing, onError: "second" },
      second: { ...failing, assign: { values: { first: "${error.node_id}", b: "${vars.none}" } }, onError: "third" },
      third: { assign: { values: { seen: "${error.node_id}" } }, next: [{ to: "fourth" }] },
      fourth: { assign: { values: { still: "${error.node_id}" } }, next: [{ to: "end" }] },
      end,
    };
    const { state } = runOf(graph);
    expect(state.output).toEqual({ seen: "second", still: "second" });
    expect(state.error).toMatchObject({ node_id: "second" });
  });
});

describe("ends", () => {
  test.each<[string, NodeDefinition, object]>([
    ["complete without output gives null", { complete: {} }, { status: "completed", output: null }],
    ["complete gives its output", { complete: { output: [1, "${vars.a}"] } }, { status: "completed", output: [1, 5] }],
    [
      "fail gives its code and message",
      { fail: { code: "NO_${vars.a}", message: "because ${vars.b}" } },
      { status: "failed", error: { code: "NO_5", message: 'because {"c":1}', retryable: false, node_id: "it" } },
    ],
  ])("%s", (_what, node, expected) => {
    const { state } = runOf({ it: node }, { vars: { a: 5, b: { c: 1 } } });
    expect(state).toMatchObject({ ...expected, steps: 1, endTime: state.updateTime });
    expect(state.output === undefined).toBe(state.status === "failed");
  });
});

describe("max_steps", () => {
  const loop: Nodes = {
    it: { assign: { values: { n: "${vars.n + 1}" } }, next: [{ to: "end", when: "vars.n == 5" }, { to: "it" }] },
    end: { complete: { output: "${run.steps}" } },
  };

  test.each<[number, string, number]>([
    [5, "failed", 5],
    [6, "completed", 6],
    [1, "failed", 1],
  ])("with %i the run is %s after %i steps", (maxSteps, status, steps) => {
    const { state } = runOf(loop, { vars: { n: 0 }, limits: { maxSteps } });
    expect(state).toMatchObject({ status, steps });
    if (status === "failed") expect(state.error).toMatchObject({ code: "LIMIT_MAX_STEPS", node_id: state.node });
  });

  test("a limit is no failure of a node: on_error does not see it", () => {
    const graph = { ...loop, rescue: { complete: {} } };
    expect(
      runOf(graph, { vars: { n: 0 }, limits: { maxSteps: 3 }, workflow: { onError: "rescue" } }).state.status,
    ).toBe("failed");
  });
});

describe("ask_user", () => {
  test("opens a wait with everything evaluated", () => {
    const run = runOf(
      {
        ask: {
          askUser: {
            prompt: "Pay ${vars.n}?",
            details: { n: "${vars.n}" },
            choices: "${vars.list}",
            allowFreeText: true,
            assignees: ["finance", "${vars.people}"],
            timeout: "${vars.days}d",
            defaultAnswer: "${vars.list[0]}",
          },
          next: [{ to: "end" }],
        },
        end,
      },
      { vars: { n: 3, list: ["yes", { deep: 1 }], people: ["ada", "bob"], days: 2 } },
    );
    expect(run.state.status).toBe("waiting");
    expect(openWaitOf(run.state)).toEqual({
      wait_id: expect.stringMatching(/^[a-z2-7]{26}$/) as string,
      node_id: "ask",
      create_time: "2026-03-01T09:00:00.000000Z",
      due_time: "2026-03-03T09:00:00.000000Z",
      asks: "question",
      prompt: "Pay 3?",
      details: { n: 3 },
      choices: ["yes", { deep: 1 }],
      allow_free_text: true,
      answer_schema: { anyOf: [{ enum: ["yes", { deep: 1 }] }, { type: "string" }] },
      assignees: ["finance", "ada", "bob"],
      default_answer: "yes",
    });
    expect(run.state.steps).toBe(0);
  });

  test.each<[string, NonNullable<NodeDefinition["askUser"]>, Json]>([
    ["none", { prompt: "?" }, {}],
    ["choices", { prompt: "?", choices: [1, 2] }, { enum: [1, 2] }],
    ["its own", { prompt: "?", choices: [1], answerSchema: { type: "number" } }, { type: "number" }],
  ])("every question carries a schema of its answer: %s", (_what, askUser, schema) => {
    expect(shownWait(openWaitOf(runOf({ ask: { askUser } }).state)!).answerSchema).toEqual(schema);
  });

  test.each<[string, NonNullable<NodeDefinition["askUser"]>]>([
    ["choices that are no list", { prompt: "?", choices: "${vars.n}" }],
    ["no choice", { prompt: "?", choices: "${[]}" }],
    ["assignees that are no strings", { prompt: "?", assignees: ["${[1]}"] }],
    ["a timeout that is none", { prompt: "?", timeout: "${vars.n}" }],
    ["a prompt too long to read", { prompt: "${vars.long}" }],
  ])("fails by %s", (_what, askUser) => {
    const { state } = runOf({ ask: { askUser } }, { vars: { n: 3, long: "x".repeat(70_000) } });
    expect(state).toMatchObject({ status: "failed", error: { code: "EVALUATION_FAILED", node_id: "ask" } });
  });

  test.each<[string, Json]>([
    ["an empty one", ""],
    ["an empty one in a list", ["ada", ""]],
    ["one that is too long", "x".repeat(257)],
    ["one that is too long in a list", ["ada", "😀".repeat(257)]],
  ])("fails by assignees among whom is %s", (_what, who) => {
    const { state } = runOf({ ask: { askUser: { prompt: "?", assignees: ["${vars.who}"] } } }, { vars: { who } });
    expect(state.error).toMatchObject({
      code: "EVALUATION_FAILED",
      message: expect.stringMatching(/^The assignee ".*" must be 1 to 256 characters\.$/) as string,
    });
  });

  test("an assignee has up to 256 characters, whatever they take", () => {
    const who = ["x".repeat(256), "😀".repeat(256)];
    const { state } = runOf({ ask: { askUser: { prompt: "?", assignees: ["${vars.who}"] } } }, { vars: { who } });
    expect(shownWait(openWaitOf(state)!).assignees).toEqual(who);
  });

  test("each visit opens a wait of its own", () => {
    const run = runOf({ ask: { askUser: { prompt: "?" }, next: [{ to: "ask" }] } });
    const first = openWaitOf(run.state)!.wait_id;
    run.answer({ answer: 1 });
    expect(openWaitOf(run.state)!.wait_id).not.toBe(first);
  });
});

describe("wait_until", () => {
  test.each<[string, NonNullable<NodeDefinition["waitUntil"]>, string]>([
    ["a duration", { after: "1h30m" }, "2026-03-01T10:30:00.000000Z"],
    ["a time with an offset", { at: "2026-03-01T12:00:00+02:00" }, "2026-03-01T10:00:00.000000Z"],
    ["a time that was computed", { at: "${now + duration('90s')}" }, "2026-03-01T09:01:30.000000Z"],
    ["a time that is past", { at: "2020-01-01T00:00:00Z" }, "2020-01-01T00:00:00.000000Z"],
  ])("waits until %s", (_what, waitUntil, dueTime) => {
    expect(openWaitOf(runOf({ rest: { waitUntil } }).state)).toMatchObject({ asks: "time", due_time: dueTime });
  });

  test.each<NonNullable<NodeDefinition["waitUntil"]>>([
    { at: "${vars}" },
    { after: "${1}" },
    { at: "tomorrow, ${now}" },
  ])("fails by %j", (waitUntil) => {
    expect(runOf({ rest: { waitUntil } }).state.error).toMatchObject({ code: "EVALUATION_FAILED" });
  });
});

test("a failure whose code turns out empty fails by that", () => {
  const { state } = runOf({ it: { fail: { code: "${''}" } } });
  expect(state).toMatchObject({
    status: "failed",
    error: {
      code: "EVALUATION_FAILED",
      message: expect.stringMatching(/^The code ".*" must be 1 to 128 characters\.$/) as string,
    },
  });
});

describe("emit_event", () => {
  test("its event lies in the channel of its scope", () => {
    const world = createTestWorld();
    const emit = (scope: "RUN" | "SESSION" | "WORKFLOW" | "GLOBAL") => ({
      name: "paid",
      scope: `SCOPE_${scope}` as const,
      key: "k${1}",
      payload: { n: "${vars.n}" },
    });
    const run = runOf(
      {
        a: { emitEvent: emit("RUN"), next: [{ to: "b" }] },
        b: { emitEvent: emit("SESSION"), next: [{ to: "c" }] },
        c: { emitEvent: emit("WORKFLOW"), next: [{ to: "d" }] },
        d: { emitEvent: emit("GLOBAL"), resultKey: "r", next: [{ to: "end" }] },
        end,
      },
      { world, sessionId: "s", actorId: "ada", vars: { n: 7 } },
    );
    const events = run.commands.flatMap((command) => (command.type === "emit" ? [command.event] : []));
    expect(events.map(({ scope, scopeId }) => [scope, scopeId])).toEqual([
      ["run", "run-1"],
      ["session", "s"],
      ["workflow", "flow"],
      ["global", ""],
    ]);
    expect(events[3]).toMatchObject({ tenantId: "acme", name: "paid", key: "k1", payload: { n: 7 }, actorId: "ada" });
    expect(run.state.output).toEqual({ n: 7, r: { event_id: events[3]!.eventId } });
  });

  test("an id that the graph does not give is the effect's key: each visit emits an event of its own", () => {
    const run = runOf(
      { it: { emitEvent: { name: "a" }, next: [{ to: "end", when: "run.steps >= 1" }, { to: "it" }] }, end },
      { sessionId: "s" },
    );
    const ids = run.commands.flatMap((command) => (command.type === "emit" ? [command.event.eventId] : []));
    expect(ids).toEqual(
      [2, 3].map((seq) =>
        idempotencyKey({ tenantId: "acme", runId: "run-1", epoch: 0, nodeId: "it", seq, ordinal: 0 }),
      ),
    );
    expect(run.records.slice(1, 3).map((record) => record.idempotency_key)).toEqual(ids);
  });

  test("a run without a session is a session of its own", () => {
    const run = runOf({ it: { emitEvent: { name: "a", scope: "SCOPE_SESSION" } } });
    expect(run.commands).toMatchObject([{ type: "emit", event: { scope: "session", scopeId: "run-1" } }]);
  });

  test.each<[string, NonNullable<NodeDefinition["emitEvent"]>]>([
    ["an id that is none", { name: "a", eventId: "${vars.text}" }],
    ["a pattern", { name: "${'a*'}" }],
    ["a name too long", { name: "${vars.text}" }],
    ["an empty name", { name: "${''}" }],
    ["a key too long", { name: "a", key: "${vars.text}" }],
    ["a name with a control character", { name: "a${vars.control}b" }],
  ])("fails by %s and emits nothing", (_what, emitEvent) => {
    const run = runOf({ it: { emitEvent } }, { vars: { text: "x y".repeat(100), control: "\u0085" } });
    expect(run.state.error).toMatchObject({ code: "EVALUATION_FAILED" });
    expect(run.commands).toEqual([]);
  });

  test("a name and a key have up to 200 and 256 characters, whatever they take", () => {
    const vars = { name: "😀".repeat(200), key: "😀".repeat(256) };
    const run = runOf({ it: { emitEvent: { name: "${vars.name}", key: "${vars.key}" } } }, { vars });
    expect(run.commands).toMatchObject([{ type: "emit", event: vars }]);
  });

  test("the failure says what a name must be", () => {
    const run = runOf({ it: { emitEvent: { name: "${'a*'}" } } });
    const message = 'The event name "a*" must be 1 to 200 characters without * and control characters.';
    expect(run.state.error).toMatchObject({ message });
  });
});

describe("wait_event", () => {
  const listen = (waitEvent: NonNullable<NodeDefinition["waitEvent"]>): Nodes => ({
    it: { waitEvent, resultKey: "got", next: [{ to: "end" }] },
    end: { complete: { output: "${vars.got}" } },
  });

  test("asks first what lies in the channel, then waits, expecting it not to have moved", () => {
    const run = createTestRun(workflowOf(listen({ names: ["a"], scope: "SCOPE_GLOBAL", timeout: "1h" })));
    run.world.emit({ name: "b" });
    const { state, workflow, world } = run;
    expect(decide(state, { type: "advance", now: world.now }, workflow)).toEqual({
      lookUp: {
        channel: { tenantId: "acme", scope: "global", scopeId: "" },
        names: ["a"],
        startNumber: 0,
        cursors: [],
      },
    });
    run.settle();
    expect(openWaitOf(run.state)).toMatchObject({ asks: "event", names: ["a"], scope: "global", scope_id: "" });
    expect(openWaitOf(run.state)!.due_time).toBe("2026-03-01T10:00:00.000000Z");
    expect(run.commands).toEqual([
      { type: "expect_channel", channel: { tenantId: "acme", scope: "global", scopeId: "" }, upTo: 1 },
    ]);
  });

  test("takes an event that was emitted since the start, and none from before it", () => {
    const world = createTestWorld();
    world.emit({ name: "a", payload: "before" });
    const run = createTestRun(workflowOf(listen({ names: ["a"], scope: "SCOPE_GLOBAL" })), { world });
    world.emit({ name: "a", payload: "since", eventId: "e", actorId: "ada" });
    expect(run.settle().output).toEqual({
      name: "a",
      payload: "since",
      event_id: "e",
      emit_time: "2026-03-01T09:00:00.000000Z",
      timed_out: false,
    });
    expect(run.state.cursors).toEqual([{ scope: "global", name: "a", number: 2 }]);
    expect(run.commands).toEqual([]);
  });

  test.each<[string, NonNullable<NodeDefinition["waitEvent"]>]>([
    ["a pattern with a * inside", { names: ["${'a*b'}"] }],
    ["an empty name", { names: ["${''}"] }],
    ["a name with a control character", { names: ["a", "${'a\\n'}"] }],
    ["a pattern with a control character", { names: ["${'\\t*'}"] }],
    ["a name that is too long", { names: ["${'x'}".repeat(51) + "x".repeat(150)] }],
    ["a timeout that is none", { names: ["a"], timeout: "${1}" }],
  ])("fails by %s", (_what, waitEvent) => {
    expect(runOf(listen(waitEvent)).state.error).toMatchObject({ code: "EVALUATION_FAILED" });
  });

  test("names that turn out the same are one", () => {
    const run = runOf(listen({ names: ["a", "${'a'}", "b"] }));
    expect(openWaitOf(run.state)).toMatchObject({ names: ["a", "b"] });
  });

  test("a run listens to a bounded number of names and keys in its life", () => {
    const world = createTestWorld();
    const run = createTestRun(
      workflowOf({
        it: { waitEvent: { names: ["a"], scope: "SCOPE_GLOBAL", key: "k${run.steps}" }, next: [{ to: "it" }] },
      }),
      { world },
    );
    for (let n = 0; n <= EVENT_CURSORS_MAX; n++) world.emit({ name: "a", key: `k${n}` });
    expect(run.settle()).toMatchObject({ status: "failed", error: { code: "LIMIT_EVENT_CURSORS" } });
    expect(run.state.cursors.length).toBe(EVENT_CURSORS_MAX);
  });
});

describe("what needs a worker", () => {
  const keyOf = (ordinal: number) =>
    idempotencyKey({ tenantId: "acme", runId: "run-1", epoch: 0, nodeId: "it", seq: 2, ordinal });

  test("tool calls are in flight, each with its key, and the run is parked", () => {
    const run = runNode(
      {
        toolCalls: {
          calls: [
            { name: "pay", arguments: { to: "${vars.to}" } },
            { name: "mail", callId: "m" },
          ],
        },
      },
      { to: "x" },
    );
    const calls = [
      { ordinal: 0, kind: "tool", name: "pay", call_id: "call_1", idempotency_key: keyOf(0) },
      { ordinal: 1, kind: "tool", name: "mail", call_id: "m", idempotency_key: keyOf(1) },
    ];
    expect(run.state).toMatchObject({ status: "running", node: "it", inFlight: { at: "calls", calls }, steps: 0 });
    expect(run.records.at(-1)).toMatchObject({
      kind: "step.started",
      body: {
        effect: {
          type: "tool_calls",
          payload: { calls: [{ name: "pay", arguments: { to: "x" }, call_id: "call_1" }, {}] },
        },
      },
    });
    expect(run.commands).toMatchObject([
      {
        type: "create_jobs",
        jobs: [
          { ...calls[0], nodeId: "it", seq: 2, payload: { to: "x" } },
          { ...calls[1], payload: {} },
        ],
      },
    ]);
  });

  test("calls from an expression", () => {
    const run = runNode(
      { toolCalls: { callsFrom: "vars.calls" } },
      { calls: [{ name: "a", arguments: { n: 1 }, call_id: "c" }, { name: "b" }] },
    );
    expect(callsOf(run.state)).toMatchObject([
      { name: "a", call_id: "c" },
      { name: "b", call_id: "call_2" },
    ]);
  });

  test("no calls are done at once: nothing would ever come back", () => {
    const run = runNode({ toolCalls: { callsFrom: "vars.calls" }, resultKey: "done" }, { calls: [] });
    expect(run.state).toMatchObject({ status: "completed", output: { done: { results: [] } } });
  });

  test.each<[string, JsonObject]>([
    ["a list that is none", { calls: 1 }],
    ["a call that is no object", { calls: [1] }],
    ["a call without a name", { calls: [{ arguments: {} }] }],
    ["a call with an empty name", { calls: [{ name: "" }] }],
    ["a call with a name of more than 128 characters", { calls: [{ name: "a".repeat(129) }] }],
    ["a call id that is no string", { calls: [{ name: "a", call_id: 1 }] }],
    ["a call id that is empty", { calls: [{ name: "a", call_id: "" }] }],
    ["a call id of more than 256 characters", { calls: [{ name: "a", call_id: "x".repeat(257) }] }],
    ["arguments that are no object", { calls: [{ name: "a", arguments: ["x"] }] }],
    ["too many calls", { calls: Array.from({ length: CALLS_MAX + 1 }, () => ({ name: "a" })) }],
  ])("fails by %s", (_what, vars) => {
    const run = runNode({ toolCalls: { callsFrom: "vars.calls" } }, vars);
    expect(run.state.error).toMatchObject({ code: "EVALUATION_FAILED" });
    expect(run.commands).toEqual([]);
  });

  test("calls too large together fail", () => {
    const calls = Array.from({ length: 20 }, () => ({ name: "a", arguments: { text: "${vars.long}" } }));
    const run = runNode({ toolCalls: { calls } }, { long: "x".repeat(100_000) });
    expect(run.state.error?.message).toMatch(/The calls would have more than 1048576 bytes/);
  });

  test.each<[string, NodeDefinition, object]>([
    ["a handler", { handler: {} }, { kind: "handler", name: "flow" }],
    ["a custom effect", { custom: { type: "robot.move", payload: "${vars}" } }, { kind: "custom", name: "robot.move" }],
  ])("%s is one call", (_what, node, call) => {
    const run = runNode(node, { a: 1 });
    expect(callsOf(run.state)).toEqual([{ ordinal: 0, ...call, idempotency_key: keyOf(0) }]);
  });
});
