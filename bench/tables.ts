/** The size of a database's tables, and their dead rows. */
import type { BenchDatabase } from "./postgres.ts";

export type TableSizes = {
  /** Size of all tables, with their indexes and TOAST. */
  bytes: number;
  /** Size of the tables in which every step changes a row. */
  changingBytes: number;
  liveRows: number;
  deadRows: number;
  /** How often autovacuum vacuumed a table. */
  autovacuums: number;
};

/** Row counts are Postgres's estimates. */
export async function readTableSizes(database: BenchDatabase): Promise<TableSizes> {
  return await database.withSql(async (sql) => {
    const [row] = await sql<[Record<keyof TableSizes, string>]>`
      select sum(pg_total_relation_size(relid)) as bytes,
             sum(pg_total_relation_size(relid)) filter (where relname in ('runs', 'run_parts', 'lanes', 'servers'))
               as "changingBytes",
             sum(n_live_tup) as "liveRows", sum(n_dead_tup) as "deadRows", sum(autovacuum_count) as autovacuums
      from pg_stat_user_tables`;
    return {
      bytes: Number(row.bytes),
      changingBytes: Number(row.changingBytes),
      liveRows: Number(row.liveRows),
      deadRows: Number(row.deadRows),
      autovacuums: Number(row.autovacuums),
    };
  });
}
