import { RunFilterSchema, RunSchema, RunStatus } from "@abstractruntime/proto/run_pb";
import { PatchOpKind, PatchSource, StepRecordSchema, StepStatus } from "@abstractruntime/proto/step_record_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import { WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { StartRunRequestSchema } from "@abstractruntime/proto/runtime_service_pb";
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { assert, json as anyJsonText, property } from "fast-check";
import { describe, expect, test } from "vitest";
import { parseInstant } from "../core/duration.ts";
import { compileWorkflow } from "../core/compile/workflow.ts";
import { fakeRecord, fakeRun, fakeWait, fakeWorkflow, FAKE_TIME } from "../../../tests/support/fake-engine.ts";
import { jsonFromPlain, jsonFromValue, valueFromJson } from "./json-conversion.ts";
import { runFilterFromProto, runToProto, runToProtoBasic, startRequestFromProto } from "./run-conversion.ts";
import { stepRecordToProto } from "./step-record-conversion.ts";
import { durationFromMs, instantFromTimestamp, msFromDuration, timestampFromInstant } from "./time-conversion.ts";
import { waitToProto } from "./wait-conversion.ts";
import { definitionFromProto, matchesWorkflowFilter, workflowToProto } from "./workflow-conversion.ts";

describe("JSON", () => {
  test("any value survives Value, Struct and back", () => {
    assert(
      property(anyJsonText({ maxDepth: 5 }), (text) => {
        if (text.includes("__proto__")) return;
        const json = jsonFromPlain(JSON.parse(text));
        const run = fromBinary(RunSchema, toBinary(RunSchema, create(RunSchema, { output: valueFromJson(json) })));
        expect(jsonFromValue(run.output)).toEqual(json);
        expect(jsonFromPlain(JSON.parse(JSON.stringify(json)))).toEqual(json);
      }),
    );
  });

  test("objects have no prototype, minus zero becomes zero, a missing value becomes null", () => {
    const plain = jsonFromPlain(JSON.parse('{"a":{"b":[{"c":-0}]}}')) as { a: { b: [{ c: number }] } };
    for (const object of [plain, plain.a, plain.a.b[0]]) expect("toString" in object).toBe(false);
    expect(Object.is(plain.a.b[0].c, 0)).toBe(true);
    expect(Object.is(jsonFromValue(valueFromJson(-0)), 0)).toBe(true);
    expect(jsonFromValue(undefined)).toBe(null);
  });
});

describe("times", () => {
  test.each(["0001-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.000001Z", FAKE_TIME])(
    "%s survives",
    (text) => {
      const instant = parseInstant(text);
      expect(instantFromTimestamp(timestampFromInstant(instant))).toBe(instant);
    },
  );

  test.each([
    { seconds: 253_402_300_800n, nanos: 0 },
    { seconds: -62_135_596_801n, nanos: 0 },
    { seconds: 10n ** 18n, nanos: 0 },
    { seconds: 0n, nanos: -1 },
    { seconds: 0n, nanos: 1_000_000_000 },
  ])("%o is none", (timestamp) => {
    expect(() => instantFromTimestamp(create(TimestampSchema, timestamp))).toThrow(/time|nanos|years/i);
  });

  test("durations", () => {
    for (const ms of [0, 1, 1_500, 300_000, 0.5]) expect(msFromDuration(durationFromMs(ms))).toBe(ms);
  });
});

describe("runs", () => {
  test("in the full view", () => {
    const run = runToProto({
      ...fakeRun({ status: "completed", output: null, endTime: FAKE_TIME }),
      blockedReason: "no_worker",
    });
    expect(toJson(RunSchema, run)).toMatchObject({
      runId: "run-1",
      status: "RUN_STATUS_COMPLETED",
      vars: { text: "hi", n: [1, null, { deep: true }] },
      output: null,
      blockedReason: "BLOCKED_REASON_NO_WORKER",
      labels: { team: "a" },
      usage: { steps: 2 },
      createTime: FAKE_TIME,
      endTime: FAKE_TIME,
    });
  });

  test("in the basic view, without vars and output", () => {
    const run = runToProtoBasic(
      fakeRun({
        output: 1,
        error: { code: "C", message: "m", retryable: true, node_id: "n", attempt: 2, details: [1] },
      }),
    );
    expect(run.vars).toBe(undefined);
    expect(run.output).toBe(undefined);
    expect(toJson(RunSchema, run)).toMatchObject({
      error: { code: "C", message: "m", retryable: true, nodeId: "n", attempt: 2, details: [1] },
    });
  });

  test("a waiting run shows its wait, with the run's fields", () => {
    const run = runToProto(
      fakeRun({ status: "waiting", sessionId: "s", inFlight: { at: "wait", wait: fakeWait().wait } }),
    );
    expect(run.status).toBe(RunStatus.WAITING);
    expect(run.waiting).toMatchObject({ runId: "run-1", workflowId: "flow", sessionId: "s", labels: { team: "a" } });
  });

  test("a start leaves out missing fields", () => {
    const request = startRequestFromProto(create(StartRunRequestSchema, { workflowId: "w", limits: {} }));
    expect(request).toEqual({ workflowId: "w", version: 0, vars: {}, labels: {}, limits: {}, paused: false });
    const full = fromJson(StartRunRequestSchema, {
      runId: "r",
      workflowId: "w",
      startAt: "2026-01-02T03:04:05Z",
      limits: { maxSteps: 5, runTimeout: "3d", maxCostUsd: 0.5 },
    });
    expect(startRequestFromProto(full)).toMatchObject({
      runId: "r",
      startAt: "2026-01-02T03:04:05.000000Z",
      limits: { maxSteps: 5, runTimeout: "3d", maxCostUsd: 0.5 },
    });
  });

  test("a filter leaves out missing fields, but not `paused: false`", () => {
    expect(runFilterFromProto(undefined)).toEqual({});
    expect(runFilterFromProto(create(RunFilterSchema))).toEqual({});
    const filter = create(RunFilterSchema, {
      paused: false,
      statuses: [RunStatus.WAITING],
      waitingReasons: [WaitReason.USER],
      labels: { a: "b" },
    });
    expect(runFilterFromProto(filter)).toEqual({
      paused: false,
      statuses: ["waiting"],
      waitingReasons: ["user"],
      labels: { a: "b" },
    });
  });
});

test("a wait", () => {
  const wait = waitToProto({ ...fakeWait(), closeTime: FAKE_TIME, answeredBy: "ann" });
  expect(wait).toMatchObject({
    waitId: "abcdefghijklmnopqrstuvwxyz",
    reason: WaitReason.USER,
    prompt: "Sure?",
    answeredBy: "ann",
  });
  expect(jsonFromValue(wait.choices)).toEqual(["yes", "no"]);
  expect(wait.answerSchema).toEqual({ enum: ["yes", "no"] });
});

describe("step records", () => {
  test("show the built result, the unchanged patch, and the output that is the result", () => {
    const record = stepRecordToProto(fakeRecord(), { withProof: false });
    expect(record).toMatchObject({ status: StepStatus.COMPLETED, hash: "a".repeat(64) });
    expect(record.proof).toBe(undefined);
    expect(jsonFromValue(record.result)).toEqual({ answer: "yes" });
    expect(jsonFromValue(record.output)).toEqual({ answer: "yes" });
    expect(record.patch).toMatchObject([
      { op: PatchOpKind.SET, path: "/reply", of: PatchSource.RESULT, at: "" },
      { op: PatchOpKind.UNSET, path: "/old" },
    ]);
  });

  test("return the exact bytes as proof", () => {
    const { proof } = stepRecordToProto(fakeRecord(), { withProof: true });
    const bytes = toBinary(StepRecordSchema, stepRecordToProto(fakeRecord(), { withProof: true }));
    expect(fromBinary(StepRecordSchema, bytes).proof).toEqual(proof);
    expect(proof).toMatchObject({ headerJson: '{"v":1}', bodyJson: '{"status":"completed"}' });
    expect(Buffer.from(proof?.given ?? []).toString()).toBe('{"answer":"yes"}');
    expect(Object.keys(proof?.salts ?? {})).toEqual(["body", "given"]);
  });

  test("without a result have none", () => {
    const view = fakeRecord();
    view.opened.body = { status: "started" };
    const record = stepRecordToProto(view, { withProof: false });
    expect([record.result, record.output]).toEqual([undefined, undefined]);
  });
});

describe("workflows", () => {
  const definition = {
    workflowId: "flow",
    entryNode: "ask",
    nodes: {
      ask: {
        askUser: { prompt: "?", choices: ["a", null], timeout: "3d" },
        resultKey: "reply",
        next: [{ to: "constructor", when: "true" }],
      },
      constructor: { complete: { output: null } },
    },
    defaultVars: { n: 1 },
    labels: { x: "y" },
  };

  test("a definition is the proto JSON without defaults and without fields that the server sets", () => {
    const workflow = fromJson(WorkflowSchema, {
      ...definition,
      version: 7,
      digest: "x",
      description: "",
      current: true,
      archived: true,
      createTime: FAKE_TIME,
      commitEveryStep: false,
    });
    const converted = definitionFromProto(workflow);
    expect(converted).toEqual(definition);
    expect("toString" in converted.nodes).toBe(false);
    expect(compileWorkflow(converted).nodes.size).toBe(2);
  });

  test("a definition survives conversion to proto and back", () => {
    const view = fakeWorkflow(definition);
    const workflow = workflowToProto(view);
    expect(workflow).toMatchObject({ version: 1, current: true, archived: false });
    expect(definitionFromProto(fromBinary(WorkflowSchema, toBinary(WorkflowSchema, workflow)))).toEqual(definition);
  });

  test("the filter's labels and archived", () => {
    const view = { ...fakeWorkflow({ labels: { x: "y" } }), archived: true };
    const filter = (labels: Record<string, string>, archived?: boolean) =>
      ({ workflowId: "", labels, archived }) as unknown as Parameters<typeof matchesWorkflowFilter>[1];
    expect(matchesWorkflowFilter(view, undefined)).toBe(true);
    expect(matchesWorkflowFilter(view, filter({ x: "y" }, true))).toBe(true);
    expect(matchesWorkflowFilter(view, filter({ x: "z" }))).toBe(false);
    expect(matchesWorkflowFilter(view, filter({ toString: "y" }))).toBe(false);
    expect(matchesWorkflowFilter(view, filter({}, false))).toBe(false);
  });
});
