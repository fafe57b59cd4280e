/** Rows of new runs. */
import { rowKey } from "../database.ts";
import { assertRow, rowAfter } from "../run-row.ts";
import { committedOf, refuseIf, type Section } from "./section.ts";

export const STARTS: Section = {
  name: "starts",
  check(hand) {
    const { runs, deletedRuns } = hand.database;
    // In two steps, as on Postgres: of several starts that are refused, those of ids that are taken come first.
    for (const keys of [runs, deletedRuns]) {
      refuseIf(hand, ({ tenantId, runId, rowSeq }) =>
        rowSeq === 0 && keys.has(rowKey(tenantId, runId)) ? "run_exists" : undefined,
      );
    }
    for (const { transition } of hand.transitions) if (transition.rowSeq === 0) assertRow(transition);
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { tenantId, runId, rowSeq } = transition;
      if (rowSeq === 0) hand.database.runs.set(rowKey(tenantId, runId), rowAfter(undefined, transition));
    }
  },
};
