/**
 * A runtime for one program: a server with its embedded Postgres, as a child process.
 *
 * It is a separate process so that it is not affected by the program, such as by a loop that blocks or a sudden exit. A
 * pipe, the child's stdin, connects the two. The pipe ends when `stop` closes it, and when the program dies for any
 * reason. The child then stops the database, removes a temporary folder, and exits. Nothing is lost in either case,
 * since nothing is acknowledged before its commit.
 */
import { setTimeout as pause } from "node:timers/promises";

import { Client } from "@abstractruntime/sdk";

import type { LogLevel } from "../config.ts";
import { spawnServer } from "./server-process.ts";
import { stopDatabase } from "./stop-database.ts";

export type RuntimeOptions = {
  /** Where the database keeps its data; created if missing, and kept. Default: a temporary folder, removed at the
   *  end. */
  dataDir?: string | undefined;
  /** The Postgres to use instead of the embedded one. */
  databaseUrl?: string | undefined;
  /** Where to listen, on loopback only. Default `127.0.0.1:0`, a free port. */
  listen?: string | undefined;
  /** The log level of the server, which logs to this program's stderr. Default `warn`. */
  logLevel?: LogLevel | undefined;
  /** How long the start may take. Default 60,000 ms: creating a database takes seconds, recovery after a crash
   *  longer. */
  startTimeoutMs?: number | undefined;
};

export type Runtime = AsyncDisposable & {
  /** The server's URL, such as `http://127.0.0.1:41234`, for workers and for clients in other programs. */
  readonly url: string;
  /** A client of this server. `stop` closes it. */
  readonly client: Client;
  /** Stops the server and the embedded database. Work in progress may finish within 20 s; then both are killed. A
   *  second call returns the promise of the first. Waiting runs continue at the next start with the same `dataDir`. */
  stop(): Promise<void>;
};

const LISTEN_DEFAULT = "127.0.0.1:0";
const START_TIMEOUT_MS = 60_000;
/** Longer than the 15 s after which a stopping server exits by itself. */
const STOP_MS_MAX = 20_000;
/** A server that listens is normally healthy at once; it is not only if the database was lost in the meantime. */
const HEALTH_POLL_MS = 50;

/**
 * Starts a server, and returns it when it is healthy.
 *
 * Only these options configure the server. It does not see ABSTRACTRUNTIME_… and DATABASE_URL of this program's
 * environment.
 *
 * ```ts
 * await using rt = await createRuntime();
 * const run = await rt.client.run(expense, { amount: 120 });
 * if (run.status === "waiting") await rt.client.respond(run, "yes");
 * console.log(await rt.client.result(run));
 * ```
 *
 * @throws {Error} if the server ended, or was not healthy in time; the message ends with the server's last log lines
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
    // Read before the server stops, which logs too.
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
