/** One server: database, store, engine and port, started and stopped in order. */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { createEngine } from "./engine/engine.ts";
import { createRpcServer } from "./rpc/server.ts";
import type { Store } from "./store/contract/store.ts";
import { startEmbeddedPostgres } from "./embedded-postgres/embedded-postgres.ts";
import { waitForDatabase } from "./wait-for-database.ts";
import { migrate } from "./store/postgres/migrate.ts";
import { createPostgresStore } from "./store/postgres/store.ts";

/** How long open requests may take to finish when the server stops. */
const STOP_GRACE_MS = 5_000;

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
 * Starts a server. Waits for an unavailable database, and logs that it waits.
 * @param signal aborts the start
 * @throws {DatabaseSetupError} if waiting would not help
 */
export async function startServer(config: Config, log: Logger, signal: AbortSignal): Promise<RunningServer> {
  const database = await openDatabase(config, log, signal);
  const undo: (() => Promise<void>)[] = [database.stop];
  try {
    await migrate(database.directUrl);
    const store: Store = await createPostgresStore({
      url: database.url,
      directUrl: database.directUrl,
      prepare: config.preparedStatements,
      connections: config.databaseConnections,
      lanes: config.lanes,
      ...(log.isLevelEnabled("trace") ? { onVerb: (call) => log.trace(call, "store verb") } : {}),
    });
    undo.push(() => store.close());
    const engine = createEngine({ store, log, settings: { lanes: config.lanes, ...config.workerTiming } });
    await engine.start();
    undo.push(() => engine.stop());
    const rpc = createRpcServer({ engine, config, log });
    const { url } = await rpc.listen();
    undo.push(() => rpc.close(STOP_GRACE_MS));
    log.info({ url }, "listening");
    return { url, dataDir: database.dataDir, failed: database.failed, stop: () => unwind(undo) };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

async function unwind(undo: (() => Promise<void>)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}

async function openDatabase(config: Config, log: Logger, signal: AbortSignal) {
  if (config.databaseUrl === undefined) {
    const undo: (() => Promise<void>)[] = [];
    const dataDir = config.dataDir ?? (await makeTemporaryFolder());
    if (config.dataDir === undefined) undo.push(() => fs.rm(dataDir, { recursive: true, force: true }));
    try {
      const embedded = await startEmbeddedPostgres({ dataDir, log, signal });
      undo.push(() => embedded.stop());
      const { url, failed } = embedded;
      return { url, directUrl: url, dataDir: path.resolve(dataDir), failed, stop: () => unwind(undo) };
    } catch (error) {
      await unwind(undo);
      throw error;
    }
  }
  await waitForDatabase(config.databaseUrl, { log, signal });
  return {
    url: config.databaseUrl,
    directUrl: config.databaseDirectUrl ?? config.databaseUrl,
    dataDir: undefined,
    failed: new Promise<never>(() => undefined),
    stop: () => Promise.resolve(),
  };
}

async function makeTemporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(tmpdir(), "abstractruntime-"));
  // If this process runs as root, Postgres runs as another user, who must be able to traverse the folder. The files
  // inside have their own modes.
  await fs.chmod(folder, 0o711);
  return folder;
}
