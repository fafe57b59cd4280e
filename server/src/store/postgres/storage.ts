/** How tables are stored, as far as `drizzle-kit` cannot express it. */
import type { AnySql } from "./client.ts";
import { schemaKey } from "./functions.ts";

/**
 * Storage parameters by table. Fill factors leave room for the next versions of a row on its own page (heap-only
 * tuples).
 */
const PARAMETERS: Readonly<Record<string, string>> = {
  runs: "fillfactor=60",
  run_parts: "fillfactor=60",
  channels: "fillfactor=60",
  // Every lease and every result writes a new version of the row, usually on the same page as the previous one.
  jobs: "fillfactor=70",
  lanes: "fillfactor=20",
  servers: "fillfactor=20",
  // Hashes are neither compressed nor moved out of their row as long as the row fits on a page: both would cost more
  // than they save.
  batches: "toast_tuple_target=8160",
};

/**
 * Tables whose primary key is created last. Among indexes that seem to cost the same, the planner takes the one that
 * was created last, and all of them seem to while a table is small or was small when it was last analyzed. Postgres 18
 * then skips through the columns before an id in an index that is meant for lists: half of the database's time in the
 * first minutes of an installation went into such scans.
 */
const KEYS_LAST = ["runs", "waits"];

/**
 * Sets how the tables are stored. Changes nothing if they are already stored that way, or belong to another role: their
 * owner does it.
 */
export async function arrangeStorage(sql: AnySql): Promise<void> {
  const tables = await sql<{ relname: string; reloptions: string | null }[]>`
    select relname, array_to_string(reloptions, ',') as reloptions from pg_class
    where relkind = 'r' and relnamespace = ${schemaKey(sql)} and pg_has_role(relowner, 'usage')`;
  const stored = new Map(tables.map(({ relname, reloptions }) => [relname, reloptions]));
  for (const [table, parameter] of Object.entries(PARAMETERS)) {
    if (stored.has(table) && stored.get(table) !== parameter) {
      await sql.unsafe(`alter table ${table} set (${parameter})`);
    }
  }
  for (const table of KEYS_LAST) if (stored.has(table)) await makeKeyLast(sql, table);
}

/**
 * Recreates the primary key of an empty table if another index was created after it. A table with rows has statistics,
 * so it does not need this.
 */
async function makeKeyLast(sql: AnySql, table: string): Promise<void> {
  const [key] = await sql<{ conname: string; definition: string }[]>`
    select conname, pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = ${table}::regclass and contype = 'p'
      and conindid < (select max(indexrelid) from pg_index where indrelid = ${table}::regclass)
      and not exists (select from ${sql(table)})`;
  if (key === undefined) return;
  const { conname, definition } = key;
  await sql.unsafe(`alter table ${table} drop constraint ${conname}, add constraint ${conname} ${definition}`);
}
