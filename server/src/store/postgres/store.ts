/**
 * The store on Postgres: the contract, on a few pools of connections (pools.ts). Each verb's statement is in the file
 * of its noun; this file says which connections it uses.
 *
 * No statement relies on a session, so a pooler in transaction mode may be in between (`prepare: false`). The exception
 * is LISTEN, which uses `directUrl`.
 */
import type { Instant } from "../../core/duration.ts";
import { StoreUnavailableError } from "../contract/errors.ts";
import type { Batch } from "../contract/batch.ts";
import type { RunKey } from "../contract/runs.ts";
import type { Store, Verbs } from "../contract/store.ts";
import { type Around, type Bound, mapVerbs, observed, type Statements, type VerbObserver } from "../map-verbs.ts";
import { batches } from "./batch.ts";
import { createPlace, type Place, type Sql } from "./client.ts";
import { commit } from "./commit.ts";
import { COMMIT_BATCH, type CommitFunction } from "./commit-batch.ts";
import { CONNECTIONS_DEFAULT, divideConnections } from "./connections.ts";
import { attempt, isOutcomeUnknown, isOutOfConnections, storeErrorOf } from "./errors.ts";
import { events } from "./events.ts";
import { feed } from "./feed.ts";
import { readInstallation } from "./installation.ts";
import { JOB_FUNCTIONS } from "./job-functions.ts";
import { jobs } from "./jobs.ts";
import { type LaneConnections, lanes } from "./lanes.ts";
import { ledger } from "./ledger.ts";
import { mail } from "./mail.ts";
import { listen, sendNotice } from "./notices.ts";
import { createPools, type Pool, type Pools, type Ticks } from "./pools.ts";
import { probe } from "./probe.ts";
import { claimRuns, listOwnedRuns, runs } from "./runs.ts";
import { standings } from "./standings.ts";
import { waits } from "./waits.ts";
import { workers } from "./workers.ts";
import { workflows } from "./workflows.ts";

const LANES_DEFAULT = 2;
/**
 * How long a call may take, in ticks of a second, the wait for a connection included. Far above the time of any
 * statement of this store, and far below the time that TCP takes to notice that a peer is gone.
 */
const CALL_TICKS_MAX = 15;
const COMMIT_TICKS_MAX = 10;
/** Two attempts fit into the time after which other servers end this one's lease. */
const LEASE_TICKS_MAX = 4;

export type PostgresStoreOptions = {
  /** May point to a pooler in transaction mode. */
  url: string;
  /** Points to Postgres itself, for LISTEN. Default: `url`. */
  directUrl?: string;
  /** False: no prepared statements. Default true. */
  prepare?: boolean;
  /** The most connections that the store opens, at least `CONNECTIONS_MIN`. Default: `CONNECTIONS_DEFAULT`. */
  connections?: number;
  /** How many batches are committed at the same time. Default 2. */
  lanes?: number;
  /** Called with every call of a verb. */
  onVerb?: VerbObserver;
  /** The function that commits batches; the database must have it. Default: this release's. */
  commitFunction?: CommitFunction;
  /** Tests replace it. */
  ticks?: Ticks;
};

/**
 * Opens the store on a migrated database. Opens the connections first without which it cannot work.
 * @throws StoreUnavailableError if the database is unavailable, or grants fewer connections than that
 */
export async function createPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { connections = CONNECTIONS_DEFAULT, lanes: lanesMax = LANES_DEFAULT } = options;
  const { prepare = true } = options;
  const place = createPlace(options.url, { prepare });
  const direct = createPlace(options.directUrl ?? options.url, { prepare });
  const pools = createPools(options.ticks);
  const sizes = divideConnections(connections, lanesMax);
  const used = {
    lease: pools.add({ name: "the lease", place, size: 1, ticksMax: LEASE_TICKS_MAX }),
    commits: pools.add({ name: "commits", place, size: sizes.commits, ticksMax: COMMIT_TICKS_MAX }),
    reads: pools.add({ name: "everything else", place, size: sizes.reads, ticksMax: CALL_TICKS_MAX, yields: true }),
  };
  const listeners = new Set<() => Promise<void>>();
  const close = async (): Promise<void> => {
    await Promise.all([...listeners].map((stop) => stop()));
    await pools.close();
  };
  try {
    // In the order of their claims, for a database that grants only some of them.
    await call(used.lease, () => undefined);
    for (const pool of [used.commits, used.reads]) await call(pool, () => undefined);
    const { tokenKey, channel } = await call(used.reads, readInstallation);
    return {
      tokenKey,
      place: place.name,
      shortage() {
        const missing = used.commits.size + used.reads.size - used.commits.granted - used.reads.granted;
        return missing === 0 ? undefined : { granted: connections - missing, wanted: connections };
      },
      close,
      ...createVerbs(
        { ...used, pools, direct, listeners, channel, commitFunction: options.commitFunction ?? COMMIT_BATCH },
        options.onVerb,
      ),
    };
  } catch (error) {
    await close();
    throw storeErrorOf(error);
  }
}

type Connections = {
  lease: Pool;
  commits: Pool;
  reads: Pool;
  pools: Pools;
  direct: Place;
  listeners: Set<() => Promise<void>>;
  /** The channel of notices. */
  channel: string;
  commitFunction: CommitFunction;
};

/**
 * Runs statements on a connection of the pool, and repeats them if they lost against others. Failures of the database
 * become a `StoreUnavailableError`.
 */
async function call<T>(pool: Pick<Pool, "use">, work: (sql: Sql) => Promise<T> | T): Promise<T> {
  try {
    return await pool.use((sql) => attempt(() => work(sql)));
  } catch (error) {
    throw storeErrorOf(error);
  }
}

/** Binds the verbs of a noun to a pool: each call has a connection to itself. */
function bindPool<Noun extends object, On = Sql>(
  pool: Pick<Pool, "use">,
  statements: Statements<On, Noun>,
  onOf: (sql: Sql) => On = (sql) => sql as On,
): Bound<Noun> {
  type Statement = (on: On, ...args: readonly unknown[]) => unknown;
  const bound = Object.entries(statements).map(([name, statement]) => [
    name,
    (...args: readonly unknown[]) => call(pool, (sql) => (statement as Statement)(onOf(sql), ...args)),
  ]);
  return Object.fromEntries(bound) as Bound<Noun>;
}

const asItIs: Around = (_verb, perform) => perform();

function createVerbs(connections: Connections, onVerb: VerbObserver | undefined): Verbs {
  const { lease, commits, reads, pools, direct, listeners, channel, commitFunction } = connections;
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
        const owned = await call(reads, (sql) => listOwnedRuns(sql, laneId));
        doubtfulClaims.delete(laneId);
        if (owned.length > 0) return owned;
      }
      return await call(reads, (sql) => claimRuns(sql, laneId, limit));
    } catch (error) {
      if (error instanceof StoreUnavailableError && isOutcomeUnknown(error.cause)) doubtfulClaims.add(laneId);
      throw error;
    }
  }

  const onLanes = (sql: Sql): LaneConnections => ({ sql, functions, doubtfulClaims });
  const verbs = {
    lanes: { ...bindPool(reads, lanes, onLanes), renew: bindPool(lease, lanes, onLanes).renew },
    batches: {
      ...bindPool(reads, batches),
      commit: (batch: Batch) => commit(commits, batch, commitFunction),
      // A fresh connection, because the others may be as dead as the one that carried the batch.
      resolve: bindPool({ use: commits.useFresh }, batches).resolve,
    },
    runs: { ...bindPool(reads, runs), claim },
    standings: bindPool(reads, standings),
    ledger: bindPool(reads, ledger),
    waits: bindPool(reads, waits),
    events: bindPool(reads, events),
    jobs: bindPool(reads, jobs),
    workers: bindPool(reads, workers),
    mail: bindPool(reads, mail),
    workflows: bindPool(reads, workflows),
    feed: bindPool(reads, feed),
    notices: {
      ...bindPool(reads, sendNotice, (sql) => ({ sql, channel })),
      listen: async (onPayload: (payload: string) => void, onLost?: () => void) => {
        try {
          return await listen({ direct, channel, pools, listeners }, onPayload, onLost);
        } catch (error) {
          if (isOutOfConnections(error)) pools.makeRoom();
          throw storeErrorOf(error);
        }
      },
    },
    now: () => call(reads, readNow),
    probe: () => call(commits, (sql) => probe(sql, functions)),
  };
  return mapVerbs(verbs, observed(asItIs, onVerb));
}

async function readNow(sql: Sql): Promise<Instant> {
  const rows = await sql<{ now: Instant }[]>`select clock_timestamp() as now`;
  if (rows[0] === undefined) throw new Error("the query for the database time returned no row");
  return rows[0].now;
}
