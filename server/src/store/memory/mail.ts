/** Mail for runs, and what nobody has looked after. */
import { addMs } from "../../core/duration.ts";
import { hasEnded } from "../../core/run.ts";
import type { MailStore, Mail, MailDraft, Strays } from "../contract/mail.ts";
import type { RunKey } from "../contract/runs.ts";
import { type MemoryDatabase, rowKey, timeOf } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

export function deliverMail(database: MemoryDatabase, { tenantId, runId }: RunKey, draft: MailDraft): void {
  database.lastMailId += 1;
  const { kind, actorId, reason } = draft;
  database.mail.set(database.lastMailId, {
    mailId: database.lastMailId,
    tenantId,
    runId,
    kind,
    ...(actorId === undefined ? {} : { actorId }),
    ...(reason === undefined ? {} : { reason }),
    createTime: timeOf(database),
  });
}

/** In the order of delivery: mail ids rise, and the map keeps them so. */
function listMail(database: MemoryDatabase, keys: readonly RunKey[]): Mail[] {
  const wanted = new Set(keys.map(({ tenantId, runId }) => rowKey(tenantId, runId)));
  return [...database.mail.values()]
    .filter((mail) => wanted.has(rowKey(mail.tenantId, mail.runId)))
    .map(({ createTime: _createTime, ...mail }) => mail);
}

/** Mail to a run that has ended or is not there is no stray: no transition could ever act on it. */
function findStrays(database: MemoryDatabase, olderThanMs: number, limit: number): Strays {
  const until = addMs(timeOf(database), -olderThanMs);
  const mailed = new Map<string, RunKey>();
  for (const { tenantId, runId, createTime } of database.mail.values()) {
    const key = rowKey(tenantId, runId);
    const run = database.runs.get(key);
    if (createTime <= until && run !== undefined && !hasEnded(run.head)) mailed.set(key, { tenantId, runId });
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
