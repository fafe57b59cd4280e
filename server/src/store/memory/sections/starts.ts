/** Rows of new runs. */
import { rowKey } from "../database.ts";
import { assertRow, rowAfter } from "../run-row.ts";
import { committedOf, refuseIf, type Section } from "./section.ts";

export const STARTS: Section = {
  name: "starts",
  check(hand) {
    const { runs, deletedRuns } = hand.database;
    refuseIf(hand, ({ tenantId, runId, rowSeq }) => {
      const key = rowKey(tenantId, runId);
      return rowSeq === 0 && (runs.has(key) || deletedRuns.has(key)) ? "run_exists" : undefined;
    });
    for (const { transition } of hand.transitions) if (transition.rowSeq === 0) assertRow(transition);
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { tenantId, runId, rowSeq } = transition;
      if (rowSeq === 0) hand.database.runs.set(rowKey(tenantId, runId), rowAfter(undefined, transition));
    }
  },
};
