/** A worker that does not read what it is sent, over a real connection to a server with short limits. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { PERMISSIONS } from "../../server/src/engine/caller.ts";
import { createRpcServer, type RpcServerOptions } from "../../server/src/rpc/server.ts";
import { graph } from "../guarantees/graphs.ts";
import {
  openSharedDatabase,
  type SharedDatabase,
  startRequest,
  startTestServer,
  type TestServer,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { freshSession, openWireWorker, serveTools, type WireWorker } from "./wire-worker.ts";

/** The caller without a credential. */
const caller = { tenantId: "default", may: PERMISSIONS };

/** Longer than it takes to start the runs on a busy machine; the stream is cut off after the same time again. */
const STALL_MS = 2_500;
const PAYLOAD_BYTES = 300 * 1024;
const RUNS = 80;
/** What waits in the queue (4 MiB), in the reply and in the connection, with some allowance. */
const OFFERED_MAX = 40;

const definition = graph({
  call: { toolCalls: { calls: [{ name: "large", arguments: { blob: "${vars.blob}" } }] }, next: [{ to: "done" }] },
  done: { complete: {} },
});
const quick = graph({
  call: { toolCalls: { calls: [{ name: "quick" }] }, next: [{ to: "done" }] },
  done: { complete: {} },
});

let database: SharedDatabase;
let server: TestServer;
let rpc: ReturnType<typeof createRpcServer>;
let port: number;
let neighbour: Awaited<ReturnType<typeof serveTools>>;

beforeEach(async () => {
  database = await openSharedDatabase("memory");
  // Longer than a stream may stall, so that the stall ends the stream.
  server = await startTestServer(database, { pingMs: 200, silenceMs: 20_000, reconnectMs: 100 });
  const config = { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] };
  const nothing = (): void => undefined;
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as RpcServerOptions["log"];
  rpc = createRpcServer({ engine: server.engine, config, log, timing: { streamStallMs: STALL_MS } });
  ({ port } = await rpc.listen());
  neighbour = await serveTools(port, ["quick"]);
  await server.engine.registerWorkflow(caller, definition);
  await server.engine.registerWorkflow(caller, quick);
});

afterEach(async () => {
  neighbour.cut();
  await rpc.close(0);
  await server.stop();
  await database.close();
  expect(server.errors).toEqual([]);
});

/** A worker that has stopped reading, and many large jobs for it. */
async function stuckWorker(): Promise<{ worker: WireWorker; runIds: string[] }> {
  const worker = openWireWorker(port, { workerSessionId: freshSession(), tools: [{ name: "large" }] });
  await worker.take("welcome");
  worker.stopReading();
  worker.send({ case: "credit", value: { jobs: 10_000 } });
  const runIds: string[] = [];
  for (let n = 0; n < RUNS; n++) {
    const request = startRequest(definition.workflowId, { vars: { blob: "x".repeat(PAYLOAD_BYTES) } });
    runIds.push((await server.engine.startRun(caller, request)).state.runId);
  }
  return { worker, runIds };
}

async function untilGone({ sessionId }: WireWorker): Promise<void> {
  for (;;) {
    const { workers } = await server.engine.listWorkers(caller, { pageSize: 0, pageToken: "" });
    if (!workers.some(({ workerSessionId }) => workerSessionId === sessionId)) return;
    await turn();
  }
}

test("its stream ends, little is queued for it, its jobs go to others, and others are served", async () => {
  const { worker, runIds } = await stuckWorker();
  const { state } = await server.engine.startRun(caller, startRequest(quick.workflowId));
  expect((await untilEnded(server, caller, state.runId)).state.status).toBe("completed");
  await untilGone(worker);
  const other = await serveTools(port, ["large"]);
  for (const runId of runIds) {
    expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
  }
  expect(neighbour.isEnded).toBe(false);
  worker.cut();
  other.cut();
});

test("when it reads again it finds what was queued, and why its stream has ended", async () => {
  const { worker, runIds } = await stuckWorker();
  await untilGone(worker);
  worker.readOn();
  expect(await worker.ended).toMatchObject({ code: 8, reason: "STREAM_TOO_SLOW" });
  expect(worker.offered).toBeGreaterThan(0);
  expect(worker.offered).toBeLessThan(OFFERED_MAX);
  expect(runIds).toHaveLength(RUNS);
});
