/** How runs stand: their owners, mail, timers, channels and jobs. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Channel } from "../../core/event.ts";
import type { RunKey } from "../contract/runs.ts";
import { type RunStanding, STANDING_JOBS_MAX, STANDING_MAIL_MAX, STANDING_PLACES_MAX } from "../contract/standings.ts";
import type { Store } from "../contract/store.ts";
import { HOUR_MS, keyOf, type OpenBench } from "./bench.ts";
import {
  assignOf,
  closingOf,
  endOf,
  eventDelivery,
  eventOf,
  jobOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
  timeAt,
  waitOf,
} from "./fixtures.ts";

async function read(store: Store, key: RunKey): Promise<RunStanding> {
  const standing = await store.standings.read(key);
  assert(standing !== undefined, `run ${key.runId} is stored`);
  return standing;
}

/** The relevant fields of open jobs: key, state, place. */
function jobsIn({ openJobs }: RunStanding): [key: string, state: string, place: number | undefined][] {
  return openJobs.map(({ idempotencyKey, state, queuePlace }) => [idempotencyKey, state, queuePlace]);
}

export function describeStandings(openBench: OpenBench): void {
  describe("standings", () => {
    const bench = openBench("group");

    it("exist only for existing runs, and within their tenant", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      expect(await store.standings.read({ tenantId, runId: "run-2" })).toBeUndefined();
      expect(await store.standings.read({ tenantId: bench.tenant(), runId: "run-1" })).toBeUndefined();
      const before = await store.now();
      const { now, ...standing } = await read(store, keyOf(run));
      expect(now >= before).toBe(true);
      const [head] = await store.runs.loadHeads([keyOf(run)]);
      expect(standing).toEqual({ run: head, mail: { first: [], total: 0 }, jobCounts: [], openJobs: [] });
    });

    it("say who owns an active run, how far its row is behind, and whether the owner's lease has ended", async () => {
      const { store, other } = bench;
      const owner = await openWriter(other);
      const start = await owner.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }, { ownerLane: owner.laneId }));
      const run = await owner.put(assignOf(start, "x", 1, { ownerLane: owner.laneId, isLeft: true }));
      const server = { serverId: owner.serverId, process: `process of ${owner.serverId}` };
      const standing = await read(store, keyOf(run));
      expect(standing.owner).toEqual({ laneId: owner.laneId, ended: false, server });
      expect(standing.run.state.seq).toBe(2);
      expect(standing.run.behind?.seq).toBe(1);
      await other.lanes.end(owner.serverId);
      expect((await read(store, keyOf(run))).owner).toEqual({ laneId: owner.laneId, ended: true, server });
    });

    it("say when a server next wakes the run", async () => {
      const { store, writer } = bench;
      const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      const dueTime = timeAt(HOUR_MS);
      const waiting = await writer.put(waitOf(run, { asks: "time", due_time: dueTime }));
      expect((await read(store, keyOf(waiting))).wakeTime).toBe(dueTime);
    });

    it("have the first letters of the run's mail, and the total number", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const neighbour = await writer.put(startOf({ tenantId, runId: "run-2" }));
      const before = await store.now();
      await writer.deliver(mailDelivery(keyOf(run), "pause"), mailDelivery(keyOf(neighbour), "cancel"));
      const letters = Array.from({ length: STANDING_MAIL_MAX }, () => mailDelivery(keyOf(run), "unpause"));
      await writer.deliver(...letters);
      const { mail } = await read(store, keyOf(run));
      const kinds = ["pause", ...Array.from({ length: STANDING_MAIL_MAX - 1 }, () => "unpause")];
      expect(mail.first.map(({ kind }) => kind)).toEqual(kinds);
      expect(mail.first.every(({ createTime }) => createTime >= before && createTime.length === before.length)).toBe(
        true,
      );
      expect(mail.total).toBe(STANDING_MAIL_MAX + 1);
    });

    it("say how far the listeners of the channel were woken, for event waits only", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel: Channel = { tenantId, scope: "session", scopeId: "s" };
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const { scope, scopeId } = channel;
      const waiting = await writer.put(waitOf(run, { asks: "event", names: ["go"], scope, scope_id: scopeId }));
      expect((await read(store, keyOf(run))).channel).toEqual({ lastNumber: 0, wokenNumber: 0 });
      for (const name of ["a", "b"]) await writer.deliver(eventDelivery(eventOf(channel, { name })));
      const [first, second] = await store.events.list(channel, 0, 2);
      assert(first !== undefined && second !== undefined);
      await store.events.markWoken([{ channel, number: first.number }]);
      const { channel: standing } = await read(store, keyOf(run));
      expect(standing).toEqual({ lastNumber: second.number, wokenNumber: first.number });
      await writer.put(stepOf(waiting, "run.cancelled", {}, { closeWaits: [closingOf(waiting)] }));
      expect((await read(store, keyOf(run))).channel).toBeUndefined();
    });

    it("have the jobs by state, with their places in their queues and their workers", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const { serverId } = writer;
      const first = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: [jobOf("a"), jobOf("b")] }));
      const dueTime = timeAt(HOUR_MS);
      const jobs = [
        jobOf("c"),
        jobOf("d", { dueTime, attempt: 2, losses: 1, nodeId: "node-d" }),
        jobOf("e", { kind: "custom", name: "mail" }),
        jobOf("f", { delivery: "at_most_once" }),
      ];
      const run = await writer.put(startOf({ tenantId, runId: "run-2" }, { jobs }));
      const place = async () => jobsIn(await read(store, keyOf(run)));
      expect(await place()).toEqual([
        ["e", "open", 1],
        ["c", "open", 3],
        ["f", "open", 4],
        ["d", "delayed", undefined],
      ]);
      const requestFor = (count: number) => ({
        tenantId,
        kind: "tool" as const,
        name: "pay",
        workerSessionIds: Array.from({ length: count }, () => "session-1"),
      });
      await store.jobs.claim(serverId, [requestFor(2)]);
      expect(jobsIn(await read(store, keyOf(first))).map(([, state]) => state)).toEqual(["leased", "leased"]);
      expect((await place())[1]).toEqual(["c", "open", 1]);
      await store.jobs.claim(serverId, [requestFor(2)]);
      await store.jobs.start([{ tenantId, idempotencyKey: "f", leaseNo: 1 }]);
      const standing = await read(store, keyOf(run));
      expect(jobsIn(standing)).toEqual([
        ["f", "running", undefined],
        ["c", "leased", undefined],
        ["e", "open", 1],
        ["d", "delayed", undefined],
      ]);
      const byState = standing.jobCounts.toSorted((one, two) => (one.state < two.state ? -1 : 1));
      expect(byState).toEqual(["delayed", "leased", "open", "running"].map((state) => ({ state, count: 1 })));
      const [, leased, , delayed] = standing.openJobs;
      assert(leased?.leaseTime !== undefined);
      expect(leased).toEqual({
        idempotencyKey: "c",
        kind: "tool",
        name: "pay",
        nodeId: "first",
        state: "leased",
        leaseNo: 1,
        workerSessionId: "session-1",
        leaseServerId: serverId,
        leaseTime: leased.leaseTime,
        losses: 0,
        attempt: 1,
        held: false,
        isWorkerListed: false,
      });
      expect(delayed).toMatchObject({ dueTime, attempt: 2, losses: 1, nodeId: "node-d", held: false });
      const worker = { tenantId, workerSessionId: "session-1", serverId, name: "", tools: [], workflows: [] };
      await store.workers.save({ ...worker, customTypes: [], draining: true });
      expect((await read(store, keyOf(run))).openJobs.map((job) => job.isWorkerListed)).toEqual([
        true,
        true,
        undefined,
        undefined,
      ]);
      // As if of a server that is gone: its worker was saved after others had ended its lease.
      const gone = await openWriter(store);
      await store.lanes.end(gone.serverId);
      await store.workers.save({ ...worker, serverId: gone.serverId, customTypes: [], draining: false });
      expect((await read(store, keyOf(run))).openJobs[0]?.isWorkerListed).toBe(false);
      await writer.put(endOf(run, null, { cancelJobs: true }));
      const ended = await read(store, keyOf(run));
      expect(ended.openJobs).toEqual([]);
      expect(ended.jobCounts).toEqual([{ state: "cancelled", count: 4 }]);
    });

    it("have the places of jobs that can be claimed, not of those that are held", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: [jobOf("a")] }));
      const other = await writer.put(startOf({ tenantId, runId: "run-2" }, { jobs: [jobOf("b")] }));
      const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
      const [held] = (await read(store, keyOf(paused))).openJobs;
      expect(held).toMatchObject({ idempotencyKey: "a", held: true, state: "open" });
      expect(held?.queuePlace).toBeUndefined();
      expect(jobsIn(await read(store, keyOf(other)))).toEqual([["b", "open", 1]]);
    });

    it("have a bounded number of jobs and places", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const long = Array.from({ length: STANDING_PLACES_MAX + 5 }, (_, n) => jobOf(`job-${n}`, { ordinal: n }));
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: long }));
      const last = await writer.put(startOf({ tenantId, runId: "run-2" }, { jobs: [jobOf("last")] }));
      const standing = await read(store, keyOf(run));
      const places = Array.from({ length: STANDING_JOBS_MAX }, (_, n) => n + 1);
      expect(standing.openJobs.map(({ queuePlace }) => queuePlace)).toEqual(places);
      expect(standing.jobCounts).toEqual([{ state: "open", count: STANDING_PLACES_MAX + 5 }]);
      // It has the same fairness key as the others, so it comes after them.
      expect(jobsIn(await read(store, keyOf(last)))).toEqual([["last", "open", STANDING_PLACES_MAX + 1]]);
    });
  });
}
