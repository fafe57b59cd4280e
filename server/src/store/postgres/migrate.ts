/**
 * Brings a schema of a database to this release's tables and functions. Forward only, one server at a time; servers of
 * older releases may keep working.
 *
 * Everything is in one schema, the first of the connection's search_path, so several installations may share a
 * database. Everything happens in one transaction: nothing is half done, and nothing stays in a pooler's session. A
 * role that may only read and write rows is enough while there is nothing to create.
 */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Address, parseAddress } from "./address.ts";
import { type AnySql, openClient, type Sql } from "./client.ts";
import { COMMIT_BATCH } from "./commit-batch.ts";
import { isContention, isLockTimeout, storeErrorOf } from "./errors.ts";
import {
  createFunctions,
  type DatabaseFunction,
  dropUnnamedFunctions,
  missingFunctions,
  MIGRATION_LOCK,
  schemaKey,
} from "./functions.ts";
import { JOB_FUNCTIONS } from "./job-functions.ts";
import { arrangeStorage } from "./storage.ts";

const MIGRATIONS = new URL("../../../migrations/", import.meta.url);

/** The names of applied migrations. No library has this name by default: databases are shared. */
const JOURNAL = "abstractruntime_migrations";

/** The oldest Postgres that this project supports. */
const VERSION_MIN = 150_000;

/** Everyone would wait behind a table lock that is not granted at once, so a migration asks briefly. */
const LOCK_TIMEOUT = "2s";
/** The others get as long. */
const TABLE_LOCK_PAUSE_MS = 2_000;
/** A poll, not a wait in the database: it ends at once with the signal, and a pooler has nothing to keep. */
const MIGRATION_LOCK_POLL_MS = 200;
/** Enough to know whom to ask. */
const HOLDERS_MAX = 3;

/** A database that this release cannot run on until an operator changes something. The message says what. */
export class UnsuitableDatabaseError extends Error {}

/** The functions that this release calls. */
const FUNCTIONS: readonly DatabaseFunction[] = [COMMIT_BATCH, ...JOB_FUNCTIONS];

export type MigrateOptions = {
  /** The functions that the caller needs. Default: those of this release. */
  functions?: readonly DatabaseFunction[];
  /** Called at every poll with what is waited for. */
  onWait?: (what: string) => void;
  /** Ends the migration at once; its reason is thrown. */
  signal?: AbortSignal;
};

/**
 * Creates the schema if the URL names a missing one, applies missing migrations, sets what they cannot (how tables are
 * stored, functions), and drops functions that no server has needed for a long time. Waits while another server does
 * the same, and while somebody has a table locked.
 * @throws UnsuitableDatabaseError if Postgres is too old, its encoding is not UTF8, a grant is missing, or a name is
 *   taken by tables of others; StoreUnavailableError; DatabaseUrlError
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<void> {
  const { functions = FUNCTIONS, onWait, signal } = options;
  const address = parseAddress(url);
  const sql = openClient(url, { max: 1, prepare: false });
  // Ends the statement that is under way, if any, from this side.
  const abort = (): void => void sql.end({ timeout: 0 });
  signal?.addEventListener("abort", abort);
  try {
    signal?.throwIfAborted();
    await assertSuitable(sql);
    await openSchema(sql, address);
    for (;;) {
      let pauseMs = MIGRATION_LOCK_POLL_MS;
      try {
        if (await isOwnTurn(sql, functions)) return;
        onWait?.(`another server that migrates the database (${await describeLockHolders(sql)})`);
      } catch (error) {
        if (!isLockTimeout(error) && !isContention(error)) throw error;
        pauseMs = TABLE_LOCK_PAUSE_MS;
        onWait?.(`a lock on a table that a migration changes (${await describeTableHolders(sql)})`);
      }
      await pause(pauseMs, undefined, signal ? { signal } : {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw await refusalOf(error, sql).catch(storeErrorOf);
  } finally {
    signal?.removeEventListener("abort", abort);
    await sql.end({ timeout: signal?.aborted === true ? 0 : 1 });
  }
}

/** Does everything in one transaction, under the lock of migrations. Returns false if another server has the lock. */
async function isOwnTurn(sql: Sql, functions: readonly DatabaseFunction[]): Promise<boolean> {
  // Whatever the role's defaults are. With `repeatable read` it would not see what was done before it got the lock.
  return await sql.begin("isolation level read committed read write", async (transaction) => {
    await transaction`select set_config('lock_timeout', ${LOCK_TIMEOUT}, true),
      set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)`;
    const [lock] = await transaction<{ is_own: boolean }[]>`
      select pg_try_advisory_xact_lock(${MIGRATION_LOCK}, ${schemaKey(transaction)}) as is_own`;
    if (lock?.is_own !== true) return false;
    await applyMigrations(transaction);
    await assertGrants(transaction, functions);
    await arrangeStorage(transaction);
    await createTokenKey(transaction);
    await createFunctions(transaction, functions);
    await dropUnnamedFunctions(transaction);
    return true;
  });
}

type Migration = { name: string; digest: string; text: string };

/** In the order in which they are applied. drizzle-kit writes them. */
function readMigrations(): Migration[] {
  const journal = readFileSync(new URL("meta/_journal.json", MIGRATIONS), "utf8");
  return (JSON.parse(journal) as { entries: { tag: string }[] }).entries.map(({ tag: name }) => {
    const text = readFileSync(fileURLToPath(new URL(`${name}.sql`, MIGRATIONS)), "utf8");
    return { name, digest: hash("sha256", text), text };
  });
}

/**
 * Applies what the journal lacks. Entries that this release does not know are those of a newer one, which leaves the
 * tables usable.
 */
async function applyMigrations(sql: AnySql): Promise<void> {
  const migrations = readMigrations();
  const [journal] = await sql<{ is_owner: boolean; is_readable: boolean; schema: string }[]>`
    select pg_has_role(relowner, 'usage') as is_owner, has_table_privilege(oid, 'select') as is_readable,
      current_schema() as schema
    from pg_class where relname = ${JOURNAL} and relnamespace = ${schemaKey(sql)}`;
  if (journal?.is_readable === false) await refuseGrant(sql, "SELECT", `table ${JOURNAL}`, TABLES_GRANT);
  const applied = new Map<string, string>();
  if (journal !== undefined) {
    const rows = await sql<{ name: string; digest: string }[]>`select name, digest from ${sql(JOURNAL)}`;
    for (const { name, digest } of rows) applied.set(name, digest);
  }
  for (const { name, digest } of migrations) {
    const known = applied.get(name);
    if (known === undefined || known === digest) continue;
    throw new UnsuitableDatabaseError(
      `the tables in schema ${journal?.schema} were made by another build: its migration ${name} is not this one's. ` +
        "Use the build that made them, or another schema or database",
    );
  }
  const missing = migrations.filter(({ name }) => !applied.has(name));
  if (missing.length === 0) return;
  if (journal?.is_owner === false) {
    const { role, owner } = await readOwner(sql);
    throw new UnsuitableDatabaseError(
      `role ${role} does not own the tables in schema ${journal.schema}, which this release changes: ` +
        `start it once as ${owner}`,
    );
  }
  await assertMayCreate(sql);
  if (journal === undefined) {
    await sql`create table ${sql(JOURNAL)} (
      name text primary key, digest text not null, apply_time timestamptz not null default now()
    )`;
  }
  for (const { name, digest, text } of missing) {
    await sql.unsafe(text);
    await sql`insert into ${sql(JOURNAL)} (name, digest) values (${name}, ${digest})`;
  }
}

/** Something of that name is there already. */
const TAKEN = new Set([
  "42P07", // duplicate_table: a table, an index, a sequence, a view
  "42710", // duplicate_object: a type
  "42723", // duplicate_function
]);

async function createTokenKey(sql: AnySql): Promise<void> {
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

type SchemaRow = {
  current: string | null;
  role: string;
  database: string;
  search_path: string;
  is_there: boolean;
  may_use: boolean | null;
  may_create: boolean;
};

/** Creates the schema that the URL names, if it is missing and the role may. Without one, the search_path has to. */
async function openSchema(sql: Sql, { schema }: Address): Promise<void> {
  const [row] = await sql<SchemaRow[]>`
    select current_schema() as current, current_user as role, current_database() as database,
      current_setting('search_path') as search_path, s.oid is not null as is_there,
      has_schema_privilege(s.oid, 'usage') as may_use,
      has_database_privilege(current_database(), 'create') as may_create
    from (values (1)) as one left join pg_namespace s on s.nspname = ${schema ?? null}`;
  if (row === undefined) throw new UnsuitableDatabaseError("the database did not return its schema");
  const { current, role, database } = row;
  if (schema === undefined) {
    if (current !== null) return;
    throw new UnsuitableDatabaseError(
      `role ${role} may use no schema of its search_path (${row.search_path}) in database ${database}: ` +
        `create schema abstractruntime authorization ${role}, and name it in the URL with schema=abstractruntime`,
    );
  }
  if (row.is_there && row.may_use === false) {
    throw new UnsuitableDatabaseError(
      `role ${role} lacks USAGE on schema ${schema}: grant usage, create on schema ${schema} to ${role}`,
    );
  }
  if (!row.is_there) {
    if (!row.may_create) {
      throw new UnsuitableDatabaseError(
        `schema ${schema} does not exist in database ${database}, and role ${role} may not create it: ` +
          `create schema ${schema} authorization ${role}`,
      );
    }
    // Another server may do the same.
    await sql`create schema if not exists ${sql(schema)}`.catch((error: unknown) => {
      if (!["23505", "42P06"].includes((error as { code?: string }).code ?? "")) throw error;
    });
  }
  await assertSchema(sql, schema);
}

/** @throws UnsuitableDatabaseError if the connection is in another schema than the URL names */
async function assertSchema(sql: Sql, schema: string): Promise<void> {
  const current = await readSchema(sql);
  if (current === schema) return;
  const [row] = await sql<{ role: string; database: string }[]>`
    select current_user as role, current_database() as database`;
  throw new UnsuitableDatabaseError(
    `the connection is in schema ${current}, and its URL says ${schema}: a pooler does not pass the schema on. ` +
      `alter role ${row?.role} in database ${row?.database} set search_path = ${schema}, and reconnect the pooler`,
  );
}

async function readSchema(sql: AnySql): Promise<string | null> {
  const [row] = await sql<{ schema: string | null }[]>`select current_schema() as schema`;
  return row?.schema ?? null;
}

const TABLES_GRANT = "select, insert, update, delete on all tables";

/** What a role that owns nothing needs: rows of every table, and the functions. */
async function assertGrants(sql: AnySql, functions: readonly DatabaseFunction[]): Promise<void> {
  const tables = readMigrations().flatMap(({ text }) =>
    [...text.matchAll(/^CREATE TABLE "(\w+)"/gm)].map(([, name]) => name),
  );
  const missing = await sql<{ relname: string; privileges: string }[]>`
    select c.relname, string_agg(upper(p.privilege), ', ' order by p.place) as privileges
    from pg_class c cross join (
      values (1, 'select'), (2, 'insert'), (3, 'update'), (4, 'delete')
    ) as p (place, privilege)
    where c.relnamespace = ${schemaKey(sql)} and c.relname in (
        select json_array_elements_text(${JSON.stringify(tables)}::text::json)
      ) and not has_table_privilege(c.oid, p.privilege)
    group by c.relname order by c.relname`;
  const [first] = missing;
  if (first !== undefined) await refuseGrant(sql, first.privileges, `table ${first.relname}`, TABLES_GRANT);
  const names = functions.map(({ name }) => name);
  if ((await missingFunctions(sql, names)).length > 0) await assertMayCreate(sql);
  for (const name of names) {
    const [denied] = await sql`
      select from pg_proc where proname = ${name} and pronamespace = ${schemaKey(sql)}
        and not has_function_privilege(oid, 'execute')`;
    if (denied !== undefined) await refuseGrant(sql, "EXECUTE", `function ${name}`, "execute on all functions");
  }
}

async function assertMayCreate(sql: AnySql): Promise<void> {
  const [row] = await sql<{ schema: string; role: string; may: boolean }[]>`
    select current_schema() as schema, current_user as role, has_schema_privilege(current_schema(), 'create') as may`;
  if (row === undefined || row.may) return;
  const { schema, role } = row;
  throw new UnsuitableDatabaseError(
    `role ${role} lacks CREATE on schema ${schema}: grant create on schema ${schema} to ${role}, ` +
      "or start the server once as a role that has it",
  );
}

/** @param grant what the operator should grant, without the schema and the role */
async function refuseGrant(sql: AnySql, privileges: string, what: string, grant: string): Promise<never> {
  const { role, schema } = await readOwner(sql);
  throw new UnsuitableDatabaseError(
    `role ${role} lacks ${privileges} on ${what}: grant ${grant} in schema ${schema} to ${role}`,
  );
}

async function readOwner(sql: AnySql): Promise<{ role: string; owner: string; schema: string }> {
  const [row] = await sql<{ role: string; owner: string; schema: string }[]>`
    select current_user as role, pg_get_userbyid(relowner) as owner, current_schema() as schema
    from pg_class where relname = ${JOURNAL} and relnamespace = ${schemaKey(sql)}`;
  return row ?? { role: "?", owner: "?", schema: "?" };
}

/** What stays until somebody acts, in words and without a stack trace; all else is a failure of the database. */
async function refusalOf(error: unknown, sql: Sql): Promise<unknown> {
  const { code = "", message } = error as Error & { code?: string };
  if (!TAKEN.has(code) && code !== "42501")
    return error instanceof UnsuitableDatabaseError ? error : storeErrorOf(error);
  const [row] = await sql<{ schema: string; role: string }[]>`select current_schema() as schema, current_user as role`;
  const what = TAKEN.has(code)
    ? `schema ${row?.schema} has tables, types or functions of others under this program's names (${message}): ` +
      "give it a schema of its own, such as schema=abstractruntime in the URL"
    : `role ${row?.role} may not do what a migration of schema ${row?.schema} needs: ${message}`;
  return new UnsuitableDatabaseError(what, { cause: error });
}

type Holder = { pid: number; name: string; since: string | null };

async function describeLockHolders(sql: Sql): Promise<string> {
  return describeHolders(
    await sql<Holder[]>`
      select a.pid, a.application_name as name, to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ') as since
      from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = ${MIGRATION_LOCK}
        and l.objid::int4 = ${schemaKey(sql)}
        and l.database = (select oid from pg_database where datname = current_database())
      limit ${HOLDERS_MAX}`,
  );
}

/** Sessions that have a table in their transaction, the oldest first. */
async function describeTableHolders(sql: Sql): Promise<string> {
  return describeHolders(
    await sql<Holder[]>`
      select a.pid, a.application_name as name, to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ') as since
      from pg_stat_activity a
      where a.pid <> pg_backend_pid() and exists (
        select from pg_locks l join pg_class c on c.oid = l.relation
        where l.pid = a.pid and l.granted and c.relnamespace = ${schemaKey(sql)}
      )
      order by a.xact_start limit ${HOLDERS_MAX}`,
  );
}

function describeHolders(holders: readonly Holder[]): string {
  if (holders.length === 0) return "which has just ended";
  return holders
    .map(
      ({ pid, name, since }) => `held by pid ${pid}${name && ` (${name})`}${since === null ? "" : ` since ${since}`}`,
    )
    .join("; ");
}
