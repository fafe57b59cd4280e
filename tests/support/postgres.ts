import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";

import postgres from "postgres";
import { inject } from "vitest";

import { startEmbeddedPostgres } from "../../server/src/embedded-postgres/embedded-postgres.ts";

/**
 * The database of the test suite: one temporary Postgres, started once (global-setup.ts). Each test file clones a
 * database of its own from a migrated template there. Cloning copies a few files and takes tens of milliseconds.
 */
declare module "vitest" {
  interface ProvidedContext {
    /** The superuser's URL of the suite's Postgres, for the database `postgres`. */
    postgresAdminUrl: string;
    /** The URL of an ordinary role for its database; the databases of tests belong to this role. */
    postgresUrl: string;
  }
}

/** A Postgres in a temporary directory. `stop` ends it and removes the directory. */
export type ThrowAwayPostgres = { url: string; adminUrl: string; pid: number; stop(): Promise<void> };

export type ThrowAwayPostgresOptions = {
  /**
   * Flushes commits to disk as production does, for measurements. Default false, for speed: a killed process loses
   * nothing either way, only a power cut does.
   */
  isDurable?: boolean;
};

/** A database of a test. `drop` closes the connections that are left and removes it. */
export type TestDatabase = { name: string; url: string; drop(): Promise<void> };

const TEMPLATE = "abstractruntime_template";

const migrateModule = new URL("../../server/src/store/postgres/migrate.ts", import.meta.url);

const log = {
  info: () => {},
  warn: (message: string) => process.stderr.write(`[test postgres] ${message}\n`),
  error: (message: string) => process.stderr.write(`[test postgres] ${message}\n`),
};

/** Starts a Postgres of its own, with a migrated template to clone from. */
export async function startThrowAwayPostgres({
  isDurable = false,
}: ThrowAwayPostgresOptions = {}): Promise<ThrowAwayPostgres> {
  const dataDir = await fs.mkdtemp(path.join(os.tmpdir(), "abstractruntime-test-"));
  const remove = () => fs.rm(dataDir, { recursive: true, force: true });
  // Postgres runs as another user when the tests run as root.
  await fs.chmod(dataDir, 0o711);
  const server = await startEmbeddedPostgres({ dataDir, log, unsafeForTests: !isDurable }).catch(async (error) => {
    await remove();
    throw error;
  });
  const stop = async () => {
    await server.stop();
    await remove();
  };
  try {
    await makeTemplate(server.url, server.adminUrl);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: server.url, adminUrl: server.adminUrl, pid: server.pid, stop };
}

/** Clones the migrated template of the suite's Postgres, or of the given one. */
export async function createTestDatabase(
  server: Pick<ThrowAwayPostgres, "url" | "adminUrl"> = suitePostgres(),
): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  const owner = decodeURIComponent(new URL(server.url).username);
  await administer(server.adminUrl, async (sql) => {
    await sql`create database ${sql(name)} template ${sql(TEMPLATE)} owner ${sql(owner)}`;
  });
  return {
    name,
    url: inDatabase(server.url, name),
    drop: () =>
      administer(server.adminUrl, async (sql) => {
        await sql`drop database if exists ${sql(name)} with (force)`;
      }),
  };
}

function suitePostgres(): Pick<ThrowAwayPostgres, "url" | "adminUrl"> {
  return { url: inject("postgresUrl"), adminUrl: inject("postgresAdminUrl") };
}

async function makeTemplate(url: string, adminUrl: string): Promise<void> {
  const owner = decodeURIComponent(new URL(url).username);
  await administer(adminUrl, async (sql) => {
    await sql`create database ${sql(TEMPLATE)} owner ${sql(owner)}`;
  });
  if (existsSync(migrateModule)) {
    const { migrate } = (await import(migrateModule.href)) as { migrate(url: string): Promise<void> };
    await migrate(inDatabase(url, TEMPLATE));
  }
  // A template cannot be cloned while a connection to it is open.
  await administer(adminUrl, async (sql) => {
    await sql`alter database ${sql(TEMPLATE)} allow_connections false`;
    await sql`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ${TEMPLATE}`;
  });
}

function inDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}

async function administer(adminUrl: string, work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
