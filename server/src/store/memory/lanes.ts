/** Leases of servers, and their lanes. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type { Lane, LaneState, LaneStore, Surroundings } from "../contract/lanes.ts";
import { type LaneRow, type MemoryDatabase, timeOf } from "./database.ts";
import { hasOrphanedLeases, nextJobTime } from "./jobs.ts";
import { hasOrphans, nextWakeTime } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

/**
 * The largest bound that randomInt takes. Any number distinguishes a lane from one with the same id before a backup was
 * restored.
 */
const NONCE_END = 2 ** 48 - 1;

function openServer(
  database: MemoryDatabase,
  { serverId, process, lanes }: { serverId: string; process: string; lanes: number },
): Lane[] {
  assert(!database.servers.has(serverId), "a server id is used once");
  const server = { serverId, process, renewals: 0, ended: false };
  database.servers.set(serverId, server);
  return Array.from({ length: lanes }, () => {
    database.lastLaneId += 1;
    const lane: Lane = { laneId: database.lastLaneId, nonce: randomInt(NONCE_END) };
    database.lanes.set(lane.laneId, { ...lane, server, lastBatchNo: 0, batches: new Map(), feed: [], committed: [] });
    return lane;
  });
}

function renewLease(database: MemoryDatabase, serverId: string): Surroundings {
  const own = database.servers.get(serverId);
  const leaseOpen = own !== undefined && !own.ended;
  if (leaseOpen) own.renewals += 1;
  const wakeTime = nextWakeTime(database);
  const jobTime = nextJobTime(database);
  return {
    now: timeOf(database),
    leaseOpen,
    others: [...database.servers.values()]
      .filter((server) => server !== own && !server.ended)
      .map(({ serverId: id, process, renewals }) => ({ serverId: id, process, renewals })),
    hasOrphans: hasOrphans(database),
    ...(wakeTime === undefined ? {} : { nextWakeTime: wakeTime }),
    hasOrphanedLeases: hasOrphanedLeases(database),
    ...(jobTime === undefined ? {} : { nextJobTime: jobTime }),
  };
}

/** Ends a server's lease. Commits are atomic here, so no batch is ever in flight. */
function endServer(database: MemoryDatabase, serverId: string): void {
  const server = database.servers.get(serverId);
  if (server !== undefined) {
    server.endedMicros ??= database.nowMicros();
    server.ended = true;
  }
  for (const [key, worker] of database.workers) if (worker.serverId === serverId) database.workers.delete(key);
}

function listLanes(database: MemoryDatabase, aboveLaneId: number): LaneState[] {
  return [...database.lanes.values()]
    .filter((lane) => !lane.server.ended || lane.laneId > aboveLaneId)
    .toSorted((a, b) => a.laneId - b.laneId)
    .map(({ laneId, nonce, server, lastBatchNo }: LaneRow) => ({ laneId, nonce, ended: server.ended, lastBatchNo }));
}

export const lanes: Statements<MemoryDatabase, LaneStore> = {
  open: openServer,
  renew: renewLease,
  end: endServer,
  list: listLanes,
};
