import { describe, expect, test } from "vitest";

import {
  createTestRun,
  createTestWorld,
  START_TIME,
  type TestStart,
  workflowOf,
} from "../../../tests/support/test-world.ts";
import { type Instant, parseInstant } from "./duration.ts";
import { DomainError, type ErrorReason } from "./errors.ts";
import { waitIdOf } from "./identifiers.ts";
import { isActive, openWaitOf } from "./run.ts";
import type { NodeDefinition, WorkflowDefinition } from "./graph/definition.ts";

const nodes: { [nodeId: string]: NodeDefinition } = { go: { complete: {} } };

function start(options: TestStart = {}, rest: Partial<WorkflowDefinition> = {}) {
  return createTestRun(workflowOf(nodes, rest), options);
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

test("a started run stands at its entry and is active", () => {
  const { state, records, commands } = start({ sessionId: "s", actorId: "ada", labels: { a: "b" }, vars: { x: 1 } });
  expect(state).toMatchObject({
    status: "running",
    paused: false,
    cancelling: false,
    node: "go",
    vars: { x: 1 },
    steps: 0,
    epoch: 0,
    seq: 1,
    version: 1,
    rootRunId: "run-1",
    sessionId: "s",
    actorId: "ada",
    labels: { a: "b" },
    createTime: START_TIME,
    updateTime: START_TIME,
  });
  expect(isActive(state)).toBe(true);
  expect(records).toMatchObject([
    { kind: "run.started", seq: 1, workflow: state.digest, actor_id: "ada", given: '{"x":1}' },
  ]);
  expect(commands).toEqual([]);
});

test.each<[string, object | undefined, object, object]>([
  ["without defaults, vars are what was given", undefined, { b: 1 }, { b: 1 }],
  ["defaults stand where nothing was given", { a: 1, b: { c: 2 } }, {}, { a: 1, b: { c: 2 } }],
  ["what was given stands over defaults, name by name", { a: 1, b: { c: 2 } }, { b: { d: 3 } }, { a: 1, b: { d: 3 } }],
  ["null is a value", { a: 1 }, { a: null }, { a: null }],
  ["any name may be given", { a: 1 }, { "x/y~z": 1, "": 2 }, { a: 1, "x/y~z": 1, "": 2 }],
])("%s", (_what, defaultVars, vars, merged) => {
  const rest = defaultVars === undefined ? {} : { defaultVars: defaultVars as never };
  const run = start({ vars: vars as never }, rest);
  expect(run.state.vars).toEqual(merged);
  // What was given is in its part, not in the body again.
  expect(JSON.stringify(run.records[0]!.body)).not.toContain('"d":3');
});

describe("vars that do not fit are refused", () => {
  const varsSchema = { type: "object", required: ["a"], properties: { a: { type: "number" } } };

  test.each<[string, object, string[]]>([
    ["a name is missing", {}, ["vars"]],
    ["a value is of another type", { a: "1" }, ["vars.a"]],
  ])("%s", (_what, vars, paths) => {
    const refusal = refusalOf(() => start({ vars: vars as never }, { varsSchema }));
    expect(refusal.reason).toBe("VARS_INVALID");
    expect(refusal.problems.map(({ path }) => path)).toEqual(paths);
  });

  test("the defaults may supply what the schema asks for", () => {
    expect(start({}, { varsSchema, defaultVars: { a: 1 } }).state.vars).toEqual({ a: 1 });
  });

  test("the defaults count when the size is checked", () => {
    const half = "x".repeat(600_000);
    const refusal = refusalOf(() => start({ vars: { b: half } }, { defaultVars: { a: half } }));
    expect(refusal.reason).toBe<ErrorReason>("PAYLOAD_TOO_LARGE");
    expect(start({ vars: { a: half } }, { defaultVars: { a: half } }).state.vars).toEqual({ a: half });
  });
});

describe("limits", () => {
  test("of the start stand over those of the workflow, one by one", () => {
    const { state } = start({ limits: { maxSteps: 7 } }, { limits: { maxSteps: 5, runTimeout: "1h" } });
    expect(state.limits).toEqual({ maxSteps: 7, runTimeout: "1h" });
    expect(state.deadlineTime).toBe("2026-03-01T10:00:00.000000Z");
  });

  test("without a run_timeout there is no deadline", () => {
    expect(start().state.deadlineTime).toBeUndefined();
  });
});

describe("a start for later", () => {
  const startAt = parseInstant("2026-03-01T10:00:00Z");

  test("waits, and its run_timeout begins then", () => {
    const { state } = start({ startAt, limits: { runTimeout: "30m" } });
    expect(state.status).toBe("waiting");
    expect(openWaitOf(state)).toEqual({
      wait_id: waitIdOf("acme", "run-1", 0, 1),
      asks: "time",
      create_time: START_TIME,
      due_time: startAt,
    });
    expect(state.deadlineTime).toBe("2026-03-01T10:30:00.000000Z");
  });

  test("begins at its time, not before", () => {
    const run = start({ startAt });
    expect(run.perform({ type: "wake" })).toEqual([]);
    run.world.pass(3_600_000);
    expect(run.perform({ type: "wake" })).toMatchObject([{ kind: "run.resumed", body: {} }]);
    expect(run.settle().status).toBe("completed");
  });

  test("that is not later begins now", () => {
    expect(start({ startAt: START_TIME }).state.status).toBe("running");
    expect(start({ startAt: "2020-01-01T00:00:00.000000Z" as Instant }).state.status).toBe("running");
  });

  test("whose deadline is no time is refused", () => {
    const far = parseInstant("9999-12-31T00:00:00Z");
    const refusal = refusalOf(() => start({ startAt: far, limits: { runTimeout: "2d" } }));
    expect(refusal.reason).toBe("REQUEST_INVALID");
    expect(refusal.problems.map(({ path }) => path)).toEqual(["startAt"]);
  });
});

test("a paused start is paused, and runs once it is not", () => {
  const run = start({ paused: true });
  expect(run.state).toMatchObject({ status: "running", paused: true });
  expect(isActive(run.state)).toBe(false);
  run.perform({ type: "unpause" });
  expect(run.settle().status).toBe("completed");
});

test("the first cursors are the channels' numbers at the start", () => {
  const world = createTestWorld();
  world.emit({ name: "a" });
  world.emit({ name: "b" });
  world.emit({ name: "c", scope: "session", scopeId: "s" });
  const { state } = start({ world, sessionId: "s" });
  expect(state.channels).toEqual({ run: 0, session: 1, workflow: 0, global: 2 });
});
