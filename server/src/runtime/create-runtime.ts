/**
 * A runtime of one's own: a server with its embedded Postgres, as a child of the program that asks for it.
 *
 * A process of its own because it must survive what the program does: a loop that blocks, an exit in the middle. The two
 * are bound by a pipe, the child's stdin. It ends when `stop` ends it and when the program dies, however that dies; then
 * the child stops the database, removes a temporary folder, and ends. Nothing is lost on either way, since nothing is
 * acknowledged before its commit.
 */
import { setTimeout as pause } from "node:timers/promises";

import { Client } from "@abstractruntime/sdk";

import type { LogLevel } from "../config.ts";
import { spawnServer } from "./server-process.ts";
import { stopDatabase } from "./stop-database.ts";

export type RuntimeOptions = {
  /** Where the database keeps its data; made if missing, and kept. Default: a temporary folder that is removed at the end. */
  dataDir?: string | undefined;
  /** A Postgres to use instead of the embedded one. */
  databaseUrl?: string | undefined;
  /** Where to listen, on loopback only. Default `127.0.0.1:0`, a free port. */
  listen?: string | undefined;
  /** What the server logs; its log goes to this program's stderr. Default `warn`. */
  logLevel?: LogLevel | undefined;
  /** How long the start may take. Default 60,000 ms: making a new database takes seconds, recovering one after a crash longer. */
  startTimeoutMs?: number | undefined;
};

export type Runtime = AsyncDisposable & {
  /** Where the server listens, such as `http://127.0.0.1:41234`: for workers, and clients in other programs. */
  readonly url: string;
  /** A client of this server. `stop` closes it. */
  readonly client: Client;
  /** Ends server and embedded database: lets what is in hand finish, and uses force if that takes longer than 20 s. A second call
   *  gives the first one's promise. Runs that wait go on at the next start with the same `dataDir`. */
  stop(): Promise<void>;
};

const LISTEN_DEFAULT = "127.0.0.1:0";
const START_TIMEOUT_MS = 60_000;
/** Longer than the 15 s after which a server that is told to stop gives up by itself. */
const STOP_MS_MAX = 20_000;
/** A server that listens has its lease; only a database that went away in between makes it wait. */
const HEALTH_POLL_MS = 50;

/**
 * Starts a server, and gives it when it is healthy.
 *
 * Its options are all there is: the variables ABSTRACTRUNTIME_… and DATABASE_URL of this program's environment are not the server's.
 *
 * ```ts
 * await using rt = await createRuntime();
 * const run = await rt.client.run(expense, { amount: 120 });
 * if (run.status === "waiting") await rt.client.respond(run, "yes");
 * console.log(await rt.client.result(run));
 * ```
 *
 * @throws {Error} the server ended, or was not healthy in time; the message ends with what it logged
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { startTimeoutMs = START_TIMEOUT_MS } = options;
  const server = spawnServer(argumentsOf(options));
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= endServer());
  const late = AbortSignal.timeout(startTimeoutMs);
  try {
    const { url } = await server.listening(late);
    await untilHealthy(url, AbortSignal.any([late, server.ended]));
    const client = new Client({ addresses: url });
    const close = async () => {
      client.close();
      await stop();
    };
    return { url, client, stop: close, [Symbol.asyncDispose]: close };
  } catch (error) {
    // Told before the server stops, which logs too.
    const words = server.lastWords();
    await stop();
    const what = late.aborted ? `was not healthy within ${startTimeoutMs} ms` : "did not start";
    throw new Error(`the server ${what}${words === "" ? "" : `:\n${words}`}`, { cause: error });
  }

  async function endServer(): Promise<void> {
    const isClean = await server.end(STOP_MS_MAX);
    const { dataDir } = server.announcement ?? options;
    if (!isClean && dataDir !== undefined) await stopDatabase(dataDir, { removeFolder: options.dataDir === undefined });
  }
}

function argumentsOf({ dataDir, databaseUrl, listen = LISTEN_DEFAULT, logLevel = "warn" }: RuntimeOptions): string[] {
  const args = ["--listen", listen, "--log-level", logLevel];
  if (databaseUrl !== undefined) return [...args, "--database-url", databaseUrl];
  return [...args, ...(dataDir === undefined ? ["--temporary"] : ["--data-dir", dataDir])];
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { ok } = await fetch(`${url}/healthz`, { signal });
    if (ok) return;
    await pause(HEALTH_POLL_MS, undefined, { signal });
  }
}
