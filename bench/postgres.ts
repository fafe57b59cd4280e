/** The database that is measured against and on: its durability, a fresh database for each measurement, and its counters. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { startEmbeddedPostgres } from "../server/src/embedded-postgres/embedded-postgres.ts";

/** Without one of these a commit may be lost by a power cut, and costs next to nothing. */
const DURABLE = ["fsync", "synchronous_commit", "full_page_writes"] as const;

/** What the cluster has done so far. */
export type Counters = {
  /** Transactions that wrote: the ids given out. */
  writes: number;
  walBytes: number;
  /** Transactions of one database, reads included. Sessions report them about once a second. */
  transactions: number;
};

export type BenchPostgres = {
  readonly version: string;
  /** The postmaster; undefined if it is not on this machine. */
  readonly pid: number | undefined;
  /** Makes an empty database of the role that servers use. */
  createDatabase(name: string): Promise<BenchDatabase>;
  /** So that a measurement neither pays for what others left, nor meets a checkpoint by chance. */
  checkpoint(): Promise<void>;
  counters(database: string): Promise<Counters>;
  /** The statements that were sent while `work` went on, as Postgres logs them. Only of the embedded Postgres. */
  statementsDuring(work: () => Promise<void>): Promise<string[]>;
  close(): Promise<void>;
};

export type BenchDatabase = {
  name: string;
  url: string;
  /** Cleans up and analyses, as it would by itself in time. */
  vacuum(): Promise<void>;
  /** Does something in the database itself, as its owner. */
  withSql<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T>;
  drop(): Promise<void>;
};

/** Says what keeps a Postgres from being durable. */
export class NotDurableError extends Error {
  override readonly name = "NotDurableError";
}

const log = {
  info: () => {},
  warn: (message: string) => console.error(message),
  error: (message: string) => console.error(message),
};

/**
 * Starts an embedded Postgres with data in `folder`, or connects to one that runs.
 * @param adminUrl of a superuser in the database `postgres`. Absent: the embedded one
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
  // Looking gives out no transaction id.
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
  // A session reads its settings before its next statement, so the first one of each is logged as well.
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
