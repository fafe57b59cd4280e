/** Timing of the worker stream: silence, deadlines, reconnection. The engines have short intervals here. */
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import type { Caller, ServerFrame, WorkerConnection } from "../../server/src/engine/api.ts";
import { mapErrorsInterceptor } from "../../server/src/rpc/error-mapping.ts";
import { createWorkerService } from "../../server/src/rpc/worker-service.ts";
import { graph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";
import {
  freshCaller,
  freshId,
  startRun,
  STORE_KINDS,
  type TestServer,
  turn,
  untilEnded,
  within,
} from "../support/engine.ts";
import { connectTestWorker, toolOf } from "../support/test-worker.ts";

const PING_MS = 40;
const SILENCE_MS = 200;
const ACCEPT_MS = 150;
const RECONNECT_MS = 150;
const LOSSES_MAX = 2;

/** Calls `t` once and ends with its result. */
function calling(policy: NodeDefinition["policy"] & {} = {}) {
  const call: NodeDefinition = {
    toolCalls: { calls: [{ name: "t" }] },
    policy,
    resultKey: "found",
    next: [{ to: "done" }],
  };
  return graph({ call, done: { complete: { output: "${vars.found.results[0]}" } } });
}

const AT_MOST_ONCE = { delivery: "DELIVERY_AT_MOST_ONCE" } as const;

describe.each(STORE_KINDS)("timing of the worker stream, on %s", (kind) => {
  const servers = useTwoServers(kind, {
    pingMs: PING_MS,
    silenceMs: SILENCE_MS,
    acceptMs: ACCEPT_MS,
    reconnectMs: RECONNECT_MS,
    leaseLossesMax: LOSSES_MAX,
  });

  /** A worker with credit that answers pings. */
  async function connect(server: TestServer, caller: Caller, facts: Parameters<typeof connectTestWorker>[2] = {}) {
    const worker = await connectTestWorker(server, caller, { toolNames: ["t"], ...facts });
    worker.credit(100);
    // Time advances only with timers, so an occasional pong answers all pings.
    const pongs = setInterval(() => {
      if (worker.ending === undefined) worker.connection.receive({ type: "pong" });
      else clearInterval(pongs);
    }, PING_MS);
    const cut = (): void => {
      clearInterval(pongs);
      worker.cut();
    };
    return Object.assign(Object.create(worker) as typeof worker, { cut, fallSilent: () => clearInterval(pongs) });
  }

  /** Resolves when the worker has heard that it has lost the job. */
  async function lost(worker: Awaited<ReturnType<typeof connect>>, token: string): Promise<void> {
    await worker.frame("lease_lost", (frame: { tokens: readonly string[] }) => frame.tokens.includes(token));
  }

  test("a worker that answers stays, one that does not is ended and its jobs go to others", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const good = await connect(a, caller);
    const silent = await connectTestWorker(a, caller, { toolNames: ["t"] });
    silent.credit(1);
    const definition = calling();
    const runs = [await startRun(a, caller, definition), await startRun(a, caller, definition)];
    const job = await silent.nextJob();
    silent.accept(job);
    expect(await silent.frame("ping")).toMatchObject({ number: 1 });
    for (const _run of runs) {
      const other = await good.nextJob();
      good.accept(other);
      expect(await good.complete(other, 1)).toMatchObject({ status: "accepted" });
    }
    expect(silent.ending?.error).toMatchObject({ reason: "WORKER_SILENT" });
    for (const { state } of runs) expect((await untilEnded(a, caller, state.runId)).state.status).toBe("completed");
    // Longer than a worker may be silent.
    await good.frame("ping", ({ number }) => number > (2 * SILENCE_MS) / PING_MS);
    expect(good.ending).toBeUndefined();
    good.cut();
  });

  test("a silent worker loses its jobs even if its stream does not end", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const offered = Promise.withResolvers<string>();
    const link = {
      send(frame: ServerFrame) {
        if (frame.type === "offer") offered.resolve(frame.jobs[0]!.token);
      },
      // Writes to it hang.
      end: () => undefined,
    };
    const hello = { workerSessionId: freshId("worker"), name: "", workflows: [], customTypes: [], heldTokens: [] };
    const stuck: WorkerConnection = await a.engine.connectWorker(caller, { ...hello, tools: [toolOf("t")] }, link);
    stuck.receive({ type: "credit", jobs: 1 });
    const run = await startRun(a, caller, calling());
    stuck.receive({ type: "accept", tokens: [await offered.promise] });
    const other = await connect(a, caller);
    const job = await other.nextJob();
    other.accept(job);
    await other.complete(job, 1);
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    stuck.close();
    other.cut();
  });

  test("an offer that is not accepted in time goes to others, and does not count as a lost lease", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const idle = await connect(a, caller);
    const run = await startRun(a, caller, calling());
    const seen: number[] = [];
    for (let n = 0; n <= LOSSES_MAX + 1; n++) {
      const job = await idle.nextJob();
      seen.push(job.leaseNumber);
      await lost(idle, job.token);
      idle.credit(1);
    }
    expect(seen).toEqual([1, 2, 3, 4]);
    const job = await idle.nextJob();
    idle.accept(job);
    await idle.complete(job, 1);
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    idle.cut();
  });

  test("a job that loses its worker too often fails with WORKER_LOST", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling());
    for (let n = 0; n <= LOSSES_MAX; n++) {
      const worker = await connect(a, caller);
      const job = await worker.nextJob();
      worker.accept(job);
      worker.connection.receive({ type: "goodbye" });
      worker.cut();
    }
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({
      success: false,
      error: { code: "WORKER_LOST", retryable: false, attempt: 1 },
    });
  });

  test.each([
    ["TIMEOUT", { timeout: "100ms", maxAttempts: 1 }],
    ["HEARTBEAT_TIMEOUT", { heartbeatTimeout: "100ms", maxAttempts: 1 }],
  ])("an attempt that goes on for too long ends with %s, and is cancelled", async (code, policy) => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling(policy));
    const job = await worker.nextJob();
    worker.accept(job);
    expect(await worker.frame("cancel")).toMatchObject({ tokens: [job.token] });
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ success: false, error: { code, retryable: true } });
    expect(await worker.complete(job, 1)).toMatchObject({ status: "refused", reason: "JOB_SETTLED" });
    worker.cut();
  });

  test("heartbeats keep an attempt", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling({ heartbeatTimeout: "150ms", maxAttempts: 1 }));
    const job = await worker.nextJob();
    worker.accept(job);
    const beat = setInterval(() => worker.connection.receive({ type: "heartbeat", tokens: [job.token] }), 30);
    await worker.frame("ping", ({ number }) => number > 400 / PING_MS);
    clearInterval(beat);
    expect(await worker.complete(job, 1)).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ success: true });
    worker.cut();
  });

  test("a job that no worker takes in time ends with QUEUE_TIMEOUT", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, calling({ queueTimeout: "100ms" }));
    expect(run.blockedReason).toBe("no_worker");
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ success: false, error: { code: "QUEUE_TIMEOUT", retryable: false } });
  });

  test("a worker that reconnects hears which of its jobs it has lost", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling());
    const job = await worker.nextJob();
    worker.accept(job);
    worker.cut();
    const other = await connect(b, caller);
    const again = await other.nextJob();
    other.accept(again);
    const { sessionId: workerSessionId } = worker;
    const back = await connect(a, caller, { workerSessionId, heldTokens: [job.token] });
    expect(await back.frame("lease_lost")).toMatchObject({ tokens: [job.token] });
    expect(back.frames[0]).toMatchObject({ type: "welcome", acceptMs: ACCEPT_MS });
    expect(await other.complete(again, 1)).toMatchObject({ status: "accepted" });
    await untilEnded(a, caller, run.state.runId);
    for (const each of [back, other]) each.cut();
  });

  test("the welcome is the first frame, whatever happens in the meantime", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling());
    const job = await worker.nextJob();
    worker.accept(job);
    worker.cut();
    const held = a.hold("workers.save", "before", ({ tenantId }) => tenantId === caller.tenantId);
    const coming = connect(a, caller, { workerSessionId: worker.sessionId, heldTokens: [job.token] });
    await held.reached;
    await a.engine.cancelRun(caller, { runId: run.state.runId });
    await turn();
    held.release();
    const back = await coming;
    expect(await back.frame("cancel")).toMatchObject({ tokens: [job.token] });
    expect(back.frames[0]).toMatchObject({ type: "welcome" });
    back.cut();
  });

  test.each(["the same server", "another server"])(
    "at most once: a start that was lost comes again, at %s",
    async (at) => {
      const { a, b } = servers;
      const caller = freshCaller();
      const worker = await connect(a, caller);
      const run = await startRun(a, caller, calling(AT_MOST_ONCE));
      const job = await worker.nextJob();
      expect(job.delivery).toBe("at_most_once");
      const starting = a.hold("jobs.start", "after");
      worker.accept(job);
      await starting.reached;
      worker.cut();
      const { sessionId: workerSessionId } = worker;
      const back = await connect(at === "the same server" ? a : b, caller, {
        workerSessionId,
        heldTokens: [job.token],
      });
      expect(await back.frame("start")).toMatchObject({ tokens: [job.token] });
      starting.release();
      expect(await back.complete(job, "once")).toMatchObject({ status: "accepted" });
      expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ output: "once" });
      back.cut();
    },
  );

  test("a lost acceptance is made up for when the worker says which jobs it has", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling());
    const job = await worker.nextJob();
    worker.cut();
    const { sessionId: workerSessionId } = worker;
    const back = await connect(a, caller, { workerSessionId, heldTokens: [job.token] });
    // Longer than an offer may wait to be accepted.
    await back.frame("ping", ({ number }) => number > (2 * ACCEPT_MS) / PING_MS);
    expect(back.frames.filter(({ type }) => type === "lease_lost")).toEqual([]);
    expect(await back.complete(job, 1)).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    back.cut();
  });

  test("a worker that has moved to another server keeps its jobs when the first one ends its session", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling());
    const job = await worker.nextJob();
    worker.accept(job);
    worker.cut();
    const { sessionId: workerSessionId } = worker;
    const moved = await connect(b, caller, { workerSessionId, heldTokens: [job.token] });
    const thief = await connect(a, caller);
    await thief.frame("ping", ({ number }) => number > (3 * RECONNECT_MS) / PING_MS);
    expect(thief.waiting).toBe(0);
    expect(await moved.complete(job, "kept")).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ output: "kept" });
    for (const each of [moved, thief]) each.cut();
  });

  test("a worker that stops reading is offered nothing more until it reads again", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const offers: string[] = [];
    let isFull = false;
    let offered = Promise.withResolvers<void>();
    const link = {
      send(frame: ServerFrame) {
        if (frame.type !== "offer") return;
        offers.push(...frame.jobs.map(({ token }) => token));
        isFull = true;
        offered.resolve();
      },
      isFull: () => isFull,
      end: () => undefined,
    };
    const hello = { workerSessionId: freshId("worker"), name: "", workflows: [], customTypes: [], heldTokens: [] };
    const slow = await a.engine.connectWorker(caller, { ...hello, tools: [toolOf("t")] }, link);
    slow.receive({ type: "credit", jobs: 10_000 });
    const definition = calling();
    const first = await startRun(a, caller, definition);
    await within(offered.promise, "no job was offered");
    const second = await startRun(a, caller, definition);
    slow.receive({ type: "credit", jobs: 10_000 });
    await a.store.now();
    await turn();
    expect(offers).toHaveLength(1);
    offered = Promise.withResolvers<void>();
    isFull = false;
    slow.receive({ type: "accept", tokens: offers });
    await within(offered.promise, "nothing was offered after there was room");
    const results = offers.map((token) => ({ token, outcome: { output: "1" } }));
    slow.receive({ type: "result", results });
    for (const { state } of [first, second]) {
      expect((await untilEnded(a, caller, state.runId)).state.status).toBe("completed");
    }
    slow.close();
  });

  test("tokens of another tenant are unknown", async () => {
    const { a } = servers;
    const [caller, stranger] = [freshCaller(), freshCaller()];
    const worker = await connect(a, caller);
    const spy = await connect(a, stranger, { workerSessionId: worker.sessionId });
    const run = await startRun(a, caller, calling());
    const job = await worker.nextJob();
    worker.accept(job);
    expect(await spy.complete(job, "stolen")).toMatchObject({ status: "refused", reason: "JOB_UNKNOWN" });
    spy.accept(job);
    expect(await spy.frame("lease_lost")).toMatchObject({ tokens: [job.token] });
    expect(await worker.complete(job, "own")).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ output: "own" });
    expect([worker.ending, spy.ending]).toEqual([undefined, undefined]);
    for (const each of [worker, spy]) each.cut();
  });
});

test("a stream that never says hello is ended", async () => {
  const transport = createRouterTransport(
    ({ service }) => {
      service(WorkerService, createWorkerService({} as never, { helloTimeoutMs: 50 }));
    },
    { router: { interceptors: [mapErrorsInterceptor()] } },
  );
  async function* nothing() {
    await new Promise(() => undefined);
    yield {};
  }
  const stream = createClient(WorkerService, transport).work(nothing())[Symbol.asyncIterator]();
  await expect(stream.next()).rejects.toThrow("sent no hello within 50 ms");
});
