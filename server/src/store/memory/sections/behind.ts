/** Runs whose rows stay behind their ledgers: only records and events are written. */
import { rowKey } from "../database.ts";
import { refuseIf, type Section } from "./section.ts";

export const BEHIND: Section = {
  name: "behind",
  check(hand) {
    refuseIf(hand, ({ tenantId, runId, after, expectedSeq }) => {
      if (after.behind === undefined) return undefined;
      const length = hand.database.runs.get(rowKey(tenantId, runId))?.records.length ?? 0;
      if (length === expectedSeq) return undefined;
      return length < expectedSeq ? "seq" : "record";
    });
  },
};
