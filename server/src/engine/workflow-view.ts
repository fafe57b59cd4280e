import type { StoredWorkflow } from "../store/contract/workflows.ts";
import type { WorkflowView } from "./api.ts";
import { graphDamage } from "./whole-graph.ts";

/** What a caller sees of a workflow's version; of a damaged one, everything but the graph. */
export function workflowView(stored: StoredWorkflow): WorkflowView {
  const { workflowId, version, digest, definition, createTime, current, archived } = stored;
  const damage = graphDamage(stored);
  return {
    version,
    digest,
    definition: damage === undefined ? definition : { workflowId, entryNode: "", nodes: {} },
    createTime,
    current,
    archived,
    ...(damage === undefined ? {} : { damage: damage.message }),
  };
}
