import type { Caller, WorkflowView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { workflowUnknown } from "../refusals.ts";
import { workflowView } from "../workflow-view.ts";

/**
 * Archives a workflow, so that it accepts no new runs, or unarchives it.
 * @throws {DomainError} WORKFLOW_UNKNOWN
 */
export async function archiveWorkflow(
  { store }: Pick<Essentials, "store">,
  { tenantId, deadline }: Caller,
  workflowId: string,
  archived: boolean,
): Promise<WorkflowView> {
  deadline?.noteSent();
  const stored = await store.workflows.setArchived(tenantId, workflowId, archived);
  if (stored === undefined) throw workflowUnknown(workflowId);
  return workflowView(stored);
}
