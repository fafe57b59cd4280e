/** Jobs that settle or end an attempt. */
import { canSettle, settleJob } from "../jobs.ts";
import { committedOf, refuseIf, type Section } from "./section.ts";

export const SETTLEMENTS: Section = {
  name: "settlements",
  check(hand) {
    refuseIf(hand, (transition) => (canSettle(hand.database, transition) ? undefined : "job"));
  },
  write(hand) {
    for (const { tenantId, settledJobs } of committedOf(hand)) {
      for (const settlement of settledJobs) settleJob(hand.database, tenantId, settlement);
    }
  },
};
