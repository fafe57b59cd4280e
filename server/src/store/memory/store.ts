/**
 * The store's contract in memory, for simulation and tests: several stores (servers) share one database in one process, whose clock
 * and faults a test moves.
 *
 * Nothing survives the process. A server "crashes" when its store is forgotten or closed; what it had committed stays in the
 * database, as in Postgres.
 */
import { randomBytes } from "node:crypto";
import { type Store, StoreUnavailableError } from "../contract.ts";
import { commitBatch } from "./commit.ts";
import { type MemoryDatabase, timeOf } from "./database.ts";
import { listEvents, listListeners, lookUpEvents, markWoken, readChannels, readWoken } from "./events.ts";
import { readFeed } from "./feed.ts";
import * as jobs from "./jobs.ts";
import { endServer, listLanes, lookAround, openServer, settleBatch } from "./lanes.ts";
import { findStrays, listMail } from "./mail.ts";
import { listen, notify } from "./notices.ts";
import { claimDueRuns, claimRuns, deleteRun, listRuns, listStepRecords, loadRuns, wasDeleted } from "./runs.ts";
import { getWait, listWaits } from "./waits.ts";
import * as workers from "./workers.ts";
import { getWorkflow, listWorkflows, registerWorkflow, setArchived, setCurrentVersion } from "./workflows.ts";

const TOKEN_KEY_BYTES = 32;

/**
 * An empty database. `faults` may be changed at any time.
 * @param now the database's clock, microseconds since 1970 UTC; must never go back
 */
export function createMemoryDatabase({ now }: { now: () => number }): MemoryDatabase {
  return {
    nowMicros: now,
    faults: { away: false },
    tokenKey: new Uint8Array(randomBytes(TOKEN_KEY_BYTES)),
    runs: new Map(),
    deletedRuns: new Set(),
    waits: new Map(),
    openWaits: new Map(),
    channels: new Map(),
    mail: new Map(),
    servers: new Map(),
    lanes: new Map(),
    workflows: new Map(),
    jobs: new Map(),
    workers: new Map(),
    listeners: new Set(),
    lastMailId: 0,
    lastJobPosition: 0,
    lastLaneId: 0,
    lastCommitMicros: 0,
  };
}

/** Connects a server to a database. A verb's effect is one synchronous step; its arguments and results are copies. */
export async function createMemoryStore(database: MemoryDatabase): Promise<Store> {
  const { faults } = database;
  const stops = new Set<() => void>();
  let closed = false;

  function assertReachable(): void {
    if (closed) throw new StoreUnavailableError("the store is closed");
    if (faults.away) throw new StoreUnavailableError("the database is away");
  }

  async function perform<T>(verb: keyof Store, effect: () => T): Promise<T> {
    await faults.turn?.(verb);
    assertReachable();
    const result = effect();
    await faults.turn?.(verb);
    return result;
  }

  return {
    tokenKey: Uint8Array.from(database.tokenKey),

    openServer: (request) => perform("openServer", () => openServer(database, request)),
    lookAround: (serverId) => perform("lookAround", () => lookAround(database, serverId)),
    endServer: (serverId) => perform("endServer", () => endServer(database, serverId)),

    async commit(batch) {
      await faults.turn?.("commit");
      assertReachable();
      await faults.beforeCommit?.(batch);
      assertReachable();
      const outcomes = commitBatch(database, batch);
      await faults.afterCommit?.(batch);
      await faults.turn?.("commit");
      return outcomes;
    },
    settleBatch: (laneId, batchNo) => perform("settleBatch", () => settleBatch(database, laneId, batchNo)),

    loadRuns: (keys) => perform("loadRuns", () => loadRuns(database, keys, true)),
    loadRunHeads: (keys) => perform("loadRunHeads", () => loadRuns(database, keys, false)),
    listRuns: (request) => perform("listRuns", () => listRuns(database, request)),
    deleteRun: (key) => perform("deleteRun", () => deleteRun(database, key)),
    wasDeleted: (key) => perform("wasDeleted", () => wasDeleted(database, key)),
    claimRuns: (laneId, limit) => perform("claimRuns", () => claimRuns(database, laneId, limit)),
    claimDueRuns: (limit, retryAfterMs) => perform("claimDueRuns", () => claimDueRuns(database, limit, retryAfterMs)),

    listStepRecords: (key, afterSeq, limit) =>
      perform("listStepRecords", () => listStepRecords(database, key, afterSeq, limit)),

    getWait: (tenantId, waitId) => perform("getWait", () => getWait(database, tenantId, waitId)),
    listWaits: (request) => perform("listWaits", () => listWaits(database, request)),

    readChannels: (channels) => perform("readChannels", () => readChannels(database, channels)),
    lookUpEvents: (queries) => perform("lookUpEvents", () => lookUpEvents(database, queries)),
    listEvents: (channel, after, limit) => perform("listEvents", () => listEvents(database, channel, after, limit)),
    listListeners: (request) => perform("listListeners", () => listListeners(database, request)),
    markWoken: (marks) => perform("markWoken", () => markWoken(database, marks)),
    readWoken: (channels) => perform("readWoken", () => readWoken(database, channels)),

    claimJobs: (serverId, requests) => perform("claimJobs", () => jobs.claimJobs(database, serverId, requests)),
    releaseJobs: (leases, lossesMax, serverId) =>
      perform("releaseJobs", () => jobs.releaseJobs(database, leases, lossesMax, serverId)),
    startJobs: (leases) => perform("startJobs", () => jobs.startJobs(database, leases)),
    adoptJobs: (request) => perform("adoptJobs", () => jobs.adoptJobs(database, request)),
    listOrphanedLeases: (limit) => perform("listOrphanedLeases", () => jobs.listOrphanedLeases(database, limit)),
    claimDueJobs: (limit, retryAfterMs) =>
      perform("claimDueJobs", () => jobs.claimDueJobs(database, limit, retryAfterMs)),
    loadJobs: (keys) => perform("loadJobs", () => jobs.loadJobs(database, keys)),
    noteRefusedResult: (key, refusal) =>
      perform("noteRefusedResult", () => jobs.noteRefusedResult(database, key, refusal)),

    saveWorker: (worker) => perform("saveWorker", () => workers.saveWorker(database, worker)),
    removeWorker: (worker) => perform("removeWorker", () => workers.removeWorker(database, worker)),
    listWorkers: (request) => perform("listWorkers", () => workers.listWorkers(database, request)),
    listWorkersElsewhere: (serverId, limit) =>
      perform("listWorkersElsewhere", () => workers.listWorkersElsewhere(database, serverId, limit)),

    listMail: (keys) => perform("listMail", () => listMail(database, keys)),
    findStrays: (olderThanMs, limit) => perform("findStrays", () => findStrays(database, olderThanMs, limit)),

    registerWorkflow: (request) => perform("registerWorkflow", () => registerWorkflow(database, request)),
    getWorkflow: (tenantId, workflowId, version) =>
      perform("getWorkflow", () => getWorkflow(database, tenantId, workflowId, version)),
    listWorkflows: (request) => perform("listWorkflows", () => listWorkflows(database, request)),
    setCurrentVersion: (tenantId, workflowId, version) =>
      perform("setCurrentVersion", () => setCurrentVersion(database, tenantId, workflowId, version)),
    setArchived: (tenantId, workflowId, archived) =>
      perform("setArchived", () => setArchived(database, tenantId, workflowId, archived)),

    listLanes: (aboveLaneId) => perform("listLanes", () => listLanes(database, aboveLaneId)),
    readFeed: (tenantId, positions, limit) => perform("readFeed", () => readFeed(database, tenantId, positions, limit)),

    notify: (payload) => perform("notify", () => notify(database, payload)),
    listen: (onPayload) =>
      perform("listen", () => {
        const stop = listen(database, onPayload);
        stops.add(stop);
        return async () => {
          stops.delete(stop);
          stop();
        };
      }),

    now: () => perform("now", () => timeOf(database)),
    ping: () => perform("ping", () => undefined),
    async close() {
      closed = true;
      for (const stop of stops) stop();
      stops.clear();
    },
  };
}
