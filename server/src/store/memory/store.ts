/**
 * The store's contract in memory, for simulation and tests. Several stores (servers) share one database in one process;
 * a test moves its clock and injects its faults.
 *
 * Nothing survives the process. A server "crashes" when its store is abandoned or closed; what it had committed stays
 * in the database, as in Postgres.
 */
import { randomBytes } from "node:crypto";
import { StoreUnavailableError } from "../contract/errors.ts";
import type { Store } from "../contract/store.ts";
import { type Around, bindVerbs, mapVerbs, observed, type VerbObserver } from "../map-verbs.ts";
import { batches } from "./batch.ts";
import { type MemoryDatabase, timeOf } from "./database.ts";
import { events } from "./events.ts";
import { feed } from "./feed.ts";
import { jobs } from "./jobs.ts";
import { lanes } from "./lanes.ts";
import { ledger } from "./ledger.ts";
import { mail } from "./mail.ts";
import { notices } from "./notices.ts";
import { runs } from "./runs.ts";
import { standings } from "./standings.ts";
import { waits } from "./waits.ts";
import { workers } from "./workers.ts";
import { workflows } from "./workflows.ts";

const TOKEN_KEY_BYTES = 32;

/**
 * An empty database. `faults` may be changed at any time.
 * @param now the database's clock, microseconds since 1970 UTC; may step, as clocks do
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

/**
 * Connects a server to a database. A verb's effect is one synchronous step; its arguments and results are copies.
 * @param options `onVerb` is called with every call of a verb
 */
export async function createMemoryStore(
  database: MemoryDatabase,
  options: { onVerb?: VerbObserver } = {},
): Promise<Store> {
  const { faults } = database;
  const stops = new Set<() => void>();
  let closed = false;

  function assertReachable(): void {
    if (closed) throw new StoreUnavailableError("the store is closed");
    if (faults.away) throw new StoreUnavailableError("the database is unavailable");
  }

  const inTurns: Around = async (verb, perform) => {
    await faults.turn?.(verb);
    assertReachable();
    const result = await perform();
    await faults.turn?.(verb);
    return result;
  };

  const verbs = {
    lanes: bindVerbs(database, lanes),
    batches: bindVerbs({ database, assertReachable }, batches),
    runs: bindVerbs(database, runs),
    standings: bindVerbs(database, standings),
    ledger: bindVerbs(database, ledger),
    waits: bindVerbs(database, waits),
    events: bindVerbs(database, events),
    jobs: bindVerbs(database, jobs),
    workers: bindVerbs(database, workers),
    mail: bindVerbs(database, mail),
    workflows: bindVerbs(database, workflows),
    feed: bindVerbs(database, feed),
    notices: bindVerbs({ database, stops }, notices),
    now: () => timeOf(database),
    probe: () => undefined,
  };
  return {
    tokenKey: Uint8Array.from(database.tokenKey),
    place: "memory",
    shortage: () => undefined,
    ...mapVerbs(verbs, observed(inTurns, options.onVerb)),
    async close() {
      closed = true;
      for (const stop of stops) stop();
      stops.clear();
    },
  };
}
