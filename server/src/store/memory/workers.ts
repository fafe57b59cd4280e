/** Workers that are connected to servers. */
import type { WorkerStore, StoredWorker, WorkerServices } from "../contract/workers.ts";
import { type MemoryDatabase, rowKey, timeOf } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

function saveWorker(database: MemoryDatabase, worker: Omit<StoredWorker, "connectTime">): void {
  const key = rowKey(worker.tenantId, worker.workerSessionId);
  const before = database.workers.get(key);
  // Draining does not count as a new connection.
  const isSame = worker.draining && before?.serverId === worker.serverId;
  database.workers.set(key, {
    ...structuredClone(worker),
    connectTime: isSame && before !== undefined ? before.connectTime : timeOf(database),
  });
}

function removeWorker(
  database: MemoryDatabase,
  { tenantId, workerSessionId, serverId }: Pick<StoredWorker, "tenantId" | "workerSessionId" | "serverId">,
): void {
  const key = rowKey(tenantId, workerSessionId);
  if (database.workers.get(key)?.serverId === serverId) database.workers.delete(key);
}

function listWorkers(
  database: MemoryDatabase,
  request: { tenantId: string; tool?: string; start?: string; limit: number },
): StoredWorker[] {
  const { tenantId, tool, start, limit } = request;
  return connected(database)
    .filter((worker) => worker.tenantId === tenantId && (start === undefined || worker.workerSessionId > start))
    .filter((worker) => tool === undefined || worker.tools.some(({ name }) => name === tool))
    .slice(0, limit);
}

function listWorkersElsewhere(database: MemoryDatabase, serverId: string, limit: number): WorkerServices[] {
  return connected(database)
    .filter((worker) => worker.serverId !== serverId && !worker.draining)
    .slice(0, limit)
    .map(({ tenantId, workerSessionId, tools, workflows, customTypes }) => ({
      tenantId,
      workerSessionId,
      toolNames: tools.map(({ name }) => name),
      workflows,
      customTypes,
    }));
}

/** Workers of servers whose lease is open, by tenant and session. */
function connected(database: MemoryDatabase): StoredWorker[] {
  return [...database.workers]
    .filter(([, worker]) => database.servers.get(worker.serverId)?.ended === false)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, worker]) => structuredClone(worker));
}

export const workers: Statements<MemoryDatabase, WorkerStore> = {
  save: saveWorker,
  remove: removeWorker,
  list: listWorkers,
  listElsewhere: listWorkersElsewhere,
};
