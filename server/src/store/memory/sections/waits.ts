/** Waits that open. */
import { BatchRejectedError } from "../../contract/errors.ts";
import { rowKey } from "../database.ts";
import { openWait } from "../waits.ts";
import { assertTexts, committedOf, type Section } from "./section.ts";

export const WAITS: Section = {
  name: "waits",
  check(hand) {
    for (const { transition } of hand.transitions) assertTexts(transition.openWaits.map(({ wait }) => wait.wait_id));
    const opened = new Set<string>();
    for (const { tenantId, openWaits } of committedOf(hand)) {
      for (const { wait } of openWaits) {
        const key = rowKey(tenantId, wait.wait_id);
        if (hand.database.waits.has(key) || opened.has(key))
          throw new BatchRejectedError(`wait ${wait.wait_id} already exists`);
        opened.add(key);
      }
    }
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      for (const { wait } of transition.openWaits) openWait(hand.database, transition, wait);
    }
  },
};
