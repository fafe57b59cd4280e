import { RunExplanationSchema } from "@abstractruntime/proto/run_explanation_pb";
import { toJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { RunExplanation } from "../engine/api.ts";
import { FAKE_TIME, fakeExplanation, fakeRun } from "../../../tests/support/fake-engine.ts";
import { explanationToProto } from "./run-explanation-conversion.ts";

const RUN = expect.objectContaining({ runId: "run-1", blockedReason: "BLOCKED_REASON_NO_WORKER" }) as unknown;

function jsonOf(facts: Partial<RunExplanation>) {
  return toJson(RunExplanationSchema, explanationToProto(fakeExplanation(facts))) as Record<string, unknown>;
}

const LEASED = {
  idempotencyKey: "key-1",
  kind: "tool",
  name: "pay",
  nodeId: "first",
  state: "running",
  leaseNo: 3,
  workerSessionId: "worker-1",
  leaseServerId: "server-1",
  leaseTime: FAKE_TIME,
  losses: 2,
  attempt: 4,
  held: false,
  isWorkerListed: true,
  reason: { kind: "worker_away", message: "Away.", metadata: { worker_session_id: "worker-1" } },
} as const;
const OPEN = {
  idempotencyKey: "key-2",
  kind: "handler",
  name: "flow",
  nodeId: "second",
  state: "open",
  leaseNo: 1,
  losses: 0,
  attempt: 1,
  held: false,
  dueTime: FAKE_TIME,
  queuePlace: 7,
  reason: { kind: "queue", message: "Later.", metadata: {} },
} as const;

test("an explanation with everything in it", () => {
  const explanation = jsonOf({
    run: { ...fakeRun(), blockedReason: "no_worker" },
    next: { kind: "worker_return", message: "It comes back.", metadata: { job_name: "pay" } },
    owner: { laneId: 2 ** 40, serverId: "server-1", process: "p", lease: "other", sinceRenewalMs: 1_500 },
    rowRecordsBehind: 2,
    wakeTime: FAKE_TIME,
    mail: { first: [{ kind: "cancel", createTime: FAKE_TIME }], total: 21 },
    channel: { scope: "workflow", scopeId: "flow", lastNumber: 2 ** 40, lookedNumber: 8, startNumber: 3 },
    jobCounts: [
      { state: "settled", count: 5 },
      { state: "open", count: 1 },
    ],
    openJobs: [LEASED, OPEN],
  });
  expect(explanation).toEqual({
    run: RUN,
    next: { kind: "NEXT_MOVE_KIND_WORKER_RETURN", message: "It comes back.", metadata: { job_name: "pay" } },
    owner: {
      serverId: "server-1",
      process: "p",
      laneId: String(2 ** 40),
      lease: "LEASE_STATE_OTHER",
      sinceRenewal: "1.500s",
    },
    rowRecordsBehind: 2,
    wakeTime: "2026-01-02T03:04:05.678901Z",
    mail: [{ kind: "cancel", createTime: "2026-01-02T03:04:05.678901Z" }],
    mailTotal: 21,
    channel: {
      scope: "SCOPE_WORKFLOW",
      scopeId: "flow",
      lastNumber: String(2 ** 40),
      lookedNumber: "8",
      startNumber: "3",
    },
    jobCounts: [
      { state: "JOB_STATE_OPEN", count: 1 },
      { state: "JOB_STATE_SETTLED", count: 5 },
    ],
    openJobs: [
      {
        kind: "JOB_KIND_TOOL",
        name: "pay",
        nodeId: "first",
        idempotencyKey: "key-1",
        state: "JOB_STATE_RUNNING",
        attempt: 4,
        lease: {
          workerSessionId: "worker-1",
          serverId: "server-1",
          number: 3,
          beginTime: "2026-01-02T03:04:05.678901Z",
        },
        losses: 2,
        reason: {
          kind: "JOB_REASON_KIND_WORKER_AWAY",
          message: "Away.",
          metadata: { worker_session_id: "worker-1" },
        },
      },
      {
        kind: "JOB_KIND_HANDLER",
        name: "flow",
        nodeId: "second",
        idempotencyKey: "key-2",
        state: "JOB_STATE_OPEN",
        attempt: 1,
        dueTime: "2026-01-02T03:04:05.678901Z",
        queuePlace: 7,
        reason: { kind: "JOB_REASON_KIND_QUEUE", message: "Later." },
      },
    ],
    readTime: "2026-01-02T03:04:05.678901Z",
  });
  // Basic, whatever view it was read in.
  expect(explanation["run"]).not.toHaveProperty("vars");
});

test("an explanation with nothing in it but the run", () => {
  const explanation = jsonOf({ run: { ...fakeRun(), blockedReason: "no_worker" } });
  expect(explanation).toEqual({
    run: RUN,
    next: { message: "Nobody knows." },
    readTime: "2026-01-02T03:04:05.678901Z",
  });
});
