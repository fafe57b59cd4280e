import type { StoredWorkflow } from "../store/contract/workflows.ts";
import type { WorkflowView } from "./api.ts";

/** What a caller sees of a workflow's version. */
export function workflowView(stored: StoredWorkflow): WorkflowView {
  const { version, digest, definition, createTime, current, archived } = stored;
  return { version, digest, definition, createTime, current, archived };
}
