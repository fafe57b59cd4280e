/**
 * This program's functions in the database. Each is named by the digest of its own text. So servers of several releases
 * each find their own, and a change of a function is a diff of its text.
 *
 * A server names the functions that it calls in the transaction that opens its lease, under the lock of migrations.
 * Under the same lock, `migrate` creates missing functions and drops those that no open server names and that no server
 * has named for 30 days.
 */
import { hash } from "node:crypto";
import type { AnySql, Fragment } from "./client.ts";

/**
 * The lock for everything that changes the schema: the first key of an advisory lock; `schemaKey` is the
 * second, since a database may have several installations. The number is arbitrary but must not be used elsewhere.
 */
export const MIGRATION_LOCK = 7_400_001;

/** The schema of this installation, as a number: the second key of its advisory locks. */
export function schemaKey(sql: AnySql): Fragment {
  return sql`(select oid::int4 from pg_namespace where nspname = current_schema())`;
}

/** Longer than a server of an earlier release may be down before it opens a lease again. */
const UNNAMED_DAYS_MAX = 30;

export type DatabaseFunction = { readonly name: string; readonly text: string };

/** @param definition returns the statement that creates the function under a name */
export function nameFunction(base: string, definition: (name: string) => string): DatabaseFunction {
  const digest = hash("sha256", definition(base)).slice(0, 8);
  const name = `${base}_${digest}`;
  return { name, text: definition(name) };
}

/**
 * Creates missing functions, and records that all of these are needed. Call in a transaction that has `MIGRATION_LOCK`.
 */
export async function createFunctions(sql: AnySql, functions: readonly DatabaseFunction[]): Promise<void> {
  for (const { name, text } of functions) {
    if (!(await isThere(sql, name))) await sql.unsafe(text);
    await sql`insert into functions (name) values (${name}) on conflict (name) do update set named_at = now()`;
  }
}

/**
 * Drops the functions that no server has named for a long time, if they belong to this role. Call in a transaction that
 * has `MIGRATION_LOCK`.
 */
export async function dropUnnamedFunctions(sql: AnySql): Promise<void> {
  await sql`
    update functions f set named_at = greatest(f.named_at, named.until)
    from (
      select name, max(coalesce(s.ended_at, now())) as until
      from servers s cross join unnest(s.functions) as name
      group by name
    ) as named
    where named.name = f.name`;
  const unnamed = await sql<{ name: string }[]>`
    select f.name from functions f left join pg_proc p on p.proname = f.name and p.pronamespace = ${schemaKey(sql)}
    where f.named_at < now() - ${UNNAMED_DAYS_MAX} * interval '1 day'
      and (p.oid is null or pg_has_role(p.proowner, 'usage'))
    order by f.name`;
  for (const { name } of unnamed) {
    await sql`drop function if exists ${sql(name)}`;
    await sql`delete from functions where name = ${name}`;
  }
}

/** Returns which of the functions that a server is about to name are missing. */
export async function missingFunctions(sql: AnySql, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if (!(await isThere(sql, name))) missing.push(name);
  return missing;
}

async function isThere(sql: AnySql, name: string): Promise<boolean> {
  // In this schema: another installation in the search_path may have the same function.
  const rows = await sql`select from pg_proc where proname = ${name} and pronamespace = ${schemaKey(sql)}`;
  return rows.length > 0;
}
