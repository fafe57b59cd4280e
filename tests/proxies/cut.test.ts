/** Proxies that end a request whose answer does not come in time: the SDK goes on, whatever they send in its place. */
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import type { Transport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import {
  askUser,
  Client,
  complete,
  type StepRecord,
  tool,
  toolCalls,
  waitEvent,
  Worker,
  workflow,
  type Watch,
} from "../../sdk-ts/src/index.ts";
import { useServer } from "../conformance/server.ts";
import { type CutBy, type CuttingProxy, openCuttingProxy } from "../support/cutting-proxy.ts";

/** A hundredth of what proxies usually allow. */
const READ_TIMEOUT_MS = 600;

const server = useServer();
/** The tests run side by side, so each closes its own. */
type OnFinished = (close: () => Promise<void>) => void;

const patient = workflow(
  "cut-patient",
  {},
  { wait: waitEvent({ names: ["go"] }, { resultKey: "event", next: "end" }), end: complete("${vars.event.payload}") },
);
const twice = workflow(
  "cut-twice",
  {},
  {
    first: waitEvent({ names: ["go"] }, { next: "second" }),
    second: waitEvent({ names: ["go"] }, { next: "end" }),
    end: complete(),
  },
);
const asking = workflow("cut-asking", {}, { ask: askUser({ prompt: "?" }, { next: "end" }), end: complete() });

type Protocol = (baseUrl: string) => Transport;
const PROTOCOLS: Record<string, Protocol> = {
  Connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
};
const CUTS: CutBy[] = ["504", "reset", "calm", "goaway", "close", "end"];
const ALL: [keyof typeof PROTOCOLS, CutBy][] = [
  ...CUTS.map((by): [string, CutBy] => ["Connect", by]),
  ["gRPC", "504"],
  ["gRPC", "end"],
  ["gRPC-Web", "504"],
  ["gRPC-Web", "end"],
];

function direct(onFinished: OnFinished): Client {
  const client = new Client({ addresses: server.url });
  onFinished(async () => client.close());
  return client;
}

async function behind(
  protocol: string,
  by: CutBy,
  onFinished: OnFinished,
): Promise<{ client: Client; proxy: CuttingProxy }> {
  const proxy = await openCuttingProxy(server.url, { readTimeoutMs: READ_TIMEOUT_MS, by });
  const client = new Client({ transport: PROTOCOLS[protocol]!(proxy.url) });
  onFinished(async () => {
    client.close();
    await proxy.close();
  });
  return { client, proxy };
}

describe("a long poll that a proxy cuts", () => {
  test.concurrent.for(ALL)("over %s by %s returns the result", async ([protocol, by], { onTestFinished }) => {
    const { client, proxy } = await behind(protocol, by, onTestFinished);
    const run = await client.run(patient, {}, { reasons: ["event"] });
    const result = client.result(run);
    const awaited = client.awaitRun(run, { reasons: [], timeoutMs: 60_000 });
    await proxy.cut("AwaitRun", 1);
    // Shorter requests are answered, so the next ones are not cut.
    await Promise.race([proxy.answered("AwaitRun", 4), result]);
    await direct(onTestFinished).emit({ name: "go", runId: run.runId, payload: "went" });
    expect(await result).toBe("went");
    expect(await awaited).toMatchObject({ status: "completed" });
  });
});

async function allOf<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function first<Item>(watch: Watch<Item>, count: number): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of watch) if (items.push(item) === count) break;
  return items;
}

describe("an idle stream that a proxy cuts", () => {
  test.concurrent.for(ALL)(
    "over %s by %s goes on without a gap or a repeat",
    async ([protocol, by], { onTestFinished }) => {
      const { client, proxy } = await behind(protocol, by, onTestFinished);
      const straight = direct(onTestFinished);
      const labels = { cut: `${protocol} ${by}` };
      const before = await straight.run(asking, {}, { labels });
      const records: StepRecord[] = await allOf(straight.ledger.list(before));
      const notices = client.runs.watch({ labels }, { kinds: ["started"] });
      const waits = client.waits.watch({ labels });
      const ledger = client.ledger.watch(before, { afterSeq: records.length });
      await Promise.all([notices.opened(), waits.opened(), ledger.opened()]);
      const read = Promise.all([first(notices, 2), first(waits, 3), first(ledger, 1)]);
      await Promise.all([proxy.cut("WatchRuns", 3), proxy.cut("WatchRun", 2)]);
      const one = await straight.run(asking, {}, { labels });
      await proxy.cut("WatchRuns", 5);
      const two = await straight.run(asking, {}, { labels });
      await straight.respond(before, "yes");
      const [seen, asked, added] = await read;
      expect(seen.map(({ run }) => run.runId)).toEqual([one.runId, two.runId]);
      expect(asked.map(({ runId }) => runId)).toEqual([before.runId, one.runId, two.runId]);
      expect(added).toMatchObject([{ seq: records.length + 1 }]);
    },
  );
});

describe("a worker's stream that a proxy cuts", () => {
  test.concurrent.for(CUTS)("by %s is opened again, and its jobs go on", async (by, { onTestFinished }) => {
    const proxy = await openCuttingProxy(server.url, { readTimeoutMs: READ_TIMEOUT_MS, by });
    const begun = Promise.withResolvers<void>();
    const done = Promise.withResolvers<string>();
    let calls = 0;
    const slow = tool({ name: `slow-${by}` }, async () => {
      calls += 1;
      begun.resolve();
      return done.promise;
    });
    const logged: string[] = [];
    const note = (_fields: object, message: string): void => void logged.push(message);
    const log = { debug: () => {}, info: () => {}, warn: note, error: note };
    const worker = new Worker({ server: proxy.url, tools: [slow], log });
    onTestFinished(async () => {
      await worker.stop({ graceMs: 0 });
      await proxy.close();
    });
    await worker.start();
    const calling = workflow(
      `cut-calling-${by}`,
      {},
      {
        call: toolCalls({ calls: [{ name: slow.name }] }, { resultKey: "calls", next: "end" }),
        end: complete("${vars.calls.results[0].output}"),
      },
    );
    const client = direct(onTestFinished);
    const run = await client.start(calling, {});
    await begun.promise;
    await proxy.cut("Work", 3);
    done.resolve("done");
    expect(await client.result(run)).toBe("done");
    expect(calls).toBe(1);
    // Nobody needs to be told of a stream that is open again at once.
    expect(logged).not.toContain("disconnected");
  });
});

describe("a request that changes something and whose answer a proxy cuts", () => {
  test.concurrent.for(ALL)("over %s by %s is sent again, and done once", async ([protocol, by], { onTestFinished }) => {
    const { client, proxy } = await behind(protocol, by, onTestFinished);
    const labels = { lost: `${protocol} ${by}` };
    await client.register(asking);
    await client.register(patient);
    proxy.loseNextAnswer("StartRun");
    const run = await client.start(asking, {}, { labels });
    expect(await allOf(client.runs.list({ labels }))).toMatchObject([{ runId: run.runId }]);
    proxy.loseNextAnswer("ResumeRun");
    await client.awaitRun(run);
    await client.respond(run, "yes");
    const records = await allOf(client.ledger.list(run));
    expect(records.filter(({ requestId }) => requestId !== undefined)).toHaveLength(1);
    const waiting = await client.run(twice, {}, { reasons: ["event"] });
    proxy.loseNextAnswer("EmitEvent");
    await client.emit({ name: "go", runId: waiting.runId });
    // A second event would end the run.
    expect(await client.emit({ name: "other", runId: waiting.runId })).toMatchObject({ delivered: 0 });
    expect(await client.runs.get(waiting)).toMatchObject({ status: "waiting", currentNode: "second" });
  });
});
