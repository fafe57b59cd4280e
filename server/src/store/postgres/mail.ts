/** Mail, and work that a crash left undone. */
import type { Channel, Scope } from "../../core/event.ts";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { parseOwnJson } from "../../core/json/json.ts";
import { type Mail, MAIL_BYTES_MAX, MAIL_LETTERS_MAX, type MailStore, type Strays } from "../contract/mail.ts";
import type { RunKey } from "../contract/runs.ts";
import type { Fragment, Sql } from "./client.ts";
import { keyFromRow, keyRows } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

type MailRow = { tenant_id: string; run_id: string; mail_id: number; kind: string; body: string };

async function listMail(sql: Sql, keys: readonly RunKey[], kinds?: readonly string[]): Promise<Mail[]> {
  if (keys.length === 0) return [];
  const rows = await sql<MailRow[]>`
    select m.tenant_id, m.run_id, m.mail_id, m.kind, m.body
    from json_to_recordset(${keyRows(keys)}::text::json) as k (tenant_id text, run_id text)
    cross join lateral (
      select f.*, row_number() over by_id as number, sum(octet_length(f.body)) over by_id as bytes
      from (
        select l.tenant_id, l.run_id, l.mail_id, l.kind, l.body from mail l
        where l.tenant_id = k.tenant_id and l.run_id = k.run_id ${ofKinds(sql, sql`l.kind`, kinds)}
        order by l.mail_id limit ${MAIL_LETTERS_MAX}
      ) as f
      window by_id as (order by f.mail_id)
    ) as m
    where m.number = 1 or m.bytes <= ${MAIL_BYTES_MAX}
    order by m.mail_id`;
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    runId: row.run_id,
    mailId: row.mail_id,
    kind: row.kind,
    ...decodeStored<Pick<Mail, "body" | "damage">>(
      () => ({ body: parseOwnJson(row.body) }),
      (what, cause) => new DamageError("mail", { run_id: row.run_id, mail_id: row.mail_id }, what, cause),
      (damage) => ({ body: null, damage }),
    ),
  }));
}

function ofKinds(sql: Sql, column: Fragment, kinds: readonly string[] | undefined): Fragment {
  return kinds === undefined
    ? sql``
    : sql`and ${column} = any (array(select json_array_elements_text(${JSON.stringify(kinds)}::text::json)))`;
}

/** Finds mail and channels that no server has dealt with for some time. */
async function findStrays(
  sql: Sql,
  olderThanMs: number,
  limit: number,
  mailKinds?: readonly string[],
): Promise<Strays> {
  const mailed = await findMailed(sql, olderThanMs, limit, mailKinds);
  return { mailed, channels: await findBehind(sql, olderThanMs, limit) };
}

/** Whether a time is long past. One in the future is of a clock that was set back since, so its age is not known. */
function isOlder(sql: Sql, time: Fragment, olderThanMs: number): Fragment {
  const age = sql`${olderThanMs} * interval '1 millisecond'`;
  return sql`${time} <= now() - ${age} or ${time} > now() + ${age}`;
}

async function findMailed(sql: Sql, olderThanMs: number, limit: number, kinds?: readonly string[]): Promise<RunKey[]> {
  const rows = await sql<{ tenant_id: string; run_id: string }[]>`
    select m.tenant_id, m.run_id from mail m join runs r on r.tenant_id = m.tenant_id and r.run_id = m.run_id
    where (${isOlder(sql, sql`m.create_time`, olderThanMs)}) ${ofKinds(sql, sql`m.kind`, kinds)}
    group by m.tenant_id, m.run_id
    order by min(m.mail_id) limit ${limit}`;
  return rows.map(keyFromRow);
}

async function findBehind(sql: Sql, olderThanMs: number, limit: number): Promise<Channel[]> {
  const rows = await sql<{ tenant_id: string; scope: Scope; scope_id: string }[]>`
    select tenant_id, scope, scope_id from channels
    where woken_number < last_number and (${isOlder(sql, sql`emit_time`, olderThanMs)})
    order by emit_time limit ${limit}`;
  return rows.map((row) => ({ tenantId: row.tenant_id, scope: row.scope, scopeId: row.scope_id }));
}

export const mail: Statements<Sql, MailStore> = { list: listMail, findStrays };
