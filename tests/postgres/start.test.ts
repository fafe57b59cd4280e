/** docs/postgres.md, "The start". */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ambientEnvironment, REPOSITORY } from "../conformance/server.ts";
import { findPrograms } from "../support/debian-programs.ts";
import { type RealPostgres, startPostgres } from "../support/real-servers.ts";
import { refusalOf, startOn } from "../support/started-server.ts";

const programs = await findPrograms("postgres");

/** A listener that accepts and says nothing. */
async function openSilence(): Promise<{ port: number; connected: Promise<unknown> }> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, connected: once(server, "connection") };
}

describe.skipIf(programs.missing !== undefined)("the start", () => {
  let server: RealPostgres;
  let database: string;

  beforeAll(async () => {
    server = await startPostgres(programs, "max_connections = 25");
    database = await server.createDatabase();
  });
  afterAll(() => server.stop());

  async function hold(statement: string, name = "somebody"): Promise<() => Promise<void>> {
    const sql = postgres(server.url({ database, query: `application_name=${name}` }), { max: 1 });
    await sql.unsafe(`begin; ${statement}`).simple();
    const release = () => sql.end({ timeout: 0 });
    onTestFinished(release);
    return release;
  }
  const MIGRATION_LOCK = "select pg_advisory_xact_lock(7400001, 'public'::regnamespace::oid::int)";

  type Waiting = { child: ChildProcess; log: () => string; logged: (text: string) => Promise<void> };

  function startProcess(setting: Record<string, string>): Waiting {
    const child = spawn(process.execPath, ["server/src/main.ts", "server", "--listen", "127.0.0.1:0"], {
      cwd: REPOSITORY,
      env: { ...ambientEnvironment(), ...setting },
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let log = "";
    child.stderr.on("data", (part: Buffer) => (log += part.toString()));
    return {
      child,
      log: () => log,
      async logged(text) {
        const ended = once(child, "exit").then(() => {
          throw new Error(`the server has ended:\n${log}`);
        });
        ended.catch(() => undefined);
        while (!log.includes(text)) await Promise.race([once(child.stderr, "data"), ended]);
      },
    };
  }

  /** What a started server that must wait has logged when `text` appears. It goes on when `release` is called. */
  async function waitsThenStarts(url: string, text: RegExp, release: () => Promise<unknown>): Promise<string[]> {
    const messages: string[] = [];
    const starting = startOn({ DATABASE_URL: url }, messages);
    while (!messages.some((message) => text.test(message))) {
      if ((await Promise.race([starting, pause(5)])) !== undefined) throw new Error("the server has started");
    }
    await release();
    const started = await starting;
    onTestFinished(() => started.stop());
    expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
    return messages;
  }

  describe("What passes is waited for, and the log says what it is", () => {
    test("another server's migration, with who holds the lock and since when", async () => {
      const release = await hold(MIGRATION_LOCK);
      const text =
        /^waiting for another server that migrates the database \(held by pid \d+ \(somebody\) since \d{4}-.*\)$/;
      const messages = await waitsThenStarts(server.url({ database }), text, release);
      expect(messages.filter((message) => text.test(message))).toHaveLength(1);
    });

    test("a table that a migration changes", async () => {
      await server.admin("alter table servers reset (fillfactor)", database);
      const release = await hold("lock table servers in share mode");
      const text = /waiting for a lock on a table that a migration changes \(held by pid \d+ \(somebody\) since .*\)/;
      expect(await waitsThenStarts(server.url({ database }), text, release)).not.toEqual([]);
    });

    test("a database that fails while the start is under way", async () => {
      const release = await hold(MIGRATION_LOCK);
      const messages: string[] = [];
      const starting = startOn({ DATABASE_URL: server.url({ database }) }, messages);
      const cut = `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = '${database}' and application_name = 'abstractruntime'`;
      const isWaiting = () => messages.some((message) => message.includes("another server that migrates"));
      while (!isWaiting()) await pause(5);
      const hasFailed = () =>
        messages.some((message) => message.includes("the database, which failed during the start"));
      while (!hasFailed()) {
        await server.admin(cut);
        await pause(5);
      }
      await release();
      const started = await starting;
      onTestFinished(() => started.stop());
      expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
    });

    test("a database that starts up", async () => {
      const own = await server.createDatabase();
      await server.end();
      const text = new RegExp(`^waiting for the database at 127.0.0.1:${server.port}/${own}: connection refused$`);
      const messages = await waitsThenStarts(server.url({ database: own }), text, () => server.start());
      expect(messages).toContain(`the database at 127.0.0.1:${server.port}/${own} is available`);
    });

    test("too many connections", async () => {
      await server.admin(
        `create role few login password 'secret' connection limit 0; create schema few authorization few`,
        database,
      );
      const url = server.url({ user: "few", database, query: "schema=few" });
      const release = () => server.admin("alter role few connection limit -1");
      expect(
        await waitsThenStarts(url, /waiting for the database at .*: it has too many connections/, release),
      ).not.toEqual([]);
    });

    test("a database that refuses writes for now, as after a failover or on a full disk", async () => {
      await server.reload("max_connections = 25\ndefault_transaction_read_only = on");
      const release = () => server.reload("max_connections = 25");
      expect(await waitsThenStarts(server.url({ database }), /it is read-only/, release)).not.toEqual([]);
    });

    test("a host name that nobody knows yet: names appear with their service", async () => {
      const messages: string[] = [];
      const stop = new AbortController();
      const starting = startOn({ DATABASE_URL: "postgres://u:p@absent.invalid/d" }, messages, stop.signal);
      while (messages.length === 0) await pause(5);
      stop.abort(new Error("enough"));
      await expect(starting).rejects.toThrow("enough");
      expect(messages[0]).toMatch(/^waiting for the database at absent.invalid:5432\/d: the host name is unknown/);
    });
  });

  describe("What stays ends the start by name", () => {
    test.each<[what: string, url: () => string, message: RegExp]>([
      ["a wrong password", () => server.url({ database, password: "wrong" }), /password authentication failed/],
      [
        "an unknown role",
        () => server.url({ database, user: "nobody" }),
        /password authentication failed|does not exist/,
      ],
      ["an unknown database", () => server.url({ database: "absent" }), /database "absent" does not exist/],
      [
        "a host that pg_hba.conf does not let in",
        () => server.url({ database, user: "barred" }),
        /pg_hba.conf rejects/,
      ],
      ["a role that may not log in", () => server.url({ database, user: "loginless" }), /not permitted to log in/],
    ])("%s", async (_what, url, message) => {
      await server.admin(
        "drop role if exists barred, loginless; create role barred login password 'secret'; create role loginless password 'secret'",
      );
      await server.setAccess("host all barred 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n");
      expect(await refusalOf({ DATABASE_URL: url() })).toMatch(message);
    });
  });

  describe("SIGTERM ends a start at once, whatever it waits for", () => {
    test.each<[what: string, start: () => Promise<Waiting>]>([
      [
        "a database that says nothing",
        async () => {
          const { port, connected } = await openSilence();
          const started = startProcess({ DATABASE_URL: `postgres://u:p@127.0.0.1:${port}/d` });
          await connected;
          return started;
        },
      ],
      [
        "a database that is away",
        async () => {
          const started = startProcess({ DATABASE_URL: "postgres://u:p@127.0.0.1:1/d" });
          await started.logged("connection refused");
          return started;
        },
      ],
      [
        "the lock of migrations",
        async () => {
          await hold(MIGRATION_LOCK);
          const started = startProcess({ DATABASE_URL: server.url({ database }) });
          await started.logged("another server that migrates");
          return started;
        },
      ],
      [
        "a lock of a table",
        async () => {
          await server.admin("alter table servers reset (fillfactor)", database);
          await hold("lock table servers in share mode", "holder");
          const started = startProcess({ DATABASE_URL: server.url({ database }) });
          const waits = "select from pg_locks where not granted and relation = 'servers'::regclass";
          while ((await server.admin(waits, database)).length === 0);
          return started;
        },
      ],
      [
        "the embedded database",
        async () => {
          const folder = mkdtempSync(path.join(os.tmpdir(), "start-"));
          chmodSync(folder, 0o711);
          onTestFinished(() => rmSync(folder, { recursive: true }));
          const started = startProcess({ ABSTRACTRUNTIME_DATA_DIR: folder });
          await started.logged("creating a new database");
          return started;
        },
      ],
    ])("%s", async (_what, start) => {
      const { child, log } = await start();
      const exited = once(child, "exit");
      // What it waits for goes on: only the signal can end it.
      child.kill("SIGTERM");
      expect(await exited).toEqual([0, null]);
      expect(log()).toContain("stopping");
      expect(log()).not.toMatch(/"level":60|^ +at /m);
    });
  });
});
