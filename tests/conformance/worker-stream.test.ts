/**
 * Bad workers, over the network: each gets the reply that docs/worker-protocol.md describes, others are still served,
 * and every run ends.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createApi, type Json, type Run } from "./api.ts";
import { useServer } from "./server.ts";
import { encodeFrame, freshSession, type Hello, openWireWorker, serveTools, type WireWorker } from "./wire-worker.ts";

/** gRPC's numbers. */
const OK = 0;
const INVALID_ARGUMENT = 3;
const ABORTED = 10;

const server = useServer();
const api = createApi(server);
let neighbour: Awaited<ReturnType<typeof serveTools>>;
const opened: WireWorker[] = [];
const runs: string[] = [];
let lastName = 0;

beforeAll(async () => {
  neighbour = await serveTools(server.port, ["neighbour"]);
});
afterAll(() => neighbour.cut());

/** A tool that no other test uses. */
let tool: string;
beforeEach(() => {
  lastName += 1;
  tool = `tool-${lastName}`;
});

afterEach(async () => {
  // Whatever the worker did, another one at the same server is served.
  const run = await start("neighbour");
  expect(await ended(run)).toMatchObject({ status: "RUN_STATUS_COMPLETED" });
  expect(neighbour.isEnded).toBe(false);
  for (const worker of opened.splice(0)) worker.cut();
  // Every run ends, with a good worker for the jobs that the bad one left.
  const helper = await serveTools(server.port, [tool]);
  for (const runId of runs.splice(0)) expect((await ended(runId)).status).toMatch(/COMPLETED|FAILED|CANCELLED/);
  helper.cut();
});

function open(hello?: Hello): WireWorker {
  const worker = openWireWorker(server.port, hello);
  opened.push(worker);
  return worker;
}

/** A worker that serves the test's tool and has been welcomed, with credit. */
async function connectWorker(facts: Partial<Hello> = {}, credit = 100) {
  const worker = open({ workerSessionId: freshSession(), tools: [{ name: tool }], ...facts });
  await worker.take("welcome");
  if (credit > 0) worker.send({ case: "credit", value: { jobs: credit } });
  return worker;
}

/** Starts a run that calls a tool once, and returns its id. */
async function start(name = tool, facts: { vars?: object; policy?: object } = {}): Promise<string> {
  const { vars = {}, policy = {} } = facts;
  const calls = [{ name, arguments: { given: "${vars}" } }];
  const call = { toolCalls: { calls }, resultKey: "found", policy, next: [{ to: "end" }] };
  const end = { complete: { output: "${vars.found.results[0]}" } };
  const workflowId = await api.register({ entryNode: "call", nodes: { call, end } });
  const { run } = await api.call("StartRun", { workflowId, vars });
  runs.push(run.runId);
  return run.runId;
}

async function ended(runId: string): Promise<Run> {
  const { run } = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "15s" });
  expect(run.endTime, `run ${runId} stands still: ${JSON.stringify(run)}`).toBeDefined();
  return run;
}

describe("frames that break the protocol end the stream", () => {
  test.each([
    ["bytes that are no message", (worker: WireWorker) => worker.sendMessage(Buffer.from("ff".repeat(100), "hex"))],
    ["a message of an unknown field", (worker: WireWorker) => worker.sendMessage(Buffer.from("9a060161", "hex"))],
    ["a frame of no kind", (worker: WireWorker) => worker.sendMessage(Buffer.alloc(0))],
    ["credit of 2^31 - 1", (worker: WireWorker) => worker.send({ case: "credit", value: { jobs: 2 ** 31 - 1 } })],
    ["negative credit", (worker: WireWorker) => worker.send({ case: "credit", value: { jobs: -5 } })],
    ["an empty accept", (worker: WireWorker) => worker.send({ case: "accept", value: { tokens: [] } })],
    [
      "more than 1,000 results",
      (worker: WireWorker) => {
        const results = Array.from({ length: 1_001 }, () => ({ token: "t" }));
        worker.send({ case: "result", value: { results } });
      },
    ],
    [
      "more than 3 MiB",
      (worker: WireWorker) => {
        const output = Buffer.alloc(3.5 * 1024 * 1024, "1");
        const results = [{ token: "t", outcome: { case: "output" as const, value: output } }];
        worker.send({ case: "result", value: { results } });
      },
    ],
    [
      "a second hello",
      (worker: WireWorker) => worker.send({ case: "hello", value: { workerSessionId: worker.sessionId } }),
    ],
  ])("%s", async (_what, misbehave) => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    worker.send({ case: "accept", value: { tokens: [token] } });
    misbehave(worker);
    expect(await worker.ended).toMatchObject({ code: INVALID_ARGUMENT, reason: "REQUEST_INVALID" });
    // As if its connection had broken: it reconnects to the job that it has.
    const again = await connectWorker({ workerSessionId: worker.sessionId, heldTokens: [token] });
    expect(await again.result(token, { output: '"kept"' })).toMatchObject({ status: 1 });
    expect((await ended(runId)).output).toMatchObject({ output: "kept" });
  });

  test("garbage that is not a gRPC message", async () => {
    const worker = await connectWorker();
    worker.sendBytes(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    worker.endSending();
    expect((await worker.ended).code).not.toBe(OK);
  });

  test("a first frame that is not a hello", async () => {
    const worker = open();
    worker.send({ case: "credit", value: { jobs: 1 } });
    expect(await worker.ended).toMatchObject({ code: INVALID_ARGUMENT, reason: "REQUEST_INVALID", fields: ["frame"] });
  });

  test("an end without any frame is a normal end", async () => {
    const worker = open();
    worker.endSending();
    expect(await worker.ended).toMatchObject({ code: OK });
  });
});

describe("a hello that is wrong is refused with the path of what is wrong", () => {
  const broken = (text: string) => ({ name: "broken", inputSchema: Buffer.from(text) });
  test.each<[string, object, string]>([
    ["10,000 tools", { tools: Array.from({ length: 10_000 }, (_, i) => ({ name: `t${i}` })) }, "hello.tools"],
    ["a tool twice", { tools: [{ name: "a" }, { name: "b" }, { name: "a" }] }, "hello.tools[2].name"],
    ["a tool without a name", { tools: [{ name: "" }] }, "hello.tools[0].name"],
    ["a schema that is no JSON", { tools: [{ name: "a" }, broken("{")] }, "hello.tools[1].inputSchema"],
    ["a schema that is no schema", { tools: [broken('{"type":"nonsense"}')] }, "hello.tools[0].inputSchema"],
    [
      "a schema that is not UTF-8",
      { tools: [{ name: "a", inputSchema: Buffer.from([0x22, 0xff, 0x22]) }] },
      "hello.tools[0].inputSchema",
    ],
    [
      "a schema that looks elsewhere",
      { tools: [broken('{"$ref":"https://example.com/s"}')] },
      "hello.tools[0].inputSchema",
    ],
    ["a schema over 64 KiB", { tools: [broken(`{"title":"${"x".repeat(65_536)}"}`)] }, "hello.tools[0].inputSchema"],
    ["a workflow twice", { workflows: [{ workflowId: "w" }, { workflowId: "w" }] }, "hello.workflows[1].workflowId"],
    ["a custom type twice", { customTypes: [{ type: "c" }, { type: "c" }] }, "hello.customTypes[1].type"],
    ["a session id with a space", { workerSessionId: "a b" }, "hello.workerSessionId"],
    ["a session id that is empty", { workerSessionId: "" }, "hello.workerSessionId"],
    ["10,001 held tokens", { heldTokens: Array.from({ length: 10_001 }, () => "t") }, "hello.heldTokens"],
    ["bytes of vars below 0", { keptVarsBytes: -1n }, "hello.keptVarsBytes"],
    ["more than 1 GiB of vars", { keptVarsBytes: 1024n ** 3n + 1n }, "hello.keptVarsBytes"],
  ])("%s", async (_what, facts, path) => {
    const end = await open({ workerSessionId: freshSession(), ...facts }).ended;
    expect(end).toMatchObject({ code: INVALID_ARGUMENT, reason: "REQUEST_INVALID", fields: [path] });
    expect(end.message).toContain(path);
  });

  test("1,000 tools with schemas are welcome, and listed", async () => {
    const inputSchema = Buffer.from('{"type":"object","properties":{"path":{"type":"string"}}}');
    const tools = Array.from({ length: 1_000 }, (_, i) => ({ name: `${tool}-${i}`, inputSchema }));
    const worker = await connectWorker({ tools });
    const listed = await api.post(
      "/abstractruntime.v1.WorkerService/ListWorkers",
      JSON.stringify({ tool: `${tool}-999` }),
    );
    const { workers } = JSON.parse(listed.text) as { workers: { workerSessionId: string; tools: unknown[] }[] };
    expect(workers.map(({ workerSessionId }) => workerSessionId)).toEqual([worker.sessionId]);
    expect(workers[0]!.tools).toHaveLength(1_000);
  });
});

describe("results that do not count", () => {
  test("of jobs that it does not hold: unknown, forged, truncated, of text that no token has", async () => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    const forged = `${token.slice(0, 5)}${token[5] === "A" ? "B" : "A"}${token.slice(6)}`;
    const foreign = Buffer.from(token, "base64url");
    foreign[foreign.length - 1]! ^= 1;
    const cut = [token.slice(0, -4), `${token}AAAA`];
    const texts = ["\0", "a\0b", `${token}\0`, "\ufffd", "\u{1f600}", "x".repeat(1_024)];
    for (const bad of ["nonsense", forged, ...cut, foreign.toString("base64url"), ...texts]) {
      const ack = await worker.result(bad, { output: "1" });
      expect(ack).toMatchObject({ status: 3, reason: "JOB_UNKNOWN" });
    }
    // Frames that only name jobs are not answered, and do not end the stream either.
    worker.send({ case: "accept", value: { tokens: ["a\0b", "h.\0"] } });
    worker.send({ case: "heartbeat", value: { tokens: ["a\0b", "h.\0"] } });
    expect(await worker.result("h.\0", { output: "1" })).toMatchObject({ status: 3, reason: "JOB_LEASE_LOST" });
    expect(await worker.result(token, { output: '"right"' })).toMatchObject({ status: 1, reason: "" });
    expect((await ended(runId)).output).toMatchObject({ output: "right" });
  });

  test("sent twice, the same or another", async () => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    expect(await worker.result(token, { output: '{"a":1}' })).toMatchObject({ status: 1 });
    expect(await worker.result(token, { output: '{"a":1}' })).toMatchObject({ status: 2, reason: "" });
    expect(await worker.result(token, { output: '{"a":2}' })).toMatchObject({ status: 3, reason: "JOB_SETTLED" });
    expect(await worker.result(token, { failure: {} })).toMatchObject({ status: 3, reason: "JOB_SETTLED" });
    expect((await ended(runId)).output).toMatchObject({ output: { a: 1 } });
  });

  test("two results for one job in one frame: one counts", async () => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    const results = [1, 2].map((n) => ({ token, outcome: { case: "output" as const, value: Buffer.from(`${n}`) } }));
    worker.send({ case: "result", value: { results } });
    const acks = [await worker.ack(token), await worker.ack(token)];
    expect(acks).toMatchObject([{ status: 1 }, { status: 3, reason: "JOB_SETTLED" }]);
    expect((await ended(runId)).output).toMatchObject({ output: 1 });
  });

  test("a result of another worker's job counts: the token authorises it", async () => {
    const [one, other] = [await connectWorker(), await connectWorker({ tools: [] }, 0)];
    const runId = await start();
    const { token } = await one.job();
    expect(await other.result(token, { output: '"other"' })).toMatchObject({ status: 1 });
    expect(await one.result(token, { output: '"one"' })).toMatchObject({ status: 3, reason: "JOB_SETTLED" });
    expect((await ended(runId)).output).toMatchObject({ output: "other" });
  });

  test("of a run that was cancelled", async () => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    worker.send({ case: "accept", value: { tokens: [token] } });
    await api.call("CancelRun", { runId });
    expect((await worker.take("cancel")).tokens).toEqual([token]);
    expect(await worker.result(token, { output: "1" })).toMatchObject({ status: 3, reason: "JOB_CANCELLED" });
  });
});

describe("invalid results fail the call, and the stream goes on", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  test.each<[string, string | Uint8Array, string]>([
    ["no JSON", "{", "RESULT_INVALID"],
    ["not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "RESULT_INVALID"],
    ["2 MiB", JSON.stringify("x".repeat(2 * 1024 * 1024)), "RESULT_INVALID"],
    ["1 MiB and a byte", JSON.stringify("x".repeat(1024 * 1024 - 1)), "RESULT_INVALID"],
    ["33 levels", nested(33), "RESULT_INVALID"],
    ["a number that no double holds", "12345678901234567890", "RESULT_INVALID"],
    ["a name twice", '{"a":1,"a":2}', "RESULT_INVALID"],
    ["half a surrogate", '"\\ud800"', "RESULT_INVALID"],
    ["U+0000 as a character of its own", Buffer.from([0x22, 0, 0x22]), "RESULT_INVALID"],
    ["U+0000 as an escape", '"a\\u0000b"', "RESULT_INVALID"],
  ])("%s", async (_what, output, code) => {
    const worker = await connectWorker();
    const runId = await start();
    expect(await worker.result((await worker.job()).token, { output })).toMatchObject({ status: 1 });
    expect((await ended(runId)).output).toMatchObject({ success: false, error: { code, retryable: false } });
    expect(worker.isEnded).toBe(false);
  });

  test.each<[string, string, Json]>([
    ["nothing at all is null", "", null],
    ["1 MiB is taken", JSON.stringify("x".repeat(1024 * 1024 - 2)), "x".repeat(1024 * 1024 - 2)],
  ])("but %s", async (_what, output, value) => {
    const worker = await connectWorker();
    const runId = await start();
    expect(await worker.result((await worker.job()).token, { output })).toMatchObject({ status: 1 });
    const completed = (await api.records(runId)).find(({ kind }) => kind === "call.completed");
    // A failed comparison of 1 MiB would print too much.
    expect(JSON.stringify(completed?.result) === JSON.stringify(value)).toBe(true);
    await ended(runId);
  });

  test("failures are cleaned: no code, U+0000, and what is too long", async () => {
    const worker = await connectWorker();
    const policy = { maxAttempts: 1 };
    const failed = async (failure: object) => {
      const runId = await start(tool, { policy });
      expect(await worker.result((await worker.job()).token, { failure })).toMatchObject({ status: 1 });
      const { error } = (await ended(runId)).output as { error: { code: string; message: string; details?: Json } };
      return error;
    };
    expect(await failed({})).toMatchObject({ code: "TOOL_FAILED", message: "" });
    expect(await failed({ code: "A\0B", message: "a\0b" })).toMatchObject({
      code: "A\uFFFDB",
      message: "a\uFFFDb",
    });
    // Characters of two code units each; none of them is cut in half.
    const long = await failed({ code: `x${"😀".repeat(200)}`, message: `x${"😀".repeat(20_000)}` });
    expect(long.code).toBe(`x${"😀".repeat(127)}`);
    expect(long.message).toBe(`x${"😀".repeat(4_095)}…`);
    expect(await failed({ details: Buffer.from('{"why":1}') })).toMatchObject({ details: { why: 1 } });
    for (const details of ["{", '"\\u0000"', `"${"x".repeat(65_536)}"`]) {
      expect(await failed({ details: Buffer.from(details) })).not.toHaveProperty("details");
    }
  });
});

describe("unknown tokens", () => {
  test("accepted or kept alive, they are lost", async () => {
    const worker = await connectWorker();
    worker.send({ case: "accept", value: { tokens: ["nonsense-1"] } });
    expect((await worker.take("leaseLost")).tokens).toEqual(["nonsense-1"]);
    worker.send({ case: "heartbeat", value: { tokens: ["nonsense-2", "nonsense-3"] } });
    expect((await worker.take("leaseLost")).tokens).toEqual(["nonsense-2", "nonsense-3"]);
    expect(worker.isEnded).toBe(false);
  });

  test("held, says hello, they are lost; the welcome comes first", async () => {
    const worker = open({ workerSessionId: freshSession(), heldTokens: ["nonsense"] });
    expect((await worker.take("leaseLost")).tokens).toEqual(["nonsense"]);
    expect(worker.frames.map((frame) => frame.case)).toEqual(["welcome"]);
  });
});

describe("credit", () => {
  test("a flood of credit is accepted", async () => {
    const worker = await connectWorker({}, 0);
    for (let i = 0; i < 1_000; i++) worker.send({ case: "credit", value: { jobs: 10_000 } });
    const runId = await start();
    const { token } = await worker.job();
    expect(await worker.result(token, { output: "1" })).toMatchObject({ status: 1 });
    expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });

  test("without it nothing is offered", async () => {
    const worker = await connectWorker({}, 1);
    const [first, second] = [await start(), await start()];
    const job = await worker.job();
    await worker.result(job.token, { output: "1" });
    // One more round trip: an offer would have arrived by then.
    await worker.result("nonsense", { output: "1" });
    worker.send({ case: "credit", value: { jobs: 1 } });
    const next = await worker.job();
    expect([job.runId, next.runId]).toEqual([first, second]);
    await worker.result(next.token, { output: "1" });
  });
});

describe("the end of a worker", () => {
  test("goodbye gives its jobs to others at once", async () => {
    const worker = await connectWorker();
    const other = await connectWorker({}, 0);
    const runIds = [await start(), await start()];
    const jobs = [await worker.job(), await worker.job()];
    // One job is at work, the other not even accepted.
    worker.send({ case: "accept", value: { tokens: [jobs[0]!.token] } });
    other.send({ case: "credit", value: { jobs: 5 } });
    const saidAt = performance.now();
    worker.send({ case: "goodbye", value: {} });
    const again = [await other.job(), await other.job()];
    expect(performance.now() - saidAt).toBeLessThan(1_000);
    expect(await worker.ended).toMatchObject({ code: OK });
    expect(again.map(({ leaseNumber }) => leaseNumber)).toEqual([2, 2]);
    expect(new Set(again.map(({ runId }) => runId))).toEqual(new Set(runIds));
    for (const { token } of again) await other.result(token, { output: "1" });
  });

  test("after a drain nothing is offered, and it may finish its jobs", async () => {
    const worker = await connectWorker();
    const first = await start();
    const job = await worker.job();
    worker.send({ case: "accept", value: { tokens: [job.token] } });
    worker.send({ case: "drain", value: {} });
    // Frames are answered in order: the drain has been received.
    worker.send({ case: "heartbeat", value: { tokens: ["nonsense"] } });
    await worker.take("leaseLost");
    const second = await start();
    expect((await api.call("GetRun", { runId: second })).run.blockedReason).toBe("BLOCKED_REASON_NO_WORKER");
    expect(await worker.result(job.token, { output: "1" })).toMatchObject({ status: 1 });
    await ended(first);
    const other = await connectWorker();
    const next = await other.job();
    expect(next.runId).toBe(second);
    await other.result(next.token, { output: "1" });
  });

  test("its last result counts although it ends its side right after", async () => {
    const worker = await connectWorker();
    const runId = await start();
    const { token } = await worker.job();
    worker.sendMessage(
      encodeFrame({
        case: "result",
        value: { results: [{ token, outcome: { case: "output", value: Buffer.from("7") } }] },
      }),
    );
    worker.endSending();
    expect((await ended(runId)).output).toMatchObject({ output: 7 });
  });

  test("another with its session id takes its place, and no job is lost", async () => {
    const worker = await connectWorker();
    const runIds = [await start(), await start()];
    const jobs = [await worker.job(), await worker.job()];
    worker.send({ case: "accept", value: { tokens: jobs.map(({ token }) => token) } });
    // It knows of one of them; the other one is offered again.
    const heldTokens = [jobs[0]!.token];
    const second = await connectWorker({ workerSessionId: worker.sessionId, heldTokens });
    expect(await worker.ended).toMatchObject({
      code: ABORTED,
      reason: "WORKER_SESSION_REPLACED",
      metadata: { worker_session_id: worker.sessionId },
    });
    expect(await second.result(jobs[0]!.token, { output: '"kept"' })).toMatchObject({ status: 1 });
    const again = await second.job();
    expect(again).toMatchObject({ runId: jobs[1]!.runId, leaseNumber: 2 });
    expect(await second.result(jobs[1]!.token, { output: "1" })).toMatchObject({ status: 3, reason: "JOB_LEASE_LOST" });
    expect(await second.result(again.token, { output: '"again"' })).toMatchObject({ status: 1 });
    for (const runId of runIds) expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });

  test("fifty at once with one session id: one is left, and it is served", async () => {
    const workerSessionId = freshSession();
    const all = Array.from({ length: 50 }, () => open({ workerSessionId, tools: [{ name: tool }] }));
    for (const worker of all) worker.send({ case: "credit", value: { jobs: 10 } });
    const runId = await start();
    const { worker, job } = await Promise.any(all.map(async (each) => ({ worker: each, job: await each.job() })));
    await worker.result(job.token, { output: "1" });
    await ended(runId);
    expect(all.filter(({ isEnded }) => !isEnded)).toEqual([worker]);
    for (const each of all) {
      if (each !== worker) expect(await each.ended).toMatchObject({ reason: "WORKER_SESSION_REPLACED" });
    }
  });
});

test.each<[string, string, { code: string; message: string }]>([
  ["U+0000", '{"code":"MINE","message":"a\\u0000b"}', { code: "MINE", message: "a\uFFFDb" }],
  ["half a character", '{"code":"MINE","message":"\\ud800"}', { code: "MINE", message: "\uFFFD" }],
  [
    "70 KB",
    JSON.stringify({ code: "MINE", message: "m".repeat(70_000) }),
    { code: "MINE", message: `${"m".repeat(65_533)}…` },
  ],
  [
    "1.5 MB",
    JSON.stringify({ code: "MINE", message: "m".repeat(1_500_000) }),
    { code: "MINE", message: `${"m".repeat(65_533)}…` },
  ],
])("a step plan that fails the run with a text of %s keeps its code", async (_what, fail, failure) => {
  const workflowId = await api.register({
    entryNode: "think",
    nodes: { think: { handler: {}, next: [{ to: "think" }] } },
  });
  const { run } = await api.call("StartRun", { workflowId });
  const worker = await connectWorker({ workflows: [{ workflowId }] });
  const job = await worker.job();
  expect(await worker.result(job.token, { output: `{"fail":${fail}}` })).toMatchObject({ status: 1 });
  expect(await ended(run.runId)).toMatchObject({ status: "RUN_STATUS_FAILED", error: failure });
});

describe("large vars", () => {
  const plan = (nextNode: string) => ({ output: JSON.stringify({ nextNode }) });

  async function startHandler(vars: object): Promise<{ workflowId: string; runId: string }> {
    const think = { handler: {}, next: [{ to: "think" }, { to: "end" }] };
    const workflowId = await api.register({ entryNode: "think", nodes: { think, end: { complete: {} } } });
    const { run } = await api.call("StartRun", { workflowId, vars });
    return { workflowId, runId: run.runId };
  }

  test("come once to a worker that keeps them, as JSON text in UTF-8, and then by their ids", async () => {
    const vars = { n: 1, text: "ü".repeat(400_000), list: ["x".repeat(3_000)], z: null };
    const { workflowId, runId } = await startHandler(vars);
    const worker = await connectWorker({ workflows: [{ workflowId }], keptVarsBytes: 2n ** 20n });
    const first = await worker.job();
    expect(Object.entries((JSON.parse(textOf(first.payload)) as { vars: object }).vars)).toEqual(
      Object.entries({ ...vars, text: null, list: null }),
    );
    expect(first.largeVars.map(({ name, id, value }) => [name, id, textOf(value)])).toEqual([
      ["text", 1n, JSON.stringify(vars.text)],
      ["list", 2n, JSON.stringify(vars.list)],
    ]);
    expect(await worker.result(first.token, plan("think"))).toMatchObject({ status: 1 });
    const second = await worker.job();
    expect(second.largeVars.map(({ name, id, value }) => [name, id, value.length])).toEqual([
      ["text", 1n, 0],
      ["list", 2n, 0],
    ]);
    expect(second.forgottenVars).toEqual([]);
    expect(await worker.result(second.token, plan("end"))).toMatchObject({ status: 1 });
    expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });

  test("are sent again to a stream that replaces another, which kept them", async () => {
    const { workflowId, runId } = await startHandler({ text: "x".repeat(3_000) });
    const facts = { workerSessionId: freshSession(), workflows: [{ workflowId }], keptVarsBytes: 5_000n };
    const first = await connectWorker(facts);
    await first.result((await first.job()).token, plan("think"));
    expect((await first.job()).largeVars.map(({ value }) => value.length)).toEqual([0]);
    const second = await connectWorker(facts);
    expect((await first.ended).reason).toBe("WORKER_SESSION_REPLACED");
    const job = await second.job();
    expect(job.largeVars.map(({ name, id, value }) => [name, id, value.length])).toEqual([["text", 1n, 3_002]]);
    await second.result(job.token, plan("end"));
    expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });

  test("are named when they are to be forgotten", async () => {
    const { workflowId, runId } = await startHandler({ a: "a".repeat(3_000), b: "b".repeat(3_000) });
    const worker = await connectWorker({ workflows: [{ workflowId }], keptVarsBytes: 4_000n });
    const first = await worker.job();
    expect(first.largeVars.map(({ id }) => id)).toEqual([1n, 2n]);
    expect(first.forgottenVars).toEqual([1n]);
    await worker.result(first.token, plan("end"));
    expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });

  test("are in the payload of a worker that does not ask to keep them", async () => {
    const vars = { text: "x".repeat(3_000) };
    const { workflowId, runId } = await startHandler(vars);
    const worker = await connectWorker({ workflows: [{ workflowId }] });
    const job = await worker.job();
    expect(JSON.parse(textOf(job.payload))).toMatchObject({ vars });
    expect(job.largeVars).toEqual([]);
    await worker.result(job.token, plan("end"));
    expect((await ended(runId)).status).toBe("RUN_STATUS_COMPLETED");
  });
});

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
