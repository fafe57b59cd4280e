/** Waits that close. */
import { closeWait } from "../waits.ts";
import { committedOf, type Section } from "./section.ts";

export const CLOSINGS: Section = {
  name: "closings",
  write(hand) {
    for (const { tenantId, closeWaits } of committedOf(hand)) {
      for (const closing of closeWaits) closeWait(hand.database, tenantId, closing);
    }
  },
};
