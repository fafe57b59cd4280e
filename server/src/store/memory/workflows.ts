/** Workflows and their versions. */
import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import type { StoredWorkflow, WorkflowStore } from "../contract/workflows.ts";
import { type MemoryDatabase, readStored, rowKey, timeOf, type WorkflowRow } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

function registerWorkflow(
  database: MemoryDatabase,
  request: { tenantId: string; digest: string; definition: WorkflowDefinition; isRepair?: boolean },
): StoredWorkflow {
  const { tenantId, digest, definition, isRepair = false } = request;
  const { workflowId } = definition;
  const key = rowKey(tenantId, workflowId);
  const row: WorkflowRow = database.workflows.get(key) ?? { tenantId, workflowId, archived: false, versions: [] };
  database.workflows.set(key, row);
  const known = row.versions.findIndex((version) => version.digest === digest);
  if (known !== -1) {
    if (isRepair) row.versions[known]!.definitionText = JSON.stringify(definition);
    return versionFromRow(row, known + 1)!;
  }
  row.versions.push({ digest, definitionText: JSON.stringify(definition), createTime: timeOf(database) });
  return versionFromRow(row, row.versions.length)!;
}

function currentVersion(row: WorkflowRow): number {
  return row.pinnedVersion ?? row.versions.length;
}

function versionFromRow(row: WorkflowRow, version: number): StoredWorkflow | undefined {
  const stored = row.versions[version - 1];
  if (stored === undefined) return undefined;
  const { tenantId, workflowId, archived } = row;
  return {
    tenantId,
    workflowId,
    version,
    digest: stored.digest,
    definition: readStored(stored.definitionText) as WorkflowDefinition,
    createTime: stored.createTime,
    current: version === currentVersion(row),
    archived,
  };
}

function getWorkflow(
  database: MemoryDatabase,
  tenantId: string,
  workflowId: string,
  version: number,
): StoredWorkflow | undefined {
  const row = database.workflows.get(rowKey(tenantId, workflowId));
  return row === undefined ? undefined : versionFromRow(row, version === 0 ? currentVersion(row) : version);
}

function listWorkflows(
  database: MemoryDatabase,
  request: { tenantId: string; workflowId?: string; includeArchived: boolean; start?: string | number; limit: number },
): StoredWorkflow[] {
  const { tenantId, workflowId, includeArchived, start, limit } = request;
  const rows = [...database.workflows.values()].filter(
    (row) => row.tenantId === tenantId && (includeArchived || !row.archived),
  );
  if (workflowId !== undefined) {
    const row = rows.find((candidate) => candidate.workflowId === workflowId);
    const highest = start === undefined ? (row?.versions.length ?? 0) : Number(start) - 1;
    const versions = Array.from({ length: Math.max(0, highest) }, (_, i) => highest - i);
    return versions.slice(0, limit).map((version) => versionFromRow(row!, version)!);
  }
  return rows
    .filter((row) => start === undefined || row.workflowId > String(start))
    .toSorted((a, b) => (a.workflowId < b.workflowId ? -1 : 1))
    .slice(0, limit)
    .map((row) => versionFromRow(row, currentVersion(row))!);
}

function setCurrentVersion(
  database: MemoryDatabase,
  tenantId: string,
  workflowId: string,
  version: number,
): StoredWorkflow | undefined {
  const row = database.workflows.get(rowKey(tenantId, workflowId));
  if (row === undefined || version > row.versions.length) return undefined;
  if (version === 0) delete row.pinnedVersion;
  else row.pinnedVersion = version;
  return versionFromRow(row, currentVersion(row));
}

function setArchived(
  database: MemoryDatabase,
  tenantId: string,
  workflowId: string,
  archived: boolean,
): StoredWorkflow | undefined {
  const row = database.workflows.get(rowKey(tenantId, workflowId));
  if (row === undefined) return undefined;
  row.archived = archived;
  return versionFromRow(row, currentVersion(row));
}

export const workflows: Statements<MemoryDatabase, WorkflowStore> = {
  register: registerWorkflow,
  get: getWorkflow,
  list: listWorkflows,
  setCurrentVersion,
  setArchived,
};
