import { describe, expect, test } from "vitest";

import { apply, fold } from "./fold.ts";
import { resultOf } from "./step-end.ts";
import type { Instant } from "../duration.ts";
import type { RunState } from "../run.ts";
import type { AnyRecord, RecordBody, RecordKind, StepRecordDraft } from "../records.ts";
import type { Wait } from "../wait.ts";

const TIME = "2026-03-01T09:00:00.000000Z" as Instant;
const LATER = "2026-03-01T09:00:01.000000Z" as Instant;

const start: StepRecordDraft = {
  tenant_id: "acme",
  run_id: "run-1",
  kind: "run.started",
  seq: 1,
  time: TIME,
  epoch: 0,
  workflow: "d".repeat(64),
  body: {
    start: {
      workflow_id: "flow",
      version: 3,
      entry_node: "first",
      root_run_id: "run-0",
      labels: { a: "b" },
      limits: { maxSteps: 5 },
      channels: { run: 0, session: 0, workflow: 0, global: 4 },
    },
    patch: [{ op: "set", path: "", of: "given" }],
  },
  given: '{"a":1,"list":[1]}',
};
const wait: Wait = {
  wait_id: "w",
  asks: "question",
  node_id: "first",
  create_time: TIME,
  prompt: "?",
  answer_schema: {},
};
const call = { ordinal: 0, kind: "handler", name: "flow", idempotency_key: "k" } as const;

function record(kind: RecordKind, body: RecordBody = {}, more: Partial<AnyRecord> = {}): StepRecordDraft {
  const any: AnyRecord = { tenant_id: "acme", run_id: "run-1", kind, seq: 2, time: LATER, epoch: 0, body, ...more };
  return any as StepRecordDraft;
}

const started = fold([start])!;
const waiting = fold([start, record("step.waiting", { status: "waiting", wait })])!;
const parked = fold([start, record("step.started", { status: "started", calls: [call] })])!;

test("run.started gives the state that everything begins with", () => {
  expect(started).toEqual({
    tenantId: "acme",
    runId: "run-1",
    workflowId: "flow",
    version: 3,
    digest: "d".repeat(64),
    rootRunId: "run-0",
    labels: { a: "b" },
    limits: { maxSteps: 5 },
    channels: { run: 0, session: 0, workflow: 0, global: 4 },
    createTime: TIME,
    status: "running",
    paused: false,
    cancelling: false,
    node: "first",
    vars: { a: 1, list: [1] },
    steps: 0,
    epoch: 0,
    cursors: [],
    updateTime: TIME,
    seq: 1,
  });
});

describe("each kind of record", () => {
  test.each<[string, RunState, StepRecordDraft, Partial<RunState>]>([
    [
      "step.started puts calls in flight",
      started,
      record("step.started", { calls: [call] }),
      { status: "running", inFlight: { at: "calls", calls: [call] }, steps: 0 },
    ],
    [
      "step.waiting opens a wait",
      started,
      record("step.waiting", { wait }),
      { status: "waiting", inFlight: { at: "wait", wait }, steps: 0 },
    ],
    [
      "step.completed counts and moves",
      started,
      record("step.completed", { to: "second" }),
      { status: "running", node: "second", steps: 1 },
    ],
    ["step.completed without a target stays", started, record("step.completed"), { node: "first", steps: 1 }],
    [
      "step.failed counts and moves",
      started,
      record("step.failed", { to: "rescue", error: { code: "X", message: "", retryable: false } }),
      { node: "rescue", steps: 1, error: { code: "X", message: "", retryable: false } },
    ],
    [
      "run.completed ends",
      started,
      record("run.completed", { output: { value: 1 } }),
      { status: "completed", output: 1, endTime: LATER, steps: 0 },
    ],
    [
      "run.completed by a step counts it",
      started,
      record("run.completed", { status: "completed", output: { value: null } }),
      { steps: 1 },
    ],
    [
      "run.failed by a step counts it",
      started,
      record("run.failed", { status: "failed" }),
      { status: "failed", steps: 1 },
    ],
    ["run.failed by a limit counts none", started, record("run.failed"), { status: "failed", steps: 0 }],
    ["run.cancelled ends", started, record("run.cancelled", { reason: "x" }), { status: "cancelled", endTime: LATER }],
    ["run.paused", started, record("run.paused"), { status: "running", paused: true }],
    [
      "run.cancel_requested moves, and is remembered",
      started,
      record("run.cancel_requested", { to: "undo", deadline_time: LATER }),
      { node: "undo", cancelling: true, deadlineTime: LATER, steps: 0 },
    ],
  ])("%s", (_what, before, next, expected) => {
    const run = apply({ ...before, seq: 1 }, next);
    expect(run).toMatchObject({ ...expected, seq: 2, updateTime: LATER });
  });

  test.each<RecordKind>(["run.resumed", "step.completed", "run.cancel_requested", "run.failed"])(
    "%s ends a wait and calls",
    (kind) => {
      for (const before of [waiting, parked]) {
        const run = apply(before, record(kind, {}, { seq: 3 }));
        expect("inFlight" in run).toBe(false);
      }
    },
  );

  test.each<[RecordKind, boolean]>([
    ["run.paused", true],
    ["run.unpaused", false],
  ])("%s keeps the wait and the calls", (kind, paused) => {
    const { inFlight } = waiting;
    expect(apply(waiting, record(kind, {}, { seq: 3 }))).toMatchObject({ status: "waiting", inFlight, paused });
    expect(apply(parked, record(kind, {}, { seq: 3 }))).toMatchObject({
      status: "running",
      inFlight: { at: "calls", calls: [call] },
      paused,
    });
  });

  test.each<RecordKind>(["run.completed", "run.failed", "run.cancelled"])("%s ends a pause", (kind) => {
    const end = record(kind, { output: { value: null } });
    expect(apply({ ...started, paused: true }, end).paused).toBe(false);
  });

  test("a record without paused leaves a pause as it is", () => {
    expect(apply({ ...waiting, paused: true }, record("step.completed", {}, { seq: 3 })).paused).toBe(true);
  });

  test("an epoch is that of the last record, and what a record does not say stays", () => {
    const before: RunState = { ...started, deadlineTime: LATER, error: { code: "X", message: "", retryable: false } };
    const run = apply(before, record("step.completed", { to: "second" }, { epoch: 2 }));
    expect(run).toMatchObject({ epoch: 2, deadlineTime: LATER, error: before.error, labels: before.labels });
  });
});

describe("records about a call", () => {
  const calls = [
    { ...call, kind: "tool", call_id: "a" },
    { ...call, kind: "tool", ordinal: 1, idempotency_key: "l", attempt: 2, retry_time: LATER },
  ] as const;
  const sequel = { to: "second", result_path: "/r" };
  const before = fold([start, record("step.started", { calls: [...calls], sequel })])!;
  const error = { code: "X", message: "", retryable: true };
  const of = (kind: RecordKind, body: RecordBody, given?: string) =>
    apply(before, record(kind, body, { seq: 3, ...(given === undefined ? {} : { given }) }));

  test.each<[string, RunState, object[]]>([
    [
      "call.completed gives its output",
      of("call.completed", { call: { ordinal: 0 } }, '{"n":1}'),
      [{ ...calls[0], outcome: { output: { n: 1 }, seq: 3 } }, calls[1]],
    ],
    [
      "call.completed gives null",
      of("call.completed", { call: { ordinal: 0 } }, "null"),
      [{ ...calls[0], outcome: { output: null, seq: 3 } }, calls[1]],
    ],
    [
      "call.failed gives its failure, and ends a retry",
      of("call.failed", { call: { ordinal: 1 }, error }),
      [calls[0], { ...call, kind: "tool", ordinal: 1, idempotency_key: "l", attempt: 2, outcome: { error } }],
    ],
    [
      "call.retrying gives the attempt to come",
      of("call.retrying", { call: { ordinal: 0, next_attempt: 2, retry_time: LATER }, error }),
      [{ ...calls[0], attempt: 2, retry_time: LATER }, calls[1]],
    ],
  ])("%s, and nothing else changes", (_what, run, expected) => {
    expect(run).toEqual({ ...before, inFlight: { ...before.inFlight, calls: expected }, seq: 3 });
  });

  test("a step that is done takes what its calls gave, in their order", () => {
    const back = [
      record("call.failed", { call: { ordinal: 1 }, error }, { seq: 3 }),
      record("call.completed", { call: { ordinal: 0 } }, { seq: 4, given: "7" }),
    ].reduce((run, next) => apply(run, next), before);
    const body: RecordBody = {
      result: [
        { op: "set", path: "", value: {} },
        { op: "set", path: "/results", of: "calls" },
      ],
      patch: [{ op: "set", path: "/r", of: "result" }],
      to: "second",
    };
    const run = apply(back, record("step.completed", body, { seq: 5 }));
    const results = [
      { call_id: "a", name: "flow", success: true, output: 7, error: null },
      { call_id: null, name: "flow", success: false, output: null, error },
    ];
    expect(run).toMatchObject({ vars: { r: { results } }, node: "second", steps: 1 });
    expect(run).not.toHaveProperty("inFlight");
    // Whoever has the record alone cannot know.
    expect(resultOf(body, undefined)).toBeUndefined();
  });

  test.each<RecordKind>(["run.paused", "run.unpaused"])("%s keeps what follows", (kind) => {
    expect(of(kind, {})).toMatchObject({ inFlight: { calls, sequel } });
  });
});

describe("vars, results and outputs", () => {
  const given = '{"answer":{"b":1}}';
  const result: RecordBody["result"] = [
    { op: "set", path: "", value: { timed_out: false } },
    { op: "set", path: "/answer", of: "given", at: "/answer" },
  ];

  test("a result is built from null, and of what was given", () => {
    expect(resultOf({ result }, { answer: 7 })).toEqual({ timed_out: false, answer: 7 });
    expect(resultOf({}, { answer: 7 })).toBeUndefined();
  });

  test("a patch takes from the result and from what was given", () => {
    const patch: RecordBody["patch"] = [
      { op: "set", path: "/reply", of: "result" },
      { op: "append", path: "/list", values: [2] },
      { op: "set", path: "/b", of: "given", at: "/answer/b" },
      { op: "unset", path: "/a" },
    ];
    const run = apply(started, record("step.completed", { result, patch }, { given }));
    expect(run.vars).toEqual({ list: [1, 2], reply: { timed_out: false, answer: { b: 1 } }, b: 1 });
    expect(started.vars).toEqual({ a: 1, list: [1] });
  });

  test.each<[string, RecordBody, unknown]>([
    ["a value", { status: "completed", output: { value: { x: 1 } } }, { x: 1 }],
    ["null", { status: "completed", output: { value: null } }, null],
    ["the result", { status: "completed", result, output: { of: "result" } }, { timed_out: false, answer: { b: 1 } }],
  ])("the output may be %s", (_what, body, output) => {
    expect(apply(started, record("run.completed", body, { given })).output).toEqual(output);
  });

  test("vars that no patch touches are the same object", () => {
    expect(apply(started, record("step.completed", { to: "second" })).vars).toBe(started.vars);
  });
});

test("cursors are replaced by scope, name and key, the changed ones last", () => {
  const before: RunState = {
    ...started,
    cursors: [
      { scope: "global", name: "a", number: 1 },
      { scope: "global", name: "a", key: "k", number: 2 },
      { scope: "run", name: "a", number: 3 },
    ],
  };
  const cursors = [
    { scope: "global", name: "a", key: "k", number: 8 },
    { scope: "global", name: "b", number: 9 },
  ] as const;
  expect(apply(before, record("step.completed", { cursors: [...cursors] })).cursors).toEqual([
    { scope: "global", name: "a", number: 1 },
    { scope: "run", name: "a", number: 3 },
    ...cursors,
  ]);
});

describe("a ledger that cannot be is a bug, not a state", () => {
  test.each<[string, () => unknown, RegExp]>([
    ["a gap", () => apply(started, record("step.completed", {}, { seq: 3 })), /gapless/],
    ["a record twice", () => apply(started, record("step.completed", {}, { seq: 1 })), /gapless/],
    ["time that goes back", () => apply(waiting, record("step.completed", {}, { seq: 3, time: TIME })), /never before/],
    [
      "a record after the end",
      () => fold([start, record("run.failed"), record("run.paused", {}, { seq: 3 })]),
      /has ended/,
    ],
    ["another beginning", () => fold([record("step.completed", {}, { seq: 1 })]), /begins with run\.started/],
    ["a start that is not the first", () => fold([{ ...start, seq: 2 }]), /run\.started is the first record/],
    ["a second start", () => fold([start, { ...start, seq: 2 }]), /a run starts once/],
    [
      "a kind that is not known",
      () => fold([start, record("run.folded" as RecordKind)]),
      /does not know records of kind/,
    ],
  ])("%s", (_what, work, message) => {
    expect(work).toThrow(message);
  });

  test("no records give no state", () => {
    expect(fold([])).toBeUndefined();
  });
});
