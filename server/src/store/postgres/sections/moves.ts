/** Rows of existing runs that move: compare and swap by seq. */
import { changingColumns, encodeStateRest } from "../run-row.ts";
import { jsonOf, linesOf, numbersOf, type PlacedTransition, type Section } from "./section.ts";

export const MOVES: Section<
  | "p_move_items"
  | "p_move_transitions"
  | "p_move_tenants"
  | "p_move_runs"
  | "p_move_row_seqs"
  | "p_move_seqs"
  | "p_moves"
  | "p_move_states"
> = {
  name: "moves",
  parameters: {
    p_move_items: "int[]",
    p_move_transitions: "int[]",
    p_move_tenants: "text",
    p_move_runs: "text",
    p_move_row_seqs: "bigint[]",
    p_move_seqs: "bigint[]",
    p_moves: "json",
    p_move_states: "text",
  },
  encode({ transitions }) {
    const moves = transitions.filter(isMove);
    return {
      p_move_items: numbersOf(moves.map(({ item }) => item)),
      p_move_transitions: numbersOf(moves.map(({ place }) => place)),
      p_move_tenants: linesOf(moves.map(({ transition }) => transition.tenantId)),
      p_move_runs: linesOf(moves.map(({ transition }) => transition.runId)),
      p_move_row_seqs: numbersOf(moves.map(({ transition }) => transition.rowSeq)),
      p_move_seqs: numbersOf(moves.map(({ transition }) => transition.expectedSeq)),
      p_moves: jsonOf(moves.map(({ transition }) => changingColumns(transition))),
      p_move_states: linesOf(moves.map(({ transition }) => encodeStateRest(transition.after.state))),
    };
  },
  variables: `
  -- Where the row of each move is, in the order of the moves.
  move_places tid[];`,
  check: `
  -- A row that another transaction has locked counts as moved. Whether the row still has the expected seq, and whether
  -- the ledger ends where the transition begins, is checked under the lock. The ledger may be ahead of a row that is
  -- behind.
  IF p_move_items IS NOT NULL THEN
    SELECT
      array_agg(f.place ORDER BY f.number),
      refused || coalesce(array_agg(f.item) FILTER (WHERE f.cause IS NOT NULL), '{}'),
      refused_by || coalesce(array_agg(f.transition) FILTER (WHERE f.cause IS NOT NULL), '{}'),
      causes || coalesce(array_agg(f.cause) FILTER (WHERE f.cause IS NOT NULL), '{}')
    INTO move_places, refused, refused_by, causes
    FROM (
      SELECT
        m.item, m.transition, m.number, locked.place,
        CASE
          WHEN locked.place IS NULL OR last.seq IS NULL THEN 'seq'
          WHEN last.seq > m.expected_seq THEN 'record'
        END AS cause
      FROM ROWS FROM (
        unnest(p_move_items), unnest(p_move_transitions), string_to_table(p_move_tenants, E'\\n'),
        string_to_table(p_move_runs, E'\\n'), unnest(p_move_row_seqs), unnest(p_move_seqs)
      ) WITH ORDINALITY AS m (item, transition, tenant_id, run_id, row_seq, expected_seq, number)
      LEFT JOIN LATERAL (
        SELECT r.ctid AS place FROM runs r
        WHERE r.tenant_id = m.tenant_id AND r.run_id = m.run_id AND r.seq = m.row_seq AND m.item <> ALL (refused)
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS locked ON true
      LEFT JOIN LATERAL (
        SELECT s.seq FROM step_records s
        WHERE s.tenant_id = m.tenant_id AND s.run_id = m.run_id AND s.seq >= m.expected_seq
        ORDER BY s.seq DESC LIMIT 1
      ) AS last ON true
    ) AS f;
  END IF;`,
  write: `
  -- The rows are locked, so they are still where they were found.
  IF p_moves IS NOT NULL THEN
    UPDATE runs SET
      status = m.status, paused = m.paused, node = m.node, seq = m.seq, head_hash = m.head_hash,
      wait_reason = m.wait_reason, owner_lane = m.owner_lane, wake_at = m.wake_at, update_time = m.update_time,
      end_time = m.end_time, format = m.format, state = m.state
    FROM ROWS FROM (
      json_to_recordset(p_moves) AS (
        status text, paused boolean, node text, seq bigint, head_hash bytea, wait_reason text, owner_lane bigint,
        wake_at timestamptz, update_time timestamptz, end_time timestamptz, format int
      ),
      string_to_table(p_move_states, E'\\n'),
      unnest(p_move_items),
      unnest(move_places)
    ) AS m (
      status, paused, node, seq, head_hash, wait_reason, owner_lane, wake_at, update_time, end_time, format, state,
      item, place
    )
    WHERE runs.ctid = m.place AND m.item <> ALL (refused);
  END IF;`,
};

function isMove({ transition: { after, rowSeq } }: PlacedTransition): boolean {
  return after.behind === undefined && rowSeq > 0;
}
