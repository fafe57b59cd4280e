/** Whether commits can go through, asked while they may not. A server without trouble never asks. */
import { randomBytes } from "node:crypto";
import { getTableName, is } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { StoreUnavailableError } from "../contract/errors.ts";
import type { Sql } from "./client.ts";
import * as schema from "./schema.ts";

/** Does not fit into a page's free space, so a disk without room refuses it. Random, so it cannot be compressed. */
const ROW_BYTES = 24_000;

const TABLES = Object.values(schema).flatMap((table) => (is(table, PgTable) ? [getTableName(table)] : []));

class RollBack extends Error {}

/** @throws the error that a commit would have */
export async function probe(sql: Sql, functions: readonly string[]): Promise<void> {
  await assertAccess(sql, functions);
  try {
    await sql.begin(async (transaction) => {
      const value = randomBytes(ROW_BYTES / 2).toString("hex");
      await transaction`insert into settings (key, value) values (${`probe ${value.slice(0, 16)}`}, ${value})`;
      throw new RollBack();
    });
  } catch (error) {
    if (!(error instanceof RollBack)) throw error;
  }
}

async function assertAccess(sql: Sql, functions: readonly string[]): Promise<void> {
  const rows = await sql<{ name: string; is_there: boolean }[]>`
    with needed as (
      select value as name, to_regclass(value)::oid as found, true as is_table
      from json_array_elements_text(${JSON.stringify(TABLES)}::text::json)
      union all
      select value, to_regproc(value)::oid, false
      from json_array_elements_text(${JSON.stringify(functions)}::text::json)
    )
    select name, found is not null as is_there from needed
    where found is null or not case
      when is_table then
        has_table_privilege(found, 'select') and has_table_privilege(found, 'insert')
        and has_table_privilege(found, 'update') and has_table_privilege(found, 'delete')
      else has_function_privilege(found, 'execute')
    end
    order by found is not null, name`;
  const [first] = rows;
  if (first === undefined) return;
  const names = rows.filter(({ is_there }) => is_there === first.is_there).map(({ name }) => name);
  throw first.is_there
    ? new StoreUnavailableError(`the role may not use ${names.join(", ")}`, {
        kind: "permission_denied",
        code: "42501",
      })
    : new StoreUnavailableError(`the database has no ${names.join(", ")}`, { kind: "schema_missing", code: "42P01" });
}
