/** Small messages between the servers of one database, by NOTIFY. They may be lost; a poll finds the same work. */
import assert from "node:assert/strict";
import type { NoticeStore } from "../contract/notices.ts";
import type { Statements } from "../map-verbs.ts";
import type { Place, Sql } from "./client.ts";
import { NotConnectedError } from "./errors.ts";
import type { Pools } from "./pools.ts";

/** Postgres accepts less than 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_000;

async function notify(sql: Sql, channel: string, payload: string): Promise<void> {
  assert(Buffer.byteLength(payload) <= PAYLOAD_BYTES_MAX, `a notice has at most ${PAYLOAD_BYTES_MAX} bytes`);
  await sql`select pg_notify(${channel}, ${payload})`;
}

/** How often the connection is tested, and how long the test may take. */
const TEST_TICKS = 10;
const TEST_TICKS_MAX = 5;

/**
 * Listens on a connection of its own. Nobody would notice that it went silent, since silence is its usual state: so it
 * is tested by a statement.
 */
export async function listen(
  { direct, channel, pools, listeners }: NoticeConnections,
  onPayload: (payload: string) => void,
  onLost: () => void = () => {},
): Promise<() => Promise<void>> {
  let ticks = 0;
  let isTesting = true;
  let isListening = false;
  const connection = direct.open(lose, (from, payload) => {
    if (from === channel) onPayload(payload);
  });
  const stopTicks = pools.onTick(() => {
    ticks += 1;
    if (isTesting && ticks > TEST_TICKS_MAX) connection.destroy();
    if (!isTesting && ticks >= TEST_TICKS) void test(() => connection.sql`select 1`).catch(() => connection.destroy());
  });
  const stop = async (): Promise<void> => {
    isListening = false;
    forget();
    await connection.end();
  };
  listeners.add(stop);
  try {
    await test(() => connection.sql`listen ${connection.sql(channel)}`);
  } catch (error) {
    forget();
    connection.destroy();
    throw new NotConnectedError(error);
  }
  isListening = true;
  return stop;

  async function test(ask: () => Promise<unknown>): Promise<void> {
    ticks = 0;
    isTesting = true;
    await ask();
    ticks = 0;
    isTesting = false;
  }

  function forget(): void {
    stopTicks();
    listeners.delete(stop);
  }

  function lose(): void {
    if (!isListening) return;
    isListening = false;
    forget();
    onLost();
  }
}

type NoticeConnections = {
  /** Points to Postgres itself: a pooler in transaction mode does not carry LISTEN. */
  direct: Place;
  /** One for all notices of this installation: whoever is interested reads the payload. */
  channel: string;
  pools: Pick<Pools, "onTick">;
  /** The functions that stop what listens now, for when the store is closed. */
  listeners: Set<() => Promise<void>>;
};

type Sender = { sql: Sql; channel: string };

export const sendNotice: Statements<Sender, Pick<NoticeStore, "send">> = {
  send: ({ sql, channel }, payload) => notify(sql, channel, payload),
};
