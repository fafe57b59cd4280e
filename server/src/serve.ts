/** One server: database, store, engine and port, started and stopped in order. */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { DatabaseSetupError, describeDatabaseError } from "./embedded-postgres/database-error.ts";
import { createEngine, type RunningEngine } from "./engine/engine.ts";
import { createRpcServer } from "./rpc/server.ts";
import { StoreUnavailableError } from "./store/contract/errors.ts";
import type { Store } from "./store/contract/store.ts";
import { startEmbeddedPostgres } from "./embedded-postgres/embedded-postgres.ts";
import { parseAddress } from "./store/postgres/address.ts";
import { findInstallation } from "./store/postgres/installation.ts";
import { migrate, UnsuitableDatabaseError } from "./store/postgres/migrate.ts";
import { findSessionKind, type SessionKind } from "./store/postgres/pooler.ts";
import { createPostgresStore } from "./store/postgres/store.ts";
import { createWaitNotice, waitForDatabase } from "./wait-for-database.ts";

/** How long open requests may take to finish when the server stops. */
const STOP_GRACE_MS = 5_000;
/** The pause before a start that the database has interrupted begins again. */
const RETRY_MS = 500;

const DIRECT_URL = "ABSTRACTRUNTIME_DATABASE_DIRECT_URL";

/** What an attached server announces to the program that started it. */
export type Announcement = {
  /** Where the server listens, for instance http://127.0.0.1:7400. */
  url: string;
  /** Where the embedded database keeps its data; absent with an external database. */
  dataDir?: string | undefined;
};

export type RunningServer = Announcement & {
  /** Settles if the server cannot continue without an operator; it should then be stopped. */
  failed: Promise<Error>;
  /** Finishes the work in progress, stops the embedded database, and removes a temporary folder. */
  stop(): Promise<void>;
};

/**
 * Starts a server. Waits for an unavailable database and for other servers' migrations, and logs for what it waits.
 * @param signal aborts the start, at once, whatever it waits for
 * @throws {DatabaseSetupError} if waiting would not help
 */
export async function startServer(config: Config, log: Logger, signal: AbortSignal): Promise<RunningServer> {
  const database = await openDatabase(config, log, signal);
  const undo: (() => Promise<void>)[] = [database.stop];
  try {
    const engine = await openEngine(database, { config, log, signal, undo });
    const rpc = createRpcServer({ engine, config, log });
    const { url } = await rpc.listen();
    undo.push(() => rpc.close(STOP_GRACE_MS));
    signal.throwIfAborted();
    log.info({ url }, "listening");
    return { url, dataDir: database.dataDir, failed: database.failed, stop: () => unwind(undo) };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

type Surroundings = { config: Config; log: Logger; signal: AbortSignal; undo: (() => Promise<void>)[] };

/** Migrates, and starts an engine. If the database goes away meanwhile, it begins again. */
async function openEngine(database: Database, { config, log, signal, undo }: Surroundings): Promise<RunningEngine> {
  const onWait = createWaitNotice(log);
  for (;;) {
    const opened: (() => Promise<void>)[] = [];
    try {
      await migrate(database.directUrl, { onWait, signal });
      await unlessAborted(assertSameInstallation(database), signal);
      const opening = createPostgresStore({
        url: database.url,
        directUrl: database.directUrl,
        prepare: database.prepare,
        connections: config.databaseConnections,
        lanes: config.lanes,
        ...(log.isLevelEnabled("trace") ? { onVerb: (call) => log.trace(call, "store verb") } : {}),
      });
      const store: Store = await unlessAborted(opening, signal);
      opened.push(() => store.close());
      const engine = createEngine({ store, log, settings: { lanes: config.lanes, ...config.workerTiming } });
      await unlessAborted(engine.start(), signal);
      opened.push(() => engine.stop());
      undo.push(...opened);
      return engine;
    } catch (error) {
      await unwind(opened);
      signal.throwIfAborted();
      if (error instanceof UnsuitableDatabaseError) throw new DatabaseSetupError("DATABASE_UNSUITABLE", error.message);
      if (!(error instanceof StoreUnavailableError)) throw error;
      onWait(`the database, which failed during the start: ${describeDatabaseError(error.cause ?? error)}`);
      await pause(RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Rejects when the signal comes. The work is left to itself: the process ends soon. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  work.catch(() => undefined);
  try {
    signal.throwIfAborted();
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function unwind(undo: (() => Promise<void>)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}

type Database = {
  url: string;
  /** Past a pooler in transaction mode. */
  directUrl: string;
  /** Whether statements may be prepared on `url`. */
  prepare: boolean;
  dataDir: string | undefined;
  failed: Promise<Error>;
  stop(): Promise<void>;
};

async function openDatabase(config: Config, log: Logger, signal: AbortSignal): Promise<Database> {
  if (config.databaseUrl !== undefined) {
    const urls = { url: config.databaseUrl, directUrl: config.databaseDirectUrl ?? config.databaseUrl };
    await waitForDatabase(urls.directUrl, { log, signal, setting: settingOf(config) });
    if (urls.url !== urls.directUrl) await waitForDatabase(urls.url, { log, signal });
    const prepare = await judgePoolers(urls, { config, log, signal });
    return {
      ...urls,
      prepare,
      dataDir: undefined,
      failed: new Promise<never>(() => undefined),
      stop: () => Promise.resolve(),
    };
  }
  const undo: (() => Promise<void>)[] = [];
  const dataDir = config.dataDir ?? (await makeTemporaryFolder());
  if (config.dataDir === undefined) undo.push(() => fs.rm(dataDir, { recursive: true, force: true }));
  try {
    const embedded = await startEmbeddedPostgres({ dataDir, log, signal });
    undo.push(() => embedded.stop());
    const { url, failed } = embedded;
    const prepare = config.preparedStatements ?? true;
    return { url, directUrl: url, prepare, dataDir: path.resolve(dataDir), failed, stop: () => unwind(undo) };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

function settingOf({ databaseDirectUrl }: Config): string {
  return databaseDirectUrl === undefined ? "DATABASE_URL" : DIRECT_URL;
}

/**
 * Refuses a pooler in transaction mode where LISTEN is needed. Returns whether statements may be prepared.
 * @throws {DatabaseSetupError} POOLER_UNSUITABLE
 */
async function judgePoolers(
  { url, directUrl }: { url: string; directUrl: string },
  { config, log, signal }: Pick<Surroundings, "config" | "log" | "signal">,
): Promise<boolean> {
  const kindOf = async (at: string): Promise<SessionKind> => {
    for (;;) {
      try {
        return await findSessionKind(at, signal);
      } catch (error) {
        // It was there a moment ago.
        signal.throwIfAborted();
        log.debug({ err: error }, "the database was lost while it was looked at");
        await waitForDatabase(at, { log, signal });
      }
    }
  };
  if ((await kindOf(directUrl)) === "transaction") {
    const place = parseAddress(directUrl).name;
    const advice =
      config.databaseDirectUrl === undefined
        ? `set ${DIRECT_URL} to the URL of Postgres itself, past the pooler; DATABASE_URL may stay`
        : `${DIRECT_URL} must go past the pooler, to Postgres itself or to a pool in session mode`;
    throw new DatabaseSetupError(
      "POOLER_UNSUITABLE",
      `${place} is a pooler in transaction mode, which does not carry LISTEN: ${advice}`,
    );
  }
  if (config.preparedStatements !== undefined) return config.preparedStatements;
  const { isPooled, name } = parseAddress(url);
  if (!isPooled && (url === directUrl || (await kindOf(url)) !== "transaction")) return true;
  log.info(`${name} is a pooler in transaction mode: statements are not kept prepared`);
  return false;
}

/** @throws {DatabaseSetupError} POOLER_UNSUITABLE if the two URLs lead to different databases or schemas */
async function assertSameInstallation({ url, directUrl }: Database): Promise<void> {
  if (url === directUrl) return;
  const [pooled, direct] = await Promise.all([findInstallation(url), findInstallation(directUrl)]);
  if (pooled.key === direct.key) return;
  throw new DatabaseSetupError(
    "POOLER_UNSUITABLE",
    `DATABASE_URL leads to schema ${pooled.schema} of database ${pooled.database}, and ${DIRECT_URL} to schema ` +
      `${direct.schema} of database ${direct.database}: they must be the same. A pooler does not pass schema= on; ` +
      `alter role ${pooled.role} in database ${pooled.database} set search_path = ${direct.schema} gives the role one`,
  );
}

async function makeTemporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(tmpdir(), "abstractruntime-"));
  // If this process runs as root, Postgres runs as another user, who must be able to traverse the folder. The files
  // inside have their own modes.
  await fs.chmod(folder, 0o711);
  return folder;
}
