/** Workflows: immutable versions, and which of them is current. */
import assert from "node:assert/strict";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { isJsonObject, parseOwnJson } from "../../core/json/json.ts";
import type { Instant } from "../../core/duration.ts";
import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import type { StoredWorkflow, WorkflowStore } from "../contract/workflows.ts";
import { type Fragment, lockTimeout, type Sql } from "./client.ts";
import type { Statements } from "../map-verbs.ts";

type WorkflowRow = {
  tenant_id: string;
  workflow_id: string;
  version: number;
  digest: string;
  definition: string;
  create_time: Instant;
  current: boolean;
  archived: boolean;
};

function workflowFromRow(row: WorkflowRow): StoredWorkflow {
  return {
    tenantId: row.tenant_id,
    workflowId: row.workflow_id,
    version: row.version,
    digest: row.digest,
    ...decodeStored<Pick<StoredWorkflow, "definition" | "damage">>(
      () => ({ definition: readDefinition(row) }),
      (what, cause) => new DamageError("workflow", idsOf(row), what, cause),
      (damage) => ({ definition: { workflowId: row.workflow_id, entryNode: "", nodes: {} }, damage }),
    ),
    createTime: row.create_time,
    current: row.current,
    archived: row.archived,
  };
}

function readDefinition(row: WorkflowRow): WorkflowDefinition {
  const definition = parseOwnJson(row.definition);
  assert(isJsonObject(definition) && isJsonObject(definition["nodes"] ?? {}), "a graph is an object with nodes");
  return definition as unknown as WorkflowDefinition;
}

function idsOf({ workflow_id, version }: WorkflowRow): { workflow_id: string; version: number } {
  return { workflow_id, version };
}

/** `select … from workflows w join workflow_heads h`, without conditions. */
function selectWorkflows(sql: Sql): Fragment {
  return sql`
    select w.tenant_id, w.workflow_id, w.version, w.digest, w.definition, w.create_time, h.archived,
      w.version = ${currentVersion(sql)} as current
    from workflows w join workflow_heads h on h.tenant_id = w.tenant_id and h.workflow_id = w.workflow_id`;
}

function currentVersion(sql: Sql): Fragment {
  return sql`coalesce(h.pinned_version, h.last_version)`;
}

/** Registers a definition, or returns the version that already has its digest. */
async function registerWorkflow(
  sql: Sql,
  request: { tenantId: string; digest: string; definition: WorkflowDefinition; isRepair?: boolean },
): Promise<StoredWorkflow> {
  const { tenantId, digest, definition, isRepair = false } = request;
  const { workflowId } = definition;
  await insertVersion(sql, tenantId, workflowId, digest, JSON.stringify(definition));
  if (isRepair) {
    await sql`
      update workflows set definition = ${JSON.stringify(definition)} from ${lockTimeout(sql)}
      where tenant_id = ${tenantId} and workflow_id = ${workflowId} and digest = ${digest}`;
  }
  const rows = await sql<WorkflowRow[]>`
    ${selectWorkflows(sql)}
    where w.tenant_id = ${tenantId} and w.workflow_id = ${workflowId} and w.digest = ${digest}`;
  if (rows[0] === undefined) throw new Error(`workflow ${workflowId} was registered but cannot be found`);
  return workflowFromRow(rows[0]);
}

async function insertVersion(
  sql: Sql,
  tenantId: string,
  workflowId: string,
  digest: string,
  definition: string,
): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`select from ${lockTimeout(sql)}`;
    // Creates the head or locks it. The statements after it see the versions that other servers registered before.
    await transaction`
      insert into workflow_heads (tenant_id, workflow_id, last_version) values (${tenantId}, ${workflowId}, 0)
      on conflict (tenant_id, workflow_id) do update set last_version = workflow_heads.last_version`;
    await transaction`
      with added as (
        insert into workflows (tenant_id, workflow_id, version, digest, definition)
        select h.tenant_id, h.workflow_id, h.last_version + 1, ${digest}, ${definition}
        from workflow_heads h where h.tenant_id = ${tenantId} and h.workflow_id = ${workflowId}
        on conflict (tenant_id, workflow_id, digest) do nothing
        returning version
      )
      update workflow_heads h set last_version = added.version
      from added where h.tenant_id = ${tenantId} and h.workflow_id = ${workflowId}`;
  });
}

/** version 0: the current one. */
async function getWorkflow(
  sql: Sql,
  tenantId: string,
  workflowId: string,
  version: number,
): Promise<StoredWorkflow | undefined> {
  const selected = version === 0 ? currentVersion(sql) : sql`${version}`;
  const rows = await sql<WorkflowRow[]>`
    ${selectWorkflows(sql)}
    where w.tenant_id = ${tenantId} and w.workflow_id = ${workflowId} and w.version = ${selected}`;
  return rows[0] === undefined ? undefined : workflowFromRow(rows[0]);
}

async function listWorkflows(
  sql: Sql,
  request: {
    tenantId: string;
    workflowId?: string;
    includeArchived: boolean;
    start?: string | number;
    limit: number;
  },
): Promise<StoredWorkflow[]> {
  const { tenantId, workflowId, includeArchived, start, limit } = request;
  const archived = includeArchived ? sql`` : sql`and not h.archived`;
  const page =
    workflowId === undefined
      ? sql`
          and w.version = ${currentVersion(sql)}
          ${start === undefined ? sql`` : sql`and w.workflow_id > ${String(start)}`}
          order by w.workflow_id`
      : sql`
          and w.workflow_id = ${workflowId} ${start === undefined ? sql`` : sql`and w.version < ${Number(start)}`}
          order by w.version desc`;
  const rows = await sql<WorkflowRow[]>`
    ${selectWorkflows(sql)} where w.tenant_id = ${tenantId} ${archived} ${page} limit ${limit}`;
  return rows.map(workflowFromRow);
}

/** version 0: follow the highest version again. */
async function setCurrentVersion(
  sql: Sql,
  tenantId: string,
  workflowId: string,
  version: number,
): Promise<StoredWorkflow | undefined> {
  const rows = await sql`
    update workflow_heads set pinned_version = nullif(${version}::int, 0)
    where tenant_id = ${tenantId} and workflow_id = ${workflowId} and ${version}::int between 0 and last_version
    returning workflow_id`;
  return rows.length === 0 ? undefined : await getWorkflow(sql, tenantId, workflowId, 0);
}

async function setArchived(
  sql: Sql,
  tenantId: string,
  workflowId: string,
  archived: boolean,
): Promise<StoredWorkflow | undefined> {
  await sql`
    update workflow_heads set archived = ${archived} where tenant_id = ${tenantId} and workflow_id = ${workflowId}`;
  return await getWorkflow(sql, tenantId, workflowId, 0);
}

export const workflows: Statements<Sql, WorkflowStore> = {
  register: registerWorkflow,
  get: getWorkflow,
  list: listWorkflows,
  setCurrentVersion,
  setArchived,
};
