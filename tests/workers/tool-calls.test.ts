/** Tool calls through workers: leases, results, retries, and what happens when workers and servers go away. */
import { describe, expect, test } from "vitest";
import type { Json } from "../../server/src/core/json/json.ts";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import {
  freshCaller,
  freshId,
  ledgerProblems,
  startRun,
  startTestServer,
  STORE_KINDS,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";
import { graph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";

const done: NodeDefinition = { complete: { output: "${vars.found}" } };

function calling(names: readonly string[], rest: Partial<NodeDefinition> = {}) {
  const calls = names.map((name, index) => ({ name, arguments: { index } }));
  const tools: NodeDefinition = { toolCalls: { calls }, resultKey: "found", next: [{ to: "done" }], ...rest };
  return graph({ tools, done });
}

describe.each(STORE_KINDS)("tool calls on %s", (kind) => {
  const servers = useTwoServers(kind, {
    renewMs: 50,
    acceptMs: 400,
    reconnectMs: 300,
    silenceMs: 2_000,
    pingMs: 500,
  });

  test("calls run in parallel, and their results are in the order of the calls", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["one", "two"] });
    worker.credit(10);
    const run = await startRun(a, caller, calling(["one", "two", "one"]));
    expect(run.blockedReason).toBeUndefined();
    const jobs = [await worker.nextJob(), await worker.nextJob(), await worker.nextJob()];
    worker.accept(...jobs);
    for (const job of jobs.toReversed()) {
      expect(await worker.complete(job, { of: job.callId! })).toMatchObject({ status: "accepted" });
    }
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state).toMatchObject({
      status: "completed",
      output: {
        results: [
          { call_id: "call_1", name: "one", success: true, output: { of: "call_1" }, error: null },
          { call_id: "call_2", name: "two", success: true, output: { of: "call_2" }, error: null },
          { call_id: "call_3", name: "one", success: true, output: { of: "call_3" }, error: null },
        ],
      },
    });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
    worker.cut();
  });

  test("a job that is older than every worker is offered to the first one that connects, at any server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling(["late"]));
    expect(run.blockedReason).toBe("no_worker");
    const worker = await connectTestWorker(b, caller, { toolNames: ["late"] });
    worker.credit(1);
    const job = await worker.nextJob();
    worker.accept(job);
    expect(await worker.complete(job, 1)).toMatchObject({ status: "accepted" });
    expect(await worker.complete(job, 1)).toMatchObject({ status: "duplicate" });
    expect(await worker.complete(job, 2)).toMatchObject({ status: "refused", reason: "JOB_SETTLED" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("jobs are found in every queue that a new worker serves, however many there are", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const toolNames = Array.from({ length: 40 }, (_, index) => `tool-${index}`);
    const run = await startRun(a, caller, calling(toolNames.slice(-1)));
    const worker = await connectTestWorker(a, caller, { toolNames });
    worker.credit(10);
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.complete(job, 1);
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("no job is offered without credit", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(1);
    await startRun(a, caller, calling(["t", "t", "t"]));
    const first = await worker.nextJob();
    worker.accept(first);
    await worker.complete(first, 1);
    expect(worker.waiting).toBe(0);
    worker.credit(1);
    expect((await worker.nextJob()).callId).toBe("call_2");
    worker.cut();
  });

  test("a failed attempt is followed by another, with the same idempotency key", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(10);
    const run = await startRun(
      a,
      caller,
      calling(["t"], { policy: { initialBackoff: "20ms", jitter: "JITTER_NONE" } }),
    );
    const first = await worker.nextJob();
    worker.accept(first);
    expect(await worker.fail(first, "FLAKY")).toMatchObject({ status: "accepted" });
    const second = await worker.nextJob();
    expect(second).toMatchObject({ attempt: 2, idempotencyKey: first.idempotencyKey });
    expect(await worker.complete(first, 1)).toMatchObject({ status: "refused" });
    expect(await worker.complete(second, 1)).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("a worker that goes away without a goodbye loses its jobs to another", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const first = await connectTestWorker(a, caller, { toolNames: ["t"] });
    first.credit(10);
    const run = await startRun(a, caller, calling(["t"]));
    const lost = await first.nextJob();
    first.accept(lost);
    const second = await connectTestWorker(b, caller, { toolNames: ["t"] });
    second.credit(10);
    first.cut();
    const again = await second.nextJob();
    expect(again).toMatchObject({ idempotencyKey: lost.idempotencyKey, attempt: 1, leaseNumber: 2 });
    second.accept(again);
    const late = await connectTestWorker(a, caller, {
      toolNames: ["t"],
      workerSessionId: first.sessionId,
      heldTokens: [lost.token],
    });
    expect(await late.complete(lost, "late")).toMatchObject({ status: "refused", reason: "JOB_LEASE_LOST" });
    expect(await second.complete(again, "second")).toMatchObject({ status: "accepted" });
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ results: [{ output: "second" }] });
    for (const worker of [late, second]) worker.cut();
  });

  test("a worker that reconnects in time, even to another server, keeps its jobs", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(10);
    const run = await startRun(a, caller, calling(["t"]));
    const job = await worker.nextJob();
    worker.accept(job);
    worker.cut();
    const back = await connectTestWorker(b, caller, {
      toolNames: ["t"],
      workerSessionId: worker.sessionId,
      heldTokens: [job.token],
    });
    expect(await back.complete(job, "kept")).toMatchObject({ status: "accepted" });
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ results: [{ output: "kept" }] });
    back.cut();
  });

  test("a result counts although its server has not heard that another one changed the run", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const first = await connectTestWorker(a, caller, { toolNames: ["t"] });
    first.credit(1);
    const call = { toolCalls: { calls: [{ name: "t", arguments: {} }] } };
    const run = await startRun(
      a,
      caller,
      graph({
        one: { ...call, next: [{ to: "two" }] },
        two: { ...call, resultKey: "found", next: [{ to: "done" }] },
        done,
      }),
    );
    const one = await first.nextJob();
    first.accept(one);
    // The token authorises the result, whichever worker sends it. News from b does not arrive.
    const silence = b.hold("notices.send", "before");
    const bringer = await connectTestWorker(b, caller, {});
    expect(await bringer.complete(one, 1)).toMatchObject({ status: "accepted" });
    await silence.reached;
    const second = await connectTestWorker(a, caller, { toolNames: ["t"] });
    second.credit(1);
    const two = await second.nextJob();
    second.accept(two);
    expect(await second.complete(two, 2)).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ results: [{ output: 2 }] });
    silence.release();
    for (const worker of [first, bringer, second]) worker.cut();
  });

  test("a cancelled run takes its jobs back", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(b, caller, { toolNames: ["t"] });
    worker.credit(10);
    const run = await startRun(a, caller, calling(["t"]));
    const job = await worker.nextJob();
    worker.accept(job);
    await a.engine.cancelRun(caller, { runId: run.state.runId });
    expect(await worker.frame("cancel")).toEqual({ type: "cancel", tokens: [job.token] });
    expect(await worker.complete(job, 1)).toMatchObject({ status: "refused", reason: "JOB_CANCELLED" });
    worker.cut();
  });

  test("a cancel whose notice was lost is found by the sweep", async () => {
    const { database, a } = servers;
    const other = await startTestServer(database, { renewMs: 50, strayMs: 100 });
    const caller = freshCaller();
    const worker = await connectTestWorker(other, caller, { toolNames: ["t"] });
    worker.credit(1);
    const run = await startRun(other, caller, calling(["t"]));
    const job = await worker.nextJob();
    worker.accept(job);
    const silence = a.hold("notices.send", "before");
    await a.engine.cancelRun(caller, { runId: run.state.runId });
    await silence.reached;
    expect(await worker.frame("cancel")).toEqual({ type: "cancel", tokens: [job.token] });
    silence.release();
    worker.cut();
    await other.stop();
  });

  test("two servers: a worker that is connected to one serves the jobs of both", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(10);
    const definition = calling(["t"]);
    const runs = [await startRun(a, caller, definition), await startRun(b, caller, definition)];
    for (const _run of runs) {
      const job = await worker.nextJob();
      worker.accept(job);
      await worker.complete(job, freshId("value"));
    }
    for (const { state } of runs) {
      expect((await untilEnded(b, caller, state.runId)).state.status).toBe("completed");
    }
    worker.cut();
  });
});

describe.each(STORE_KINDS)("handlers on %s", (kind) => {
  const servers = useTwoServers(kind, { renewMs: 50, acceptMs: 400, reconnectMs: 300, handlerParkMs: 30 });
  const handled = (rest: object = {}) =>
    graph(
      { count: { handler: {}, next: [{ to: "count" }, { to: "done" }] }, done: { complete: { output: "${vars.n}" } } },
      rest,
    );

  test.each([true, false])("step plans move the run, commitEveryStep %s", async (commitEveryStep) => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = { ...handled(), commitEveryStep };
    const worker = await connectTestWorker(a, caller, {
      workflows: [{ workflowId: definition.workflowId, versions: [] }],
    });
    worker.credit(100);
    const run = await startRun(a, caller, definition, { vars: { n: 0 } });
    for (let n = 0; n < 5; n++) {
      const job = await worker.nextJob();
      expect(JSON.parse(job.payload)).toMatchObject({ vars: { n } });
      worker.accept(job);
      const nextNode = n === 4 ? "done" : "count";
      const ack = worker.complete(job, { patch: [{ op: "set", path: "/n", value: n + 1 }], nextNode });
      if (commitEveryStep) expect(await ack).toMatchObject({ status: "accepted" });
    }
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state).toMatchObject({ status: "completed", output: 5 });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
    worker.cut();
  });

  test("a handler that no worker here serves is run by a worker of another server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = handled();
    const worker = await connectTestWorker(b, caller, {
      workflows: [{ workflowId: definition.workflowId, versions: [1] }],
    });
    worker.credit(100);
    const run = await startRun(a, caller, definition, { vars: { n: 7 } });
    const job = await worker.nextJob();
    expect(JSON.parse(job.payload)).toMatchObject({ vars: { n: 7 } });
    worker.accept(job);
    expect(await worker.complete(job, { next_node: "done" })).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state).toMatchObject({ status: "completed", output: 7 });
    worker.cut();
  });

  test("a handler that ran ahead of a result that does not count is of no use", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = graph({
      find: { toolCalls: { calls: [{ name: "find", arguments: {} }] }, resultKey: "found", next: [{ to: "judge" }] },
      judge: { handler: {}, next: [{ to: "done" }] },
      done: { complete: { output: "${vars.judged}" } },
    });
    const workflows = [{ workflowId: definition.workflowId, versions: [] }];
    const handlers = await connectTestWorker(a, caller, { workflows });
    handlers.credit(10);
    const first = await connectTestWorker(a, caller, { toolNames: ["find"] });
    first.credit(1);
    const run = await startRun(a, caller, definition);
    const lost = await first.nextJob();
    first.accept(lost);
    first.cut();
    const second = await connectTestWorker(a, caller, { toolNames: ["find"] });
    second.credit(1);
    const job = await second.nextJob();
    second.accept(job);
    // It comes too late, but the next handler is requested before that is known.
    expect(await second.complete(lost, "late")).toMatchObject({ status: "refused", reason: "JOB_LEASE_LOST" });
    expect(await second.complete(job, "in time")).toMatchObject({ status: "accepted" });
    for (;;) {
      const handler = await handlers.nextJob();
      handlers.accept(handler);
      const { vars } = JSON.parse(handler.payload) as { vars: { found: { results: { output: Json }[] } } };
      const judged = vars.found.results[0]!.output;
      const ack = await handlers.complete(handler, {
        patch: [{ op: "set", path: "/judged", value: judged }],
        nextNode: "done",
      });
      if (ack.status === "accepted") break;
    }
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toBe("in time");
    for (const worker of [second, handlers]) worker.cut();
  });

  test("a handler whose worker is lost is run again", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = handled();
    const workflows = [{ workflowId: definition.workflowId, versions: [] }];
    const first = await connectTestWorker(a, caller, { workflows });
    first.credit(1);
    const run = await startRun(a, caller, definition, { vars: { n: 1 } });
    first.accept(await first.nextJob());
    const second = await connectTestWorker(a, caller, { workflows });
    second.credit(1);
    first.cut();
    const job = await second.nextJob();
    second.accept(job);
    expect(await second.complete(job, { nextNode: "done" })).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    second.cut();
  });

  test("a handler that fails is tried again, then fails the run", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = graph({
      count: { handler: {}, policy: { initialBackoff: "10ms", maxAttempts: 2 }, next: [{ to: "done" }] },
      done: { complete: {} },
    });
    const worker = await connectTestWorker(a, caller, {
      workflows: [{ workflowId: definition.workflowId, versions: [] }],
    });
    worker.credit(10);
    const run = await startRun(a, caller, definition);
    for (const attempt of [1, 2]) {
      const job = await worker.nextJob();
      expect(job.attempt).toBe(attempt);
      worker.accept(job);
      expect(await worker.fail(job, "BROKEN")).toMatchObject({ status: "accepted" });
    }
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state).toMatchObject({ status: "failed", error: { code: "BROKEN", attempt: 2 } });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
    worker.cut();
  });
});
