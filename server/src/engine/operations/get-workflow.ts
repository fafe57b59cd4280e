import type { Caller, WorkflowView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { versionUnknown, workflowUnknown } from "../refusals.ts";
import { assertWholeGraph } from "../whole-graph.ts";
import { workflowView } from "../workflow-view.ts";

/**
 * Returns a version of a workflow; 0 stands for the current one.
 * @throws {DomainError} WORKFLOW_UNKNOWN, VERSION_UNKNOWN, DATA_DAMAGED
 */
export async function getWorkflow(
  { store, log }: Pick<Essentials, "store" | "log">,
  { tenantId }: Caller,
  workflowId: string,
  version: number,
): Promise<WorkflowView> {
  const stored = await store.workflows.get(tenantId, workflowId, version);
  if (stored !== undefined) return workflowView(assertWholeGraph(stored, log));
  const isKnown = version !== 0 && (await store.workflows.get(tenantId, workflowId, 0)) !== undefined;
  throw isKnown ? versionUnknown(workflowId, version) : workflowUnknown(workflowId);
}
