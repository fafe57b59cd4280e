/** Waits that open. */
import { type EventWait, reasonOf, shownWait } from "../../../core/wait.ts";
import { jsonOf, type Section } from "./section.ts";
import { jsonText } from "../../../core/json/json-text.ts";

export const WAITS: Section<"p_waits"> = {
  name: "waits",
  parameters: { p_waits: "json" },
  encode: ({ transitions }) => ({
    p_waits: jsonOf(
      transitions.flatMap(({ item, transition: { tenantId, runId, openWaits } }) =>
        openWaits.map(({ seq, wait }) => ({
          item,
          tenant_id: tenantId,
          run_id: runId,
          wait_id: wait.wait_id,
          reason: reasonOf(wait),
          seq,
          create_time: wait.create_time,
          assignees: shownWait(wait).assignees,
          body: jsonText(wait),
          ...(wait.asks === "event" ? listeningOf(wait) : {}),
        })),
      ),
    ),
  }),
  write: `
  IF p_waits IS NOT NULL THEN
    INSERT INTO waits (
      tenant_id, wait_id, run_id, reason, seq, create_time, names, scope, scope_id, key, assignees, body
    )
    SELECT
      w.tenant_id, w.wait_id, w.run_id, w.reason, w.seq, w.create_time, w.names, w.scope, w.scope_id, w.key,
      w.assignees,
      w.body
    FROM json_to_recordset(p_waits) AS w (
      item int, tenant_id text, wait_id text, run_id text, reason text, seq bigint, create_time timestamptz,
      names text[],
      scope text, scope_id text, key text, assignees text[], body text
    )
    WHERE w.item <> ALL (refused);
  END IF;`,
};

/** The fields by which the index of listeners finds a wait. */
function listeningOf({ names, scope, scope_id, key }: EventWait): object {
  return { names, scope, scope_id, key };
}
