import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { StoreUnavailableError } from "../contract/errors.ts";
import { migrate, UnsuitableDatabaseError } from "./migrate.ts";

describe("migrate", () => {
  let admin: postgres.Sql;
  const databases: string[] = [];

  beforeAll(() => {
    admin = postgres(inject("postgresAdminUrl"), { max: 1, onnotice: () => {} });
  });
  afterAll(async () => {
    for (const name of databases) await admin`drop database if exists ${admin(name)} with (force)`;
    await admin.end();
  });

  async function createDatabase(options = ""): Promise<string> {
    const name = `migrate_${randomBytes(6).toString("hex")}`;
    databases.push(name);
    await admin.unsafe(`create database ${name} ${options}`);
    return Object.assign(new URL(inject("postgresAdminUrl")), { pathname: `/${name}` }).href;
  }

  it("prepares an empty database once, even if servers start at the same time", async () => {
    const url = await createDatabase();
    await Promise.all([migrate(url), migrate(url), migrate(url)]);
    const sql = postgres(url, { max: 1 });
    const keys = await sql<{ value: string }[]>`select value from settings where key = 'token_key'`;
    const applied = await sql<{ digest: string }[]>`select digest from abstractruntime_migrations`;
    await migrate(url);
    expect(await sql`select value from settings where key = 'token_key'`).toEqual(keys);
    expect(await sql`select digest from abstractruntime_migrations`).toEqual(applied);
    await sql.end();
    expect(keys).toHaveLength(1);
    expect(keys[0]?.value).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(applied.map((row) => row.digest)).size).toBe(applied.length);
  });

  it("refuses a database whose encoding is not UTF8, and does not change it", async () => {
    const url = await createDatabase("encoding 'SQL_ASCII' locale 'C' template template0");
    await expect(migrate(url)).rejects.toThrow(UnsuitableDatabaseError);
    await expect(migrate(url)).rejects.toThrow("the database's encoding must be UTF8; it is SQL_ASCII");
    const sql = postgres(url, { max: 1 });
    const tables = await sql`select from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`;
    await sql.end();
    expect(tables).toHaveLength(0);
  });

  it("reports a database that is unavailable", async () => {
    await expect(migrate("postgres://nobody@127.0.0.1:1/nothing")).rejects.toBeInstanceOf(StoreUnavailableError);
  });
});
