/** Events to emit, under the numbers that `channels` reserved for them. */
import { channelKey, type EventDraft } from "../../../core/event.ts";
import { type BatchContents, jsonOf, type Section } from "./section.ts";
import { jsonText } from "../../../core/json/json-text.ts";

export const EVENTS: Section<"p_events"> = {
  name: "events",
  parameters: { p_events: "json" },
  encode({ transitions, deliveries, channels }) {
    const emitted = [
      ...transitions.flatMap(({ item, transition }) => transition.events.map((event) => ({ item, event }))),
      ...deliveries.flatMap(({ item, delivery }) =>
        delivery.type === "event" ? [{ item, event: delivery.event }] : [],
      ),
    ].toSorted((a, b) => a.item - b.item);
    return { p_events: jsonOf(rowsOf(emitted, channels)) };
  },
  write: `
  -- An event_id that its channel already has is skipped; its sender recognizes a duplicate by the missing number in the
  -- result.
  IF p_events IS NOT NULL THEN
    RETURN QUERY
    WITH drafts AS MATERIALIZED (
      SELECT e.*, channel_numbers[e.channel] + e.position AS event_number
      FROM json_to_recordset(p_events) AS e (
        item int, channel int, position int, event_id text, name text, key text, payload text, emit_time timestamptz,
        actor_id text
      )
      WHERE e.item <> ALL (refused)
    ), emitted AS (
      INSERT INTO events (
        tenant_id, scope, scope_id, number, event_id, name, key, payload, emit_time, actor_id
      )
      SELECT
        channel_tenants[d.channel], channel_scopes[d.channel], channel_scope_ids[d.channel], d.event_number, d.event_id,
        d.name, d.key, d.payload, d.emit_time, d.actor_id
      FROM drafts d
      ORDER BY d.channel, d.position
      ON CONFLICT (tenant_id, scope, scope_id, event_id) DO NOTHING
      RETURNING tenant_id, scope, scope_id, number
    )
    SELECT d.item, 'emitted'::text, NULL::int, d.event_number
    FROM drafts d
    JOIN emitted e ON e.number = d.event_number
      AND e.tenant_id = channel_tenants[d.channel]
      AND e.scope = channel_scopes[d.channel]
      AND e.scope_id = channel_scope_ids[d.channel];
  END IF;`,
};

function rowsOf(
  emitted: readonly { item: number; event: EventDraft }[],
  channels: BatchContents["channels"],
): object[] {
  const positions = new Map<number, number>();
  return emitted.map(({ item, event }) => {
    const { index } = channels.get(channelKey(event))!;
    const position = (positions.get(index) ?? 0) + 1;
    positions.set(index, position);
    return {
      item,
      channel: index,
      position,
      event_id: event.eventId,
      name: event.name,
      key: event.key,
      payload: jsonText(event.payload),
      emit_time: event.emitTime,
      actor_id: event.actorId,
    };
  });
}
