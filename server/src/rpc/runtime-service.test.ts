import { Scope } from "@abstractruntime/proto/event_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { NoticeKind } from "@abstractruntime/proto/notice_pb";
import { RunOrder, RunView } from "@abstractruntime/proto/run_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { beforeEach, expect, test } from "vitest";
import { PERMISSIONS } from "../engine/caller.ts";
import { authInterceptor } from "./auth.ts";
import { createFakeEngine } from "../../../tests/support/fake-engine.ts";
import { valueFromJson } from "./json-conversion.ts";
import { createLedgerService } from "./ledger-service.ts";
import { createReplyEncoder } from "./reply-encoding.ts";
import { createRuntimeService } from "./runtime-service.ts";
import { createTurns } from "./turns.ts";

const engine = createFakeEngine();
const transport = createRouterTransport(
  (router) => {
    const replies = createReplyEncoder(createTurns());
    router.service(RuntimeService, createRuntimeService(engine, replies));
    router.service(LedgerService, createLedgerService(engine, replies));
  },
  { router: { interceptors: [authInterceptor()] } },
);
const runtime = createClient(RuntimeService, transport);
const ledger = createClient(LedgerService, transport);
const graph = { workflowId: "w", entryNode: "a", nodes: { a: { kind: { case: "handler", value: {} } } } } as const;
const seconds = (n: number) => create(DurationSchema, { seconds: BigInt(n) });

beforeEach(() => {
  engine.calls.length = 0;
});

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of messages);
}

test.each([
  [
    "registerWorkflow",
    () => runtime.registerWorkflow({ workflow: graph }),
    [{ workflowId: "w", entryNode: "a", nodes: { a: { handler: {} } } }],
  ],
  ["getWorkflow", () => runtime.getWorkflow({ workflowId: "w", version: 2 }), ["w", 2]],
  ["listWorkflows", () => runtime.listWorkflows({}), [{ pageSize: 0, pageToken: "", includeArchived: true }]],
  [
    "listWorkflows",
    () => runtime.listWorkflows({ filter: { workflowId: "w", archived: false }, pageSize: 3, pageToken: "p" }),
    [{ pageSize: 3, pageToken: "p", includeArchived: false, workflowId: "w" }],
  ],
  ["setCurrentVersion", () => runtime.setCurrentVersion({ workflowId: "w", version: 0 }), ["w", 0]],
  ["setArchived", () => runtime.archiveWorkflow({ workflowId: "w" }), ["w", true]],
  ["setArchived", () => runtime.archiveWorkflow({ workflowId: "w", unarchive: true }), ["w", false]],
  [
    "startRun",
    () => runtime.startRun({ workflowId: "w", actorId: "me" }),
    [{ workflowId: "w", version: 0, vars: {}, labels: {}, limits: {}, paused: false }],
    "me",
  ],
  [
    "startRuns",
    () => runtime.startRuns({ requests: [{ workflowId: "w", actorId: "me" }, { workflowId: "v" }] }),
    [
      [
        {
          actor: { id: "me", proof: "claimed" },
          request: { workflowId: "w", version: 0, vars: {}, labels: {}, limits: {}, paused: false },
        },
        { request: { workflowId: "v", version: 0, vars: {}, labels: {}, limits: {}, paused: false } },
      ],
    ],
  ],
  ["getRun", () => runtime.getRun({ runId: "r" }), ["r", "full"]],
  ["getRun", () => runtime.getRun({ runId: "r", view: RunView.BASIC }), ["r", "basic"]],
  ["explainRun", () => runtime.explainRun({ runId: "r" }), ["r"]],
  [
    "listRuns",
    () => runtime.listRuns({ order: RunOrder.UPDATE_TIME_DESC }),
    [{ filter: {}, order: "update_time_desc", view: "basic", pageSize: 0, pageToken: "" }],
  ],
  [
    "awaitRun",
    () => runtime.awaitRun({ runId: "r" }),
    [
      {
        runId: "r",
        reasons: [],
        timeoutMs: 30_000,
        roomForRun: expect.any(Function) as unknown,
        signal: expect.any(AbortSignal) as unknown,
      },
    ],
  ],
  [
    "awaitRun",
    () => runtime.awaitRun({ runId: "r", reasons: [WaitReason.UNTIL], timeout: seconds(0) }),
    [expect.objectContaining({ reasons: ["until"], timeoutMs: 0 })],
  ],
  ["deleteRun", () => runtime.deleteRun({ runId: "r" }), ["r"]],
  [
    "listWaits",
    () => runtime.listWaits({ filter: { assignee: "ann" } }),
    [{ filter: { reasons: [], assignee: "ann" }, pageSize: 0, pageToken: "" }],
  ],
  ["getWait", () => runtime.getWait({ waitId: "w" }), ["w"]],
  [
    "resumeRun",
    () => runtime.resumeRun({ runId: "r", waitId: "w", payload: valueFromJson({ answer: "yes" }), requestId: "q" }),
    [{ runId: "r", waitId: "w", payload: { answer: "yes" }, requestId: "q" }],
  ],
  ["resumeRun", () => runtime.resumeRun({ runId: "r", waitId: "w" }), [{ runId: "r", waitId: "w", payload: null }]],
  [
    "resumeRun",
    () => runtime.resumeRun({ runId: "r", waitId: "w", actorId: "a" }),
    [{ runId: "r", waitId: "w", payload: null }],
    "a",
  ],
  [
    "emitEvent",
    () => runtime.emitEvent({ name: "n", target: { case: "runId", value: "r" } }),
    [{ name: "n", scope: "run", scopeId: "r", key: "", payload: null }],
  ],
  [
    "emitEvent",
    () => runtime.emitEvent({ name: "n", scope: Scope.GLOBAL, key: "k", eventId: "e" }),
    [{ name: "n", scope: "global", scopeId: "", key: "k", payload: null, eventId: "e" }],
  ],
  [
    "emitEvent",
    () => runtime.emitEvent({ name: "n", scope: Scope.GLOBAL, actorId: "a" }),
    [{ name: "n", scope: "global", scopeId: "", key: "", payload: null }],
    "a",
  ],
  ["cancelRun", () => runtime.cancelRun({ runId: "r", reason: "why" }), [{ runId: "r", reason: "why" }]],
  ["cancelRun", () => runtime.cancelRun({ runId: "r", actorId: "a" }), [{ runId: "r" }], "a"],
  ["pauseRun", () => runtime.pauseRun({ runId: "r", actorId: "a" }), [{ runId: "r" }], "a"],
  ["unpauseRun", () => runtime.unpauseRun({ runId: "r" }), [{ runId: "r" }]],
  ["unpauseRun", () => runtime.unpauseRun({ runId: "r", actorId: "a" }), [{ runId: "r" }], "a"],
  ["tickRun", () => runtime.tickRun({ runId: "r" }), [{ runId: "r", maxSteps: 1 }]],
  ["tickRun", () => runtime.tickRun({ runId: "r", maxSteps: 9 }), [{ runId: "r", maxSteps: 9 }]],
  [
    "watchRun",
    () => drain(runtime.watchRun({ runId: "r", afterSeq: 4 })),
    [{ runId: "r", afterSeq: 4, signal: expect.any(AbortSignal) as unknown }],
  ],
  [
    "watchRuns",
    () => drain(runtime.watchRuns({ kinds: [NoticeKind.FAILED], cursor: "c" })),
    [{ filter: {}, kinds: ["failed"], cursor: "c", signal: expect.any(AbortSignal) as unknown }],
  ],
  [
    "listStepRecords",
    () => ledger.listStepRecords({ runId: "r", wait: seconds(2) }),
    [
      {
        runId: "r",
        afterSeq: 0,
        waitMs: 2_000,
        pageSize: 0,
        pageToken: "",
        signal: expect.any(AbortSignal) as unknown,
      },
    ],
  ],
  ["getStepRecord", () => ledger.getStepRecord({ runId: "r", seq: 3 }), ["r", 3]],
] as [string, () => Promise<unknown>, unknown[], string?][])("%s", async (method, call, args, actorId) => {
  await call();
  const actor = actorId === undefined ? {} : { actor: { id: actorId, proof: "claimed" } };
  const caller = { tenantId: "default", may: PERMISSIONS, ...actor };
  expect(engine.calls).toEqual([{ method, caller, args }]);
});

test("batches and lists are in the basic view", async () => {
  const { results } = await runtime.startRuns({ requests: [{ workflowId: "w", vars: { a: 1 } }] });
  expect(results[0]?.result).toMatchObject({ case: "run", value: { runId: "run-1" } });
  expect(results[0]?.result.value).not.toHaveProperty("vars");
  expect((await runtime.listRuns({})).runs[0]?.vars).toBe(undefined);
  expect((await runtime.startRun({ workflowId: "w", vars: { a: 1 } })).run?.vars).toEqual({ a: 1 });
});

test("streams carry content, cursors and heartbeats", async () => {
  const events = [];
  for await (const { cursor, event } of runtime.watchRuns({})) events.push([cursor, event.case]);
  expect(events).toEqual([
    ["c1", "notice"],
    ["c1", "heartbeat"],
  ]);
});
