/** Rows of existing runs that move: compare and swap by seq. */
import { rowKey } from "../database.ts";
import { assertRow, rowAfter } from "../run-row.ts";
import { committedOf, refuseIf, runOf, type Section } from "./section.ts";

export const MOVES: Section = {
  name: "moves",
  check(hand) {
    refuseIf(hand, ({ tenantId, runId, after, rowSeq, expectedSeq }) => {
      if (after.behind !== undefined || rowSeq === 0) return undefined;
      const row = hand.database.runs.get(rowKey(tenantId, runId));
      if (row === undefined || row.head.seq !== rowSeq || row.records.length < expectedSeq) return "seq";
      return row.records.length > expectedSeq ? "record" : undefined;
    });
    for (const { transition } of hand.transitions) if (transition.rowSeq > 0) assertRow(transition);
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { tenantId, runId, after, rowSeq } = transition;
      if (after.behind !== undefined || rowSeq === 0) continue;
      hand.database.runs.set(rowKey(tenantId, runId), rowAfter(runOf(hand, transition), transition));
    }
  },
};
