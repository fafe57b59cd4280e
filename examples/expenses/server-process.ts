/** A server, and the Postgres it brings, as processes of their own: started, killed, started again on one data directory. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ROOT = resolve(import.meta.dirname, "../..");
const MAIN = join(ROOT, "server/src/main.ts");
const HOST = "127.0.0.1";

/** Below the ports that systems give to outgoing connections (from 32768 on Linux): while the server is down its clients
 *  keep trying, and one of their own connections must not get its port. Above those of the embedded Postgres. */
const PORT_MIN = 31_000;
const PORT_MAX = 32_700;
const PORT_ATTEMPTS_MAX = 50;

const HEALTH_POLL_MS = 40;
/** A first start makes a database and takes 2 s or 3 s; a slow disk may take much longer. */
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const LOG_LINES_SHOWN = 15;

export type ServerProcess = {
  readonly url: string;
  readonly logFile: string;
  /** Starts the server and returns once it answers. @throws {Error} with the end of its log if it does not */
  start: (signal: AbortSignal) => Promise<{ serverPid: number; databasePid: number; readyMs: number }>;
  /** SIGKILL to the server and to its database, both at once. Synchronous, so that it can be the last thing a process does. */
  kill: () => { serverPid: number; databasePid: number };
  /** Ends the server in peace, by force if that takes too long. Leaves no process behind. */
  stop: () => Promise<void>;
};

export async function createServerProcess(options: { dataDir: string; logFile: string }): Promise<ServerProcess> {
  const { dataDir, logFile } = options;
  const listen = `${HOST}:${await findPort()}`;
  const url = `http://${listen}`;
  let child: ChildProcess | undefined;

  const isAlive = () => child?.exitCode === null && child.signalCode === null;

  async function isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  function kill() {
    const databasePid = postmasterOf(dataDir);
    const serverPid = isAlive() ? (child?.pid ?? 0) : 0;
    for (const pid of [serverPid, databasePid]) if (pid > 0) sendKill(pid);
    return { serverPid, databasePid };
  }

  return {
    url,
    logFile,
    kill,
    async start(signal) {
      const startedAt = performance.now();
      const log = openSync(logFile, "a");
      try {
        child = spawn(process.execPath, [MAIN, "server", "--data-dir", dataDir, "--listen", listen], {
          cwd: ROOT,
          env: plainEnvironment(),
          stdio: ["ignore", log, log],
          // A process group of its own: Ctrl-C at the terminal is for the demo, which then stops the server.
          detached: true,
        });
      } finally {
        closeSync(log);
      }
      const started = child;
      started.on("error", () => undefined);
      while (!(await isHealthy())) {
        signal.throwIfAborted();
        if (!isAlive() || started.pid === undefined) throw new Error(`the server ended\n${lastLines(logFile)}`);
        if (performance.now() - startedAt > START_MS_MAX) {
          throw new Error(`the server does not answer after ${START_MS_MAX / 1000} s\n${lastLines(logFile)}`);
        }
        await sleep(HEALTH_POLL_MS);
      }
      return {
        serverPid: started.pid ?? 0,
        databasePid: postmasterOf(dataDir),
        readyMs: performance.now() - startedAt,
      };
    },
    async stop() {
      if (child !== undefined && isAlive()) {
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        await Promise.race([exited, sleep(STOP_MS_MAX, undefined, { ref: false })]);
      }
      kill();
    },
  };
}

/** The pid of the database that runs in a data directory; 0 if none does. */
function postmasterOf(dataDir: string): number {
  let text: string;
  try {
    text = readFileSync(join(dataDir, "postgres/data/postmaster.pid"), "utf8");
  } catch {
    return 0;
  }
  const pid = Number(text.split("\n")[0]);
  // The file outlives a killed database, and its pid may be given to another process then.
  return Number.isInteger(pid) && pid > 1 && commandOf(pid).includes("postgres") ? pid : 0;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout ?? "";
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // It ended by itself in the meantime.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Settings of a server that the user runs would lead this one to their database. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}

async function findPort(): Promise<number> {
  for (let attempt = 0; attempt < PORT_ATTEMPTS_MAX; attempt++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${PORT_MIN} and ${PORT_MAX} was found`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const probe = createServer();
    probe.once("error", () => settle(false));
    probe.listen({ host: HOST, port, exclusive: true }, () => probe.close(() => settle(true)));
  });
}

function lastLines(file: string): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
}
