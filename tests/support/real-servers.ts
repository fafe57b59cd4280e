/**
 * Real servers for tests: Debian's Postgres, PgBouncer and nginx, each in a temporary folder and on a port of its own.
 * A test skips itself where a program cannot be had:
 *
 *   const programs = await findPrograms("postgres", "pgbouncer");
 *   describe.skipIf(programs.missing !== undefined)("…", () => { … await startPostgres(programs) … });
 *
 * `stop` ends a server. If the test run is killed, the guardian ends it (guardian.ts): its folder, which is in its
 * command line, lies in the run's temporary folder.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import postgres from "postgres";
import type { Program, ProgramName, Programs } from "./debian-programs.ts";

const HOST = "127.0.0.1";
/** How long a test waits for what must happen; reached only if it fails. */
const PATIENCE_MS = 60_000;
const POLL_MS = 10;
/** Users that exist to run a database, then the user that owns nothing. None of these programs runs as root. */
const ACCOUNT_NAMES = ["postgres", "_postgres", "nobody"];

/** The superuser's password. Roles that tests make get the same, so that URLs are short. */
export const PASSWORD = "secret";

/** A program that runs as a server. */
export type RealServer = {
  readonly port: number;
  /** Belongs to the account that runs the server; for certificates and the like. */
  readonly folder: string;
  readonly pid: number;
  /** What it has logged since its first start. */
  log(): string;
  /** Waits until the log has the text, behind what it had at `from`. Returns the log's length. */
  logged(text: string | RegExp, from?: number): Promise<number>;
  /** Writes its configuration anew, and has it read. */
  reload(settings: string): Promise<void>;
  /** Ends it, and starts it again on the same port. Default signal: the one of an orderly stop. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Ends it until `start` or `restart`. */
  end(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
  /** Holds all its processes (SIGSTOP): it is silent, and its connections stay open. */
  suspend(): void;
  resume(): void;
  /** Writes a file that its account can read, and nobody else. */
  write(name: string, content: string): Promise<string>;
  /** Ends it for good, and removes its folder. */
  stop(): Promise<void>;
};

export type Address = { user?: string; password?: string; database?: string; query?: string };

export type RealPostgres = RealServer & {
  /** A URL of this server; of the superuser and the database `postgres` if nothing else is said. */
  url(address?: Address): string;
  /** Runs statements as superuser. */
  admin(statements: string, database?: string): Promise<postgres.Row[]>;
  /** Creates a database with a random name, and returns the name. */
  createDatabase(options?: string): Promise<string>;
  /** Writes pg_hba.conf, and has it read. */
  setAccess(lines: string): Promise<void>;
};

const ACCESS = `
local all all scram-sha-256
host all all ${HOST}/32 scram-sha-256
host all all ::1/128 scram-sha-256
`;

/**
 * Starts an empty Postgres, which also listens on a Unix socket in its folder.
 * @param settings lines of postgresql.conf
 */
export async function startPostgres(programs: Programs, settings = ""): Promise<RealPostgres> {
  const program = programOf(programs, "postgres");
  const site = await openSite("postgres");
  const data = path.join(site.folder, "data");
  const passwordFile = await site.write("password", PASSWORD);
  const port = await freePort();
  const superuser = ["-U", "postgres", "--pwfile", passwordFile, "-A", "scram-sha-256"];
  const initdb = path.join(path.dirname(program.path), "initdb");
  site.run(initdb, program, ["-D", data, "--no-sync", "-E", "UTF8", "--locale=C", ...superuser]);
  const urlOf = (address: Address = {}) => databaseUrl(port, address);
  const access = (lines: string) => site.write("data/pg_hba.conf", lines);
  const admin = async (statements: string, database = "postgres"): Promise<postgres.Row[]> => {
    const sql = postgres(urlOf({ database }), { max: 1, onnotice: () => {} });
    try {
      return await sql.unsafe(statements);
    } finally {
      await sql.end();
    }
  };
  const isReady = () => admin("select 1").then(() => true);
  await access(ACCESS);
  const server = await runServer(program, site, {
    port,
    args: ["-D", data],
    // A fast shutdown. SIGTERM waits for the clients.
    stopSignal: "SIGINT",
    configure: (text) =>
      site.write(
        "data/postgresql.conf",
        `port = ${port}
listen_addresses = '${HOST}'
unix_socket_directories = '${site.folder}'
fsync = off
shared_buffers = 16MB
max_connections = 60
log_line_prefix = '%m [%p] %q%u@%d %a '
${text}
`,
      ),
    isReady,
    settings,
  });
  return Object.assign(server, {
    url: urlOf,
    admin,
    async createDatabase(options = "") {
      const name = `test_${randomBytes(6).toString("hex")}`;
      await admin(`create database ${name} ${options}`);
      return name;
    },
    async setAccess(lines: string) {
      await access(lines);
      const from = server.log().length;
      process.kill(server.pid, "SIGHUP");
      await server.logged("received SIGHUP", from);
    },
  });
}

export type RealPgBouncer = RealServer & { url(address?: Address): string };

/**
 * Starts PgBouncer in front of a Postgres, in transaction mode unless `settings` say otherwise. It knows the roles and
 * passwords of the Postgres.
 * @param settings lines of its section `pgbouncer`, such as `pool_mode = session`
 */
export async function startPgBouncer(programs: Programs, target: RealPostgres, settings = ""): Promise<RealPgBouncer> {
  const site = await openSite("pgbouncer");
  const port = await freePort();
  const users = await site.write("users.txt", `"postgres" "${PASSWORD}"\n`);
  const server = await runServer(programOf(programs, "pgbouncer"), site, {
    port,
    args: [path.join(site.folder, "pgbouncer.ini")],
    stopSignal: "SIGTERM",
    configure: (text) =>
      site.write(
        "pgbouncer.ini",
        `[databases]
* = host=${HOST} port=${target.port}
[pgbouncer]
listen_addr = ${HOST}
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
auth_user = postgres
default_pool_size = 20
max_client_conn = 200
${/^\s*pool_mode/m.test(text) ? "" : "pool_mode = transaction"}
${text}
`,
      ),
    isReady: () => accepts(port),
    settings,
  });
  return Object.assign(server, { url: (address: Address = {}) => databaseUrl(port, address) });
}

/**
 * Starts nginx with the given `server` block, in which `PORT` stands for its port. For gRPC say `listen 127.0.0.1:PORT
 * http2` and `grpc_pass`.
 */
export async function startNginx(programs: Programs, serverBlock: string): Promise<RealServer> {
  const site = await openSite("nginx");
  const port = await freePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${site.folder}/${kind};`)
    .join("\n");
  return await runServer(programOf(programs, "nginx"), site, {
    port,
    // Its prefix, so that the folder is in the command line of its processes.
    args: ["-p", site.folder, "-c", path.join(site.folder, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"],
    stopSignal: "SIGTERM",
    configure: (text) =>
      site.write(
        "nginx.conf",
        `worker_processes 1;
pid ${site.folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
access_log off;
${temporary}
${text.replaceAll("PORT", String(port))}
}
`,
      ),
    isReady: () => accepts(port),
    settings: serverBlock,
  });
}

/** A self-signed certificate for 127.0.0.1 and localhost, and its key, as PEM. */
export function makeCertificate(commonName = "localhost"): { cert: string; key: string } {
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "30",
  ];
  const names = ["-subj", `/CN=${commonName}`, "-addext", `subjectAltName=DNS:localhost,IP:${HOST}`];
  const pem = execFileSync("openssl", [...request, ...names, "-keyout", "-", "-out", "-"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [key = ""] = /-----BEGIN PRIVATE KEY-----[^]*?-----END PRIVATE KEY-----\n/.exec(pem) ?? [];
  return { key, cert: pem.replace(key, "") };
}

/** A folder that belongs to the account which runs the program, and what is done in it. */
type Site = {
  folder: string;
  account: { uid: number; gid: number } | undefined;
  write(name: string, content: string): Promise<string>;
  run(program: string, from: Program, args: readonly string[]): void;
};

async function openSite(name: string): Promise<Site> {
  // Short: the path of a Unix socket has at most 107 bytes.
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), `${name.slice(0, 2)}-`));
  const account = accountOf();
  if (account !== undefined) await fs.chown(folder, account.uid, account.gid);
  return {
    folder,
    account,
    async write(file, content) {
      const at = path.join(folder, file);
      await fs.writeFile(at, content, { mode: 0o600 });
      if (account !== undefined) await fs.chown(at, account.uid, account.gid);
      return at;
    },
    run(program, from, args) {
      execFileSync(program, args, {
        ...account,
        cwd: folder,
        env: environmentOf(from),
        stdio: ["ignore", "ignore", "pipe"],
      });
    },
  };
}

function accountOf(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const wanted of ACCOUNT_NAMES) {
    const user = users.find(([name]) => name === wanted);
    if (user !== undefined) return { uid: Number(user[2]), gid: Number(user[3]) };
  }
  throw new Error(`Postgres does not run as root, and none of the users ${ACCOUNT_NAMES.join(", ")} exists`);
}

/** Without PG… and LC_…, which would change what the programs do. */
function environmentOf({ libraries }: Program): NodeJS.ProcessEnv {
  const { PATH, TMPDIR } = process.env;
  return { PATH, TMPDIR, LC_ALL: "C", TZ: "UTC", ...(libraries === "" ? {} : { LD_LIBRARY_PATH: libraries }) };
}

type ServerOptions = {
  port: number;
  args: readonly string[];
  stopSignal: NodeJS.Signals;
  /** Writes the configuration with the test's own lines. */
  configure(settings: string): Promise<unknown>;
  isReady(): Promise<boolean>;
  settings: string;
};

async function runServer(program: Program, site: Site, options: ServerOptions): Promise<RealServer> {
  const { port, args, stopSignal, configure, isReady, settings } = options;
  const logFile = path.join(site.folder, "log");
  await site.write("log", "");
  await configure(settings);
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const log = openSync(logFile, "a");
    child = spawn(program.path, args, {
      ...site.account,
      cwd: site.folder,
      env: environmentOf(program),
      stdio: ["ignore", log, log],
      // A signal to the test's process group must not reach it.
      detached: true,
    });
    closeSync(log);
    const { exitCode } = child;
    await waitFor(() => {
      if (child?.exitCode !== exitCode) throw new Error(`${program.path} has ended:\n${server.log()}`);
      return isReady().catch(() => false);
    });
  }

  async function end(signal: NodeJS.Signals = stopSignal): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    // A process that is held takes no other signal.
    server.resume();
    child.kill(signal);
    await ended;
  }

  const signalAll = (signal: NodeJS.Signals): void => {
    for (const pid of processesBelow(child?.pid ?? 0)) process.kill(pid, signal);
  };
  const server: RealServer = {
    port,
    folder: site.folder,
    get pid() {
      return child?.pid ?? 0;
    },
    log: () => readFileSync(logFile, "utf8"),
    async logged(text, from = 0) {
      const isThere = (log: string) => (typeof text === "string" ? log.includes(text) : text.test(log));
      await waitFor(() => Promise.resolve(isThere(server.log().slice(from))));
      return server.log().length;
    },
    async reload(text) {
      await configure(text);
      const from = server.log().length;
      child?.kill("SIGHUP");
      // nginx logs nothing of it at this level.
      if (!program.path.endsWith("nginx")) await server.logged(/SIGHUP/, from);
    },
    async restart(signal) {
      await end(signal);
      await start();
    },
    end,
    start,
    suspend: () => signalAll("SIGSTOP"),
    resume: () => signalAll("SIGCONT"),
    write: site.write,
    async stop() {
      await end();
      await fs.rm(site.folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** A process and everything that it has started. */
function processesBelow(pid: number): number[] {
  let children: string;
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  } catch {
    return []; // It has ended.
  }
  return [
    pid,
    ...children
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .flatMap((child) => processesBelow(Number(child))),
  ];
}

function programOf({ found, missing }: Programs, name: ProgramName): Program {
  const program = found.get(name);
  if (program === undefined) throw new Error(missing ?? `ask findPrograms for ${name} first`);
  return program;
}

function databaseUrl(port: number, { user, password, database, query }: Address): string {
  const login = `${encodeURIComponent(user ?? "postgres")}:${encodeURIComponent(password ?? PASSWORD)}`;
  return `postgres://${login}@${HOST}:${port}/${database ?? "postgres"}${query === undefined ? "" : `?${query}`}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, HOST);
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}

async function waitFor(holds: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > until) throw new Error("a real server did not do what the test waits for");
    await pause(POLL_MS);
  }
}
