/** Jobs: created by transitions, claimed, leased, settled. */
import { callsOf } from "../../core/run.ts";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { addMs } from "../../core/duration.ts";
import { idempotencyKey } from "../../core/identifiers.ts";
import type { Call } from "../../core/call.ts";
import type { Transition } from "../contract/batch.ts";
import { BatchRejectedError } from "../contract/errors.ts";
import type { JobHead, JobKey, JobLease, JobRequest, JobState, NewJob } from "../contract/jobs.ts";
import type { StoredRun } from "../contract/runs.ts";
import type { Store } from "../contract/store.ts";
import { RUN_FORMAT } from "../run-format.ts";
import { COMMITTED, HOUR_MS, type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, conflictOf, digestOf, endOf, jobOf, openWriter, startOf, stepOf, type Writer } from "./fixtures.ts";

const keyIn = (tenantId: string, idempotencyKey: string): JobKey => ({ tenantId, idempotencyKey });

const keysIn = (tenantId: string, keys: readonly string[]): JobKey[] => keys.map((key) => keyIn(tenantId, key));

const leaseIn = (tenantId: string, idempotencyKey: string, leaseNo: number): JobLease => ({
  tenantId,
  idempotencyKey,
  leaseNo,
});

/** Jobs for the tool "pay", whose fairness key is the first letter of their idempotency key. */
function jobsOf(keys: readonly string[]): NewJob[] {
  return keys.map((key, ordinal) => jobOf(key, { ordinal, fairnessKey: key.slice(0, 1) }));
}

/** Starts a run that creates the jobs of `jobsOf`. */
async function addJobs(writer: Writer, tenantId: string, keys: readonly string[]): Promise<void> {
  await writer.put(startOf({ tenantId, runId: `run-of-${keys.join("-")}` }, { jobs: jobsOf(keys) }));
}

/** A request for jobs for the tool "pay", one for each session. */
function requestOf(tenantId: string, workerSessionIds: readonly string[]): JobRequest {
  return { tenantId, kind: "tool", name: "pay", workerSessionIds };
}

/** Claims jobs for the tool "pay" and returns their keys in the order of the claim. */
async function claimKeys(store: Store, { serverId }: Writer, tenantId: string, count: number): Promise<string[]> {
  const sessions = Array.from({ length: count }, (_, i) => `session-${i}`);
  const jobs = await store.jobs.claim(serverId, [requestOf(tenantId, sessions)]);
  return jobs.map((job) => job.idempotencyKey);
}

async function headIn(store: Store, tenantId: string, idempotencyKey: string): Promise<JobHead> {
  const [head] = await store.jobs.load([keyIn(tenantId, idempotencyKey)]);
  assert(head !== undefined, `job ${idempotencyKey} is stored`);
  return head;
}

async function statesOf(store: Store, keys: readonly JobKey[]): Promise<(JobState | undefined)[]> {
  return (await store.jobs.load(keys)).map((head) => head?.state);
}

export function describeJobs(openBench: OpenBench): void {
  describe("jobs", () => {
    const bench = openBench("group");

    it("are created with their step and cancelled with a later one", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const calls = [0, 1].map((ordinal): Call => {
        const parts = { tenantId, runId: "run-1", epoch: 0, nodeId: "first", seq: 2, ordinal };
        return {
          ordinal,
          kind: "tool",
          name: "pay",
          call_id: `call_${ordinal}`,
          idempotency_key: idempotencyKey(parts),
        };
      });
      const jobs = calls.map((call) => jobOf(call.idempotency_key, call));
      const keys = calls.map((call) => ({ tenantId, idempotencyKey: call.idempotency_key }));
      const started = await writer.put(stepOf(run, "step.started", { status: "started", calls }, { jobs }));
      expect(callsOf((await load(store, keyOf(run))).state)).toEqual(calls);
      expect(await statesOf(store, keys)).toEqual(["open", "open"]);
      await writer.put(stepOf(started, "run.cancelled", {}, { cancelJobs: true }));
      expect((await load(store, keyOf(run))).state.status).toBe("cancelled");
      expect(await statesOf(store, keys)).toEqual(["cancelled", "cancelled"]);
      expect(await store.runs.delete(keyOf(run))).toBe(true);
      expect(await store.jobs.load(keys)).toEqual([undefined, undefined]);
    });

    it("have every field that was set, and the facts of their run", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const job = jobOf("key-1", {
        kind: "tool",
        ordinal: 3,
        call_id: "call_ü",
        nodeId: "node-1",
        seq: 7,
        payload: { amount: 12.5, note: "ü😀", deep: [null, { a: "" }] },
        timeoutMs: 90_000,
        heartbeatTimeoutMs: 5_000,
        queueTimeoutMs: HOUR_MS,
        delivery: "at_most_once",
        attempt: 2,
        losses: 1,
      });
      await writer.put(
        startOf({ tenantId, runId: "run-1", workflowId: "flow-1", version: 3, sessionId: "s" }, { jobs: [job] }),
      );
      const before = await store.now();
      const [leased] = await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["session-1"])]);
      assert(leased !== undefined);
      const { leaseTime, ...rest } = leased;
      expect(rest).toEqual({
        tenantId,
        idempotencyKey: "key-1",
        runId: "run-1",
        kind: "tool",
        name: "pay",
        state: "leased",
        leaseNo: 1,
        workerSessionId: "session-1",
        leaseServerId: writer.serverId,
        losses: 1,
        attempt: 2,
        ordinal: 3,
        timeoutMs: 90_000,
        heartbeatTimeoutMs: 5_000,
        delivery: "at_most_once",
        seq: 7,
        nodeId: "node-1",
        callId: "call_ü",
        payload: job.payload,
        workflowId: "flow-1",
        version: 3,
        sessionId: "s",
      });
      assert(leaseTime !== undefined);
      expect(leaseTime >= before).toBe(true);
      const [head, missing] = await other.jobs.load([keyIn(tenantId, "key-1"), keyIn(tenantId, "key-2")]);
      const { seq: _1, nodeId: _2, callId: _3, payload: _4, ...ofJob } = leased;
      const { workflowId: _5, version: _6, sessionId: _7, ...expected } = ofJob;
      expect(head).toEqual(expected);
      expect(missing).toBeUndefined();
    });

    it("have no optional fields that were not set", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: [jobOf("key-1", { payload: null })] }));
      const [head] = await store.jobs.load([keyIn(tenantId, "key-1")]);
      expect(head).toEqual({
        tenantId,
        idempotencyKey: "key-1",
        runId: "run-1",
        kind: "tool",
        name: "pay",
        state: "open",
        leaseNo: 0,
        losses: 0,
        attempt: 1,
        ordinal: 0,
        timeoutMs: 60_000,
      });
      const [leased] = await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["session-1"])]);
      expect(leased).toMatchObject({ payload: null, leaseNo: 1 });
      for (const name of ["callId", "sessionId", "heartbeatTimeoutMs", "delivery", "settledDigest"]) {
        expect(leased).not.toHaveProperty(name);
      }
    });

    it("refuses an idempotency key that its tenant has already used", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const start = (runId: string, tenant = tenantId) =>
        startOf({ tenantId: tenant, runId }, { jobs: [jobOf("key-1")] });
      await writer.put(start("run-1"));
      await expect(writer.commit(start("run-2"))).rejects.toBeInstanceOf(BatchRejectedError);
      const twice = startOf({ tenantId, runId: "run-3" }, { jobs: [jobOf("key-2"), jobOf("key-2")] });
      await expect(writer.commit(twice)).rejects.toBeInstanceOf(BatchRejectedError);
      expect(await writer.commit(start("run-1", bench.tenant()))).toEqual([COMMITTED]);
    });

    it("refuses a job whose text holds U+0000", async () => {
      const start = startOf(
        { tenantId: bench.tenant(), runId: "run-1" },
        { jobs: [jobOf("key-1", { call_id: "\0" })] },
      );
      await expect(bench.writer.commit(start)).rejects.toBeInstanceOf(BatchRejectedError);
    });

    it("are leased at once if a worker was found, or delayed if an attempt had failed", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const lease = { serverId: writer.serverId, workerSessionId: "session-1" };
      const dueTime = addMs(await store.now(), HOUR_MS);
      const jobs = [jobOf("leased", { lease }), jobOf("delayed", { dueTime, attempt: 2 }), jobOf("open")];
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const [leased, delayed, open] = await store.jobs.load(keysIn(tenantId, ["leased", "delayed", "open"]));
      expect(leased).toMatchObject({ state: "leased", leaseNo: 1, workerSessionId: "session-1" });
      expect(leased).toHaveProperty("leaseTime");
      expect(delayed).toMatchObject({ state: "delayed", leaseNo: 0, attempt: 2 });
      expect(open).toMatchObject({ state: "open", leaseNo: 0 });
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["open"]);
    });

    // Queues.

    it("are given out in their order within a key, and the keys take turns", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
      await addJobs(writer, tenantId, ["b1", "b2"]);
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b1", "a2", "b2", "a3", "a4"]);
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual([]);
    });

    it("save up no turns while their key has no jobs", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
      expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
      await addJobs(writer, tenantId, ["c1", "c2"]);
      await addJobs(writer, tenantId, ["c3"]);
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a3", "c1", "a4", "c2", "c3"]);
    });

    it("come first when they return to their queue, and do not move any other job forward", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
      expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
      const back = ["a2", "a1"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: false }));
      expect(await store.jobs.release(back, 3)).toEqual(["open", "open"]);
      await addJobs(writer, tenantId, ["b1", "b2"]);
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "a2", "a3", "b1", "a4", "b2"]);
    });

    it("that were leased from the start come first as well when they return, by their own turns", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3"]);
      expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
      const lease = { serverId: writer.serverId, workerSessionId: "session-1" };
      const jobs = [{ ...jobOf("a4"), fairnessKey: "a", lease }];
      await writer.put(startOf({ tenantId, runId: "leased" }, { jobs }));
      const leases = ["a2", "a4"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: false }));
      expect(await store.jobs.release(leases, 5)).toEqual(["open", "open"]);
      // a4 never had a place in the queue: it counts as one that came when there was nobody before it.
      expect(await claimKeys(store, writer, tenantId, 3)).toEqual(["a4", "a2", "a3"]);
    });

    it("of one batch follow each other, even from several runs", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const start = (runId: string, keys: string[]) =>
        startOf({ tenantId, runId }, { jobs: keys.map((key) => jobOf(key, { fairnessKey: key[0]! })) });
      await writer.commit(start("run-1", ["a1", "a2", "b1"]), start("run-2", ["a3", "b2"]));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b1", "a2", "b2", "a3"]);
    });

    it("are given out by tenant, kind and name, at most one for each session requested", async () => {
      const { store, writer } = bench;
      const [tenantId, stranger] = [bench.tenant(), bench.tenant()];
      const jobs = [
        jobOf("pay-1"),
        jobOf("mail-1", { name: "mail" }),
        jobOf("custom-1", { kind: "custom" }),
        jobOf("pay-2"),
        jobOf("mail-2", { name: "mail" }),
      ];
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      await writer.put(startOf({ tenantId: stranger, runId: "run-1" }, { jobs: [jobOf("strange")] }));
      const leased = await store.jobs.claim(writer.serverId, [
        { ...requestOf(tenantId, ["s-1", "s-2", "s-3"]), name: "mail" },
        requestOf(tenantId, ["s-4"]),
        { ...requestOf(tenantId, ["s-5"]), name: "nobody" },
      ]);
      expect(leased.map((job) => [job.idempotencyKey, job.workerSessionId])).toEqual([
        ["mail-1", "s-1"],
        ["mail-2", "s-2"],
        ["pay-1", "s-4"],
      ]);
      expect(await store.jobs.claim(writer.serverId, [])).toEqual([]);
      expect(await statesOf(store, keysIn(tenantId, ["custom-1", "pay-2"]))).toEqual(["open", "open"]);
    });

    it("of a run that a newer release wrote stay in their queue", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const newer = startOf({ tenantId, runId: "newer" }, { jobs: jobsOf(["a1"]) });
      await writer.put({ ...newer, after: { ...newer.after, format: RUN_FORMAT + 1 } });
      await addJobs(writer, tenantId, ["a2"]);
      expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a2"]);
      expect((await load(store, newer)).format).toBe(RUN_FORMAT + 1);
    });

    it("of handlers are given out by the version of their run", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      for (const version of [1, 2, 3, 1]) {
        const runId = `run-${randomBytes(4).toString("hex")}`;
        const job = jobOf(`v${version}-${runId}`, { kind: "handler", name: "flow", fairnessKey: runId });
        await writer.put(startOf({ tenantId, runId, version }, { jobs: [job] }));
      }
      const queue = { tenantId, kind: "handler", name: "flow" } as const;
      const leased = await store.jobs.claim(writer.serverId, [
        { ...queue, versions: [2], workerSessionIds: ["s-1", "s-1"] },
        { ...queue, versions: [1, 2], workerSessionIds: ["s-2"] },
      ]);
      expect(leased.map((job) => [job.version, job.workerSessionId])).toEqual([
        [2, "s-1"],
        [1, "s-2"],
      ]);
      const rest = await store.jobs.claim(writer.serverId, [{ ...queue, workerSessionIds: ["s-3", "s-3", "s-3"] }]);
      expect(rest.map((job) => job.version)).toEqual([3, 1]);
    });

    it("of a queue that is requested twice are given out once", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3"]);
      const leased = await store.jobs.claim(writer.serverId, [
        requestOf(tenantId, ["s-1", "s-1"]),
        requestOf(tenantId, ["s-2", "s-2"]),
      ]);
      expect(leased.map((job) => [job.idempotencyKey, job.workerSessionId])).toEqual([
        ["a1", "s-1"],
        ["a2", "s-1"],
        ["a3", "s-2"],
      ]);
    });

    it("are never given to two servers", async () => {
      const { store, other, writer } = bench;
      const rival = await openWriter(other);
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4", "a5", "a6"]);
      const taken = await Promise.all([claimKeys(store, writer, tenantId, 4), claimKeys(other, rival, tenantId, 4)]);
      const rest = await claimKeys(store, writer, tenantId, 10);
      expect([...taken.flat(), ...rest].toSorted()).toEqual(["a1", "a2", "a3", "a4", "a5", "a6"]);
    });

    it("are held back while their run is paused, and given out afterwards", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "held" }, { jobs: jobsOf(["a1", "a2", "a3"]) }));
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a1"]);
      await addJobs(writer, tenantId, ["a4"]);
      const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
      // A job that comes back to the queue is held as well.
      expect(await store.jobs.release([{ ...leaseIn(tenantId, "a1", 1), isLoss: true }], 3)).toEqual(["open"]);
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a4"]);
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual([]);
      await addJobs(writer, tenantId, ["a5"]);
      await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "a5", "a2", "a3"]);
    });

    it("that were held back get turns like new jobs if their own are over", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "held" }, { jobs: jobsOf(["a1", "a2", "a3"]) }));
      const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
      await addJobs(writer, tenantId, ["b1", "b2", "b3", "b4", "b5", "b6"]);
      expect(await claimKeys(store, writer, tenantId, 4)).toEqual(["b1", "b2", "b3", "b4"]);
      await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b5", "a2", "b6", "a3"]);
    });

    it("that were held back do not wait for turns after their queue has started over", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3"]);
      const run = await writer.put(startOf({ tenantId, runId: "held" }, { jobs: jobsOf(["a4", "a5"]) }));
      const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "a2", "a3"]);
      await addJobs(writer, tenantId, ["b1", "b2", "b3"]);
      await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a4", "b1", "a5", "b2", "b3"]);
    });

    it("are skipped while their run is paused or has ended, even if they are not held or cancelled", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const paused = await writer.put(startOf({ tenantId, runId: "paused" }, { jobs: jobsOf(["a1"]) }));
      const ended = await writer.put(startOf({ tenantId, runId: "ended" }, { jobs: jobsOf(["a2"]) }));
      await writer.put(startOf({ tenantId, runId: "open" }, { jobs: jobsOf(["a3"]) }));
      const held = await writer.put(stepOf(paused, "run.paused", { paused: true }));
      await writer.put(endOf(ended, null));
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a3"]);
      await writer.put(stepOf(held, "run.unpaused", { paused: false }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1"]);
    });

    it("that a paused run creates are held back from the start", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1", paused: true }, { jobs: jobsOf(["a1"]) }));
      await addJobs(writer, tenantId, ["a2"]);
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a2"]);
      await writer.put(stepOf(run, "run.unpaused", { paused: false }, { holdJobs: false }));
      expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1"]);
    });

    // Leases.

    it("are released with at most so many losses", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1"]);
      const release = async (leaseNo: number, isLoss: boolean): Promise<string[]> =>
        await other.jobs.release([{ ...leaseIn(tenantId, "a1", leaseNo), isLoss }], 1);
      await claimKeys(store, writer, tenantId, 1);
      expect(await release(1, false)).toEqual(["open"]);
      expect(await headIn(store, tenantId, "a1")).toMatchObject({ state: "open", leaseNo: 1, losses: 0 });
      expect(await headIn(store, tenantId, "a1")).not.toHaveProperty("workerSessionId");
      expect(await headIn(store, tenantId, "a1")).not.toHaveProperty("leaseTime");
      await claimKeys(store, writer, tenantId, 1);
      expect(await release(1, true)).toEqual(["gone"]);
      expect(await release(2, true)).toEqual(["open"]);
      expect(await release(2, true)).toEqual(["gone"]);
      expect(await headIn(store, tenantId, "a1")).toMatchObject({ state: "open", leaseNo: 2, losses: 1 });
      await claimKeys(store, writer, tenantId, 1);
      expect(await release(3, true)).toEqual(["exhausted"]);
      expect(await headIn(store, tenantId, "a1")).toMatchObject({ state: "leased", leaseNo: 3, losses: 1 });
      expect(await release(3, false)).toEqual(["open"]);
      expect(await store.jobs.release([{ ...leaseIn(tenantId, "missing", 1), isLoss: true }], 1)).toEqual(["gone"]);
      expect(await store.jobs.release([], 1)).toEqual([]);
    });

    it("that have started are not released", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2"]);
      await claimKeys(store, writer, tenantId, 2);
      const leases = [leaseIn(tenantId, "a2", 1), leaseIn(tenantId, "a1", 2), leaseIn(tenantId, "missing", 1)];
      expect(await store.jobs.start(leases)).toEqual([true, false, false]);
      // The first reply may have been lost.
      expect(await other.jobs.start(leases)).toEqual([true, false, false]);
      const released = await store.jobs.release(
        ["a1", "a2"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: true })),
        3,
      );
      expect(released).toEqual(["open", "running"]);
      expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["open", "running"]);
      expect(await store.jobs.start([leaseIn(tenantId, "a1", 1)])).toEqual([false]);
      expect(await store.jobs.start([])).toEqual([]);
    });

    it("are adopted by the server that their worker is connected to", async () => {
      const { store, other, writer } = bench;
      const heir = await openWriter(other);
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
      await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-1", "s-1", "s-2", "s-1"])]);
      await store.jobs.start([leaseIn(tenantId, "a2", 1)]);
      await store.jobs.release([{ ...leaseIn(tenantId, "a4", 1), isLoss: false }], 3);
      const request = { tenantId, workerSessionId: "s-1", serverId: heir.serverId, limit: 10 };
      expect(await other.jobs.adopt({ ...request, fromServerId: heir.serverId })).toEqual([]);
      const adopted = await other.jobs.adopt({ ...request, fromServerId: writer.serverId });
      expect(adopted).toEqual(await store.jobs.load(keysIn(tenantId, ["a1", "a2"])));
      expect(adopted.map((job) => [job.state, job.workerSessionId])).toEqual([
        ["leased", "s-1"],
        ["running", "s-1"],
      ]);
      expect(await other.jobs.adopt({ ...request, fromServerId: writer.serverId })).toEqual([]);
      expect(await other.jobs.adopt({ ...request, limit: 1 })).toEqual([adopted[0]]);
      expect(await other.jobs.adopt(request)).toEqual(adopted);
      expect(await other.jobs.adopt({ ...request, tenantId: bench.tenant() })).toEqual([]);
    });

    // Ends.

    it("are settled once, by their lease, together with the step of their run", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2"]) }));
      const free = await writer.put(startOf({ tenantId, runId: "free" }));
      await claimKeys(store, writer, tenantId, 2);
      const digest = digestOf("result");
      const settle = (before: StoredRun, idempotencyKey: string, leaseNo: number): Transition =>
        assignOf(before, "x", 1, { settledJobs: [{ idempotencyKey, leaseNo, digest }] });
      expect(await writer.commit(settle(run, "a1", 2), assignOf(free, "x", 1))).toEqual([conflictOf("job"), COMMITTED]);
      expect(await writer.commit(settle(run, "missing", 1))).toEqual([conflictOf("job")]);
      expect(await load(store, keyOf(run))).toEqual(run);
      const after = await writer.put(settle(run, "a1", 1));
      expect(await headIn(store, tenantId, "a1")).toMatchObject({
        state: "settled",
        leaseNo: 1,
        settledLeaseNo: 1,
        settledDigest: digest,
      });
      expect(await headIn(store, tenantId, "a1")).not.toHaveProperty("workerSessionId");
      expect(await headIn(store, tenantId, "a2")).toMatchObject({ state: "leased" });
      expect(await writer.commit(settle(after, "a1", 1))).toEqual([conflictOf("job")]);
      expect(await load(store, keyOf(run))).toEqual(after);
      expect(await store.jobs.start([leaseIn(tenantId, "a1", 1)])).toEqual([false]);
      expect(await store.jobs.release([{ ...leaseIn(tenantId, "a1", 1), isLoss: true }], 3)).toEqual(["gone"]);
    });

    it("are not settled by other runs, nor by a step that lost to another", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1"]) }));
      const other = await writer.put(startOf({ tenantId, runId: "run-2" }));
      await claimKeys(store, writer, tenantId, 1);
      const settledJobs = [{ idempotencyKey: "a1", leaseNo: 1 }];
      expect(await writer.commit(assignOf(other, "x", 1, { settledJobs }))).toEqual([conflictOf("job")]);
      await writer.put(assignOf(run, "x", 1));
      expect(await writer.commit(assignOf(run, "x", 2, { settledJobs, cancelJobs: true }))).toEqual([
        conflictOf("seq"),
      ]);
      expect(await statesOf(store, keysIn(tenantId, ["a1"]))).toEqual(["leased"]);
    });

    it("are settled by a lease that has ended, unless another lease followed", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2"]) }));
      await claimKeys(store, writer, tenantId, 2);
      const leases = ["a1", "a2"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: true }));
      await store.jobs.release(leases, 3);
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a1"]);
      const settle = (idempotencyKey: string): Transition =>
        assignOf(run, "x", 1, { settledJobs: [{ idempotencyKey, leaseNo: 1 }] });
      expect(await writer.commit(settle("a1"))).toEqual([conflictOf("job")]);
      expect(await writer.commit(settle("a2"))).toEqual([COMMITTED]);
      expect(await headIn(store, tenantId, "a2")).not.toHaveProperty("settledDigest");
      expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["leased", "settled"]);
    });

    it("move to their next attempt, and take no second result from the last one", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1"]) }));
      await claimKeys(store, writer, tenantId, 1);
      await store.jobs.start([leaseIn(tenantId, "a1", 1)]);
      const retry = { attempt: 2, dueTime: addMs(await store.now(), HOUR_MS) };
      const failed = { idempotencyKey: "a1", leaseNo: 1, digest: digestOf("failure"), retry };
      const after = await writer.put(assignOf(run, "x", 1, { settledJobs: [failed] }));
      expect(await headIn(store, tenantId, "a1")).toMatchObject({
        state: "delayed",
        leaseNo: 1,
        attempt: 2,
        settledLeaseNo: 1,
        settledDigest: digestOf("failure"),
      });
      expect(await headIn(store, tenantId, "a1")).not.toHaveProperty("workerSessionId");
      expect(await claimKeys(store, writer, tenantId, 1)).toEqual([]);
      const again = { idempotencyKey: "a1", leaseNo: 1, digest: digestOf("late") };
      expect(await writer.commit(assignOf(after, "x", 2, { settledJobs: [again] }))).toEqual([conflictOf("job")]);
      expect(await load(store, keyOf(run))).toEqual(after);
    });

    it("that waited too long settle only while they are open", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2"]) }));
      await claimKeys(store, writer, tenantId, 1);
      const settle = (before: StoredRun, idempotencyKey: string, leaseNo: number): Transition =>
        assignOf(before, "x", 1, { settledJobs: [{ idempotencyKey, leaseNo, onlyOpen: true }] });
      expect(await writer.commit(settle(run, "a1", 1))).toEqual([conflictOf("job")]);
      const after = await writer.put(settle(run, "a2", 0));
      expect(await headIn(store, tenantId, "a2")).toMatchObject({ state: "settled", settledLeaseNo: 0 });
      await store.jobs.release([{ ...leaseIn(tenantId, "a1", 1), isLoss: true }], 3);
      await writer.put(settle(after, "a1", 1));
      expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["settled", "settled"]);
    });

    it("of every state are cancelled, except those that the same step settles", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const dueTime = addMs(await store.now(), HOUR_MS);
      const jobs = [...jobsOf(["leased", "running", "settled", "open"]), jobOf("delayed", { dueTime })];
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      await writer.put(startOf({ tenantId, runId: "run-2" }, { jobs: [jobOf("of another")] }));
      const names = ["leased", "running", "settled", "open", "delayed", "of another"];
      await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-1", "s-1", "s-1"])]);
      const claimed = (await store.jobs.load(keysIn(tenantId, names))).filter((job) => job?.state === "leased");
      expect(claimed).toHaveLength(3);
      const leased = claimed.map((job) => job!.idempotencyKey);
      await store.jobs.start([leaseIn(tenantId, leased[1]!, 1)]);
      const settledJobs = [{ idempotencyKey: leased[2]!, leaseNo: 1 }];
      await writer.put(assignOf(run, "x", 1, { settledJobs, cancelJobs: true, jobs: [jobOf("new")] }));
      const states = await statesOf(store, keysIn(tenantId, [...names, "new"]));
      const expected = names.map((name) => (name === leased[2] ? "settled" : "cancelled"));
      expect(states).toEqual([...expected.slice(0, -1), leased.includes("of another") ? "leased" : "open", "open"]);
      const gone = { ...leaseIn(tenantId, leased[0]!, 1), isLoss: true };
      expect(await store.jobs.release([gone], 3)).toEqual(["gone"]);
      expect(await headIn(store, tenantId, leased[0]!)).not.toHaveProperty("workerSessionId");
      expect(await store.jobs.adopt({ tenantId, workerSessionId: "s-1", serverId: "any", limit: 10 })).toHaveLength(
        leased.includes("of another") ? 1 : 0,
      );
    });

    it("keep their state when a result is refused", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await addJobs(writer, tenantId, ["a1"]);
      await claimKeys(store, writer, tenantId, 1);
      const before = await headIn(store, tenantId, "a1");
      await store.jobs.noteRefusedResult(keyIn(tenantId, "a1"), {
        reason: "LEASE_ENDED",
        output: "\0ü".repeat(60_000),
      });
      await store.jobs.noteRefusedResult(keyIn(tenantId, "missing"), { reason: "LEASE_ENDED", output: "" });
      expect(await headIn(store, tenantId, "a1")).toEqual(before);
    });
  });

  describe("jobs that are due", () => {
    const bench = openBench("test");

    it("do not exist if nothing is delayed or bounded", async () => {
      const { store, writer } = bench;
      await addJobs(writer, bench.tenant(), ["a1"]);
      expect(await store.jobs.claimDue(10, HOUR_MS)).toEqual({ queues: [], expired: [] });
      expect(await store.lanes.renew(writer.serverId)).not.toHaveProperty("nextJobTime");
    });

    it("become open when their delay is over, first in their queue, and can be claimed at once", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const now = await store.now();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2", "a3"]) }));
      expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
      const later = addMs(now, HOUR_MS);
      const settledJobs = [
        { idempotencyKey: "a1", leaseNo: 1, retry: { attempt: 2, dueTime: addMs(now, -1) } },
        { idempotencyKey: "a2", leaseNo: 1, retry: { attempt: 2, dueTime: later } },
      ];
      const jobs = [jobOf("m1", { name: "mail", dueTime: addMs(now, -2) })];
      await writer.put(assignOf(run, "x", 1, { settledJobs, jobs }));
      expect((await store.lanes.renew(writer.serverId)).nextJobTime).toBe(addMs(now, -2));
      expect(await store.jobs.claimDue(10, HOUR_MS)).toEqual({
        queues: [
          { tenantId, kind: "tool", name: "mail" },
          { tenantId, kind: "tool", name: "pay" },
        ],
        expired: [],
        nextJobTime: later,
      });
      expect(await other.jobs.claimDue(10, HOUR_MS)).toEqual({ queues: [], expired: [], nextJobTime: later });
      expect((await store.lanes.renew(writer.serverId)).nextJobTime).toBe(later);
      const leased = await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-1", "s-1"])]);
      expect(leased.map((job) => [job.idempotencyKey, job.leaseNo, job.attempt])).toEqual([
        ["a1", 2, 2],
        ["a3", 1, 1],
      ]);
    });

    it("are returned while they wait too long, until they settle", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const jobs = [jobOf("a1", { queueTimeoutMs: 0 }), jobOf("a2", { queueTimeoutMs: HOUR_MS })];
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const [a1] = await store.jobs.load([keyIn(tenantId, "a1")]);
      const first = await store.jobs.claimDue(10, 0);
      expect(first).toMatchObject({ queues: [], expired: [a1] });
      const second = await other.jobs.claimDue(10, 2 * HOUR_MS);
      expect(second.expired).toEqual([a1]);
      const none = await store.jobs.claimDue(10, 0);
      expect(none).toMatchObject({ queues: [], expired: [] });
      // The time of a2.
      assert(none.nextJobTime !== undefined);
      expect(none.nextJobTime > (await store.now())).toBe(true);
      expect(none.nextJobTime <= addMs(await store.now(), HOUR_MS)).toBe(true);
      const settledJobs = [{ idempotencyKey: "a1", leaseNo: 0, onlyOpen: true }];
      await writer.put(assignOf(run, "x", 1, { settledJobs }));
      await claimKeys(store, writer, tenantId, 1);
      expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["settled", "leased"]);
      expect(await store.jobs.claimDue(10, 0)).toEqual({ queues: [], expired: [] });
    });

    it("count their wait from the moment they entered the queue", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const now = await store.now();
      const lease = { serverId: writer.serverId, workerSessionId: "s-1" };
      const jobs = [
        jobOf("delayed", { queueTimeoutMs: HOUR_MS, dueTime: now }),
        jobOf("leased", { queueTimeoutMs: 0, lease }),
      ];
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const opened = await store.jobs.claimDue(10, 0);
      expect(opened).toMatchObject({ queues: [{ tenantId, kind: "tool", name: "pay" }], expired: [] });
      assert(opened.nextJobTime !== undefined);
      expect(opened.nextJobTime >= addMs(now, HOUR_MS)).toBe(true);
      expect(await store.jobs.release([{ ...leaseIn(tenantId, "leased", 1), isLoss: true }], 3)).toEqual(["open"]);
      const { expired } = await store.jobs.claimDue(10, HOUR_MS);
      expect(expired.map((job) => job.idempotencyKey)).toEqual(["leased"]);
    });

    it("are taken earliest first, up to a limit", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const now = await store.now();
      const jobs = [3, 1, 2].map((n) => jobOf(`job-${n}`, { name: `tool-${n}`, dueTime: addMs(now, n - 10) }));
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const first = await store.jobs.claimDue(2, HOUR_MS);
      expect(first.queues.map(({ name }) => name)).toEqual(["tool-1", "tool-2"]);
      expect(first.nextJobTime).toBe(addMs(now, -7));
      expect((await store.jobs.claimDue(2, HOUR_MS)).queues.map(({ name }) => name)).toEqual(["tool-3"]);
    });

    it("wait for their run to be unpaused", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const dueTime = await store.now();
      const jobs = [jobOf("delayed", { dueTime, name: "mail" }), jobOf("open", { queueTimeoutMs: HOUR_MS })];
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
      expect(await store.jobs.claimDue(10, 0)).toEqual({ queues: [], expired: [] });
      expect(await store.lanes.renew(writer.serverId)).not.toHaveProperty("nextJobTime");
      await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
      expect((await store.lanes.renew(writer.serverId)).nextJobTime).toBe(dueTime);
      const after = await store.jobs.claimDue(10, 0);
      expect(after.queues.map(({ name }) => name)).toEqual(["mail"]);
      assert(after.nextJobTime !== undefined);
      expect(after.nextJobTime >= addMs(dueTime, HOUR_MS)).toBe(true);
    });

    it("stop being due when they are cancelled", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const dueTime = await store.now();
      const jobs = [jobOf("delayed", { dueTime }), jobOf("open", { queueTimeoutMs: 0 })];
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      await writer.put(stepOf(run, "run.cancelled", {}, { cancelJobs: true }));
      expect(await store.jobs.claimDue(10, 0)).toEqual({ queues: [], expired: [] });
    });

    it("are opened by one of two servers", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const dueTime = await store.now();
      const jobs = [1, 2, 3, 4].map((n) => jobOf(`job-${n}`, { name: `tool-${n}`, dueTime }));
      await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs }));
      const taken = await Promise.all([store.jobs.claimDue(3, HOUR_MS), other.jobs.claimDue(3, HOUR_MS)]);
      const rest = await store.jobs.claimDue(10, HOUR_MS);
      const names = [...taken, rest].flatMap(({ queues }) => queues.map(({ name }) => name));
      expect(names.toSorted()).toEqual(["tool-1", "tool-2", "tool-3", "tool-4"]);
    });
  });

  describe("leases of jobs", () => {
    const bench = openBench("test");

    it("of an ended server are found until they are adopted or end", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const doomed = await openWriter(other, "doomed");
      await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
      await other.jobs.claim("doomed", [requestOf(tenantId, ["s-2", "s-1", "s-2"])]);
      await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-3"])]);
      expect((await store.lanes.renew(writer.serverId)).hasOrphanedLeases).toBe(false);
      expect(await store.jobs.listOrphanedLeases(10)).toEqual([]);
      await store.lanes.end(doomed.serverId);
      expect((await store.lanes.renew(writer.serverId)).hasOrphanedLeases).toBe(true);
      const orphans = await store.jobs.listOrphanedLeases(10);
      const goneMs = expect.any(Number) as number;
      expect(orphans.toSorted((a, b) => (a.workerSessionId < b.workerSessionId ? -1 : 1))).toEqual([
        { tenantId, workerSessionId: "s-1", serverId: "doomed", goneMs },
        { tenantId, workerSessionId: "s-2", serverId: "doomed", goneMs },
      ]);
      // In database time, which never goes back.
      expect(orphans[0]!.goneMs).toBeGreaterThanOrEqual(0);
      expect(orphans[0]!.goneMs).toBeLessThan(60_000);
      expect(await store.jobs.listOrphanedLeases(1)).toHaveLength(1);
      const adopted = await store.jobs.adopt({
        tenantId,
        workerSessionId: "s-2",
        serverId: writer.serverId,
        fromServerId: "doomed",
        limit: 10,
      });
      expect(adopted.map((job) => job.idempotencyKey)).toEqual(["a1", "a3"]);
      expect(await store.jobs.listOrphanedLeases(10)).toEqual([
        { tenantId, workerSessionId: "s-1", serverId: "doomed", goneMs },
      ]);
      await store.jobs.release([{ ...leaseIn(tenantId, "a2", 1), isLoss: true }], 3);
      expect(await store.jobs.listOrphanedLeases(10)).toEqual([]);
      expect((await store.lanes.renew(writer.serverId)).hasOrphanedLeases).toBe(false);
    });
  });
}
