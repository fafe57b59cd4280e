/** A server with its embedded Postgres, and a second server on that database: processes to be killed and restarted. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ambientEnvironment, REPOSITORY } from "../conformance/server.ts";

const MAIN = join(REPOSITORY, "server/src/main.ts");
const HOST = "127.0.0.1";
/**
 * Below the ports that systems use for outgoing connections, because one of those might take the port of a server that
 * is down, and above those of embedded Postgres.
 */
const PORT_MIN = 31_000;
const PORT_COUNT = 1_700;
const HEALTH_POLL_MS = 25;
/** A first start creates a database; a start after a crash replays its log; both on a busy machine. */
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
/** Killed processes end within milliseconds; the backends of the database notice at their next check. */
const GONE_MS_MAX = 10_000;
const POLL_MS = 20;

/**
 * The servers of a cluster. The first has the data directory; the second joins its database and runs only part of the
 * time.
 */
export type ServerName = "first" | "second";

export type Cluster = {
  /** The URLs of running servers, including one that was just killed and is being started. */
  urls(): string[];
  /** Starts a server and returns when it answers. @throws {Error} if it ends or does not answer */
  start(name: ServerName): Promise<void>;
  /** Kills a server with SIGKILL and returns after it is gone. */
  killServer(name: ServerName): Promise<void>;
  /** Kills the postmaster with SIGKILL. Returns whether there was one. */
  killDatabase(): boolean;
  /** Stops a server as an operator would. */
  stop(name: ServerName): Promise<void>;
  /** What the servers logged as errors or worse, or printed without the logger. */
  errors(): string[];
  /** The end of a server's log. */
  log(name: ServerName): string;
  /**
   * Kills what still runs, waits until no process of the directory is left, and removes it. Returns what did not end.
   */
  destroy(): Promise<string[]>;
};

type Server = { url: string; logFile: string; child?: ChildProcess; isWanted: boolean };

export async function createCluster(): Promise<Cluster> {
  const dataDir = mkdtempSync(join(tmpdir(), "crash-"));
  const servers: Record<ServerName, Server> = {
    first: await createSite(dataDir, "first"),
    second: await createSite(dataDir, "second"),
  };
  /** Database processes have the cluster's name in their command lines; the first postmaster shows it. */
  let clusterName: string | undefined;
  let isDestroyed = false;

  const isAlive = ({ child }: Server): boolean => child?.exitCode === null && child.signalCode === null;

  function postmaster(): number | undefined {
    const pid = Number(readText(join(dataDir, "postgres/data/postmaster.pid")).split("\n")[0]);
    if (!(pid > 1)) return undefined;
    // The file outlives a killed database, and another process may then get its pid.
    const name = /cluster_name=(\S+)/.exec(commandOf(pid))?.[1];
    if (name === undefined || (clusterName !== undefined && name !== clusterName)) return undefined;
    clusterName = name;
    return pid;
  }

  function leftovers(): { pid: number; command: string }[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map((name) => ({ pid: Number(name), command: commandOf(Number(name)) }))
      .filter(
        ({ command }) =>
          // Programs that somebody uses to look at the directory do not belong to the cluster.
          (command.includes(dataDir) && /main\.ts server|postgres|initdb/.test(command)) ||
          command.includes(`main.ts server --listen ${new URL(servers.second.url).host}`) ||
          (clusterName !== undefined && command.includes(clusterName)),
      );
  }

  // The last resort, if this process ends before it calls `destroy`.
  const killAll = (): void => {
    for (const server of Object.values(servers)) server.child?.kill("SIGKILL");
    postmaster();
    for (const { pid } of leftovers()) sendKill(pid);
  };
  process.once("exit", killAll);

  return {
    urls: () => Object.values(servers).flatMap(({ url, isWanted }) => (isWanted ? [url] : [])),

    async start(name) {
      const server = servers[name];
      if (isDestroyed) throw new Error("the cluster is gone");
      if (isAlive(server)) throw new Error(`the ${name} server runs already`);
      server.isWanted = true;
      const log = openSync(server.logFile, "a");
      const child = spawn(
        process.execPath,
        [MAIN, "server", "--listen", new URL(server.url).host, ...(name === "first" ? ["--data-dir", dataDir] : [])],
        {
          cwd: REPOSITORY,
          env: { ...ambientEnvironment(), ...(name === "first" ? {} : { DATABASE_URL: databaseUrl(dataDir) }) },
          stdio: ["ignore", log, log],
        },
      );
      closeSync(log);
      server.child = child;
      const startedAt = performance.now();
      while (!(await isHealthy(server.url))) {
        if (child.signalCode === "SIGKILL") return; // Killed while it started: whoever did that starts it again.
        if (!isAlive(server)) throw new Error(`the ${name} server ended by itself:\n${readText(server.logFile)}`);
        if (performance.now() - startedAt > START_MS_MAX) throw new Error(`the ${name} server does not answer`);
        await sleep(HEALTH_POLL_MS);
      }
      postmaster();
    },

    async killServer(name) {
      const server = servers[name];
      if (server.child === undefined || !isAlive(server)) return;
      const exited = once(server.child, "exit");
      server.child.kill("SIGKILL");
      await exited;
    },

    killDatabase() {
      const pid = postmaster();
      if (pid !== undefined) sendKill(pid);
      return pid !== undefined;
    },

    async stop(name) {
      const server = servers[name];
      server.isWanted = false;
      if (server.child === undefined || !isAlive(server)) return;
      const exited = once(server.child, "exit");
      server.child.kill("SIGTERM");
      const inTime = await Promise.race([exited.then(() => true), sleep(STOP_MS_MAX, false, { ref: false })]);
      if (!inTime) throw new Error(`the ${name} server does not stop`);
    },

    errors: () =>
      Object.values(servers).flatMap(({ logFile }) =>
        readText(logFile)
          .split("\n")
          .filter((line) => line !== "" && levelOf(line) >= LOG_ERROR),
      ),
    log: (name) => readText(servers[name].logFile),

    async destroy() {
      isDestroyed = true;
      killAll();
      process.off("exit", killAll);
      const until = performance.now() + GONE_MS_MAX;
      while (leftovers().length > 0 && performance.now() < until) {
        for (const { pid } of leftovers()) sendKill(pid);
        await sleep(POLL_MS);
      }
      const left = leftovers().map(({ pid, command }) => `${pid} ${command}`);
      rmSync(dataDir, { recursive: true, force: true });
      return left;
    },
  };
}

/** How a further server joins the database of a data directory, as the server that has it tells. */
function databaseUrl(dataDir: string): string {
  const read = (file: string) => readFileSync(join(dataDir, "postgres", file), "utf8").trim();
  return `postgres://abstractruntime:${read("password")}@${HOST}:${read("port")}/abstractruntime`;
}

async function createSite(dataDir: string, name: ServerName): Promise<Server> {
  return { url: `http://${HOST}:${await findPort()}`, logFile: join(dataDir, `${name}.log`), isWanted: false };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

async function findPort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = PORT_MIN + Math.floor(Math.random() * PORT_COUNT);
    const isFree = await new Promise<boolean>((settle) => {
      const probe = createServer();
      probe.once("error", () => settle(false));
      probe.listen({ host: HOST, port, exclusive: true }, () => probe.close(() => settle(true)));
    });
    if (isFree) return port;
  }
  throw new Error("no free port was found");
}

/** pino's level of an error: something that the server did not expect. */
const LOG_ERROR = 50;

function levelOf(line: string): number {
  try {
    return (JSON.parse(line) as { level?: number }).level ?? LOG_ERROR;
  } catch {
    return LOG_ERROR;
  }
}

function commandOf(pid: number): string {
  return readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // It ended by itself.
  }
}
