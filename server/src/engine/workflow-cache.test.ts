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
    compileWorkflow(...args: Parameters<typeof original.compileWorkflow>) {
      if (release.refuses) throw new Error("this release does not accept the graph");
      return original.compileWorkflow(...args);
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

test("the version that was used least recently is dropped first", async () => {
  const reads: string[] = [];
  const workflows = {
    get: (tenantId: string, workflowId: string, version: number) => {
      reads.push(workflowId);
      const digest = workflowDigest(asking);
      return Promise.resolve({ tenantId, workflowId, version, definition: asking, digest, archived: false });
    },
  };
  const cache = createWorkflowCache({ workflows } as unknown as Store, pino({ level: "silent" }));
  for (let number = 0; number < 600; number++) {
    await cache.pinned("default", `w${number}`, 1);
    await cache.pinned("default", "w0", 1);
  }
  expect(reads.filter((workflowId) => workflowId === "w0")).toHaveLength(1);
});

test("and can be cancelled before", async () => {
  const long = { ...asking, nodes: { ask: { askUser: { prompt: "?" } } } };
  const { engine } = await openLater(long);
  const run = await engine.cancelRun(caller, { runId: "r" });
  expect(run.state.status).toBe("cancelled");
  await engine.stop();
});
