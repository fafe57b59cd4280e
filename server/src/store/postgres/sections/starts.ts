/**
 * Rows of new runs.
 *
 * That an id is taken is found by the insert itself, which also waits for whoever is starting a run of the same id. So the rows are
 * inserted at the end of the first phase, in the order of their keys, and those of groups that are refused are taken away again. A plain
 * start pays nothing for this.
 */
import { changingColumns, encodeStateRest, hexToBytea } from "../run-row.ts";
import { jsonOf, keyOf, linesOf, refuse, type Section } from "./section.ts";

export const STARTS: Section<"p_starts" | "p_start_states"> = {
  name: "starts",
  parameters: { p_starts: "json", p_start_states: "text" },
  encode({ transitions }) {
    const starts = transitions.filter(({ transition }) => transition.rowSeq === 0);
    return {
      p_starts: jsonOf(
        starts.map((placed) => {
          const { after } = placed.transition;
          const { state } = after;
          return {
            ...keyOf(placed),
            ...changingColumns(placed.transition),
            workflow_id: state.workflowId,
            version: state.version,
            create_time: state.createTime,
            session_id: state.sessionId,
            actor_id: state.actorId,
            parent_run_id: state.parentRunId,
            root_run_id: state.rootRunId,
            labels: state.labels,
            request_digest: hexToBytea(after.requestDigest),
          };
        }),
      ),
      p_start_states: linesOf(starts.map(({ transition }) => encodeStateRest(transition.after.state))),
    };
  },
  variables: `
  -- Rows that were inserted, and the groups they belong to. Null: the id is taken.
  start_items int[];
  start_places tid[];`,
  check: `
  IF p_starts IS NOT NULL THEN
    WITH starts AS MATERIALIZED (
      SELECT * FROM ROWS FROM (
        json_to_recordset(p_starts) AS (
          item int, transition int, tenant_id text, run_id text, workflow_id text, version int, status text, paused boolean,
          node text, seq bigint, head_hash bytea, wait_reason text, owner_lane bigint, wake_at timestamptz,
          create_time timestamptz, update_time timestamptz, end_time timestamptz, session_id text, actor_id text,
          parent_run_id text, root_run_id text, labels jsonb, request_digest bytea, format int
        ),
        string_to_table(p_start_states, E'\\n')
      ) AS s (
        item, transition, tenant_id, run_id, workflow_id, version, status, paused, node, seq, head_hash, wait_reason,
        owner_lane, wake_at, create_time, update_time, end_time, session_id, actor_id, parent_run_id, root_run_id, labels,
        request_digest, format, state
      )
      WHERE s.item <> ALL (refused)
    ), started AS (
      INSERT INTO runs (
        tenant_id, run_id, workflow_id, version, status, paused, node, seq, head_hash, wait_reason, owner_lane, wake_at,
        create_time, update_time, end_time, session_id, actor_id, parent_run_id, root_run_id, labels, request_digest,
        format, state
      )
      SELECT
        s.tenant_id, s.run_id, s.workflow_id, s.version, s.status, s.paused, s.node, s.seq, s.head_hash, s.wait_reason,
        s.owner_lane, s.wake_at, s.create_time, s.update_time, s.end_time, s.session_id, s.actor_id, s.parent_run_id,
        s.root_run_id, s.labels, s.request_digest, s.format, s.state
      FROM starts s
      -- A start waits for one of the same id that is being committed: in one order, so that two batches do not wait in a ring.
      ORDER BY s.tenant_id COLLATE "C", s.run_id COLLATE "C"
      ON CONFLICT (tenant_id, run_id) DO NOTHING
      RETURNING tenant_id, run_id, ctid AS place
    )
    SELECT
      array_agg(s.item), array_agg(started.place),
      refused || coalesce(array_agg(s.item) FILTER (WHERE started.place IS NULL), '{}'),
      refused_by || coalesce(array_agg(s.transition) FILTER (WHERE started.place IS NULL), '{}'),
      causes || coalesce(array_agg('run_exists'::text) FILTER (WHERE started.place IS NULL), '{}')
    INTO start_items, start_places, refused, refused_by, causes
    FROM starts s
    LEFT JOIN started ON started.tenant_id = s.tenant_id AND started.run_id = s.run_id;

    -- Looked at after the insert, by a statement that sees more: the insert may have waited for the deletion itself.${refuse(`
      SELECT s.item, s.transition, 'run_exists'
      FROM json_to_recordset(p_starts) AS s (item int, transition int, tenant_id text, run_id text),
        LATERAL (
          SELECT d.run_id FROM deleted_runs d WHERE d.tenant_id = s.tenant_id AND d.run_id = s.run_id LIMIT 1
        ) AS tombstone
      WHERE s.item <> ALL (refused)`)}

    IF start_items && refused THEN
      DELETE FROM runs
      USING unnest(start_items, start_places) AS s (item, place)
      WHERE runs.ctid = s.place AND s.item = ANY (refused);
    END IF;
  END IF;`,
};
