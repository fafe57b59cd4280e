/** `npm run psql`: how it finds the database, and the prompt that replaces psql. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDatabase } from "../../scripts/embedded-database.ts";
import { runPrompt, runStatement } from "../../scripts/sql-prompt.ts";
import { createTestDatabase, type TestDatabase } from "../support/postgres.ts";

describe("finding the database of a data directory", () => {
  const dataDir = mkdtempSync(path.join(tmpdir(), "abstractruntime-psql-"));
  const data = path.join(dataDir, "postgres", "data");
  /** Surely dead: no system has pids this large. */
  const PID_DEAD = 2 ** 31 - 1;
  const pidFile = (pid: number, status: string) =>
    `${pid}\n${data}\n1796093658\n15999\n\n127.0.0.1\n  1 2\n${status}\n`;

  afterAll(() => rmSync(dataDir, { recursive: true }));

  test("refuses a folder without a database, one that is stopped or killed, and one that is starting", () => {
    expect(() => findDatabase(dataDir)).toThrow(/holds no embedded database: start a server on it/);
    mkdirSync(data, { recursive: true });
    expect(() => findDatabase(dataDir)).toThrow(/No server runs on .*: its database is stopped/);
    writeFileSync(path.join(data, "postmaster.pid"), pidFile(PID_DEAD, "ready"));
    expect(() => findDatabase(dataDir)).toThrow(/its database is stopped/);
    writeFileSync(path.join(data, "postmaster.pid"), pidFile(process.pid, "starting"));
    expect(() => findDatabase(dataDir)).toThrow(/is starting: try again/);
  });

  test("returns its address and its password", () => {
    writeFileSync(path.join(data, "postmaster.pid"), pidFile(process.pid, "ready   "));
    expect(() => findDatabase(dataDir)).toThrow(/has lost the password/);
    writeFileSync(path.join(dataDir, "postgres", "password"), "secret\n");
    expect(findDatabase(dataDir)).toMatchObject({ host: "127.0.0.1", port: 15_999, password: "secret" });
  });
});

describe("the prompt", () => {
  let database: TestDatabase;
  let sql: postgres.Sql;

  beforeAll(async () => {
    database = await createTestDatabase();
    sql = postgres(database.url, { max: 1, onnotice: () => {} });
  });
  afterAll(async () => {
    await sql.end();
    await database.drop();
  });

  async function typed(...lines: string[]): Promise<string> {
    const output = new PassThrough();
    await runPrompt(sql, { input: Readable.from(lines.map((line) => `${line}\n`)), output, isTerminal: false });
    output.end();
    return await text(output);
  }

  test("shows several rows as a table, one row in full, and goes on after an error", async () => {
    const long = "x".repeat(100);
    expect(await typed("select n, null as nothing", "from generate_series(1, 2) as n;")).toBe(
      "n  nothing\n1  null\n2  null\n(2 rows)\n",
    );
    expect(await typed(`select '${long}' as text, 1 as number;`)).toBe(`text    ${long}\nnumber  1\n`);
    expect(await typed("select nonsense;", "select 1 as one;")).toMatch(/^ERROR: column .*\none {2}1\n$/s);
    expect(await typed("\\d")).toMatch(/^step_records +\d+ kB/m);
    expect(await typed("\\q", "select 1 as one;")).toBe("");
  });

  test("says so if it does not know a command, and keeps the statement that is being typed", async () => {
    expect(await typed("select 1", "\\d runs", "as one;")).toMatch(
      /^There is no command \\d runs here: .*\none {2}1\n$/s,
    );
  });

  test("changes nothing, not even with a second statement after the first", async () => {
    const [lanes] = await sql`select count(*)::int as count from settings`;
    expect(lanes).toEqual({ count: 1 });
    expect(await typed("delete from settings;")).toMatch(/read-only transaction/);
    expect(await typed("commit; delete from settings;")).toMatch(/multiple commands/);
    expect((await runStatement(sql, "select count(*) from settings")).rows).toEqual([["1"]]);
  });
});
