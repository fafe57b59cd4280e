/**
 * The store on Postgres: the contract, on a few pools of connections. Each verb's statement is in the file of its noun;
 * this file has the connections and the meaning of errors.
 *
 * No statement relies on a session, so a pooler in transaction mode may be in between (`prepare: false`). The exception
 * is LISTEN, which uses `directUrl`.
 */
import type { Instant } from "../../core/duration.ts";
import { StoreUnavailableError } from "../contract/errors.ts";
import type { RunKey } from "../contract/runs.ts";
import type { Store, Verb, Verbs } from "../contract/store.ts";
import { type Around, bindVerbs, mapVerbs, observed, type VerbObserver } from "../map-verbs.ts";
import { batches } from "./batch.ts";
import { openClient, type Sql } from "./client.ts";
import { COMMIT_BATCH, type CommitFunction } from "./commit-batch.ts";
import { attempt, isOutcomeUnknown, storeErrorOf } from "./errors.ts";
import { events } from "./events.ts";
import { feed } from "./feed.ts";
import { readInstallation } from "./installation.ts";
import { JOB_FUNCTIONS } from "./job-functions.ts";
import { jobs } from "./jobs.ts";
import { lanes } from "./lanes.ts";
import { ledger } from "./ledger.ts";
import { mail } from "./mail.ts";
import { notices } from "./notices.ts";
import { claimRuns, listOwnedRuns, runs } from "./runs.ts";
import { standings } from "./standings.ts";
import { waits } from "./waits.ts";
import { workers } from "./workers.ts";
import { workflows } from "./workflows.ts";

/** Connections for everything except commits and the lease. */
const POOL_SIZE_DEFAULT = 8;
/** A lane has one batch in flight, and a server has few lanes; more batches than this wait in memory. */
const COMMIT_CONNECTIONS_MAX = 8;
const TRANSACTIONS_IDLE_S = 30;
/**
 * How long statements in flight get to finish when the store is closed. Short, because a connection that died under a
 * statement, and was not needed since, never reports that it has ended.
 */
const CLOSE_TIMEOUT_S = 1;

export type PostgresStoreOptions = {
  /** May point to a pooler in transaction mode. */
  url: string;
  /** Points to Postgres itself, for LISTEN. Default: `url`. */
  directUrl?: string;
  /** False: no prepared statements. Default true. */
  prepare?: boolean;
  poolSize?: number;
  /** Called with every call of a verb. */
  onVerb?: VerbObserver;
  /** The function that commits batches; the database must have it. Default: this release's. */
  commitFunction?: CommitFunction;
};

/**
 * Opens the store on a migrated database.
 * @throws StoreUnavailableError if the database is unavailable
 */
export async function createPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const prepare = options.prepare ?? true;
  const sql = openClient(options.url, { max: options.poolSize ?? POOL_SIZE_DEFAULT, prepare });
  // Separate connections: neither commits nor the lease ever wait for reads.
  const commits = openClient(options.url, { max: COMMIT_CONNECTIONS_MAX, prepare });
  const lease = openClient(options.url, { max: 1, prepare });
  // For the few verbs that need several statements in one transaction.
  const transactions = openClient(options.url, { max: 1, prepare, idleTimeoutS: TRANSACTIONS_IDLE_S });
  const direct = openClient(options.directUrl ?? options.url, { max: 1, prepare });
  const openFresh = (): Sql => openClient(options.url, { max: 1, prepare });
  const clients = [sql, commits, lease, transactions, direct];
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.end({ timeout: CLOSE_TIMEOUT_S })));
  };
  try {
    const { tokenKey, channel } = await call(() => readInstallation(sql));
    return {
      tokenKey,
      close,
      ...createVerbs(
        {
          sql,
          commits,
          lease,
          transactions,
          direct,
          openFresh,
          channel,
          commitFunction: options.commitFunction ?? COMMIT_BATCH,
        },
        options.onVerb,
      ),
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
  openFresh: () => Sql;
  /** The channel of notices. */
  channel: string;
  commitFunction: CommitFunction;
};

/**
 * Runs statements, and repeats them if they lost against other transactions. Failures of the database become a
 * `StoreUnavailableError`.
 */
async function call<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await attempt(work);
  } catch (error) {
    throw storeErrorOf(error);
  }
}

/**
 * Verbs that interpret their errors themselves. A commit is not sent again. A claim has several statements, and the
 * reply of any of them may be lost.
 */
const OWN_ERRORS: ReadonlySet<Verb> = new Set(["batches.commit", "runs.claim"]);

const withErrors: Around = (verb, perform) => (OWN_ERRORS.has(verb) ? perform() : call(async () => await perform()));

function createVerbs(connections: Connections, onVerb: VerbObserver | undefined): Verbs {
  const { sql, commits, lease, transactions, direct, openFresh, channel, commitFunction } = connections;
  const functions = [commitFunction, ...JOB_FUNCTIONS].map(({ name }) => name);
  /** Lanes whose last claim may have been committed although its reply was lost. */
  const doubtfulClaims = new Set<number>();

  /**
   * A claim without a reply may leave runs with an owner that does not know of them. So the next claim returns every
   * run that the lane owns.
   */
  async function claim(laneId: number, limit: number): Promise<RunKey[]> {
    try {
      if (doubtfulClaims.has(laneId)) {
        const owned = await call(() => listOwnedRuns(sql, laneId));
        doubtfulClaims.delete(laneId);
        if (owned.length > 0) return owned;
      }
      return await call(() => claimRuns(sql, laneId, limit));
    } catch (error) {
      if (error instanceof StoreUnavailableError && isOutcomeUnknown(error.cause)) doubtfulClaims.add(laneId);
      throw error;
    }
  }

  const verbs = {
    lanes: bindVerbs({ sql, transactions, lease, doubtfulClaims, functions }, lanes),
    batches: bindVerbs({ sql, commits, openFresh, commitFunction }, batches),
    runs: { ...bindVerbs(sql, runs), claim },
    standings: bindVerbs(sql, standings),
    ledger: bindVerbs(sql, ledger),
    waits: bindVerbs(sql, waits),
    events: bindVerbs(sql, events),
    jobs: bindVerbs(sql, jobs),
    workers: bindVerbs(sql, workers),
    mail: bindVerbs(sql, mail),
    workflows: bindVerbs({ sql, transactions }, workflows),
    feed: bindVerbs(sql, feed),
    notices: bindVerbs({ sql, direct, channel }, notices),
    now: () => readNow(sql),
    ping: async () => {
      await sql`select 1`;
    },
  };
  return mapVerbs(verbs, observed(withErrors, onVerb));
}

async function readNow(sql: Sql): Promise<Instant> {
  const rows = await sql<{ now: Instant }[]>`select clock_timestamp() as now`;
  if (rows[0] === undefined) throw new Error("the query for the database time returned no row");
  return rows[0].now;
}
