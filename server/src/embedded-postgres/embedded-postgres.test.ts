import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { createServer, type Server } from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import postgres from "postgres";
import { afterEach, assert, beforeEach, describe, expect, test } from "vitest";

import { waitForDatabase } from "../wait-for-database.ts";
import { DatabaseSetupError } from "./database-error.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";
import { orphansOf } from "./processes.ts";

// Signals, process tables and orphans as tested here are those of Linux; the suite needs a real Postgres per test,
// so a test costs an initdb (half a second without flushing).
const TEST_MS_MAX = 30_000;

let dataDir: string;
/** Undone in reverse order after each test, so that a failing test leaves no processes either. */
let cleanups: (() => Promise<unknown>)[];

beforeEach(async () => {
  cleanups = [];
  dataDir = await temporaryFolder();
});

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

describe("startEmbeddedPostgres", { timeout: TEST_MS_MAX }, () => {
  test("makes a durable UTF8 database, and stops without leaving a process", async () => {
    const server = await start({ unsafeForTests: false });
    expect(await settings(server.url, ["fsync", "synchronous_commit", "full_page_writes", "data_checksums"])).toEqual([
      "on",
      "on",
      "on",
      "on",
    ]);
    expect(await settings(server.url, ["server_encoding", "TimeZone", "is_superuser"])).toEqual(["UTF8", "UTC", "off"]);
    const children = await childrenOf(server.pid);
    expect(children.length).toBeGreaterThan(0);

    await server.stop();
    expect([server.pid, ...children].filter(isRunning)).toEqual([]);
    await expect(fs.access(pidFile())).rejects.toThrow("ENOENT");
  });

  test("keeps data, password and port over a stop", async () => {
    const first = await start();
    await put(first.url, 1);
    await first.stop();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await kept(second.url)).toEqual([1]);
  });

  test("refuses a wrong password", async () => {
    const { url } = await start();
    await expect(kept(Object.assign(new URL(url), { password: "wrong" }).href)).rejects.toThrow("password");
  });

  test("a second server is refused, and told how to join the database; the first one goes on", async () => {
    const owner = await start();
    await put(owner.url, 1);
    const refusal = await start().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(DatabaseSetupError);
    expect(refusal).toMatchObject({ reason: "DATA_DIR_IN_USE" });
    const { message } = refusal as DatabaseSetupError;
    expect(message).toContain(`another server uses the data directory ${dataDir}`);
    // The message is logged; the password stays in its file, from which a shell takes it.
    expect(message).not.toContain(new URL(owner.url).password);
    const [setting = ""] = /DATABASE_URL=.*/.exec(message) ?? [];
    const { stdout } = spawnSync("sh", ["-c", `${setting}; printf %s "$DATABASE_URL"`], { encoding: "utf8" });
    expect(stdout).toBe(owner.url);
    expect(await kept(stdout)).toEqual([1]);
    expect(isRunning(owner.pid)).toBe(true);
    await owner.stop();
    expect(isRunning(owner.pid)).toBe(false);
  });

  test("a data directory with blanks and quotes in its name can be joined too", async () => {
    const odd = path.join(dataDir, 'what\'s "this" $HOME');
    const owner = await start({ dataDir: odd });
    const { message } = (await start({ dataDir: odd }).catch((error: unknown) => error)) as DatabaseSetupError;
    const [setting = ""] = /DATABASE_URL=.*/.exec(message) ?? [];
    const { stdout } = spawnSync("sh", ["-c", `${setting}; printf %s "$DATABASE_URL"`], { encoding: "utf8" });
    expect(stdout).toBe(owner.url);
  });

  test("a server that starts while another one stops gets a database", async () => {
    const first = await start();
    const [second] = await Promise.all([start(), first.stop()]);
    await put(second.url, 1);
    expect(await kept(second.url)).toEqual([1]);
  });

  test.each(["an empty folder", "a stopped database", "a database whose server was killed"])(
    "of servers that start at the same moment on %s exactly one gets it",
    async (before) => {
      if (before === "a stopped database") await (await start()).stop();
      if (before === "a database whose server was killed") await (await startInProcess()).kill();
      const servers = Array.from({ length: 3 }, () => serverProcess());
      const outcomes = await Promise.allSettled(servers.map(({ ready }) => ready));
      const refused = servers.filter((_, index) => outcomes[index]?.status === "rejected");
      expect(outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []))).toEqual([
        expect.stringContaining("DATA_DIR_IN_USE"),
        expect.stringContaining("DATA_DIR_IN_USE"),
      ]);
      const [winner] = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      assert(winner !== undefined);
      const { url, pid } = winner;
      expect(await fs.readdir(dataDir)).toEqual(["postgres"]);
      // The refused ones have gone. The winner has lost nothing by that, whichever of them started the database.
      await Promise.all(refused.map(({ stop }) => stop()));
      await put(url, 1);
      expect(await kept(url)).toEqual([1]);
      await Promise.all(servers.map(({ stop }) => stop()));
      expect(isRunning(pid)).toBe(false);
    },
  );

  describe("a database whose server was killed", () => {
    const idleEndMs = 300;

    test("ends by itself, cleanly, and the next start has what was committed", async () => {
      const server = await startInProcess(undefined, { idleEndMs });
      await put(server.url, 1);
      await untilWatched(server.adminUrl);
      await server.kill();
      await until(() => !isRunning(server.pid));
      await expect(fs.access(pidFile())).rejects.toThrow("ENOENT");
      const log = await fs.readFile(path.join(dataDir, "postgres", "postgres.log"), "utf8");
      expect(log).toContain("nobody has been connected for 0.3 s");
      expect(log).toContain("database system is shut down");
      expect(await kept((await start()).url)).toEqual([1]);
    });

    test("goes on while somebody is connected, and ends after the last one", async () => {
      const server = await startInProcess(undefined, { idleEndMs });
      const other = postgres(server.url, { max: 1 });
      await other`select`;
      await untilWatched(server.adminUrl);
      await server.kill();
      // Twice as many polls as would end it without this connection.
      await polls(other, 12);
      expect(isRunning(server.pid)).toBe(true);
      await other.end();
      await until(() => !isRunning(server.pid));
    });

    test("is taken over by a server that starts meanwhile, however often the server is killed", async () => {
      const first = await startInProcess(undefined, { idleEndMs: 60_000 });
      await first.kill();
      const second = await startInProcess(undefined, { idleEndMs: 60_000 });
      expect(second.pid).toBe(first.pid);
      await second.kill();
      const third = await start({ idleEndMs });
      expect(third.pid).toBe(first.pid);
      await untilWatched(third.adminUrl);
      const admin = postgres(third.adminUrl, { max: 1, onnotice: () => {} });
      // A server that is idle keeps its database.
      await polls(admin, 12);
      expect(third.pid).toBe(first.pid);
      expect(isRunning(first.pid)).toBe(true);
      await admin.end();
    });

    /** A server that is killed before leaves its database to the next start. */
    async function untilWatched(adminUrl: string): Promise<void> {
      const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
      const watching = () => admin`select pid from pg_stat_activity where application_name = 'abstractruntime watch'`;
      for (;;) if ((await watching()).length === 1) break;
      await admin.end();
    }

    /** Lets the database poll for clients as often as this. */
    async function polls(sql: postgres.Sql, count: number): Promise<void> {
      await sql`select pg_sleep(${(count * idleEndMs) / 6 / 1_000})`;
    }
  });

  test("a database killed with SIGKILL comes back on its port with what was committed", async () => {
    const server = await start({ unsafeForTests: false });
    await put(server.url, 1);
    const before = server.pid;
    process.kill(before, "SIGKILL");
    // Else a connection that it has just accepted could be taken for one of the next database.
    await until(() => !isRunning(before));
    await waitForDatabase(server.url, { log: silent });
    expect(await kept(server.url)).toEqual([1]);
    await until(() => server.pid !== before);
    // The directory is this server's still.
    await expect(start()).rejects.toMatchObject({ reason: "DATA_DIR_IN_USE" });
    await put(server.url, 2);
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
  });

  test("a server whose session was ended takes the lock again, with the database running", async () => {
    const server = await start();
    const { pid } = server;
    const sql = postgres(server.adminUrl, { max: 1 });
    await sql`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted`;
    await until(async () => (await sql`select from pg_locks where locktype = 'advisory' and granted`).length === 1);
    await sql.end();
    await expect(start()).rejects.toMatchObject({ reason: "DATA_DIR_IN_USE" });
    expect(server.pid).toBe(pid);
    await server.stop();
    expect(isRunning(pid)).toBe(false);
  });

  test("a server that has lost the directory says so, and leaves the database to the other one", async () => {
    const server = await start();
    const taker = postgres(server.adminUrl, { max: 1, onnotice: () => {} });
    cleanups.push(() => taker.end({ timeout: 0 }));
    const [lock] = await taker<{ id: number }[]>`select objid as id from pg_locks where locktype = 'advisory'`;
    // Waits in the lock's queue, so it is first when the session ends.
    const taken = taker`select pg_advisory_lock(${lock?.id ?? 0})`.execute();
    const killer = postgres(server.adminUrl, { max: 1 });
    await until(async () => (await killer`select from pg_locks where locktype = 'advisory'`).length === 2);
    await killer`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted`;
    await killer.end();
    await taken;
    expect(await server.failed).toMatchObject({ reason: "DATA_DIR_IN_USE" });
    const [postmaster = ""] = (await fs.readFile(pidFile(), "utf8")).split("\n");
    await server.stop();
    expect(isRunning(Number(postmaster))).toBe(true);
    process.kill(Number(postmaster), "SIGQUIT");
    await until(() => !isRunning(Number(postmaster)));
  });

  test("a process that ends without having stopped its database takes the database along", async () => {
    const server = serverProcess();
    const { pid } = await server.ready;
    await server.exit();
    await until(() => !isRunning(pid));
    await expect(fs.access(pidFile())).rejects.toThrow("ENOENT");
  });

  test("server processes that outlive a killed database are ended before it starts again", async () => {
    const server = await start();
    const [name = ""] = await settings(server.adminUrl, ["cluster_name"]);
    const cluster = { name, dataFolder: path.join(dataDir, "postgres", "data") };
    const busy = postgres(server.url, { max: 1, onnotice: () => {} });
    cleanups.push(() => busy.end({ timeout: 0 }));
    const [session] = await busy<{ pid: number }[]>`select pg_backend_pid() as pid`;
    const endless = busy`do 'begin loop end loop; end'`.catch((error: unknown) => error);
    await until(async () => {
      const sql = postgres(server.adminUrl, { max: 1 });
      const active = await sql`select from pg_stat_activity where pid = ${session?.pid ?? 0} and state = 'active'`;
      await sql.end();
      return active.length === 1;
    });
    const before = server.pid;
    process.kill(before, "SIGKILL");
    await until(() => orphansOf(cluster).includes(session?.pid ?? 0));
    await until(() => server.pid !== before);
    expect(isRunning(session?.pid ?? 0)).toBe(false);
    expect(await endless).toBeInstanceOf(Error);
  });

  test("a server killed with SIGKILL leaves the database running; the next one takes it over and stops it", async () => {
    const killed = await startInProcess();
    await put(killed.url, 1);
    await killed.kill();
    expect(isRunning(killed.pid)).toBe(true);
    const server = await start();
    expect(server).toMatchObject({ pid: killed.pid, url: killed.url });
    expect(await kept(server.url)).toEqual([1]);
    await server.stop();
    expect(isRunning(killed.pid)).toBe(false);
  });

  test("starts after SIGKILL of both", async () => {
    const killed = await startInProcess();
    await put(killed.url, 1);
    await killed.kill();
    process.kill(killed.pid, "SIGKILL");
    const server = await start();
    expect(server.pid).not.toBe(killed.pid);
    expect(server.url).toBe(killed.url);
    expect(await kept(server.url)).toEqual([1]);
  });

  test("starts although a living process has the pid in the pid file", async () => {
    const first = await start();
    const text = await fs.readFile(pidFile(), "utf8");
    await first.stop();
    await fs.writeFile(pidFile(), text.replace(/^\d+/, String(process.pid)));
    const server = await start();
    expect(server.pid).not.toBe(process.pid);
    await put(server.url, 1);
  });

  test.each(["", "12"])("starts although a crash left a pid file that reads %j", async (text) => {
    await (await start()).stop();
    await fs.writeFile(pidFile(), text);
    const server = await start();
    await put(server.url, 1);
    expect(await kept(server.url)).toEqual([1]);
  });

  test("a copy of a running data directory is a database of its own", async () => {
    const original = await start();
    const copyDir = await temporaryFolder();
    await fs.cp(path.join(dataDir, "postgres"), path.join(copyDir, "postgres"), {
      recursive: true,
      preserveTimestamps: true,
    });
    const { uid, gid } = await fs.stat(path.join(dataDir, "postgres", "data"));
    await chownAll(path.join(copyDir, "postgres", "data"), uid, gid);
    const copy = await start({ dataDir: copyDir });
    expect(copy.pid).not.toBe(original.pid);
    expect(copy.url).not.toBe(original.url);
  });

  test("ignores and removes an initialisation that was interrupted", async () => {
    const server = serverProcess();
    const initialisation = await until(async () =>
      (await fs.readdir(dataDir).catch(() => [])).find((name) => name.startsWith("postgres.init-")),
    );
    await until(async () =>
      fs.access(path.join(dataDir, initialisation, "data", "PG_VERSION")).then(
        () => true,
        () => false,
      ),
    );
    await server.kill();
    await expect(server.ready).rejects.toThrow("ended before");
    expect(await fs.readdir(dataDir)).toEqual([initialisation]);
    // The orphaned initdb may be writing still: it does not matter to the new one.
    const first = await start();
    await put(first.url, 1);
    await first.stop();
    await until(async () => {
      await (await start()).stop();
      return (await fs.readdir(dataDir)).length === 1;
    });
    expect(await fs.readdir(dataDir)).toEqual(["postgres"]);
  });

  test("takes another port when its own is taken, and refuses when only that one will do", async () => {
    const first = await start();
    const taken = Number(new URL(first.url).port);
    await first.stop();
    const other = await listen(taken);
    await expect(start({ port: taken })).rejects.toMatchObject({ reason: "PORT_UNAVAILABLE" });
    const second = await start();
    expect(new URL(second.url).port).not.toBe(String(taken));
    await put(second.url, 1);
    await close(other);
  });

  test("an aborted start leaves nothing", async () => {
    const reason = new Error("no longer wanted");
    const abort = new AbortController();
    const started = start({ signal: abort.signal });
    await until(async () => (await fs.readdir(dataDir)).length > 0);
    abort.abort(reason);
    await expect(started).rejects.toBe(reason);
    expect(await fs.readdir(dataDir)).toEqual([]);
  });

  test("refuses a data directory that is a file, that holds something else, that another release made", async () => {
    const file = path.join(dataDir, "file");
    await fs.writeFile(file, "");
    await expect(start({ dataDir: file })).rejects.toMatchObject({ reason: "DATA_DIR_UNUSABLE" });
    const other = path.join(dataDir, "other");
    await fs.mkdir(path.join(other, "postgres"), { recursive: true });
    await expect(start({ dataDir: other })).rejects.toMatchObject({ reason: "DATA_DIR_UNUSABLE" });
    await (await start()).stop();
    await fs.writeFile(path.join(dataDir, "postgres", "data", "PG_VERSION"), "9\n");
    await expect(start()).rejects.toThrow("made by Postgres 9");
  });

  test.runIf(process.platform === "linux" && process.getuid?.() === 0)(
    "as root, works below a folder that the database's user may not enter",
    async () => {
      await fs.chmod(dataDir, 0o700);
      const closed = path.join(dataDir, "closed");
      const first = await start({ dataDir: closed });
      await put(first.url, 1);
      process.kill(first.pid, "SIGKILL");
      await waitForDatabase(first.url, { log: silent });
      await first.stop();
      const second = await start({ dataDir: closed });
      expect(await kept(second.url)).toEqual([1]);
    },
  );

  test.runIf(process.getuid?.() === 0)("works for a user who is not root", async () => {
    const uid = 65_534;
    await fs.chown(dataDir, uid, uid);
    const server = await startInProcess({ uid, gid: uid });
    await put(server.url, 1);
    expect((await fs.stat(path.join(dataDir, "postgres", "data"))).uid).toBe(uid);
    await server.kill();
    // Root then takes it over, as that user.
    const root = await start();
    expect(root.pid).toBe(server.pid);
    expect(await kept(root.url)).toEqual([1]);
    await root.stop();
    const again = await startInProcess({ uid, gid: uid });
    expect(await kept(again.url)).toEqual([1]);
    await again.stop();
    expect(isRunning(again.pid)).toBe(false);
  });
});

const silent = { info: () => {}, warn: () => {}, error: () => {} };

async function start(options: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, log: silent, unsafeForTests: true, ...options });
  cleanups.push(() => server.stop());
  return server;
}

type Account = { uid: number; gid: number };
type ProcessFacts = Pick<EmbeddedPostgres, "url" | "adminUrl" | "pid">;
type ServerProcess = {
  ready: Promise<ProcessFacts>;
  kill(): Promise<void>;
  stop(): Promise<void>;
  exit(): Promise<void>;
};

/** A server in a process of its own: ready when it has printed where its database is; `stop` ends it cleanly, `exit`
 *  without stopping its database. */
function serverProcess(account?: Account, options: { idleEndMs?: number } = {}): ServerProcess {
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(new URL("embedded-postgres.ts", import.meta.url).href)};
    const log = { info() {}, warn() {}, error: console.error };
    const options = { dataDir: ${JSON.stringify(dataDir)}, log, unsafeForTests: true, ...${JSON.stringify(options)} };
    const server = await startEmbeddedPostgres(options).catch((error) => console.log(JSON.stringify(error.reason)));
    if (server) {
      console.log(JSON.stringify({ url: server.url, adminUrl: server.adminUrl, pid: server.pid }));
      process.stdin.on("data", () => process.exit(1)).on("end", () => server.stop());
    }
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: "/",
    ...account,
  });
  const exited = once(child, "exit");
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const ready = firstLine(child);
  ready.catch(() => {}); // Whoever kills it early does not wait for it.
  // What a killed server leaves running is taken over and stopped at the end.
  cleanups.push(async () => {
    const facts = await ready.catch(() => undefined);
    if (facts && isRunning(facts.pid)) await (await start()).stop();
  });
  cleanups.push(kill);
  const exit = async () => {
    child.stdin.write("exit");
    await exited;
  };
  return { kill, exit, stop: () => endInput(child, exited), ready };
}

async function startInProcess(
  account?: Account,
  options: { idleEndMs?: number } = {},
): Promise<ProcessFacts & Omit<ServerProcess, "ready">> {
  const { ready, ...server } = serverProcess(account, options);
  return { ...(await ready), ...server };
}

async function endInput(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.stdin?.end();
  await exited;
}

async function firstLine(child: ChildProcess): Promise<ProcessFacts> {
  if (child.stdout === null) throw new Error("no output");
  const lines = createInterface({ input: child.stdout });
  const ended = once(lines, "close").then(() => undefined);
  const line = await Promise.race([once(lines, "line").then(([first]) => String(first)), ended]);
  if (line === undefined) throw new Error("the server process ended before its database was there");
  const said = JSON.parse(line) as ProcessFacts | string;
  if (typeof said === "string") throw new Error(`the server was refused: ${said}`);
  return said;
}

/** Not merely dead and not yet collected by whoever inherited it. */
function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

async function put(url: string, value: number): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql`create table if not exists kept (value int)`;
  await sql`insert into kept values (${value})`;
  await sql.end();
}

async function kept(url: string): Promise<number[]> {
  const sql = postgres(url, { max: 1 });
  try {
    const rows = await sql<{ value: number }[]>`select value from kept order by value`;
    return rows.map((row) => row.value);
  } finally {
    await sql.end();
  }
}

async function settings(url: string, names: string[]): Promise<string[]> {
  const sql = postgres(url, { max: 1 });
  const rows = await sql<{ value: string }[]>`
    select current_setting(name) as value
    from unnest(${names}::text[]) with ordinality as t(name, place)
    order by place`;
  await sql.end();
  return rows.map((row) => row.value);
}

/** Looks until there is something to see. */
async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await pause(5);
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  return (await fs.readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").map(Number);
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await listenOn(server, port);
  return server;
}

async function listenOn(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => close(server));
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

async function close(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}

async function temporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "abstractruntime-embedded-"));
  await fs.chmod(folder, 0o755);
  cleanups.push(() => fs.rm(folder, { recursive: true, force: true }));
  return folder;
}

async function chownAll(folder: string, uid: number, gid: number): Promise<void> {
  await fs.chown(folder, uid, gid);
  for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) await chownAll(at, uid, gid);
    else await fs.chown(at, uid, gid);
  }
}

function pidFile(): string {
  return path.join(dataDir, "postgres", "data", "postmaster.pid");
}
