/** Workers that are connected to servers. */
import assert from "node:assert/strict";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { isJsonObject, parseOwnJson } from "../../core/json/json.ts";
import type { Instant } from "../../core/duration.ts";
import type { WorkerStore, StoredWorker, WorkerServices } from "../contract/workers.ts";
import { type Fragment, lockTimeout, type Sql } from "./client.ts";
import { isDataError } from "./errors.ts";
import type { Statements } from "../map-verbs.ts";

/** The contents of `registration`. */
type Registration = Pick<StoredWorker, "tools" | "workflows" | "customTypes">;

type WorkerRow = {
  tenant_id: string;
  worker_session_id: string;
  server_id: string;
  actor_id: string | null;
  name: string;
  registration: string;
  connect_time: Instant;
  draining: boolean;
};

function workerColumns(sql: Sql): Fragment {
  return sql`
    w.tenant_id, w.worker_session_id, w.server_id, w.actor_id, w.name, w.registration, w.connect_time, w.draining`;
}

function workerFromRow(row: WorkerRow): StoredWorker {
  return {
    tenantId: row.tenant_id,
    workerSessionId: row.worker_session_id,
    serverId: row.server_id,
    ...(row.actor_id === null ? {} : { actorId: row.actor_id }),
    name: row.name,
    ...decodeStored<Registration & Pick<StoredWorker, "damage">>(
      () => readRegistration(row.registration),
      (what, cause) => new DamageError("worker", { worker_session_id: row.worker_session_id }, what, cause),
      (damage) => ({ tools: [], workflows: [], customTypes: [], damage }),
    ),
    connectTime: row.connect_time,
    draining: row.draining,
  };
}

function readRegistration(text: string): Registration {
  const registration = parseOwnJson(text);
  assert(isJsonObject(registration), "a registration is an object");
  const { tools, workflows, customTypes } = registration;
  assert([tools, workflows, customTypes].every(Array.isArray), "a registration has lists");
  return { tools, workflows, customTypes } as unknown as Registration;
}

/**
 * Registers a worker, and replaces an earlier connection of its session. Draining does not count as a new connection.
 */
async function saveWorker(sql: Sql, worker: Omit<StoredWorker, "connectTime">): Promise<void> {
  const { tenantId, workerSessionId, serverId, actorId, name, tools, workflows, customTypes, draining } = worker;
  const registration: Registration = { tools, workflows, customTypes };
  const toolNames = JSON.stringify(tools.map((tool) => tool.name));
  await sql`
    insert into workers as w (tenant_id, worker_session_id, server_id, actor_id, name, tools, registration, draining)
    select
      ${tenantId}, ${workerSessionId}, ${serverId}, ${actorId ?? null}::text, ${name},
      array(select json_array_elements_text(${toolNames}::text::json)), ${JSON.stringify(registration)},
      ${draining}::boolean
    from ${lockTimeout(sql)}
    on conflict (tenant_id, worker_session_id) do update set
      server_id = excluded.server_id, actor_id = excluded.actor_id, name = excluded.name, tools = excluded.tools,
      registration = excluded.registration, draining = excluded.draining,
      connect_time =
        case when excluded.draining and w.server_id = excluded.server_id then w.connect_time else now() end`;
}

/** Removes a worker from the list, unless it has since connected to another server. */
async function removeWorker(
  sql: Sql,
  { tenantId, workerSessionId, serverId }: Pick<StoredWorker, "tenantId" | "workerSessionId" | "serverId">,
): Promise<void> {
  await sql`
    delete from workers using ${lockTimeout(sql)}
    where tenant_id = ${tenantId} and worker_session_id = ${workerSessionId} and server_id = ${serverId}`;
}

/**
 * Lists the workers of one tenant by session id. Checks the leases of their servers, because a worker may have been
 * saved after its server's lease ended.
 */
async function listWorkers(
  sql: Sql,
  request: { tenantId: string; tool?: string; start?: string; limit: number },
): Promise<StoredWorker[]> {
  const { tenantId, tool, start, limit } = request;
  const after = start === undefined ? sql`` : sql`and w.worker_session_id > ${start}`;
  const having = tool === undefined ? sql`` : sql`and ${tool} = any (w.tools)`;
  const rows = await sql<WorkerRow[]>`
    select ${workerColumns(sql)} from workers w join servers s on s.server_id = w.server_id and s.ended_at is null
    where w.tenant_id = ${tenantId} ${after} ${having}
    order by w.worker_session_id limit ${limit}`;
  return rows.map(workerFromRow);
}

type ServicesRow = {
  tenant_id: string;
  worker_session_id: string;
  tool_names: string[];
  workflows: WorkerServices["workflows"] | null;
  custom_types: WorkerServices["customTypes"] | null;
};

/** What workers of all tenants on other servers serve. Does not read tool schemas, which may be large. */
async function listWorkersElsewhere(sql: Sql, serverId: string, limit: number): Promise<WorkerServices[]> {
  const select = async (services: Fragment): Promise<ServicesRow[]> =>
    await sql<ServicesRow[]>`
    select w.tenant_id, w.worker_session_id, to_json(w.tools) as tool_names, ${services}
    from workers w join servers s on s.server_id = w.server_id and s.ended_at is null
    where w.server_id <> ${serverId} and not w.draining
    order by w.tenant_id, w.worker_session_id limit ${limit}`;
  let rows: ServicesRow[];
  try {
    const registration = sql`w.registration::json`;
    rows = await select(
      sql`${registration} -> 'workflows' as workflows, ${registration} -> 'customTypes' as custom_types`,
    );
  } catch (error) {
    if (!isDataError(error)) throw error;
    // One of them is damaged. That must not hide the tools of all.
    rows = await select(sql`'[]'::json as workflows, '[]'::json as custom_types`);
  }
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    workerSessionId: row.worker_session_id,
    toolNames: row.tool_names,
    workflows: row.workflows ?? [],
    customTypes: row.custom_types ?? [],
  }));
}

export const workers: Statements<Sql, WorkerStore> = {
  save: saveWorker,
  remove: removeWorker,
  list: listWorkers,
  listElsewhere: listWorkersElsewhere,
};
