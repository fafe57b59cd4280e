import type { DamageError } from "./damage.ts";
import type { Json } from "./json/json.ts";
import type { Instant } from "./duration.ts";

/** Which runs an event can reach. */
export type Scope = "run" | "session" | "workflow" | "global";
export const SCOPES: readonly Scope[] = ["run", "session", "workflow", "global"];

/** The ordered events of one (tenant, scope, scope id). `scopeId` is "" for global. */
export type Channel = { tenantId: string; scope: Scope; scopeId: string };

/** A map key that is unique per channel. */
export function channelKey(channel: Channel): string {
  return `${channel.tenantId}/${channel.scope}/${channel.scopeId}`;
}

/** An event as stored in its channel. Numbers rise in commit order; they may have gaps. */
export type ChannelEvent = {
  number: number;
  eventId: string;
  name: string;
  /** "" when the event was emitted without a key. */
  key: string;
  payload: Json;
  emitTime: Instant;
  actorId?: string;
  /** The payload cannot be read, and is null. */
  damage?: DamageError;
};

/** An event to emit; the store assigns the number. */
export type EventDraft = Channel & Omit<ChannelEvent, "number" | "damage">;

/** Every event up to `number` that matches (name, key) was consumed by the run or preceded it. */
export type EventCursor = {
  scope: Scope;
  /** As the wait declared it: a name, or a prefix that ends in `*`. */
  name: string;
  /** As the wait declared it. If absent, events of every key. */
  key?: string;
  number: number;
};

/** What an event wait looks for in one channel: the lowest event after every cursor that covers it. */
export type EventQuery = {
  channel: Channel;
  names: readonly string[];
  /** If absent, events of every key. */
  key?: string;
  /** Events numbered up to this preceded the run. */
  startNumber: number;
  /** The run's cursors in this channel's scope. */
  cursors: readonly EventCursor[];
};

/** The result of a look-up: the channel's last number at that time, and the first matching event up to it. */
export type EventLookup = { upTo: number; event?: ChannelEvent };

/** Whether `pattern`, a name or a prefix ending in `*`, covers an event's name. */
export function nameMatches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** Whether an event is what a query waits for: its name and key match and no cursor has passed it. */
export function queryMatches(query: EventQuery, event: Pick<ChannelEvent, "number" | "name" | "key">): boolean {
  if (event.number <= query.startNumber) return false;
  if (query.key !== undefined && query.key !== event.key) return false;
  if (!query.names.some((name) => nameMatches(name, event.name))) return false;
  return !query.cursors.some(
    (cursor) =>
      event.number <= cursor.number &&
      nameMatches(cursor.name, event.name) &&
      (cursor.key === undefined || cursor.key === event.key),
  );
}
