/** A process of the demo, which can be started, killed in the middle of its work, restarted, and stopped cleanly. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const REPOSITORY = resolve(import.meta.dirname, "../..");
export const HOST = "127.0.0.1";

/** Below the ports that systems give to outgoing connections (from 32768 on Linux): while the server is down its
 *  clients keep trying, and one of their own connections must not get its port. Above those of the embedded
 *  Postgres. */
const PORT_MIN = 31_000;
const PORT_MAX = 32_700;
const PORT_ATTEMPTS_MAX = 50;

const HEALTH_POLL_MS = 40;
/** The first start of a server creates a database and takes 2 s or 3 s; a slow disk may take much longer. */
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const LOG_LINES_SHOWN = 15;

export type ManagedProcess = {
  /** Starts it and returns once it is healthy. @throws {Error} with the end of its log if it does not become healthy */
  start: (signal: AbortSignal) => Promise<{ pid: number; readyMs: number }>;
  /** SIGKILL. Returns its pid; 0 if it is not running. Synchronous, so that it can run while this process exits. */
  kill: () => number;
  /** Stops it cleanly, or by force if that takes too long. */
  stop: () => Promise<void>;
};

export function createManagedProcess(options: {
  /** Its name in messages. */
  name: string;
  /** Node's arguments: the script and its own arguments. */
  args: readonly string[];
  /** Variables in addition to this process's environment. */
  env?: Readonly<Record<string, string>>;
  /** Answers 200 when it is ready. */
  healthUrl: string;
  logFile: string;
}): ManagedProcess {
  const { name, args, env = {}, healthUrl, logFile } = options;
  let child: ChildProcess | undefined;

  const isAlive = () => child?.exitCode === null && child.signalCode === null;

  async function isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(healthUrl, { signal: AbortSignal.timeout(1_000) });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  function kill(): number {
    const pid = isAlive() ? (child?.pid ?? 0) : 0;
    if (pid > 0) sendKill(pid);
    return pid;
  }

  return {
    kill,
    async start(signal) {
      const startedAt = performance.now();
      const log = openSync(logFile, "a");
      try {
        child = spawn(process.execPath, args, {
          cwd: REPOSITORY,
          env: { ...plainEnvironment(), ...env },
          stdio: ["ignore", log, log],
          // Its own process group: only the demo receives Ctrl-C at the terminal, and then stops its processes.
          detached: true,
        });
      } finally {
        closeSync(log);
      }
      const started = child;
      started.on("error", () => undefined);
      while (!(await isHealthy())) {
        signal.throwIfAborted();
        if (!isAlive() || started.pid === undefined) throw new Error(`${name} ended\n${lastLines(logFile)}`);
        if (performance.now() - startedAt > START_MS_MAX) {
          throw new Error(`${name} is not ready after ${START_MS_MAX / 1000} s\n${lastLines(logFile)}`);
        }
        await sleep(HEALTH_POLL_MS);
      }
      return { pid: started.pid ?? 0, readyMs: performance.now() - startedAt };
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

/** SIGKILL to a process, which may have ended in the meantime. */
export function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Finds a port for a process that is restarted on it again and again. */
export async function findPort(): Promise<number> {
  for (let attempt = 0; attempt < PORT_ATTEMPTS_MAX; attempt++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
  throw new Error(`there is no free port between ${PORT_MIN} and ${PORT_MAX}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const probe = createServer();
    probe.once("error", () => settle(false));
    probe.listen({ host: HOST, port, exclusive: true }, () => probe.close(() => settle(true)));
  });
}

/** Without the settings of the user's own server: these processes must not use it or its database. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}

function lastLines(file: string): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
}
