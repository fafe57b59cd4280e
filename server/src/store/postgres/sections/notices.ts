/** The feed over all runs. */
import { jsonOf, type Section } from "./section.ts";

export const NOTICES: Section<"p_notices"> = {
  name: "notices",
  parameters: { p_notices: "json" },
  encode({ transitions }) {
    const rows = transitions.flatMap(({ item, transition: { tenantId, runId, notices } }) =>
      notices.map((notice) => ({ item, tenant_id: tenantId, run_id: runId, ...notice })),
    );
    return { p_notices: jsonOf(rows.map((row, ordinal) => ({ ...row, ordinal }))) };
  },
  write: `
  -- One database time for the whole batch. A transaction that builds on what was committed here commits at a later
  -- time, unless the clock was set back. So a merge of the lanes by time is in the order of commits.
  IF p_notices IS NOT NULL THEN
    INSERT INTO feed (tenant_id, lane_id, batch_no, ordinal, run_id, kind, seq, time)
    SELECT n.tenant_id, p_lane_id, p_batch_no, n.ordinal, n.run_id, n.kind, n.seq, batch_time.value
    FROM json_to_recordset(p_notices) AS n (item int, ordinal int, tenant_id text, run_id text, kind text, seq bigint)
    CROSS JOIN (SELECT clock_timestamp() AS value OFFSET 0) AS batch_time
    WHERE n.item <> ALL (refused);
  END IF;`,
};
