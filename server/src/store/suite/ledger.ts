/** The ledger. */
import { describe, expect, it } from "vitest";
import { fold } from "../../core/apply.ts";
import { NO_PREVIOUS_HASH, draftFromSealed, recordHash } from "../../core/ledger-format.ts";
import type { Store } from "../contract/store.ts";
import { ALL, type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, endOf, joinOf, startOf } from "./fixtures.ts";

export function describeLedger(openBench: OpenBench): void {
  describe("the ledger", () => {
    const bench = openBench("group");

    const plain = (records: Awaited<ReturnType<Store["ledger"]["list"]>>) =>
      records.map(({ bodySalt, givenSalt, ...rest }) => ({
        ...rest,
        bodySalt: Buffer.from(bodySalt).toString("hex"),
        ...(givenSalt === undefined ? {} : { givenSalt: Buffer.from(givenSalt).toString("hex") }),
      }));

    it("gives records back byte for byte, gapless and chained, and they fold to the run's state", async () => {
      const { store, writer } = bench;
      const start = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { text: "ü\u2028" } });
      const first = assignOf(start.after, "x", 1);
      const second = assignOf(first.after, "y", [1, { deep: "" }]);
      const end = endOf(second.after, "done");
      await writer.put(start);
      // Two records in one transition, as the run-ahead commits them.
      await writer.put(joinOf(first, second));
      await writer.put(end);
      const records = await store.ledger.list(start, 0, ALL);
      const sealed = [start, first, second, end].flatMap((transition) => transition.records);
      expect(plain(records)).toEqual(plain(sealed));
      expect(records.map((record) => record.seq)).toEqual([1, 2, 3, 4]);
      let previous = NO_PREVIOUS_HASH;
      for (const record of records) {
        expect(recordHash(record.header)).toBe(record.hash);
        expect(JSON.parse(record.header)).toMatchObject({ prev: previous });
        previous = record.hash;
      }
      const run = await load(store, start);
      expect(run.headHash).toBe(previous);
      expect(fold(records.map(draftFromSealed))).toEqual(run.state);
      expect("given" in (records[0] ?? {})).toBe(true);
      expect("given" in (records[1] ?? {})).toBe(false);
      expect("givenSalt" in (records[1] ?? {})).toBe(false);
    });

    it("lists records behind a seq, at most so many", async () => {
      const { store, writer } = bench;
      let run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      for (let i = 0; i < 11; i++) run = await writer.put(assignOf(run, "i", i));
      const seqs = async (afterSeq: number, limit: number) =>
        (await store.ledger.list(keyOf(run), afterSeq, limit)).map((record) => record.seq);
      expect(await seqs(0, 3)).toEqual([1, 2, 3]);
      expect(await seqs(3, 3)).toEqual([4, 5, 6]);
      expect(await seqs(9, 100)).toEqual([10, 11, 12]);
      expect(await seqs(12, 100)).toEqual([]);
      expect(await store.ledger.list({ tenantId: bench.tenant(), runId: "run-1" }, 0, 100)).toEqual([]);
    });
  });
}
