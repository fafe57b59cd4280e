import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import { compileWorkflow } from "../core/compile/workflow.ts";
import type { Workflow } from "../core/graph/graph.ts";
import type { Store } from "../store/contract/store.ts";
import type { StoredWorkflow } from "../store/contract/workflows.ts";
import { createBatcher } from "./batcher.ts";
import { assertWholeGraph } from "./whole-graph.ts";
import { versionUnknown, workflowUnknown } from "./refusals.ts";

/** The compiled versions kept; a graph takes about 100 KiB. The least recently used one is dropped first. */
const COMPILED_MAX = 500;

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
  const compiled = new Map<string, Workflow>();
  type VersionRequest = { tenantId: string; workflowId: string; version: number };
  const read = createBatcher(async (requests: readonly VersionRequest[]) => {
    // Runs that start together mostly start the same workflow: one read serves them all.
    const questions = new Map(requests.map((one) => [keyOf(one.tenantId, one.workflowId, one.version), one]));
    const reads = [...questions].map(async ([key, { tenantId, workflowId, version }]) => {
      return [key, await store.workflows.get(tenantId, workflowId, version)] as const;
    });
    const answers = new Map(await Promise.all(reads));
    return requests.map((one) => answers.get(keyOf(one.tenantId, one.workflowId, one.version)));
  });

  function compile(stored: StoredWorkflow): Workflow {
    const key = keyOf(stored.tenantId, stored.workflowId, stored.version);
    return keep(key, compiled.get(key) ?? compileStored(assertWholeGraph(stored, log), log));
  }

  /** Keeps it as the one that was used last. */
  function keep(key: string, workflow: Workflow): Workflow {
    compiled.delete(key);
    compiled.set(key, workflow);
    if (compiled.size > COMPILED_MAX) compiled.delete(compiled.keys().next().value!);
    return workflow;
  }

  return {
    async pinned(tenantId, workflowId, version) {
      const key = keyOf(tenantId, workflowId, version);
      const known = compiled.get(key);
      if (known !== undefined) return keep(key, known);
      const stored = await read({ tenantId, workflowId, version });
      if (stored === undefined) throw workflowUnknown(workflowId);
      return compile(stored);
    },
    async toStart(tenantId, workflowId, version) {
      const stored = await read({ tenantId, workflowId, version });
      if (stored === undefined) {
        if (version === 0 || (await read({ tenantId, workflowId, version: 0 })) === undefined) {
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
function compileStored(stored: StoredWorkflow, log: Logger): Workflow {
  const { definition, version, workflowId, digest } = stored;
  try {
    return compileWorkflow(definition, version);
  } catch (error) {
    log.error({ err: error, workflowId, version }, "this release cannot use a registered workflow");
    const { entryNode } = definition;
    return { workflowId, version, digest, definition, entryNode, nodes: new Map(), limits: {}, commitEveryStep: false };
  }
}

function keyOf(tenantId: string, workflowId: string, version: number): string {
  return `${tenantId}/${workflowId}/${version}`;
}
