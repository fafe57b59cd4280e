/** The feed over all runs. */
import { describe, expect, it } from "vitest";
import type { Transition } from "../contract/batch.ts";
import type { NoticeKind } from "../../core/decision.ts";
import type { FeedEntry, FeedFilter, LanePosition } from "../contract/feed.ts";
import { ALL, COMMITTED, type OpenBench } from "./bench.ts";
import { conflictOf, endOf, openWriter, startOf, type Writer } from "./fixtures.ts";

export function describeFeed(openBench: OpenBench): void {
  describe("the feed", () => {
    const bench = openBench("test");

    let runs = 0;
    /** A transition that starts a run and sends notices with these seqs, by which the tests recognize them. */
    function noted(tenantId: string, seqs: number[], kinds: NoticeKind[] = []): Transition {
      runs += 1;
      const notices = seqs.map((seq, i) => ({ kind: kinds[i] ?? ("started" as const), seq }));
      return startOf({ tenantId, runId: `run-${runs}` }, { notices });
    }

    const fromStart = (...writers: Writer[]): LanePosition[] =>
      writers.map(({ laneId }) => ({ laneId, batchNo: 0, ordinal: 0 }));

    /** Moves the positions past a page, to the last entry of each lane. */
    function advance(positions: LanePosition[], page: FeedEntry[]): LanePosition[] {
      return positions.map((position) =>
        page
          .filter((entry) => entry.laneId === position.laneId)
          .reduce<LanePosition>(
            (furthest, { laneId, batchNo, ordinal }) =>
              batchNo > furthest.batchNo || (batchNo === furthest.batchNo && ordinal > furthest.ordinal)
                ? { laneId, batchNo, ordinal }
                : furthest,
            position,
          ),
      );
    }

    /** Reads the whole feed in pages. */
    async function readAll(tenantId: string, start: LanePosition[], limit: number): Promise<FeedEntry[]> {
      const entries: FeedEntry[] = [];
      let positions = start;
      for (let pages = 0; pages < ALL; pages++) {
        const page = await bench.store.feed.read(tenantId, positions, limit);
        expect(page.length).toBeLessThanOrEqual(limit);
        if (page.length === 0) return entries;
        entries.push(...page);
        positions = advance(positions, page);
      }
      throw new Error("the feed has no end");
    }

    it("passes over what a filter does not want, and says how far it read", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const [one, two] = [noted(tenantId, [1, 2], ["started", "waiting"]), noted(tenantId, [3])];
      await writer.commit(one, two);
      const wantedOf = (entries: FeedEntry[], runId: string) =>
        entries.filter((entry) => entry.passed === undefined && entry.runId === runId).map(({ seq }) => seq);
      const read = async (runs: FeedFilter["runs"], kinds: NoticeKind[] = []) =>
        await store.feed.read(tenantId, fromStart(writer), ALL, { runs, kinds });
      const { workflowId } = one.after.state;
      expect(wantedOf(await read({ workflowId }), one.runId)).toEqual([1, 2]);
      const none = await read({ workflowId: "other" });
      // Whatever is returned, a reader that goes on after it has read everything.
      expect(await store.feed.read(tenantId, advance(fromStart(writer), none), ALL)).toEqual([]);
      const last = (await read({ workflowId }, ["waiting"])).at(-1)!;
      expect([last.runId, last.seq]).toEqual([two.runId, 3]);
    });

    it("has the notices of transitions, each with its position", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const first = noted(tenantId, [1, 2], ["started", "waiting"]);
      const second = noted(tenantId, [3]);
      await writer.commit(first, second);
      await writer.put(endOf(first.after, 1, { notices: [{ kind: "completed", seq: 4 }] }));
      const feed = await other.feed.read(tenantId, fromStart(writer), ALL);
      const { laneId } = writer;
      const place = { tenantId, laneId };
      expect(feed.map(({ ordinal: _ordinal, time: _time, ...entry }) => entry)).toEqual([
        { ...place, runId: first.runId, batchNo: 1, kind: "started", seq: 1 },
        { ...place, runId: first.runId, batchNo: 1, kind: "waiting", seq: 2 },
        { ...place, runId: second.runId, batchNo: 1, kind: "started", seq: 3 },
        { ...place, runId: first.runId, batchNo: 2, kind: "completed", seq: 4 },
      ]);
      const ordinals = feed.slice(0, 3).map((entry) => entry.ordinal);
      expect(ordinals).toEqual([...new Set(ordinals)].toSorted((a, b) => a - b));
      const rest = await store.feed.read(tenantId, advance(fromStart(writer), feed.slice(0, 2)), ALL);
      expect(rest).toEqual(feed.slice(2));
      expect(await store.feed.read(tenantId, advance(fromStart(writer), feed), ALL)).toEqual([]);
    });

    it("merges lanes in the order of their commits, and leaves out other tenants and unnamed lanes", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const second = await openWriter(other);
      const third = await openWriter(other);
      await writer.commit(noted(tenantId, [10]), noted(bench.tenant(), [11]));
      await second.commit(noted(tenantId, [5, 15]));
      await writer.commit(noted(tenantId, [12, 20]));
      await third.commit(noted(tenantId, [1]));
      await second.commit(noted(tenantId, [18]));
      const seqs = (entries: FeedEntry[]) => entries.map((entry) => entry.seq);
      const all = await store.feed.read(tenantId, fromStart(writer, second, third), ALL);
      expect(seqs(all)).toEqual([10, 5, 15, 12, 20, 1, 18]);
      const two = await store.feed.read(tenantId, fromStart(writer, second), ALL);
      expect(seqs(two)).toEqual([10, 5, 15, 12, 20, 18]);
      expect(await store.feed.read(tenantId, [], ALL)).toEqual([]);
      for (const limit of [1, 2, 3, 5]) {
        expect(await readAll(tenantId, fromStart(writer, second, third), limit)).toEqual(all);
      }
    });

    it("has no notices of a conflict", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const start = noted(tenantId, [1]);
      await writer.put(start);
      expect(await writer.commit(start, noted(tenantId, [2]))).toEqual([conflictOf("run_exists"), COMMITTED]);
      const feed = await store.feed.read(tenantId, fromStart(writer), ALL);
      expect(feed.map((entry) => entry.seq)).toEqual([1, 2]);
    });

    it("can be read further in lanes that have ended", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      const doomed = await openWriter(other);
      await doomed.commit(noted(tenantId, [1]));
      await doomed.commit(noted(tenantId, [2]));
      await store.lanes.end(doomed.serverId);
      const lane = (await store.lanes.list(doomed.laneId - 1)).find(({ laneId }) => laneId === doomed.laneId);
      expect(lane).toMatchObject({ ended: true, lastBatchNo: 2 });
      const feed = await readAll(tenantId, fromStart(doomed), 1);
      expect(feed.map((entry) => entry.seq)).toEqual([1, 2]);
    });
  });
}
