/** Runs whose rows stay behind their ledgers: only records are written, and events. */
import { jsonOf, keyOf, refuse, type Section } from "./section.ts";

export const BEHIND: Section<"p_behind"> = {
  name: "behind",
  parameters: { p_behind: "json" },
  encode: ({ transitions }) => ({
    p_behind: jsonOf(
      transitions
        .filter(({ transition }) => transition.after.behind !== undefined)
        .map((placed) => ({ ...keyOf(placed), expected_seq: placed.transition.expectedSeq })),
    ),
  }),
  check: `
  -- The ledger goes on where the transition does. That nobody else goes on there at this moment says the key of the records; that the run
  -- is this lane's says the lane: whoever takes a run from it ends it first.
  IF p_behind IS NOT NULL THEN${refuse(`
      SELECT b.item, b.transition, CASE WHEN last.seq IS NULL THEN 'seq' ELSE 'record' END
      FROM json_to_recordset(p_behind) AS b (item int, transition int, tenant_id text, run_id text, expected_seq bigint)
      LEFT JOIN LATERAL (
        SELECT s.seq FROM step_records s
        WHERE s.tenant_id = b.tenant_id AND s.run_id = b.run_id AND s.seq >= b.expected_seq
        ORDER BY s.seq DESC LIMIT 1
      ) AS last ON true
      WHERE last.seq IS DISTINCT FROM b.expected_seq AND b.item <> ALL (refused)`)}
  END IF;`,
};
