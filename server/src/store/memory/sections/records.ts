/** Step records: the ledger. */
import assert from "node:assert/strict";
import { committedOf, runOf, type Section } from "./section.ts";

export const RECORDS: Section = {
  name: "records",
  check({ transitions }) {
    for (const { transition } of transitions) {
      const { expectedSeq, records, after } = transition;
      assert.equal(after.state.seq, expectedSeq + records.length, "a ledger is gapless");
      for (const [i, record] of records.entries()) assert.equal(record.seq, expectedSeq + i + 1, "a ledger is gapless");
      const lastHash = records.at(-1)?.hash;
      assert(lastHash === undefined || lastHash === after.headHash, "headHash is the hash of the last record");
    }
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { records } = runOf(hand, transition);
      for (const { parts, ...record } of transition.records) {
        const [body, given] = ["body", "given"].map((name) => parts.filter((part) => part.name === name));
        records.push({ ...record, parts: structuredClone([...body!, ...given!]) });
      }
    }
  },
};
