/** The real server as a process of its own, on a port of its own, for tests over the network. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/postgres.ts";

export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = fileURLToPath(new URL("../../server/src/main.ts", import.meta.url));

/** pino's level of an error: something that the server did not expect. */
const LOG_ERROR = 50;

export type ServerProcess = {
  /** The URL at which it listens, without a slash at the end. */
  url: string;
  port: number;
  pid: number;
  /** What it has logged so far at the level of an error or above. */
  errors(): string[];
  /** Waits until it has logged a line that contains this text. */
  logged(text: string): Promise<void>;
  /** Stops it as an operator would, and waits. */
  stop(): Promise<void>;
  /** Kills it with SIGKILL, and waits. */
  kill(): Promise<void>;
};

export type ServerOptions = {
  /** Environment variables of the server, added to an environment that has none of its settings. */
  env: Readonly<Record<string, string>>;
  /** The port; 0, the default, takes a free one. */
  port?: number;
};

/** Starts a server and waits until it listens. */
export async function startServerProcess({ env, port = 0 }: ServerOptions): Promise<ServerProcess> {
  const child = spawn(process.execPath, [MAIN, "server", "--listen", `127.0.0.1:${port}`], {
    cwd: REPOSITORY,
    env: { ...ambientEnvironment(), ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  const log = readLog(child);
  const url = await Promise.race([
    log.listening,
    exited.then(() => {
      throw new Error(`the server ended before it listened:\n${log.lines.join("\n")}`);
    }),
  ]);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await exited;
  };
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    errors: () => log.lines.filter((line) => levelOf(line) >= LOG_ERROR),
    logged: async (text) => {
      for (let at = 0; ; at++) {
        while (at >= log.lines.length) await once(log.grown, "line");
        if (log.lines[at]?.includes(text)) return;
      }
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
  };
}

/**
 * One server for the tests of the surrounding file, on a database of its own. A test fails if the server logs an error.
 */
export function useServer(env: Readonly<Record<string, string>> = {}): ServerProcess {
  let database: TestDatabase;
  let server: ServerProcess;
  beforeAll(async () => {
    database = await createTestDatabase();
    server = await startServerProcess({ env: { DATABASE_URL: database.url, ...env } });
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
    expect(server.errors()).toEqual([]);
  });
  return {
    get url() {
      return server.url;
    },
    get port() {
      return server.port;
    },
    get pid() {
      return server.pid;
    },
    errors: () => server.errors(),
    logged: (text) => server.logged(text),
    stop: () => server.stop(),
    kill: () => server.kill(),
  };
}

/** The environment of this process without settings of the server: a developer's shell must not change a test. */
export function ambientEnvironment(): Record<string, string | undefined> {
  const isSetting = (name: string) => name.startsWith("ABSTRACTRUNTIME_") || name === "DATABASE_URL";
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting(name)));
}

type Log = { lines: string[]; grown: EventEmitter; listening: Promise<string> };

function readLog(child: ChildProcess): Log {
  const lines: string[] = [];
  const grown = new EventEmitter();
  const { promise, resolve } = Promise.withResolvers<string>();
  let rest = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      lines.push(line);
      grown.emit("line");
      const entry = parseLine(line);
      if (entry.msg === "listening" && entry.url !== undefined) resolve(entry.url);
    }
  });
  return { lines, grown, listening: promise };
}

function levelOf(line: string): number {
  // A line that is not a log entry is printed by a crash.
  return parseLine(line).level ?? LOG_ERROR;
}

function parseLine(line: string): { level?: number; msg?: string; url?: string } {
  try {
    return JSON.parse(line) as { level?: number; msg?: string; url?: string };
  } catch {
    return {};
  }
}
