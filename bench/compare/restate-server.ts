/** Restate's server as a process, with an empty data directory of its own, and its configuration. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { plainEnvironment } from "../environment.ts";
import { NotDurableError } from "../postgres.ts";
import { lastLines, untilEnded } from "../program-process.ts";
import type { World } from "../world.ts";
import { restateProgram } from "./installation.ts";

export type RestateServer = {
  readonly pid: number;
  /** The URL for starting runs. */
  readonly ingressUrl: string;
  /** Registers a worker that it calls. */
  register(workerUrl: string): Promise<void>;
  stop(): Promise<void>;
};

type Ports = { node: number; ingress: number; admin: number };

/** At its first start it creates a cluster of itself. */
const START_MS_MAX = 60_000;
const START_POLL_MS = 100;

/** Each partition has its own log, and logs are not synced together: with 50 runs at a time on two cores, 1 partition
 *  did about 5,000 steps a second, 2 did 4,000, 4 did 3,100, 8 did 2,300 and the default of 24 did 1,400. A single run
 *  uses only one partition anyway. */
const PARTITIONS = 1;

/** The settings that make an acknowledged entry survive a power cut, as `--dump-config` prints them. Entries are in the
 *  log servers' logs; the partitions' storage is rebuilt from these, so it need not be synced. */
const DURABLE: Readonly<Record<string, string>> = {
  "bifrost.default-provider": '"replicated"',
  "log-server.rocksdb-disable-wal-fsync": "false",
};

/** Its defaults, except for one partition, and without costly features that are not needed here. */
function configuration({ dataDir, ports }: { dataDir: string; ports: Ports }): string {
  return `
base-dir = ${JSON.stringify(dataDir)}
node-name = "compare"
cluster-name = "compare"
listen-mode = "tcp"
bind-ip = "127.0.0.1"
bind-port = ${ports.node}
default-num-partitions = ${PARTITIONS}
log-filter = "warn"
log-format = "compact"
log-disable-ansi-codes = true
disable-telemetry = true
disable-prometheus = true
rocksdb-perf-level = "disable"

[ingress]
bind-port = ${ports.ingress}

[admin]
bind-port = ${ports.admin}
disable-web-ui = true

[worker.storage]
rocksdb-disable-statistics = true

[bifrost]
default-provider = "replicated"

[log-server]
rocksdb-disable-wal-fsync = false
rocksdb-disable-statistics = true
`;
}

/** Starts a server and returns once it accepts requests.
 *  @param name the name of its log and its folder
 *  @throws {NotDurableError} if its configuration allows it to lose acknowledged entries */
export async function startRestateServer(world: World, name: string): Promise<RestateServer> {
  const program = restateProgram();
  const dataDir = join(world.folder, `${name}-data`);
  mkdirSync(dataDir);
  const ports = await freePorts();
  const configFile = join(world.folder, `${name}.toml`);
  writeFileSync(configFile, configuration({ dataDir, ports }));
  // Without settings of the user's own Restate.
  const env = Object.fromEntries(
    Object.entries(plainEnvironment()).filter(
      ([variable]) => !variable.startsWith("RESTATE_") && variable !== "RUST_LOG",
    ),
  );
  const argv = ["--config-file", configFile, "--no-logo"];
  assertDurable(execFileSync(program, [...argv, "--dump-config"], { env, encoding: "utf8" }));
  const logFile = join(world.folder, `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(program, argv, { cwd: dataDir, env, stdio: ["ignore", log, log] });
  closeSync(log);
  world.atEnd(() => untilEnded(child));
  world.atEnd(() => void child.kill("SIGKILL"));
  child.on("error", () => undefined);
  const ended = once(child, "exit").then(() => {
    throw new Error(`${name} ended\n${lastLines(logFile)}`);
  });
  ended.catch(() => undefined);
  const adminUrl = `http://127.0.0.1:${ports.admin}`;
  const ingressUrl = `http://127.0.0.1:${ports.ingress}`;
  await Promise.race([ended, untilHealthy([`${adminUrl}/health`, `${ingressUrl}/restate/health`])]);
  return {
    pid: child.pid!,
    ingressUrl,
    async register(workerUrl) {
      const reply = await fetch(`${adminUrl}/deployments`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ uri: workerUrl }),
      });
      if (!reply.ok) throw new Error(`${name} does not accept the worker: ${await reply.text()}`);
    },
    async stop() {
      child.kill("SIGTERM");
      await untilEnded(child);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** @param dumped the server's effective configuration, in TOML. @throws {NotDurableError} */
export function assertDurable(dumped: string): void {
  const values = new Map<string, string>();
  let section = "";
  for (const line of dumped.split("\n")) {
    section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
    const [, key, value] = /^(\S+) = (.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) values.set(`${section}.${key}`, value);
  }
  for (const [setting, expected] of Object.entries(DURABLE)) {
    const value = values.get(setting);
    if (value !== expected)
      throw new NotDurableError(`Restate is not durable: ${setting} is ${value}; nothing was measured`);
  }
}

async function untilHealthy(urls: readonly string[]): Promise<void> {
  const endMs = performance.now() + START_MS_MAX;
  for (const url of urls) {
    while (
      !(await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ))
    ) {
      if (performance.now() > endMs) throw new Error(`${url} does not become healthy`);
      await sleep(START_POLL_MS);
    }
  }
}

/** Finds free ports. All are kept open until all are found, so that they differ. */
async function freePorts(): Promise<Ports> {
  const servers = Array.from({ length: 3 }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const [node, ingress, admin] = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return { node: node!, ingress: ingress!, admin: admin! };
}
