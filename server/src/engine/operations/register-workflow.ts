import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import type { Caller, WorkflowView } from "../api.ts";
import { compileInTurns } from "../compile-in-turns.ts";
import type { Essentials } from "../essentials.ts";
import { graphDamage } from "../whole-graph.ts";
import { workflowView } from "../workflow-view.ts";

/**
 * Registers a graph as its workflow's next version, which becomes the current one. If the graph is registered already,
 * returns its version, and repairs it if it is damaged.
 * @throws {DomainError} WORKFLOW_INVALID
 */
export async function registerWorkflow(
  { store }: Pick<Essentials, "store">,
  caller: Caller,
  definition: WorkflowDefinition,
): Promise<WorkflowView> {
  const { digest } = await compileInTurns(definition);
  const version = { tenantId: caller.tenantId, digest, definition };
  caller.deadline?.noteSent();
  const stored = await store.workflows.register(version);
  // Both graphs have been registered under this digest. The one of the request has it.
  const isDamaged = graphDamage(stored) !== undefined;
  return workflowView(isDamaged ? await store.workflows.register({ ...version, isRepair: true }) : stored);
}
