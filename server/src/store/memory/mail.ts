/** Mail for runs, and work that was left undone. */
import { addMs } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";
import {
  type Mail,
  MAIL_BYTES_MAX,
  MAIL_LETTERS_MAX,
  type MailDraft,
  type MailStore,
  type Strays,
} from "../contract/mail.ts";
import type { RunKey } from "../contract/runs.ts";
import { type MemoryDatabase, readStored, rowKey, timeOf } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

export function deliverMail(database: MemoryDatabase, { tenantId, runId, kind, body }: RunKey & MailDraft): void {
  database.lastMailId += 1;
  const mailId = database.lastMailId;
  const bodyText = JSON.stringify(body);
  database.mail.set(mailId, { mailId, tenantId, runId, kind, bodyText, createTime: timeOf(database) });
}

function listMail(database: MemoryDatabase, keys: readonly RunKey[], kinds?: readonly string[]): Mail[] {
  const runs = new Set(keys.map(({ tenantId, runId }) => rowKey(tenantId, runId)));
  const taken = new Map<string, { letters: number; bytes: number }>();
  // Mail ids rise, and the map keeps them in order.
  return [...database.mail.values()].flatMap(({ createTime: _createTime, bodyText, ...mail }) => {
    const key = rowKey(mail.tenantId, mail.runId);
    if (!runs.has(key) || kinds?.includes(mail.kind) === false) return [];
    const { letters, bytes } = taken.get(key) ?? { letters: 0, bytes: 0 };
    const now = { letters: letters + 1, bytes: bytes + Buffer.byteLength(bodyText) };
    taken.set(key, now);
    const isTaken = now.letters <= MAIL_LETTERS_MAX && (letters === 0 || now.bytes <= MAIL_BYTES_MAX);
    return isTaken ? [{ ...mail, body: readStored(bodyText) as Json }] : [];
  });
}

/** Mail to a run that does not exist is not a stray: no transition can act on it. An ended run still takes its mail. */
function findStrays(
  database: MemoryDatabase,
  olderThanMs: number,
  limit: number,
  mailKinds?: readonly string[],
): Strays {
  const now = timeOf(database);
  const [from, until] = [addMs(now, -olderThanMs), addMs(now, olderThanMs)];
  const mailed = new Map<string, RunKey>();
  for (const { tenantId, runId, kind, createTime } of database.mail.values()) {
    if (mailKinds?.includes(kind) === false) continue;
    const key = rowKey(tenantId, runId);
    if ((createTime <= from || createTime > until) && database.runs.has(key)) mailed.set(key, { tenantId, runId });
  }
  const channels = database.channels.values().filter((row) => row.wokenNumber < row.lastNumber);
  return {
    mailed: [...mailed.values()].slice(0, limit),
    channels: channels
      .take(limit)
      .map((row) => ({ ...row.channel }))
      .toArray(),
  };
}

export const mail: Statements<MemoryDatabase, MailStore> = { list: listMail, findStrays };
