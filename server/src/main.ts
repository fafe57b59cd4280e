/** The entry point: runs the command line and sets the exit code. `abstractruntime server` runs until it is stopped. */
import { destination, pino } from "pino";
import { boundedLogHooks } from "./bounded-log.ts";
import { CliError, UsageError } from "./cli/failure.ts";
import { runCli } from "./cli/program.ts";
import { type Config, ConfigError, loadConfig } from "./config.ts";
import { type Announcement, startServer } from "./serve.ts";
import { DatabaseSetupError } from "./embedded-postgres/database-error.ts";

/** Well below the 30 s that orchestrators usually allow, and longer than stopping takes while the database answers. */
const STOP_MS_MAX = 15_000;
/** How long a start that was stopped may take to close what it has opened. */
const ABORTED_START_MS = 200;
const STOP_SIGNALS = ["SIGINT", "SIGTERM"] as const;

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  startServer: runServer,
});

/**
 * Runs a server until SIGINT or SIGTERM, or the end of stdin if it is attached. A second signal ends the process at
 * once.
 * @param settings environment variables that override the process's own
 */
async function runServer(settings: Readonly<Record<string, string>>): Promise<void> {
  const config = readConfig(settings);
  const options = { level: config.logLevel, base: null, hooks: boundedLogHooks() };
  const log = pino(options, destination({ dest: 2, sync: true }));
  const stopping = new AbortController();
  const stopRequested = new Promise<void>((resolve) => {
    const stop = (by: string) => {
      log.info({ by }, "stopping");
      stopping.abort(new Error(`stopped by ${by}`));
      resolve();
    };
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (stopping.signal.aborted) process.exit(130);
        stop(signal);
      });
    }
    if (config.attached) onInputEnd(() => !stopping.signal.aborted && stop("the end of stdin"));
  });
  try {
    const server = await startServer(config, log, stopping.signal);
    if (config.attached) process.stdout.write(announcementOf(server));
    const failure = await Promise.race([stopRequested, server.failed]);
    // If something hangs, such as the database, exit before the orchestrator kills the process.
    setTimeout(() => {
      log.error("stopping took too long; unfinished work continues at the next start");
      process.exit(1);
    }, STOP_MS_MAX).unref();
    await server.stop();
    if (failure !== undefined) throw failure;
    log.info("stopped");
  } catch (error) {
    if (stopping.signal.aborted) {
      // What the start was waiting for may keep the process alive, such as a connection under way.
      setTimeout(() => process.exit(), ABORTED_START_MS).unref();
      return;
    }
    if (error instanceof DatabaseSetupError) throw new CliError(error.message);
    if (isListenFailure(error)) throw new CliError(listenProblem(error));
    log.fatal({ err: error }, "the server failed");
    throw error;
  } finally {
    // An open stdin would keep the process alive.
    if (config.attached) process.stdin.destroy();
  }
}

/** Calls `callback` when stdin ends; discards its data. */
function onInputEnd(callback: () => void): void {
  process.stdin.on("error", callback).on("close", callback).on("end", callback).resume();
}

function isListenFailure(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && error.syscall === "listen";
}

/** The message for an address that is taken, usually by another server, or that does not belong to this machine. */
function listenProblem({ code, message }: NodeJS.ErrnoException): string {
  const hint =
    code === "EADDRINUSE" ? "\nAnother server may already be running; use --listen to choose another address." : "";
  return `cannot listen: ${message}${hint}`;
}

/** A line of JSON for the program that started the server. */
function announcementOf({ url, dataDir }: Announcement): string {
  return `${JSON.stringify({ url, dataDir } satisfies Announcement)}\n`;
}

function readConfig(settings: Readonly<Record<string, string>>): Config {
  try {
    return loadConfig({ ...process.env, ...settings });
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message);
    throw error;
  }
}
