/**
 * Brings a database to this release's schema. Forward only, one server at a time; servers of older releases may keep
 * working.
 */
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate as applyMigrations } from "drizzle-orm/postgres-js/migrator";
import { fileURLToPath } from "node:url";
import { openClient, type Sql } from "./client.ts";
import { COMMIT_BATCH } from "./commit-batch.ts";
import { isLockTimeout, storeErrorOf } from "./errors.ts";
import { createFunctions, type DatabaseFunction, dropUnnamedFunctions, MIGRATION_LOCK } from "./functions.ts";
import { JOB_FUNCTIONS } from "./job-functions.ts";
import { arrangeStorage } from "./storage.ts";

const MIGRATIONS = fileURLToPath(new URL("../../../migrations", import.meta.url));

/** The oldest Postgres that this project supports. */
const VERSION_MIN = 150_000;

/** Everyone would wait behind a table lock that is not granted at once, so a migration asks briefly and often. */
const LOCK_TIMEOUT = "2s";
const LOCK_ATTEMPTS_MAX = 30;

/** A database that this release cannot run on. */
export class UnsuitableDatabaseError extends Error {}

/** The functions that this release calls. */
const FUNCTIONS: readonly DatabaseFunction[] = [COMMIT_BATCH, ...JOB_FUNCTIONS];

/**
 * Applies missing migrations, sets what they cannot (how tables are stored, functions), and drops functions that no
 * server has needed for a long time. Waits while another server does the same.
 * @param url a direct URL, not one of a pooler in transaction mode
 * @param functions the functions that the caller needs
 * @throws UnsuitableDatabaseError if Postgres is too old or its encoding is not UTF8; StoreUnavailableError
 */
export async function migrate(url: string, functions = FUNCTIONS): Promise<void> {
  // A session lock and a session setting need one dedicated connection.
  const sql = openClient(url, { max: 1 });
  try {
    await assertSuitable(sql);
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await sql`select set_config('lock_timeout', ${LOCK_TIMEOUT}, false)`;
    for (let attempts = 1; ; attempts++) {
      try {
        await applyMigrations(drizzle(sql), { migrationsFolder: MIGRATIONS });
        await arrangeStorage(sql);
        await createTokenKey(sql);
        await createFunctions(sql, functions);
        await dropUnnamedFunctions(sql);
        return;
      } catch (error) {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
        if (attempts >= LOCK_ATTEMPTS_MAX || !isLockTimeout(cause)) throw cause;
      }
    }
  } catch (error) {
    throw storeErrorOf(error);
  } finally {
    // Ends the session, which releases its lock.
    await sql.end({ timeout: 1 });
  }
}

async function createTokenKey(sql: Sql): Promise<void> {
  await sql`
    insert into settings (key, value)
    values ('token_key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
    on conflict do nothing`;
}

async function assertSuitable(sql: Sql): Promise<void> {
  const [row] = await sql<{ version: string; number: string; encoding: string }[]>`
    select current_setting('server_version') as version, current_setting('server_version_num') as number,
      current_setting('server_encoding') as encoding`;
  if (row === undefined) throw new UnsuitableDatabaseError("the database did not return its version and encoding");
  if (Number(row.number) < VERSION_MIN) {
    throw new UnsuitableDatabaseError(`Postgres 15 or newer is needed; this is ${row.version}`);
  }
  if (row.encoding !== "UTF8") {
    throw new UnsuitableDatabaseError(`the database's encoding must be UTF8; it is ${row.encoding}`);
  }
}
