import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import postgres from "postgres";

import { ADMIN_ROLE, type Cluster, dataArgument, openCluster } from "./cluster.ts";
import { type DatabaseLog, DatabaseSetupError, describeDatabaseError, errorCode } from "./database-error.ts";
import { endWhenIdle, IDLE_END_MS, WATCH_NAME } from "./idle-end.ts";
import { orphansOf, postmasterState, processExists, signalProcess } from "./processes.ts";
import { lastLines, spawnSettings } from "./programs.ts";

/**
 * A Postgres that one server starts, keeps running and stops.
 *
 * There are two locks. A kill releases both, so neither can be stale:
 * - Which *postmaster* runs on the data is decided by Postgres: `postmaster.pid` and its shared memory admit one. A
 *   server that finds none running starts one; a server that loses that race connects to the winner's.
 * - Which *server* has the data directory is decided in the database: it holds an advisory lock on a session of its
 *   own. Every other server is refused; the message has the URL under which it can use this database.
 *
 * After SIGKILL of the server the database continues to run for a while, and the end of the session releases the lock:
 * the next server takes the running database over, or waits for its end and starts it again. If nobody is connected for
 * 30 s, the database ends by itself (idle-end.ts); a server that was killed before it had its session leaves it to the
 * next one. After SIGKILL of the database its server sees the session close and restarts
 * it on the same port, so that pools with the old URL find it. If another server starts on the directory at that
 * moment, one of the two gets the lock and the other is refused. After SIGKILL of both, Postgres handles its leftovers
 * (pid file, shared memory, half-written WAL) at the next start. This file handles two exceptions: a living process has
 * the pid of the dead postmaster, or old server processes do not end.
 *
 * All this works on one machine only. Postgres cannot see a postmaster in another container or on another machine, so
 * they must not share a data directory: servers there use DATABASE_URL.
 */
export type EmbeddedPostgres = {
  /** For clients: a role that owns the database and nothing else. Stays the same when the database is restarted. */
  readonly url: string;
  /** For the superuser, in the database `postgres`. */
  readonly adminUrl: string;
  /** The postmaster that was last connected to. */
  readonly pid: number;
  /** Settles only if the database was lost and cannot be restarted without an operator; the server should then stop. */
  readonly failed: Promise<DatabaseSetupError>;
  /** Stops the database. Close the pools first. Never rejects; a second call returns the promise of the first. */
  stop(): Promise<void>;
};

export type EmbeddedPostgresOptions = {
  /** Created if missing. The database is in its folder `postgres`. */
  dataDir: string;
  log: DatabaseLog;
  /** The only TCP port to use. Default: the port that was used last, else one derived from the directory's name, else a
   *  free port after it. */
  port?: number;
  /** Aborts the start; its reason is thrown, and nothing is left running. */
  signal?: AbortSignal;
  /** How long the database outlives its server while nobody is connected; tests shorten it. */
  idleEndMs?: number;
  /** Tests only: no flush to disk, so a power cut loses data; killed processes lose none. */
  unsafeForTests?: boolean;
};

const HOST = "127.0.0.1";
const DATABASE = "abstractruntime";
const ROLE = "abstractruntime";

/** An advisory lock in the database `postgres`. Its holder owns the data directory. */
const OWNER_LOCK = 7400_01;

/** Ports begin here, below the ports that systems use for outgoing connections (from 32768 on Linux, 49152 elsewhere).
 *  So the port of a stopped database is seldom taken when it is restarted. */
const PORT_MIN = 15_432;
const PORT_COUNT = 15_000;
/** If more ports in a row are taken, something else is wrong. */
const PORT_ATTEMPTS_MAX = 50;

/** A start takes about 100 ms; a poll costs a small read. */
const POLL_MS = 20;
/** How often the log mentions something that takes long. */
const REMINDER_MS = 5_000;
/** How long the lock may be taken before this server is refused. Postgres notices the end of a killed server's session
 *  within milliseconds, or later on a busy machine; a server that is stopping also needs time. */
const OWNER_END_MS = 2_000;
/** If a postmaster ends by itself this often in a row, another try will not help. */
const START_ATTEMPTS_MAX = 3;
/** The pause between attempts to restart a lost database. */
const RECOVERY_MS_MIN = 250;
const RECOVERY_MS_MAX = 5_000;
/** A pid file is written at once; a file that stays incomplete this long was left by a crash. */
const DAMAGED_PID_FILE_MS = 2_000;
/** Old server processes end within milliseconds, unless they are busy. Killing them is safe: their uncommitted work was
 *  lost with their postmaster. */
const ORPHANS_KILL_MS = 1_000;
const ORPHANS_WAIT_MS = 60_000;
/** A fast shutdown writes a checkpoint; after this time it becomes immediate, and the next start replays the WAL. */
const STOP_FAST_MS = 60_000;
const STOP_IMMEDIATE_MS = 10_000;
/** The pause before a lost session that watches for clients is opened again. */
const WATCH_AGAIN_MS = 1_000;
/** A larger log is emptied when the database starts. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** Enough of the log for the messages of one failed start. */
const LOG_TAIL_BYTES = 64 * 1024;

/**
 * Starts the embedded Postgres of a data directory, or takes over the one that a killed server left, and keeps it
 * running. Returns when it accepts connections. Replay after a crash may take a while, which is logged.
 * @throws {DatabaseSetupError} DATA_DIR_IN_USE if another server has the directory; DATA_DIR_UNUSABLE,
 *   BINARIES_UNUSABLE, PORT_UNAVAILABLE, LOGIN_REFUSED, START_FAILED
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, log, signal, unsafeForTests = false } = options;
  signal?.throwIfAborted();
  const cluster = await openCluster({ dataDir, log, unsafeForTests, signal: signal ?? new AbortController().signal });
  const supervisor = new Supervisor(cluster, options);
  await supervisor.start(signal);
  return supervisor;
}

/** The session that holds the lock, and the pid of its postmaster. */
type Session = { sql: postgres.Sql; pid: number };

/** A postmaster that this process has spawned but not connected to yet, and where its messages begin in the log. */
type Child = { pid: number; logOffset: number; hasEnded: boolean };

type PidFile =
  | { state: "absent" }
  | { state: "damaged"; text: string }
  /** `gone`: its process is dead. `foreign`: its pid now belongs to another process. */
  | { state: "running" | "gone" | "foreign"; text: string; pid: number; port: number; ready: boolean };

/** The state of one start or recovery. */
type Attempt = {
  ports: number[];
  failuresLeft: number;
  /** Logs a message that every poll repeats, but only once in a while. */
  notice(message: string): void;
  /** Returns whether a condition, which every poll reports, has lasted longer than `boundMs`. */
  hasLasted(condition: "owned" | "damaged" | "orphans", boundMs: number): boolean;
};

class Supervisor implements EmbeddedPostgres {
  readonly failed: Promise<DatabaseSetupError>;
  readonly #cluster: Cluster;
  readonly #pidFile: string;
  readonly #portFile: string;
  readonly #logFile: string;
  readonly #log: DatabaseLog;
  readonly #unsafeForTests: boolean;
  readonly #fixedPort: number | undefined;
  readonly #idleEndMs: number;
  readonly #stopping = new AbortController();
  readonly #fail: (error: DatabaseSetupError) => void;
  #session: Session | undefined;
  #child: Child | undefined;
  #recovery: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** Fixed by the first session: the URL must not change. */
  #port: number | undefined;
  /** 0 before the first session, and if another server has the directory. */
  #pid = 0;
  /** The last postmaster that was a child of this process. */
  #spawnedPid = 0;

  constructor(cluster: Cluster, options: EmbeddedPostgresOptions) {
    this.#cluster = cluster;
    this.#pidFile = path.join(cluster.dataFolder, "postmaster.pid");
    this.#portFile = path.join(cluster.folder, "port");
    this.#logFile = path.join(cluster.folder, "postgres.log");
    this.#log = options.log;
    this.#unsafeForTests = options.unsafeForTests ?? false;
    this.#fixedPort = options.port;
    this.#idleEndMs = options.idleEndMs ?? IDLE_END_MS;
    const { promise, resolve } = Promise.withResolvers<DatabaseSetupError>();
    this.failed = promise;
    this.#fail = resolve;
  }

  get url(): string {
    return `postgres://${ROLE}:${this.#cluster.password}@${HOST}:${this.#port}/${DATABASE}`;
  }

  get adminUrl(): string {
    return `postgres://${ADMIN_ROLE}:${this.#cluster.password}@${HOST}:${this.#port}/postgres`;
  }

  get pid(): number {
    return this.#pid;
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const cut = () => this.#stopping.abort(signal?.reason);
    signal?.addEventListener("abort", cut);
    process.on("exit", this.#signalStop);
    try {
      await this.#bringUp();
      signal?.throwIfAborted();
    } catch (error) {
      await this.stop();
      signal?.throwIfAborted();
      if (error instanceof DatabaseSetupError) throw error;
      const { folder } = this.#cluster;
      const message = `the embedded database in ${folder} does not start: ${describeDatabaseError(error)}`;
      throw new DatabaseSetupError("START_FAILED", message, { cause: error });
    } finally {
      signal?.removeEventListener("abort", cut);
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop().catch((error: unknown) => {
      this.#log.error(`the embedded database was not stopped cleanly: ${describeDatabaseError(error)}`);
    });
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#recovery;
    await this.#endPostmaster(this.#postmaster());
    process.off("exit", this.#signalStop);
    // Last: the next server must find the lock taken until the database has ended.
    const session = this.#session;
    this.#session = undefined;
    await session?.sql.end({ timeout: 0 });
  }

  /** The postmaster that must end with this server; 0 if there is none. */
  #postmaster(): number {
    return this.#child?.pid ?? this.#pid;
  }

  /** The last resort if the process exits without stopping the database: tells it to stop, without waiting. */
  readonly #signalStop = (): void => this.#ask(this.#postmaster(), "SIGINT");

  #ask(pid: number, signal: NodeJS.Signals): void {
    if (pid > 0 && postmasterState(pid, this.#cluster) === "running") signalProcess(pid, signal);
  }

  /** Stops the postmaster, if `pid` still is one: with a fast shutdown, which is clean; if that takes too long, with an
   *  immediate shutdown, which is safe. */
  async #endPostmaster(pid: number): Promise<void> {
    this.#ask(pid, "SIGINT");
    if (await this.#hasEnded(pid, STOP_FAST_MS)) return;
    this.#log.warn(
      "the embedded database takes too long to stop; it is stopped immediately and will recover at its next start",
    );
    this.#ask(pid, "SIGQUIT");
    if (await this.#hasEnded(pid, STOP_IMMEDIATE_MS)) return;
    this.#log.error(`the embedded database (pid ${pid}) does not stop`);
  }

  async #hasEnded(pid: number, boundMs: number): Promise<boolean> {
    const until = performance.now() + boundMs;
    // A process that is ending loses its command line before it is gone. The end of our own child can be observed
    // exactly.
    const isThere = () =>
      pid === this.#spawnedPid ? processExists(pid) : postmasterState(pid, this.#cluster) === "running";
    while (pid > 0 && isThere()) {
      if (performance.now() >= until) return false;
      await pause(POLL_MS);
    }
    return true;
  }

  /**
   * Polls and acts until this server has its session: connects to a running postmaster, waits for one that starts or
   * stops, cleans up after a crash, or starts a postmaster. Each turn decides from the current state only, so other
   * servers may act at the same time.
   */
  async #bringUp(): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    const attempt = createAttempt(this.#log, await this.#portCandidates());
    for (; ; await this.#pause()) {
      const pidFile = await this.#readPidFile();
      if (pidFile.state === "running") {
        if (!pidFile.ready) attempt.notice("waiting for the embedded database, which is starting or stopping");
        else if (await this.#takeOver(pidFile, attempt)) return;
      } else if (this.#child !== undefined) {
        // A child that has not ended has not written its pid file yet.
        if (this.#child.hasEnded) await this.#judgeFailure(this.#child, attempt);
      } else if (pidFile.state === "damaged" || pidFile.state === "foreign") {
        // Postgres would trust these. It removes the pid file of a dead process itself, which is safer.
        if (pidFile.state === "damaged" && !attempt.hasLasted("damaged", DAMAGED_PID_FILE_MS)) continue;
        this.#log.info("removing the pid file that a killed database left");
        await this.#removePidFile(pidFile.text);
      } else if (!this.#findOrphans(attempt)) {
        await this.#spawnPostmaster(attempt.ports[0] ?? PORT_MIN);
      }
    }
  }

  /** Opens the session and takes the lock. Returns false if that may succeed later.
   *  @throws {DatabaseSetupError} DATA_DIR_IN_USE, LOGIN_REFUSED */
  async #takeOver({ pid, port }: { pid: number; port: number }, attempt: Attempt): Promise<boolean> {
    // This server always uses one port, so a database on another port belongs to another server.
    if (this.#port !== undefined && port !== this.#port) throw this.#inUse(port);
    let isClosed = false;
    const sql = this.#connect(port, "abstractruntime supervisor", () => {
      isClosed = true;
      this.#onClose(sql);
    });
    try {
      const [row] = await sql<{ name: string; isOwner: boolean }[]>`
        select current_setting('cluster_name') as name, pg_try_advisory_lock(${OWNER_LOCK}::bigint) as "isOwner"`;
      if (row?.name !== this.#cluster.name) {
        const message = `the database on port ${port} was not started by a server from ${this.#cluster.folder}`;
        throw new DatabaseSetupError("DATA_DIR_IN_USE", `${message}: stop it, or use another data directory`);
      }
      if (row.isOwner) {
        await prepareDatabase(sql, this.#cluster.password);
        this.#stopping.signal.throwIfAborted();
        await this.#remember(port);
        // The connection may have been closed before it became the watched session.
        if (isClosed) return false;
        this.#session = { sql, pid };
        this.#child = undefined;
        this.#pid = pid;
        this.#port = port;
        this.#endWhenIdle(sql, port).catch(() => undefined); // Never rejects.
        return true;
      }
      if (attempt.hasLasted("owned", OWNER_END_MS)) throw this.#inUse(port);
      return false;
    } catch (error) {
      if (error instanceof DatabaseSetupError || this.#stopping.signal.aborted) throw error;
      if (["28P01", "28000", "SASL_SIGNATURE_MISMATCH"].includes(errorCode(error))) {
        const file = path.join(this.#cluster.folder, "password");
        throw new DatabaseSetupError("LOGIN_REFUSED", `the embedded database refuses the password in ${file}`);
      }
      attempt.notice(`waiting for the embedded database: ${describeDatabaseError(error)}`);
      return false;
    } finally {
      if (this.#session?.sql !== sql) await sql.end({ timeout: 0 });
    }
  }

  /** Opens a session for the superuser, on one connection. */
  #connect(port: number, name: string, onclose: () => void): postgres.Sql {
    return postgres({
      host: HOST,
      port,
      user: ADMIN_ROLE,
      password: this.#cluster.password,
      database: "postgres",
      ssl: false,
      max: 1,
      fetch_types: false,
      prepare: false,
      connect_timeout: 5,
      // Otherwise the client would replace the connection after a while, and the lock would be lost unnoticed.
      max_lifetime: null,
      idle_timeout: 0,
      connection: { application_name: name },
      onnotice: () => {},
      onclose,
    });
  }

  /** Lets the database end by itself if this server is killed; for as long as this server owns it with `session`. */
  async #endWhenIdle(session: postgres.Sql, port: number): Promise<void> {
    while (this.#session?.sql === session && !this.#stopping.signal.aborted) {
      const sql = this.#connect(port, WATCH_NAME, () => undefined);
      try {
        await endWhenIdle(sql, this.#idleEndMs);
      } catch (error) {
        // The database has ended, or somebody has ended the session.
        const isLost = this.#session?.sql === session && !this.#stopping.signal.aborted;
        if (isLost) this.#log.warn(`the session that watches for clients was lost: ${describeDatabaseError(error)}`);
      } finally {
        await sql.end({ timeout: 0 }).catch(() => undefined);
      }
      await this.#pause(WATCH_AGAIN_MS).catch(() => undefined);
    }
  }

  /** Gives up the database, which another server owns, and returns the refusal. It names the password's file instead of
   *  the password, because messages are logged. */
  #inUse(port: number): DatabaseSetupError {
    this.#child = undefined;
    this.#pid = 0;
    const { folder } = this.#cluster;
    const file = `'${path.join(folder, "password").replaceAll("'", String.raw`'\''`)}'`;
    return new DatabaseSetupError(
      "DATA_DIR_IN_USE",
      `another server uses the data directory ${path.dirname(folder)}; only one server can use it at a time.\n` +
        "Stop that server, use another data directory, or connect this server to the other one's database:\n" +
        `  DATABASE_URL="postgres://${ROLE}:$(cat ${file})@${HOST}:${port}/${DATABASE}"`,
    );
  }

  #onClose(sql: postgres.Sql): void {
    if (this.#session?.sql !== sql) return;
    this.#session = undefined;
    sql.end({ timeout: 0 }).catch(() => {});
    if (this.#stopping.signal.aborted) return;
    this.#log.warn("the connection to the embedded database was lost");
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    for (let retryMs = RECOVERY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RECOVERY_MS_MAX)) {
      try {
        await this.#bringUp();
        this.#log.info(`the embedded database is back (pid ${this.#pid}, port ${this.#port})`);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // A failed start may succeed later (disk full, memory short). A folder that another server owns will not.
        const isFinal = error instanceof DatabaseSetupError && error.reason !== "START_FAILED";
        this.#log.error(`the embedded database cannot be brought back: ${describeDatabaseError(error)}`);
        if (isFinal) return this.#fail(error);
        await this.#pause(retryMs).catch(() => {});
      }
    }
  }

  async #spawnPostmaster(port: number): Promise<void> {
    const cluster = this.#cluster;
    const log = await openOwnFile(this.#logFile, constants.O_APPEND);
    const data = cluster.viaDescriptor ? openSync(cluster.dataFolder, "r") : undefined;
    try {
      if ((await log.stat()).size > LOG_BYTES_MAX) await log.truncate();
      const logOffset = (await log.stat()).size;
      const settings = {
        ...lastingSettings,
        ...(this.#unsafeForTests ? unsafeSettings : {}),
        port: String(port),
        cluster_name: cluster.name,
      };
      const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
      const postmaster = spawn(cluster.binaries.postgres, ["-D", dataArgument(cluster), ...args], {
        ...spawnSettings(cluster.account),
        // Its own session: Ctrl-C at the server's terminal must not stop the database before the server.
        detached: true,
        stdio: ["ignore", log.fd, log.fd, ...(data === undefined ? [] : [data])],
      });
      const child: Child = { pid: postmaster.pid ?? 0, logOffset, hasEnded: false };
      postmaster.on("exit", () => (child.hasEnded = true));
      postmaster.on("error", (error) => {
        this.#log.error(`the embedded database cannot be executed: ${error.message}`);
        child.hasEnded = true;
      });
      postmaster.unref();
      this.#child = child;
      this.#spawnedPid = child.pid;
    } finally {
      if (data !== undefined) closeSync(data);
      await log.close();
    }
  }

  /** Decides what to do next from the last messages of a postmaster that did not start.
   *  @throws {DatabaseSetupError} PORT_UNAVAILABLE, START_FAILED if another try would not help */
  async #judgeFailure(child: Child, attempt: Attempt): Promise<void> {
    this.#child = undefined;
    const { ports } = attempt;
    const messages = await this.#messagesOf(child);
    if (messages.includes('lock file "postmaster.pid"')) return; // Another server was faster.
    if (messages.includes("could not create any TCP/IP sockets")) {
      if (ports.length > 1) return void ports.shift();
      if (this.#port === undefined) {
        const message = `no port for the embedded database: ${HOST}:${ports[0]} is taken`;
        throw new DatabaseSetupError("PORT_UNAVAILABLE", message);
      }
      attempt.notice(`the embedded database waits for its port ${this.#port}, which another program uses`);
      return await this.#pause(RECOVERY_MS_MIN);
    }
    if (/shared memory block .* still in use/.test(messages)) {
      // Processes that are invisible here use it, for instance those of another user on systems with only `ps`.
      if (!attempt.hasLasted("orphans", ORPHANS_WAIT_MS)) return await this.#pause(RECOVERY_MS_MIN);
    } else if (--attempt.failuresLeft > 0) {
      return;
    }
    throw new DatabaseSetupError(
      "START_FAILED",
      `the embedded database does not start (log: ${this.#logFile}):\n` +
        (lastLines(messages, 10) || "it logged nothing"),
    );
  }

  async #messagesOf(child: Child): Promise<string> {
    await using log = await fs.open(this.#logFile, "r");
    const { buffer, bytesRead } = await log.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, child.logOffset);
    return buffer.toString("utf8", 0, bytesRead);
  }

  async #readPidFile(): Promise<PidFile> {
    const text = await fs.readFile(this.#pidFile, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (text === undefined) {
      await fs.access(path.join(this.#cluster.dataFolder, "PG_VERSION")).catch(() => {
        throw new DatabaseSetupError("DATA_DIR_UNUSABLE", `the database in ${this.#cluster.folder} has been removed`);
      });
      return { state: "absent" };
    }
    // https://www.postgresql.org/docs/18/storage-file-layout.html: pid, folder, start time, port, …, status (line 8)
    const lines = text.split("\n");
    const pid = Number.parseInt(lines[0] ?? "", 10);
    const port = Number.parseInt(lines[3] ?? "", 10);
    if (!(pid > 0) || !(port >= 0)) return { state: "damaged", text };
    const state = postmasterState(pid, this.#cluster);
    return { state, text, pid, port, ready: (lines[7] ?? "").trim() === "ready" };
  }

  /**
   * Removes the pid file if it still reads `text`.
   * Another server may have removed it and started a database in the meantime. So the file is moved aside, compared,
   * and put back if it is the new one. While a living database has no pid file, the shared memory, which Postgres finds
   * through the folder, stops a third server from starting another.
   */
  async #removePidFile(text: string): Promise<void> {
    const aside = `${this.#pidFile}.${process.pid}-${randomBytes(4).toString("hex")}`;
    try {
      await fs.rename(this.#pidFile, aside);
      if ((await fs.readFile(aside, "utf8")) !== text) await fs.link(aside, this.#pidFile);
      await fs.rm(aside);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "EEXIST") throw error;
      await fs.rm(aside, { force: true });
    }
  }

  /** Returns whether there are server processes of a killed postmaster. Kills those that do not end by themselves. */
  #findOrphans(attempt: Attempt): boolean {
    const pids = orphansOf(this.#cluster);
    if (pids.length === 0) return false;
    if (attempt.hasLasted("orphans", ORPHANS_WAIT_MS)) {
      throw new DatabaseSetupError("START_FAILED", `processes of a killed database do not end: ${pids.join(", ")}`);
    }
    if (attempt.hasLasted("orphans", ORPHANS_KILL_MS)) for (const pid of pids) signalProcess(pid, "SIGKILL");
    return true;
  }

  async #portCandidates(): Promise<number[]> {
    const fixed = this.#port ?? this.#fixedPort;
    if (fixed !== undefined) return [fixed];
    const remembered = Number(await fs.readFile(this.#portFile, "utf8").catch(() => ""));
    const digest = createHash("sha256").update(this.#cluster.folder).digest();
    const first = remembered > 0 ? remembered : PORT_MIN + (digest.readUInt32BE() % PORT_COUNT);
    return Array.from({ length: PORT_ATTEMPTS_MAX }, (_, index) => first + index);
  }

  async #remember(port: number): Promise<void> {
    await using file = await openOwnFile(this.#portFile, constants.O_TRUNC);
    await file.writeFile(`${port}\n`);
  }

  async #pause(ms: number = POLL_MS): Promise<void> {
    await pause(ms, undefined, { signal: this.#stopping.signal });
  }
}

/** Passed at every start; overrides postgresql.conf and ALTER SYSTEM. The promises and this file rely on these. */
const lastingSettings = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  listen_addresses: HOST,
  // No Unix sockets: the length of their paths is limited, and a killed database leaves them behind.
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  timezone: "UTC",
  log_timezone: "UTC",
  lc_messages: "C",
  log_destination: "stderr",
  logging_collector: "off",
  log_line_prefix: "%m [%p] ",
};

/** Commits still reach the operating system, so SIGKILL loses nothing. */
const unsafeSettings = { fsync: "off" };

/** Creates the clients' role and database if they are missing, also after a crash between the two. */
async function prepareDatabase(sql: postgres.Sql, password: string): Promise<void> {
  const [role] = await sql`select from pg_roles where rolname = ${ROLE}`;
  if (role === undefined) await sql.unsafe(`create role ${ROLE} login password '${password}'`);
  const [database] = await sql`select from pg_database where datname = ${DATABASE}`;
  if (database === undefined) await sql.unsafe(`create database ${DATABASE} owner ${ROLE}`);
}

/** Opens a file without following a link, which the database's user might have put there. */
async function openOwnFile(file: string, flags: number): Promise<fs.FileHandle> {
  return await fs.open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | flags, 0o600);
}

function createAttempt(log: DatabaseLog, ports: number[]): Attempt {
  const since = new Map<string, number>();
  // The first notice comes after a while: most waits are shorter.
  let nextNotice = performance.now() + REMINDER_MS / 5;
  return {
    ports,
    failuresLeft: START_ATTEMPTS_MAX,
    notice(message) {
      if (performance.now() < nextNotice) return;
      nextNotice = performance.now() + REMINDER_MS;
      log.warn(message);
    },
    hasLasted(condition, boundMs) {
      const startedAt = since.get(condition) ?? performance.now();
      since.set(condition, startedAt);
      return performance.now() - startedAt > boundMs;
    },
  };
}
