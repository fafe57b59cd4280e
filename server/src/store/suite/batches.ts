/** What batches committed, as the log of record hashes lists it. */
import { describe, expect, it } from "vitest";
import type { CommittedBatch, Transition } from "../contract/batch.ts";
import { ALL, COMMITTED, keyOf, type OpenBench } from "./bench.ts";
import {
  assignOf,
  conflictOf,
  endOf,
  eventDelivery,
  eventOf,
  groupOf,
  joinOf,
  mailDelivery,
  openWriter,
  startOf,
} from "./fixtures.ts";

function runOf({ runId, records }: Transition): CommittedBatch["runs"][number] {
  return { runId, firstSeq: records[0]!.seq, hashes: records.map(({ hash }) => hash) };
}

export function describeBatches(openBench: OpenBench): void {
  describe("batches", () => {
    const bench = openBench("group");

    it("keep the hashes of their records by tenant, in order, without those of refused groups", async () => {
      const { store, other } = bench;
      const writer = await openWriter(store);
      const { laneId } = writer;
      const [one, two] = [bench.tenant(), bench.tenant()];
      const first = startOf({ tenantId: one, runId: "first" });
      const alone = startOf({ tenantId: two, runId: "alone" });
      const second = startOf({ tenantId: one, runId: "second" });
      expect(await writer.commit(first, alone, second)).toEqual([COMMITTED, COMMITTED, COMMITTED]);
      // A batch without records has no entry.
      await writer.deliver(
        mailDelivery(first, "cancel"),
        eventDelivery(eventOf({ tenantId: one, scope: "global", scopeId: "" }, { name: "go" })),
      );
      const step = assignOf(first.after, "x", 1);
      const both = joinOf(step, assignOf(step.after, "x", 2), first.after);
      const neighbour = assignOf(alone.after, "x", 1);
      const late = assignOf(second.after, "x", 3);
      const outcomes = await writer.commitItems([groupOf(neighbour, late), groupOf(both)]);
      expect(outcomes).toEqual([COMMITTED, COMMITTED]);
      // Once after a refused neighbour, and once before one.
      const again = startOf({ tenantId: one, runId: "second" });
      const last = [endOf(both.after, 1), assignOf(neighbour.after, "x", 4)] as const;
      expect(
        await writer.commitItems([groupOf(again, startOf({ tenantId: two, runId: "never" })), groupOf(...last)]),
      ).toEqual([conflictOf("run_exists"), COMMITTED]);
      const list = (tenantId: string, afterBatchNo = 0, limit = ALL) =>
        other.batches.list({ tenantId, laneId, afterBatchNo, limit });
      const batch = (tenantId: string, batchNo: number, ...transitions: Transition[]) => ({
        tenantId,
        laneId,
        batchNo,
        runs: transitions.map(runOf),
      });
      const ofOne = [batch(one, 1, first, second), batch(one, 3, late, both), batch(one, 4, last[0])];
      expect(await list(one)).toEqual(ofOne);
      expect(await list(two)).toEqual([batch(two, 1, alone), batch(two, 3, neighbour), batch(two, 4, last[1])]);
      expect(await list(one, 1, 1)).toEqual(ofOne.slice(1, 2));
      expect(await list(one, 4)).toEqual([]);
      expect(await list(bench.tenant())).toEqual([]);
      expect(
        await other.batches.list({ tenantId: one, laneId: bench.writer.laneId, afterBatchNo: 0, limit: ALL }),
      ).toEqual([]);
      // The log keeps what was committed.
      expect(await store.runs.delete(keyOf(last[0].after))).toBe(true);
      expect(await list(one)).toEqual(ofOne);
    });
  });
}
