/** Creates past runs: many completed runs with their records, copied in the database from one that really ran. */
import type postgres from "postgres";
import type { BenchDatabase } from "./postgres.ts";

/** The tables in which an ended run leaves rows. */
const TABLES = ["runs", "run_parts", "step_records", "feed"] as const;
/** Runs per statement: few enough that it takes only seconds. */
const RUNS_PER_STATEMENT = 20_000;
/** Parallel statements: one for each core of a small machine. */
const CONNECTIONS = 2;
/** The copies look as if one run had been started every second. */
const SECONDS_BETWEEN = 1;

/**
 * The columns of a copy that differ from the original. Ids rise with time, as the server's own do; the copies'
 * positions in the feed are in a lane that does not exist. Headers and hashes are the original's, so the copies' chains
 * do not verify, but all sizes are the same.
 */
const CHANGED: Readonly<Record<string, string>> = {
  run_id: "'past-' || lpad(copy::text, 9, '0')",
  root_run_id: "'past-' || lpad(copy::text, 9, '0')",
  create_time: `create_time - make_interval(secs => ($2::int - copy) * ${SECONDS_BETWEEN})`,
  update_time: `update_time - make_interval(secs => ($2::int - copy) * ${SECONDS_BETWEEN})`,
  end_time: `end_time - make_interval(secs => ($2::int - copy) * ${SECONDS_BETWEEN})`,
  lane_id: "-1",
  batch_no: "copy",
  ordinal: "seq",
};

/** Copies the run many times, with everything that it left, and then vacuums. Returns the number of records of a
 *  run. */
export async function copyRun(database: BenchDatabase, runId: string, copies: number): Promise<number> {
  const ranges = Array.from({ length: Math.ceil(copies / RUNS_PER_STATEMENT) }, (_, index) => ({
    first: index * RUNS_PER_STATEMENT + 1,
    last: Math.min(copies, (index + 1) * RUNS_PER_STATEMENT),
  }));
  const copyRanges = async (sql: postgres.Sql): Promise<void> => {
    const statements = await Promise.all(TABLES.map((table) => copyStatement(sql, table)));
    for (let range = ranges.shift(); range !== undefined; range = ranges.shift()) {
      const { first, last } = range;
      for (const statement of statements) await sql.unsafe(statement, [runId, copies, first, last]);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, () => database.withSql(copyRanges)));
  await database.vacuum();
  return await database.withSql(async (sql) => {
    const [row] = await sql<[{ count: string }]>`select count(*) from step_records where run_id = ${runId}`;
    return Number(row.count);
  });
}

async function copyStatement(sql: postgres.Sql, table: string): Promise<string> {
  const rows = await sql<{ column_name: string }[]>`
    select column_name from information_schema.columns
    where table_schema = 'public' and table_name = ${table} order by ordinal_position`;
  const columns = rows.map(({ column_name }) => column_name);
  const values = columns.map((column) => CHANGED[column] ?? column);
  return `
    insert into ${table} (${columns.join()})
    select ${values.join()} from ${table}, generate_series($3::int, $4::int) as copy
    where run_id = $1 and $2::int > 0
    order by copy`;
}
