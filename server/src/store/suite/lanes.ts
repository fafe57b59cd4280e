/** Leases of servers and their lanes. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Channel } from "../../core/event.ts";
import { LaneFencedError } from "../contract/errors.ts";
import { ALL, COMMITTED, type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, eventDelivery, eventOf, groupOf, openWriter, startOf, waitOf } from "./fixtures.ts";

export function describeLanes(openBench: OpenBench): void {
  describe("lanes", () => {
    const bench = openBench("test");

    it("gives lanes whose ids rise over all servers", async () => {
      const { store, other, writer } = bench;
      const one = await store.lanes.open({ serverId: "one", process: "p1", lanes: 3 });
      const two = await other.lanes.open({ serverId: "two", process: "p2", lanes: 2 });
      const ids = [writer.laneId, ...one.map((lane) => lane.laneId), ...two.map((lane) => lane.laneId)];
      expect(ids).toHaveLength(6);
      expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
      for (const lane of [...one, ...two]) expect(Number.isSafeInteger(lane.nonce)).toBe(true);
      const states = (await store.lanes.list(0)).filter((lane) => lane.laneId > writer.laneId);
      expect(states.toSorted((a, b) => a.laneId - b.laneId)).toEqual(
        [...one, ...two].map((lane) => ({ ...lane, ended: false, lastBatchNo: 0 })),
      );
    });

    it("lists open lanes and those that ended above an id, with their last batch", async () => {
      const { store, other, writer } = bench;
      const gone = await openWriter(other);
      const last = await openWriter(other);
      await gone.commit(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      await gone.commit(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      await store.lanes.end(gone.serverId);
      const lanes = async (above: number) =>
        (await store.lanes.list(above))
          .toSorted((a, b) => a.laneId - b.laneId)
          .map(({ laneId, ended, lastBatchNo }) => [laneId, ended, lastBatchNo]);
      const [first, second] = [
        [writer.laneId, false, 0],
        [last.laneId, false, 0],
      ];
      expect(await lanes(gone.laneId)).toEqual([first, second]);
      expect(await lanes(last.laneId)).toEqual([first, second]);
      expect(await lanes(writer.laneId)).toEqual([first, [gone.laneId, true, 2], second]);
      expect((await store.lanes.list(0)).find((lane) => lane.laneId === gone.laneId)?.nonce).toBe(gone.lane.nonce);
    });

    it("fences every batch of a server whose lease has ended", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const doomed = await openWriter(other);
      const run = await doomed.put(startOf({ tenantId, runId: "run-1" }, { ownerLane: doomed.laneId }));
      await store.lanes.end(doomed.serverId);
      const channel: Channel = { tenantId, scope: "global", scopeId: "" };
      await expect(doomed.commit(assignOf(run, "x", 1))).rejects.toBeInstanceOf(LaneFencedError);
      await expect(doomed.commit(startOf({ tenantId, runId: "run-2" }))).rejects.toBeInstanceOf(LaneFencedError);
      const event = eventDelivery(eventOf(channel, { name: "go" }));
      await expect(doomed.deliver(event)).rejects.toBeInstanceOf(LaneFencedError);
      expect(await store.runs.load([keyOf(run), { tenantId, runId: "run-2" }])).toEqual([run, undefined]);
      expect(await store.events.list(channel, 0, ALL)).toEqual([]);
      expect(await writer.commit(assignOf(run, "x", 2))).toEqual([COMMITTED]);
      // Ending it again, or ending a server that never existed, does nothing.
      await store.lanes.end(doomed.serverId);
      await store.lanes.end("never-opened");
      expect(await store.batches.resolve(doomed.laneId, 1)).toBe("committed");
      expect(await store.batches.resolve(doomed.laneId, 2)).toBe("void");
    });

    it("either commits a batch before the lease ends or fences it", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      for (let round = 0; round < 5; round++) {
        const doomed = await openWriter(other);
        const start = startOf({ tenantId, runId: `run-${round}` });
        const [commit] = await Promise.allSettled([doomed.commit(start), store.lanes.end(doomed.serverId)]);
        const [stored] = await store.runs.load([start]);
        const resolved = await store.batches.resolve(doomed.laneId, 1);
        const isFenced = commit.status === "rejected" && commit.reason instanceof LaneFencedError;
        const result = commit.status === "fulfilled" ? commit.value : isFenced;
        expect([result, stored, resolved]).toEqual(
          commit.status === "fulfilled" ? [[COMMITTED], start.after, "committed"] : [true, undefined, "void"],
        );
      }
    });

    it("says whether a batch was committed, the same every time", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      await writer.put(startOf({ tenantId, runId: "run-1" }));
      expect(await store.batches.resolve(writer.laneId, 1)).toBe("committed");
      expect(await other.batches.resolve(writer.laneId, 1)).toBe("committed");
      expect(await other.batches.resolve(writer.laneId, 2)).toBe("void");
      expect(await store.batches.resolve(writer.laneId, 2)).toBe("void");
      // After it is resolved as void, it can never be committed.
      const start = startOf({ tenantId, runId: "run-2" });
      await expect(writer.commit(start)).rejects.toBeInstanceOf(Error);
      expect(await store.runs.load([start])).toEqual([undefined]);
      expect(await store.batches.resolve(writer.laneId, 2)).toBe("void");
      expect(await writer.commit(start)).toEqual([COMMITTED]);
      expect(await store.batches.resolve(writer.laneId, 3)).toBe("committed");
    });

    it("commits a batch number once", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const transition = assignOf(run, "x", 1);
      const batch = { laneId: writer.laneId, batchNo: 1, items: [groupOf(transition)] };
      await expect(store.batches.commit(batch)).rejects.toBeInstanceOf(Error);
      expect(await load(store, keyOf(run))).toEqual(run);
    });

    it("resolves a batch in flight to its actual outcome", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      for (let round = 1; round <= 5; round++) {
        const start = startOf({ tenantId, runId: `run-${round}` });
        const [commit, resolved] = await Promise.allSettled([
          writer.commit(start),
          other.batches.resolve(writer.laneId, round),
        ]);
        assert(resolved.status === "fulfilled");
        const [stored] = await store.runs.load([start]);
        expect(resolved.value).toBe(stored === undefined ? "void" : "committed");
        expect(commit.status).toBe(stored === undefined ? "rejected" : "fulfilled");
      }
    });
  });

  describe("leases", () => {
    const bench = openBench("test");

    it("shows the other servers and their renewals, but not those that have ended", async () => {
      const { store, other, writer } = bench;
      const one = await openWriter(other, "one");
      const two = await openWriter(other, "two");
      const before = await store.now();
      const seen = await store.lanes.renew(writer.serverId);
      expect(seen).toMatchObject({ leaseOpen: true, hasOrphans: false });
      expect(seen).not.toHaveProperty("nextWakeTime");
      expect(seen.now >= before).toBe(true);
      const leases = seen.others.toSorted((a, b) => (a.serverId < b.serverId ? -1 : 1));
      expect(leases.map(({ serverId, process }) => [serverId, process])).toEqual([
        ["one", "process of one"],
        ["two", "process of two"],
      ]);
      await other.lanes.renew(one.serverId);
      await other.lanes.renew(one.serverId);
      const later = await store.lanes.renew(writer.serverId);
      const renewals = (lease: { serverId: string; renewals: number }[], id: string): number =>
        lease.find((item) => item.serverId === id)?.renewals ?? Number.NaN;
      expect(renewals(later.others, "one")).toBeGreaterThan(renewals(seen.others, "one"));
      expect(renewals(later.others, "two")).toBe(renewals(seen.others, "two"));
      await store.lanes.end(two.serverId);
      const last = await store.lanes.renew(writer.serverId);
      expect(last.others.map((lease) => lease.serverId)).toEqual(["one"]);
    });

    it("shows a server that others have ended its lease", async () => {
      const { store, other, writer } = bench;
      await openWriter(other, "doomed");
      expect((await other.lanes.renew("doomed")).leaseOpen).toBe(true);
      await store.lanes.end("doomed");
      expect((await other.lanes.renew("doomed")).leaseOpen).toBe(false);
      expect((await other.lanes.renew("doomed")).leaseOpen).toBe(false);
      expect((await other.lanes.renew("never-opened")).leaseOpen).toBe(false);
      expect((await store.lanes.renew(writer.serverId)).leaseOpen).toBe(true);
    });

    it("hands out the active runs of ended lanes, and only those", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const doomed = await openWriter(other);
      const alive = await openWriter(other);
      const orphans: string[] = [];
      for (let i = 0; i < 5; i++) {
        await doomed.put(startOf({ tenantId, runId: `orphan-${i}` }, { ownerLane: doomed.laneId }));
        orphans.push(`orphan-${i}`);
      }
      const parked = await doomed.put(startOf({ tenantId, runId: "parked" }, { ownerLane: doomed.laneId }));
      await doomed.put(waitOf(parked, { asks: "question" }));
      await alive.put(startOf({ tenantId, runId: "alive" }, { ownerLane: alive.laneId }));
      expect((await store.lanes.renew(writer.serverId)).hasOrphans).toBe(false);
      expect(await store.runs.claim(writer.laneId, ALL)).toEqual([]);

      await store.lanes.end(doomed.serverId);
      expect((await store.lanes.renew(writer.serverId)).hasOrphans).toBe(true);
      const first = await store.runs.claim(writer.laneId, 2);
      expect(first).toHaveLength(2);
      const [rest, others] = await Promise.all([
        store.runs.claim(writer.laneId, ALL),
        other.runs.claim(alive.laneId, ALL),
      ]);
      // Two concurrent claims may leave some runs for the next one, but never get the same run.
      const leftover = await store.runs.claim(writer.laneId, ALL);
      const claimed = [...first, ...rest, ...others, ...leftover];
      expect(claimed.map((key) => key.runId).toSorted()).toEqual(orphans);
      expect(claimed.every((key) => key.tenantId === tenantId)).toBe(true);
      expect((await store.lanes.renew(writer.serverId)).hasOrphans).toBe(false);
      for (const key of [...first, ...rest, ...leftover])
        expect((await load(store, key)).ownerLane).toBe(writer.laneId);
      for (const key of others) expect((await load(store, key)).ownerLane).toBe(alive.laneId);
      expect((await load(store, { tenantId, runId: "alive" })).ownerLane).toBe(alive.laneId);
      expect(await load(store, { tenantId, runId: "parked" })).not.toHaveProperty("ownerLane");
    });

    it("changes nothing but the owner of a claimed run", async () => {
      const { store, other, writer } = bench;
      const doomed = await openWriter(other);
      const run = await doomed.put(
        startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { a: 1 } }, { ownerLane: doomed.laneId }),
      );
      await store.lanes.end(doomed.serverId);
      await store.runs.claim(writer.laneId, 10);
      const claimed = await load(store, keyOf(run));
      expect(claimed).toEqual({ ...run, ownerLane: writer.laneId });
      expect(await writer.commit(assignOf(claimed, "a", 2, { ownerLane: writer.laneId }))).toEqual([COMMITTED]);
    });
  });
}
