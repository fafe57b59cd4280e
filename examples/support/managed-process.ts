/** A process of the demo's own: started until it answers, killed in the middle of its work, started again, ended in peace. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const REPOSITORY = resolve(import.meta.dirname, "../..");
export const HOST = "127.0.0.1";

/** Below the ports that systems give to outgoing connections (from 32768 on Linux): while the server is down its clients
 *  keep trying, and one of their own connections must not get its port. Above those of the embedded Postgres. */
const PORT_MIN = 31_000;
const PORT_MAX = 32_700;
const PORT_ATTEMPTS_MAX = 50;

const HEALTH_POLL_MS = 40;
/** A first start of a server makes a database and takes 2 s or 3 s; a slow disk may take much longer. */
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const LOG_LINES_SHOWN = 15;

export type ManagedProcess = {
  /** Starts it and returns once it is healthy. @throws {Error} with the end of its log if it does not get there */
  start: (signal: AbortSignal) => Promise<{ pid: number; readyMs: number }>;
  /** SIGKILL. Gives its pid; 0 if it does not run. Synchronous, so that it can be the last thing a process does. */
  kill: () => number;
  /** Ends it in peace, by force if that takes too long. */
  stop: () => Promise<void>;
};

export function createManagedProcess(options: {
  /** What people call it. */
  name: string;
  /** Of Node: the script and its arguments. */
  args: readonly string[];
  /** Set beside those of this process. */
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
          // A process group of its own: Ctrl-C at the terminal is for the demo, which then stops its processes.
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

/** SIGKILL to a process, which may have ended meanwhile. */
export function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A port for something that is started again and again on it. */
export async function findPort(): Promise<number> {
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

/** Settings of a server that the user runs would lead these processes to it, or to its database. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== "DATABASE_URL" && !name.startsWith("ABSTRACTRUNTIME_")),
  );
}

function lastLines(file: string): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
}
