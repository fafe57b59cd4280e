import { compileWorkflow, workflowDigest } from "../../core/compile/workflow.ts";
import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import type { Caller, WorkflowView } from "../api.ts";
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
  compileWorkflow(definition);
  const digest = workflowDigest(definition);
  caller.deadline?.noteSent();
  return workflowView(await store.workflows.register({ tenantId: caller.tenantId, digest, definition }));
}
