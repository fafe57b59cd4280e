/** Mail, and what a crash left behind. */
import type { Channel, Scope } from "../../core/event.ts";
import type { MailStore, Mail, MailDraft, Strays } from "../contract/mail.ts";
import type { RunKey } from "../contract/runs.ts";
import type { Sql } from "./client.ts";
import { keyFromRow, keyRows } from "./runs.ts";
import type { Statements } from "../map-verbs.ts";

type MailRow = {
  tenant_id: string;
  run_id: string;
  mail_id: number;
  kind: MailDraft["kind"];
  actor_id: string | null;
  reason: string | null;
};

/** All mail of some runs, in the order in which it came. */
async function listMail(sql: Sql, keys: readonly RunKey[]): Promise<Mail[]> {
  if (keys.length === 0) return [];
  const rows = await sql<MailRow[]>`
    select m.tenant_id, m.run_id, m.mail_id, m.kind, m.actor_id, m.reason
    from json_to_recordset(${keyRows(keys)}::text::json) as k (tenant_id text, run_id text)
    join mail m on m.tenant_id = k.tenant_id and m.run_id = k.run_id
    order by m.mail_id`;
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    runId: row.run_id,
    mailId: row.mail_id,
    kind: row.kind,
    ...(row.actor_id === null ? {} : { actorId: row.actor_id }),
    ...(row.reason === null ? {} : { reason: row.reason }),
  }));
}

/** Mail and channels that nobody looked after for some time. */
async function findStrays(sql: Sql, olderThanMs: number, limit: number): Promise<Strays> {
  const [mailed, channels] = [await findMailed(sql, olderThanMs, limit), await findBehind(sql, olderThanMs, limit)];
  return { mailed, channels };
}

async function findMailed(sql: Sql, olderThanMs: number, limit: number): Promise<RunKey[]> {
  const rows = await sql<{ tenant_id: string; run_id: string }[]>`
    select m.tenant_id, m.run_id from mail m join runs r on r.tenant_id = m.tenant_id and r.run_id = m.run_id
    where m.create_time <= now() - ${olderThanMs} * interval '1 millisecond'
    group by m.tenant_id, m.run_id
    order by min(m.mail_id) limit ${limit}`;
  return rows.map(keyFromRow);
}

async function findBehind(sql: Sql, olderThanMs: number, limit: number): Promise<Channel[]> {
  const rows = await sql<{ tenant_id: string; scope: Scope; scope_id: string }[]>`
    select tenant_id, scope, scope_id from channels
    where woken_number < last_number and emit_time <= now() - ${olderThanMs} * interval '1 millisecond'
    order by emit_time limit ${limit}`;
  return rows.map((row) => ({ tenantId: row.tenant_id, scope: row.scope, scopeId: row.scope_id }));
}

export const mail: Statements<Sql, MailStore> = { list: listMail, findStrays };
