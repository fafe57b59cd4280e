/** Small messages between the servers of one database, by NOTIFY. They may be lost; a poll finds the same work. */
import assert from "node:assert/strict";
import type { NoticeStore } from "../contract/notices.ts";
import type { Statements } from "../map-verbs.ts";
import type { Sql } from "./client.ts";

/** Postgres accepts less than 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_000;

async function notify(sql: Sql, channel: string, payload: string): Promise<void> {
  assert(Buffer.byteLength(payload) <= PAYLOAD_BYTES_MAX, `a notice has at most ${PAYLOAD_BYTES_MAX} bytes`);
  await sql`select pg_notify(${channel}, ${payload})`;
}

/** Listens on a separate connection, which postgres.js reopens whenever it is lost. */
async function listen(sql: Sql, channel: string, onPayload: (payload: string) => void): Promise<() => Promise<void>> {
  const { unlisten } = await sql.listen(channel, onPayload);
  return async () => {
    await unlisten();
  };
}

type NoticeConnections = {
  sql: Sql;
  /** Points to Postgres itself: a pooler in transaction mode does not carry LISTEN. */
  direct: Sql;
  /** One for all notices of this installation: whoever is interested reads the payload. */
  channel: string;
};

export const notices: Statements<NoticeConnections, NoticeStore> = {
  send: ({ sql, channel }, payload) => notify(sql, channel, payload),
  listen: ({ direct, channel }, onPayload) => listen(direct, channel, onPayload),
};
