/** Runs whose rows stay behind their ledgers: only records and events are written. */
import { linesOf, numbersOf, refuse, type Section } from "./section.ts";

export const BEHIND: Section<
  "p_behind_items" | "p_behind_transitions" | "p_behind_tenants" | "p_behind_runs" | "p_behind_seqs"
> = {
  name: "behind",
  parameters: {
    p_behind_items: "int[]",
    p_behind_transitions: "int[]",
    p_behind_tenants: "text",
    p_behind_runs: "text",
    p_behind_seqs: "bigint[]",
  },
  encode({ transitions }) {
    const behind = transitions.filter(({ transition }) => transition.after.behind !== undefined);
    return {
      p_behind_items: numbersOf(behind.map(({ item }) => item)),
      p_behind_transitions: numbersOf(behind.map(({ place }) => place)),
      p_behind_tenants: linesOf(behind.map(({ transition }) => transition.tenantId)),
      p_behind_runs: linesOf(behind.map(({ transition }) => transition.runId)),
      p_behind_seqs: numbersOf(behind.map(({ transition }) => transition.expectedSeq)),
    };
  },
  check: `
  -- The ledger must end where the transition begins. The primary key of the records ensures that no other transaction
  -- extends it at the same moment. The fence ensures that the run belongs to this lane: a server that takes a run from
  -- it ends the lane first.
  IF p_behind_items IS NOT NULL THEN${refuse(`
      SELECT b.item, b.transition, CASE WHEN last.seq IS NULL THEN 'seq' ELSE 'record' END
      FROM ROWS FROM (
        unnest(p_behind_items), unnest(p_behind_transitions), string_to_table(p_behind_tenants, E'\\n'),
        string_to_table(p_behind_runs, E'\\n'), unnest(p_behind_seqs)
      ) AS b (item, transition, tenant_id, run_id, expected_seq)
      LEFT JOIN LATERAL (
        SELECT s.seq FROM step_records s
        WHERE s.tenant_id = b.tenant_id AND s.run_id = b.run_id AND s.seq >= b.expected_seq
        ORDER BY s.seq DESC LIMIT 1
      ) AS last ON true
      WHERE last.seq IS DISTINCT FROM b.expected_seq AND b.item <> ALL (refused)`)}
  END IF;`,
};
