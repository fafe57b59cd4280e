/** docs/postgres.md, "Schemas": what this program shares a database with, itself included. */
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate as migrateOfOthers } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import { findPrograms } from "../support/debian-programs.ts";
import { type RealPostgres, startPostgres } from "../support/real-servers.ts";
import { refusalOf, type StartedServer, startOn } from "../support/started-server.ts";

const COMPLETED = "RUN_STATUS_COMPLETED";

const programs = await findPrograms("postgres");

describe.skipIf(programs.missing !== undefined)("schemas", () => {
  let server: RealPostgres;

  beforeAll(async () => {
    server = await startPostgres(programs);
  });
  afterAll(() => server.stop());

  async function start(database: string, query?: string, user?: string): Promise<StartedServer> {
    const address = { database, ...(query === undefined ? {} : { query }), ...(user === undefined ? {} : { user }) };
    const started = await startOn({ DATABASE_URL: server.url(address) });
    onTestFinished(() => started.stop());
    return started;
  }

  async function works(database: string, query?: string): Promise<string> {
    return await (await start(database, query)).tryOut();
  }

  /** The migration of another application, with the time at which it was made. */
  async function migrateOther(database: string, when: number): Promise<void> {
    const folder = await mkdtemp(path.join(os.tmpdir(), "other-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await mkdir(path.join(folder, "meta"));
    const entry = { idx: 0, version: "7", when, tag: "0000_other", breakpoints: true };
    await writeFile(path.join(folder, "meta/_journal.json"), JSON.stringify({ version: "7", entries: [entry] }));
    await writeFile(path.join(folder, "0000_other.sql"), "create table customers (id int);");
    const sql = postgres(server.url({ database }), { max: 1, onnotice: () => {} });
    await migrateOfOthers(drizzle(sql), { migrationsFolder: folder });
    await sql.end();
  }

  describe("Its journal of migrations is a table of its own, beside its tables", () => {
    test.each([
      ["older", 0],
      ["newer", Date.parse("2199-01-01")],
    ])("an application whose journal has %s entries was there first", async (_which, when) => {
      const database = await server.createDatabase();
      await migrateOther(database, when);
      expect(await works(database)).toBe(COMPLETED);
      expect(await server.admin("select count(*)::int as n from drizzle.__drizzle_migrations", database)).toEqual([
        { n: 1 },
      ]);
    });

    test.each([
      ["older", 0],
      ["newer", Date.parse("2199-01-01")],
    ])("an application whose journal has %s entries comes afterwards", async (_which, when) => {
      const database = await server.createDatabase();
      expect(await works(database)).toBe(COMPLETED);
      await migrateOther(database, when);
      expect(await server.admin("select to_regclass('customers')::text as made", database)).toEqual([
        { made: "customers" },
      ]);
      expect(await works(database)).toBe(COMPLETED);
    });
  });

  describe("A name that is taken is refused, and nothing is changed", () => {
    test.each([
      ["a table", "create table settings (id int)"],
      ["a view", "create view jobs as select 1 as one"],
      ["a type", "create type runs as enum ('a')"],
      ["an index", "create table mine (id int); create index jobs_position_seq on mine (id)"],
    ])("%s", async (_what, statement) => {
      const database = await server.createDatabase();
      await server.admin(statement, database);
      const count = "select (select count(*) from pg_class) + (select count(*) from pg_proc) as n";
      const before = await server.admin(count, database);
      expect(await refusalOf({ DATABASE_URL: server.url({ database }) })).toMatch(
        /^schema public has tables, types or functions of others .* \(.* already exists\): give it a schema of its own/,
      );
      expect(await server.admin(count, database)).toEqual(before);
      // What the message says to do.
      expect(await works(database, "schema=abstractruntime")).toBe(COMPLETED);
    });
  });

  test("Tables of another build are refused", async () => {
    const database = await server.createDatabase();
    expect(await works(database)).toBe(COMPLETED);
    await server.admin("update abstractruntime_migrations set digest = 'other'", database);
    expect(await refusalOf({ DATABASE_URL: server.url({ database }) })).toMatch(
      /the tables in schema public were made by another build: its migration 0000_tables is not this one's/,
    );
  });

  test("A journal with entries of a newer release is taken: its tables stay usable for one release", async () => {
    const database = await server.createDatabase();
    expect(await works(database)).toBe(COMPLETED);
    await server.admin("insert into abstractruntime_migrations values ('0009_later', 'digest')", database);
    expect(await works(database)).toBe(COMPLETED);
  });

  test("schema=, options=-c search_path and the role's search_path name the schema of an installation", async () => {
    const database = await server.createDatabase();
    await server.admin("create role by_role login superuser password 'secret'");
    await server.admin(
      `create schema c; create schema d; alter role by_role in database ${database} set search_path = d`,
      database,
    );
    const all = [
      await start(database),
      await start(database, "schema=a"),
      await start(database, `schema=${encodeURIComponent('It"s MINE')}`),
      await start(database, "options=-c%20search_path%3Dc"),
      await start(database, undefined, "by_role"),
    ];
    for (const started of all) expect(await started.tryOut()).toBe(COMPLETED);
    expect(
      await server.admin(
        `select n.nspname as schema, (select count(*)::int from pg_proc where pronamespace = n.oid) > 0 as functions
         from pg_class c join pg_namespace n on n.oid = c.relnamespace where relname = 'step_records' order by 1`,
        database,
      ),
    ).toEqual(['It"s MINE', "a", "c", "d", "public"].map((schema) => ({ schema, functions: true })));
  });

  test("Installations in one database share nothing: no locks, no notices, no functions", async () => {
    const database = await server.createDatabase();
    await start(database, "schema=a");
    // A migration of `a` under way.
    const holder = postgres(server.url({ database }), { max: 1 });
    onTestFinished(() => holder.end());
    await holder`select pg_advisory_lock(7400001, 'a'::regnamespace::oid::int), pg_advisory_lock(7400002, 'a'::regnamespace::oid::int)`;
    expect(await works(database, "schema=b")).toBe(COMPLETED);

    const stores = await Promise.all(
      ["a", "b", "b"].map((schema) =>
        createPostgresStore({ url: server.url({ database, query: `schema=${schema}` }) }),
      ),
    );
    onTestFinished(async () => void (await Promise.all(stores.map((store) => store.close()))));
    const heard: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const unlisten = await Promise.all([
      stores[0]!.notices.listen((payload) => void heard.push(`a: ${payload}`)),
      stores[1]!.notices.listen((payload) => {
        heard.push(`b: ${payload}`);
        if (payload === "last") arrived.resolve();
      }),
    ]);
    await stores[2]!.notices.send("first");
    await stores[2]!.notices.send("last");
    await arrived.promise;
    // The other session hears in the order of commits: what it does not have now never comes.
    await stores[0]!.notices.send("own");
    while (!heard.includes("a: own")) await new Promise(setImmediate);
    expect(heard).toEqual(["b: first", "b: last", "a: own"]);
    for (const end of unlisten) await end();

    // Functions of a that are not b's.
    await server.admin("set search_path = b; drop function if exists " + (await commitFunction(database)), database);
    expect(await works(database, "schema=b")).toBe(COMPLETED);
    expect(await schemasWithCommit(database)).toEqual(["a", "b"]);
  });

  async function commitFunction(database: string): Promise<string> {
    const rows = await server.admin(
      "select distinct proname from pg_proc where proname like 'commit_batch%'",
      database,
    );
    return String(rows[0]!["proname"]);
  }

  async function schemasWithCommit(database: string): Promise<string[]> {
    const rows = await server.admin(
      "select pronamespace::regnamespace::text as schema from pg_proc where proname like 'commit_batch%' order by 1",
      database,
    );
    return rows.map((row) => String(row["schema"]));
  }
});
