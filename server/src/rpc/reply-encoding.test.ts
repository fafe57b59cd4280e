import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import pino from "pino";
import { afterEach, expect, test } from "vitest";
import type { Engine } from "../engine/api.ts";
import { createFakeEngine, fakeRecord, fakeRun } from "../../../tests/support/fake-engine.ts";
import { createRpcServer } from "./server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(replaced: Partial<Engine>) {
  const engine = createFakeEngine(replaced);
  const server = createRpcServer({
    engine,
    config: { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] },
    log: pino({ level: "silent" }),
  });
  cleanups.push(() => server.close(0));
  const { url } = await server.listen();
  return {
    binary: createClient(RuntimeService, createGrpcTransport({ baseUrl: url })),
    web: createClient(RuntimeService, createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" })),
    json: createClient(RuntimeService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" })),
  };
}

/** Vars that count how often they are read. */
function countedVars() {
  const counts = { reads: 0 };
  const members = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`name-${index}`, "x".repeat(100)]));
  const vars = new Proxy(members, {
    ownKeys(target) {
      counts.reads += 1;
      return Reflect.ownKeys(target);
    },
  });
  return { vars, members, counts };
}

test("equal replies are encoded once: one large run for many clients, in each encoding", async () => {
  const { vars, members, counts } = countedVars();
  const { binary, web, json } = await start({ awaitRun: async () => fakeRun({ vars }) });
  await binary.awaitRun({ runId: "run-1" });
  await json.awaitRun({ runId: "run-1" });
  const readsForTwo = counts.reads;
  const clients = [binary, web, json];
  const replies = await Promise.all(
    Array.from({ length: 60 }, (_, call) => clients[call % 3]!.awaitRun({ runId: "run-1" })),
  );
  for (const { run } of replies) expect(run?.vars).toEqual(members);
  expect(readsForTwo).toBeGreaterThan(0);
  expect(counts.reads).toBe(readsForTwo);
});

test("a run of another seq, and another view of it, is another reply", async () => {
  const state = { seq: 3, vars: { text: "x".repeat(50_000) } };
  const { binary } = await start({ getRun: async (_caller, _runId, view) => fakeRun({ ...state }, view) });
  expect((await binary.getRun({ runId: "run-1" })).run?.vars).toEqual(state.vars);
  expect((await binary.getRun({ runId: "run-1", view: 1 })).run?.vars).toBeUndefined();
  Object.assign(state, { seq: 4, vars: { text: "y".repeat(50_000) } });
  expect((await binary.getRun({ runId: "run-1" })).run?.vars).toEqual(state.vars);
});

test("many watchers of one large record receive what one encoding made, each in its own order", async () => {
  const outputs = ["a", "b", "c"].map((letter) => letter.repeat(40_000));
  const { binary, json } = await start({
    async *watchRun() {
      for (const [index, value] of outputs.entries()) {
        const record = fakeRecord(index + 1, { status: "completed", output: { value } });
        const sealed = { ...record.sealed, hash: String(index).repeat(64) };
        yield { cursor: String(index + 1), stepRecord: { ...record, sealed } };
      }
    },
  });
  const watch = async (client: typeof binary) => {
    const seen: unknown[] = [];
    for await (const { event } of client.watchRun({ runId: "run-1" })) {
      if (event.case === "stepRecord") seen.push(event.value.output?.kind.value);
    }
    return seen;
  };
  const all = await Promise.all(Array.from({ length: 20 }, (_, index) => watch(index % 2 === 0 ? binary : json)));
  for (const seen of all) expect(seen).toEqual(outputs);
});

test("what is remembered of replies is bounded in bytes", async () => {
  const { vars, counts } = countedVars();
  const { binary } = await start({ getRun: async (_caller, runId) => fakeRun({ runId, vars }) });
  await binary.getRun({ runId: "first" });
  const readsForOne = counts.reads;
  // 100 KB each, weighed six times: more than are remembered.
  for (let run = 0; run < 120; run++) await binary.getRun({ runId: `run-${run}` });
  counts.reads = 0;
  await binary.getRun({ runId: "run-119" });
  expect(counts.reads).toBe(0);
  await binary.getRun({ runId: "first" });
  expect(counts.reads).toBe(readsForOne);
});

test("many clients that read large runs are served a number at a time", async () => {
  let reading = 0;
  let readingMost = 0;
  const { binary } = await start({
    async getRun(_caller, runId) {
      reading += 1;
      readingMost = Math.max(readingMost, reading);
      await new Promise((resolve) => setImmediate(resolve));
      reading -= 1;
      return fakeRun({ runId, vars: { text: "x".repeat(20_000) } });
    },
  });
  const replies = await Promise.all(Array.from({ length: 200 }, (_, run) => binary.getRun({ runId: `run-${run}` })));
  expect(replies.map(({ run }) => run?.runId)).toEqual(Array.from({ length: 200 }, (_, run) => `run-${run}`));
  expect(readingMost).toBeGreaterThan(1);
  expect(readingMost).toBeLessThanOrEqual(64);
});
