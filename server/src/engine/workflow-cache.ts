import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import type { Workflow } from "../core/graph/graph.ts";
import type { Store } from "../store/contract/store.ts";
import type { StoredWorkflow } from "../store/contract/workflows.ts";
import { createWeighedCache } from "../core/weighed-cache.ts";
import { createBatcher } from "./batcher.ts";
import { compileInTurns } from "./compile-in-turns.ts";
import { assertWholeGraph } from "./whole-graph.ts";
import { versionUnknown, workflowUnknown } from "./refusals.ts";

/** What all compiled versions may weigh: two of the largest graphs, or thousands of ordinary ones. */
const COMPILED_BYTES_MAX = 256 * 1024 * 1024;

export type WorkflowCache = {
  /** Returns the version that a run is pinned to. @throws {DomainError} WORKFLOW_UNKNOWN, DATA_DAMAGED */
  pinned(tenantId: string, workflowId: string, version: number): Promise<Workflow>;
  /**
   * Returns the version to start: `version`, or the current one if it is 0. Reads the store, because another server may
   * have registered a version.
   * @throws {DomainError} WORKFLOW_UNKNOWN, VERSION_UNKNOWN, WORKFLOW_ARCHIVED, DATA_DAMAGED
   */
  toStart(tenantId: string, workflowId: string, version: number): Promise<Workflow>;
};

export function createWorkflowCache(store: Store, log: Logger): WorkflowCache {
  const compiled = createWeighedCache<Workflow>(COMPILED_BYTES_MAX);
  /** The versions that are being compiled: runs that start together wait for one compilation. */
  const compiling = new Map<string, Promise<Workflow>>();
  type VersionRequest = { tenantId: string; workflowId: string; version: number };
  const read = createBatcher(async (requests: readonly VersionRequest[]) => {
    // Runs that start together mostly start the same workflow: one read serves them all.
    const questions = new Map(requests.map((one) => [keyOf(one.tenantId, one.workflowId, one.version), one]));
    const reads = [...questions].map(async ([key, { tenantId, workflowId, version }]) => {
      // A version that cannot be read fails its own requests only.
      const [answer] = await Promise.allSettled([store.workflows.get(tenantId, workflowId, version)]);
      return [key, answer] as const;
    });
    const answers = new Map(await Promise.all(reads));
    return requests.map((one) => answers.get(keyOf(one.tenantId, one.workflowId, one.version))!);
  });

  async function readVersion(request: VersionRequest): Promise<StoredWorkflow | undefined> {
    const answer = await read(request);
    if (answer.status === "rejected") throw answer.reason;
    return answer.value;
  }

  async function compile(stored: StoredWorkflow): Promise<Workflow> {
    const key = keyOf(stored.tenantId, stored.workflowId, stored.version);
    const known = compiled.get(key);
    if (known !== undefined) return known;
    const pending =
      compiling.get(key) ?? compileStored(assertWholeGraph(stored, log), log).finally(() => compiling.delete(key));
    compiling.set(key, pending);
    const workflow = await pending;
    compiled.put(key, workflow, workflow.weight);
    return workflow;
  }

  return {
    async pinned(tenantId, workflowId, version) {
      const key = keyOf(tenantId, workflowId, version);
      const known = compiled.get(key);
      if (known !== undefined) return known;
      const stored = await readVersion({ tenantId, workflowId, version });
      if (stored === undefined) throw workflowUnknown(workflowId);
      return compile(stored);
    },
    async toStart(tenantId, workflowId, version) {
      const stored = await readVersion({ tenantId, workflowId, version });
      if (stored === undefined) {
        if (version === 0 || (await readVersion({ tenantId, workflowId, version: 0 })) === undefined) {
          throw workflowUnknown(workflowId);
        }
        throw versionUnknown(workflowId, version);
      }
      if (stored.archived) {
        throw new DomainError("WORKFLOW_ARCHIVED", `Workflow ${workflowId} is archived and accepts no new runs.`, {
          metadata: { workflow_id: workflowId },
        });
      }
      return compile(stored);
    },
  };
}

/**
 * Compiles a version that was accepted at its registration. If this release does not accept it any more, the result has
 * no nodes: its runs can be cancelled, paused and failed, and a run that has to take a step fails visibly instead of
 * stopping.
 */
async function compileStored(stored: StoredWorkflow, log: Logger): Promise<Workflow> {
  const { definition, version, workflowId, digest } = stored;
  try {
    return await compileInTurns(definition, version);
  } catch (error) {
    log.error({ err: error, workflowId, version }, "this release cannot use a registered workflow");
    const { entryNode } = definition;
    return {
      workflowId,
      version,
      digest,
      definition,
      entryNode,
      nodes: new Map(),
      limits: {},
      commitEveryStep: false,
      weight: 0,
    };
  }
}

function keyOf(tenantId: string, workflowId: string, version: number): string {
  return `${tenantId}/${workflowId}/${version}`;
}
