/** What is stored once for all servers of one installation, and what tells installations in one database apart. */
import { openClient, type Sql } from "./client.ts";
import { storeErrorOf } from "./errors.ts";
import { schemaKey } from "./functions.ts";

export type Installation = {
  /** The key of the tokens that this installation gives out. */
  tokenKey: Uint8Array;
  /** The channel of its notices. Channels belong to the database, which may have several installations. */
  channel: string;
};

export async function readInstallation(sql: Sql): Promise<Installation> {
  const [row] = await sql<{ value: string; key: number }[]>`
    select value, ${schemaKey(sql)} as key from settings where key = 'token_key'`;
  if (row === undefined) throw new Error("the database has no token key; migrate it before opening the store");
  return { tokenKey: new Uint8Array(Buffer.from(row.value, "hex")), channel: `abstractruntime_${row.key >>> 0}` };
}

/** Where a URL leads: `key` differs between installations. */
export type Place = { key: string; role: string; database: string; schema: string };

/** @throws StoreUnavailableError */
export async function findInstallation(url: string): Promise<Place> {
  const sql = openClient(url, { max: 1, prepare: false });
  try {
    const [place] = await sql<{ role: string; database: string; schema: string; is_there: boolean }[]>`
      select current_user as role, current_database() as database, current_schema() as schema, exists (
        select from pg_class where relname = 'settings' and relnamespace = ${schemaKey(sql)}
      ) as is_there`;
    if (place === undefined) throw new Error("the database did not return its schema");
    const { tokenKey } = place.is_there ? await readInstallation(sql) : { tokenKey: [] };
    return { ...place, key: `${place.database} ${place.schema} ${tokenKey.join()}` };
  } catch (error) {
    throw storeErrorOf(error);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
