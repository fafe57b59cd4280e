/** Jobs are given to a worker as soon as one has room. Sweeps, which would find them late, are off here. */
import { describe, expect, test } from "vitest";
import type { WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import { graph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";
import { freshCaller, movesRun, startRequest, startRun, STORE_KINDS, untilEnded } from "../support/engine.ts";
import { connectTestWorker, toolOf } from "../support/test-worker.ts";

function calling(calls: number): WorkflowDefinition {
  return graph({
    tools: {
      toolCalls: { calls: Array.from({ length: calls }, () => ({ name: "t" })) },
      resultKey: "found",
      next: [{ to: "done" }],
    },
    done: { complete: {} },
  });
}

/** Two versions of a graph with a handler. */
function handling(): [WorkflowDefinition, WorkflowDefinition] {
  const first = graph({ think: { handler: {}, next: [{ to: "done" }] }, done: { complete: {} } });
  return [first, { ...first, defaultVars: { n: 2 } }];
}

describe.each(STORE_KINDS)("jobs for which a worker has room, on %s", (kind) => {
  const servers = useTwoServers(kind, { acceptMs: 5_000, pingMs: 20_000, silenceMs: 60_000, handlerParkMs: 30 });

  test.each(["a", "b"] as const)("those of a run that is unpaused at a, with the worker at %s", async (at) => {
    const { a } = servers;
    const caller = freshCaller();
    const { runId } = (await startRun(a, caller, calling(1))).state;
    await a.engine.pauseRun(caller, { runId });
    const worker = await connectTestWorker(servers[at], caller, { toolNames: ["t", "other"] });
    worker.credit(10);
    // Made after the claim that finds nothing: that claim is over when the job comes.
    await startRun(servers[at], caller, graph({ other: { toolCalls: { calls: [{ name: "other" }] } } }));
    await worker.nextJob();
    await a.engine.unpauseRun(caller, { runId });
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.complete(job, null);
    expect((await untilEnded(a, caller, runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("those of a tool that had reached its limit, without another grant of credit", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { tools: [toolOf("t", { concurrency: 2 })] });
    worker.credit(100);
    const { runId } = (await startRun(a, caller, calling(7))).state;
    for (let jobs = 0; jobs < 7; jobs++) {
      const job = await worker.nextJob();
      worker.accept(job);
      await worker.complete(job, null);
    }
    expect((await untilEnded(a, caller, runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("those of many runs that are started at once at a server without a worker", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(b, caller, { toolNames: ["t"] });
    worker.credit(1_000);
    const definition = calling(1);
    await a.engine.registerWorkflow(caller, definition);
    // More news than fits into one notice between servers.
    const requests = Array.from({ length: 400 }, () => startRequest(definition.workflowId));
    await Promise.all(requests.map((request) => a.engine.startRun(caller, request)));
    for (let jobs = 0; jobs < requests.length; jobs++) worker.accept(await worker.nextJob());
    expect(worker.waiting).toBe(0);
    worker.cut();
  });

  test("those of a version that only a worker of another server serves", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const [first, second] = handling();
    const { workflowId } = first;
    for (const definition of [first, second]) await a.engine.registerWorkflow(caller, definition);
    const one = await connectTestWorker(a, caller, { workflows: [{ workflowId, versions: [1] }] });
    // More than one claim asks for; the worker has room all the time.
    one.credit(1_000);
    const two = await connectTestWorker(b, caller, { workflows: [{ workflowId, versions: [2] }] });
    two.credit(10);
    const run = await a.engine.startRun(caller, startRequest(workflowId, { version: 2 }));
    const job = await two.nextJob();
    two.accept(job);
    await two.complete(job, { nextNode: "done" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    for (const worker of [one, two]) worker.cut();
  });

  test("those of a version whose only worker gets room later", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const [first, second] = handling();
    const { workflowId } = first;
    for (const definition of [first, second]) await a.engine.registerWorkflow(caller, definition);
    // Started at a server whose workers do not serve it, so that it becomes a job at once.
    const { runId } = (await b.engine.startRun(caller, startRequest(workflowId, { version: 2 }))).state;
    const one = await connectTestWorker(a, caller, { workflows: [{ workflowId, versions: [1] }] });
    const two = await connectTestWorker(a, caller, { workflows: [{ workflowId, versions: [2] }] });
    one.credit(10);
    const other = await a.engine.startRun(caller, startRequest(workflowId, { version: 1 }));
    const taken = await one.nextJob();
    expect(taken.runId).toBe(other.state.runId);
    two.credit(10);
    const job = await two.nextJob();
    two.accept(job);
    await two.complete(job, { nextNode: "done" });
    expect((await untilEnded(a, caller, runId)).state.status).toBe("completed");
    for (const worker of [one, two]) worker.cut();
  });
});

describe.each(STORE_KINDS)("heartbeats on %s", (kind) => {
  const servers = useTwoServers(kind, { acceptMs: 400, pingMs: 20_000, silenceMs: 60_000, reconnectMs: 60_000 });

  test.each([
    ["its old connection is gone", true],
    ["its old connection seems to be there", false],
  ])("what a worker says at another server is not missed where it was before: %s", async (_what, isSeen) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t", "clock"] });
    worker.credit(10);
    const policy = { heartbeatTimeout: "200ms", maxAttempts: 1 };
    const definition = graph({
      t: { toolCalls: { calls: [{ name: "t" }] }, policy, resultKey: "found", next: [{ to: "done" }] },
      done: { complete: { output: "${vars.found.results[0].success}" } },
    });
    const { runId } = (await startRun(a, caller, definition)).state;
    const job = await worker.nextJob();
    worker.accept(job);
    if (isSeen) worker.cut();
    const { sessionId: workerSessionId } = worker;
    const moved = await connectTestWorker(b, caller, { workerSessionId, toolNames: ["t"], heldTokens: [job.token] });
    const beating = setInterval(() => moved.connection.receive({ type: "heartbeat", tokens: [job.token] }), 20);
    // Beside it is a job whose worker is silent: when that has failed, the time is over for both.
    const silent = await connectTestWorker(a, caller, { toolNames: ["clock"] });
    silent.credit(1);
    const clock = graph({ clock: { toolCalls: { calls: [{ name: "clock" }] }, policy } });
    const late = await startRun(a, caller, clock);
    silent.accept(await silent.nextJob());
    await untilEnded(a, caller, late.state.runId);
    clearInterval(beating);
    expect(await moved.complete(job, null)).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, runId)).state.output).toBe(true);
    for (const one of [worker, moved, silent]) one.cut();
  });
});

describe.each(STORE_KINDS)("a result on its way on %s", (kind) => {
  const servers = useTwoServers(kind, { acceptMs: 5_000, pingMs: 20_000, silenceMs: 60_000 });

  test("its job is not given to others because the worker that sent it was started again", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(1);
    const { runId } = (await startRun(a, caller, calling(1))).state;
    const job = await worker.nextJob();
    worker.accept(job);
    const hold = a.hold("batches.commit", "before", movesRun(runId));
    worker.connection.receive({ type: "result", results: [{ token: job.token, outcome: { output: "1" } }] });
    await hold.reached;
    const other = await connectTestWorker(a, caller, { toolNames: ["t"] });
    other.credit(10);
    const again = await connectTestWorker(a, caller, { workerSessionId: worker.sessionId, toolNames: ["t"] });
    hold.release();
    expect(await again.frame("result_ack")).toEqual({
      type: "result_ack",
      acks: [{ token: job.token, status: "accepted" }],
    });
    expect((await untilEnded(a, caller, runId)).state.status).toBe("completed");
    expect(other.waiting).toBe(0);
    for (const one of [other, again]) one.cut();
  });
});

describe.each(STORE_KINDS)("credit on %s", (kind) => {
  const servers = useTwoServers(kind, { acceptMs: 5_000, pingMs: 20_000, silenceMs: 60_000 });

  test("credit of an earlier connection is not returned to the next one", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const claim = a.hold("jobs.claim", "before");
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    worker.credit(5);
    await claim.reached;
    worker.cut();
    const again = await connectTestWorker(a, caller, { workerSessionId: worker.sessionId, toolNames: ["t", "last"] });
    again.credit(1);
    const next = a.hold("jobs.claim", "before");
    claim.release();
    await next.reached;
    next.release();
    await startRun(a, caller, calling(8));
    const first = await again.nextJob();
    again.accept(first);
    // When it has been acknowledged, everything for which there was credit has been offered.
    await again.complete(first, null);
    expect(again.waiting).toBe(0);
    again.cut();
  });
});
