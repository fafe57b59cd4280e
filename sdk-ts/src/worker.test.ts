import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import { JobKind, type LargeVarSchema } from "@abstractruntime/proto/worker_service_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { Worker as Thread } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";

import type { HandlerFunction, HandlerInput } from "./handler.ts";
import { JobAbortedError, type JobContext, tool, ToolError } from "./tool.ts";
import {
  type FakeServer,
  type FakeServerOptions,
  type FakeStream,
  fakeJob,
  refusal,
  startFakeServer,
} from "../../tests/support/fake-worker-server.ts";
import { Worker, type WorkerOptions, type WorkerState } from "./worker.ts";
import type { Workflow } from "./workflow.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const echo = tool({ name: "echo" }, (args) => args);

/** A tenth or less of the real intervals. */
const TIMING = { welcomeTimeoutMs: 2_000, silenceTimeoutMs: 3_000, backoffMs: 5, backoffMsMax: 20 };

async function startServer(options?: FakeServerOptions): Promise<FakeServer> {
  const server = await startFakeServer(options);
  cleanups.push(() => server.close());
  return server;
}

function createWorker(server: { url: string } | string[], options: WorkerOptions = {}): Worker {
  const worker = new Worker({
    server: Array.isArray(server) ? server : server.url,
    tools: [echo],
    log: false,
    timing: TIMING,
    ...options,
  });
  cleanups.push(() => worker.stop({ graceMs: 0 }).catch(() => {}));
  return worker;
}

/** A worker that is connected, and its stream. */
async function connect(
  options: WorkerOptions = {},
  welcome?: Parameters<FakeStream["welcome"]>[0],
  serverOptions?: FakeServerOptions,
) {
  const server = await startServer(serverOptions);
  const worker = createWorker(server, options);
  const started = worker.start();
  const stream = await server.nextStream();
  stream.welcome(welcome);
  await started;
  return { server, worker, stream };
}

/** A tool whose calls stay open until a test ends them. It yields the context of each call. */
function openTool(name = "open") {
  const calls: { context: JobContext; resolve(output: unknown): void; reject(error: unknown): void }[] = [];
  let onCall = Promise.withResolvers<void>();
  let taken = 0;
  const definition = tool({ name }, (_args, context) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    calls.push({ context, resolve, reject });
    onCall.resolve();
    onCall = Promise.withResolvers();
    return promise;
  });
  return {
    definition,
    calls,
    async nextCall() {
      while (calls.length <= taken) await onCall.promise;
      return calls[taken++]!;
    },
  };
}

/** A worker of a handler that adds to the list in its vars, and returns them. */
function connectCounting() {
  const append = ({ vars }: HandlerInput) => {
    (vars["list"] as unknown[]).push("changed");
    return { completeOutput: vars };
  };
  const handlers = new Map([["append", append as HandlerFunction]]);
  return connect({ tools: [], workflows: [{ workflowId: "flow", definition: {}, handlers }] });
}

function handlerJob(token: string, largeVars: MessageInitShape<typeof LargeVarSchema>[], forgottenVars: bigint[] = []) {
  const args = { vars: { first: 1, list: null, last: 2 }, run: {}, error: null, now: "2026-01-01T00:00:00Z" };
  return fakeJob(token, { kind: JobKind.HANDLER, name: "flow", nodeId: "append", args, largeVars, forgottenVars });
}

const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });

/** All frames that the worker has sent so far have arrived, because the answer to a ping comes after them. */
let pings = 100n;
async function settle(stream: FakeStream): Promise<void> {
  const number = (pings += 1n);
  stream.send({ case: "ping", value: { number } });
  expect(await stream.take("pong")).toMatchObject({ number });
}

describe("the first connection", () => {
  it("says who the worker is and what it serves, then how much it takes", async () => {
    const search = tool(
      {
        name: "search",
        version: "2",
        description: "Searches.",
        input: z.object({ words: z.string() }),
        delivery: "at-most-once",
        concurrency: 3,
      },
      () => null,
    );
    const workflow: Workflow = { workflowId: "flow", definition: {}, handlers: new Map() };
    const { stream, worker } = await connect({
      tools: [search, echo],
      workflows: [workflow],
      custom: { mail: () => null, print: { run: () => null, delivery: "at-most-once", concurrency: 2 } },
      concurrency: 7,
      actorId: "me",
      name: "my worker",
    });
    expect(stream.hello).toMatchObject({
      workerSessionId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      actorId: "me",
      name: "my worker",
      tools: [
        { name: "search", version: "2", description: "Searches.", delivery: Delivery.AT_MOST_ONCE, concurrency: 3 },
        { name: "echo", delivery: Delivery.UNSPECIFIED, concurrency: 0 },
      ],
      workflows: [{ workflowId: "flow", versions: [] }],
      customTypes: [
        { type: "mail", delivery: Delivery.UNSPECIFIED },
        { type: "print", delivery: Delivery.AT_MOST_ONCE, concurrency: 2 },
      ],
      heldTokens: [],
      keptVarsBytes: 64n * 1024n * 1024n,
    });
    const [schema, none] = stream.hello.tools.map(({ inputSchema }) => Buffer.from(inputSchema).toString());
    expect(JSON.parse(schema ?? "")).toMatchObject({ properties: { words: { type: "string" } } });
    expect(none).toBe("");
    expect(await stream.take("credit")).toMatchObject({ jobs: 7 });
    expect(worker).toMatchObject({ state: "connected", isConnected: true });
  });

  it("keeps as many large vars as it is told, and none without handlers", async () => {
    const workflows: Workflow[] = [{ workflowId: "flow", definition: {}, handlers: new Map() }];
    expect((await connect({ workflows, keptVarsBytes: 5_000 })).stream.hello.keptVarsBytes).toBe(5_000n);
    expect((await connect({ workflows, keptVarsBytes: 0 })).stream.hello.keptVarsBytes).toBe(0n);
    expect((await connect({ keptVarsBytes: 5_000 })).stream.hello.keptVarsBytes).toBe(0n);
  });

  it("refuses options outside their bounds", () => {
    const twice = [echo, tool({ name: "echo" }, () => 1)];
    const wide = { type: "object", description: "x".repeat(60_000) };
    for (const [options, message] of [
      [{ tools: twice }, /two tools have the name "echo"/],
      [{ tools: Array.from({ length: 1_001 }, (_, i) => tool({ name: `t${i}` }, () => 1)) }, /at most 1000 tools/],
      [
        { tools: Array.from({ length: 30 }, (_, i) => tool({ name: `t${i}`, input: wide }, () => 1)) },
        /at most 1048576 bytes/,
      ],
      [{ custom: { "": () => 1 } }, /1 to 128 characters/],
      [{ custom: { a: { run: () => 1, concurrency: -1 } } }, /1 to 10000/],
      [{ concurrency: 0 }, /1 to 5000/],
      [{ keptVarsBytes: -1 }, /0 to 1073741824/],
      [{ keptVarsBytes: 1024 ** 3 + 1 }, /0 to 1073741824/],
      [{ keptVarsBytes: 0.5 }, /0 to 1073741824/],
      [{ server: "127.0.0.1:7400" }, /not an http or https URL of a server/],
      [{ server: [] }, /at least one server address/],
      [{ name: "x".repeat(257) }, /256/],
    ] satisfies [WorkerOptions, RegExp][]) {
      expect(() => new Worker(options)).toThrow(message);
    }
  });

  it("gives up for good when the server refuses the hello", async () => {
    const server = await startServer({ onHello: () => refusal("REQUEST_INVALID", Code.InvalidArgument) });
    const states: WorkerState[] = [];
    const worker = createWorker(server, { onStateChange: (state) => states.push(state) });
    await expect(worker.start()).rejects.toMatchObject({ code: Code.InvalidArgument });
    await expect(worker.closed).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(states).toEqual(["stopped"]);
    await expect(worker.start()).rejects.toThrow("the worker has stopped");
  });

  it("tries for ever while nobody listens, and connects when somebody does", async () => {
    const probe = await startServer();
    await probe.close();
    const refused = Promise.withResolvers<void>();
    const pausesMs: number[] = [];
    const warnings: string[] = [];
    const note = (fields: Record<string, unknown>) => {
      if ("retryMs" in fields && pausesMs.push(Number(fields["retryMs"])) === 6) refused.resolve();
    };
    const warn = (fields: Record<string, unknown>, message: string) => {
      warnings.push(message);
      note(fields);
    };
    const worker = createWorker(probe, {
      log: { debug: note, info: note, warn, error() {} },
      timing: { ...TIMING, backoffMs: 1, backoffMsMax: 1_000 },
    });
    const started = worker.start();
    await refused.promise;
    const server = await startServer({ port: Number(new URL(probe.url).port) });
    (await server.nextStream()).welcome();
    await started;
    // The pauses were long by then; after a successful connection they are short again.
    server.dropConnections();
    (await server.nextStream()).welcome();
    expect(pausesMs.at(-1)).toBeLessThanOrEqual(1);
    // A trouble that lasts is told once a minute, and a lost connection that is back soon is no trouble.
    expect(warnings).toEqual(["cannot connect"]);
    expect(worker.stats().connections).toBeGreaterThanOrEqual(1);
  });

  it("goes to the next address when one does not answer", async () => {
    const deaf = createTcpServer(() => {});
    await new Promise<void>((resolve) => deaf.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => deaf.close());
    const server = await startServer();
    const address = `http://127.0.0.1:${(deaf.address() as AddressInfo).port}`;
    const worker = createWorker([address, server.url], { timing: { ...TIMING, welcomeTimeoutMs: 100 } });
    const started = worker.start();
    (await server.nextStream()).welcome();
    await started;
    expect(worker.isConnected).toBe(true);
  });

  it("survives servers that answer with garbage", async () => {
    let answers = 0;
    const garbage = createHttp2Server((_request, response) => {
      answers += 1;
      response.writeHead(200, { "content-type": "application/grpc+proto" });
      response.end(Buffer.from("\0\0\0\0\u0005\xff\xff\xff\xff\xff", "latin1"));
    });
    const babble = createTcpServer((socket) => {
      answers += 1;
      socket.on("error", () => {});
      socket.end("SSH-2.0-hello\r\n".repeat(1_000));
    });
    for (const other of [garbage, babble]) {
      await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => other.close());
    }
    const server = await startServer();
    const urls = [garbage, babble].map((other) => `http://127.0.0.1:${(other.address() as AddressInfo).port}`);
    const worker = createWorker([...urls, server.url]);
    const started = worker.start();
    (await server.nextStream()).welcome();
    await started;
    expect(answers).toBe(2);
  });
});

describe("jobs", () => {
  it("are accepted before their code can hold up the event loop", async () => {
    const server = await startServer();
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const source = `
      const { workerData } = await import("node:worker_threads");
      const { Worker } = await import(${JSON.stringify(new URL("worker.ts", import.meta.url).href)});
      const { tool } = await import(${JSON.stringify(new URL("tool.ts", import.meta.url).href)});
      const block = tool({ name: "block" }, () => void Atomics.wait(workerData.gate, 0, 0));
      await new Worker({ server: workerData.url, tools: [block], log: false }).start();`;
    const thread = new Thread(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: { gate, url: server.url },
    });
    cleanups.push(() => thread.terminate());
    const stream = await server.nextStream();
    stream.welcome();
    stream.offer(fakeJob("a", { name: "block" }));
    // This would not arrive if the code had begun before: it ends only below.
    expect(await stream.take("accept")).toMatchObject({ tokens: ["a"] });
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(await stream.takeResults(1)).toEqual([{ token: "a", output: null }]);
  });

  it("are accepted, run, and their results sent", async () => {
    const { stream, worker } = await connect();
    stream.offer(fakeJob("a", { args: { n: 1 } }), fakeJob("b", { args: { n: 2 } }));
    expect((await stream.take("accept")).tokens).toEqual(["a", "b"]);
    expect(await stream.takeResults(2)).toEqual([
      { token: "a", output: { n: 1 } },
      { token: "b", output: { n: 2 } },
    ]);
    expect(worker.stats()).toMatchObject({ heldJobs: 0, unackedResults: 2 });
    stream.ack("a", "b", "b", "nonsense");
    await settle(stream);
    expect(worker.stats()).toMatchObject({ unackedResults: 0 });
  });

  it("know what they are", async () => {
    const { definition, nextCall } = openTool();
    const { stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", attempt: 3, sessionId: "s" }));
    const { context } = await nextCall();
    expect(context).toMatchObject({
      idempotencyKey: "key-a",
      attempt: 3,
      runId: "run",
      workflowId: "flow",
      version: 1,
      nodeId: "node",
      callId: "call",
      sessionId: "s",
      paused: false,
    });
    stream.send({ case: "pause", value: { tokens: ["a", "nonsense"], paused: true } });
    await settle(stream);
    expect(context.paused).toBe(true);
    stream.send({ case: "pause", value: { tokens: ["a"], paused: false } });
    await settle(stream);
    expect(context.paused).toBe(false);
  });

  it("use credit, which comes back when they end, one each", async () => {
    const { definition, nextCall } = openTool();
    const { stream, worker } = await connect({ tools: [definition], concurrency: 2 });
    expect((await stream.take("credit")).jobs).toBe(2);
    stream.offer(fakeJob("a", { name: "open" }), fakeJob("b", { name: "open" }));
    const first = await nextCall();
    await settle(stream);
    expect(worker.stats()).toMatchObject({ heldJobs: 2, credit: 0 });
    expect(stream.received.filter((frame) => frame.case === "credit")).toEqual([]);
    first.resolve(null);
    expect((await stream.take("credit")).jobs).toBe(1);
    // Lost, and offered again by mistake: both jobs return their credit.
    stream.send({ case: "leaseLost", value: { tokens: ["b"] } });
    expect((await stream.take("credit")).jobs).toBe(1);
    stream.offer(fakeJob("a", { name: "open" }));
    expect((await stream.take("credit")).jobs).toBe(1);
  });

  it("are not accepted if nobody here serves them", async () => {
    const { stream, worker } = await connect({ concurrency: 1 });
    expect((await stream.take("credit")).jobs).toBe(1);
    stream.offer(
      fakeJob("a", { name: "unknown" }),
      fakeJob("b", { kind: JobKind.CUSTOM }),
      fakeJob("c", { kind: JobKind.UNSPECIFIED }),
      fakeJob(""),
    );
    expect((await stream.take("credit")).jobs).toBe(1);
    await settle(stream);
    expect([stream.received, worker.stats().heldJobs]).toEqual([[], 0]);
  });

  it("of one tool run no more at once than its concurrency", async () => {
    const { definition, calls, nextCall } = openTool();
    const { stream } = await connect({ tools: [{ ...definition, concurrency: 1 }] });
    stream.offer(...["a", "b", "c"].map((token) => fakeJob(token, { name: "open" })));
    const first = await nextCall();
    // The second is gone before its turn; a start that was not requested takes no slot.
    stream.send({ case: "cancel", value: { tokens: ["b"] } });
    stream.send({ case: "start", value: { tokens: ["a", "c"] } });
    await settle(stream);
    expect(calls).toHaveLength(1);
    first.resolve(1);
    const second = await nextCall();
    expect(second.context.idempotencyKey).toBe("key-c");
    second.resolve(2);
    expect(await stream.takeResults(2)).toEqual([
      { token: "a", output: 1 },
      { token: "c", output: 2 },
    ]);
  });

  it("delivered at most once begin when the server says so, once", async () => {
    const { definition, calls, nextCall } = openTool();
    const { stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", delivery: Delivery.AT_MOST_ONCE }));
    expect((await stream.take("accept")).tokens).toEqual(["a"]);
    await settle(stream);
    expect(calls).toHaveLength(0);
    stream.send({ case: "start", value: { tokens: ["nonsense", "a", "a"] } });
    stream.send({ case: "start", value: { tokens: ["a"] } });
    (await nextCall()).resolve("done");
    expect(await stream.takeResults(1)).toEqual([{ token: "a", output: "done" }]);
    stream.send({ case: "start", value: { tokens: ["a"] } });
    await settle(stream);
    expect(calls).toHaveLength(1);
  });

  it.each(["CANCELLED", "LEASE_LOST"] as const)("hear that they are %s, and say nothing more", async (reason) => {
    const { definition, nextCall } = openTool();
    const { stream, worker } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open" }));
    const { context, reject } = await nextCall();
    stream.send({ case: reason === "CANCELLED" ? "cancel" : "leaseLost", value: { tokens: ["a", "nonsense"] } });
    const error = await aborted(context.signal);
    expect(error).toBeInstanceOf(JobAbortedError);
    expect(error).toMatchObject({ reason });
    reject(new Error("late"));
    await settle(stream);
    expect(stream.received.filter((frame) => frame.case === "result")).toEqual([]);
    expect(worker.stats()).toMatchObject({ heldJobs: 0, unackedResults: 0 });
  });

  it("that never return are ended by their timeout", async () => {
    const { definition, nextCall } = openTool();
    const { stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", timeout: durationFromMs(30) }));
    const { context, resolve } = await nextCall();
    expect(await aborted(context.signal)).toMatchObject({ reason: "TIMEOUT" });
    resolve("late");
    expect(await stream.takeResults(1)).toMatchObject([{ token: "a", code: "TIMEOUT" }]);
    await settle(stream);
    expect(stream.received.filter((frame) => frame.case === "result")).toEqual([]);
  });

  it("may have a timeout longer than timers are", async () => {
    const { definition, nextCall } = openTool();
    const { stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", timeout: { seconds: 10_000_000n, nanos: 0 } }));
    const { resolve } = await nextCall();
    await settle(stream);
    resolve(1);
    expect(await stream.takeResults(1)).toEqual([{ token: "a", output: 1 }]);
  });

  it("send heartbeats, however often they beat, a few per timeout, and the last one", async () => {
    const { definition, nextCall } = openTool();
    const { stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", heartbeatTimeout: durationFromMs(300) }), fakeJob("b", { name: "open" }));
    const [first, second] = [await nextCall(), await nextCall()];
    for (let beat = 0; beat < 1_000; beat++) {
      first.context.heartbeat();
      second.context.heartbeat();
    }
    expect((await stream.take("heartbeat")).tokens).toEqual(["a"]);
    const before = performance.now();
    expect((await stream.take("heartbeat")).tokens).toEqual(["a"]);
    expect(performance.now() - before).toBeGreaterThan(50);
    first.resolve(1);
    await stream.takeResults(1);
    first.context.heartbeat();
    await settle(stream);
    expect(stream.received.filter((frame) => frame.case === "heartbeat")).toEqual([]);
  });

  it("fail as data when they throw, give no JSON or too much of it, or get what does not fit", async () => {
    const tools = [
      tool({ name: "throws" }, () => {
        throw new Error("it broke");
      }),
      tool({ name: "rejects" }, async () => {
        throw new ToolError("NO_MONEY", "none left");
      }),
      tool({ name: "bigint" }, () => 1n),
      tool({ name: "huge" }, () => "x".repeat(10_000_000)),
      tool({ name: "strict", input: z.object({ n: z.number() }) }, () => "called"),
      echo,
    ];
    const { stream } = await connect({ tools });
    stream.offer(
      ...tools.slice(0, 4).map(({ name }) => fakeJob(name, { name })),
      fakeJob("strict", { name: "strict", args: { n: "text" } }),
      fakeJob("broken", { payload: Buffer.from("{") }),
      fakeJob("bytes", { payload: Buffer.from([0xff]) }),
      fakeJob("fine"),
    );
    const results = await stream.takeResults(8);
    expect(Object.fromEntries(results.map(({ token, code = "none" }) => [token, code]))).toEqual({
      throws: "TOOL_FAILED",
      rejects: "NO_MONEY",
      bigint: "RESULT_INVALID",
      huge: "RESULT_TOO_LARGE",
      strict: "ARGUMENTS_INVALID",
      broken: "PAYLOAD_INVALID",
      bytes: "PAYLOAD_INVALID",
      fine: "none",
    });
  });

  it("of handlers and custom effects find their code", async () => {
    const workflow: Workflow = {
      workflowId: "flow",
      definition: {},
      handlers: new Map([["greet", ({ vars }: { vars: unknown }) => ({ completeOutput: vars }) as never]]),
    };
    const { stream } = await connect({
      tools: [],
      workflows: [workflow],
      custom: { mail: (payload, { nodeId }) => ({ payload, nodeId }) },
    });
    const handler = { kind: JobKind.HANDLER, name: "flow" };
    const args = { vars: { name: "Ada" }, run: {}, error: null, now: "2026-01-01T00:00:00Z" };
    stream.offer(
      fakeJob("a", { ...handler, nodeId: "greet", args }),
      fakeJob("b", { ...handler, nodeId: "constructor", args }),
      fakeJob("c", { kind: JobKind.CUSTOM, name: "mail", args: [1] }),
    );
    const results = (await stream.takeResults(3)).toSorted((a, b) => (a.token < b.token ? -1 : 1));
    expect(results).toMatchObject([
      { token: "a", output: { completeOutput: { name: "Ada" } } },
      { token: "b", code: "HANDLER_UNKNOWN" },
      { token: "c", output: { payload: [1], nodeId: "node" } },
    ]);
  });

  it("of handlers have the large vars that came with earlier ones, and may change them", async () => {
    const { stream, worker } = await connectCounting();
    const value = Buffer.from(JSON.stringify(["x"]));
    stream.offer(handlerJob("a", [{ name: "list", id: 1n, value }]), handlerJob("b", [{ name: "list", id: 1n }]));
    // It was not accepted, and nevertheless this connection delivers it.
    stream.offer(handlerJob("a", [{ name: "list", id: 2n, value }]));
    stream.offer({ ...handlerJob("no", [{ name: "list", id: 3n, value }]), name: "unknown" });
    stream.offer(handlerJob("c", [{ name: "list", id: 2n }], [1n]), handlerJob("d", [{ name: "list", id: 3n }]));
    const results = (await stream.takeResults(4)).toSorted((a, b) => (a.token < b.token ? -1 : 1));
    const output = { completeOutput: { first: 1, list: ["x", "changed"], last: 2 } };
    expect(results).toEqual(["a", "b", "c", "d"].map((token) => ({ token, output })));
    expect(worker.isConnected).toBe(true);
  });

  it("that name large vars which did not come end the connection, and the next one begins with none", async () => {
    const { server, stream } = await connectCounting();
    const value = Buffer.from(JSON.stringify(["x"]));
    stream.offer(handlerJob("a", [{ name: "list", id: 1n, value }]));
    await stream.takeResults(1);
    stream.offer(handlerJob("b", [{ name: "list", id: 7n }]));
    await stream.left;
    const second = await server.nextStream();
    expect(second.hello.heldTokens).toEqual(["a"]);
    second.welcome();
    second.offer(handlerJob("c", [{ name: "list", id: 1n, value }]));
    expect((await second.takeResults(2)).map(({ token }) => token).toSorted()).toEqual(["a", "c"]);
    second.offer(handlerJob("d", [{ name: "list", id: 2n }]));
    await second.left;
    expect((await server.nextStream()).hello.workerSessionId).toBe(stream.hello.workerSessionId);
  });

  it("that end together send their results together, within a frame's bounds", async () => {
    const half = tool({ name: "half" }, () => "x".repeat(500_000));
    const { stream } = await connect({ tools: [half, echo], concurrency: 5_000 });
    stream.offer(...Array.from({ length: 2_500 }, (_, index) => fakeJob(`t${index}`)));
    const sizes: number[] = [];
    while (sizes.reduce((sum, size) => sum + size, 0) < 2_500) sizes.push((await stream.take("result")).results.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
    expect(sizes.length).toBeLessThan(100);
    stream.offer(...Array.from({ length: 5 }, (_, index) => fakeJob(`h${index}`, { name: "half" })));
    const counts = [];
    for (let left = 5; left > 0; left -= counts.at(-1)!) counts.push((await stream.take("result")).results.length);
    expect(Math.max(...counts)).toBeLessThanOrEqual(2);
  });
});

it("tells nobody that results of cancelled and lost jobs were refused, and of other refusals once a minute", async () => {
  const told: unknown[] = [];
  const log = { debug() {}, info() {}, warn: (fields: object) => void told.push(fields), error() {} };
  const { stream } = await connect({ tools: [echo], log });
  const reasons = ["JOB_CANCELLED", "JOB_LEASE_LOST", "JOB_SETTLED", "JOB_UNKNOWN", "JOB_UNKNOWN"];
  stream.offer(...reasons.map((_reason, index) => fakeJob(`t${index}`)));
  await stream.takeResults(reasons.length);
  const acks = reasons.map((reason, index) => ({ token: `t${index}`, status: 3, reason }));
  stream.send({ case: "resultAck", value: { acks: acks as never } });
  await settle(stream);
  expect(told).toEqual([{ token: "t3", reason: "JOB_UNKNOWN" }]);
});

it("asks for no more jobs while the server does not take what is there", async () => {
  const big = tool({ name: "big" }, () => "x".repeat(1024 * 1024 - 2));
  const { stream } = await connect({ tools: [big], concurrency: 80 });
  expect((await stream.take("credit")).jobs).toBe(80);
  const tokens = Array.from({ length: 70 }, (_, index) => `t${index}`);
  stream.offer(...tokens.map((token) => fakeJob(token, { name: "big" })));
  await stream.takeResults(70);
  await settle(stream);
  expect(stream.received.filter((frame) => frame.case === "credit")).toEqual([]);
  stream.ack(...tokens.slice(0, 10));
  expect((await stream.take("credit")).jobs).toBe(70);
});

describe("a connection that breaks", () => {
  it("is opened again with the same session and the tokens that are held, and results come again", async () => {
    const { definition, nextCall } = openTool();
    const { server, stream, worker } = await connect({ tools: [definition, echo], concurrency: 10 });
    stream.offer(fakeJob("open", { name: "open" }), fakeJob("done"), fakeJob("acked"));
    const { resolve, context } = await nextCall();
    await stream.takeResults(2);
    stream.ack("acked");
    await settle(stream);
    server.dropConnections();

    const second = await server.nextStream();
    expect(second.hello.workerSessionId).toBe(stream.hello.workerSessionId);
    expect(second.hello.heldTokens.toSorted()).toEqual(["done", "open"]);
    second.welcome();
    expect(await second.takeResults(1)).toEqual([{ token: "done", output: {} }]);
    // Credit starts at zero on each stream; one job is held.
    expect((await second.take("credit")).jobs).toBe(9);
    expect(context.signal.aborted).toBe(false);
    resolve("late but welcome");
    expect(await second.takeResults(1)).toEqual([{ token: "open", output: "late but welcome" }]);
    second.ack("done", "open");
    await settle(second);
    expect(worker.stats()).toMatchObject({ heldJobs: 0, unackedResults: 0, connections: 2 });
  });

  it("keeps results that come meanwhile", async () => {
    const { definition, nextCall } = openTool();
    const { server, stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open" }));
    const { resolve } = await nextCall();
    stream.end();
    const second = await server.nextStream();
    resolve(1);
    second.welcome();
    expect(await second.takeResults(1)).toEqual([{ token: "a", output: 1 }]);
  });

  it("lets a job wait for its start over it", async () => {
    const { definition, calls, nextCall } = openTool();
    const { server, stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open", delivery: Delivery.AT_MOST_ONCE }));
    await stream.take("accept");
    server.dropConnections();
    const second = await server.nextStream();
    second.welcome();
    // The first one may be lost.
    expect((await second.take("accept")).tokens).toEqual(["a"]);
    expect(calls).toHaveLength(0);
    second.send({ case: "start", value: { tokens: ["a"] } });
    (await nextCall()).resolve(1);
    expect(await second.takeResults(1)).toEqual([{ token: "a", output: 1 }]);
  });

  it("is noticed when nothing comes any more", async () => {
    const { server, stream, worker } = await connect({}, { silenceTimeoutMs: 150 });
    await settle(stream);
    const second = await server.nextStream();
    expect(worker.isConnected).toBe(false);
    await stream.left;
    second.welcome();
    await settle(second);
    expect(worker).toMatchObject({ state: "connected", isConnected: true });
  });

  it("is not suspected because the process itself stood still", async () => {
    const { stream, worker } = await connect({}, { silenceTimeoutMs: 200 });
    stream.send({ case: "ping", value: { number: 1n } });
    const until = performance.now() + 1_000;
    while (performance.now() < until);
    await stream.take("pong");
    expect(worker.stats().connections).toBe(1);
  });

  it("begins nothing that was offered while it stood still for as long as an offer stands", async () => {
    let runs = 0;
    const definition = tool({ name: "open" }, () => (runs += 1));
    const { server, stream } = await connect({ tools: [definition] }, { acceptTimeoutMs: 300 });
    await settle(stream);
    stream.offer(fakeJob("stale", { name: "open" }));
    // The offer is in the socket, and this turn of the event loop continues.
    const until = performance.now() + 600;
    while (performance.now() < until);
    const second = await server.nextStream();
    expect(second.hello.heldTokens).toEqual([]);
    second.welcome();
    second.offer(fakeJob("fresh", { name: "open" }));
    expect(await second.takeResults(1)).toEqual([{ token: "fresh", output: 1 }]);
    expect(runs).toBe(1);
  });

  it("goes on under a new session when another worker took its place", async () => {
    const { definition, nextCall } = openTool();
    const { server, stream } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open" }));
    const { resolve } = await nextCall();
    stream.end(refusal("WORKER_SESSION_REPLACED", Code.Aborted));
    const second = await server.nextStream();
    expect(second.hello.workerSessionId).not.toBe(stream.hello.workerSessionId);
    expect(second.hello.heldTokens).toEqual(["a"]);
    second.welcome();
    resolve(1);
    expect(await second.takeResults(1)).toEqual([{ token: "a", output: 1 }]);
  });

  it("moves to another server at once when its own shuts down", async () => {
    const [first, other] = [await startServer(), await startServer()];
    // A pause would take minutes.
    const timing = { ...TIMING, backoffMs: 10 * 60_000, backoffMsMax: 10 * 60_000 };
    const worker = createWorker([first.url, other.url], { timing });
    const started = worker.start();
    const stream = await first.nextStream();
    stream.welcome();
    await started;
    stream.end(refusal("SHUTTING_DOWN", Code.Unavailable));
    const second = await other.nextStream();
    expect(second.hello.workerSessionId).toBe(stream.hello.workerSessionId);
  });

  it("goes on after a refusal of a later frame", async () => {
    const { server, stream } = await connect();
    stream.end(refusal("REQUEST_INVALID", Code.InvalidArgument));
    const second = await server.nextStream();
    second.welcome();
    await settle(second);
    expect(second.hello.workerSessionId).toBe(stream.hello.workerSessionId);
  });

  it("survives frames that make no sense", async () => {
    const { stream, worker } = await connect();
    stream.send({ case: "start", value: { tokens: [] } });
    stream.send({ case: "cancel", value: { tokens: ["nonsense"] } });
    stream.send({ case: "resultAck", value: { acks: [{ token: "nonsense", status: 77 as never }] } });
    stream.send({ case: "offer", value: { jobs: [] } });
    stream.send({ case: "offer", value: { jobs: [{ token: "x", kind: 77 as never, name: "echo" }] } });
    stream.welcome({ silenceTimeoutMs: -5 });
    stream.send({ case: undefined });
    await settle(stream);
    expect(worker.isConnected).toBe(true);
  });
});

describe("the end", () => {
  it("drain finishes what is held, says goodbye, and stops", async () => {
    const { definition, nextCall } = openTool();
    const states: WorkerState[] = [];
    const { stream, worker } = await connect({
      tools: [definition],
      onStateChange: (state) => {
        states.push(state);
        throw new Error("ignored");
      },
    });
    await stream.take("credit");
    stream.offer(fakeJob("a", { name: "open" }));
    const { resolve, context } = await nextCall();
    await stream.take("accept");
    const drained = worker.drain();
    await stream.take("drain");
    expect(worker).toMatchObject({ state: "draining", isConnected: true });
    expect(context.signal.aborted).toBe(false);
    resolve(1);
    await stream.takeResults(1);
    await settle(stream);
    expect(stream.received).toEqual([]);
    stream.ack("a");
    await stream.take("goodbye");
    // Too late: it is not accepted.
    stream.offer(fakeJob("b", { name: "open" }));
    stream.end();
    await drained;
    expect(states).toEqual(["connected", "draining", "stopped"]);
    await worker.drain();
    await worker.stop();
  });

  it("drain outlives a connection, until results are acknowledged", async () => {
    const { server, stream, worker } = await connect();
    stream.offer(fakeJob("a"));
    await stream.takeResults(1);
    const drained = worker.drain();
    await stream.take("drain");
    server.dropConnections();
    const second = await server.nextStream();
    second.welcome();
    await second.take("drain");
    await second.takeResults(1);
    expect(second.received.filter((frame) => frame.case === "credit")).toEqual([]);
    second.ack("a");
    await second.take("goodbye");
    second.end();
    await drained;
    expect(worker.state).toBe("stopped");
  });

  it("stop gives up after its grace, and tells the jobs", async () => {
    const { definition, nextCall } = openTool();
    const { stream, worker } = await connect({ tools: [definition] });
    stream.offer(fakeJob("a", { name: "open" }));
    const { context } = await nextCall();
    const stopped = worker.stop({ graceMs: 20 });
    expect(await aborted(context.signal)).toMatchObject({ reason: "SHUTDOWN" });
    await stream.take("goodbye");
    stream.end();
    await stopped;
    expect(stream.received.filter((frame) => frame.case === "result")).toEqual([]);
  });

  it("does not wait for a server that does not answer goodbye", async () => {
    const { stream, worker } = await connect({}, {}, { endsWithWorker: false });
    await worker.stop();
    await stream.left;
    expect(worker.state).toBe("stopped");
  });

  it("stop works before there is a connection, and before there is a start", async () => {
    const server = await startServer();
    const worker = createWorker(server);
    const started = worker.start();
    await server.nextStream();
    await worker.stop();
    await expect(started).rejects.toThrow("stopped before it was connected");
    const never = createWorker(server);
    await never.stop();
    await never[Symbol.asyncDispose]();
    expect(never.state).toBe("stopped");
  });
});
