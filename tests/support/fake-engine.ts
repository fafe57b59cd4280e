/** A made-up engine for the tests of rpc: every call is noted, and every answer can be replaced. */
import type { AnyRecord, RecordBody } from "../../server/src/core/records.ts";
import type { Instant } from "../../server/src/core/duration.ts";
import type { JsonObject } from "../../server/src/core/json/json.ts";
import type { RunState } from "../../server/src/core/run.ts";
import type {
  Caller,
  Engine,
  RunExplanation,
  RunView,
  StepRecordView,
  WaitView,
  WorkflowView,
} from "../../server/src/engine/api.ts";

export const FAKE_TIME = "2026-01-02T03:04:05.678901Z" as Instant;

export type FakeEngine = Engine & {
  calls: { method: string; caller: Caller; args: unknown[] }[];
  /** Sets whether the engine serves, and notifies listeners. */
  setServing(serving: boolean): void;
  /** The number of listeners of `onServingChange`. */
  listeners(): number;
};

export function fakeRun(state: Partial<RunState> = {}, view: RunView["view"] = "full"): RunView {
  return {
    view,
    state: {
      tenantId: "default",
      runId: "run-1",
      workflowId: "flow",
      version: 1,
      digest: "d".repeat(64),
      rootRunId: "run-1",
      labels: { team: "a" },
      limits: {},
      channels: { run: 0, session: 0, workflow: 0, global: 0 },
      createTime: FAKE_TIME,
      status: "running",
      paused: false,
      cancelling: false,
      node: "first",
      vars: { text: "hi", n: [1, null, { deep: true }] },
      steps: 2,
      epoch: 0,
      cursors: [],
      updateTime: FAKE_TIME,
      seq: 3,
      ...state,
    },
  };
}

export function fakeExplanation(facts: Partial<RunExplanation> = {}): RunExplanation {
  return {
    now: FAKE_TIME,
    run: fakeRun({}, "basic"),
    next: { kind: "unknown", message: "Nobody knows.", metadata: {} },
    rowRecordsBehind: 0,
    mail: { first: [], total: 0 },
    jobCounts: [],
    openJobs: [],
    ...facts,
  };
}

export function fakeWait(): WaitView {
  return {
    runId: "run-1",
    workflowId: "flow",
    labels: {},
    wait: {
      wait_id: "abcdefghijklmnopqrstuvwxyz",
      asks: "question",
      node_id: "ask",
      create_time: FAKE_TIME,
      prompt: "Sure?",
      choices: ["yes", "no"],
      answer_schema: { enum: ["yes", "no"] },
    },
  };
}

export function fakeRecord(seq = 1, body?: RecordBody): StepRecordView {
  const record: AnyRecord = {
    tenant_id: "default",
    run_id: "run-1",
    kind: "step.completed",
    seq,
    time: FAKE_TIME,
    epoch: 0,
    node_id: "ask",
    body: body ?? {
      status: "completed",
      result: [
        { op: "set", path: "", value: {} },
        { op: "set", path: "/answer", of: "given", at: "/answer" },
      ],
      patch: [
        { op: "set", path: "/reply", of: "result" },
        { op: "unset", path: "/old" },
      ],
      output: { of: "result" },
    },
    given: '{"answer":"yes"}',
  };
  const { body: opened, given, ...header } = record;
  return {
    runId: header.run_id,
    opened: { header, body: opened, damaged: [], ...(given === undefined ? {} : { given }) },
    sealed: {
      seq,
      header: '{"v":1}',
      hash: "a".repeat(64),
      parts: [
        { name: "body", text: '{"status":"completed"}', salt: new Uint8Array(16).fill(1) },
        { name: "given", text: '{"answer":"yes"}', salt: new Uint8Array(16).fill(2) },
      ],
    },
  };
}

export function fakeWorkflow(definition: Partial<WorkflowView["definition"]> = {}): WorkflowView {
  return {
    version: 1,
    digest: "d".repeat(64),
    createTime: FAKE_TIME,
    current: true,
    archived: false,
    definition: { workflowId: "flow", entryNode: "done", nodes: { done: { complete: {} } }, ...definition },
  };
}

export function createFakeEngine(replaced: Partial<Engine> = {}): FakeEngine {
  let serving = true;
  const listeners = new Set<(serving: boolean) => void>();
  const answers: Engine = {
    registerWorkflow: async (_caller, definition) => fakeWorkflow(definition),
    getWorkflow: async () => fakeWorkflow(),
    listWorkflows: async () => ({ workflows: [fakeWorkflow()], nextPageToken: "" }),
    setCurrentVersion: async () => fakeWorkflow(),
    setArchived: async () => fakeWorkflow(),
    startRun: async (_caller, { vars, runId }) => fakeRun({ vars, ...(runId === undefined ? {} : { runId }) }),
    startRuns: async (_caller, starts) => starts.map(({ request: { vars } }) => fakeRun({ vars })),
    getRun: async (_caller, runId, view) => fakeRun({ runId }, view),
    explainRun: async () => fakeExplanation(),
    listRuns: async () => ({ runs: [fakeRun()], nextPageToken: "" }),
    awaitRun: async () => fakeRun({ status: "completed", output: null }),
    deleteRun: async () => undefined,
    listWaits: async () => ({ waits: [fakeWait()], nextPageToken: "" }),
    getWait: async () => fakeWait(),
    resumeRun: async (_caller, { payload }) => fakeRun({ vars: { payload } }),
    emitEvent: async () => ({ eventId: "event-1", delivered: 1 }),
    cancelRun: async () => fakeRun({ status: "cancelled" }),
    pauseRun: async () => fakeRun({ paused: true }),
    unpauseRun: async () => fakeRun(),
    tickRun: async () => fakeRun(),
    listStepRecords: async () => ({ records: [fakeRecord()], nextPageToken: "" }),
    getStepRecord: async (_caller, _runId, seq) => fakeRecord(seq),
    async *watchRun() {
      yield { cursor: "1", stepRecord: fakeRecord() };
      yield { cursor: "1" };
    },
    async *watchRuns() {
      yield { cursor: "c1", notice: { noticeId: "n1", kind: "started", run: fakeRun() } };
      yield { cursor: "c1" };
    },
    connectWorker: async () => ({ receive: () => undefined, close: () => undefined }),
    listWorkers: async () => ({ workers: [], nextPageToken: "" }),
    isServing: () => serving,
    problems: () => [],
    onServingChange(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    ...replaced,
  };
  const calls: FakeEngine["calls"] = [];
  const noted = new Proxy(answers, {
    get(target, method: keyof Engine) {
      const answer = target[method] as (...args: unknown[]) => unknown;
      if (["isServing", "problems", "onServingChange"].includes(method)) return answer;
      return (caller: Caller, ...args: unknown[]) => {
        calls.push({ method, caller, args });
        return answer(caller, ...args);
      };
    },
  });
  return Object.assign(Object.create(noted) as Engine, {
    calls,
    listeners: () => listeners.size,
    setServing(next: boolean) {
      serving = next;
      for (const listener of listeners) listener(next);
    },
  });
}

/** Nested this deep: `{"a":{"a":…}}`. */
export function nested(levels: number): JsonObject {
  let value: JsonObject = {};
  for (let level = 1; level < levels; level++) value = { a: value };
  return value;
}
