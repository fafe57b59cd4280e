/**
 * Why a run is where it is, in each situation in which somebody asks: what ExplainRun names as the next move does move
 * the run.
 */
import { describe, expect, test } from "vitest";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import { openWaitOf } from "../../server/src/core/run.ts";
import type { Caller, RunExplanation, RunView } from "../../server/src/engine/api.ts";
import { askingGraph, countingGraph, graph, listeningGraph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";
import {
  answer,
  emitRequest,
  endLeases,
  freshCaller,
  movesRun,
  openSharedDatabase,
  refusalOf,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";

const done: NodeDefinition = { complete: {} };

function calling(names: readonly string[], policy: NodeDefinition["policy"] = {}) {
  return graph({
    tools: {
      toolCalls: { calls: names.map((name) => ({ name })) },
      resultKey: "found",
      policy,
      next: [{ to: "done" }],
    },
    done,
  });
}

function explain(server: TestServer, caller: Caller, { state: { runId } }: RunView): Promise<RunExplanation> {
  return server.engine.explainRun(caller, runId);
}

/** What is said of each open job: its name, its state and why it has no result. */
function jobsIn({ openJobs }: RunExplanation): [name: string, state: string, why: string][] {
  return openJobs.map(({ name, state, reason }) => [name, state, reason.kind]);
}

describe.each(STORE_KINDS)("what would move a run next, on %s", (kind) => {
  // A server without the worker that a handler needs parks the run at once.
  const servers = useTwoServers(kind, {
    acceptMs: 5_000,
    pingMs: 20_000,
    silenceMs: 60_000,
    reconnectMs: 60_000,
    handlerParkMs: 5,
  });

  test("nothing, if there is no such run, or it is another tenant's", async () => {
    const { a } = servers;
    const run = await startRun(a, freshCaller(), askingGraph());
    const { runId } = run.state;
    expect(await refusalOf(a.engine.explainRun(freshCaller(), runId))).toBe("RUN_UNKNOWN");
  });

  test("a person's answer; any server says so", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph({ timeout: "1h" }));
    const explained = await explain(b, caller, run);
    const wait = openWaitOf(run.state)!;
    expect(explained.next.kind).toBe("answer");
    expect(explained.next.metadata).toEqual({ wait_id: wait.wait_id, due_time: wait.due_time });
    expect(explained.next.message).toContain(`Somebody answers wait ${wait.wait_id} with ResumeRun.`);
    expect(explained.next.message).toContain(`the wait ends by itself at ${wait.due_time!.slice(0, 19)}Z`);
    expect(explained.run).toMatchObject({
      view: "basic",
      state: { status: "waiting", vars: null, seq: run.state.seq },
    });
    expect(explained).toMatchObject({ wakeTime: wait.due_time, rowRecordsBehind: 0, mail: { first: [], total: 0 } });
    expect(explained).toMatchObject({ jobCounts: [], openJobs: [] });
    expect(explained.owner).toBeUndefined();
    expect(explained.channel).toBeUndefined();
    await answer(a, caller, run, "yes");
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
  });

  test("a person's approval", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const tools: NodeDefinition = {
      toolCalls: { calls: [{ name: "pay" }], requireApproval: true },
      resultKey: "found",
      next: [{ to: "done" }],
    };
    const run = await startRun(a, caller, graph({ tools, done }));
    const { next, openJobs } = await explain(a, caller, run);
    expect(next.kind).toBe("answer");
    expect(next.message).toContain("approves or denies the calls of wait");
    expect(openJobs).toEqual([]);
  });

  test("an event; which events the run has seen", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    await a.engine.emitEvent(caller, emitRequest("before"));
    const run = await startRun(a, caller, listeningGraph({ names: ["order.paid", "order.x*"], key: "7" }));
    const first = await explain(b, caller, run);
    expect(first.next).toMatchObject({
      kind: "event",
      message: "Somebody emits event order.paid or order.x* with key 7 to global.",
    });
    expect(first.channel).toEqual({ scope: "global", scopeId: "", lastNumber: 1, lookedNumber: 1, startNumber: 1 });
    // The note of who was woken is held: as far as others know, the server that emitted may be gone.
    const note = a.hold("events.markWoken", "before");
    await a.engine.emitEvent(caller, emitRequest("order.paid", { key: "8" }));
    const { next, channel } = await explain(b, caller, run);
    expect(channel).toEqual({ scope: "global", scopeId: "", lastNumber: 2, lookedNumber: 1, startNumber: 1 });
    expect(next.kind).toBe("event");
    expect(next.message).toContain("up to number 2; the run has seen those up to 1");
    await note.reached;
    const noted = a.hold("events.markWoken", "after");
    note.release();
    await noted.reached;
    noted.release();
    const { channel: later } = await explain(b, caller, run);
    expect(later).toMatchObject({ lastNumber: 2, lookedNumber: 2 });
    await a.engine.emitEvent(caller, emitRequest("order.paid", { key: "7" }));
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    expect((await explain(b, caller, run)).channel).toBeUndefined();
  });

  test("a time, and the run's start time", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = graph({ rest: { waitUntil: { after: "1h" }, next: [{ to: "done" }] }, done });
    const run = await startRun(a, caller, definition);
    const dueTime = openWaitOf(run.state)!.due_time!;
    const { next, wakeTime } = await explain(a, caller, run);
    expect(next).toMatchObject({ kind: "time", message: `The wait ends at ${dueTime.slice(0, 19)}Z.` });
    expect(wakeTime).toBe(dueTime);
    const later = await startRun(a, caller, definition, { startAt: dueTime });
    expect((await explain(a, caller, later)).next).toMatchObject({
      kind: "time",
      message: `The run starts at ${dueTime.slice(0, 19)}Z.`,
    });
  });

  test("a worker that connects, then one that has room, then its result", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling(["pay", "look"]));
    const unserved = await explain(a, caller, run);
    expect(unserved.next).toMatchObject({ kind: "worker", metadata: { job_kind: "tool" } });
    expect(unserved.next.message).toMatch(/^A worker that serves tool `(pay|look)` connects\.$/);
    expect(unserved.run.blockedReason).toBe("no_worker");
    expect(unserved.jobCounts).toEqual([{ state: "open", count: 2 }]);
    expect(jobsIn(unserved).map(([, state, why]) => [state, why])).toEqual([
      ["open", "no_worker"],
      ["open", "no_worker"],
    ]);

    const worker = await connectTestWorker(a, caller, { toolNames: ["pay"] });
    const busy = await explain(a, caller, run);
    expect(new Map(jobsIn(busy).map(([name, , why]) => [name, why]))).toEqual(
      new Map([
        ["pay", "no_credit"],
        ["look", "no_worker"],
      ]),
    );
    expect(busy.next).toMatchObject({ kind: "worker_room", metadata: { job_name: "pay", queue_place: "1" } });
    const behind = await startRun(a, caller, calling(["pay"]));
    const queued = await explain(a, caller, behind);
    expect(queued.openJobs).toMatchObject([
      { queuePlace: 2, reason: { kind: "queue", message: "1 job is ahead of it in its queue." } },
    ]);

    worker.credit(1);
    const job = await worker.nextJob();
    worker.accept(job);
    const given = await explain(b, caller, run);
    expect(given.next).toMatchObject({
      kind: "result",
      message: `Worker ${worker.sessionId} returns the result of attempt 1 of tool \`pay\`.`,
      metadata: { worker_session_id: worker.sessionId, job_name: "pay" },
    });
    expect(given.openJobs[0]).toMatchObject({
      name: "pay",
      state: "leased",
      leaseNo: 1,
      workerSessionId: worker.sessionId,
      reason: { kind: "at_worker", metadata: { worker_session_id: worker.sessionId } },
    });
    worker.cut();
    const away = await explain(a, caller, run);
    expect(away.openJobs[0]?.reason.kind).toBe("worker_away");
    expect(away.next.kind).toBe("worker_return");
  });

  test("a worker that connects, or else the job's queue timeout", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling(["pay"], { queueTimeout: "1h" }));
    const { next, wakeTime, openJobs } = await explain(a, caller, run);
    const { dueTime } = openJobs[0]!;
    expect(next).toMatchObject({
      kind: "worker",
      message:
        "A worker that serves tool `pay` connects. " +
        `If no worker takes the job, it fails by itself at ${dueTime!.slice(0, 19)}Z.`,
      metadata: { job_name: "pay", due_time: dueTime },
    });
    expect(wakeTime).toBe(dueTime);
    // A job that is held does not time out.
    await a.engine.pauseRun(caller, { runId: run.state.runId });
    expect((await explain(a, caller, run)).wakeTime).toBeUndefined();
  });

  test("the next attempt", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["pay"] });
    worker.credit(1);
    const run = await startRun(
      a,
      caller,
      calling(["pay"], { maxAttempts: 3, initialBackoff: "1h", jitter: "JITTER_NONE" }),
    );
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.fail(job, "LATER");
    const explained = await explain(a, caller, run);
    const [delayed] = explained.openJobs;
    expect(delayed).toMatchObject({ state: "delayed", attempt: 2, reason: { kind: "retry_at" } });
    expect(explained.run.blockedReason).toBe("retry_at");
    expect(explained.wakeTime).toBe(delayed!.dueTime);
    expect(explained.next).toMatchObject({
      kind: "retry",
      message: `Attempt 2 of tool \`pay\` begins at ${delayed!.dueTime!.slice(0, 19)}Z.`,
      metadata: { attempt: "2", due_time: delayed!.dueTime },
    });
    worker.cut();
  });

  test("UnpauseRun, with the jobs that are held and those that a worker has", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["pay"] });
    worker.credit(1);
    const run = await startRun(a, caller, calling(["pay", "pay"]));
    worker.accept(await worker.nextJob());
    await a.engine.pauseRun(caller, { runId: run.state.runId });
    const explained = await explain(a, caller, run);
    expect(explained.next.kind).toBe("unpause");
    expect(explained.next.message).toContain("UnpauseRun");
    expect(jobsIn(explained)).toEqual([
      ["pay", "leased", "at_worker"],
      ["pay", "open", "held"],
    ]);
    expect(explained.wakeTime).toBeUndefined();
    await a.engine.unpauseRun(caller, { runId: run.state.runId });
    expect((await explain(a, caller, run)).next.kind).toBe("result");
    worker.cut();
  });

  test("nothing, if the run has ended", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling(["pay"]));
    await a.engine.cancelRun(caller, { runId: run.state.runId });
    const explained = await explain(b, caller, run);
    expect(explained.next).toEqual({
      kind: "nothing",
      message: "Nothing: the run has ended (cancelled).",
      metadata: {},
    });
    expect(explained).toMatchObject({ openJobs: [], jobCounts: [{ state: "cancelled", count: 1 }] });
    expect(explained.wakeTime).toBeUndefined();
  });

  test("the mail that was left for it", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { tenantId } = caller;
    const { runId } = run.state;
    // Like mail of a server that dies before it acts on it. Sweeps, which would find it, are off here.
    const serverId = `postman-${runId}`;
    const [lane] = await b.store.lanes.open({ serverId, process: "test", lanes: 1 });
    const delivery = { type: "mail", tenantId, runId, mail: { kind: "pause", body: {} } } as const;
    const outcomes = await b.store.batches.commit({
      laneId: lane!.laneId,
      batchNo: 1,
      items: [{ type: "delivery", delivery }],
    });
    await b.store.lanes.end(serverId);
    expect(outcomes).toEqual([{ type: "committed" }]);
    const { next, mail } = await explain(a, caller, run);
    expect(mail).toMatchObject({ total: 1, first: [{ kind: "pause" }] });
    expect(next.kind).toBe("mail");
    expect(next.message).toContain("A server reads the run's mail (pause)");
    expect((await a.engine.tickRun(caller, { runId, maxSteps: 1 })).state.paused).toBe(true);
    expect(await explain(a, caller, run)).toMatchObject({ mail: { total: 0 }, next: { kind: "unpause" } });
  });

  test("the worker that has its handler, according to that worker's server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = graph({ think: { handler: {}, next: [{ to: "done" }] }, done });
    const workflows = [{ workflowId: definition.workflowId, versions: [] }];
    const worker = await connectTestWorker(a, caller, { workflows });
    worker.credit(1);
    const run = await startRun(a, caller, definition);
    const job = await worker.nextJob();
    worker.accept(job);
    const here = await explain(a, caller, run);
    expect(here.owner).toMatchObject({ lease: "own" });
    expect(here.owner!.sinceRenewalMs).toBeGreaterThanOrEqual(0);
    expect(here.next).toMatchObject({ kind: "result", metadata: { worker_session_id: worker.sessionId } });
    const there = await explain(b, caller, run);
    expect(there.owner).toMatchObject({ lease: "other", serverId: here.owner!.serverId, laneId: here.owner!.laneId });
    expect(there.next).toMatchObject({ kind: "server", metadata: { server_id: here.owner!.serverId } });
    await worker.complete(job, { nextNode: "done" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    worker.cut();
  });
});

describe.each(STORE_KINDS)("a run that a server computes on, on %s", (kind) => {
  test("is shown as that server's, then as claimable, and its row as behind", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const b = await startTestServer(database);
    const caller = freshCaller();
    const definition = countingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const runId = "counting";
    const commits = a.hold(
      "batches.commit",
      "after",
      movesRun(runId, ({ after }) => after.state.seq >= 5),
    );
    const request = {
      runId,
      workflowId: definition.workflowId,
      version: 0,
      vars: {},
      labels: {},
      limits: {},
      paused: false,
    };
    await a.engine.startRun(caller, request);
    // Nothing of the run moves while its commit is held, so both servers describe the same moment.
    await commits.reached;
    const own = await a.engine.explainRun(caller, runId);
    expect(own.owner).toMatchObject({ lease: "own" });
    expect(own.next).toMatchObject({ kind: "server", metadata: { server_id: own.owner!.serverId } });
    expect(own.rowRecordsBehind).toBeGreaterThan(0);
    const elsewhere = await b.engine.explainRun(caller, runId);
    const { sinceRenewalMs, ...owner } = elsewhere.owner!;
    expect(owner).toEqual({ ...owner, serverId: own.owner!.serverId, laneId: own.owner!.laneId, lease: "other" });
    expect(sinceRenewalMs ?? 0).toBeGreaterThanOrEqual(0);
    expect(elsewhere.next.message).toContain(`Server ${own.owner!.serverId} computes on it now`);
    expect(elsewhere.rowRecordsBehind).toBe(own.rowRecordsBehind);

    // Asked of a server that has just started, before another one takes the run over.
    const claims = [a, b].map((server) => server.hold("runs.claim", "before"));
    await endLeases(b);
    const orphaned = await b.engine.explainRun(caller, runId);
    expect(orphaned.owner).toMatchObject({ serverId: own.owner!.serverId, lease: "ended" });
    expect(orphaned.owner!.sinceRenewalMs).toBeUndefined();
    expect(orphaned.next).toMatchObject({ kind: "claim", metadata: { server_id: own.owner!.serverId } });
    for (const hold of [commits, ...claims]) hold.release();
    await a.stop();
    await b.stop();
    await database.close();
  });
});
