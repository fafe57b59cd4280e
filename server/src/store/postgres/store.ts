/**
 * The store on Postgres: `contract.ts` over a few pools. Each verb's statement is in the file of its noun; here are connections,
 * and what errors mean.
 *
 * No statement relies on a session, so a pooler in transaction mode may stand between (`prepare: false`), except LISTEN,
 * which uses `directUrl`.
 */
import type { Instant } from "../../core/duration.ts";
import type { RunKey, Store } from "../contract.ts";
import { StoreUnavailableError } from "../contract.ts";
import { openClient, type Sql } from "./client.ts";
import { commit } from "./commit.ts";
import { attempt, isOutcomeUnknown, storeErrorOf } from "./errors.ts";
import * as events from "./events.ts";
import { readFeed } from "./feed.ts";
import * as jobs from "./jobs.ts";
import * as lanes from "./lanes.ts";
import * as mail from "./mail.ts";
import * as notices from "./notices.ts";
import * as runs from "./runs.ts";
import { listStepRecords } from "./step-records.ts";
import * as waits from "./waits.ts";
import * as workers from "./workers.ts";
import * as workflows from "./workflows.ts";

/** Connections for all that is neither a commit nor the lease. */
const POOL_SIZE_DEFAULT = 8;
/** A lane has one batch in flight, and a server has few lanes; more batches than this wait in memory. */
const COMMIT_CONNECTIONS_MAX = 8;
const TRANSACTIONS_IDLE_S = 30;
/** What is under way gets this long to finish when the store is closed. Short, because a connection that died with a statement on
 *  it and was not needed again never says that it has ended. */
const CLOSE_TIMEOUT_S = 1;

export type PostgresStoreOptions = {
  /** May lead to a pooler in transaction mode. */
  url: string;
  /** Leads to Postgres itself, for LISTEN. Default: `url`. */
  directUrl?: string;
  /** False: no prepared statements. Default true. */
  prepare?: boolean;
  poolSize?: number;
};

/**
 * Opens the store on a migrated database.
 * @throws StoreUnavailableError: the database is away
 */
export async function createPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const prepare = options.prepare ?? true;
  const sql = openClient(options.url, { max: options.poolSize ?? POOL_SIZE_DEFAULT, prepare });
  // Connections of their own: neither commits nor the lease ever wait behind reads.
  const commits = openClient(options.url, { max: COMMIT_CONNECTIONS_MAX, prepare });
  const lease = openClient(options.url, { max: 1, prepare });
  // Of the few verbs that need several statements in one transaction.
  const transactions = openClient(options.url, { max: 1, prepare, idleTimeoutS: TRANSACTIONS_IDLE_S });
  const direct = openClient(options.directUrl ?? options.url, { max: 1, prepare });
  const clients = [sql, commits, lease, transactions, direct];
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.end({ timeout: CLOSE_TIMEOUT_S })));
  };
  try {
    const tokenKey = await call(() => readTokenKey(sql));
    return {
      tokenKey,
      close,
      ...createVerbs({ sql, commits, lease, transactions, direct, url: options.url, prepare }),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type Connections = {
  sql: Sql;
  commits: Sql;
  lease: Sql;
  transactions: Sql;
  direct: Sql;
  url: string;
  prepare: boolean;
};

/** Runs statements, again if they lost against others; what fails for the database's sake is a `StoreUnavailableError`. */
async function call<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await attempt(work);
  } catch (error) {
    throw storeErrorOf(error);
  }
}

function createVerbs(connections: Connections): Omit<Store, "tokenKey" | "close"> {
  const { sql, commits, lease, transactions, direct, url, prepare } = connections;
  /** Lanes whose last claim may have been made though its reply was lost. */
  const doubtfulClaims = new Set<number>();

  /** A claim without a reply leaves runs with an owner that does not know of them, so the next claim gives all it owns. */
  async function claimRuns(laneId: number, limit: number): Promise<RunKey[]> {
    try {
      if (doubtfulClaims.has(laneId)) {
        const owned = await call(() => runs.listOwnedRuns(sql, laneId));
        doubtfulClaims.delete(laneId);
        if (owned.length > 0) return owned;
      }
      return await call(() => runs.claimRuns(sql, laneId, limit));
    } catch (error) {
      if (error instanceof StoreUnavailableError && isOutcomeUnknown(error.cause)) doubtfulClaims.add(laneId);
      throw error;
    }
  }

  async function settleBatch(laneId: number, batchNo: number): Promise<"committed" | "void"> {
    // Fresh, because the connections of the pool may be as dead as the one that carried the batch.
    const fresh = openClient(url, { max: 1, prepare });
    try {
      return await call(() => lanes.settleBatch(fresh, laneId, batchNo));
    } finally {
      await fresh.end({ timeout: 0 });
    }
  }

  return {
    openServer: (request) => call(() => lanes.openServer(transactions, request)),
    lookAround: async (serverId) => {
      const seen = await call(() => lanes.lookAround(lease, serverId));
      return { ...seen, hasOrphans: seen.hasOrphans || doubtfulClaims.size > 0 };
    },
    endServer: (serverId) => call(() => lanes.endServer(transactions, serverId)),

    commit: (batch) => commit(commits, batch),
    settleBatch,

    loadRuns: (keys) => call(() => runs.loadRuns(sql, keys)),
    loadRunHeads: (keys) => call(() => runs.loadRunHeads(sql, keys)),
    listRuns: (request) => call(() => runs.listRuns(sql, request)),
    deleteRun: (key) => call(() => runs.deleteRun(sql, key)),
    wasDeleted: (key) => call(() => runs.wasDeleted(sql, key)),
    claimRuns,
    claimDueRuns: (limit, retryAfterMs) => call(() => runs.claimDueRuns(sql, limit, retryAfterMs)),

    listStepRecords: (key, afterSeq, limit) => call(() => listStepRecords(sql, key, afterSeq, limit)),

    getWait: (tenantId, waitId) => call(() => waits.getWait(sql, tenantId, waitId)),
    listWaits: (request) => call(() => waits.listWaits(sql, request)),

    readChannels: (channels) => call(() => events.readChannels(sql, channels)),
    lookUpEvents: (queries) => call(() => events.lookUpEvents(sql, queries)),
    listEvents: (channel, after, limit) => call(() => events.listEvents(sql, channel, after, limit)),
    listListeners: (request) => call(() => events.listListeners(sql, request)),
    markWoken: (marks) => call(() => events.markWoken(sql, marks)),
    readWoken: (channels) => call(() => events.readWoken(sql, channels)),

    claimJobs: (serverId, requests) => call(() => jobs.claimJobs(sql, serverId, requests)),
    releaseJobs: (leases, lossesMax, serverId) => call(() => jobs.releaseJobs(sql, leases, lossesMax, serverId)),
    startJobs: (leases) => call(() => jobs.startJobs(sql, leases)),
    adoptJobs: (request) => call(() => jobs.adoptJobs(sql, request)),
    listOrphanedLeases: (limit) => call(() => jobs.listOrphanedLeases(sql, limit)),
    claimDueJobs: (limit, retryAfterMs) => call(() => jobs.claimDueJobs(sql, limit, retryAfterMs)),
    loadJobs: (keys) => call(() => jobs.loadJobs(sql, keys)),
    noteRefusedResult: (key, refusal) => call(() => jobs.noteRefusedResult(sql, key, refusal)),

    saveWorker: (worker) => call(() => workers.saveWorker(sql, worker)),
    removeWorker: (worker) => call(() => workers.removeWorker(sql, worker)),
    listWorkers: (request) => call(() => workers.listWorkers(sql, request)),
    listWorkersElsewhere: (serverId, limit) => call(() => workers.listWorkersElsewhere(sql, serverId, limit)),

    listMail: (keys) => call(() => mail.listMail(sql, keys)),
    findStrays: (olderThanMs, limit) => call(() => mail.findStrays(sql, olderThanMs, limit)),

    registerWorkflow: (request) => call(() => workflows.registerWorkflow({ sql, transactions }, request)),
    getWorkflow: (tenantId, workflowId, version) =>
      call(() => workflows.getWorkflow(sql, tenantId, workflowId, version)),
    listWorkflows: (request) => call(() => workflows.listWorkflows(sql, request)),
    setCurrentVersion: (tenantId, workflowId, version) =>
      call(() => workflows.setCurrentVersion(sql, tenantId, workflowId, version)),
    setArchived: (tenantId, workflowId, archived) =>
      call(() => workflows.setArchived(sql, tenantId, workflowId, archived)),

    listLanes: (aboveLaneId) => call(() => lanes.listLanes(sql, aboveLaneId)),
    readFeed: (tenantId, positions, limit) => call(() => readFeed(sql, tenantId, positions, limit)),

    notify: (payload) => call(() => notices.notify(sql, payload)),
    listen: (onPayload) => call(() => notices.listen(direct, onPayload)),

    now: () => call(() => readNow(sql)),
    ping: () =>
      call(async () => {
        await sql`select 1`;
      }),
  };
}

async function readTokenKey(sql: Sql): Promise<Uint8Array> {
  const rows = await sql<{ value: string }[]>`select value from settings where key = 'token_key'`;
  if (rows[0] === undefined) throw new Error("the database has no token key: it was not migrated by this program");
  return new Uint8Array(Buffer.from(rows[0].value, "hex"));
}

async function readNow(sql: Sql): Promise<Instant> {
  const rows = await sql<{ now: Instant }[]>`select clock_timestamp() as now`;
  if (rows[0] === undefined) throw new Error("the database did not tell its time");
  return rows[0].now;
}
