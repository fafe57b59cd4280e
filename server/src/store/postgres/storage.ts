/** How tables are stored: what `drizzle-kit` cannot say. */
import type { Sql } from "./client.ts";

/**
 * Storage parameters by table. Fill factors leave room for the next versions of a row on its own page (heap-only
 * tuples).
 */
const PARAMETERS: Readonly<Record<string, string>> = {
  runs: "fillfactor=60",
  run_parts: "fillfactor=60",
  channels: "fillfactor=60",
  // Every lease and every result is a new version of the row, most of them on the page of the one before.
  jobs: "fillfactor=70",
  lanes: "fillfactor=20",
  servers: "fillfactor=20",
  // Hashes are neither compressed nor moved out of their row while the row fits on a page: both would cost more than
  // they save.
  batches: "toast_tuple_target=8160",
};

/**
 * Tables whose primary key is made last. Of indexes that seem to cost the same, the planner takes the one that was made
 * last; while a table is small, or was when it was analyzed, all of them do, and Postgres 18 skips through the columns
 * before an id in an index that is for lists: half of the database's time in the first minutes of an installation went
 * into the others.
 */
const KEYS_LAST = ["runs", "waits"];

/** Brings the tables to how they are to be stored. Changes nothing where they are. */
export async function arrangeStorage(sql: Sql): Promise<void> {
  const tables = await sql<{ relname: string; reloptions: string | null }[]>`
    select relname, array_to_string(reloptions, ',') as reloptions from pg_class
    where relkind = 'r' and relnamespace = current_schema()::regnamespace`;
  const stored = new Map(tables.map(({ relname, reloptions }) => [relname, reloptions]));
  for (const [table, parameter] of Object.entries(PARAMETERS)) {
    if (stored.get(table) !== parameter) await sql.unsafe(`alter table ${table} set (${parameter})`);
  }
  for (const table of KEYS_LAST) await makeKeyLast(sql, table);
}

/**
 * Makes the primary key of an empty table anew if another index was made after it. A table with rows has statistics.
 */
async function makeKeyLast(sql: Sql, table: string): Promise<void> {
  const [key] = await sql<{ conname: string; definition: string }[]>`
    select conname, pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = ${table}::regclass and contype = 'p'
      and conindid < (select max(indexrelid) from pg_index where indrelid = ${table}::regclass)
      and not exists (select from ${sql(table)})`;
  if (key === undefined) return;
  const { conname, definition } = key;
  await sql.unsafe(`alter table ${table} drop constraint ${conname}, add constraint ${conname} ${definition}`);
}
