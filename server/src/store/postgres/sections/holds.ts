/** Jobs that are held back while their run is paused, and given out again afterwards. */
import { jsonOf, keyOf, type Section } from "./section.ts";

export const HOLDS: Section<"p_holds"> = {
  name: "holds",
  parameters: { p_holds: "json" },
  encode: ({ transitions }) => ({
    p_holds: jsonOf(
      transitions
        .filter(({ transition }) => transition.holdJobs !== undefined)
        .map((placed) => ({ ...keyOf(placed), held: placed.transition.holdJobs })),
    ),
  }),
  check: `
  -- A separate statement, for the same reason as with jobs that are cancelled.
  IF p_holds IS NOT NULL THEN
    PERFORM FROM json_to_recordset(p_holds) AS h (item int, tenant_id text, run_id text),
      LATERAL (
        SELECT j.ctid FROM jobs j
        WHERE j.tenant_id = h.tenant_id AND j.run_id = h.run_id AND j.state NOT IN ('settled', 'cancelled')
        ORDER BY j.idempotency_key
        FOR NO KEY UPDATE
      ) AS locked
    WHERE h.item <> ALL (refused);
  END IF;`,
  write: `
  -- Open jobs that return to their queue wait as if they had just entered it. Jobs of one key keep their distances, but
  -- start no earlier than the queue's current turn, and come no later than new jobs would.
  IF p_holds IS NOT NULL THEN
    WITH changing AS (
      SELECT
        h.held, locked.*, locked.state = 'open' AND NOT h.held AS is_back,
        row_number() OVER by_turn AS number, min(locked.turn) OVER by_key AS first_turn
      FROM json_to_recordset(p_holds) AS h (item int, tenant_id text, run_id text, held boolean),
        LATERAL (
          SELECT j.ctid AS place, j.tenant_id, j.kind, j.name, j.fairness_key, j.state, j.turn, j.position FROM jobs j
          WHERE j.tenant_id = h.tenant_id AND j.run_id = h.run_id AND j.held <> h.held
            AND j.state NOT IN ('settled', 'cancelled')
          FOR NO KEY UPDATE
        ) AS locked
      WHERE h.item <> ALL (refused)
      WINDOW
        by_key AS (
          PARTITION BY locked.tenant_id, locked.kind, locked.name, locked.fairness_key,
          locked.state = 'open' AND locked.turn >= 0
        ),
        by_turn AS (by_key ORDER BY locked.turn, locked.position)
    )
    UPDATE jobs SET
      held = c.held,
      turn = CASE WHEN c.is_back AND c.turn >= 0
        THEN least(
          c.turn + greatest(queue.turn - c.first_turn, 0),
          greatest(queue.turn, own.turn + 1, 0) + c.number - 1
        )
        ELSE c.turn END,
      due_at = CASE WHEN c.is_back THEN now() + queue_timeout_ms * interval '1 millisecond' ELSE due_at END
    FROM changing c
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE o.tenant_id = c.tenant_id AND o.kind = c.kind AND o.name = c.name
        AND o.state = 'open' AND NOT o.held AND o.turn >= 0
      ORDER BY o.turn LIMIT 1
    ) AS queue ON true
    LEFT JOIN LATERAL (
      SELECT o.turn FROM jobs o
      WHERE o.tenant_id = c.tenant_id AND o.kind = c.kind AND o.name = c.name AND o.fairness_key = c.fairness_key
        AND o.state = 'open' AND NOT o.held
      ORDER BY o.turn DESC LIMIT 1
    ) AS own ON true
    WHERE jobs.ctid = c.place;
  END IF;`,
};
