import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, openSync, readlinkSync, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import postgres from "postgres";

import {
  ADMIN_ROLE,
  type Cluster,
  dataArgument,
  lastLines,
  openCluster,
  replaceFile,
  spawnSettings,
} from "./embedded-cluster.ts";
import { orphansOf, postmasterState, signalProcess } from "./embedded-processes.ts";
import { type DatabaseLog, DatabaseSetupError, describeDatabaseError, errorCode } from "./embedded-wait.ts";

/**
 * A Postgres that servers on one data directory start, share, restart and stop together.
 *
 * There is no owner and no lock file of ours, so nothing of ours can be stale:
 * - Who may *run* the database is decided by Postgres: `postmaster.pid` and its shared memory admit one postmaster.
 *   Everyone who finds none running starts one; who loses that race joins the winner's.
 * - Who may *stop* it is decided in the database: each server's supervisor holds a shared advisory lock for as long as its
 *   connection lives. A server that stops gives its lock up and tries for the exclusive one; only the last one gets
 *   it, and stops the database. A killed server's lock goes with its connection.
 *
 * After SIGKILL of a server the database runs on; the next server joins it and, being the last, stops it. After SIGKILL
 * of the database every supervisor sees its connection close and starts one again, on the same port, so that pools
 * with the old URL find it. After SIGKILL of both, what Postgres left (pid file, shared memory, half-written WAL) is
 * handled at the next start: by Postgres, except where a living process has got the pid of the dead postmaster, or
 * old server processes do not end.
 */
export type EmbeddedPostgres = {
  /** For clients: a role that owns the database and nothing else. The same over restarts of the database. */
  readonly url: string;
  /** For the superuser, in the database `postgres`. */
  readonly adminUrl: string;
  /** The postmaster that was last connected to. */
  readonly pid: number;
  /** Whether this process started that postmaster; false if it joined a running one. */
  readonly startedHere: boolean;
  /** Settles only if the database was lost and cannot be brought back without a person; the server should end then. */
  readonly failed: Promise<DatabaseSetupError>;
  /** Leaves the database, and stops it unless other servers use it. Close the pools first. Never rejects; a second
   *  call returns the first one's promise. */
  stop(): Promise<void>;
};

export type EmbeddedPostgresOptions = {
  /** Made if missing. The database is in its folder `postgres`. */
  dataDir: string;
  log: DatabaseLog;
  /** Only this TCP port will do. Default: the one used last, else one that follows from the directory's name, else a
   *  free one after it. */
  port?: number;
  /** Ends a start that is under way; its reason is thrown, nothing is left running. */
  signal?: AbortSignal;
  /** Tests only: no flush to disk, so a power cut loses data; killed processes do not. */
  unsafeForTests?: boolean;
};

const HOST = "127.0.0.1";
const DATABASE = "abstractruntime";
const ROLE = "abstractruntime";

/** Advisory locks in the database `postgres`, which only supervisors use. */
const PRESENCE_LOCK = 7400_01;
const SETUP_LOCK = 7400_02;

/** Ports begin here, below the ranges from which systems take the ports of outgoing connections (32768 on Linux, 49152
 *  elsewhere): the port of a stopped database is then seldom taken when it comes back. */
const PORT_MIN = 15_432;
const PORT_COUNT = 15_000;
/** More neighbours in a row being taken means that something else is wrong. */
const PORT_ATTEMPTS_MAX = 50;

/** A start takes 100 ms or so; looking costs a small read. */
const POLL_MS = 20;
/** How often something that takes long is mentioned in the log. */
const REMINDER_MS = 5_000;
/** A postmaster that ends by itself this often in a row will not start by trying again. */
const START_ATTEMPTS_MAX = 3;
/** Between attempts to bring a lost database back. */
const RECOVERY_MS_MIN = 250;
const RECOVERY_MS_MAX = 5_000;
/** A pid file is written in one go; one that stays cut off this long was left by a crash. */
const DAMAGED_PID_FILE_MS = 2_000;
/** Old server processes end within milliseconds, unless they compute; then they are asked, then killed. */
const ORPHANS_QUIT_MS = 1_000;
const ORPHANS_KILL_MS = 5_000;
const ORPHANS_WAIT_MS = 60_000;
/** A fast shutdown writes a checkpoint; past this bound it is cut short, and the next start replays the WAL. */
const STOP_FAST_MS = 60_000;
const STOP_IMMEDIATE_MS = 10_000;
/** A database that does not answer on stop is left to the other servers, or to the next start. */
const STOP_ANSWER_MS = 5_000;
/** How often a server shows others on a shared volume that it is here, and how long it watches for them. */
const PRESENCE_MS = 1_000;
const PRESENCE_WATCH_MS = 3_000;
/** Past this size the log starts afresh, with one predecessor kept. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** Enough of the log to hold what one failed start wrote. */
const LOG_TAIL_BYTES = 64 * 1024;

/**
 * Starts the embedded Postgres of a data directory, or joins the one that runs there, and keeps it running.
 * Returns when it accepts connections; replay after a crash may take a while, and is mentioned in the log.
 * @throws {DatabaseSetupError} DATA_DIR_UNUSABLE, DATA_DIR_IN_USE, BINARIES_UNUSABLE, PORT_UNAVAILABLE, LOGIN_REFUSED, START_FAILED
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, signal, unsafeForTests = false } = options;
  signal?.throwIfAborted();
  const { dataDir } = options;
  const cluster = await openCluster({ dataDir, log, unsafeForTests, signal: signal ?? new AbortController().signal });
  const supervisor = new Supervisor(cluster, options);
  await supervisor.start(signal);
  return supervisor;
}

/** A connection that holds the shared presence lock, and the postmaster at its other end. */
type Attachment = { sql: postgres.Sql; pid: number; port: number };

/** A postmaster this process has spawned, and where in the log its words begin. */
type Child = { process: ChildProcess; pid: number; logOffset: number; ended: Promise<void>; hasEnded: boolean };

type PidFile =
  | { state: "absent" }
  | { state: "damaged"; text: string }
  /** `gone`: its process is dead. `foreign`: its pid belongs to something else now. */
  | { state: "running" | "gone" | "foreign"; text: string; pid: number; port: number; ready: boolean };

class Supervisor implements EmbeddedPostgres {
  readonly failed: Promise<DatabaseSetupError>;
  readonly #cluster: Cluster;
  readonly #log: DatabaseLog;
  readonly #unsafeForTests: boolean;
  readonly #fixedPort: number | undefined;
  readonly #stopping = new AbortController();
  readonly #fail: (error: DatabaseSetupError) => void;
  #attachment: Attachment | undefined;
  #child: Child | undefined;
  #bringingUp: Promise<void> | undefined;
  #presenceTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  /** Fixed by the first attachment: the URL must stay what it is. */
  #port: number | undefined;
  #pid = 0;

  constructor(cluster: Cluster, options: EmbeddedPostgresOptions) {
    this.#cluster = cluster;
    this.#log = options.log;
    this.#unsafeForTests = options.unsafeForTests ?? false;
    this.#fixedPort = options.port;
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

  get startedHere(): boolean {
    return this.#child !== undefined && this.#child.pid === this.#pid;
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const cut = () => this.#stopping.abort(signal?.reason);
    signal?.addEventListener("abort", cut);
    try {
      await this.#bringUp();
    } catch (error) {
      this.#stopping.abort();
      if (this.#child && !this.#child.hasEnded) await this.#endPostmaster(this.#child.pid);
      signal?.throwIfAborted();
      if (error instanceof DatabaseSetupError) throw error;
      const message = `the embedded database in ${this.#cluster.folder} does not start: ${describeDatabaseError(error)}`;
      throw new DatabaseSetupError("START_FAILED", message, { cause: error });
    } finally {
      signal?.removeEventListener("abort", cut);
    }
    this.#presenceTimer = setInterval(() => {
      this.#showPresence().catch((error: unknown) => {
        this.#log.warn(`the files of the embedded database cannot be kept: ${describeDatabaseError(error)}`);
      });
    }, PRESENCE_MS);
    this.#presenceTimer.unref();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop().catch((error: unknown) => {
      this.#log.error(`the embedded database was not stopped cleanly: ${describeDatabaseError(error)}`);
    });
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#presenceTimer);
    await this.#bringingUp;
    const attachment = this.#attachment;
    this.#attachment = undefined;
    if (attachment === undefined) {
      // It went away and was not back yet. One that we have just spawned is ours to stop; if another server is about
      // to join it, that one will start it again.
      if (this.#child && !this.#child.hasEnded) await this.#endPostmaster(this.#child.pid);
      return;
    }
    const isLast = await leave(attachment.sql).catch(() => undefined);
    if (isLast ?? this.startedHere) await this.#endPostmaster(attachment.pid);
    else this.#log.info("the embedded database is left running for the other servers that use it");
    await attachment.sql.end({ timeout: 0 });
  }

  /** Ends the postmaster, if it still is one: fast, which is clean; if that takes too long, at once, which is safe. */
  async #endPostmaster(pid: number): Promise<void> {
    const { binaries, dataFolder } = this.#cluster;
    const ask = (signal: NodeJS.Signals) => {
      if (postmasterState(pid, this.#cluster) === "running") signalProcess(pid, signal);
    };
    if (process.platform === "win32") {
      // No signals there: Node would kill it.
      const control = spawn(binaries.pgCtl, ["stop", "-D", dataFolder, "-m", "fast"], { stdio: "ignore" });
      control.on("error", () => {});
    } else {
      ask("SIGINT");
    }
    if (await this.#ends(pid, STOP_FAST_MS)) return;
    this.#log.warn("the embedded database takes too long to stop; it is cut short and will recover at its next start");
    ask("SIGQUIT");
    if (!(await this.#ends(pid, STOP_IMMEDIATE_MS)))
      this.#log.error(`the embedded database (pid ${pid}) does not stop`);
  }

  async #ends(pid: number, boundMs: number): Promise<boolean> {
    const until = performance.now() + boundMs;
    while (postmasterState(pid, this.#cluster) === "running") {
      if (performance.now() >= until) return false;
      await pause(POLL_MS);
    }
    // Collect our own child before we say that it is gone. It does not hold this process, which must last until then.
    if (this.#child?.pid === pid) {
      this.#child.process.ref();
      await this.#child.ended;
    }
    return true;
  }

  /**
   * Looks, and does what the sight calls for, until there is a connection: joins what runs, waits for what starts or
   * stops, clears what a crash left, starts what is missing. Each turn decides from what is there now, so it does
   * not matter which other servers do the same.
   */
  async #bringUp(): Promise<void> {
    const notice = createNotice(this.#log);
    let damagedSince: number | undefined;
    let heldSince: number | undefined;
    let attemptsLeft = START_ATTEMPTS_MAX;
    let watchedForOthers = false;
    const ports = await this.#portCandidates();
    const port = () => this.#port ?? ports[0] ?? PORT_MIN;

    for (;;) {
      this.#stopping.signal.throwIfAborted();
      const pidFile = await this.#readPidFile();
      if (pidFile.state !== "damaged") damagedSince = undefined;

      if (pidFile.state === "running") {
        if (!pidFile.ready) notice("waiting for the embedded database, which starts or stops");
        else if (await this.#attach(pidFile.pid, pidFile.port, notice)) return;
        await this.#pause();
        continue;
      }
      if (this.#child && !this.#child.hasEnded) {
        await this.#pause(); // It has not written its pid file yet.
        continue;
      }
      if (this.#child) {
        const child = this.#child;
        this.#child = undefined;
        // One that was attached to has started well; then it was killed, and its words are not about a start.
        const words = child.pid === this.#pid ? "" : await this.#wordsOf(child);
        if (words.includes("could not create any TCP/IP sockets")) {
          if (this.#port === undefined && ports.length > 1) {
            ports.shift();
          } else if (this.#port === undefined) {
            throw new DatabaseSetupError(
              "PORT_UNAVAILABLE",
              `no port for the embedded database: ${HOST}:${port()} is taken`,
            );
          } else {
            notice(`the embedded database waits for its port ${port()}, which another program has taken`);
            await this.#pause(RECOVERY_MS_MIN);
          }
        } else if (words.includes('lock file "postmaster.pid"')) {
          // Another server was faster.
          await this.#pause();
          continue;
        } else if (/shared memory block .* still in use/.test(words)) {
          // Processes that we do not see hold it: on systems without a process table to read.
          heldSince ??= performance.now();
          if (performance.now() - heldSince > ORPHANS_WAIT_MS) {
            throw new DatabaseSetupError(
              "START_FAILED",
              `processes of a killed database do not end; end them to start it again. It says:\n${lastLines(words, 3)}`,
            );
          }
          await this.#pause(RECOVERY_MS_MIN);
        } else if (child.pid !== this.#pid && --attemptsLeft <= 0) {
          throw new DatabaseSetupError(
            "START_FAILED",
            `the embedded database does not start (log: ${this.#logFile}):\n${lastLines(words, 10) || "it left no message"}`,
          );
        }
      }
      if (pidFile.state !== "absent" && !watchedForOthers) {
        await this.#assertNotUsedElsewhere();
        watchedForOthers = true;
        continue; // Time has passed; look again.
      }
      if (pidFile.state === "damaged") {
        damagedSince ??= performance.now();
        if (performance.now() - damagedSince < DAMAGED_PID_FILE_MS) {
          await this.#pause();
          continue;
        }
      }
      if (pidFile.state === "damaged" || pidFile.state === "foreign") {
        // Postgres would believe these. A pid file whose process is dead it clears itself, which is safer.
        this.#log.info("removing the pid file that a killed database left");
        await this.#removePidFile(pidFile.text);
        continue;
      }
      if (orphansOf(this.#cluster).length > 0) {
        await this.#clearOrphans();
        continue;
      }
      await this.#spawnPostmaster(port());
    }
  }

  /** Connects and takes a shared presence lock; false if the database is not to be had at the moment. */
  async #attach(pid: number, port: number, notice: (message: string) => void): Promise<boolean> {
    if (this.#port !== undefined && port !== this.#port) {
      throw new DatabaseSetupError(
        "PORT_UNAVAILABLE",
        `another server has started the embedded database on port ${port} instead of ${this.#port}: start this one again`,
      );
    }
    const sql = postgres({
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
      // The client would replace the connection after a while, and the lock would go unnoticed with the old one.
      max_lifetime: null,
      idle_timeout: 0,
      connection: { application_name: "abstractruntime supervisor" },
      onnotice: () => {},
      onclose: () => this.#onClose(sql),
    });
    try {
      const [row] = await sql<{ name: string; granted: boolean }[]>`
        select current_setting('cluster_name') as name,
               pg_try_advisory_lock_shared(${PRESENCE_LOCK}::bigint) as granted`;
      if (row?.name !== this.#cluster.name) {
        throw new DatabaseSetupError(
          "DATA_DIR_IN_USE",
          `the database on port ${port} was not started by a server from ${this.#cluster.folder}: stop it, or use another data directory`,
        );
      }
      if (row.granted) {
        await prepareDatabase(sql, this.#cluster.password);
        this.#stopping.signal.throwIfAborted();
        await this.#remember(port);
        this.#attachment = { sql, pid, port };
        this.#pid = pid;
        this.#port = port;
        return true;
      }
      notice("waiting for the embedded database, which another server is stopping");
    } catch (error) {
      await sql.end({ timeout: 0 });
      if (error instanceof DatabaseSetupError || this.#stopping.signal.aborted) throw error;
      if (["28P01", "28000", "SASL_SIGNATURE_MISMATCH"].includes(errorCode(error))) {
        throw new DatabaseSetupError(
          "LOGIN_REFUSED",
          `the embedded database refuses the password in ${path.join(this.#cluster.folder, "password")}`,
        );
      }
      notice(`waiting for the embedded database: ${describeDatabaseError(error)}`);
      return false;
    }
    await sql.end({ timeout: 0 });
    return false;
  }

  #onClose(sql: postgres.Sql): void {
    if (this.#attachment?.sql !== sql) return;
    this.#attachment = undefined;
    sql.end({ timeout: 0 }).catch(() => {});
    if (this.#stopping.signal.aborted) return;
    this.#log.warn("the connection to the embedded database was lost");
    this.#bringingUp = this.#recover();
  }

  async #recover(): Promise<void> {
    for (let retryMs = RECOVERY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RECOVERY_MS_MAX)) {
      try {
        await this.#bringUp();
        this.#log.info(`the embedded database is back (pid ${this.#pid}, port ${this.#port})`);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // What has worked may well work again (disk full, memory short); a folder that is not ours any more will not.
        const isFinal = error instanceof DatabaseSetupError && error.reason !== "START_FAILED";
        this.#log.error(`the embedded database cannot be brought back: ${describeDatabaseError(error)}`);
        if (isFinal) return this.#fail(error);
        await this.#pause(retryMs).catch(() => {});
      }
    }
  }

  async #spawnPostmaster(port: number): Promise<void> {
    const cluster = this.#cluster;
    await replaceFile(this.#hostFile, thisHost());
    const log = await fs.open(
      this.#logFile,
      // A link that the database's user might have put there is not followed. (Windows has no such flag.)
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0),
      0o600,
    );
    const data = cluster.viaDescriptor ? openSync(cluster.dataFolder, "r") : undefined;
    try {
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
        // A session of its own: Ctrl-C at the server's terminal must not stop the database before the server.
        detached: true,
        windowsHide: true,
        stdio: ["ignore", log.fd, log.fd, ...(data === undefined ? [] : [data])],
      });
      const { promise: ended, resolve } = Promise.withResolvers<void>();
      const child: Child = { process: postmaster, pid: postmaster.pid ?? 0, logOffset, ended, hasEnded: false };
      const end = () => {
        child.hasEnded = true;
        resolve();
      };
      postmaster.on("exit", end);
      postmaster.on("error", (error) => {
        this.#log.error(`the embedded database cannot be executed: ${error.message}`);
        end();
      });
      postmaster.unref();
      this.#child = child;
    } finally {
      if (data !== undefined) closeSync(data);
      await log.close();
    }
  }

  /** What a child wrote into the log, which it may share with the children of other servers. */
  async #wordsOf(child: Child): Promise<string> {
    const log = await fs.open(this.#logFile, "r");
    try {
      const { buffer, bytesRead } = await log.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, child.logOffset);
      const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
      return lines.filter((line) => !/^\S+ \S+ \S+ \[\d+\]/.test(line) || line.includes(`[${child.pid}]`)).join("\n");
    } finally {
      await log.close();
    }
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
    return {
      state: postmasterState(pid, this.#cluster),
      text,
      pid,
      port,
      ready: (lines[7] ?? "").trim() === "ready",
    };
  }

  /**
   * Removes the pid file if it still reads `text`.
   * Another server may have removed it too and started a database in between; so it is moved, compared and, if it
   * turns out to be the new one, put back. In the moment in which a living database has no pid file, a third server
   * that starts one is stopped by the shared memory, which Postgres finds by the folder.
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

  /** Waits for the server processes of a killed postmaster to end, and ends those that do not. */
  async #clearOrphans(): Promise<void> {
    const startedAt = performance.now();
    const notice = createNotice(this.#log);
    for (;;) {
      const pids = orphansOf(this.#cluster);
      if (pids.length === 0) return;
      const waitedMs = performance.now() - startedAt;
      if (waitedMs > ORPHANS_WAIT_MS) {
        throw new DatabaseSetupError("START_FAILED", `processes of a killed database do not end: ${pids.join(", ")}`);
      }
      if (waitedMs > ORPHANS_QUIT_MS) {
        notice(`ending processes that a killed database left: ${pids.join(", ")}`);
        for (const pid of pids) signalProcess(pid, waitedMs > ORPHANS_KILL_MS ? "SIGKILL" : "SIGQUIT");
      }
      await this.#pause();
    }
  }

  /**
   * Refuses if a server on another machine or in another container uses the folder.
   * Postgres cannot see that: pids and shared memory are those of the machine. Each server renews the time of the
   * file `host`; whoever finds a pid file, and a `host` that is not this one, watches that time. A clean stop leaves no
   * pid file, so this waits only after a crash.
   */
  async #assertNotUsedElsewhere(): Promise<void> {
    const host = await fs.readFile(this.#hostFile, "utf8").catch(() => thisHost());
    if (host === thisHost()) return;
    this.#log.info("the embedded database was last used in another place and not stopped: watching whether it is used");
    const before = await fs.stat(this.#hostFile);
    await this.#pause(PRESENCE_WATCH_MS);
    const after = await fs.stat(this.#hostFile);
    if (after.mtimeMs === before.mtimeMs && after.ino === before.ino) return;
    throw new DatabaseSetupError(
      "DATA_DIR_IN_USE",
      `${this.#cluster.folder} is in use by a server on another machine or in another container (${host.split(" ")[0]}): give this one a data directory of its own, or DATABASE_URL`,
    );
  }

  async #showPresence(): Promise<void> {
    if (this.#attachment === undefined) return;
    const now = new Date();
    await fs.utimes(this.#hostFile, now, now);
    await this.#boundLog();
  }

  /** The database holds the log open for appending, so it is copied and cut; the few lines in between may be lost. */
  async #boundLog(): Promise<void> {
    if ((await fs.stat(this.#logFile)).size <= LOG_BYTES_MAX) return;
    await fs.rm(`${this.#logFile}.1`, { force: true });
    await fs.copyFile(this.#logFile, `${this.#logFile}.1`, constants.COPYFILE_EXCL);
    await fs.truncate(this.#logFile);
  }

  async #portCandidates(): Promise<number[]> {
    if (this.#fixedPort !== undefined) return [this.#fixedPort];
    const remembered = Number(await fs.readFile(this.#portFile, "utf8").catch(() => ""));
    const digest = createHash("sha256").update(this.#cluster.folder).digest();
    const first = remembered > 0 ? remembered : PORT_MIN + (digest.readUInt32BE() % PORT_COUNT);
    return Array.from({ length: PORT_ATTEMPTS_MAX }, (_, index) => first + index);
  }

  async #remember(port: number): Promise<void> {
    const remembered = await fs.readFile(this.#portFile, "utf8").catch(() => "");
    if (Number(remembered) !== port) await replaceFile(this.#portFile, `${port}\n`);
  }

  get #pidFile(): string {
    return path.join(this.#cluster.dataFolder, "postmaster.pid");
  }

  get #portFile(): string {
    return path.join(this.#cluster.folder, "port");
  }

  get #hostFile(): string {
    return path.join(this.#cluster.folder, "host");
  }

  get #logFile(): string {
    return path.join(this.#cluster.folder, "postgres.log");
  }

  async #pause(ms: number = POLL_MS): Promise<void> {
    await pause(ms, undefined, { signal: this.#stopping.signal });
  }
}

/** Given at every start, above postgresql.conf and ALTER SYSTEM: what the promises and this file rely on. */
const lastingSettings = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  listen_addresses: HOST,
  // No sockets: their paths are bounded in length, and a killed database leaves them.
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  timezone: "UTC",
  log_timezone: "UTC",
  lc_messages: "C",
  log_destination: "stderr",
  logging_collector: "off",
  log_line_prefix: "%m [%p] ",
};

/** Commits are handed to the operating system all the same, so SIGKILL loses nothing. */
const unsafeSettings = { fsync: "off" };

/** Makes the clients' role and database where they are missing: once, whichever servers come at the same time. */
async function prepareDatabase(sql: postgres.Sql, password: string): Promise<void> {
  const [found] = await sql`select from pg_database where datname = ${DATABASE}`;
  if (found !== undefined) return;
  await sql`select pg_advisory_lock(${SETUP_LOCK}::bigint)`;
  try {
    const [role] = await sql`select from pg_roles where rolname = ${ROLE}`;
    if (role === undefined) await sql.unsafe(`create role ${ROLE} login password '${password}'`);
    const [database] = await sql`select from pg_database where datname = ${DATABASE}`;
    if (database === undefined) await sql.unsafe(`create database ${DATABASE} owner ${ROLE}`);
  } finally {
    await sql`select pg_advisory_unlock(${SETUP_LOCK}::bigint)`;
  }
}

/** Gives up the presence lock; true if no other server holds one. Then the exclusive lock is held, and nobody joins
 *  any more. Of servers that leave at the same time, the one that unlocks last is told true. */
async function leave(sql: postgres.Sql): Promise<boolean> {
  const answer = (async () => {
    await sql`select pg_advisory_unlock_shared(${PRESENCE_LOCK}::bigint)`;
    const [row] = await sql<{ last: boolean }[]>`select pg_try_advisory_lock(${PRESENCE_LOCK}::bigint) as last`;
    return row?.last ?? false;
  })();
  const bound = new AbortController();
  const late = pause(STOP_ANSWER_MS, undefined, { signal: bound.signal }).then(() => {
    throw new Error("no answer");
  });
  return await Promise.race([answer, late]).finally(() => bound.abort());
}

/** Tells one machine, or container, from another that shares its files, and from itself before a reboot. */
function thisHost(): string {
  const facts = [os.hostname()];
  if (process.platform === "linux") {
    facts.push(readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(), readlinkSync("/proc/self/ns/pid"));
  }
  return facts.join(" ");
}

/** Logs a message that may repeat at once per turn: the first time after a while, then every few seconds. */
function createNotice(log: DatabaseLog): (message: string) => void {
  let next = performance.now() + REMINDER_MS / 5;
  return (message) => {
    if (performance.now() < next) return;
    next = performance.now() + REMINDER_MS;
    log.warn(message);
  };
}
