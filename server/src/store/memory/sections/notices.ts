/** The feed over all runs. */
import { nextCommitTime } from "../database.ts";
import { committedOf, laneOf, type Section } from "./section.ts";

export const NOTICES: Section = {
  name: "notices",
  write(hand) {
    const { feed, laneId } = laneOf(hand);
    const { batchNo } = hand;
    const time = nextCommitTime(hand.database);
    let ordinal = 0;
    for (const { tenantId, runId, notices } of committedOf(hand)) {
      for (const { kind, seq } of notices) {
        feed.push({ tenantId, runId, laneId, batchNo, ordinal, kind, seq, time });
        ordinal += 1;
      }
    }
  },
};
