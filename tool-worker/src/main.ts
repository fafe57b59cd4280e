/** The entry point: serves the built-in tools and the tools of modules until it is stopped, and sets the exit code. */
import { readFileSync } from "node:fs";

import { Worker } from "@abstractruntime/sdk";
import { destination, type Logger, pino } from "pino";

import { builtinTools } from "./builtin-tools.ts";
import { type HealthServer, startHealthServer } from "./health.ts";
import { loadTools } from "./load-tools.ts";
import { readSettings, type Settings, UsageError } from "./program.ts";
import { openRoot } from "./root.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const read = readSettings(process.argv.slice(2), {
  version,
  write: {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  },
});
// The exit code until the outcome is known: errors at this level are logged as if a tool had thrown them.
process.exitCode = 1;
// Without exit(), timers and connections of tools could keep the process alive.
process.exit("exitCode" in read ? read.exitCode : await runWorker(read.settings));

/** Runs until the worker has stopped, and returns the exit code. */
async function runWorker(settings: Settings): Promise<number> {
  const log = pino({ level: settings.logLevel, base: null }, destination({ dest: 2, sync: true }));
  surviveTools(log);
  let health: HealthServer | undefined;
  try {
    const worker = await createWorker(settings, log);
    worker.handleSignals();
    if (settings.health !== undefined) {
      health = await startHealthServer(settings.health, worker);
      log.info({ url: `${health.url}/healthz` }, "health");
    }
    // If it fails, so does `closed`.
    worker.start().catch(() => {});
    await worker.closed;
    log.info("stopped");
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(error.message);
      return 2;
    }
    log.fatal({ err: error }, "the tool worker failed");
    return 1;
  } finally {
    health?.close();
  }
}

async function createWorker(settings: Settings, log: Logger): Promise<Worker> {
  const root = await openRoot(settings.root).catch((error: unknown) => {
    throw new UsageError(`--root ${settings.root}: ${error instanceof Error ? error.message : String(error)}`);
  });
  const builtin = builtinTools(root, settings);
  const taken = builtin.map(({ name }) => name);
  const tools = [...builtin, ...(await loadTools(settings.toolModules, taken))];
  log.info({ root: root.path, tools: tools.map(({ name }) => name), servers: settings.servers }, "serving");
  const { servers, concurrency, name, actorId } = settings;
  const options = { server: servers, tools, concurrency, name, log, ...(actorId === undefined ? {} : { actorId }) };
  try {
    return new Worker(options);
  } catch (error) {
    // The command line has been checked, so there are too many tools, or tools that are too large.
    if (error instanceof TypeError) throw new UsageError(`--tools: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Logs errors outside of calls, such as an unhandled rejection or a timer that throws: they must not end the jobs of
 *  other tools. */
function surviveTools(log: Logger): void {
  process.on("uncaughtException", (error) => log.error({ err: error }, "a tool threw outside of its call"));
  process.on("unhandledRejection", (error) => log.error({ err: error }, "a tool left a promise that failed"));
}
