/** Waits that close. */
import { jsonOf, type Section } from "./section.ts";

export const CLOSINGS: Section<"p_closings"> = {
  name: "closings",
  parameters: { p_closings: "json" },
  encode: ({ transitions }) => ({
    p_closings: jsonOf(
      transitions.flatMap(({ item, transition: { tenantId, closeWaits } }) =>
        closeWaits.map(({ waitId, closeTime, by, runSeq, requestId, actorId }) => ({
          item,
          tenant_id: tenantId,
          wait_id: waitId,
          close_time: closeTime,
          closed_by: by,
          run_seq: runSeq,
          request_id: requestId,
          actor_id: actorId,
        })),
      ),
    ),
  }),
  write: `
  IF p_closings IS NOT NULL THEN
    UPDATE waits SET
      close_time = c.close_time, closed_by = c.closed_by, closed_run_seq = c.run_seq, request_id = c.request_id,
      answered_by = c.actor_id
    FROM json_to_recordset(p_closings) AS c (
        item int, tenant_id text, wait_id text, close_time timestamptz, closed_by text, run_seq bigint, request_id text,
        actor_id text
      ),
      LATERAL (
        SELECT w.ctid AS place FROM waits w
        WHERE w.tenant_id = c.tenant_id AND w.wait_id = c.wait_id AND w.close_time IS NULL
        FOR NO KEY UPDATE
      ) AS locked
    WHERE waits.ctid = locked.place AND c.item <> ALL (refused);
  END IF;`,
};
