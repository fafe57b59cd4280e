/** Channels: numbered events, their listeners, and how far the listeners were woken. */
import type { RunKey } from "../contract/runs.ts";
import type { EventWait } from "../../core/wait.ts";
import {
  type Channel,
  type ChannelEvent,
  channelKey,
  type EventDraft,
  type EventLookup,
  type EventQuery,
  nameMatches,
  queryMatches,
} from "../../core/event.ts";
import type { Json } from "../../core/json/json.ts";
import type { EventStore, ChannelProgress, Listener } from "../contract/events.ts";
import { type ChannelRow, type EventRow, type MemoryDatabase, readStored, rowKey, type WaitRow } from "./database.ts";
import type { Statements } from "../map-verbs.ts";

function channelRow(database: MemoryDatabase, channel: Channel): ChannelRow {
  const key = channelKey(channel);
  const found = database.channels.get(key);
  if (found !== undefined) return found;
  const { tenantId, scope, scopeId } = channel;
  const row: ChannelRow = {
    channel: { tenantId, scope, scopeId },
    lastNumber: 0,
    wokenNumber: 0,
    events: [],
    eventIds: new Set(),
  };
  database.channels.set(key, row);
  return row;
}

/** Emits an event and returns its number, or undefined if its id is already in the channel. */
export function emitEvent(database: MemoryDatabase, draft: EventDraft): number | undefined {
  const row = channelRow(database, draft);
  const { eventId, name, key, payload, emitTime, actorId } = draft;
  if (row.eventIds.has(eventId)) return undefined;
  row.lastNumber += 1;
  row.eventIds.add(eventId);
  row.events.push({
    number: row.lastNumber,
    eventId,
    name,
    key,
    payloadText: JSON.stringify(payload),
    emitTime,
    ...(actorId === undefined ? {} : { actorId }),
  });
  return row.lastNumber;
}

function eventFromRow({ payloadText, ...row }: EventRow): ChannelEvent {
  return { ...row, payload: readStored(payloadText) as Json };
}

function wasEmitted(database: MemoryDatabase, channel: Channel, eventId: string): boolean {
  return database.channels.get(channelKey(channel))?.eventIds.has(eventId) ?? false;
}

function readChannels(database: MemoryDatabase, channels: readonly Channel[]): number[] {
  return channels.map((channel) => database.channels.get(channelKey(channel))?.lastNumber ?? 0);
}

function lookUpEvents(database: MemoryDatabase, queries: readonly EventQuery[]): EventLookup[] {
  return queries.map((query) => {
    const row = channelRow(database, query.channel);
    const found = row.events.find((event) => queryMatches(query, event));
    return { upTo: row.lastNumber, ...(found === undefined ? {} : { event: eventFromRow(found) }) };
  });
}

function listEvents(database: MemoryDatabase, channel: Channel, after: number, limit: number): ChannelEvent[] {
  const events = database.channels.get(channelKey(channel))?.events ?? [];
  return events
    .filter((event) => event.number > after)
    .slice(0, limit)
    .map(eventFromRow);
}

function listListeners(
  database: MemoryDatabase,
  request: { channel: Channel; events: readonly { name: string; key: string }[]; afterWaitId?: string; limit: number },
): Listener[] {
  const { channel, events, afterWaitId, limit } = request;
  return [...database.openWaits.values()]
    .filter((row) => listensTo(row, channel) && events.some((event) => isHeardBy(row, event)))
    .filter((row) => afterWaitId === undefined || row.head.wait_id > afterWaitId)
    .filter((row) => database.runs.get(rowKey(row.tenantId, row.runId))?.head.paused === false)
    .toSorted((a, b) => (a.head.wait_id < b.head.wait_id ? -1 : 1))
    .slice(0, limit)
    .flatMap(({ tenantId, runId, head }) => (head.asks === "event" ? [listenerOf({ tenantId, runId }, head)] : []));
}

function listenerOf(run: RunKey, { wait_id: waitId, names, key }: EventWait): Listener {
  return { ...run, waitId, names: [...names], ...(key === undefined ? {} : { key }) };
}

function listensTo({ tenantId, head }: WaitRow, channel: Channel): boolean {
  return (
    head.asks === "event" &&
    tenantId === channel.tenantId &&
    head.scope === channel.scope &&
    head.scope_id === channel.scopeId
  );
}

function isHeardBy({ head }: WaitRow, event: { name: string; key: string }): boolean {
  if (head.asks !== "event" || (head.key !== undefined && head.key !== event.key)) return false;
  return head.names.some((pattern) => nameMatches(pattern, event.name));
}

function markWoken(database: MemoryDatabase, marks: readonly { channel: Channel; number: number }[]): void {
  for (const { channel, number } of marks) {
    const row = database.channels.get(channelKey(channel));
    if (row !== undefined) row.wokenNumber = Math.max(row.wokenNumber, number);
  }
}

function readWoken(database: MemoryDatabase, channels: readonly Channel[]): ChannelProgress[] {
  return channels.map((channel) => {
    const row = database.channels.get(channelKey(channel));
    const isHeard = database.openWaits.values().some((wait) => listensTo(wait, channel));
    return { lastNumber: row?.lastNumber ?? 0, wokenNumber: row?.wokenNumber ?? 0, isHeard };
  });
}

export const events: Statements<MemoryDatabase, EventStore> = {
  readChannels,
  lookUp: lookUpEvents,
  list: listEvents,
  wasEmitted,
  listListeners,
  markWoken,
  readWoken,
};
