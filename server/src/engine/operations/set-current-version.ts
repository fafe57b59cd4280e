import type { Caller, WorkflowView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { versionUnknown, workflowUnknown } from "../refusals.ts";
import { workflowView } from "../workflow-view.ts";

/** Selects the version with which new runs start. @throws {DomainError} WORKFLOW_UNKNOWN, VERSION_UNKNOWN */
export async function setCurrentVersion(
  { store }: Pick<Essentials, "store">,
  { tenantId, deadline }: Caller,
  workflowId: string,
  version: number,
): Promise<WorkflowView> {
  deadline?.noteSent();
  const stored = await store.workflows.setCurrentVersion(tenantId, workflowId, version);
  if (stored !== undefined) return workflowView(stored);
  const isKnown = (await store.workflows.get(tenantId, workflowId, 0)) !== undefined;
  throw isKnown ? versionUnknown(workflowId, version) : workflowUnknown(workflowId);
}
