/**
 * This program's functions in the database. Each is named by the digest of its own text. So servers of several releases
 * each find their own, and a change of a function is a diff of its text.
 *
 * A server names the functions that it calls in the transaction that opens its lease, under the lock of migrations.
 * Under the same lock, `migrate` creates missing functions and drops those that no open server names and that no server
 * has named for 30 days.
 */
import { hash } from "node:crypto";
import type { AnySql, Sql } from "./client.ts";

/**
 * The lock for everything that changes the database's schema. The number is arbitrary but must not be used elsewhere.
 */
export const MIGRATION_LOCK = 7_400_001;

/** Longer than a server of an earlier release may be down before it opens a lease again. */
const UNNAMED_DAYS_MAX = 30;

export type DatabaseFunction = { readonly name: string; readonly text: string };

/** @param definition returns the statement that creates the function under a name */
export function nameFunction(base: string, definition: (name: string) => string): DatabaseFunction {
  const digest = hash("sha256", definition(base)).slice(0, 8);
  const name = `${base}_${digest}`;
  return { name, text: definition(name) };
}

/** Creates missing functions, and records that all of these are needed. Call under `MIGRATION_LOCK`. */
export async function createFunctions(sql: Sql, functions: readonly DatabaseFunction[]): Promise<void> {
  for (const { name, text } of functions) {
    await sql.begin(async (transaction) => {
      if (!(await isThere(transaction, name))) await transaction.unsafe(text);
      await transaction`
        insert into functions (name) values (${name}) on conflict (name) do update set named_at = now()`;
    });
  }
}

/** Drops the functions that no server has named for a long time. Call under `MIGRATION_LOCK`. @returns their names */
export async function dropUnnamedFunctions(sql: Sql): Promise<string[]> {
  await sql`
    update functions f set named_at = greatest(f.named_at, named.until)
    from (
      select name, max(coalesce(s.ended_at, now())) as until
      from servers s cross join unnest(s.functions) as name
      group by name
    ) as named
    where named.name = f.name`;
  const unnamed = await sql<{ name: string }[]>`
    select name from functions where named_at < now() - ${UNNAMED_DAYS_MAX} * interval '1 day' order by name`;
  for (const { name } of unnamed) {
    await sql.begin(async (transaction) => {
      await transaction`drop function if exists ${transaction(name)}`;
      await transaction`delete from functions where name = ${name}`;
    });
  }
  return unnamed.map(({ name }) => name);
}

/** Returns which of the functions that a server is about to name are missing. */
export async function missingFunctions(sql: AnySql, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if (!(await isThere(sql, name))) missing.push(name);
  return missing;
}

async function isThere(sql: AnySql, name: string): Promise<boolean> {
  const rows = await sql`select where to_regproc(${name}) is not null`;
  return rows.length > 0;
}
