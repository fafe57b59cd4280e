/** The server's configuration: environment variables, and command line options that override them. */
import { type EngineSettings, SETTINGS_DEFAULT } from "./engine/settings.ts";
import { hostOf, isLoopbackHost } from "./rpc/access.ts";
import type { RpcConfig } from "./rpc/server.ts";
import { CONNECTIONS_DEFAULT, CONNECTIONS_MAX, CONNECTIONS_MIN } from "./store/postgres/connections.ts";
import { defined } from "./core/defined.ts";
import { completeUrl, DatabaseUrlError, parseAddress } from "./store/postgres/address.ts";
import { readRegularFile } from "./regular-file.ts";

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type Config = RpcConfig & {
  /** Where the embedded Postgres keeps its data, if there is no `databaseUrl`. If absent, in a temporary folder that
   *  the server removes when it stops. */
  dataDir?: string;
  databaseUrl?: string;
  /** For migrations and LISTEN, which do not work through a pooler. Default: `databaseUrl`. */
  databaseDirectUrl?: string;
  insecure: boolean;
  /** Whether a program started the server for its own use. The server then writes its URL to stdout, and stops when
   *  stdin ends, which also happens when that program ends. */
  attached: boolean;
  logLevel: LogLevel;
  /** The number of lanes, which are ordered streams of commit batches. */
  lanes: number;
  /** The most connections to the database. */
  databaseConnections: number;
  /** Whether statements are prepared once and kept. Default: not through a pooler in transaction mode. */
  preparedStatements?: boolean;
  workerTiming: WorkerTiming;
};

/** How soon a lost worker is detected, in milliseconds; `EngineSettings` documents each. */
export type WorkerTiming = Pick<EngineSettings, "pingMs" | "silenceMs" | "acceptMs" | "reconnectMs" | "orphanMs">;

/** An invalid setting. `variable` is the environment variable, even if the value came from a command line option. */
export class ConfigError extends Error {
  readonly variable: string;

  constructor(variable: string, message: string) {
    super(`${variable}: ${message}`);
    this.name = "ConfigError";
    this.variable = variable;
  }
}

const LISTEN_DEFAULT = "127.0.0.1:7400";
const DATA_DIR_DEFAULT = ".abstractruntime";
const LANES_MAX = 64;
/** Below this, workers would count as lost because a process was busy. Workers accept no shorter silence either. */
const WORKER_TIMING_MS_MIN = 100;
/** Above this, a lost worker's job would be stuck for longer than users are willing to wait. */
const WORKER_TIMING_MS_MAX = 600_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** Loads the configuration. An empty variable counts as absent.
 *  @throws {ConfigError} naming the variable */
export function loadConfig(environment: Environment): Config {
  const read = (variable: string): string | undefined => environment[variable]?.trim() || undefined;
  const listen = parseListen(read("ABSTRACTRUNTIME_LISTEN") ?? LISTEN_DEFAULT);
  const insecure = parseSwitch("ABSTRACTRUNTIME_INSECURE", read("ABSTRACTRUNTIME_INSECURE"), false);
  assertExposure(listen.host, insecure);
  const databaseUrl = readDatabaseUrl("DATABASE_URL", environment);
  const databaseDirectUrl = readDatabaseUrl("ABSTRACTRUNTIME_DATABASE_DIRECT_URL", environment);
  const tls = readTls(read("ABSTRACTRUNTIME_TLS_CERT"), read("ABSTRACTRUNTIME_TLS_KEY"));
  const dataDir = readDataDir(read);
  return {
    listen,
    hosts: parseList(read("ABSTRACTRUNTIME_HOSTS")).map(parseHost),
    origins: parseList(read("ABSTRACTRUNTIME_ORIGINS")).map(parseOrigin),
    ...defined({ tls, dataDir, databaseUrl, databaseDirectUrl, preparedStatements: readPrepared(read) }),
    insecure,
    attached: parseSwitch("ABSTRACTRUNTIME_ATTACHED", read("ABSTRACTRUNTIME_ATTACHED"), false),
    logLevel: parseLogLevel(read("ABSTRACTRUNTIME_LOG_LEVEL") ?? "info"),
    lanes: parseLanes(read("ABSTRACTRUNTIME_LANES")),
    databaseConnections: parseConnections(read("ABSTRACTRUNTIME_DATABASE_CONNECTIONS")),
    workerTiming: readWorkerTiming(read),
  };
}

function readDataDir(read: (variable: string) => string | undefined): string | undefined {
  const dataDir = read("ABSTRACTRUNTIME_DATA_DIR");
  const variable = "ABSTRACTRUNTIME_TEMPORARY";
  if (!parseSwitch(variable, read(variable), false)) return dataDir ?? DATA_DIR_DEFAULT;
  if (dataDir === undefined) return undefined;
  throw new ConfigError(
    variable,
    "uses a new folder, so it cannot be combined with a data directory (ABSTRACTRUNTIME_DATA_DIR)",
  );
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new ConfigError(
      "ABSTRACTRUNTIME_LISTEN",
      `${quoted(text)} must be host:port, such as 127.0.0.1:7400 or [::1]:0`,
    );
  }
  return { host, port };
}

function assertExposure(host: string, insecure: boolean): void {
  if (insecure || isLoopbackHost(host.toLowerCase())) return;
  const message =
    `${host} is not a loopback address, and this release has no authentication yet: anyone who can reach the port has ` +
    "full access. Put an authenticating proxy in front, or, if the network is trusted, set --insecure " +
    "(ABSTRACTRUNTIME_INSECURE=on).";
  throw new ConfigError("ABSTRACTRUNTIME_LISTEN", message);
}

function readDatabaseUrl(variable: string, environment: Environment): string | undefined {
  const text = environment[variable]?.trim();
  if (text === undefined || text === "") return undefined;
  try {
    const url = completeUrl(text, environment);
    parseAddress(url);
    return url;
  } catch (error) {
    // The message never includes the text, which contains a password.
    if (error instanceof DatabaseUrlError) throw new ConfigError(variable, error.message);
    throw error;
  }
}

function readPrepared(read: (variable: string) => string | undefined): boolean | undefined {
  const variable = "ABSTRACTRUNTIME_PREPARED_STATEMENTS";
  const text = read(variable);
  return text === undefined ? undefined : parseSwitch(variable, text, true);
}

function parseSwitch(variable: string, text: string | undefined, fallback: boolean): boolean {
  switch (text?.toLowerCase()) {
    case undefined:
      return fallback;
    case "true":
    case "on":
    case "1":
      return true;
    case "false":
    case "off":
    case "0":
      return false;
    default:
      throw new ConfigError(variable, `${quoted(text ?? "")} must be on or off`);
  }
}

function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === text);
  if (level === undefined) {
    throw new ConfigError("ABSTRACTRUNTIME_LOG_LEVEL", `${quoted(text)} must be one of ${LOG_LEVELS.join(", ")}`);
  }
  return level;
}

function parseLanes(text: string | undefined): number {
  if (text === undefined) return SETTINGS_DEFAULT.lanes;
  const lanes = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (lanes < 1 || lanes > LANES_MAX) {
    throw new ConfigError("ABSTRACTRUNTIME_LANES", `${quoted(text)} must be a number from 1 to ${LANES_MAX}`);
  }
  return lanes;
}

function parseConnections(text: string | undefined): number {
  if (text === undefined) return CONNECTIONS_DEFAULT;
  const connections = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
  if (connections < CONNECTIONS_MIN || connections > CONNECTIONS_MAX) {
    const bounds = `from ${CONNECTIONS_MIN} to ${CONNECTIONS_MAX}`;
    const why = "one each for the lease, for notices, for commits and for everything else";
    throw new ConfigError(
      "ABSTRACTRUNTIME_DATABASE_CONNECTIONS",
      `${quoted(text)} must be a number ${bounds} (at least ${why})`,
    );
  }
  return connections;
}

function readWorkerTiming(read: (variable: string) => string | undefined): WorkerTiming {
  const parse = (variable: string, fallback: number): number => parseMilliseconds(variable, read(variable), fallback);
  const timing = {
    pingMs: parse("ABSTRACTRUNTIME_WORKER_PING_MS", SETTINGS_DEFAULT.pingMs),
    silenceMs: parse("ABSTRACTRUNTIME_WORKER_SILENCE_MS", SETTINGS_DEFAULT.silenceMs),
    acceptMs: parse("ABSTRACTRUNTIME_WORKER_ACCEPT_MS", SETTINGS_DEFAULT.acceptMs),
    reconnectMs: parse("ABSTRACTRUNTIME_WORKER_RECONNECT_MS", SETTINGS_DEFAULT.reconnectMs),
    orphanMs: parse("ABSTRACTRUNTIME_WORKER_ORPHAN_MS", SETTINGS_DEFAULT.orphanMs),
  };
  const { pingMs, silenceMs } = timing;
  if (silenceMs <= pingMs) {
    const message = `${silenceMs} must be more than ABSTRACTRUNTIME_WORKER_PING_MS (${pingMs}): idle workers would be dropped`;
    throw new ConfigError("ABSTRACTRUNTIME_WORKER_SILENCE_MS", message);
  }
  return timing;
}

function parseMilliseconds(variable: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const milliseconds = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (milliseconds < WORKER_TIMING_MS_MIN || milliseconds > WORKER_TIMING_MS_MAX) {
    const bounds = `${WORKER_TIMING_MS_MIN} to ${WORKER_TIMING_MS_MAX}`;
    throw new ConfigError(variable, `${quoted(text)} must be a whole number of milliseconds from ${bounds}`);
  }
  return milliseconds;
}

function parseList(text: string | undefined): string[] {
  return (text ?? "").split(",").flatMap((item) => item.trim() || []);
}

function parseHost(text: string): string {
  const host = hostOf(text.includes(":") && !text.startsWith("[") ? `[${text}]` : text);
  if (host === undefined || /\]:|:[0-9]+$/.test(text.replace(/^[0-9a-fA-F:]+$/, ""))) {
    throw new ConfigError("ABSTRACTRUNTIME_HOSTS", `${quoted(text)} must be a host name without a port`);
  }
  return host;
}

function parseOrigin(text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : undefined;
  if (origin !== text || !/^https?:/.test(text)) {
    throw new ConfigError(
      "ABSTRACTRUNTIME_ORIGINS",
      `${quoted(text)} must be an origin such as https://app.example.com`,
    );
  }
  return origin;
}

function readTls(certFile: string | undefined, keyFile: string | undefined): { cert: string; key: string } | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined;
  const cert = readPem("ABSTRACTRUNTIME_TLS_CERT", certFile, "CERTIFICATE");
  const key = readPem("ABSTRACTRUNTIME_TLS_KEY", keyFile, "PRIVATE KEY");
  return { cert, key };
}

/** A chain of certificates has some kilobytes. */
const PEM_BYTES_MAX = 1024 * 1024;

function readPem(variable: string, file: string | undefined, label: string): string {
  if (file === undefined) throw new ConfigError(variable, "is missing: TLS needs both a certificate and its key");
  let pem: string;
  try {
    pem = readRegularFile(file, PEM_BYTES_MAX).toString();
  } catch (error) {
    throw new ConfigError(variable, `cannot be read: ${(error as Error).message}`);
  }
  if (!pem.includes(`${label}-----`))
    throw new ConfigError(variable, `${quoted(file)} contains no PEM ${label.toLowerCase()}`);
  return pem;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
