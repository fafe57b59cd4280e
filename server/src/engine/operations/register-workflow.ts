import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import type { Caller, WorkflowView } from "../api.ts";
import { compileInTurns } from "../compile-in-turns.ts";
import type { Essentials } from "../essentials.ts";
import { workflowView } from "../workflow-view.ts";

/**
 * Registers a graph as its workflow's next version, which becomes the current one. If the graph is registered already,
 * returns its version.
 * @throws {DomainError} WORKFLOW_INVALID
 */
export async function registerWorkflow(
  { store }: Pick<Essentials, "store">,
  caller: Caller,
  definition: WorkflowDefinition,
): Promise<WorkflowView> {
  const { digest } = await compileInTurns(definition);
  return workflowView(await store.workflows.register({ tenantId: caller.tenantId, digest, definition }));
}
