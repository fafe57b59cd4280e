import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import { workflowDigest } from "../core/compile/workflow.ts";
import type { WorkflowDefinition } from "../core/graph/definition.ts";
import type { Store } from "../store/contract/store.ts";
import { createMemoryDatabase, createMemoryStore } from "../store/memory/store.ts";
import { PERMISSIONS } from "./caller.ts";
import { createEngine } from "./engine.ts";
import { createWorkflowCache } from "./workflow-cache.ts";

const caller = { tenantId: "default", may: PERMISSIONS };
const start = { workflowId: "w", version: 0, vars: {}, labels: {}, limits: {}, paused: false };
const patience = { reasons: [], timeoutMs: 5_000, signal: new AbortController().signal };

const release = vi.hoisted(() => ({ refuses: false }));
vi.mock(import("../core/compile/workflow.ts"), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    compileInPieces(...args: Parameters<typeof original.compileInPieces>) {
      if (release.refuses) throw new Error("this release does not accept the graph");
      return original.compileInPieces(...args);
    },
  };
});

afterEach(() => {
  release.refuses = false;
});

/** An engine of a release that does not accept the graph that an earlier one has registered. */
async function openLater(graph: WorkflowDefinition) {
  const database = createMemoryDatabase({ now: () => Date.now() * 1000 });
  const log = pino({ level: "silent" });
  const first = createEngine({ store: await createMemoryStore(database), log });
  await first.start();
  await first.registerWorkflow(caller, graph);
  const run = await first.startRun(caller, { ...start, runId: "r" });
  await first.stop();
  release.refuses = true;
  const engine = createEngine({ store: await createMemoryStore(database), log });
  await engine.start();
  return { engine, run };
}

const asking: WorkflowDefinition = {
  workflowId: "w",
  entryNode: "ask",
  nodes: { ask: { askUser: { prompt: "?", timeout: "50ms" } } },
};

test("a run whose graph this release does not accept any more is failed visibly when it must take a step", async () => {
  const { engine } = await openLater(asking);
  const run = await engine.awaitRun(caller, { ...patience, runId: "r", reasons: ["job"] });
  expect(run.state).toMatchObject({ status: "failed", error: { code: "INTERNAL" } });
  await engine.stop();
});

test("versions are dropped by what they weigh, the least recently used one first", async () => {
  // 1 MiB of text: 20 of these weigh more than the cache holds.
  const large = { ...asking, nodes: { ask: { askUser: { prompt: "?", details: "x".repeat(1024 * 1024 - 1024) } } } };
  const reads: string[] = [];
  const workflows = {
    get: (tenantId: string, workflowId: string, version: number) => {
      reads.push(workflowId);
      const digest = workflowDigest(large);
      return Promise.resolve({ tenantId, workflowId, version, definition: large, digest, archived: false });
    },
  };
  const cache = createWorkflowCache({ workflows } as unknown as Store, pino({ level: "silent" }));
  for (let number = 0; number < 20; number++) {
    await cache.pinned("default", `w${number}`, 1);
    await cache.pinned("default", "w0", 1);
  }
  await cache.pinned("default", "w1", 1);
  expect(reads.filter((workflowId) => workflowId === "w0")).toHaveLength(1);
  expect(reads.filter((workflowId) => workflowId === "w1")).toHaveLength(2);
});

test("and can be cancelled before", async () => {
  const long = { ...asking, nodes: { ask: { askUser: { prompt: "?" } } } };
  const { engine } = await openLater(long);
  const run = await engine.cancelRun(caller, { runId: "r" });
  expect(run.state.status).toBe("cancelled");
  await engine.stop();
});

test("a version that cannot be read fails its own runs, not those that are read with it", async () => {
  const workflows = {
    get: (tenantId: string, workflowId: string, version: number) => {
      if (workflowId === "damaged") return Promise.reject(new Error("malformed JSON"));
      const digest = workflowDigest(asking);
      return Promise.resolve({ tenantId, workflowId, version, definition: asking, digest, archived: false });
    },
  };
  const cache = createWorkflowCache({ workflows } as unknown as Store, pino({ level: "silent" }));
  const [damaged, sound] = await Promise.allSettled([
    cache.pinned("default", "damaged", 1),
    cache.pinned("default", "sound", 1),
  ]);
  expect(damaged).toMatchObject({ status: "rejected", reason: { message: "malformed JSON" } });
  expect(sound).toMatchObject({ status: "fulfilled", value: { entryNode: "ask" } });
});

test("runs that start together wait for one compilation", async () => {
  const workflows = {
    get: (tenantId: string, workflowId: string, version: number) => {
      const digest = workflowDigest(asking);
      return Promise.resolve({ tenantId, workflowId, version, definition: asking, digest, archived: false });
    },
  };
  const cache = createWorkflowCache({ workflows } as unknown as Store, pino({ level: "silent" }));
  const [one, other] = await Promise.all([cache.pinned("default", "w", 1), cache.pinned("default", "w", 1)]);
  expect(one).toBe(other);
});
