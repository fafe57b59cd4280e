/** Channels: numbers for events that are emitted, and groups that commit only if a channel has not moved. */
import { channelKey } from "../../../core/event.ts";
import { jsonOf, refuse, type Section } from "./section.ts";

export const CHANNELS: Section<"p_channels" | "p_expected"> = {
  name: "channels",
  parameters: { p_channels: "json", p_expected: "json" },
  encode: ({ channels, transitions }) => ({
    p_channels: jsonOf(
      [...channels.values()].map(({ channel: { tenantId, scope, scopeId }, index, events }) => ({
        tenant_id: tenantId,
        scope,
        scope_id: scopeId,
        events,
        position: index,
      })),
    ),
    p_expected: jsonOf(
      transitions.flatMap(({ item, place, transition }) =>
        transition.expectChannels.map(({ channel, upTo }) => ({
          item,
          transition: place,
          channel: channels.get(channelKey(channel))!.index,
          up_to: upTo,
        })),
      ),
    ),
  }),
  variables: `
  channel record;
  channel_tenants text[] := '{}';
  channel_scopes text[] := '{}';
  channel_scope_ids text[] := '{}';
  -- The last number of each channel before this batch.
  channel_numbers bigint[] := '{}';
  channel_number bigint;`,
  check: `
  -- One by one, because the lock strength differs from channel to channel but the order must not. Emitters take as many
  -- numbers as they may need. The numbers of refused groups and duplicates are lost; numbers may have gaps.
  IF p_channels IS NOT NULL THEN
    FOR channel IN
      SELECT c.tenant_id, c.scope, c.scope_id, c.events
      FROM json_to_recordset(p_channels) AS c (tenant_id text, scope text, scope_id text, events int, position int)
      ORDER BY c.position
    LOOP
      channel_number := NULL;
      IF channel.events = 0 THEN
        SELECT last_number INTO channel_number FROM channels
        WHERE tenant_id = channel.tenant_id AND scope = channel.scope AND scope_id = channel.scope_id
        FOR SHARE;
      END IF;
      IF channel_number IS NULL THEN
        INSERT INTO channels (tenant_id, scope, scope_id, last_number)
        VALUES (channel.tenant_id, channel.scope, channel.scope_id, channel.events)
        ON CONFLICT (tenant_id, scope, scope_id) DO UPDATE
          SET last_number = channels.last_number + excluded.last_number,
              emit_time = CASE WHEN excluded.last_number > 0 THEN now() ELSE channels.emit_time END
        RETURNING last_number - channel.events INTO channel_number;
      END IF;
      channel_tenants := channel_tenants || channel.tenant_id;
      channel_scopes := channel_scopes || channel.scope;
      channel_scope_ids := channel_scope_ids || channel.scope_id;
      channel_numbers := channel_numbers || channel_number;
    END LOOP;
  END IF;
  IF p_expected IS NOT NULL THEN${refuse(`
      SELECT e.item, e.transition, 'channel_moved'
      FROM json_to_recordset(p_expected) AS e (item int, transition int, channel int, up_to bigint)
      WHERE channel_numbers[e.channel] > e.up_to`)}
  END IF;`,
};
