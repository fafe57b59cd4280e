/** The ledger. */
import { describe, expect, it } from "vitest";
import { fold } from "../../core/fold/fold.ts";
import { NO_PREVIOUS_HASH, draftFromSealed, recordHash } from "../../core/ledger-format.ts";
import type { StepRecordDraft } from "../../core/records.ts";
import type { StoredRun } from "../contract/runs.ts";
import type { Store } from "../contract/store.ts";
import { ALL, type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, endOf, joinOf, seal, startOf } from "./fixtures.ts";

export function describeLedger(openBench: OpenBench): void {
  describe("the ledger", () => {
    const bench = openBench("group");

    const plain = (records: Awaited<ReturnType<Store["ledger"]["list"]>>) =>
      records.map(({ parts, ...rest }) => ({
        ...rest,
        parts: parts.map(({ salt, ...part }) => ({ ...part, salt: Buffer.from(salt).toString("hex") })),
      }));

    it("returns records byte for byte, gapless and chained, and they fold to the run's state", async () => {
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
      const names = records.map(({ parts }) => parts.map(({ name }) => name));
      expect(names).toEqual([["body", "given"], ["body"], ["body"], ["body"]]);
    });

    it("returns any part of a record, in order, and deletes all with their run", async () => {
      const { store, writer } = bench;
      const statements = [
        { name: "statement", text: '{"payload":"a\\nb"}\n\u00fc' },
        { name: "attestation", text: "" },
      ];
      const draft = (seq: number, before?: StoredRun): StepRecordDraft => {
        const transition = before === undefined ? startOf(key) : assignOf(before, "x", seq);
        return draftFromSealed(transition.records[0]!);
      };
      const key = { tenantId: bench.tenant(), runId: "run-1" };
      const first = seal(draft(1), NO_PREVIOUS_HASH, statements);
      const start = startOf(key);
      const started = await writer.put({ ...start, records: [first], after: { ...start.after, headHash: first.hash } });
      const second = seal(draft(2, started), first.hash, statements.slice(0, 1));
      const step = assignOf(started, "x", 2);
      const moved = await writer.put({ ...step, records: [second], after: { ...step.after, headHash: second.hash } });
      const third = assignOf(moved, "x", 3);
      await writer.put(third);
      const records = await store.ledger.list(key, 0, ALL);
      expect(plain(records)).toEqual(plain([first, second, ...third.records]));
      expect(records.map(({ parts }) => parts.map(({ name }) => name))).toEqual([
        ["body", "given", "statement", "attestation"],
        ["body", "statement"],
        ["body"],
      ]);
      expect(fold(records.map(draftFromSealed))).toEqual((await load(store, key)).state);
      await writer.put(endOf(third.after, null));
      expect(await store.runs.delete(key)).toBe(true);
      expect(await store.ledger.list(key, 0, ALL)).toEqual([]);
    });

    it("lists records after a seq, up to a limit", async () => {
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
