/**
 * The suite that every implementation of the store's contract passes: `describeStore(name, createHarness)`.
 *
 * It knows nothing of an implementation. Times lie in the past or the future of the store's own clock, which it never moves;
 * nothing sleeps. Groups whose verbs look at the whole database (leases, timers, strays) get a database for each test, the others
 * share one and keep apart by tenant.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { addMs, type Instant } from "../core/duration.ts";
import type { Channel, EventCursor, EventQuery } from "../core/event.ts";
import { idempotencyKey } from "../core/identifiers.ts";
import type { JsonObject } from "../core/json.ts";
import { draftFromSealed, NO_PREVIOUS_HASH, recordHash } from "../core/ledger-format.ts";
import { fold } from "../core/apply.ts";
import type { PatchOp } from "../core/pointer.ts";
import type { Call } from "../core/step-record.ts";
import type { Wait } from "../core/wait.ts";
import { BatchRejectedError, LaneFencedError } from "./contract/errors.ts";
import type { Transition } from "./contract/batch.ts";
import type { ChannelProgress } from "./contract/events.ts";
import type { FeedEntry, LanePosition, NoticeKind } from "./contract/feed.ts";
import type { JobHead, JobKey, JobLease, JobRequest, JobState, NewJob } from "./contract/jobs.ts";
import type { Page, PageStart } from "./contract/page.ts";
import type { RunFilter, RunKey, RunOrder, StoredRun } from "./contract/runs.ts";
import type { Store } from "./contract/store.ts";
import type { StoredWait, WaitFilter } from "./contract/waits.ts";
import type { StoredWorker } from "./contract/workers.ts";
import { BASIC_FORMAT, formatAfter } from "./run-format.ts";
import { varsWriteOf } from "./vars-write.ts";
import {
  answerOf,
  assignOf,
  closingOf,
  definitionOf,
  digestOf,
  endOf,
  eventDelivery,
  eventOf,
  jobOf,
  joinOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
  TIME_ZERO,
  timeAt,
  waitOf,
  type Writer,
} from "./suite/fixtures.ts";

/** One database, empty when it is created. */
export type StoreHarness = {
  /** Another server's store on the same database. The suite closes what it opens. */
  openStore(): Promise<Store>;
  /** Removes the database; every store is closed by then. */
  close(): Promise<void>;
};

/** More than any list here holds. */
const ALL = 1_000;
const HOUR_MS = 3_600_000;

const COMMITTED = { type: "committed" };
const CONFLICT = { type: "conflict" };

/** What a test works with: two servers on one database, and a tenant nobody else uses. */
type Bench = {
  readonly store: Store;
  readonly other: Store;
  /** A server on `store`. */
  readonly writer: Writer;
  tenant(): string;
};

function keyOf(run: { state: RunKey }): RunKey {
  return { tenantId: run.state.tenantId, runId: run.state.runId };
}

async function load(store: Store, key: RunKey): Promise<StoredRun> {
  const [run] = await store.runs.load([key]);
  assert(run !== undefined, `run ${key.runId} is stored`);
  return run;
}

async function progressOf(store: Store, channel: Channel): Promise<ChannelProgress> {
  const [progress] = await store.events.readWoken([channel]);
  assert(progress !== undefined, "every channel has an answer");
  return progress;
}

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

/** Starts a run that makes jobs, as `jobsOf` does. */
async function addJobs(writer: Writer, tenantId: string, keys: readonly string[]): Promise<void> {
  await writer.put(startOf({ tenantId, runId: `run-of-${keys.join("-")}` }, { jobs: jobsOf(keys) }));
}

/** Wants jobs for the tool "pay". */
function requestOf(tenantId: string, workerSessionIds: readonly string[]): JobRequest {
  return { tenantId, kind: "tool", name: "pay", workerSessionIds };
}

/** Claims jobs for the tool "pay" and gives their keys in the order in which they were given. */
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

/** Reads a list to its end in pages of `limit`. */
async function readPages<T>(limit: number, read: (start: PageStart | undefined) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let start: PageStart | undefined;
  for (let pages = 0; pages < ALL; pages++) {
    const page = await read(start);
    expect(page.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.items);
    if (page.next === undefined) return items;
    expect(page.items).not.toEqual([]);
    start = page.next;
  }
  throw new Error("the list has no end");
}

export function describeStore(name: string, createHarness: () => Promise<StoreHarness>): void {
  function openBench(per: "test" | "group"): Bench {
    let opened: { harness: StoreHarness; store: Store; other: Store; writer: Writer } | undefined;
    const open = async (): Promise<void> => {
      const harness = await createHarness();
      const store = await harness.openStore();
      const other = await harness.openStore();
      opened = { harness, store, other, writer: await openWriter(store) };
    };
    const close = async (): Promise<void> => {
      await opened?.store.close();
      await opened?.other.close();
      await opened?.harness.close();
      opened = undefined;
    };
    if (per === "test") {
      beforeEach(open);
      afterEach(close);
    } else {
      beforeAll(open);
      afterAll(close);
    }
    const current = (): NonNullable<typeof opened> => {
      assert(opened !== undefined, "the bench is open");
      return opened;
    };
    return {
      get store() {
        return current().store;
      },
      get other() {
        return current().other;
      },
      get writer() {
        return current().writer;
      },
      tenant: () => `tenant-${randomBytes(6).toString("hex")}`,
    };
  }

  describe(`store: ${name}`, () => {
    describe("the database", () => {
      const bench = openBench("group");

      it("answers and tells its time as an instant with microseconds", async () => {
        await bench.store.ping();
        const first = await bench.store.now();
        const second = await bench.other.now();
        expect(first).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        expect(second >= first).toBe(true);
      });

      it("gives every server the same key for tokens", () => {
        expect(bench.store.tokenKey.byteLength).toBe(32);
        expect(Buffer.from(bench.store.tokenKey).equals(bench.other.tokenKey)).toBe(true);
        expect(Buffer.from(bench.store.tokenKey).equals(Buffer.alloc(32))).toBe(false);
      });

      it("carries a notice to the other servers and to the sender", async () => {
        const heard = (store: Store): Promise<{ payload: Promise<string>; stop: () => Promise<void> }> => {
          const payload = Promise.withResolvers<string>();
          return store.notices
            .listen((text) => payload.resolve(text))
            .then((stop) => ({ payload: payload.promise, stop }));
        };
        const here = await heard(bench.store);
        const there = await heard(bench.other);
        const text = JSON.stringify({ text: "ü'\"\\", filler: "x".repeat(6_900) });
        await bench.other.notices.send(text);
        expect(await here.payload).toBe(text);
        expect(await there.payload).toBe(text);
        await here.stop();
        await there.stop();
      });

      it("stops telling a listener that has left", async () => {
        const left: string[] = [];
        const stop = await bench.store.notices.listen((text) => left.push(text));
        await stop();
        const arrived = Promise.withResolvers<string>();
        const stopOther = await bench.other.notices.listen((text) => arrived.resolve(text));
        await bench.other.notices.send("after it left");
        expect(await arrived.promise).toBe("after it left");
        expect(left).toEqual([]);
        await stopOther();
      });
    });

    describe("runs", () => {
      const bench = openBench("group");

      it("starts a run and gives back exactly what was stored", async () => {
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

      it("keeps what a handler's step plan says of the effect that a run is at", async () => {
        const sequel = { result_path: "/result", to: "second" };
        const start = startOf({ tenantId: bench.tenant(), runId: "run-1" }, { state: { sequel } });
        const after = await bench.writer.put(start);
        expect(after.state.sequel).toEqual(sequel);
        expect(await load(bench.store, keyOf(after))).toEqual(after);
        const next = await bench.writer.put(assignOf(after, "x", 1, { state: { sequel: { to: "third" } } }));
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

      it("refuses to start a run that exists, whatever it looks like", async () => {
        const { store, other, writer } = bench;
        const first = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { first: true } });
        await writer.put(first);
        const second = startOf({ tenantId: first.tenantId, runId: "run-1", vars: { first: false } });
        expect(await (await openWriter(other)).commit(second)).toEqual([CONFLICT]);
        expect(await load(store, first)).toEqual(first.after);
        expect(await store.ledger.list(first, 0, ALL)).toHaveLength(1);
      });

      it("keeps runs of one id apart by tenant", async () => {
        const { store, writer } = bench;
        const one = await writer.put(startOf({ tenantId: bench.tenant(), runId: "same", vars: { of: 1 } }));
        const two = await writer.put(startOf({ tenantId: bench.tenant(), runId: "same", vars: { of: 2 } }));
        await writer.put(assignOf(one, "of", 3));
        expect((await load(store, keyOf(one))).state.vars).toEqual({ of: 3 });
        expect(await load(store, keyOf(two))).toEqual(two);
        expect(await store.ledger.list(keyOf(two), 0, ALL)).toHaveLength(1);
      });

      it("moves a run forward only from the seq that was seen, and leaves the neighbours of a conflict alone", async () => {
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
          { reason: "user", prompt: "late" },
          { events: [eventOf(channel, { name: "late" })] },
        );
        const outcomes = await writer.commit(assignOf(left, "x", 1), late, assignOf(right, "x", 2));
        expect(outcomes).toEqual([COMMITTED, CONFLICT, COMMITTED]);
        const runs = await store.runs.load([keyOf(left), keyOf(stale), keyOf(right)]);
        expect(runs.map((run) => run?.state.vars)).toEqual([{ x: 1 }, { by: "first" }, { x: 2 }]);
        expect(runs[1]).toEqual(moved);
        expect(await store.ledger.list(keyOf(stale), 0, ALL)).toHaveLength(2);
        expect(await store.events.list(channel, 0, ALL)).toEqual([]);
        assert(late.openWait !== undefined);
        expect(await store.waits.get(tenantId, late.openWait.wait_id)).toBeUndefined();
      });

      it("refuses a step ahead of the run and a step of a run that is not there", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const first = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const second = assignOf(first, "x", 1).after;
        const ghost = startOf({ tenantId, runId: "ghost" }).after;
        expect(await writer.commit(assignOf(second, "x", 2), assignOf(ghost, "x", 3))).toEqual([CONFLICT, CONFLICT]);
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

      it("loads runs in the order of the keys, with nothing for those that are not there", async () => {
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

      it("stores an output, null among others, and knows it from none", async () => {
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

      it("changes and drops the owner with the transition", async () => {
        const { store, writer } = bench;
        const first = await writer.put(
          startOf({ tenantId: bench.tenant(), runId: "run-1" }, { ownerLane: writer.laneId }),
        );
        expect((await load(store, keyOf(first))).ownerLane).toBe(writer.laneId);
        const waiting = await writer.put(waitOf(first, { reason: "user" }));
        expect(await load(store, keyOf(first))).not.toHaveProperty("ownerLane");
        await writer.put(answerOf(waiting, { ownerLane: writer.laneId }));
        expect((await load(store, keyOf(first))).ownerLane).toBe(writer.laneId);
      });

      it("refuses a whole batch for what is in it, and goes on with the next", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel: Channel = { tenantId, scope: "global", scopeId: "" };
        const good = startOf({ tenantId, runId: "good" });
        const bad = startOf({ tenantId, runId: "bad" }, { events: [eventOf(channel, { name: "no\u0000text" })] });
        await expect(writer.commit(good, bad)).rejects.toBeInstanceOf(BatchRejectedError);
        expect(await store.runs.load([good, bad])).toEqual([undefined, undefined]);
        expect(await store.batches.settle(writer.laneId, writer.batchNo())).toBe("void");
        expect(await writer.commit(good)).toEqual([COMMITTED]);
        expect(await load(store, good)).toEqual(good.after);
      });

      it("takes an empty batch", async () => {
        expect(await bench.writer.commit()).toEqual([]);
      });

      it("takes a large batch and gives its outcomes in order", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const starts = Array.from({ length: 300 }, (_, i) => startOf({ tenantId, runId: `run-${i}`, vars: { i } }));
        await writer.commit(...starts.filter((_, i) => i % 7 === 0));
        const outcomes = await writer.commit(...starts);
        expect(outcomes).toEqual(starts.map((_, i) => (i % 7 === 0 ? CONFLICT : COMMITTED)));
        expect(await store.runs.load(starts)).toEqual(starts.map((start) => start.after));
      });
    });

    describe("runs whose rows are behind", () => {
      const bench = openBench("group");
      const LARGE = "large ü😀 ".repeat(500);

      async function startOwned(vars: JsonObject = { n: 0, text: LARGE }): Promise<StoredRun> {
        const { writer } = bench;
        return await writer.put(
          startOf({ tenantId: bench.tenant(), runId: "run-1", vars }, { ownerLane: writer.laneId }),
        );
      }

      /** A step that leaves the row as it is. */
      function left(run: StoredRun, ...patch: PatchOp[]): Transition {
        const body = { status: "completed" as const, patch, to: `node-${run.state.seq}` };
        return stepOf(run, "step.completed", body, { ownerLane: bench.writer.laneId, isLeft: true });
      }

      async function listed(run: StoredRun): Promise<StoredRun[]> {
        const { tenantId } = run.state;
        return (await bench.store.runs.list({ tenantId, filter: {}, order: "update_time_desc", limit: ALL })).items;
      }

      it("are read as their ledgers say, whole, without payloads, and in lists", async () => {
        const { writer, other } = bench;
        const start = await startOwned();
        let run = start;
        for (let n = 1; n <= 5; n++) run = await writer.put(left(run, { op: "set", path: "/n", value: n }));
        expect(run.behind?.seq).toBe(1);
        const loaded = await load(other, keyOf(run));
        expect(loaded).toEqual(run);
        expect(loaded.state).toMatchObject({ seq: 6, steps: 5, node: "node-5", vars: { n: 5, text: LARGE } });
        const [head] = await other.runs.loadHeads([keyOf(run)]);
        expect(head).toMatchObject({ headHash: run.headHash, state: { ...run.state, vars: null } });
        expect(await listed(run)).toEqual([head]);
      });

      it("are written whole by the next transition that writes the row", async () => {
        const { writer, store } = bench;
        const start = await startOwned();
        const first = await writer.put(left(start, { op: "set", path: "/text", value: `${LARGE}!` }));
        const second = await writer.put(
          left(first, { op: "set", path: "/more", value: [LARGE] }, { op: "unset", path: "/n" }),
        );
        const waiting = await writer.put(waitOf(second, { reason: "user" }));
        expect(waiting.behind).toBeUndefined();
        expect(await load(store, keyOf(waiting))).toEqual(waiting);
        expect(waiting.state.vars).toEqual({ text: `${LARGE}!`, more: [LARGE] });
        // A reader of the row alone sees all of it.
        const active = await writer.put(answerOf(waiting, { ownerLane: writer.laneId }));
        const ended = await writer.put(endOf(await writer.put(left(active, { op: "set", path: "/n", value: 1 })), 1));
        expect(await load(store, keyOf(ended))).toEqual(ended);
        expect((await store.ledger.list(keyOf(ended), 0, ALL)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
      });

      it("go back to what the row says, and are written if anything differs", async () => {
        const { writer, store } = bench;
        const start = await startOwned({ n: 0, text: LARGE });
        const away = await writer.put(left(start, { op: "set", path: "/text", value: "small" }));
        const back = await writer.put(left(away, { op: "set", path: "/text", value: LARGE }));
        const waiting = await writer.put(waitOf(back, { reason: "user" }));
        expect(await load(store, keyOf(waiting))).toEqual(waiting);
      });

      it("keep their records where their neighbours in a batch are refused, and are refused themselves", async () => {
        const { writer, other } = bench;
        const [run, stale] = [await startOwned(), await startOwned()];
        const ahead = left(stale).after;
        expect(await writer.commit(left(ahead), left(run))).toEqual([CONFLICT, COMMITTED]);
        expect(await bench.store.ledger.list(keyOf(stale), 0, ALL)).toHaveLength(1);
        expect(await load(other, keyOf(stale))).toEqual(stale);
        expect((await load(other, keyOf(run))).state.seq).toBe(2);
      });

      it("take one step at each place of the ledger, whoever is second", async () => {
        const { writer, other } = bench;
        const start = await startOwned();
        const [run, neighbour] = [
          await writer.put(left(start, { op: "set", path: "/n", value: 1 })),
          await startOwned(),
        ];
        const second = left(start, { op: "set", path: "/n", value: 2 });
        expect(await writer.commit(second)).toEqual([CONFLICT]);
        expect(await writer.commit(waitOf(start, { reason: "user" }))).toEqual([CONFLICT]);
        await expect(writer.commit(second, left(neighbour))).rejects.toThrow(BatchRejectedError);
        expect(await load(other, keyOf(run))).toEqual(run);
        expect(await load(other, keyOf(neighbour))).toEqual(neighbour);
      });

      it("take no step ahead of the ledger", async () => {
        const { writer, other } = bench;
        const start = await startOwned();
        const ahead = left(start).after;
        expect(await writer.commit(left(ahead))).toEqual([CONFLICT]);
        expect(await writer.commit(waitOf(ahead, { reason: "user" }))).toEqual([CONFLICT]);
        expect(await load(other, keyOf(start))).toEqual(start);
      });

      it("are left as they are by a step that is refused for something else", async () => {
        const { writer, other } = bench;
        const start = await startOwned();
        expect(await writer.commit({ ...left(start), consumedMail: [4_711] })).toEqual([CONFLICT]);
        expect(await load(other, keyOf(start))).toEqual(start);
      });

      it("go on where they were under the lane that claims them", async () => {
        const { writer, store, other } = bench;
        const leaving = await openWriter(store);
        const start = await leaving.put(
          startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { n: 0 } }, { ownerLane: leaving.laneId }),
        );
        const body = { status: "completed" as const, patch: [{ op: "set" as const, path: "/n", value: 1 }] };
        const facts = { ownerLane: leaving.laneId, isLeft: true };
        const run = await leaving.put(stepOf(start, "step.completed", body, facts));
        await store.lanes.end(leaving.serverId);
        await expect(leaving.commit(stepOf(run, "step.completed", body, facts))).rejects.toThrow(LaneFencedError);
        // The other tests' runs are orphans too, and are claimed along.
        while ((await load(other, keyOf(run))).ownerLane !== writer.laneId) await other.runs.claim(writer.laneId, ALL);
        const found = await load(other, keyOf(run));
        expect(found).toEqual({ ...run, ownerLane: writer.laneId });
        const next = await writer.put(left(found, { op: "set", path: "/n", value: 2 }));
        expect(next.behind?.seq).toBe(1);
        expect((await load(store, keyOf(run))).state.vars).toEqual({ n: 2 });
      });

      it("pages through lists by the times of the rows", async () => {
        const { writer, store } = bench;
        const tenantId = bench.tenant();
        const runs: StoredRun[] = [];
        for (let n = 0; n < 6; n++) {
          const time = addMs(TIME_ZERO, n);
          const facts = { ownerLane: writer.laneId };
          const start = await writer.put(startOf({ tenantId, runId: `run-${n}`, time }, facts));
          runs.push(n % 2 === 0 ? await writer.put(left(start)) : start);
        }
        const seen: string[] = [];
        let start: PageStart | undefined;
        do {
          const request = { tenantId, filter: {}, order: "update_time_desc" as const, limit: 1 };
          const page = await store.runs.list({ ...request, ...(start === undefined ? {} : { start }) });
          seen.push(...page.items.map(({ state }) => state.runId));
          start = page.next;
        } while (start !== undefined);
        expect(seen).toEqual(runs.map(({ state }) => state.runId).toReversed());
      });
    });

    describe("vars with large members", () => {
      const bench = openBench("group");
      const LARGE = "large ü😀 ".repeat(500);

      /** A run with large members among small ones. */
      async function startLarge(vars: JsonObject = {}): Promise<StoredRun> {
        const large: JsonObject = { "9": LARGE, first: 1, list: [LARGE, { deep: LARGE }], middle: null, text: LARGE };
        return await bench.writer.put(
          startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { ...large, ...vars } }),
        );
      }

      /** Both as values and as text, in which members stand in their order. */
      async function expectStored(run: StoredRun): Promise<void> {
        const loaded = await load(bench.other, keyOf(run));
        expect(loaded).toEqual(run);
        expect(JSON.stringify(loaded.state.vars)).toBe(JSON.stringify(run.state.vars));
      }

      /** The same run with changes of its vars: JSON Pointer operations, all in one transition. */
      async function change(run: StoredRun, ...patch: PatchOp[]): Promise<StoredRun> {
        const after = await bench.writer.put(stepOf(run, "step.completed", { status: "completed", patch }));
        await expectStored(after);
        return after;
      }

      it("gives them back as they were, with all members in their order", async () => {
        const run = await startLarge({ last: [1], 'a "name"\n\\': { text: LARGE }, ["n".repeat(3_000)]: LARGE });
        await expectStored(run);
        expect((await bench.store.runs.loadHeads([keyOf(run)]))[0]?.state.vars).toBeNull();
        const [listed] = (
          await bench.store.runs.list({
            tenantId: run.state.tenantId,
            filter: {},
            order: "create_time_asc",
            limit: ALL,
          })
        ).items;
        expect(listed?.state.vars).toBeNull();
        expect(listed?.format).toBe(run.format);
      });

      it("marks of the runs that are not active only those that have some as of a newer format", async () => {
        const { writer } = bench;
        const park = async (run: StoredRun) => await writer.put(waitOf(run, { reason: "user" }));
        const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { a: 1 } }));
        const small = await park(run);
        expect(small.format).toBe(BASIC_FORMAT);
        await expectStored(small);
        const going = await writer.put(answerOf(small));
        expect(going.format).toBe(run.format);
        const large = await park(await change(going, { op: "set", path: "/b", value: LARGE }));
        expect(large.format).toBeGreaterThan(BASIC_FORMAT);
        const shrunk = await change(await writer.put(answerOf(large)), { op: "set", path: "/b", value: "" });
        expect((await park(shrunk)).format).toBe(BASIC_FORMAT);
      });

      it("changes small members beside them", async () => {
        let run = await startLarge();
        run = await change(run, { op: "set", path: "/first", value: 2 });
        run = await change(run, { op: "set", path: "/new", value: [1] }, { op: "unset", path: "/middle" });
        run = await change(run, { op: "append", path: "/new", values: [2] });
        expect(run.state.vars).toMatchObject({ first: 2, new: [1, 2], text: LARGE });
      });

      it("changes one alone, adds and takes away others", async () => {
        let run = await startLarge();
        run = await change(run, { op: "append", path: "/list", values: [LARGE] });
        run = await change(run, { op: "set", path: "/text", value: `${LARGE}!` });
        run = await change(run, { op: "set", path: "/more", value: { of: LARGE } });
        run = await change(run, { op: "unset", path: "/text" });
        run = await change(run, { op: "set", path: "/text", value: [LARGE] });
        run = await change(run, { op: "unset", path: "/list" }, { op: "unset", path: "/9" });
        expect(run.state.vars).toEqual({ first: 1, middle: null, more: { of: LARGE }, text: [LARGE] });
      });

      it("changes the same one several times in one transition", async () => {
        const run = await startLarge();
        const first = assignOf(run, "text", [LARGE]);
        const second = stepOf(first.after, "step.completed", {
          status: "completed",
          patch: [{ op: "append", path: "/text", values: ["end"] }],
        });
        const joined = await bench.writer.put(joinOf(first, second, run));
        await expectStored(joined);
        expect(joined.state.vars).toMatchObject({ text: [LARGE, "end"] });
        const away = assignOf(joined, "text", "");
        const back = assignOf(away.after, "text", LARGE);
        await expectStored(await bench.writer.put(joinOf(away, back, joined)));
        const begun = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { text: LARGE, list: [LARGE] } });
        const on = assignOf(begun.after, "text", `${LARGE}!`);
        await expectStored(await bench.writer.put(joinOf(begun, on)));
      });

      it("takes back the ones that shrink, and lets them grow again", async () => {
        let run = await startLarge();
        run = await change(run, { op: "set", path: "/list", value: [] });
        run = await change(run, { op: "set", path: "/list", value: [LARGE] });
        // The last one that is apart goes away alone: nothing else is written beside the vars.
        run = await change(run, { op: "unset", path: "/list" }, { op: "unset", path: "/9" });
        run = await change(run, { op: "set", path: "/text", value: "small" });
        run = await change(run, { op: "set", path: "/text", value: LARGE });
        expect(run.state.vars).toEqual({ first: 1, middle: null, text: LARGE });
      });

      it("is replaced by vars that are no object, and takes their place again", async () => {
        let run = await startLarge();
        run = await change(run, { op: "set", path: "", value: [LARGE, LARGE] });
        run = await change(run, { op: "set", path: "", value: { text: LARGE, other: LARGE } });
        run = await change(run, { op: "set", path: "", value: null });
        run = await change(run, { op: "set", path: "", value: { list: [LARGE] } });
        run = await change(run, { op: "set", path: "", value: LARGE });
        expect(run.state.vars).toBe(LARGE);
      });

      it("takes over a run whose vars an older release has stored whole", async () => {
        const { writer } = bench;
        const start = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { a: 1, list: [LARGE], b: LARGE } });
        const vars = { whole: JSON.stringify(start.after.state.vars), dropped: [] };
        const old = await writer.put({ ...start, vars, after: { ...start.after, format: 2 } });
        await expectStored(old);
        const apart = await writer.put(stepOf(old, "step.completed", { status: "completed" }));
        expect(apart.format).toBe(3);
        await expectStored(apart);
        const changed = await change(apart, { op: "set", path: "/a", value: 2 });
        await change(changed, { op: "unset", path: "/b" });
      });

      it("are put back into one text while there is a server that does not know them apart", async () => {
        const { writer } = bench;
        const apart = await writer.put(
          startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { a: 1, list: [LARGE], b: LARGE } }),
        );
        const vars = varsWriteOf(apart, { a: 2, list: [LARGE], b: LARGE }, BASIC_FORMAT);
        assert(vars !== undefined);
        expect(vars).toEqual({ whole: JSON.stringify({ a: 2, list: [LARGE], b: LARGE }), dropped: ["list", "b"] });
        const step = stepOf(apart, "step.completed", {
          status: "completed",
          patch: [{ op: "set", path: "/a", value: 2 }],
        });
        const whole = await writer.put({
          ...step,
          vars,
          after: { ...step.after, format: formatAfter(apart, step.after.state, BASIC_FORMAT) },
        });
        expect(whole.format).toBe(BASIC_FORMAT);
        await expectStored(whole);
      });

      it("are not touched by a transition that is refused, and those of its neighbours are", async () => {
        const { store, writer } = bench;
        const stale = await startLarge();
        const neighbour = await startLarge();
        const moved = await change(stale, { op: "set", path: "/text", value: `${LARGE} moved` });
        expect(await writer.commit(assignOf(stale, "text", "small"), assignOf(neighbour, "list", 0))).toEqual([
          CONFLICT,
          COMMITTED,
        ]);
        expect(await writer.commit(assignOf(stale, "new", LARGE))).toEqual([CONFLICT]);
        await expectStored(moved);
        expect((await load(store, keyOf(neighbour))).state.vars).toEqual({
          ...(neighbour.state.vars as object),
          list: 0,
        });
        const again = startOf({ ...keyOf(stale), vars: { text: "x".repeat(5_000), other: LARGE } });
        expect(await writer.commit(again)).toEqual([CONFLICT]);
        await expectStored(moved);
      });

      it("loads many runs with and without them in one go", async () => {
        const { store } = bench;
        const small = await bench.writer.put(startOf({ tenantId: bench.tenant(), runId: "small", vars: { text: 1 } }));
        const runs = [await startLarge(), small, await startLarge({ text: `${LARGE}2` })];
        expect(await store.runs.load(runs.map(keyOf))).toEqual(runs);
      });

      it("go with their run", async () => {
        const { store, writer } = bench;
        const kept = await startLarge();
        const gone = await startLarge();
        const ended = await writer.put(endOf(gone, LARGE));
        await expectStored(ended);
        expect(await store.runs.delete(keyOf(gone))).toBe(true);
        expect(await store.runs.load([keyOf(gone), keyOf(kept)])).toEqual([undefined, kept]);
      });
    });

    describe("deleting runs", () => {
      const bench = openBench("group");

      it("deletes only a run that has ended", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const active = await writer.put(startOf({ tenantId, runId: "run-1" }, { ownerLane: writer.laneId }));
        expect(await store.runs.delete(keyOf(active))).toBe(false);
        const waiting = await writer.put(waitOf(active, { reason: "user" }));
        expect(await store.runs.delete(keyOf(active))).toBe(false);
        expect(await store.runs.delete({ tenantId, runId: "missing" })).toBe(false);
        const after = await writer.put(answerOf(waiting));
        expect(await load(store, keyOf(active))).toEqual(after);
        await writer.put(endOf(after, "done"));
        expect(await store.runs.delete({ tenantId: bench.tenant(), runId: "run-1" })).toBe(false);
        expect(await store.runs.delete(keyOf(active))).toBe(true);
        expect(await store.runs.delete(keyOf(active))).toBe(false);
      });

      it("takes records, waits and mail along, and nothing of others", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const keep = await writer.put(
          waitOf(await writer.put(startOf({ tenantId, runId: "keep" })), { reason: "user" }),
        );
        const gone = await writer.put(
          waitOf(await writer.put(startOf({ tenantId, runId: "gone" })), { reason: "user" }),
        );
        await writer.deliver(
          mailDelivery(keyOf(gone), { kind: "cancel" }),
          mailDelivery(keyOf(keep), { kind: "pause" }),
        );
        await writer.put(endOf(await writer.put(answerOf(gone)), null));
        expect(await store.runs.delete(keyOf(gone))).toBe(true);
        expect(await store.runs.load([keyOf(gone), keyOf(keep)])).toEqual([undefined, keep]);
        expect(await store.ledger.list(keyOf(gone), 0, ALL)).toEqual([]);
        expect(await store.ledger.list(keyOf(keep), 0, ALL)).toHaveLength(2);
        expect(await store.waits.get(tenantId, closingOf(gone).waitId)).toBeUndefined();
        expect(await store.waits.get(tenantId, closingOf(keep).waitId)).toBeDefined();
        expect((await store.mail.list([keyOf(gone), keyOf(keep)])).map((mail) => mail.runId)).toEqual(["keep"]);
      });

      it("never gives the id to another run, and leaves the neighbours of such a start alone", async () => {
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
        expect(await writer.commit(again, neighbour, namesake)).toEqual([CONFLICT, COMMITTED, COMMITTED]);
        expect(await store.runs.load([again, neighbour, namesake])).toEqual([
          undefined,
          neighbour.after,
          namesake.after,
        ]);
        expect(await store.ledger.list(again, 0, ALL)).toEqual([]);
        expect(await store.events.list(channel, 0, ALL)).toEqual([]);
        expect(await store.feed.read(tenantId, [{ laneId: writer.laneId, batchNo: 0, ordinal: 0 }], ALL)).toEqual([]);
      });
    });

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

    describe("lists of runs", () => {
      const bench = openBench("group");

      /** Ids of the runs a filter finds, oldest first. */
      async function idsOf(
        tenantId: string,
        filter: RunFilter,
        order: RunOrder = "create_time_asc",
      ): Promise<string[]> {
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

      it("filters by everything that a filter names", async () => {
        const { writer } = bench;
        const tenantId = bench.tenant();
        const create = async (runId: string, at: number, facts: object = {}) =>
          await writer.put(startOf({ tenantId, runId, time: timeAt(at), ...facts }));
        await create("plain", 0);
        await create("flow-b", 1, { workflowId: "flow-b", version: 2, labels: { team: "red", size: "s" } });
        await create("flow-c", 2, { workflowId: "flow-b", version: 3, labels: { team: "red", size: "l" } });
        await create("session", 3, { sessionId: "s1", actorId: "ann", labels: { team: "blue" } });
        await create("child", 4, { parentRunId: "plain", rootRunId: "plain" });
        await writer.put(waitOf(await create("asking", 5), { reason: "user" }));
        await writer.put(waitOf(await create("sleeping", 6), { reason: "until", due_time: timeAt(9_999) }));
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

      it("tells instants apart that differ by a microsecond", async () => {
        const { writer } = bench;
        const tenantId = bench.tenant();
        const times = ["2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000002Z"] as Instant[];
        for (const [i, time] of times.entries()) await writer.put(startOf({ tenantId, runId: `run-${i}`, time }));
        const second = times[1];
        assert(second !== undefined);
        expect(await idsOf(tenantId, { createTimeAfter: second })).toEqual(["run-1"]);
        expect(await idsOf(tenantId, { createTimeBefore: second })).toEqual(["run-0"]);
      });

      it("orders by time, and pages over ties without a gap or a repeat", async () => {
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
          const timeOf = (run: StoredRun) =>
            order === "update_time_desc" ? run.state.updateTime : run.state.createTime;
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

    describe("waits", () => {
      const bench = openBench("group");

      const question: Partial<Wait> & Pick<Wait, "reason"> = {
        reason: "user",
        prompt: "Approve ü?",
        details: { amount: 1.5, deep: [{ a: null }] },
        choices: ["yes", "no", 3],
        allow_free_text: true,
        answer_schema: { type: "string" },
        assignees: ["finance", "bob"],
        default_answer: null,
      };

      it("opens a wait with its run, and finds it by id", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const labels = { team: "red" };
        const first = await writer.put(
          startOf({ tenantId, runId: "run-1", workflowId: "expense", sessionId: "s1", labels }),
        );
        const waiting = await writer.put(waitOf(first, { ...question, due_time: timeAt(HOUR_MS) }));
        const { wait } = waiting.state;
        assert(wait !== undefined);
        const expected = { tenantId, runId: "run-1", wait, workflowId: "expense", sessionId: "s1", labels };
        const found = await store.waits.get(tenantId, wait.wait_id);
        expect(found).toEqual(expected);
        expect(found).not.toHaveProperty("closing");
        expect(await other.waits.get(tenantId, wait.wait_id)).toEqual(expected);
        expect(await store.waits.get(bench.tenant(), wait.wait_id)).toBeUndefined();
        expect(await store.waits.get(tenantId, "missing")).toBeUndefined();
        const { items } = await store.waits.list({ tenantId, filter: { reasons: ["user"] }, limit: 10 });
        expect(items).toEqual([expected]);
        expect(await load(store, keyOf(first))).toEqual(waiting);
      });

      it("keeps how a wait was closed, for the answer that is sent again", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const waiting = await writer.put(
          waitOf(await writer.put(startOf({ tenantId, runId: "run-1" })), { reason: "user" }),
        );
        const closing = { ...closingOf(waiting), requestId: "request-1", actorId: "ann" };
        await writer.put(answerOf(waiting, { closeWait: closing }));
        const found = await store.waits.get(tenantId, closing.waitId);
        expect(found?.closing).toEqual(closing);
        expect(found?.wait).toEqual(waiting.state.wait);
        const { items } = await store.waits.list({ tenantId, filter: { reasons: ["user"] }, limit: 10 });
        expect(items).toEqual([]);
      });

      it("closes by other causes without an actor, and opens the next wait in the same transition", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const first = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const one = await writer.put(waitOf(first, { reason: "until", due_time: timeAt(5) }));
        const two = await writer.put(waitOf(one, { reason: "user" }, { closeWait: { ...closingOf(one), by: "time" } }));
        await writer.put(stepOf(two, "run.cancelled", {}, { closeWait: { ...closingOf(two), by: "cancel" } }));
        const closed = await store.waits.get(tenantId, closingOf(one).waitId);
        expect(closed?.closing).toEqual({ ...closingOf(one), by: "time" });
        expect((await store.waits.get(tenantId, closingOf(two).waitId))?.closing?.by).toBe("cancel");
        const filter: WaitFilter = { reasons: ["user", "until"] };
        expect(await store.waits.list({ tenantId, filter, limit: 10 })).toEqual({ items: [] });
      });

      it("leaves a wait open whose closing lost the race", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const waiting = await writer.put(
          waitOf(await writer.put(startOf({ tenantId, runId: "run-1" })), { reason: "user" }),
        );
        const paused = await writer.put(stepOf(waiting, "run.paused", { paused: true }));
        expect(await writer.commit(answerOf(waiting))).toEqual([CONFLICT]);
        expect(await store.waits.get(tenantId, closingOf(waiting).waitId)).not.toHaveProperty("closing");
        expect((await load(store, keyOf(waiting))).state).toEqual(paused.state);
      });

      it("filters open waits and pages over them, oldest first", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const open = async (runId: string, at: number, run: object, wait: object = {}) =>
          await writer.put(
            waitOf(
              await writer.put(startOf({ tenantId, runId, ...run })),
              { reason: "user", ...wait },
              { time: timeAt(at) },
            ),
          );
        await open("third", 30, { workflowId: "flow-b", labels: { team: "red" } }, { assignees: ["ann"] });
        await open("first", 10, { workflowId: "flow-b", sessionId: "s1" }, { assignees: ["bob", "ann"] });
        await open("second", 20, { labels: { team: "red", size: "s" } });
        await open("tied-a", 40, {});
        await open("tied-b", 40, {});
        await open("tied-c", 40, {});
        await open("sleeping", 5, {}, { reason: "until" });
        const answered = await open("answered", 15, {});
        await writer.put(answerOf(answered));
        const tenant2 = bench.tenant();
        await writer.put(waitOf(await writer.put(startOf({ tenantId: tenant2, runId: "first" })), { reason: "user" }));

        const list = async (filter: Partial<WaitFilter>): Promise<string[]> => {
          const page = await store.waits.list({ tenantId, filter: { reasons: ["user"], ...filter }, limit: ALL });
          expect(page.next).toBeUndefined();
          return page.items.map((item) => item.runId);
        };
        const all = await list({});
        expect(all.slice(0, 3)).toEqual(["first", "second", "third"]);
        expect(all.slice(3).toSorted()).toEqual(["tied-a", "tied-b", "tied-c"]);
        expect(await list({ reasons: ["until"] })).toEqual(["sleeping"]);
        expect(await list({ reasons: ["until", "user"] })).toEqual(["sleeping", ...all]);
        expect(await list({ reasons: ["event"] })).toEqual([]);
        expect(await list({ workflowId: "flow-b" })).toEqual(["first", "third"]);
        expect(await list({ sessionId: "s1" })).toEqual(["first"]);
        expect(await list({ runId: "second" })).toEqual(["second"]);
        expect(await list({ assignee: "ann" })).toEqual(["first", "third"]);
        expect(await list({ assignee: "bob" })).toEqual(["first"]);
        expect(await list({ assignee: "nobody" })).toEqual([]);
        expect(await list({ labels: { team: "red" } })).toEqual(["second", "third"]);
        expect(await list({ labels: { team: "red", size: "s" } })).toEqual(["second"]);
        for (const limit of [1, 2, 4]) {
          const paged = await readPages<StoredWait>(limit, (start) =>
            store.waits.list({
              tenantId,
              filter: { reasons: ["user"] },
              limit,
              ...(start === undefined ? {} : { start }),
            }),
          );
          expect(paged.map((item) => item.runId)).toEqual(all);
        }
      });
    });

    describe("events", () => {
      const bench = openBench("group");

      const globalOf = (tenantId: string): Channel => ({ tenantId, scope: "global", scopeId: "" });
      const queryOf = (channel: Channel, names: string[], facts: Partial<EventQuery> = {}): EventQuery => ({
        channel,
        names,
        startNumber: 0,
        cursors: [],
        ...facts,
      });

      it("numbers the events of each channel in the order of their commits", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const channels: Channel[] = [
          globalOf(tenantId),
          { tenantId, scope: "run", scopeId: "x" },
          { tenantId, scope: "session", scopeId: "x" },
          { tenantId, scope: "workflow", scopeId: "x" },
          globalOf(bench.tenant()),
        ];
        expect(await store.events.readChannels(channels)).toEqual([0, 0, 0, 0, 0]);
        expect(await store.events.readChannels([])).toEqual([]);
        const drafts = channels.flatMap((channel) => [1, 2].map((n) => eventOf(channel, { name: `n${n}` })));
        const outcomes = await writer.deliver(...drafts.map(eventDelivery));
        const otherWriter = await openWriter(other);
        const [late] = await otherWriter.deliver(eventDelivery(eventOf(globalOf(tenantId), { name: "late" })));
        expect(outcomes.map((outcome) => outcome.type)).toEqual(drafts.map(() => "committed"));
        for (const [i, channel] of channels.entries()) {
          const events = await store.events.list(channel, 0, ALL);
          const numbers = events.map((event) => event.number);
          const names = i === 0 ? ["n1", "n2", "late"] : ["n1", "n2"];
          expect(events.map((event) => event.name)).toEqual(names);
          expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
          expect(new Set(numbers).size).toBe(numbers.length);
          const told = [outcomes[2 * i], outcomes[2 * i + 1], ...(i === 0 ? [late] : [])];
          expect(told).toEqual(numbers.map((number) => ({ type: "committed", number })));
          expect(await store.events.readChannels([channel])).toEqual([numbers.at(-1)]);
        }
      });

      it("keeps everything about an event, and lists those behind a number", async () => {
        const { store, writer } = bench;
        const channel = globalOf(bench.tenant());
        const drafts = [
          eventOf(channel, {
            name: "order.paid",
            key: "k/1",
            payload: { a: [1, "ü"] },
            actorId: "ann",
            emitTime: timeAt(1),
          }),
          eventOf(channel, { name: "order.sent", payload: null }),
          eventOf(channel, { name: "order.lost", payload: "text" }),
        ];
        const outcomes = await writer.deliver(...drafts.map(eventDelivery));
        const numbers = outcomes.map((outcome) => (outcome.type === "committed" ? outcome.number : undefined));
        const expected = drafts.map(({ tenantId: _t, scope: _s, scopeId: _i, ...event }, i) => ({
          ...event,
          number: numbers[i],
        }));
        expect(await store.events.list(channel, 0, ALL)).toEqual(expected);
        expect((await store.events.list(channel, 0, 1))[0]).toEqual(expected[0]);
        expect(await store.events.list(channel, numbers[0] ?? 0, 1)).toEqual([expected[1]]);
        expect(await store.events.list(channel, numbers[2] ?? 0, ALL)).toEqual([]);
      });

      it("tells a duplicate event_id in the same batch and in a later one", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        const elsewhere: Channel = { tenantId, scope: "session", scopeId: "s" };
        const [first, again, neighbour] = await writer.deliver(
          eventDelivery(eventOf(channel, { name: "one", eventId: "same" })),
          eventDelivery(eventOf(channel, { name: "two", eventId: "same" })),
          eventDelivery(eventOf(elsewhere, { name: "three", eventId: "same" })),
        );
        expect(first?.type).toBe("committed");
        expect(again).toEqual({ type: "duplicate" });
        expect(neighbour?.type).toBe("committed");
        const later = await writer.deliver(
          eventDelivery(eventOf(channel, { name: "four", eventId: "same" })),
          eventDelivery(eventOf(channel, { name: "five", eventId: "fresh" })),
        );
        expect(later.map((outcome) => outcome.type)).toEqual(["duplicate", "committed"]);
        const names = (await store.events.list(channel, 0, ALL)).map((event) => event.name);
        expect(names).toEqual(["one", "five"]);
        expect((await store.events.list(elsewhere, 0, ALL)).map((event) => event.name)).toEqual(["three"]);
      });

      it("emits with a transition, and skips what is there already without failing it", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const one = eventOf(channel, { name: "one", eventId: "one" });
        const after = await writer.put(assignOf(run, "x", 1, { events: [one, eventOf(channel, { name: "two" })] }));
        const next = await writer.put(assignOf(after, "x", 2, { events: [one, eventOf(channel, { name: "three" })] }));
        expect((await store.events.list(channel, 0, ALL)).map((event) => event.name)).toEqual(["one", "two", "three"]);
        expect(await load(store, keyOf(run))).toEqual(next);
      });

      it("finds the first event that a query matches", async () => {
        const { store, other, writer } = bench;
        const channel = globalOf(bench.tenant());
        const drafts = [
          eventOf(channel, { name: "order.paid", key: "a" }),
          eventOf(channel, { name: "order.sent", key: "b" }),
          eventOf(channel, { name: "order.paid", key: "b" }),
          eventOf(channel, { name: "orders" }),
          eventOf(channel, { name: "order.paid", key: "" }),
          eventOf(channel, { name: "other_%", key: "b" }),
        ];
        await writer.deliver(...drafts.map(eventDelivery));
        const events = await store.events.list(channel, 0, ALL);
        const number = (i: number): number => events[i]?.number ?? Number.NaN;
        const upTo = number(5);
        const cursor = (name: string, i: number, key?: string): EventCursor => ({
          scope: "global",
          name,
          number: number(i),
          ...(key === undefined ? {} : { key }),
        });
        const table: [EventQuery, number | undefined][] = [
          [queryOf(channel, ["order.paid"]), 0],
          [queryOf(channel, ["order.sent"]), 1],
          [queryOf(channel, ["missing"]), undefined],
          [queryOf(channel, ["missing", "order.sent", "order.paid"]), 0],
          [queryOf(channel, ["order.paid"], { key: "b" }), 2],
          [queryOf(channel, ["order.paid"], { key: "" }), 4],
          [queryOf(channel, ["order.paid"], { key: "c" }), undefined],
          [queryOf(channel, ["order.*"], { key: "b" }), 1],
          [queryOf(channel, ["order*"], { startNumber: number(2) }), 3],
          [queryOf(channel, ["*"], { startNumber: number(4) }), 5],
          [queryOf(channel, ["*"], { startNumber: number(5) }), undefined],
          // Neither _ nor % is a wildcard, and a name without a star matches itself only.
          [queryOf(channel, ["order_paid"]), undefined],
          [queryOf(channel, ["other%*"]), undefined],
          [queryOf(channel, ["other_%"]), 5],
          [queryOf(channel, ["other_*"]), 5],
          [queryOf(channel, ["order"]), undefined],
          // A cursor hides what it covers: same name and, if it has one, same key, up to its number.
          [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 0)] }), 2],
          [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 2)] }), 4],
          [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 2, "a")] }), 2],
          [queryOf(channel, ["order.paid"], { cursors: [cursor("order.sent", 5)] }), 0],
          [queryOf(channel, ["order*"], { cursors: [cursor("order.*", 2)] }), 3],
          [queryOf(channel, ["order.paid"], { cursors: [cursor("*", 5)] }), undefined],
          [
            queryOf(channel, ["order.*"], { cursors: [cursor("order.paid", 4), cursor("order.sent", 1, "b")] }),
            undefined,
          ],
          [queryOf(channel, ["order.*"], { cursors: [cursor("order.paid", 4), cursor("order.sent", 1, "a")] }), 1],
          [queryOf(channel, ["order.paid"], { startNumber: number(0), cursors: [cursor("order.paid", 2, "b")] }), 4],
        ];
        const expected = table.map(([, i]) => (i === undefined ? { upTo } : { upTo, event: events[i] }));
        expect(await store.events.lookUp(table.map(([query]) => query))).toEqual(expected);
        expect(await other.events.lookUp([])).toEqual([]);
      });

      it("looks up in several channels at once, also where nothing was emitted", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const empty: Channel = { tenantId, scope: "run", scopeId: "nothing" };
        const filled: Channel = { tenantId, scope: "session", scopeId: "s" };
        const [outcome] = await writer.deliver(eventDelivery(eventOf(filled, { name: "go" })));
        const lookups = await store.events.lookUp([
          queryOf(empty, ["go"]),
          queryOf(filled, ["go"]),
          queryOf(empty, ["*"]),
        ]);
        const [event] = await store.events.list(filled, 0, 1);
        assert(event !== undefined);
        expect(outcome).toEqual({ type: "committed", number: event.number });
        expect(lookups).toEqual([{ upTo: 0 }, { upTo: event.number, event }, { upTo: 0 }]);
        expect(await store.events.readChannels([empty])).toEqual([0]);
      });

      const eventWait = (channel: Channel, names: string[], key?: string) => ({
        reason: "event" as const,
        names,
        scope: channel.scope,
        scope_id: channel.scopeId,
        ...(key === undefined ? {} : { key }),
      });

      it("opens an event wait only while the channel has not moved", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        const [one, two] = [
          await writer.put(startOf({ tenantId, runId: "one" })),
          await writer.put(startOf({ tenantId, runId: "two" })),
        ];
        const [before] = await store.events.lookUp([queryOf(channel, ["go"])]);
        assert(before !== undefined);
        const expectation = { expectChannel: { channel, upTo: before.upTo } };
        const early = await writer.put(waitOf(one, eventWait(channel, ["go"]), expectation));
        await writer.deliver(eventDelivery(eventOf(channel, { name: "unrelated" })));
        const late = waitOf(two, eventWait(channel, ["go"]), expectation);
        const bystander = startOf({ tenantId, runId: "bystander" });
        expect(await writer.commit(late, bystander)).toEqual([{ type: "channel_moved" }, COMMITTED]);
        expect(await store.runs.load([early, late.after, bystander.after].map(keyOf))).toEqual([
          early,
          two,
          bystander.after,
        ]);
        assert(late.openWait !== undefined);
        expect(await store.waits.get(tenantId, late.openWait.wait_id)).toBeUndefined();
        expect(await store.ledger.list(late, 0, ALL)).toHaveLength(1);
        // Looked up again, it may wait.
        const [again] = await store.events.lookUp([queryOf(channel, ["go"])]);
        assert(again !== undefined);
        expect(again.event).toBeUndefined();
        expect(await writer.commit({ ...late, expectChannel: { channel, upTo: again.upTo } })).toEqual([COMMITTED]);
      });

      it("is not moved by events of another channel", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel: Channel = { tenantId, scope: "session", scopeId: "a" };
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        await store.events.lookUp([queryOf(channel, ["go"])]);
        await writer.deliver(
          eventDelivery(eventOf({ tenantId, scope: "session", scopeId: "b" }, { name: "go" })),
          eventDelivery(eventOf({ tenantId, scope: "run", scopeId: "a" }, { name: "go" })),
        );
        const wait = waitOf(run, eventWait(channel, ["go"]), { expectChannel: { channel, upTo: 0 } });
        expect(await writer.commit(wait)).toEqual([COMMITTED]);
      });

      it("loses no event that is emitted in the batch that opens the wait", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        for (const order of ["emit first", "wait first"]) {
          const run = await writer.put(startOf({ tenantId, runId: order.replace(" ", "-") }));
          const query = queryOf(channel, ["go"], { key: order });
          const [lookup] = await store.events.lookUp([query]);
          assert(lookup !== undefined);
          const wait = waitOf(run, eventWait(channel, ["go"], order), {
            expectChannel: { channel, upTo: lookup.upTo },
          });
          const emit = eventDelivery(eventOf(channel, { name: "go", key: order }));
          const items = [
            { type: "delivery" as const, delivery: emit },
            { type: "transition" as const, transition: wait },
          ];
          const outcomes = await writer.commitItems(order === "emit first" ? items : items.toReversed());
          const emitted = outcomes[order === "emit first" ? 0 : 1];
          const waited = outcomes[order === "emit first" ? 1 : 0];
          expect(emitted?.type).toBe("committed");
          // Either the wait is refused, or whoever wakes the listeners of the event finds it.
          const listeners = await store.events.listListeners({
            channel,
            events: [{ name: "go", key: order }],
            limit: ALL,
          });
          const found = waited?.type === "committed" ? [run.state.runId] : [];
          expect(["committed", "channel_moved"]).toContain(waited?.type);
          expect(listeners.map((listener) => listener.runId)).toEqual(found);
          expect((await store.events.lookUp([query]))[0]?.event?.key).toBe(order);
        }
      });

      it("lets a transition wait on a channel that it emits to itself", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const [lookup] = await store.events.lookUp([queryOf(channel, ["mine"])]);
        assert(lookup !== undefined);
        // Its own event lies behind what it looked up to; refused, it would be decided in the same way for ever.
        const wait = waitOf(run, eventWait(channel, ["mine"]), {
          expectChannel: { channel, upTo: lookup.upTo },
          events: [eventOf(channel, { name: "mine" })],
        });
        expect(await writer.commit(wait)).toEqual([COMMITTED]);
        const listeners = await store.events.listListeners({
          channel,
          events: [{ name: "mine", key: "" }],
          limit: ALL,
        });
        expect(listeners.map((listener) => listener.runId)).toEqual(["run-1"]);
      });

      it("finds the listeners of events by name, prefix and key, but not those of paused or ended waits", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel = globalOf(tenantId);
        const listen = async (runId: string, on: Channel, names: string[], key?: string) =>
          await writer.put(waitOf(await writer.put(startOf({ tenantId, runId })), eventWait(on, names, key)));
        const paid = await listen("paid", channel, ["order.paid"]);
        await listen("prefix", channel, ["order.*"]);
        await listen("star", channel, ["*"]);
        await listen("keyed", channel, ["order.paid", "order.sent"], "k1");
        await listen("keyless", channel, ["order.paid"], "");
        await listen("odd", channel, ["order_*"]);
        await listen("elsewhere", { tenantId, scope: "session", scopeId: "s" }, ["order.paid"]);
        const paused = await listen("paused", channel, ["order.paid"]);
        const held = await writer.put(stepOf(paused, "run.paused", { paused: true }));
        const woken = await listen("woken", channel, ["order.paid"]);
        await writer.put(answerOf(woken, { closeWait: { ...closingOf(woken), by: "event" } }));
        await writer.put(waitOf(await writer.put(startOf({ tenantId, runId: "asking" })), { reason: "user" }));

        const runsOf = async (...events: { name: string; key: string }[]): Promise<string[]> =>
          (await store.events.listListeners({ channel, events, limit: ALL }))
            .map((listener) => listener.runId)
            .toSorted();
        expect(await runsOf({ name: "order.paid", key: "" })).toEqual(["keyless", "paid", "prefix", "star"]);
        expect(await runsOf({ name: "order.paid", key: "k1" })).toEqual(["keyed", "paid", "prefix", "star"]);
        expect(await runsOf({ name: "order.sent", key: "k2" })).toEqual(["prefix", "star"]);
        expect(await runsOf({ name: "order.sent", key: "k1" })).toEqual(["keyed", "prefix", "star"]);
        expect(await runsOf({ name: "bill", key: "k1" })).toEqual(["star"]);
        expect(await runsOf({ name: "order_x", key: "" })).toEqual(["odd", "star"]);
        expect(await runsOf({ name: "bill", key: "k1" }, { name: "order.sent", key: "k1" })).toEqual([
          "keyed",
          "prefix",
          "star",
        ]);
        // The key of one pair does not go with the name of another.
        expect(await runsOf({ name: "order.sent", key: "k2" }, { name: "bill", key: "k1" })).toEqual([
          "prefix",
          "star",
        ]);
        expect(await runsOf()).toEqual([]);

        const listeners = await store.events.listListeners({
          channel,
          events: [{ name: "order.paid", key: "k1" }],
          limit: ALL,
        });
        const keyed = listeners.find((listener) => listener.runId === "keyed");
        const { waitId: _waitId, ...shape } = keyed ?? { waitId: "" };
        expect(shape).toEqual({ tenantId, runId: "keyed", names: ["order.paid", "order.sent"], key: "k1" });
        const plain = listeners.find((listener) => listener.runId === "paid");
        expect(plain?.waitId).toBe(closingOf(paid).waitId);
        expect(plain).not.toHaveProperty("key");

        // Unpaused, it listens again.
        await writer.put(stepOf(held, "run.unpaused", { paused: false }));
        expect(await runsOf({ name: "order.paid", key: "" })).toContain("paused");
      });

      it("pages over listeners in order of wait id", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const channel: Channel = { tenantId, scope: "session", scopeId: "many" };
        const expected: string[] = [];
        for (let i = 0; i < 7; i++) {
          const run = await writer.put(startOf({ tenantId, runId: `run-${i}` }));
          expected.push(closingOf(await writer.put(waitOf(run, eventWait(channel, ["go"])))).waitId);
        }
        // The same id in another scope, or of another tenant, is another channel.
        const strangers: Channel[] = [
          { tenantId, scope: "run", scopeId: "many" },
          { tenantId: bench.tenant(), scope: "session", scopeId: "many" },
        ];
        for (const stranger of strangers) {
          const run = await writer.put(startOf({ tenantId: stranger.tenantId, runId: "stranger" }));
          await writer.put(waitOf(run, eventWait(stranger, ["go"])));
        }
        const seen: string[] = [];
        for (let pages = 0; pages < 10; pages++) {
          const afterWaitId = seen.at(-1);
          const page = await store.events.listListeners({
            channel,
            events: [{ name: "go", key: "" }],
            limit: 3,
            ...(afterWaitId === undefined ? {} : { afterWaitId }),
          });
          expect(page.length).toBeLessThanOrEqual(3);
          if (page.length === 0) break;
          seen.push(...page.map((listener) => listener.waitId));
        }
        expect(seen).toEqual(expected.toSorted());
      });

      it("remembers how far listeners were woken, never backwards", async () => {
        const { store, other, writer } = bench;
        const channel = globalOf(bench.tenant());
        expect(await progressOf(store, channel)).toEqual({ lastNumber: 0, wokenNumber: 0, isHeard: false });
        const drafts = ["a", "b"].map((name) => eventOf(channel, { name }));
        const outcomes = await writer.deliver(...drafts.map(eventDelivery));
        const [first = 0, last = 0] = outcomes.map((outcome) => (outcome.type === "committed" ? outcome.number : 0));
        expect((await progressOf(store, channel)).lastNumber).toBe(last);
        expect((await progressOf(store, channel)).wokenNumber).toBeLessThan(first);
        await store.events.markWoken([{ channel, number: first }]);
        expect(await progressOf(other, channel)).toEqual({ lastNumber: last, wokenNumber: first, isHeard: false });
        await other.events.markWoken([{ channel, number: last }]);
        await store.events.markWoken([{ channel, number: first }]);
        await store.events.markWoken([]);
        expect(await progressOf(store, channel)).toEqual({ lastNumber: last, wokenNumber: last, isHeard: false });
      });

      it("knows which channels are listened to", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const heard = globalOf(tenantId);
        const own: Channel = { tenantId, scope: "run", scopeId: "run-1" };
        const wait: Parameters<typeof waitOf>[1] = {
          reason: "event",
          names: ["go"],
          scope: "global",
          scope_id: heard.scopeId,
        };
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        await writer.deliver(...[heard, own, heard].map((channel) => eventDelivery(eventOf(channel, { name: "go" }))));
        const isHeard = async () =>
          (await store.events.readWoken([own, heard, own])).map((progress) => progress.isHeard);
        expect(await isHeard()).toEqual([false, false, false]);
        const waiting = await writer.put(waitOf(run, wait));
        expect(await isHeard()).toEqual([false, true, false]);
        await writer.put(answerOf(waiting));
        expect(await isHeard()).toEqual([false, false, false]);
        expect(await store.events.readWoken([])).toEqual([]);
      });
    });

    describe("mail", () => {
      const bench = openBench("group");

      it("is delivered without touching the run, and kept until a transition has acted on it", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const neighbour = await writer.put(startOf({ tenantId, runId: "run-2" }));
        const outcomes = await writer.deliver(
          mailDelivery(keyOf(run), { kind: "pause", actorId: "ann", reason: "lunch" }),
          mailDelivery(keyOf(neighbour), { kind: "cancel" }),
          mailDelivery(keyOf(run), { kind: "unpause" }),
        );
        expect(outcomes).toEqual([COMMITTED, COMMITTED, COMMITTED]);
        expect(await load(store, keyOf(run))).toEqual(run);
        const mail = await other.mail.list([keyOf(run)]);
        const shapes = mail.map(({ mailId: _mailId, ...rest }) => rest);
        expect(shapes).toEqual([
          { tenantId, runId: "run-1", kind: "pause", actorId: "ann", reason: "lunch" },
          { tenantId, runId: "run-1", kind: "unpause" },
        ]);
        expect((await store.mail.list([keyOf(neighbour), keyOf(run)])).length).toBe(3);
        expect(await store.mail.list([])).toEqual([]);
        expect(await store.mail.list([{ tenantId: bench.tenant(), runId: "run-1" }])).toEqual([]);

        const [pause, unpause] = mail.map((item) => item.mailId);
        assert(pause !== undefined && unpause !== undefined);
        const paused = stepOf(run, "run.paused", { paused: true }, { consumedMail: [pause] });
        await writer.put(paused);
        expect((await store.mail.list([keyOf(run)])).map((item) => item.mailId)).toEqual([unpause]);
        expect(await store.mail.list([keyOf(neighbour)])).toHaveLength(1);
      });

      it("stays when the transition that acted on it lost the race", async () => {
        const { store, writer } = bench;
        const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
        await writer.deliver(mailDelivery(keyOf(run), { kind: "cancel" }));
        await writer.put(assignOf(run, "x", 1));
        const [mail] = await store.mail.list([keyOf(run)]);
        assert(mail !== undefined);
        expect(await writer.commit(stepOf(run, "run.cancelled", {}, { consumedMail: [mail.mailId] }))).toEqual([
          CONFLICT,
        ]);
        expect(await store.mail.list([keyOf(run)])).toEqual([mail]);
      });

      it("is acted on once: without it the transition is a conflict, its neighbours are committed", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const neighbour = await writer.put(startOf({ tenantId, runId: "run-2" }));
        const deliveries = ["pause", "unpause"] as const;
        await writer.deliver(...deliveries.map((kind) => mailDelivery(keyOf(run), { kind })));
        await writer.deliver(mailDelivery(keyOf(neighbour), { kind: "pause" }));
        const [first, second] = await store.mail.list([keyOf(run)]);
        const [others] = await store.mail.list([keyOf(neighbour)]);
        assert(first !== undefined && second !== undefined && others !== undefined);
        const after = await writer.put(assignOf(run, "x", 1, { consumedMail: [first.mailId] }));

        const channel: Channel = { tenantId, scope: "global", scopeId: "" };
        const late = assignOf(after, "x", 2, {
          consumedMail: [first.mailId, second.mailId],
          events: [eventOf(channel, { name: "late" })],
        });
        const own = assignOf(neighbour, "x", 2, { consumedMail: [others.mailId] });
        expect(await writer.commit(late, own)).toEqual([CONFLICT, COMMITTED]);
        expect(await store.runs.load([keyOf(run), keyOf(neighbour)])).toEqual([after, own.after]);
        expect(await store.events.list(channel, 0, ALL)).toEqual([]);
        // Nothing of it was committed: the mail that was there still is.
        expect(await store.mail.list([keyOf(run), keyOf(neighbour)])).toEqual([second]);

        const stolen = assignOf(own.after, "x", 3, { consumedMail: [second.mailId] });
        expect(await writer.commit(stolen)).toEqual([CONFLICT]);
        expect(await store.mail.list([keyOf(run)])).toEqual([second]);
        await writer.put(assignOf(after, "x", 3, { consumedMail: [second.mailId] }));
        expect(await store.mail.list([keyOf(run)])).toEqual([]);
      });

      it("is acted on by one of two servers, also where nothing of the run changes", async () => {
        const { store, other, writer } = bench;
        const otherWriter = await openWriter(other);
        const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
        for (let round = 0; round < 10; round++) {
          await writer.deliver(mailDelivery(keyOf(run), { kind: "pause" }));
          const consumedMail = (await store.mail.list([keyOf(run)])).map((mail) => mail.mailId);
          const taken = { ...startOf(keyOf(run)), expectedSeq: 1, rowSeq: 1, after: run, records: [], consumedMail };
          const outcomes = (await Promise.all([writer.commit(taken), otherWriter.commit(taken)])).flat();
          expect(new Set(outcomes.map(({ type }) => type))).toEqual(new Set(["committed", "conflict"]));
          expect(await store.mail.list([keyOf(run)])).toEqual([]);
        }
      });
    });

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
        expect((await load(store, keyOf(run))).state.calls).toEqual(calls);
        expect(await statesOf(store, keys)).toEqual(["open", "open"]);
        await writer.put(stepOf(started, "run.cancelled", {}, { cancelJobs: true }));
        expect((await load(store, keyOf(run))).state.status).toBe("cancelled");
        expect(await statesOf(store, keys)).toEqual(["cancelled", "cancelled"]);
        expect(await store.runs.delete(keyOf(run))).toBe(true);
        expect(await store.jobs.load(keys)).toEqual([undefined, undefined]);
      });

      it("come with all that was said of them, and of their run", async () => {
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

      it("have no optional facts where none were given", async () => {
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

      it("refuses an idempotency key that its tenant has used", async () => {
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

      it("are leased at once where a worker was found, or delayed where an attempt had failed", async () => {
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

      it("are given in their order inside a key, and in turn over the keys", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
        await addJobs(writer, tenantId, ["b1", "b2"]);
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b1", "a2", "b2", "a3", "a4"]);
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual([]);
      });

      it("save up no turns while their key has none", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
        expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
        await addJobs(writer, tenantId, ["c1", "c2"]);
        await addJobs(writer, tenantId, ["c3"]);
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a3", "c1", "a4", "c2", "c3"]);
      });

      it("come first when they come back to their queue, and push nobody else forward", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
        expect(await claimKeys(store, writer, tenantId, 2)).toEqual(["a1", "a2"]);
        const back = ["a2", "a1"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: false }));
        expect(await store.jobs.release(back, 3)).toEqual(["open", "open"]);
        await addJobs(writer, tenantId, ["b1", "b2"]);
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "a2", "a3", "b1", "a4", "b2"]);
      });

      it("of one batch follow each other, also over several runs", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const start = (runId: string, keys: string[]) =>
          startOf({ tenantId, runId }, { jobs: keys.map((key) => jobOf(key, { fairnessKey: key[0]! })) });
        await writer.commit(start("run-1", ["a1", "a2", "b1"]), start("run-2", ["a3", "b2"]));
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b1", "a2", "b2", "a3"]);
      });

      it("are given by tenant, kind and name, at most one for each that is wanted", async () => {
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

      it("of handlers are given by the version of their run", async () => {
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

      it("of one queue that is asked for twice are given once", async () => {
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

      it("are held back while their run is paused, and given afterwards", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "held" }, { jobs: jobsOf(["a1", "a2", "a3"]) }));
        expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a1"]);
        await addJobs(writer, tenantId, ["a4"]);
        const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
        // What comes back to the queue is held as well.
        expect(await store.jobs.release([{ ...leaseIn(tenantId, "a1", 1), isLoss: true }], 3)).toEqual(["open"]);
        expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a4"]);
        expect(await claimKeys(store, writer, tenantId, 1)).toEqual([]);
        await addJobs(writer, tenantId, ["a5"]);
        await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "a5", "a2", "a3"]);
      });

      it("that were held back take their turns as new ones do where their own are over", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "held" }, { jobs: jobsOf(["a1", "a2", "a3"]) }));
        const paused = await writer.put(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
        await addJobs(writer, tenantId, ["b1", "b2", "b3", "b4", "b5", "b6"]);
        expect(await claimKeys(store, writer, tenantId, 4)).toEqual(["b1", "b2", "b3", "b4"]);
        await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1", "b5", "a2", "b6", "a3"]);
      });

      it("that were held back do not wait for turns that their queue has begun anew", async () => {
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

      it("are passed over while their run is paused or has ended, whatever was said of its jobs", async () => {
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

      it("that a paused run makes are held back from the start", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1", paused: true }, { jobs: jobsOf(["a1"]) }));
        await addJobs(writer, tenantId, ["a2"]);
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a2"]);
        await writer.put(stepOf(run, "run.unpaused", { paused: false }, { holdJobs: false }));
        expect(await claimKeys(store, writer, tenantId, 10)).toEqual(["a1"]);
      });

      // Leases.

      it("are released with a loss at most so many times", async () => {
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

      it("that have been started are not released", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        await addJobs(writer, tenantId, ["a1", "a2"]);
        await claimKeys(store, writer, tenantId, 2);
        const leases = [leaseIn(tenantId, "a2", 1), leaseIn(tenantId, "a1", 2), leaseIn(tenantId, "missing", 1)];
        expect(await store.jobs.start(leases)).toEqual([true, false, false]);
        // The reply may have been lost.
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

      it("are adopted by the server that their worker is at", async () => {
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
        expect(await writer.commit(settle(run, "a1", 2), assignOf(free, "x", 1))).toEqual([CONFLICT, COMMITTED]);
        expect(await writer.commit(settle(run, "missing", 1))).toEqual([CONFLICT]);
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
        expect(await writer.commit(settle(after, "a1", 1))).toEqual([CONFLICT]);
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
        expect(await writer.commit(assignOf(other, "x", 1, { settledJobs }))).toEqual([CONFLICT]);
        await writer.put(assignOf(run, "x", 1));
        expect(await writer.commit(assignOf(run, "x", 2, { settledJobs, cancelJobs: true }))).toEqual([CONFLICT]);
        expect(await statesOf(store, keysIn(tenantId, ["a1"]))).toEqual(["leased"]);
      });

      it("are settled by a lease that has ended, unless another followed", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2"]) }));
        await claimKeys(store, writer, tenantId, 2);
        const leases = ["a1", "a2"].map((key) => ({ ...leaseIn(tenantId, key, 1), isLoss: true }));
        await store.jobs.release(leases, 3);
        expect(await claimKeys(store, writer, tenantId, 1)).toEqual(["a1"]);
        const settle = (idempotencyKey: string): Transition =>
          assignOf(run, "x", 1, { settledJobs: [{ idempotencyKey, leaseNo: 1 }] });
        expect(await writer.commit(settle("a1"))).toEqual([CONFLICT]);
        expect(await writer.commit(settle("a2"))).toEqual([COMMITTED]);
        expect(await headIn(store, tenantId, "a2")).not.toHaveProperty("settledDigest");
        expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["leased", "settled"]);
      });

      it("go into their next attempt, and take no second result of the last one", async () => {
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
        expect(await writer.commit(assignOf(after, "x", 2, { settledJobs: [again] }))).toEqual([CONFLICT]);
        expect(await load(store, keyOf(run))).toEqual(after);
      });

      it("that waited too long are settled only while they are open", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs: jobsOf(["a1", "a2"]) }));
        await claimKeys(store, writer, tenantId, 1);
        const settle = (before: StoredRun, idempotencyKey: string, leaseNo: number): Transition =>
          assignOf(before, "x", 1, { settledJobs: [{ idempotencyKey, leaseNo, onlyOpen: true }] });
        expect(await writer.commit(settle(run, "a1", 1))).toEqual([CONFLICT]);
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

      it("keep what they are when a result is refused", async () => {
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

      it("are none where nothing is delayed or bounded", async () => {
        const { store, writer } = bench;
        await addJobs(writer, bench.tenant(), ["a1"]);
        expect(await store.jobs.claimDue(10, HOUR_MS)).toEqual({ queues: [], expired: [] });
        expect(await store.lanes.lookAround(writer.serverId)).not.toHaveProperty("nextJobTime");
      });

      it("become open when their delay is over, first in their queue, and are looked at once", async () => {
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
        expect((await store.lanes.lookAround(writer.serverId)).nextJobTime).toBe(addMs(now, -2));
        expect(await store.jobs.claimDue(10, HOUR_MS)).toEqual({
          queues: [
            { tenantId, kind: "tool", name: "mail" },
            { tenantId, kind: "tool", name: "pay" },
          ],
          expired: [],
          nextJobTime: later,
        });
        expect(await other.jobs.claimDue(10, HOUR_MS)).toEqual({ queues: [], expired: [], nextJobTime: later });
        expect((await store.lanes.lookAround(writer.serverId)).nextJobTime).toBe(later);
        const leased = await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-1", "s-1"])]);
        expect(leased.map((job) => [job.idempotencyKey, job.leaseNo, job.attempt])).toEqual([
          ["a1", 2, 2],
          ["a3", 1, 1],
        ]);
      });

      it("are given while they wait too long and nobody settles them", async () => {
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
        // That of a2.
        assert(none.nextJobTime !== undefined);
        expect(none.nextJobTime > (await store.now())).toBe(true);
        expect(none.nextJobTime <= addMs(await store.now(), HOUR_MS)).toBe(true);
        const settledJobs = [{ idempotencyKey: "a1", leaseNo: 0, onlyOpen: true }];
        await writer.put(assignOf(run, "x", 1, { settledJobs }));
        await claimKeys(store, writer, tenantId, 1);
        expect(await statesOf(store, keysIn(tenantId, ["a1", "a2"]))).toEqual(["settled", "leased"]);
        expect(await store.jobs.claimDue(10, 0)).toEqual({ queues: [], expired: [] });
      });

      it("count their wait from when they came into the queue", async () => {
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

      it("are taken earliest first and at most so many", async () => {
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
        expect(await store.lanes.lookAround(writer.serverId)).not.toHaveProperty("nextJobTime");
        await writer.put(stepOf(paused, "run.unpaused", { paused: false }, { holdJobs: false }));
        expect((await store.lanes.lookAround(writer.serverId)).nextJobTime).toBe(dueTime);
        const after = await store.jobs.claimDue(10, 0);
        expect(after.queues.map(({ name }) => name)).toEqual(["mail"]);
        assert(after.nextJobTime !== undefined);
        expect(after.nextJobTime >= addMs(dueTime, HOUR_MS)).toBe(true);
      });

      it("are no more when they are cancelled", async () => {
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

      it("that an ended server held are found until they are adopted or end", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const doomed = await openWriter(other, "doomed");
        await addJobs(writer, tenantId, ["a1", "a2", "a3", "a4"]);
        await other.jobs.claim("doomed", [requestOf(tenantId, ["s-2", "s-1", "s-2"])]);
        await store.jobs.claim(writer.serverId, [requestOf(tenantId, ["s-3"])]);
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphanedLeases).toBe(false);
        expect(await store.jobs.listOrphanedLeases(10)).toEqual([]);
        await store.lanes.end(doomed.serverId);
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphanedLeases).toBe(true);
        const orphans = await store.jobs.listOrphanedLeases(10);
        const goneMs = expect.any(Number) as number;
        expect(orphans.toSorted((a, b) => (a.workerSessionId < b.workerSessionId ? -1 : 1))).toEqual([
          { tenantId, workerSessionId: "s-1", serverId: "doomed", goneMs },
          { tenantId, workerSessionId: "s-2", serverId: "doomed", goneMs },
        ]);
        // By the database's clock, which only goes on.
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
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphanedLeases).toBe(false);
      });
    });

    describe("workers", () => {
      const bench = openBench("test");

      function workerOf(
        tenantId: string,
        workerSessionId: string,
        serverId: string,
        worker: Partial<StoredWorker> = {},
      ): Omit<StoredWorker, "connectTime"> {
        return {
          tenantId,
          workerSessionId,
          serverId,
          name: `worker ${workerSessionId}`,
          tools: [],
          workflows: [],
          customTypes: [],
          draining: false,
          ...worker,
        };
      }

      function toolOf(name: string): StoredWorker["tools"][number] {
        return { name, version: "1", description: "ü", inputSchema: '{"type":"object"}', concurrency: 0 };
      }

      it("are listed with all that they registered", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const worker = workerOf(tenantId, "s-1", writer.serverId, {
          actorId: "actor-1",
          tools: [toolOf("pay"), { ...toolOf("mail"), delivery: "at_most_once", concurrency: 3 }],
          workflows: [{ workflowId: "flow", versions: [1, 2] }],
          customTypes: [{ type: "custom", concurrency: 1 }],
        });
        const before = await store.now();
        await store.workers.save(worker);
        const [saved, ...more] = await other.workers.list({ tenantId, limit: 10 });
        expect(more).toEqual([]);
        assert(saved !== undefined);
        const { connectTime, ...rest } = saved;
        expect(rest).toEqual(worker);
        expect(connectTime >= before).toBe(true);
        await store.workers.save(workerOf(tenantId, "s-2", writer.serverId));
        const [plain] = await store.workers.list({ tenantId, start: "s-1", limit: 1 });
        expect(plain).not.toHaveProperty("actorId");
      });

      it("are listed by session, in pages, and by what they can do", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        for (const [session, tools] of [
          ["s-3", ["pay"]],
          ["s-1", ["pay", "mail"]],
          ["S-4", []],
          ["s-2", ["mail"]],
        ] as const) {
          await store.workers.save(workerOf(tenantId, session, writer.serverId, { tools: tools.map(toolOf) }));
        }
        await store.workers.save(workerOf(bench.tenant(), "s-0", writer.serverId));
        const sessions = async (request: { tool?: string; start?: string; limit: number }): Promise<string[]> =>
          (await store.workers.list({ tenantId, ...request })).map((worker) => worker.workerSessionId);
        expect(await sessions({ limit: 10 })).toEqual(["S-4", "s-1", "s-2", "s-3"]);
        expect(await sessions({ limit: 2 })).toEqual(["S-4", "s-1"]);
        expect(await sessions({ start: "s-1", limit: 2 })).toEqual(["s-2", "s-3"]);
        expect(await sessions({ tool: "pay", limit: 10 })).toEqual(["s-1", "s-3"]);
        expect(await sessions({ tool: "pay", start: "s-1", limit: 10 })).toEqual(["s-3"]);
        expect(await sessions({ tool: "pa", limit: 10 })).toEqual([]);
      });

      it("are replaced by the next connection of their session, and removed only by its server", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        const second = await openWriter(other);
        await store.workers.save(workerOf(tenantId, "s-1", writer.serverId, { actorId: "a", tools: [toolOf("pay")] }));
        await other.workers.save(
          workerOf(tenantId, "s-1", second.serverId, { name: "again", tools: [toolOf("mail")] }),
        );
        const [worker, ...more] = await store.workers.list({ tenantId, limit: 10 });
        expect(more).toEqual([]);
        expect(worker).toMatchObject({ name: "again", serverId: second.serverId, tools: [{ name: "mail" }] });
        expect(worker).not.toHaveProperty("actorId");
        expect(await store.workers.list({ tenantId, tool: "pay", limit: 10 })).toEqual([]);
        const key = { tenantId, workerSessionId: "s-1" };
        await store.workers.remove({ ...key, serverId: writer.serverId });
        expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([worker]);
        await other.workers.remove({ ...key, serverId: second.serverId });
        expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([]);
      });

      it("keep their connect time when they drain", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        await store.workers.save(workerOf(tenantId, "s-1", writer.serverId));
        const [before] = await store.workers.list({ tenantId, limit: 10 });
        await store.workers.save(workerOf(tenantId, "s-1", writer.serverId, { draining: true }));
        expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([{ ...before, draining: true }]);
      });

      it("go with their server, and those of other servers are known", async () => {
        const { store, other, writer } = bench;
        const [tenantId, second] = [bench.tenant(), bench.tenant()];
        const doomed = await openWriter(other);
        await store.workers.save(workerOf(tenantId, "s-1", writer.serverId));
        await other.workers.save(workerOf(tenantId, "s-2", doomed.serverId));
        await other.workers.save(workerOf(second, "s-3", doomed.serverId));
        const elsewhere = async (serverId: string, limit: number): Promise<string[]> =>
          (await store.workers.listElsewhere(serverId, limit)).map((worker) => worker.workerSessionId).toSorted();
        expect(await elsewhere(writer.serverId, 10)).toEqual(["s-2", "s-3"]);
        expect(await elsewhere(writer.serverId, 1)).toHaveLength(1);
        expect(await elsewhere(doomed.serverId, 10)).toEqual(["s-1"]);
        await store.lanes.end(doomed.serverId);
        expect(await elsewhere(writer.serverId, 10)).toEqual([]);
        // From a server that does not know yet that its lease has ended.
        await other.workers.save(workerOf(tenantId, "s-4", doomed.serverId));
        expect((await store.workers.list({ tenantId, limit: 10 })).map((worker) => worker.workerSessionId)).toEqual([
          "s-1",
        ]);
        expect(await elsewhere(writer.serverId, 10)).toEqual([]);
      });
    });

    describe("workflows", () => {
      const bench = openBench("group");

      it("registers versions under their digests, once each", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        const definition = definitionOf("expense", "ü");
        const first = await store.workflows.register({ tenantId, digest: digestOf("1"), definition });
        const facts = { tenantId, workflowId: "expense", digest: digestOf("1"), definition, version: 1 };
        expect(first).toEqual({ ...facts, createTime: first.createTime, current: true, archived: false });
        expect(first.createTime).toMatch(/\.\d{6}Z$/);
        const changed = { ...definition, description: "a description does not change the digest" };
        expect(await other.workflows.register({ tenantId, digest: digestOf("1"), definition: changed })).toEqual(first);
        expect(await other.workflows.get(tenantId, "expense", 1)).toEqual(first);
        const second = await other.workflows.register({ tenantId, digest: digestOf("2"), definition: changed });
        expect(second).toMatchObject({ version: 2, current: true, definition: changed });
        const again = await store.workflows.register({ tenantId, digest: digestOf("1"), definition });
        expect(again).toEqual({ ...first, current: false });
        expect(await store.workflows.get(tenantId, "expense", 0)).toEqual(second);
      });

      it("gives one version to a definition that two servers register at once", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        const register = (on: Store, digest: string) =>
          on.workflows.register({ tenantId, digest: digestOf(digest), definition: definitionOf("race", digest) });
        const registered = await Promise.all([
          register(store, "a"),
          register(other, "a"),
          register(store, "b"),
          register(other, "b"),
        ]);
        const versions = registered.map((workflow) => workflow.version);
        expect(versions[0]).toBe(versions[1]);
        expect(versions[2]).toBe(versions[3]);
        expect(new Set(versions)).toEqual(new Set([1, 2]));
      });

      it("numbers versions per workflow and tenant", async () => {
        const { store } = bench;
        const [one, two] = [bench.tenant(), bench.tenant()];
        const register = (tenantId: string, workflowId: string, digest: string) =>
          store.workflows.register({
            tenantId,
            digest: digestOf(digest),
            definition: definitionOf(workflowId, digest),
          });
        expect((await register(one, "a", "a1")).version).toBe(1);
        expect((await register(one, "b", "b1")).version).toBe(1);
        expect((await register(one, "a", "a2")).version).toBe(2);
        expect((await register(two, "a", "a2")).version).toBe(1);
        expect(await store.workflows.get(two, "b", 0)).toBeUndefined();
        expect(await store.workflows.get(two, "a", 2)).toBeUndefined();
        expect((await store.workflows.get(one, "a", 2))?.digest).toBe(digestOf("a2"));
      });

      it("follows the highest version unless told otherwise", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        const register = (digest: string) =>
          store.workflows.register({ tenantId, digest: digestOf(digest), definition: definitionOf("flow", digest) });
        const currentVersion = async () => (await other.workflows.get(tenantId, "flow", 0))?.version;
        await register("1");
        await register("2");
        expect(await store.workflows.setCurrentVersion(tenantId, "flow", 1)).toMatchObject({
          version: 1,
          current: true,
        });
        expect(await currentVersion()).toBe(1);
        expect((await store.workflows.get(tenantId, "flow", 2))?.current).toBe(false);
        expect(await register("3")).toMatchObject({ version: 3, current: false });
        expect(await currentVersion()).toBe(1);
        expect(await store.workflows.setCurrentVersion(tenantId, "flow", 9)).toBeUndefined();
        expect(await store.workflows.setCurrentVersion(tenantId, "missing", 1)).toBeUndefined();
        expect(await store.workflows.setCurrentVersion(tenantId, "missing", 0)).toBeUndefined();
        expect(await currentVersion()).toBe(1);
        expect(await store.workflows.setCurrentVersion(tenantId, "flow", 0)).toMatchObject({
          version: 3,
          current: true,
        });
        await register("4");
        expect(await currentVersion()).toBe(4);
      });

      it("archives a workflow with all its versions, and takes it back", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        for (const digest of ["1", "2"]) {
          await store.workflows.register({
            tenantId,
            digest: digestOf(digest),
            definition: definitionOf("flow", digest),
          });
        }
        expect(await store.workflows.setArchived(tenantId, "flow", true)).toMatchObject({
          version: 2,
          archived: true,
          current: true,
        });
        expect(await other.workflows.get(tenantId, "flow", 0)).toMatchObject({ version: 2, archived: true });
        expect(await other.workflows.get(tenantId, "flow", 1)).toMatchObject({ version: 1, archived: true });
        expect(await store.workflows.list({ tenantId, includeArchived: false, limit: 10 })).toEqual([]);
        expect(await store.workflows.list({ tenantId, includeArchived: true, limit: 10 })).toHaveLength(1);
        expect(await store.workflows.setArchived(tenantId, "missing", true)).toBeUndefined();
        expect(await store.workflows.setArchived(tenantId, "flow", false)).toMatchObject({
          version: 2,
          archived: false,
        });
        expect(await store.workflows.list({ tenantId, includeArchived: false, limit: 10 })).toHaveLength(1);
      });

      it("lists the current version of each workflow by id, and the versions of one, newest first", async () => {
        const { store } = bench;
        const tenantId = bench.tenant();
        const ids = ["b", "B", "a", "a-b", "a.b", "aB", "A1"];
        for (const id of ids) {
          for (const digest of ["1", "2", "3"]) {
            const definition = definitionOf(id, digest);
            await store.workflows.register({ tenantId, digest: digestOf(id + digest), definition });
          }
        }
        await store.workflows.setCurrentVersion(tenantId, "a", 2);
        await store.workflows.setArchived(tenantId, "aB", true);
        const whole = await store.workflows.list({ tenantId, includeArchived: true, limit: ALL });
        // By code units, as every id in this system is compared.
        expect(whole.map((workflow) => workflow.workflowId)).toEqual(ids.toSorted());
        expect(whole.every((workflow) => workflow.current)).toBe(true);
        expect(whole.find((workflow) => workflow.workflowId === "a")?.version).toBe(2);
        const seen: string[] = [];
        for (let pages = 0; pages < ALL; pages++) {
          const start = seen.at(-1);
          const request = { tenantId, includeArchived: false, limit: 2, ...(start === undefined ? {} : { start }) };
          const page = await store.workflows.list(request);
          if (page.length === 0) break;
          seen.push(...page.map((workflow) => workflow.workflowId));
        }
        expect(seen).toEqual(ids.toSorted().filter((id) => id !== "aB"));
        const versions = async (start?: number) => {
          const request = { tenantId, workflowId: "a", includeArchived: true, limit: 2 };
          const page = await store.workflows.list({ ...request, ...(start === undefined ? {} : { start }) });
          return page.map((workflow) => [workflow.version, workflow.current]);
        };
        expect(await versions()).toEqual([
          [3, false],
          [2, true],
        ]);
        expect(await versions(2)).toEqual([[1, false]]);
        expect(await versions(1)).toEqual([]);
      });
    });

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
        // Ending it once more, or what never was, is nothing.
        await store.lanes.end(doomed.serverId);
        await store.lanes.end("never-opened");
        expect(await store.batches.settle(doomed.laneId, 1)).toBe("committed");
        expect(await store.batches.settle(doomed.laneId, 2)).toBe("void");
      });

      it("either commits a batch before the lease ends or fences it", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        for (let round = 0; round < 5; round++) {
          const doomed = await openWriter(other);
          const start = startOf({ tenantId, runId: `run-${round}` });
          const [commit] = await Promise.allSettled([doomed.commit(start), store.lanes.end(doomed.serverId)]);
          const [stored] = await store.runs.load([start]);
          const settled = await store.batches.settle(doomed.laneId, 1);
          const isFenced = commit.status === "rejected" && commit.reason instanceof LaneFencedError;
          const result = commit.status === "fulfilled" ? commit.value : isFenced;
          expect([result, stored, settled]).toEqual(
            commit.status === "fulfilled" ? [[COMMITTED], start.after, "committed"] : [true, undefined, "void"],
          );
        }
      });

      it("says whether a batch was committed, the same every time", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        await writer.put(startOf({ tenantId, runId: "run-1" }));
        expect(await store.batches.settle(writer.laneId, 1)).toBe("committed");
        expect(await other.batches.settle(writer.laneId, 1)).toBe("committed");
        expect(await other.batches.settle(writer.laneId, 2)).toBe("void");
        expect(await store.batches.settle(writer.laneId, 2)).toBe("void");
        // Settled as void, it can never be committed.
        const start = startOf({ tenantId, runId: "run-2" });
        await expect(writer.commit(start)).rejects.toBeInstanceOf(Error);
        expect(await store.runs.load([start])).toEqual([undefined]);
        expect(await store.batches.settle(writer.laneId, 2)).toBe("void");
        expect(await writer.commit(start)).toEqual([COMMITTED]);
        expect(await store.batches.settle(writer.laneId, 3)).toBe("committed");
      });

      it("commits a batch number once", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        const transition = assignOf(run, "x", 1);
        const batch = { laneId: writer.laneId, batchNo: 1, items: [{ type: "transition" as const, transition }] };
        await expect(store.batches.commit(batch)).rejects.toBeInstanceOf(Error);
        expect(await load(store, keyOf(run))).toEqual(run);
      });

      it("settles a batch in flight as what becomes of it", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        for (let round = 1; round <= 5; round++) {
          const start = startOf({ tenantId, runId: `run-${round}` });
          const [commit, settled] = await Promise.allSettled([
            writer.commit(start),
            other.batches.settle(writer.laneId, round),
          ]);
          assert(settled.status === "fulfilled");
          const [stored] = await store.runs.load([start]);
          expect(settled.value).toBe(stored === undefined ? "void" : "committed");
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
        const seen = await store.lanes.lookAround(writer.serverId);
        expect(seen).toMatchObject({ leaseHeld: true, hasOrphans: false });
        expect(seen).not.toHaveProperty("nextWakeTime");
        expect(seen.now >= before).toBe(true);
        const leases = seen.others.toSorted((a, b) => (a.serverId < b.serverId ? -1 : 1));
        expect(leases.map(({ serverId, process }) => [serverId, process])).toEqual([
          ["one", "process of one"],
          ["two", "process of two"],
        ]);
        await other.lanes.lookAround(one.serverId);
        await other.lanes.lookAround(one.serverId);
        const later = await store.lanes.lookAround(writer.serverId);
        const renewals = (lease: { serverId: string; renewals: number }[], id: string): number =>
          lease.find((item) => item.serverId === id)?.renewals ?? Number.NaN;
        expect(renewals(later.others, "one")).toBeGreaterThan(renewals(seen.others, "one"));
        expect(renewals(later.others, "two")).toBe(renewals(seen.others, "two"));
        await store.lanes.end(two.serverId);
        const last = await store.lanes.lookAround(writer.serverId);
        expect(last.others.map((lease) => lease.serverId)).toEqual(["one"]);
      });

      it("tells a server that others have ended its lease", async () => {
        const { store, other, writer } = bench;
        await openWriter(other, "doomed");
        expect((await other.lanes.lookAround("doomed")).leaseHeld).toBe(true);
        await store.lanes.end("doomed");
        expect((await other.lanes.lookAround("doomed")).leaseHeld).toBe(false);
        expect((await other.lanes.lookAround("doomed")).leaseHeld).toBe(false);
        expect((await other.lanes.lookAround("never-opened")).leaseHeld).toBe(false);
        expect((await store.lanes.lookAround(writer.serverId)).leaseHeld).toBe(true);
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
        await doomed.put(waitOf(parked, { reason: "user" }));
        await alive.put(startOf({ tenantId, runId: "alive" }, { ownerLane: alive.laneId }));
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphans).toBe(false);
        expect(await store.runs.claim(writer.laneId, ALL)).toEqual([]);

        await store.lanes.end(doomed.serverId);
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphans).toBe(true);
        const first = await store.runs.claim(writer.laneId, 2);
        expect(first).toHaveLength(2);
        const [rest, others] = await Promise.all([
          store.runs.claim(writer.laneId, ALL),
          other.runs.claim(alive.laneId, ALL),
        ]);
        // Two that claim at once may leave some to the next turn, but never get the same run.
        const left = await store.runs.claim(writer.laneId, ALL);
        const claimed = [...first, ...rest, ...others, ...left];
        expect(claimed.map((key) => key.runId).toSorted()).toEqual(orphans);
        expect(claimed.every((key) => key.tenantId === tenantId)).toBe(true);
        expect((await store.lanes.lookAround(writer.serverId)).hasOrphans).toBe(false);
        for (const key of [...first, ...rest, ...left]) expect((await load(store, key)).ownerLane).toBe(writer.laneId);
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

    describe("timers", () => {
      const bench = openBench("test");

      /** Starts a run that wakes so many milliseconds from now. */
      async function sleeping(tenantId: string, runId: string, inMs: number): Promise<StoredRun> {
        const start = startOf({ tenantId, runId });
        const wakeTime = addMs(await bench.store.now(), inMs);
        return await bench.writer.put(waitOf(await bench.writer.put(start), { reason: "until", due_time: wakeTime }));
      }

      it("takes what is due, earliest first, and leaves it to others only later", async () => {
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
        expect(two.nextWakeTime).toBe(future.state.wait?.due_time);
        const none = await store.runs.claimDue(10, 5 * HOUR_MS);
        expect(none.runs).toEqual([]);
        expect(none.nextWakeTime).toBe(future.state.wait?.due_time);
        expect((await store.lanes.lookAround(writer.serverId)).nextWakeTime).toBe(future.state.wait?.due_time);
      });

      it("offers a run again when its taker did nothing about it", async () => {
        const { store, other } = bench;
        const tenantId = bench.tenant();
        await sleeping(tenantId, "run-1", -1_000);
        // Moved ahead by nothing, it is due again at once.
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

      it("forgets the timer of a run that is paused, moves on or ends", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const paused = await sleeping(tenantId, "paused", -1_000);
        const moved = await sleeping(tenantId, "moved", -1_000);
        const ended = await sleeping(tenantId, "ended", -1_000);
        const held = await writer.put(stepOf(paused, "run.paused", { paused: true }));
        await writer.put(answerOf(moved, { closeWait: { ...closingOf(moved), by: "time" } }));
        await writer.put(stepOf(ended, "run.cancelled", {}, { closeWait: { ...closingOf(ended), by: "cancel" } }));
        const none = await store.runs.claimDue(10, HOUR_MS);
        expect(none.runs).toEqual([]);
        expect(none).not.toHaveProperty("nextWakeTime");
        await writer.put(stepOf(held, "run.unpaused", { paused: false }));
        expect((await store.runs.claimDue(10, HOUR_MS)).runs).toEqual([{ tenantId, runId: "paused" }]);
      });

      it("changes nothing of a run that it hands out", async () => {
        const { store, writer } = bench;
        const run = await sleeping(bench.tenant(), "run-1", -1_000);
        await store.runs.claimDue(10, HOUR_MS);
        expect(await load(store, keyOf(run))).toEqual(run);
        expect(await writer.commit(answerOf(run))).toEqual([COMMITTED]);
      });
    });

    describe("strays", () => {
      const bench = openBench("test");

      it("finds mail that nobody has acted on for some time", async () => {
        const { store, other, writer } = bench;
        const tenantId = bench.tenant();
        expect(await store.mail.findStrays(0, 10)).toEqual({ mailed: [], channels: [] });
        const runs: StoredRun[] = [];
        for (const runId of ["b", "a", "c"]) runs.push(await writer.put(startOf({ tenantId, runId })));
        for (const run of runs) await writer.deliver(mailDelivery(keyOf(run), { kind: "cancel" }));
        const [first, second, third] = runs;
        assert(first !== undefined && second !== undefined && third !== undefined);
        await writer.deliver(mailDelivery(keyOf(first), { kind: "pause" }));
        expect((await other.mail.findStrays(0, 10)).mailed).toEqual(runs.map(keyOf));
        expect((await other.mail.findStrays(0, 2)).mailed).toEqual([keyOf(first), keyOf(second)]);
        expect((await other.mail.findStrays(HOUR_MS, 10)).mailed).toEqual([]);
        const consumedMail = (await store.mail.list([keyOf(second)])).map((mail) => mail.mailId);
        await writer.put(assignOf(second, "x", 1, { consumedMail }));
        expect((await store.mail.findStrays(0, 10)).mailed).toEqual([keyOf(first), keyOf(third)]);
      });

      it("finds channels whose listeners were not all woken", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const one: Channel = { tenantId, scope: "session", scopeId: "one" };
        const two: Channel = { tenantId, scope: "global", scopeId: "" };
        const quiet: Channel = { tenantId, scope: "run", scopeId: "quiet" };
        await store.events.lookUp([{ channel: quiet, names: ["go"], startNumber: 0, cursors: [] }]);
        await writer.deliver(eventDelivery(eventOf(one, { name: "go" })));
        const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
        await writer.put(
          assignOf(run, "x", 1, { events: [eventOf(two, { name: "go" }), eventOf(two, { name: "go" })] }),
        );
        const channels = async (limit = 10) => (await store.mail.findStrays(0, limit)).channels;
        const byScope = (list: Channel[]) => list.toSorted((a, b) => (a.scope < b.scope ? -1 : 1));
        expect(byScope(await channels())).toEqual(byScope([one, two]));
        expect(await channels(1)).toHaveLength(1);
        const [first] = await store.events.list(two, 0, 1);
        const [lastOne = 0, lastTwo = 0] = await store.events.readChannels([one, two]);
        await store.events.markWoken([
          { channel: one, number: lastOne },
          { channel: two, number: first?.number ?? 0 },
        ]);
        expect(await channels()).toEqual([two]);
        await store.events.markWoken([{ channel: two, number: lastTwo }]);
        expect(await channels()).toEqual([]);
      });
    });

    describe("the feed", () => {
      const bench = openBench("test");

      let runs = 0;
      /** A transition that starts a run and gives notices with these seqs, by which the tests know them. */
      function noted(tenantId: string, seqs: number[], kinds: NoticeKind[] = []): Transition {
        runs += 1;
        const notices = seqs.map((seq, i) => ({ kind: kinds[i] ?? ("started" as const), seq }));
        return startOf({ tenantId, runId: `run-${runs}` }, { notices });
      }

      const fromStart = (...writers: Writer[]): LanePosition[] =>
        writers.map(({ laneId }) => ({ laneId, batchNo: 0, ordinal: 0 }));

      /** Moves the positions behind a page; the furthest entry of each lane counts. */
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

      /** Reads the feed to its end in pages. */
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

      it("holds what transitions said, with its place", async () => {
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

      it("merges lanes in the order of their commits and keeps tenants and unnamed lanes out", async () => {
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

      it("keeps what a conflict said out of the feed", async () => {
        const { store, writer } = bench;
        const tenantId = bench.tenant();
        const start = noted(tenantId, [1]);
        await writer.put(start);
        expect(await writer.commit(start, noted(tenantId, [2]))).toEqual([CONFLICT, COMMITTED]);
        const feed = await store.feed.read(tenantId, fromStart(writer), ALL);
        expect(feed.map((entry) => entry.seq)).toEqual([1, 2]);
      });

      it("can be read on in lanes that have ended", async () => {
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
  });
}
