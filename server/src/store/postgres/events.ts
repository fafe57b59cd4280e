/** Channels, their events, and the waits that listen for them. Only commit.ts emits events. */
import { DamageError, decodeStored } from "../../core/damage.ts";
import { parseOwnJson } from "../../core/json/json.ts";
import type { Instant } from "../../core/duration.ts";
import { channelKey, queryMatches } from "../../core/event.ts";
import type { Channel, ChannelEvent, EventLookup, EventQuery } from "../../core/event.ts";
import type { EventStore, ChannelProgress, Listener } from "../contract/events.ts";
import { type Fragment, lockTimeout, rowsParameter, type Sql } from "./client.ts";
import type { Statements } from "../map-verbs.ts";

/**
 * How many numbers of a channel one statement reads for one query. A busy channel must not occupy a connection for
 * long.
 */
const LOOK_UP_NUMBERS_MAX = 10_000;
/**
 * How many events with the right name and key one statement returns. Cursors, which only TypeScript evaluates, may rule
 * them out.
 */
const LOOK_UP_EVENTS_MAX = 16;

type EventRow = {
  number: number;
  event_id: string;
  name: string;
  key: string;
  payload: string;
  emit_time: Instant;
  actor_id: string | null;
};

function eventColumns(sql: Sql): Fragment {
  return sql`e.number, e.event_id, e.name, e.key, e.payload, e.emit_time, e.actor_id`;
}

function eventFromRow(row: EventRow): ChannelEvent {
  return {
    number: row.number,
    eventId: row.event_id,
    name: row.name,
    key: row.key,
    ...decodeStored<Pick<ChannelEvent, "payload" | "damage">>(
      () => ({ payload: parseOwnJson(row.payload) }),
      (what, cause) => new DamageError("event", { event_id: row.event_id, number: row.number }, what, cause),
      (damage) => ({ payload: null, damage }),
    ),
    emitTime: row.emit_time,
    ...(row.actor_id === null ? {} : { actorId: row.actor_id }),
  };
}

/**
 * The rows for a set of channels, each once and in lock order, read as `(tenant_id text, scope text, scope_id text)`.
 */
function channelRows(channels: readonly Channel[]): string {
  const byKey = new Map(channels.map((channel) => [channelKey(channel), channel]));
  const inLockOrder = [...byKey].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return rowsParameter(inLockOrder.map(([, channel]) => channelRow(channel)));
}

function channelRow({ tenantId, scope, scopeId }: Channel) {
  return { tenant_id: tenantId, scope, scope_id: scopeId };
}

/** Reads the last numbers of the channels that have a row, by `channelKey`. */
async function readLastNumbers(sql: Sql, channels: readonly Channel[]): Promise<Map<string, number>> {
  const rows = await sql<{ tenant_id: string; scope: Channel["scope"]; scope_id: string; last_number: number }[]>`
    select c.*
    from json_to_recordset(${channelRows(channels)}::text::json) as k (tenant_id text, scope text, scope_id text)
    cross join lateral (
      select tenant_id, scope, scope_id, last_number from channels
      where tenant_id = k.tenant_id and scope = k.scope and scope_id = k.scope_id
      limit 1
    ) as c`;
  return new Map(
    rows.map((row) => {
      const channel: Channel = { tenantId: row.tenant_id, scope: row.scope, scopeId: row.scope_id };
      return [channelKey(channel), row.last_number];
    }),
  );
}

/** Creates rows for channels that have none. */
async function createChannels(sql: Sql, channels: readonly Channel[]): Promise<void> {
  await sql`
    insert into channels (tenant_id, scope, scope_id)
    select tenant_id, scope, scope_id
    from ${lockTimeout(sql)},
      json_to_recordset(${channelRows(channels)}::text::json) as k (tenant_id text, scope text, scope_id text)
    on conflict do nothing`;
}

async function readChannels(sql: Sql, channels: readonly Channel[]): Promise<number[]> {
  if (channels.length === 0) return [];
  const numbers = await readLastNumbers(sql, channels);
  return channels.map((channel) => numbers.get(channelKey(channel)) ?? 0);
}

/** A query that has not found its event yet. Numbers up to `after` have been read. */
type OpenQuery = { index: number; query: EventQuery; after: number; upTo: number };

export async function lookUpEvents(sql: Sql, queries: readonly EventQuery[]): Promise<EventLookup[]> {
  if (queries.length === 0) return [];
  // Read before any event. What a channel gets later is above `upTo`, and a commit that relies on `upTo` detects it.
  const numbers = await readOrCreateChannels(
    sql,
    queries.map((query) => query.channel),
  );
  const lookups: EventLookup[] = [];
  let open: OpenQuery[] = [];
  for (const [index, query] of queries.entries()) {
    const upTo = numbers.get(channelKey(query.channel)) ?? 0;
    lookups.push({ upTo });
    const after = lowerBound(query);
    if (after < upTo) open.push({ index, query, after, upTo });
  }
  while (open.length > 0) {
    const found = Map.groupBy(await findCandidates(sql, open), (row) => row.index);
    const rest: OpenQuery[] = [];
    for (const entry of open) {
      const rows = found.get(entry.index) ?? [];
      const match = rows.find((row) => queryMatches(entry.query, row));
      if (match !== undefined) {
        lookups[entry.index] = { upTo: entry.upTo, event: eventFromRow(match) };
        continue;
      }
      const isCut = rows.length === LOOK_UP_EVENTS_MAX;
      const after = isCut ? (rows.at(-1)?.number ?? entry.after) : pageEnd(entry);
      if (after < entry.upTo) rest.push({ ...entry, after });
    }
    open = rest;
  }
  return lookups;
}

async function readOrCreateChannels(sql: Sql, channels: readonly Channel[]): Promise<Map<string, number>> {
  const numbers = await readLastNumbers(sql, channels);
  const missing = channels.filter((channel) => !numbers.has(channelKey(channel)));
  if (missing.length === 0) return numbers;
  await createChannels(sql, missing);
  return new Map([...numbers, ...(await readLastNumbers(sql, missing))]);
}

function pageEnd({ after, upTo }: OpenQuery): number {
  return Math.min(after + LOOK_UP_NUMBERS_MAX, upTo);
}

/**
 * The number up to which nothing can match: the start, or the number at which a cursor for every name has passed all of
 * its events.
 */
function lowerBound(query: EventQuery): number {
  const passed = query.names.map((name) =>
    Math.max(
      0,
      ...query.cursors
        .filter((cursor) => patternCovers(cursor.name, name) && (cursor.key === undefined || cursor.key === query.key))
        .map((cursor) => cursor.number),
    ),
  );
  return Math.max(query.startNumber, Math.min(...passed));
}

/** Whether `outer` matches every name that `inner` matches. */
function patternCovers(outer: string, inner: string): boolean {
  if (!outer.endsWith("*")) return outer === inner;
  const prefix = outer.slice(0, -1);
  return inner.endsWith("*") ? inner.slice(0, -1).startsWith(prefix) : inner.startsWith(prefix);
}

/** `nameMatches` in SQL: `pattern` is a name, or a prefix that ends in `*`. */
function nameMatches(sql: Sql, pattern: Fragment, name: Fragment): Fragment {
  return sql`
    case when right(${pattern}, 1) = '*' then starts_with(${name}, left(${pattern}, -1)) else ${name} = ${pattern} end`;
}

/** Finds events by number, name and key, in order, for each query. */
async function findCandidates(sql: Sql, open: readonly OpenQuery[]): Promise<(EventRow & { index: number })[]> {
  const rows = open.map((entry) => ({
    index: entry.index,
    ...channelRow(entry.query.channel),
    after: entry.after,
    up_to: pageEnd(entry),
    names: entry.query.names,
    key: entry.query.key,
  }));
  return await sql<(EventRow & { index: number })[]>`
    select q.index, found.*
    from json_to_recordset(${rowsParameter(rows)}::text::json) as q (
      index int, tenant_id text, scope text, scope_id text, after bigint, up_to bigint, names text[], key text
    )
    cross join lateral (
      select ${eventColumns(sql)} from events e
      where e.tenant_id = q.tenant_id and e.scope = q.scope and e.scope_id = q.scope_id
        and e.number > q.after and e.number <= q.up_to
        and (q.key is null or e.key = q.key)
        and exists (select from unnest(q.names) as n where ${nameMatches(sql, sql`n`, sql`e.name`)})
      order by e.number limit ${LOOK_UP_EVENTS_MAX}
    ) as found
    order by q.index, found.number`;
}

/** Lists the events after a number, in order. */
async function listEvents(sql: Sql, channel: Channel, after: number, limit: number): Promise<ChannelEvent[]> {
  const rows = await sql<EventRow[]>`
    select ${eventColumns(sql)} from events e
    where e.tenant_id = ${channel.tenantId} and e.scope = ${channel.scope} and e.scope_id = ${channel.scopeId}
      and e.number > ${after}
    order by e.number limit ${limit}`;
  return rows.map(eventFromRow);
}

/** Whether an event has this id: one probe of the unique index. */
export async function wasEmitted(sql: Sql, channel: Channel, eventId: string): Promise<boolean> {
  const rows = await sql`
    select from events
    where tenant_id = ${channel.tenantId} and scope = ${channel.scope} and scope_id = ${channel.scopeId}
      and event_id = ${eventId}`;
  return rows.length > 0;
}

type ListenerRow = { tenant_id: string; run_id: string; wait_id: string; names: string[]; key: string | null };

/**
 * Lists open, unpaused event waits that match one of the events, by wait id. Waits for any key and waits for one of the
 * events' keys are read separately, so that thousands of waits for other keys are not read.
 */
export async function listListeners(
  sql: Sql,
  request: { channel: Channel; events: readonly { name: string; key: string }[]; afterWaitId?: string; limit: number },
): Promise<Listener[]> {
  const { channel, events, afterWaitId = "", limit } = request;
  if (events.length === 0) return [];
  const listening = sql`
    select w.tenant_id, w.run_id, w.wait_id, w.names, w.key
    from waits w join runs r on r.tenant_id = w.tenant_id and r.run_id = w.run_id
    where w.tenant_id = ${channel.tenantId} and w.scope = ${channel.scope} and w.scope_id = ${channel.scopeId}
      and w.close_time is null and w.reason = 'event' and w.wait_id > ${afterWaitId} and not r.paused`;
  const matches = nameMatches(sql, sql`n`, sql`e.name`);
  const rows = await sql<ListenerRow[]>`
    with events as materialized (
      select name, key from json_to_recordset(${rowsParameter(events)}::text::json) as e (name text, key text)
    )
    select tenant_id, run_id, wait_id, to_json(names) as names, key from (
      (
        ${listening} and w.key is null
          and exists (select from events e, unnest(w.names) as n where ${matches})
        -- The null key is in the order for the planner. Without it the planner walks all waits of the tenant in the
        -- order of their ids.
        order by w.key, w.wait_id limit ${limit}
      )
      union all
      (
        ${listening} and w.key = any (array(select e.key from events e))
          and exists (select from events e, unnest(w.names) as n where e.key = w.key and ${matches})
        order by w.wait_id limit ${limit}
      )
    ) as listeners
    order by wait_id limit ${limit}`;
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    runId: row.run_id,
    waitId: row.wait_id,
    names: row.names,
    ...(row.key === null ? {} : { key: row.key }),
  }));
}

/** Moves the marks of channels forward, never back. */
async function markWoken(sql: Sql, marks: readonly { channel: Channel; number: number }[]): Promise<void> {
  if (marks.length === 0) return;
  const inLockOrder = marks.toSorted((a, b) => (channelKey(a.channel) < channelKey(b.channel) ? -1 : 1));
  const rows = inLockOrder.map(({ channel, number }, position) => ({ ...channelRow(channel), number, position }));
  await sql`
    with marks as materialized (
      select * from json_to_recordset(${rowsParameter(rows)}::text::json) as m (
        tenant_id text, scope text, scope_id text, number bigint, position int
      )
    ), locked as materialized (
      select c.tenant_id, c.scope, c.scope_id, m.number
      from (select * from ${lockTimeout(sql)}, marks order by position) as m
      cross join lateral (
        select tenant_id, scope, scope_id from channels
        where tenant_id = m.tenant_id and scope = m.scope and scope_id = m.scope_id and woken_number < m.number
        for no key update
      ) as c
    )
    update channels c set woken_number = least(greatest(c.woken_number, l.number), c.last_number)
    from (select tenant_id, scope, scope_id, max(number) as number from locked group by 1, 2, 3) as l
    where c.tenant_id = l.tenant_id and c.scope = l.scope and c.scope_id = l.scope_id`;
}

type ProgressRow = {
  tenant_id: string;
  scope: Channel["scope"];
  scope_id: string;
  last_number: number;
  woken_number: number;
  is_heard: boolean;
};

async function readWoken(sql: Sql, channels: readonly Channel[]): Promise<ChannelProgress[]> {
  if (channels.length === 0) return [];
  const rows = await sql<ProgressRow[]>`
    select c.*, heard.tenant_id is not null as is_heard
    from json_to_recordset(${channelRows(channels)}::text::json) as k (tenant_id text, scope text, scope_id text)
    cross join lateral (
      select tenant_id, scope, scope_id, last_number, woken_number from channels
      where tenant_id = k.tenant_id and scope = k.scope and scope_id = k.scope_id
      limit 1
    ) as c
    left join lateral (
      select tenant_id from waits
      where tenant_id = k.tenant_id and scope = k.scope and scope_id = k.scope_id
        and close_time is null and reason = 'event'
      limit 1
    ) as heard on true`;
  const found = new Map(
    rows.map((row) => {
      const channel: Channel = { tenantId: row.tenant_id, scope: row.scope, scopeId: row.scope_id };
      return [
        channelKey(channel),
        { lastNumber: row.last_number, wokenNumber: row.woken_number, isHeard: row.is_heard },
      ];
    }),
  );
  return channels.map((channel) => found.get(channelKey(channel)) ?? { lastNumber: 0, wokenNumber: 0, isHeard: false });
}

export const events: Statements<Sql, EventStore> = {
  readChannels,
  lookUp: lookUpEvents,
  list: listEvents,
  wasEmitted,
  listListeners,
  markWoken,
  readWoken,
};
