/** Workflows and their versions. */
import type { Instant } from "../../core/duration.ts";
import type { WorkflowDefinition } from "../../core/workflow.ts";

export type StoredWorkflow = {
  tenantId: string;
  workflowId: string;
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  createTime: Instant;
  /** Whether starts without a version take this one. */
  current: boolean;
  archived: boolean;
};

export interface WorkflowStore {
  /** Registers a definition under its digest; a known digest changes nothing and gives its version. */
  register(request: { tenantId: string; digest: string; definition: WorkflowDefinition }): Promise<StoredWorkflow>;
  /** version 0: the current one. */
  get(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  /** The current version of each workflow, by id; or, given `workflowId`, all its versions, newest first. */
  list(request: {
    tenantId: string;
    workflowId?: string;
    includeArchived: boolean;
    /** The last workflow id, or the last version, of the page before. */
    start?: string | number;
    limit: number;
  }): Promise<StoredWorkflow[]>;
  /** version 0: follow the highest again. Undefined: there is no such version. */
  setCurrentVersion(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  setArchived(tenantId: string, workflowId: string, archived: boolean): Promise<StoredWorkflow | undefined>;
}
