import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { useServer } from "../../tests/conformance/server.ts";
import { Client, type ClientOptions } from "./client.ts";
import { ConnectionError, RefusedError, RunCancelledError, RunFailedError } from "./errors.ts";
import { askUser, waitEvent, waitUntil } from "./effects/effects.ts";
import { assign, complete, fail } from "./nodes/nodes.ts";
import type { Notice } from "./run.ts";
import type { Wait } from "./wait.ts";
import { workflow } from "./workflow.ts";

const server = useServer();
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

function open(options: ClientOptions = {}): Client {
  const client = new Client({ addresses: server.url, actorId: "tester", ...options });
  opened.push(client);
  return client;
}

const answer = z.enum(["yes", "no"]);
const expense = workflow(
  "expense",
  {
    vars: z.object({
      amount: z.number(),
      currency: z.string().default("EUR"),
      reply: z.object({ answer }).optional(),
    }),
    output: z.object({ paid: z.boolean(), currency: z.string() }),
  },
  {
    check: assign({}, { next: [{ to: "ask", when: "vars.amount > 100" }, { to: "pay" }] }),
    ask: askUser(
      { prompt: "Pay ${vars.amount}?", choices: ["yes", "no"], assignees: ["finance"] },
      { resultKey: "reply", next: [{ to: "pay", when: "vars.reply.answer == 'yes'" }, { to: "refused" }] },
    ),
    pay: complete({ paid: true, currency: "${vars.currency}" }),
    refused: fail("REFUSED", "nobody wanted to pay"),
  },
);
const twoQuestions = workflow(
  "two-questions",
  {},
  {
    first: askUser({ prompt: "First?" }, { next: "second" }),
    second: askUser({ prompt: "Second?" }, { next: "end" }),
    end: complete("both"),
  },
);
const patient = workflow(
  "patient",
  {},
  {
    wait: waitEvent({ names: ["go"] }, { resultKey: "event", next: "end" }),
    end: complete("${vars.event.payload}"),
  },
);

describe("a run", () => {
  test("that ends at once has a typed output", async () => {
    const client = open();
    const run = await client.run(expense, { amount: 5 });
    expect(run).toMatchObject({ status: "completed", output: { paid: true, currency: "EUR" }, actorId: "tester" });
    const output = await client.result(run);
    expectTypeOf(output).toEqualTypeOf<{ paid: boolean; currency: string }>();
    expectTypeOf(run.vars.amount).toEqualTypeOf<number>();
    expect(output).toEqual({ paid: true, currency: "EUR" });
    expect(run.createTime).toBeInstanceOf(Date);
    // @ts-expect-error -- the amount is missing
    await expect(client.start(expense, {})).rejects.toMatchObject({ reason: "VARS_INVALID" });
  });

  test("that asks is returned, is answered, and goes on", async () => {
    const client = open();
    const run = await client.run(expense, { amount: 500, currency: "USD" }, { labels: { test: "asks" } });
    expect(run.status === "waiting" && run.waiting).toMatchObject({
      reason: "user",
      prompt: "Pay 500?",
      choices: ["yes", "no"],
      assignees: ["finance"],
    });
    const answered = await client.respond(run, "yes", { actorId: "ada" });
    expectTypeOf(answered.status).toEqualTypeOf<"running" | "waiting" | "completed" | "failed" | "cancelled">();
    expect(await client.result(answered)).toEqual({ paid: true, currency: "USD" });
    const wait = await client.waits.get(run.status === "waiting" ? run.waiting.waitId : "");
    expect(wait).toMatchObject({ answeredBy: "ada" });
    expect(wait.closeTime).toBeInstanceOf(Date);
  });

  test("that fails or is cancelled throws its failure", async () => {
    const client = open();
    const refused = await client.run(expense, { amount: 500 });
    await client.respond(refused, "no");
    const failure = await client.result(refused).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RunFailedError);
    expect(failure).toMatchObject({ code: "REFUSED", message: "nobody wanted to pay", nodeId: "refused" });
    const cancelled = await client.run(expense, { amount: 500 });
    expect(await client.cancel(cancelled, { reason: "too much" })).toMatchObject({ status: "cancelled" });
    await expect(client.result(cancelled)).rejects.toBeInstanceOf(RunCancelledError);
  });

  test("that waits for a person: result waits too", async () => {
    const client = open();
    const run = await client.run(expense, { amount: 500 });
    const result = client.result(run);
    await client.respond(run.runId, "yes");
    expect(await result).toEqual({ paid: true, currency: "EUR" });
  });

  test("gets an event, and is paused, unpaused and ticked", async () => {
    const client = open();
    const run = await client.run(patient, {}, { reasons: ["event"] });
    expect(run).toMatchObject({ status: "waiting", waiting: { reason: "event", names: ["go"] } });
    expect(await client.runs.explain(run)).toMatchObject({
      run: { runId: run.runId, status: "waiting" },
      next: { kind: "event", message: `Somebody emits event go to run ${run.runId}.` },
      channel: { scope: "run", scopeId: run.runId, lastNumber: 0, lookedNumber: 0, startNumber: 0 },
      rowRecordsBehind: 0,
      mailTotal: 0,
      jobCounts: [],
      openJobs: [],
      readTime: expect.any(Date) as Date,
    });
    expect(await client.pause(run)).toMatchObject({ paused: true });
    expect((await client.runs.explain(run.runId)).next.kind).toBe("unpause");
    await client.emit({ name: "go", runId: run.runId, payload: { at: [1, null] }, eventId: "e-1" });
    expect(await client.emit({ name: "go", runId: run.runId, eventId: "e-1" })).toMatchObject({ eventId: "e-1" });
    expect(await client.unpause(run)).toMatchObject({ paused: false });
    expect(await client.result(run)).toEqual({ at: [1, null] });
    const paused = await client.start(expense, { amount: 5 }, { paused: true });
    expect(await client.tick(paused)).toMatchObject({ currentNode: "pay", paused: true });
    expect(await client.awaitRun(paused, { timeoutMs: 0 })).toMatchObject({ status: "running", paused: true });
  });

  test("of a workflow by its id", async () => {
    const client = open();
    await client.register(expense);
    const run = await client.start("expense", { amount: 5 }, { runId: "by-id", sessionId: "s-1", startAt: new Date() });
    expect(await client.result(run)).toEqual({ paid: true, currency: "EUR" });
    expect(await client.runs.get("by-id")).toMatchObject({ sessionId: "s-1", version: 1 });
    await expect(client.runs.explain("nobody")).rejects.toMatchObject({ reason: "RUN_UNKNOWN", code: "not_found" });
    await expect(client.start("nothing")).rejects.toMatchObject({ reason: "WORKFLOW_UNKNOWN", code: "not_found" });
  });
});

describe("a refusal", () => {
  test("has its reason and its problems", async () => {
    const client = open();
    const bad = workflow(
      "bad",
      {},
      { ask: askUser({ prompt: "${vars.}" }, { next: [{ to: "end", when: "1 +" }] }), end: complete() },
    );
    const error = await client.register(bad).catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ reason: "WORKFLOW_INVALID", code: "invalid_argument" });
    const { problems } = error as RefusedError;
    expect(problems.map(({ path }) => path)).toEqual(
      expect.arrayContaining(["nodes.ask.askUser.prompt", "nodes.ask.next[0].when"]),
    );
    // A refused registration can be repeated.
    await expect(client.register(bad)).rejects.toMatchObject({ reason: "WORKFLOW_INVALID" });
  });

  test("of an answer without a question", async () => {
    const client = open();
    const event = await client.run(patient, {}, { reasons: ["event"] });
    await expect(client.respond(event, "yes")).rejects.toMatchObject({ reason: "RUN_NOT_WAITING" });
    const ended = await client.run(expense, { amount: 5 });
    await expect(client.respond(ended, "yes")).rejects.toMatchObject({ reason: "RUN_ENDED" });
    await expect(client.respond("no-such-run", "yes")).rejects.toMatchObject({ reason: "RUN_UNKNOWN" });
    const asks = await client.run(expense, { amount: 500 });
    await expect(client.respond(asks, "maybe")).rejects.toMatchObject({ reason: "ANSWER_INVALID" });
  });
});

describe("lists", () => {
  test("go over pages", async () => {
    const client = open();
    const labels = { test: "pages" };
    for (let index = 0; index < 5; index++)
      await client.start(expense, { amount: 500 }, { labels, runId: `page-${index}` });
    await expect(allOf(client.runs.list({ labels }, { pageSize: 2, order: "oldest" }))).resolves.toMatchObject(
      [0, 1, 2, 3, 4].map((index) => ({ runId: `page-${index}` })),
    );
    await expect(allOf(client.waits.list({ labels, assignee: "finance" }, { pageSize: 2 }))).resolves.toHaveLength(5);
    await expect(allOf(client.waits.list({ labels, assignee: "nobody" }))).resolves.toHaveLength(0);
    const records = await allOf(client.ledger.list("page-0", { pageSize: 1, includeProof: true }));
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_record, index) => index + 1));
    expect(records[0]?.kind).toBe("run.started");
    expect(records[0]?.proof?.headerJson).toContain("page-0");
    await client.cancel("page-0");
    await client.runs.delete("page-0");
    await expect(client.ledger.get("page-0", 1)).rejects.toMatchObject({ reason: "RUN_UNKNOWN" });
  });

  test("workflows have versions", async () => {
    const client = open();
    const first = workflow("versions", {}, { end: complete(1) });
    const second = workflow("versions", { labels: { a: "b" } }, { end: complete(2) });
    expect(await client.register(first)).toMatchObject({ version: 1, current: true });
    expect(await client.register(second)).toMatchObject({ version: 2, current: true });
    // A client starts exactly the version of its own Workflow.
    const run = await client.run(first, {});
    expect(run).toMatchObject({ version: 1, output: 1 });
    expect(await client.workflows.setCurrentVersion("versions", 1)).toMatchObject({ version: 1, current: true });
    const all = await allOf(client.workflows.list({ workflowId: "versions" }));
    expect(all.map(({ version, current }) => [version, current])).toEqual([
      [2, false],
      [1, true],
    ]);
    expect(await client.workflows.archive("versions")).toMatchObject({ archived: true });
    await expect(client.start(second, {})).rejects.toMatchObject({ reason: "WORKFLOW_ARCHIVED" });
    expect(await client.workflows.unarchive("versions")).toMatchObject({ archived: false });
    expect(await client.workflows.get("versions", { version: 2 })).toMatchObject({ labels: { a: "b" } });
  });
});

describe("watches", () => {
  test("return what happens to runs after they are opened, and continue from a cursor", async () => {
    const client = open();
    const labels = { test: "watch" };
    await using watch = client.runs.watch({ labels }, { kinds: ["started", "waiting", "completed"] });
    await watch.opened();
    const run = await client.run(expense, { amount: 500 }, { labels });
    await client.respond(run, "yes");
    const notices = await take(watch, 3);
    expect(notices.map(({ kind }) => kind)).toEqual(["started", "waiting", "completed"]);
    const cursor = notices[1]?.cursor ?? "";
    const later = client.runs.watch({ labels }, { kinds: ["started", "waiting", "completed"], cursor });
    expect((await take(later, 1)).map(({ noticeId }) => noticeId)).toEqual([notices[2]?.noticeId]);
  });

  test("of a run's ledger end with the run", async () => {
    const client = open();
    const run = await client.run(expense, { amount: 500 });
    const watch = client.ledger.watch(run);
    await watch.opened();
    await client.respond(run, "yes");
    const records = await allOf(watch);
    expect(records.at(-1)).toMatchObject({ kind: "run.completed", output: { paid: true, currency: "EUR" } });
    expect(await allOf(client.ledger.watch(run, { afterSeq: 2 }))).toEqual(records.slice(2));
  });

  test("of waits return the existing ones, then new ones, each once", async () => {
    const client = open();
    const labels = { test: "inbox" };
    const before = await client.run(twoQuestions, {}, { labels });
    await using watch = client.waits.watch({ labels });
    const prompts: string[] = [];
    for await (const wait of watch) {
      prompts.push(`${wait.runId === before.runId ? "before" : "after"}: ${wait.prompt}`);
      if (prompts.length === 1) await client.run(twoQuestions, {}, { labels });
      await client.respond(wait.runId, "an answer");
      if (prompts.length === 4) break;
    }
    expect(prompts.toSorted()).toEqual(["after: First?", "after: Second?", "before: First?", "before: Second?"]);
  });

  test("throw the reason of their signal, and end with their client", async () => {
    const client = open();
    const leaving = new AbortController();
    const watch = client.runs.watch({}, { signal: leaving.signal });
    await watch.opened();
    leaving.abort(new Error("enough"));
    await expect(allOf(watch)).rejects.toThrow("enough");
    const other = client.waits.watch({ labels: { test: "nothing" } });
    await other.opened();
    client.close();
    await expect(allOf(other)).resolves.toEqual([]);
    await expect(client.runs.get("any")).rejects.toBeInstanceOf(ConnectionError);
  });

  test("go on where their connection was cut, without a gap or a repeat", async () => {
    const direct = open();
    const labels = { test: "cut" };
    const proxy = await openProxy(server.port);
    const client = open({ addresses: proxy.url });
    const notices: Notice[] = [];
    const waits: Wait[] = [];
    const runs = client.runs.watch({ labels }, { kinds: ["started"] });
    const inbox = client.waits.watch({ labels });
    await Promise.all([runs.opened(), inbox.opened()]);
    const rounds = 5;
    const reading = Promise.all([
      take(runs, rounds * 2).then((taken) => notices.push(...taken)),
      take(inbox, rounds * 2).then((taken) => waits.push(...taken)),
    ]);
    const started: string[] = [];
    for (let round = 0; round < rounds; round++) {
      started.push((await direct.run(expense, { amount: 500 }, { labels })).runId);
      proxy.cut();
      started.push((await direct.run(expense, { amount: 500 }, { labels })).runId);
    }
    await reading;
    expect(notices.map(({ run }) => run.runId)).toEqual(started);
    expect(waits.map(({ runId }) => runId)).toEqual(started);
  });
});

describe("several addresses", () => {
  test("the next one is asked when one refuses connections", async () => {
    const client = open({ addresses: [await closedAddress(), server.url] });
    expect(await client.run(expense, { amount: 5 })).toMatchObject({ status: "completed" });
    // Also for calls that are not repeated: this one was never sent.
    const other = open({ addresses: [await closedAddress(), server.url] });
    await expect(other.tick("no-such-run")).rejects.toMatchObject({ reason: "RUN_UNKNOWN" });
  });

  test("the next one is asked when one does not answer", async () => {
    const silent = await openSilentServer();
    const client = open({ addresses: [silent.url, server.url], attemptTimeoutMs: 300, silenceTimeoutMs: 300 });
    const watch = client.runs.watch({ labels: { test: "silent" } });
    await watch.opened();
    expect(await client.run(expense, { amount: 5 }, { labels: { test: "silent" } })).toMatchObject({
      status: "completed",
    });
    expect(await take(watch, 1)).toMatchObject([{ kind: "started" }]);
  });

  test("if none answers, the deadline ends the call", async () => {
    const address = await closedAddress();
    const client = open({ addresses: address, deadlineMs: 200 });
    const error = await client.runs.get("any").catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({ addresses: [address] });
    const leaving = new AbortController();
    const call = client.runs.get("any", { deadlineMs: 60_000, signal: leaving.signal });
    leaving.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  test("if none answers, a start respects its deadline, also while it registers", async () => {
    const client = open({ addresses: await closedAddress(), deadlineMs: 60_000 });
    const leaving = new AbortController();
    const call = client.run(expense, { amount: 5 }, { signal: leaving.signal });
    leaving.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
    await expect(client.run(expense, { amount: 5 }, { deadlineMs: 100 })).rejects.toThrow(ConnectionError);
  });

  test("a deadline shorter than an attempt is sent to the server in its format", async () => {
    const client = open();
    const run = await client.run(patient, {}, { reasons: ["event"], deadlineMs: 9_999 });
    expect(await client.awaitRun(run, { timeoutMs: 1.5 })).toMatchObject({ status: "waiting" });
    expect(await client.runs.get(run, { deadlineMs: 9_999.5 })).toMatchObject({ status: "waiting" });
  });

  test("must be URLs", () => {
    expect(() => new Client({ addresses: "localhost:7400" })).toThrow(/not an http or https URL/);
    expect(() => new Client({ addresses: "http://127.0.0.1:1, " })).not.toThrow();
    expect(() => new Client({ addresses: [] })).toThrow(/at least one server address/);
  });
});

describe("replies that are lost", () => {
  test("in the network: a start is sent again and starts nothing", async () => {
    const proxy = await openProxy(server.port);
    const client = open({ addresses: [proxy.url, server.url], attemptTimeoutMs: 300 });
    await client.register(expense);
    proxy.mute();
    const labels = { test: "lost" };
    const run = await client.start(expense, { amount: 500 }, { labels });
    expect(await allOf(client.runs.list({ labels }))).toMatchObject([{ runId: run.runId }]);
  });

  test("one after the other, of every call that changes something", async () => {
    const direct = open();
    await direct.register(expense);
    const lossy = createLossyTransport();
    const client = open({ transport: lossy.transport });
    const labels = { test: "every-reply" };
    const run = await client.start(expense, { amount: 500 }, { labels });
    expect(lossy.calls("StartRun")).toBe(2);
    await expect(allOf(direct.runs.list({ labels }))).resolves.toHaveLength(1);

    const answered = await client.respond(run, "yes");
    expect(lossy.calls("ResumeRun")).toBe(2);
    expect(answered.runId).toBe(run.runId);
    const records = await allOf(direct.ledger.list(run));
    expect(records.filter(({ kind }) => kind === "run.resumed" || kind === "step.completed").length).toBeGreaterThan(0);
    expect(records.filter(({ requestId }) => requestId !== undefined)).toHaveLength(1);

    const waiting = await direct.run(patient, {}, { reasons: ["event"] });
    await client.emit({ name: "other", runId: waiting.runId });
    expect(lossy.calls("EmitEvent")).toBe(2);
    await client.pause(waiting);
    expect(await client.unpause(waiting)).toMatchObject({ paused: false });
    expect(lossy.calls("UnpauseRun")).toBe(2);
    await client.cancel(waiting);
    await client.runs.delete(waiting);
    expect(lossy.calls("DeleteRun")).toBe(2);
    await expect(direct.runs.get(waiting)).rejects.toMatchObject({ reason: "RUN_UNKNOWN" });
  });

  test("a tick is not sent again", async () => {
    const direct = open();
    const run = await direct.start(twoQuestions, {}, { paused: true });
    const lossy = createLossyTransport();
    const client = open({ transport: lossy.transport });
    await expect(client.tick(run)).rejects.toBeInstanceOf(ConnectionError);
    expect(lossy.calls("TickRun")).toBe(1);
  });

  test("a call is not repeated after an error of the server", async () => {
    const broken = createFailingTransport(() => new ConnectError("internal error", Code.Internal));
    const client = open({ transport: broken.transport });
    await expect(client.runs.get("any")).rejects.toMatchObject({ reason: "UNKNOWN", code: "internal" });
    expect(broken.calls()).toBe(1);
  });
});

test("a sleeping run is returned after it has ended", async () => {
  const client = open();
  const sleeper = workflow(
    "sleeper",
    {},
    { sleep: waitUntil({ after: "300ms" }, { next: "end" }), end: complete("slept") },
  );
  expect(await client.run(sleeper, {})).toMatchObject({ status: "completed", output: "slept" });
});

async function allOf<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function take<Item>(items: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const taken: Item[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

/** A transport to the server that loses the first reply of every method. */
function createLossyTransport(): { transport: Transport; calls(method: string): number } {
  const real = createConnectTransport({ baseUrl: server.url, httpVersion: "2" });
  const calls = new Map<string, number>();
  const transport: Transport = {
    async unary(method, ...rest) {
      const count = (calls.get(method.name) ?? 0) + 1;
      calls.set(method.name, count);
      const reply = await real.unary(method, ...rest);
      if (count === 1) throw new ConnectError("the connection broke", Code.Unavailable);
      return reply;
    },
    stream: real.stream.bind(real),
  };
  return { transport, calls: (method) => calls.get(method) ?? 0 };
}

function createFailingTransport(failure: () => ConnectError): { transport: Transport; calls(): number } {
  let calls = 0;
  const fails = async (): Promise<never> => {
    calls++;
    throw failure();
  };
  return { transport: { unary: fails, stream: fails }, calls: () => calls };
}

/** An address where nothing listens. */
async function closedAddress(): Promise<string> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return `http://127.0.0.1:${port}`;
}

/** Accepts connections and never sends anything. */
async function openSilentServer(): Promise<{ url: string }> {
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).resume();
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  opened.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  });
  return { url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}` };
}

type Proxy = {
  url: string;
  /** Breaks all open connections. */
  cut(): void;
  /** Lets no more bytes reach the client on the open connections. */
  mute(): void;
};

async function openProxy(port: number): Promise<Proxy> {
  const pairs = new Set<{ near: Socket; far: Socket }>();
  const listener = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port });
    const pair = { near, far };
    pairs.add(pair);
    near.pipe(far).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one
        .on("error", () => undefined)
        .on("close", () => {
          pairs.delete(pair);
          other.destroy();
        });
    }
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const cut = (): void => {
    for (const { near } of pairs) near.destroy();
  };
  opened.push({
    close: () => {
      cut();
      listener.close();
    },
  });
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    cut,
    mute: () => {
      for (const { near, far } of pairs) far.unpipe(near).resume();
    },
  };
}
