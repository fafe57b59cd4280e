import { describe, expect, test } from "vitest";

import {
  createTestRun,
  createTestWorld,
  runOf,
  type TestRun,
  type TestWorld,
  workflowOf,
} from "../../../tests/support/test-world.ts";
import { decide } from "./decide.ts";
import type { Scope } from "./event.ts";
import type { ScopeJson } from "./graph/gen/types.ts";
import type { Json } from "./json/json.ts";
import type { NodeDefinition } from "./graph/definition.ts";

type WaitEvent = NonNullable<NodeDefinition["waitEvent"]>;

describe("nothing is due", () => {
  test.each<[string, () => TestRun]>([
    ["for a run that has ended", () => runOf({ end: { complete: {} } })],
    ["for a run at work", () => runOf({ it: { handler: {} } })],
    ["before a time", () => runOf({ it: { waitUntil: { after: "1h" } } })],
    ["before a timeout", () => runOf({ it: { askUser: { prompt: "?", timeout: "1h" } } })],
    ["for a question without timeout", () => runOf({ it: { askUser: { prompt: "?" } } })],
    ["before a run_timeout", () => runOf({ it: { handler: {} } }, { limits: { runTimeout: "1h" } })],
  ])("%s", (_what, make) => {
    const run = make();
    run.world.pass(3_599_999);
    expect(run.perform({ type: "wake" })).toEqual([]);
  });

  test("while the run is paused, whatever would be", () => {
    const run = runOf({ it: { waitUntil: { after: "1s" } } }, { limits: { runTimeout: "2s" } });
    run.perform({ type: "pause" });
    run.world.pass(10_000);
    expect(run.perform({ type: "wake" })).toEqual([]);
    run.perform({ type: "unpause" });
    expect(run.wake()).toMatchObject({ status: "failed", error: { code: "RUN_TIMEOUT" } });
  });
});

describe("a time that has come", () => {
  test("is the wait's result", () => {
    const run = runOf({
      it: { waitUntil: { after: "10s" }, resultKey: "r", next: [{ to: "end" }] },
      end: { complete: { output: "${vars.r}" } },
    });
    run.world.pass(12_000);
    expect(run.wake().output).toEqual({
      due_time: "2026-03-01T09:00:10.000000Z",
      fire_time: "2026-03-01T09:00:12.000000Z",
    });
  });

  test("is due at its very microsecond", () => {
    const run = runOf({ it: { waitUntil: { after: "10s" } } });
    run.world.pass(10_000);
    expect(run.wake().status).toBe("completed");
  });
});

describe("a question whose time is over", () => {
  test.each<[string, Json | undefined, Json]>([
    ["gives its default answer", "no", "no"],
    ["gives null without one", undefined, null],
  ])("%s: a result, never a failure", (_what, defaultAnswer, answer) => {
    const run = runOf({
      ask: {
        askUser: {
          prompt: "?",
          timeout: "1h",
          choices: ["yes"],
          ...(defaultAnswer === undefined ? {} : { defaultAnswer }),
        },
        resultKey: "r",
        next: [{ to: "end", when: "vars.r.timed_out" }],
      },
      end: { complete: { output: "${vars.r}" } },
    });
    run.world.pass(3_600_000);
    expect(run.wake().output).toEqual({ answer, timed_out: true, answered_by: null, answer_time: null });
  });
});

describe("run_timeout", () => {
  test.each<[string, NodeDefinition]>([
    ["a question", { askUser: { prompt: "?", timeout: "10s" } }],
    ["calls in flight", { handler: {} }],
  ])("ends a run with %s", (_what, node) => {
    const run = runOf({ it: node }, { limits: { runTimeout: "10s" } });
    run.world.pass(10_000);
    run.perform({ type: "wake" });
    expect(run.state).toMatchObject({
      status: "failed",
      node: "it",
      error: { code: "RUN_TIMEOUT", node_id: "it" },
    });
    expect(run.state.steps).toBe(0);
  });

  test("ends a run that is being cancelled as cancelled", () => {
    const run = runOf(
      { ask: { askUser: { prompt: "?" } }, undo: { askUser: { prompt: "undo?" } } },
      { workflow: { onCancel: "undo" }, limits: { runTimeout: "10s" } },
    );
    run.world.pass(5_000);
    run.perform({ type: "cancel" });
    run.settle();
    run.world.pass(9_999);
    expect(run.perform({ type: "wake" })).toEqual([]);
    run.world.pass(1);
    expect(run.wake()).toMatchObject({ status: "cancelled", error: { code: "RUN_TIMEOUT" } });
  });
});

/** A run that collects the payloads of what its waits take, one after the other. */
function listener(waits: (WaitEvent | WaitEvent[])[], world: TestWorld, more: object = {}): TestRun {
  const nodes: { [nodeId: string]: NodeDefinition } = {};
  for (const [n, wait] of waits.flat().entries()) {
    nodes[`wait${n}`] = { waitEvent: { scope: "SCOPE_GLOBAL", ...wait }, resultKey: "got", next: [{ to: `keep${n}` }] };
    nodes[`keep${n}`] = {
      assign: { append: { list: "${vars.got.payload}" } },
      next: [{ to: n + 1 < waits.flat().length ? `wait${n + 1}` : "end" }],
    };
  }
  return createTestRun(workflowOf({ ...nodes, end: { complete: { output: "${vars.list}" } } }), { world, ...more });
}

function taken(run: TestRun): Json {
  run.settle();
  return (run.state.vars as { list?: Json }).list ?? [];
}

describe("events", () => {
  test.each(["before", "after"] as const)("an event %s the wait is opened is taken", (when) => {
    const world = createTestWorld();
    const run = listener([{ names: ["a"] }], world);
    if (when === "after") run.settle();
    world.emit({ name: "a", payload: 1 });
    if (when === "after") run.wake();
    expect(taken(run)).toEqual([1]);
  });

  test.each<[string, Scope, string, object]>([
    ["RUN", "run", "run-1", {}],
    ["SESSION", "session", "s", { sessionId: "s" }],
    ["SESSION without one", "session", "run-1", {}],
    ["WORKFLOW", "workflow", "flow", {}],
    ["GLOBAL", "global", "", {}],
  ])("of the scope %s are heard, and none of another", (name, scope, scopeId, more) => {
    const world = createTestWorld();
    const run = listener([{ names: ["a"], scope: `SCOPE_${name.split(" ")[0]}` as ScopeJson }], world, more);
    run.settle();
    for (const [other, otherId] of [
      ["run", "run-2"],
      ["session", "other"],
      ["workflow", "other"],
      ["global", ""],
      ["run", "run-1"],
      ["workflow", "flow"],
    ] as const) {
      if (other !== scope || otherId !== scopeId)
        world.emit({ name: "a", scope: other, scopeId: otherId, payload: "wrong" });
    }
    expect(run.perform({ type: "wake" })).toEqual([]);
    world.emit({ name: "a", scope, scopeId, payload: "right" });
    run.wake();
    expect(taken(run)).toEqual(["right"]);
  });

  test.each<[string, WaitEvent[], [name: string, key: string][], number[]]>([
    [
      "are taken in order",
      [{ names: ["a"] }, { names: ["a"] }],
      [
        ["a", ""],
        ["a", ""],
      ],
      [0, 1],
    ],
    [
      "are taken once per name",
      [{ names: ["a"] }, { names: ["b"] }, { names: ["a"] }],
      [
        ["a", ""],
        ["b", ""],
        ["a", ""],
      ],
      [0, 1, 2],
    ],
    [
      "of another name are passed over, not lost",
      [{ names: ["b"] }, { names: ["a"] }],
      [
        ["a", ""],
        ["b", ""],
      ],
      [1, 0],
    ],
    [
      "of several names come in the order of the channel",
      [{ names: ["b", "a"] }, { names: ["b", "a"] }],
      [
        ["a", ""],
        ["b", ""],
      ],
      [0, 1],
    ],
    [
      "of a pattern come in order",
      [{ names: ["o.*"] }, { names: ["o.*"] }],
      [
        ["o.b", ""],
        ["x", ""],
        ["o.a", ""],
      ],
      [0, 2],
    ],
    [
      "that a pattern took are taken for the name too",
      [{ names: ["o.*"] }, { names: ["o.a"] }],
      [
        ["o.a", ""],
        ["o.a", ""],
      ],
      [0, 1],
    ],
    [
      "that a name took are taken for the pattern too",
      [{ names: ["o.a"] }, { names: ["o.*"] }],
      [
        ["o.b", ""],
        ["o.a", ""],
        ["o.c", ""],
      ],
      [1, 0],
    ],
    [
      "with a key are taken by their key",
      [
        { names: ["a"], key: "k2" },
        { names: ["a"], key: "k1" },
      ],
      [
        ["a", "k1"],
        ["a", "k2"],
      ],
      [1, 0],
    ],
    [
      "with a key are taken without one too, once",
      [{ names: ["a"], key: "k2" }, { names: ["a"] }, { names: ["a"] }],
      [
        ["a", "k1"],
        ["a", "k2"],
        ["a", "k3"],
      ],
      [1, 0, 2],
    ],
    [
      "without a key are not for a wait with one",
      [{ names: ["a"], key: "k1" }],
      [
        ["a", ""],
        ["a", "k1"],
      ],
      [1],
    ],
  ])("%s", (_what, waits, events, payloads) => {
    const early = createTestWorld();
    const run = listener(waits, early);
    for (const [payload, [name, key]] of events.entries()) early.emit({ name, key, payload });
    expect(taken(run)).toEqual(payloads);

    // The same when each event comes while the run waits already.
    const world = createTestWorld();
    const late = listener(waits, world);
    late.settle();
    for (const [payload, [name, key]] of events.entries()) {
      world.emit({ name, key, payload });
      late.wake();
    }
    expect(taken(late)).toEqual(payloads);
  });

  test("move the cursors of the names that cover them, and of no other", () => {
    const world = createTestWorld();
    const run = listener([{ names: ["b", "a", "a*"], key: "k" }], world);
    run.settle();
    world.emit({ name: "a", key: "k" });
    run.wake();
    expect(run.state.cursors).toEqual([
      { scope: "global", name: "a", key: "k", number: 1 },
      { scope: "global", name: "a*", key: "k", number: 1 },
    ]);
  });

  test("two with the same id are one", () => {
    const world = createTestWorld();
    const run = listener([{ names: ["a"] }, { names: ["a"] }], world);
    world.emit({ name: "a", payload: 1, eventId: "e" });
    world.emit({ name: "a", payload: 2, eventId: "e" });
    expect(taken(run)).toEqual([1]);
    expect(run.state.status).toBe("waiting");
  });

  test("are kept for a paused run", () => {
    const world = createTestWorld();
    const run = listener([{ names: ["a"] }], world);
    run.settle();
    run.perform({ type: "pause" });
    world.emit({ name: "a", payload: 1 });
    expect(run.perform({ type: "wake" })).toEqual([]);
    run.perform({ type: "unpause" });
    run.wake();
    expect(taken(run)).toEqual([1]);
  });
});

describe("a timeout of an event wait", () => {
  const waits: WaitEvent[] = [{ names: ["a"], timeout: "10s" }, { names: ["a"] }];

  test("is a result, and holds only if the channel has not moved", () => {
    const world = createTestWorld();
    const run = listener(waits, world);
    run.settle();
    world.emit({ name: "b" });
    world.pass(10_000);
    const commandsBefore = run.commands.length;
    run.perform({ type: "wake" });
    expect(run.state.vars).toMatchObject({
      got: { name: null, payload: null, event_id: null, emit_time: null, timed_out: true },
    });
    expect(run.commands[commandsBefore]).toMatchObject({ type: "expect_channel", upTo: 1 });
  });

  test("that is not due yet says nothing, but what it saw of the channel must hold", () => {
    const world = createTestWorld();
    const run = listener(waits, world);
    run.settle();
    const commandsBefore = run.commands.length;
    expect(run.perform({ type: "wake" })).toEqual([]);
    expect(run.commands.slice(commandsBefore)).toMatchObject([{ type: "expect_channel", upTo: 0 }]);
  });

  test.each([
    ["by then wins over it, however late it is looked at", 10_000, [1]],
    ["after it stays for the next wait", 10_001, [null, 1]],
  ])("an event %s", (_what, emittedAfterMs, payloads) => {
    const world = createTestWorld();
    const run = listener(waits, world);
    run.settle();
    world.pass(emittedAfterMs);
    world.emit({ name: "a", payload: 1 });
    world.pass(60_000);
    run.wake();
    expect(taken(run)).toEqual(payloads);
  });
});

test("a wait asks for the look-up that its wait describes", () => {
  const world = createTestWorld();
  const run = listener(
    [
      { names: ["a"], key: "k" },
      { names: ["b", "a*"], key: "k" },
    ],
    world,
  );
  world.emit({ name: "a", key: "k" });
  run.settle();
  expect(decide(run.state, { type: "wake", now: world.now }, run.workflow)).toEqual({
    lookUp: {
      channel: { tenantId: "acme", scope: "global", scopeId: "" },
      names: ["b", "a*"],
      key: "k",
      startNumber: 0,
      cursors: [{ scope: "global", name: "a", key: "k", number: 1 }],
    },
  });
});
