/** The Postgres of the benchmark: checks that it is durable, creates a database per measurement, and reads counters. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { startEmbeddedPostgres } from "../server/src/embedded-postgres/embedded-postgres.ts";

/** Without one of these a power cut may lose a commit, and commits cost almost nothing. */
const DURABLE = ["fsync", "synchronous_commit", "full_page_writes"] as const;

/** The cluster's counters so far. */
export type Counters = {
  /** Transactions that wrote: the assigned ids. */
  writes: number;
  walBytes: number;
  /** Transactions of one database, including reads. Sessions report them about once a second. */
  transactions: number;
};

export type BenchPostgres = {
  readonly version: string;
  /** The postmaster; undefined if it is not on this machine. */
  readonly pid: number | undefined;
  /** Creates an empty database that belongs to the servers' role. */
  createDatabase(name: string): Promise<BenchDatabase>;
  /** Writes a checkpoint, so that a measurement does not pay for earlier work or meet a checkpoint by chance. */
  checkpoint(): Promise<void>;
  counters(database: string): Promise<Counters>;
  /** The statements that were sent during `work`, from the log of Postgres. Embedded Postgres only. */
  statementsDuring(work: () => Promise<void>): Promise<string[]>;
  close(): Promise<void>;
};

export type BenchDatabase = {
  name: string;
  url: string;
  /** Vacuums and analyses, as autovacuum would in time. */
  vacuum(): Promise<void>;
  /** Runs something in the database, as its owner. */
  withSql<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T>;
  drop(): Promise<void>;
};

/** A Postgres is not durable; the message says why. */
export class NotDurableError extends Error {
  override readonly name = "NotDurableError";
}

const log = {
  info: () => {},
  warn: (message: string) => console.error(message),
  error: (message: string) => console.error(message),
};

/**
 * Starts an embedded Postgres with data in `folder`, or connects to a running one.
 * @param adminUrl the URL of a superuser in the database `postgres`; if absent, the embedded Postgres is started
 * @throws {NotDurableError}
 */
export async function openPostgres(folder: string, adminUrl: string | undefined): Promise<BenchPostgres> {
  const dataDir = join(folder, "postgres-data");
  const embedded = adminUrl === undefined ? await startEmbeddedPostgres({ dataDir, log }) : undefined;
  const admin = embedded?.adminUrl ?? adminUrl!;
  const roleUrl = embedded?.url ?? adminUrl!;
  const logFile = embedded === undefined ? undefined : join(dataDir, "postgres", "postgres.log");
  const sql = postgres(admin, { max: 1, onnotice: () => {} });
  const close = async (): Promise<void> => {
    await sql.end();
    await embedded?.stop();
  };
  try {
    await assertDurable(sql);
    const [server] = await sql<[{ version: string }]>`select current_setting('server_version') as version`;
    return {
      version: server.version,
      pid: embedded?.pid ?? (await localPostmaster(sql)),
      createDatabase: (name) => createDatabase(sql, name, roleUrl),
      checkpoint: async () => void (await sql`checkpoint`),
      counters: (database) => readCounters(sql, database),
      statementsDuring: (work) => statementsDuring(sql, logFile, work),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws {NotDurableError} */
async function assertDurable(sql: postgres.Sql): Promise<void> {
  for (const setting of DURABLE) {
    const [row] = await sql<[{ value: string }]>`select current_setting(${setting}) as value`;
    if (row.value !== "on") {
      throw new NotDurableError(`this Postgres is not durable: ${setting} is ${row.value}; nothing was measured`);
    }
  }
}

async function localPostmaster(sql: postgres.Sql): Promise<number | undefined> {
  const [row] = await sql<[{ text: string }]>`
    select pg_read_file('postmaster.pid') as text`;
  const pid = Number(row.text.split("\n")[0]);
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("postgres") ? pid : undefined;
  } catch {
    return undefined;
  }
}

async function createDatabase(sql: postgres.Sql, name: string, roleUrl: string): Promise<BenchDatabase> {
  const drop = async (): Promise<void> => void (await sql`drop database if exists ${sql(name)} with (force)`);
  await drop();
  const owner = decodeURIComponent(new URL(roleUrl).username);
  await sql`create database ${sql(name)} owner ${sql(owner)}`;
  const { href: url } = Object.assign(new URL(roleUrl), { pathname: `/${name}` });
  const withSql: BenchDatabase["withSql"] = async (work) => {
    const inside = postgres(url, { max: 1, onnotice: () => {} });
    try {
      return await work(inside);
    } finally {
      await inside.end();
    }
  };
  return { name, url, withSql, vacuum: () => withSql(async (inside) => void (await inside`vacuum analyze`)), drop };
}

async function readCounters(sql: postgres.Sql, database: string): Promise<Counters> {
  // Reading the counter assigns no transaction id.
  const [row] = await sql<[{ writes: string; wal: string; transactions: string }]>`
    select pg_snapshot_xmax(pg_current_snapshot())::text as writes,
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as wal,
           (select xact_commit::text from pg_stat_database where datname = ${database}) as transactions`;
  return { writes: Number(row.writes), walBytes: Number(row.wal), transactions: Number(row.transactions) };
}

async function statementsDuring(
  sql: postgres.Sql,
  logFile: string | undefined,
  work: () => Promise<void>,
): Promise<string[]> {
  if (logFile === undefined) throw new Error("the log of this Postgres cannot be read; use the embedded one");
  const [own] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  await sql`alter system set log_statement = 'all'`;
  await sql`select pg_reload_conf()`;
  // A session reads its settings before its next statement, so the first statement of each session is logged as well.
  const before = readFileSync(logFile).length;
  try {
    await work();
  } finally {
    await sql`alter system reset log_statement`;
    await sql`select pg_reload_conf()`;
  }
  const lines = readFileSync(logFile).subarray(before).toString().split("\n");
  return lines.flatMap((line) => {
    const [, pid, statement] = /^\S+ \S+ \S+ \[(\d+)\] LOG: {2}(?:statement|execute [^:]*): (.*)$/.exec(line) ?? [];
    return statement === undefined || Number(pid) === own.pid ? [] : [statement.trim()];
  });
}
