/**
 * Rows of new runs.
 *
 * The insert itself detects that an id is taken, and waits for a transaction that is starting a run with the same id.
 * So the rows are inserted at the end of the first phase, in the order of their keys, and the second phase removes the
 * rows of refused groups again: this transaction inserted them, as their xmin shows. A plain start pays for none of
 * this.
 */
import type { Transition } from "../../contract/batch.ts";
import { changingColumns, encodeStateRest, hexToBytea } from "../run-row.ts";
import { jsonOf, linesOf, numbersOf, refuse, type Section } from "./section.ts";

/** SQL for the keys of the runs to start. */
const STARTED_RUNS = `ROWS FROM (
        unnest(p_start_items), unnest(p_start_transitions), string_to_table(p_start_tenants, E'\\n'),
        string_to_table(p_start_runs, E'\\n')
      ) AS s (item, transition, tenant_id, run_id)`;

export const STARTS: Section<
  "p_start_items" | "p_start_transitions" | "p_start_tenants" | "p_start_runs" | "p_starts" | "p_start_states"
> = {
  name: "starts",
  parameters: {
    p_start_items: "int[]",
    p_start_transitions: "int[]",
    p_start_tenants: "text",
    p_start_runs: "text",
    p_starts: "json",
    p_start_states: "text",
  },
  encode({ transitions }) {
    const starts = transitions.filter(({ transition }) => transition.rowSeq === 0);
    return {
      p_start_items: numbersOf(starts.map(({ item }) => item)),
      p_start_transitions: numbersOf(starts.map(({ place }) => place)),
      p_start_tenants: linesOf(starts.map(({ transition }) => transition.tenantId)),
      p_start_runs: linesOf(starts.map(({ transition }) => transition.runId)),
      p_starts: jsonOf(starts.map(({ transition }) => startingColumns(transition))),
      p_start_states: linesOf(starts.map(({ transition }) => encodeStateRest(transition.after.state))),
    };
  },
  variables: `
  -- How many runs to start, and how many were inserted.
  start_count int;
  started_count int;`,
  check: `
  IF p_start_items IS NOT NULL THEN
    start_count := cardinality(p_start_items);
    IF cardinality(refused) > 0 THEN
      SELECT count(*) INTO start_count FROM unnest(p_start_items) AS i WHERE i <> ALL (refused);
    END IF;
    INSERT INTO runs (
      tenant_id, run_id, workflow_id, version, status, paused, node, seq, head_hash, wait_reason, owner_lane, wake_at,
      create_time, update_time, end_time, session_id, actor_id, parent_run_id, root_run_id, labels, request_digest,
      format, state
    )
    SELECT
      s.tenant_id, s.run_id, s.workflow_id, s.version, s.status, s.paused, s.node, s.seq, s.head_hash, s.wait_reason,
      s.owner_lane, s.wake_at, s.create_time, s.update_time, s.end_time, s.session_id, s.actor_id, s.parent_run_id,
      s.root_run_id, s.labels, s.request_digest, s.format, s.state
    FROM ROWS FROM (
      json_to_recordset(p_starts) AS (
        workflow_id text, version int, status text, paused boolean, node text, seq bigint, head_hash bytea,
        wait_reason text,
        owner_lane bigint, wake_at timestamptz, create_time timestamptz, update_time timestamptz, end_time timestamptz,
        session_id text, actor_id text, parent_run_id text, root_run_id text, labels jsonb, request_digest bytea,
        format int
      ),
      unnest(p_start_items),
      string_to_table(p_start_tenants, E'\\n'),
      string_to_table(p_start_runs, E'\\n'),
      string_to_table(p_start_states, E'\\n')
    ) AS s (
      workflow_id, version, status, paused, node, seq, head_hash, wait_reason, owner_lane, wake_at, create_time,
      update_time,
      end_time, session_id, actor_id, parent_run_id, root_run_id, labels, request_digest, format, item, tenant_id,
      run_id, state
    )
    WHERE s.item <> ALL (refused)
    -- A start waits for one with the same id that is being committed. The order keeps two batches from waiting for each
    -- other.
    ORDER BY s.tenant_id COLLATE "C", s.run_id COLLATE "C"
    ON CONFLICT (tenant_id, run_id) DO NOTHING;
    GET DIAGNOSTICS started_count = ROW_COUNT;

    IF started_count < start_count THEN${refuse(`
      SELECT s.item, s.transition, 'run_exists'
      FROM ${STARTED_RUNS}
      LEFT JOIN LATERAL (
        SELECT r.run_id FROM runs r
        WHERE r.tenant_id = s.tenant_id AND r.run_id = s.run_id AND r.xmin = pg_current_xact_id()::xid
        LIMIT 1
      ) AS started ON true
      WHERE started.run_id IS NULL AND s.item <> ALL (refused)`)}
    END IF;

    -- Checked after the insert, by a statement with a newer snapshot: the insert may have waited for the deletion
    -- itself.${refuse(`
      SELECT s.item, s.transition, 'run_exists'
      FROM ${STARTED_RUNS},
        LATERAL (
          SELECT d.run_id FROM deleted_runs d WHERE d.tenant_id = s.tenant_id AND d.run_id = s.run_id LIMIT 1
        ) AS tombstone
      WHERE s.item <> ALL (refused)`)}
  END IF;`,
  write: `
  -- Whichever section refused the group, and whether before the insert or after it.
  IF p_start_items IS NOT NULL AND cardinality(refused) > 0 THEN
    DELETE FROM runs
    USING ${STARTED_RUNS},
      LATERAL (
        SELECT r.ctid AS place FROM runs r
        WHERE r.tenant_id = s.tenant_id AND r.run_id = s.run_id AND r.xmin = pg_current_xact_id()::xid
        FOR UPDATE
      ) AS started
    WHERE runs.ctid = started.place AND s.item = ANY (refused);
  END IF;`,
};

function startingColumns(transition: Transition): object {
  const { state, requestDigest } = transition.after;
  return {
    ...changingColumns(transition),
    workflow_id: state.workflowId,
    version: state.version,
    create_time: state.createTime,
    session_id: state.sessionId,
    actor_id: state.actorId,
    parent_run_id: state.parentRunId,
    root_run_id: state.rootRunId,
    labels: state.labels,
    request_digest: hexToBytea(requestDigest),
  };
}
