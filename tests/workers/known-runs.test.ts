/**
 * Runs whose jobs and handlers are at this server are known here: their outcomes are settled without reading the run
 * again.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import { graph } from "../guarantees/graphs.ts";
import {
  freshCaller,
  openSharedDatabase,
  type SharedDatabase,
  startRun,
  startTestServer,
  type TestServer,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";

let database: SharedDatabase;
let server: TestServer;
/** How many runs this server has read. */
let reads = 0;

function counting(store: Store): Store {
  const load: Store["runs"]["load"] = async (keys) => {
    reads += keys.length;
    return await store.runs.load(keys);
  };
  return { ...store, runs: { ...store.runs, load } };
}

beforeEach(async () => {
  reads = 0;
  database = await openSharedDatabase("memory");
  server = await startTestServer(database, {}, counting);
});
afterEach(async () => {
  await server.stop();
  await database.close();
});

test("results of jobs", async () => {
  const caller = freshCaller();
  const worker = await connectTestWorker(server, caller, { toolNames: ["t"] });
  worker.credit(10);
  const calls = [{ name: "t" }, { name: "t" }];
  const tools: NodeDefinition = { toolCalls: { calls }, resultKey: "found", next: [{ to: "done" }] };
  const { runId } = (await startRun(server, caller, graph({ tools, done: { complete: {} } }))).state;
  const jobs = [await worker.nextJob(), await worker.nextJob()];
  worker.accept(...jobs);
  reads = 0;
  // The second result finds the run as the first one left it, although no other job of the run is here any more.
  for (const job of jobs) {
    expect(await worker.complete(job, 1)).toMatchObject({ status: "accepted" });
    // The settlement is over, and has no interest in the run any more.
    await turn();
  }
  expect(reads).toBe(0);
  expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
});

test("step plans of handlers", async () => {
  const caller = freshCaller();
  const definition = graph(
    {
      first: { handler: {}, next: [{ to: "second" }] },
      second: { handler: {}, next: [{ to: "done" }] },
      done: { complete: {} },
    },
    { commitEveryStep: true },
  );
  const workflows = [{ workflowId: definition.workflowId, versions: [] }];
  const worker = await connectTestWorker(server, caller, { workflows });
  worker.credit(10);
  const { runId } = (await startRun(server, caller, definition)).state;
  const first = await worker.nextJob();
  worker.accept(first);
  reads = 0;
  await worker.complete(first, { nextNode: "second" });
  const second = await worker.nextJob();
  worker.accept(second);
  await worker.complete(second, { nextNode: "done" });
  expect(reads).toBe(0);
  expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
});
