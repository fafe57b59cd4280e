/** Runs: stored, moved, deleted, listed and woken. */
import { openWaitOf, sequelOf } from "../../core/run.ts";
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import { type Instant, addMs } from "../../core/duration.ts";
import type { Channel } from "../../core/event.ts";
import type { JsonObject } from "../../core/json/json.ts";
import { BatchRejectedError } from "../contract/errors.ts";
import type { RunFilter, RunOrder, StoredRun } from "../contract/runs.ts";
import { ALL, COMMITTED, HOUR_MS, type OpenBench, keyOf, load, readPages } from "./bench.ts";
import {
  answerOf,
  assignOf,
  closingOf,
  conflictOf,
  endOf,
  eventOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
  timeAt,
  waitOf,
} from "./fixtures.ts";

export function describeRuns(openBench: OpenBench): void {
  describe("runs", () => {
    const bench = openBench("group");

    it("starts a run and returns exactly what was stored", async () => {
      const { store, other, writer } = bench;
      const transition = startOf(
        {
          tenantId: bench.tenant(),
          runId: "run-1",
          vars: { amount: 12.5, note: "ü😀" },
          sessionId: "session-1",
          actorId: "actor-1",
          parentRunId: "parent-1",
          rootRunId: "root-1",
          labels: { team: "red", "a.b": "" },
        },
        { ownerLane: writer.laneId },
      );
      expect(await writer.commit(transition)).toEqual([COMMITTED]);
      expect(await load(store, transition)).toEqual(transition.after);
      expect(await load(other, transition)).toEqual(transition.after);
    });

    it("keeps every JSON value of vars as it is", async () => {
      const vars: JsonObject = {
        numbers: [0, -1, 0.1, 1e21, 1e-7, 9_007_199_254_740_991, 1.7976931348623157e308],
        texts: ["", " ", "\u0001", "\u2028", "'; drop table runs; --", "\\", "𝄞", "a\tb\nc", "{}", "{1,2}", "NULL"],
        empty: { "": {}, list: [], nothing: null },
        order: { b: 1, a: 2, "10": 3, "9": 4 },
        flags: [true, false, null],
        hasOwnProperty: "shadowed",
        deep: Array.from({ length: 25 }).reduce<JsonObject>((inner) => ({ inner }), { bottom: true }),
      };
      const after = await bench.writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1", vars }));
      const loaded = await load(bench.store, keyOf(after));
      expect(loaded.state.vars).toEqual(vars);
      expect(JSON.stringify(loaded.state.vars)).toBe(JSON.stringify(vars));
    });

    it("keeps what a handler's step plan says about the effect that a run is at", async () => {
      const sequel = { result_path: "/result", to: "second" };
      const begun = await bench.writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      const after = await bench.writer.put(waitOf(begun, { asks: "question" }, {}, sequel));
      expect(sequelOf(after.state)).toEqual(sequel);
      expect(await load(bench.store, keyOf(after))).toEqual(after);
      const answered = await bench.writer.put(answerOf(after));
      const next = await bench.writer.put(waitOf(answered, { asks: "question" }, {}, { to: "third" }));
      expect(await load(bench.store, keyOf(after))).toEqual(next);
    });

    it("shares no object with its callers", async () => {
      const vars = { list: [1], inner: { a: 1 } };
      const transition = startOf({ tenantId: bench.tenant(), runId: "run-1", vars });
      await bench.writer.put(transition);
      (transition.after.state.vars as typeof vars).list.push(2);
      const loaded = await load(bench.store, transition);
      expect(loaded.state.vars).toEqual({ list: [1], inner: { a: 1 } });
      (loaded.state.vars as typeof vars).inner.a = 2;
      expect((await load(bench.store, transition)).state.vars).toEqual({ list: [1], inner: { a: 1 } });
    });

    it("refuses to start a run that exists, whatever its state", async () => {
      const { store, other, writer } = bench;
      const first = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { first: true } });
      await writer.put(first);
      const second = startOf({ tenantId: first.tenantId, runId: "run-1", vars: { first: false } });
      expect(await (await openWriter(other)).commit(second)).toEqual([conflictOf("run_exists")]);
      expect(await load(store, first)).toEqual(first.after);
      expect(await store.ledger.list(first, 0, ALL)).toHaveLength(1);
    });

    it("keeps runs with the same id apart by tenant", async () => {
      const { store, writer } = bench;
      const one = await writer.put(startOf({ tenantId: bench.tenant(), runId: "same", vars: { of: 1 } }));
      const two = await writer.put(startOf({ tenantId: bench.tenant(), runId: "same", vars: { of: 2 } }));
      await writer.put(assignOf(one, "of", 3));
      expect((await load(store, keyOf(one))).state.vars).toEqual({ of: 3 });
      expect(await load(store, keyOf(two))).toEqual(two);
      expect(await store.ledger.list(keyOf(two), 0, ALL)).toHaveLength(1);
    });

    it("moves a run forward only from the seq that was seen, and commits the neighbours of a conflict", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const [left, stale, right] = [
        await writer.put(startOf({ tenantId, runId: "left" })),
        await writer.put(startOf({ tenantId, runId: "stale" })),
        await writer.put(startOf({ tenantId, runId: "right" })),
      ];
      const moved = await writer.put(assignOf(stale, "by", "first"));
      const channel: Channel = { tenantId, scope: "global", scopeId: "" };
      const late = waitOf(
        stale,
        { asks: "question", prompt: "late" },
        { events: [eventOf(channel, { name: "late" })] },
      );
      const outcomes = await writer.commit(assignOf(left, "x", 1), late, assignOf(right, "x", 2));
      expect(outcomes).toEqual([COMMITTED, conflictOf("seq"), COMMITTED]);
      const runs = await store.runs.load([keyOf(left), keyOf(stale), keyOf(right)]);
      expect(runs.map((run) => run?.state.vars)).toEqual([{ x: 1 }, { by: "first" }, { x: 2 }]);
      expect(runs[1]).toEqual(moved);
      expect(await store.ledger.list(keyOf(stale), 0, ALL)).toHaveLength(2);
      expect(await store.events.list(channel, 0, ALL)).toEqual([]);
      const [opened] = late.openWaits;
      assert(opened !== undefined);
      expect(await store.waits.get(tenantId, opened.wait.wait_id)).toBeUndefined();
    });

    it("refuses a step ahead of the run, and a step of a run that does not exist", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const first = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const second = assignOf(first, "x", 1).after;
      const ghost = startOf({ tenantId, runId: "ghost" }).after;
      expect(await writer.commit(assignOf(second, "x", 2), assignOf(ghost, "x", 3))).toEqual([
        conflictOf("seq"),
        conflictOf("seq"),
      ]);
      expect(await store.runs.load([keyOf(first), keyOf(ghost)])).toEqual([first, undefined]);
      expect(await store.ledger.list(keyOf(ghost), 0, ALL)).toEqual([]);
    });

    it("lets exactly one of two servers take a step", async () => {
      const { store, other, writer } = bench;
      const otherWriter = await openWriter(other);
      let run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      for (let round = 0; round < 10; round++) {
        const mine = assignOf(run, "by", "one");
        const theirs = assignOf(run, "by", "two");
        const [[one], [two]] = await Promise.all([writer.commit(mine), otherWriter.commit(theirs)]);
        expect(new Set([one?.type, two?.type])).toEqual(new Set(["committed", "conflict"]));
        run = await load(store, keyOf(run));
        expect(run).toEqual(one?.type === "committed" ? mine.after : theirs.after);
      }
      expect(await store.ledger.list(keyOf(run), 0, ALL)).toHaveLength(11);
    });

    it("loads runs in the order of the keys, and undefined for runs that do not exist", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const a = await writer.put(startOf({ tenantId, runId: "a" }));
      const b = await writer.put(startOf({ tenantId, runId: "b" }));
      const missing = { tenantId, runId: "missing" };
      const stranger = { tenantId: bench.tenant(), runId: "a" };
      const loaded = await store.runs.load([keyOf(b), missing, keyOf(a), stranger, keyOf(b)]);
      expect(loaded).toEqual([b, undefined, a, undefined, b]);
      expect(await store.runs.load([])).toEqual([]);
    });

    it("loads runs without their payloads", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const a = await writer.put(startOf({ tenantId, runId: "a", vars: { large: "x".repeat(1_000) } }));
      const ended = await writer.put(endOf(a, { total: 1 }));
      const { output: _output, ...head } = ended.state;
      const heads = await store.runs.loadHeads([{ tenantId, runId: "missing" }, keyOf(a)]);
      expect(heads).toEqual([undefined, { ...ended, state: { ...head, vars: null } }]);
      expect(await store.runs.loadHeads([])).toEqual([]);
    });

    it("does not touch vars that a transition says are unchanged", async () => {
      const { store, writer } = bench;
      const first = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { kept: true } }));
      const unseen = { ...first, state: { ...first.state, vars: { kept: false } } };
      await writer.put(stepOf(unseen, "step.completed", { status: "completed" }));
      const loaded = await load(store, keyOf(first));
      expect(loaded.state.seq).toBe(2);
      expect(loaded.state.vars).toEqual({ kept: true });
    });

    it("stores any output, null included, and distinguishes it from no output", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const full = await writer.put(startOf({ tenantId, runId: "full" }));
      const empty = await writer.put(startOf({ tenantId, runId: "empty" }));
      const none = await writer.put(startOf({ tenantId, runId: "none" }));
      const ended = await writer.put(endOf(full, { total: [1, 2] }));
      await writer.put(endOf(empty, null));
      await writer.put(stepOf(none, "run.failed", { error: { code: "X", message: "no", retryable: false } }));
      const runs = await store.runs.load([keyOf(full), keyOf(empty), keyOf(none)]);
      expect(runs[0]).toEqual(ended);
      expect(runs[1]?.state.output).toBeNull();
      expect(runs[2]?.state.status).toBe("failed");
      expect(runs[2]?.state).not.toHaveProperty("output");
      expect(runs[2]?.state.error).toEqual({ code: "X", message: "no", retryable: false });
    });

    it("changes and removes the owner with the transition", async () => {
      const { store, writer } = bench;
      const first = await writer.put(
        startOf({ tenantId: bench.tenant(), runId: "run-1" }, { ownerLane: writer.laneId }),
      );
      expect((await load(store, keyOf(first))).ownerLane).toBe(writer.laneId);
      const waiting = await writer.put(waitOf(first, { asks: "question" }));
      expect(await load(store, keyOf(first))).not.toHaveProperty("ownerLane");
      await writer.put(answerOf(waiting, { ownerLane: writer.laneId }));
      expect((await load(store, keyOf(first))).ownerLane).toBe(writer.laneId);
    });

    it("rejects a whole batch for its content, and accepts the next", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel: Channel = { tenantId, scope: "global", scopeId: "" };
      const good = startOf({ tenantId, runId: "good" });
      const bad = startOf({ tenantId, runId: "bad" }, { events: [eventOf(channel, { name: "no\u0000text" })] });
      await expect(writer.commit(good, bad)).rejects.toBeInstanceOf(BatchRejectedError);
      expect(await store.runs.load([good, bad])).toEqual([undefined, undefined]);
      expect(await store.batches.resolve(writer.laneId, writer.batchNo())).toBe("void");
      expect(await writer.commit(good)).toEqual([COMMITTED]);
      expect(await load(store, good)).toEqual(good.after);
    });

    it("takes an empty batch", async () => {
      expect(await bench.writer.commit()).toEqual([]);
    });

    it("takes a large batch and returns its outcomes in order", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const starts = Array.from({ length: 300 }, (_, i) => startOf({ tenantId, runId: `run-${i}`, vars: { i } }));
      await writer.commit(...starts.filter((_, i) => i % 7 === 0));
      const outcomes = await writer.commit(...starts);
      expect(outcomes).toEqual(starts.map((_, i) => (i % 7 === 0 ? conflictOf("run_exists") : COMMITTED)));
      expect(await store.runs.load(starts)).toEqual(starts.map((start) => start.after));
    });
  });

  describe("deleting runs", () => {
    const bench = openBench("group");

    it("deletes only a run that has ended", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const active = await writer.put(startOf({ tenantId, runId: "run-1" }, { ownerLane: writer.laneId }));
      expect(await store.runs.delete(keyOf(active))).toBe(false);
      const waiting = await writer.put(waitOf(active, { asks: "question" }));
      expect(await store.runs.delete(keyOf(active))).toBe(false);
      expect(await store.runs.delete({ tenantId, runId: "missing" })).toBe(false);
      const after = await writer.put(answerOf(waiting));
      expect(await load(store, keyOf(active))).toEqual(after);
      await writer.put(endOf(after, "done"));
      expect(await store.runs.delete({ tenantId: bench.tenant(), runId: "run-1" })).toBe(false);
      expect(await store.runs.delete(keyOf(active))).toBe(true);
      expect(await store.runs.delete(keyOf(active))).toBe(false);
    });

    it("deletes records, waits and mail along with the run, and nothing of other runs", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const keep = await writer.put(
        waitOf(await writer.put(startOf({ tenantId, runId: "keep" })), { asks: "question" }),
      );
      const gone = await writer.put(
        waitOf(await writer.put(startOf({ tenantId, runId: "gone" })), { asks: "question" }),
      );
      await writer.deliver(mailDelivery(keyOf(gone), "cancel"), mailDelivery(keyOf(keep), "pause"));
      await writer.put(endOf(await writer.put(answerOf(gone)), null));
      expect(await store.runs.delete(keyOf(gone))).toBe(true);
      expect(await store.runs.load([keyOf(gone), keyOf(keep)])).toEqual([undefined, keep]);
      expect(await store.ledger.list(keyOf(gone), 0, ALL)).toEqual([]);
      expect(await store.ledger.list(keyOf(keep), 0, ALL)).toHaveLength(2);
      expect(await store.waits.get(tenantId, closingOf(gone).waitId)).toBeUndefined();
      expect(await store.waits.get(tenantId, closingOf(keep).waitId)).toBeDefined();
      expect((await store.mail.list([keyOf(gone), keyOf(keep)])).map((mail) => mail.runId)).toEqual(["keep"]);
    });

    it("never gives the id to another run, and does not affect the neighbours of such a start", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const first = await writer.put(startOf({ tenantId, runId: "run-1", vars: { life: 1 } }));
      expect(await store.runs.wasDeleted(keyOf(first))).toBe(false);
      expect(await store.runs.delete(keyOf(first))).toBe(false);
      await writer.put(endOf(first, "end"));
      expect(await store.runs.wasDeleted(keyOf(first))).toBe(false);
      expect(await store.runs.delete(keyOf(first))).toBe(true);
      expect(await other.runs.wasDeleted(keyOf(first))).toBe(true);
      expect(await store.runs.wasDeleted({ tenantId, runId: "run-2" })).toBe(false);

      const channel: Channel = { tenantId, scope: "global", scopeId: "" };
      const again = startOf(
        { tenantId, runId: "run-1", vars: { life: 2 } },
        { events: [eventOf(channel, { name: "reborn" })], notices: [{ kind: "started", seq: 1 }] },
      );
      const neighbour = startOf({ tenantId, runId: "run-2" });
      const namesake = startOf({ tenantId: bench.tenant(), runId: "run-1" });
      expect(await writer.commit(again, neighbour, namesake)).toEqual([conflictOf("run_exists"), COMMITTED, COMMITTED]);
      expect(await store.runs.load([again, neighbour, namesake])).toEqual([undefined, neighbour.after, namesake.after]);
      expect(await store.ledger.list(again, 0, ALL)).toEqual([]);
      expect(await store.events.list(channel, 0, ALL)).toEqual([]);
      expect(await store.feed.read(tenantId, [{ laneId: writer.laneId, batchNo: 0, ordinal: 0 }], ALL)).toEqual([]);
    });
  });

  describe("lists of runs", () => {
    const bench = openBench("group");

    /** Returns the ids of the runs that a filter finds, oldest first. */
    async function idsOf(tenantId: string, filter: RunFilter, order: RunOrder = "create_time_asc"): Promise<string[]> {
      const page = await bench.store.runs.list({ tenantId, filter, order, limit: ALL });
      expect(page.next).toBeUndefined();
      return page.items.map((run) => run.state.runId);
    }

    it("shows a run without vars and output", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const first = await writer.put(startOf({ tenantId, runId: "run-1", vars: { secret: 1 }, labels: { a: "b" } }));
      const ended = await writer.put(endOf(first, { secret: 2 }));
      const { items } = await store.runs.list({ tenantId, filter: {}, order: "create_time_desc", limit: 10 });
      const { output: _output, ...state } = ended.state;
      expect(items).toEqual([{ ...ended, state: { ...state, vars: null } }]);
      expect(items[0]?.state).not.toHaveProperty("output");
    });

    it("filters by every field of a filter", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const create = async (runId: string, at: number, facts: object = {}) =>
        await writer.put(startOf({ tenantId, runId, time: timeAt(at), ...facts }));
      await create("plain", 0);
      await create("flow-b", 1, { workflowId: "flow-b", version: 2, labels: { team: "red", size: "s" } });
      await create("flow-c", 2, { workflowId: "flow-b", version: 3, labels: { team: "red", size: "l" } });
      await create("session", 3, { sessionId: "s1", actorId: "ann", labels: { team: "blue" } });
      await create("child", 4, { parentRunId: "plain", rootRunId: "plain" });
      await writer.put(waitOf(await create("asking", 5), { asks: "question" }));
      await writer.put(waitOf(await create("sleeping", 6), { asks: "time", due_time: timeAt(9_999) }));
      const held = await create("held", 7);
      await writer.put(stepOf(held, "run.paused", { paused: true }));
      await writer.put(endOf(await create("done", 8), 1));
      await writer.put(stepOf(await create("failed", 9), "run.failed", {}));
      await writer.put(stepOf(await create("cancelled", 10), "run.cancelled", {}));
      await writer.put(startOf({ tenantId: bench.tenant(), runId: "stranger" }));

      const everything = [
        "plain",
        "flow-b",
        "flow-c",
        "session",
        "child",
        "asking",
        "sleeping",
        "held",
        "done",
        "failed",
      ];
      expect(await idsOf(tenantId, {})).toEqual([...everything, "cancelled"]);
      expect(await idsOf(tenantId, { workflowId: "flow-b" })).toEqual(["flow-b", "flow-c"]);
      expect(await idsOf(tenantId, { workflowId: "flow-b", version: 3 })).toEqual(["flow-c"]);
      expect(await idsOf(tenantId, { labels: { team: "red" } })).toEqual(["flow-b", "flow-c"]);
      expect(await idsOf(tenantId, { labels: { team: "red", size: "l" } })).toEqual(["flow-c"]);
      expect(await idsOf(tenantId, { labels: { team: "green" } })).toEqual([]);
      expect(await idsOf(tenantId, { sessionId: "s1" })).toEqual(["session"]);
      expect(await idsOf(tenantId, { actorId: "ann" })).toEqual(["session"]);
      expect(await idsOf(tenantId, { parentRunId: "plain" })).toEqual(["child"]);
      expect(await idsOf(tenantId, { rootRunId: "plain" })).toEqual(["plain", "child"]);
      expect(await idsOf(tenantId, { statuses: ["waiting"] })).toEqual(["asking", "sleeping"]);
      expect(await idsOf(tenantId, { statuses: ["completed", "cancelled"] })).toEqual(["done", "cancelled"]);
      expect(await idsOf(tenantId, { statuses: ["failed"] })).toEqual(["failed"]);
      expect(await idsOf(tenantId, { waitingReasons: ["until"] })).toEqual(["sleeping"]);
      expect(await idsOf(tenantId, { waitingReasons: ["until", "user"] })).toEqual(["asking", "sleeping"]);
      expect(await idsOf(tenantId, { paused: true })).toEqual(["held"]);
      expect(await idsOf(tenantId, { paused: false, statuses: ["running"] })).toEqual(everything.slice(0, 5));
      expect(await idsOf(tenantId, { createTimeAfter: timeAt(8) })).toEqual(["done", "failed", "cancelled"]);
      expect(await idsOf(tenantId, { createTimeBefore: timeAt(1) })).toEqual(["plain"]);
      expect(await idsOf(tenantId, { createTimeAfter: timeAt(3), createTimeBefore: timeAt(5) })).toEqual([
        "session",
        "child",
      ]);
      expect(await idsOf(tenantId, { rootRunId: "plain", statuses: ["running"], parentRunId: "plain" })).toEqual([
        "child",
      ]);
    });

    it("distinguishes instants that differ by a microsecond", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const times = ["2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000002Z"] as Instant[];
      for (const [i, time] of times.entries()) await writer.put(startOf({ tenantId, runId: `run-${i}`, time }));
      const second = times[1];
      assert(second !== undefined);
      expect(await idsOf(tenantId, { createTimeAfter: second })).toEqual(["run-1"]);
      expect(await idsOf(tenantId, { createTimeBefore: second })).toEqual(["run-0"]);
    });

    it("orders by time, and pages across ties without a gap or a repeat", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const ids = ["e", "B", "a", "d", "C", "f", "A"];
      const runs = new Map<string, StoredRun>();
      for (const [i, runId] of ids.entries()) {
        // Pairs and triples that were created in the same microsecond.
        runs.set(runId, await writer.put(startOf({ tenantId, runId, time: timeAt(Math.floor(i / 3)) })));
      }
      for (const runId of ["a", "B", "A"]) {
        const before = runs.get(runId);
        assert(before !== undefined);
        runs.set(runId, await writer.put(assignOf(before, "x", 1, { time: timeAt(1_000) })));
      }
      for (const order of ["create_time_asc", "create_time_desc", "update_time_desc"] as const) {
        const timeOf = (run: StoredRun) => (order === "update_time_desc" ? run.state.updateTime : run.state.createTime);
        const whole = await store.runs.list({ tenantId, filter: {}, order, limit: ALL });
        const times = whole.items.map(timeOf);
        expect(times).toEqual(order === "create_time_asc" ? times.toSorted() : times.toSorted().toReversed());
        for (const limit of [1, 2, 3, 7]) {
          const paged = await readPages(limit, (start) =>
            store.runs.list({ tenantId, filter: {}, order, limit, ...(start === undefined ? {} : { start }) }),
          );
          expect(paged).toEqual(whole.items);
        }
        expect(whole.items.map((run) => run.state.runId).toSorted()).toEqual(ids.toSorted());
      }
    });

    it("applies the filter before it cuts pages", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      for (let i = 0; i < 12; i++) {
        const labels = { parity: i % 2 === 0 ? "even" : "odd" };
        await writer.put(startOf({ tenantId, runId: `run-${i}`, time: timeAt(i), labels }));
      }
      const filter = { labels: { parity: "odd" } };
      const paged = await readPages(2, (start) =>
        store.runs.list({
          tenantId,
          filter,
          order: "create_time_desc",
          limit: 2,
          ...(start === undefined ? {} : { start }),
        }),
      );
      expect(paged.map((run) => run.state.runId)).toEqual(["run-11", "run-9", "run-7", "run-5", "run-3", "run-1"]);
    });
  });

  describe("timers", () => {
    const bench = openBench("test");

    /** Starts a run that wakes `inMs` milliseconds from now. */
    async function sleeping(tenantId: string, runId: string, inMs: number): Promise<StoredRun> {
      const start = startOf({ tenantId, runId });
      const wakeTime = addMs(await bench.store.now(), inMs);
      return await bench.writer.put(waitOf(await bench.writer.put(start), { asks: "time", due_time: wakeTime }));
    }

    it("takes what is due, earliest first, and offers it to others only later", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      await sleeping(tenantId, "third", -1_000);
      await sleeping(tenantId, "first", -60_000);
      await sleeping(tenantId, "second", -30_000);
      const future = await sleeping(tenantId, "future", HOUR_MS);
      await writer.put(startOf({ tenantId, runId: "timeless" }));
      const before = await store.now();
      const one = await store.runs.claimDue(2, 5 * HOUR_MS);
      expect(one.runs).toEqual([
        { tenantId, runId: "first" },
        { tenantId, runId: "second" },
      ]);
      expect(one.now >= before).toBe(true);
      const two = await other.runs.claimDue(10, 5 * HOUR_MS);
      expect(two.runs).toEqual([{ tenantId, runId: "third" }]);
      expect(two.nextWakeTime).toBe(openWaitOf(future.state)?.due_time);
      const none = await store.runs.claimDue(10, 5 * HOUR_MS);
      expect(none.runs).toEqual([]);
      expect(none.nextWakeTime).toBe(openWaitOf(future.state)?.due_time);
      expect((await store.lanes.renew(writer.serverId)).nextWakeTime).toBe(openWaitOf(future.state)?.due_time);
    });

    it("offers a run again if its taker did nothing with it", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      await sleeping(tenantId, "run-1", -1_000);
      // Moved ahead by 0 ms, it is due again at once.
      expect((await store.runs.claimDue(10, 0)).runs).toEqual([{ tenantId, runId: "run-1" }]);
      expect((await other.runs.claimDue(10, HOUR_MS)).runs).toEqual([{ tenantId, runId: "run-1" }]);
      const after = await store.runs.claimDue(10, HOUR_MS);
      expect(after.runs).toEqual([]);
      assert(after.nextWakeTime !== undefined);
      expect(after.nextWakeTime > addMs(after.now, HOUR_MS / 2)).toBe(true);
      expect(after.nextWakeTime <= addMs(after.now, HOUR_MS)).toBe(true);
    });

    it("never gives one run to two servers", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      for (let i = 0; i < 6; i++) await sleeping(tenantId, `run-${i}`, -1_000 * (i + 1));
      const taken = await Promise.all([store.runs.claimDue(4, HOUR_MS), other.runs.claimDue(4, HOUR_MS)]);
      const rest = await store.runs.claimDue(10, HOUR_MS);
      const ids = [...taken, rest].flatMap(({ runs }) => runs.map((key) => key.runId));
      expect(ids.toSorted()).toEqual(["run-0", "run-1", "run-2", "run-3", "run-4", "run-5"]);
    });

    it("drops the timer of a run that is paused, moves on or ends", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const paused = await sleeping(tenantId, "paused", -1_000);
      const moved = await sleeping(tenantId, "moved", -1_000);
      const ended = await sleeping(tenantId, "ended", -1_000);
      const held = await writer.put(stepOf(paused, "run.paused", { paused: true }));
      await writer.put(answerOf(moved, { closeWaits: [{ ...closingOf(moved), by: "time" }] }));
      await writer.put(stepOf(ended, "run.cancelled", {}, { closeWaits: [{ ...closingOf(ended), by: "cancel" }] }));
      const none = await store.runs.claimDue(10, HOUR_MS);
      expect(none.runs).toEqual([]);
      expect(none).not.toHaveProperty("nextWakeTime");
      await writer.put(stepOf(held, "run.unpaused", { paused: false }));
      expect((await store.runs.claimDue(10, HOUR_MS)).runs).toEqual([{ tenantId, runId: "paused" }]);
    });

    it("changes nothing in a run that it hands out", async () => {
      const { store, writer } = bench;
      const run = await sleeping(bench.tenant(), "run-1", -1_000);
      await store.runs.claimDue(10, HOUR_MS);
      expect(await load(store, keyOf(run))).toEqual(run);
      expect(await writer.commit(answerOf(run))).toEqual([COMMITTED]);
    });
  });
}
