/** Parts of step records besides `body` and `given`. */
import { committedOf, runOf, type Section } from "./section.ts";

export const RECORD_PARTS: Section = {
  name: "record-parts",
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { records } = runOf(hand, transition);
      for (const { seq, parts } of transition.records) {
        const others = parts.filter(({ name }) => name !== "body" && name !== "given");
        // Record n is at n - 1.
        if (others.length > 0) records[seq - 1]!.parts.push(...structuredClone(others));
      }
    }
  },
};
