/** Workflows and their versions. */
import type { DamageError } from "../../core/damage.ts";
import type { Instant } from "../../core/duration.ts";
import type { WorkflowDefinition } from "../../core/graph/definition.ts";

export type StoredWorkflow = {
  tenantId: string;
  workflowId: string;
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  createTime: Instant;
  /** Whether a start without a version uses this one. */
  current: boolean;
  archived: boolean;
  /** The graph cannot be read: `definition` has only the workflow's id. */
  damage?: DamageError;
};

export interface WorkflowStore {
  /**
   * Registers a definition under its digest. A known digest returns the existing version, and changes nothing unless
   * `isRepair`: then the definition takes the place of a damaged one.
   */
  register(request: {
    tenantId: string;
    digest: string;
    definition: WorkflowDefinition;
    isRepair?: boolean;
  }): Promise<StoredWorkflow>;
  /** version 0: the current one. */
  get(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  /** Returns the current version of each workflow, by id; or, with `workflowId`, all its versions, newest first. */
  list(request: {
    tenantId: string;
    workflowId?: string;
    includeArchived: boolean;
    /** The last workflow id, or the last version, of the previous page. */
    start?: string | number;
    limit: number;
  }): Promise<StoredWorkflow[]>;
  /** version 0: follow the highest version again. Returns undefined if there is no such version. */
  setCurrentVersion(tenantId: string, workflowId: string, version: number): Promise<StoredWorkflow | undefined>;
  setArchived(tenantId: string, workflowId: string, archived: boolean): Promise<StoredWorkflow | undefined>;
}
