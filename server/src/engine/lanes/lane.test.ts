import assert from "node:assert/strict";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Channel } from "../../core/event.ts";
import type { SealedRecord } from "../../core/ledger-format.ts";
import type { Batch, BatchItem, BatchStore, ItemOutcome } from "../../store/contract/batch.ts";
import {
  BatchContendedError,
  BatchOutcomeUnknownError,
  BatchRejectedError,
  LaneFencedError,
  StoreUnavailableError,
} from "../../store/contract/errors.ts";
import type { LedgerStore } from "../../store/contract/ledger.ts";
import type { Store } from "../../store/contract/store.ts";
import { eventDelivery, eventOf, mailDelivery, startOf } from "../../store/suite/fixtures.ts";
import { withDeadline } from "../deadline.ts";
import { createLane, type Lane } from "./lane.ts";

const TENANT = "t";
/** How long lock_timeout lets a commit wait. */
const LOCK_TIMEOUT_MS = 1_000;
const MINUTE_MS = 60_000;

/** A database that remembers what was committed. `fault` decides what goes wrong. */
type FakeDatabase = {
  store: Store;
  /** Names of items, in the order of their commits. */
  committed: string[];
  /** Names of the items of each batch that was sent. */
  sent: string[][];
  records: Map<string, SealedRecord>;
  /** Throws the error of a batch that is not committed. */
  fault: (names: readonly string[], batch: Batch) => void | Promise<void>;
  /** Throws the error that replaces the reply to a committed batch. */
  replyFault: (batch: Batch) => void;
  resolved: number[];
  resolve: (batchNo: number) => "committed" | "void";
};

function nameOf(item: BatchItem): string {
  if (item.type === "group") return item.transitions.map(({ runId }) => runId).join();
  if (item.delivery.type === "event") return `event ${item.delivery.event.name}`;
  return `mail of ${item.delivery.runId}`;
}

function createFakeDatabase(): FakeDatabase {
  let lastBatchNo = 0;
  const unused = (): never => {
    throw new Error("a lane does not use this noun");
  };
  const batches: BatchStore = {
    async commit(batch) {
      expect(batch.batchNo).toBeGreaterThan(lastBatchNo);
      lastBatchNo = batch.batchNo;
      const names = batch.items.map(nameOf);
      database.sent.push(names);
      await database.fault(names, batch);
      for (const item of batch.items) {
        database.committed.push(nameOf(item));
        for (const { runId, records } of item.type === "group" ? item.transitions : []) {
          if (records[0] !== undefined) database.records.set(runId, records[0]);
        }
      }
      database.replyFault(batch);
      return batch.items.map(() => ({ type: "committed" }));
    },
    list: unused,
    async resolve(_laneId, batchNo) {
      database.resolved.push(batchNo);
      return database.resolve(batchNo);
    },
  };
  const ledger: LedgerStore = {
    async list({ runId }) {
      const record = database.records.get(runId);
      return record === undefined ? [] : [record];
    },
  };
  const store = new Proxy({ batches, ledger } as Store, {
    get: (target, noun): unknown => (noun in target ? target[noun as keyof Store] : unused()),
  });
  const database: FakeDatabase = {
    store,
    committed: [],
    sent: [],
    records: new Map(),
    fault: () => {},
    replyFault: () => {},
    resolved: [],
    resolve: () => "void",
  };
  return database;
}

describe("a lane", () => {
  let database: FakeDatabase;
  let lane: Lane;
  let fencings: number;

  beforeEach(() => {
    vi.useFakeTimers();
    database = createFakeDatabase();
    fencings = 0;
    lane = createLane({
      store: database.store,
      lease: { laneId: 1, nonce: 1 },
      log: pino({ level: "silent" }),
      onFenced: () => fencings++,
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const start = (runId: string): BatchItem => ({
    type: "group",
    transitions: [startOf({ tenantId: TENANT, runId })],
  });
  const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `run-${i}`);

  /** Submits items that arrive together. Returns what their callers got, after everything has come to rest. */
  async function submit(items: readonly BatchItem[]): Promise<(ItemOutcome["type"] | Error)[]> {
    const outcomes = Promise.all(
      items.map((item) =>
        lane.submit(item, 1).then(
          ({ type }) => type,
          (error: Error) => error,
        ),
      ),
    );
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    return await outcomes;
  }

  function contendedBy(guilty: ReadonlySet<string>): FakeDatabase["fault"] {
    return async (items) => {
      if (!items.some((name) => guilty.has(name))) return;
      await new Promise((resolve) => setTimeout(resolve, LOCK_TIMEOUT_MS));
      throw new BatchContendedError("lock_timeout");
    };
  }

  it("commits what arrives together in one batch, in order", async () => {
    expect(await submit(names(5).map(start))).toEqual(names(5).map(() => "committed"));
    expect(database.sent).toEqual([names(5)]);
    expect(lane.pending).toBe(0);
  });

  it("commits the neighbours of an item whose lock somebody holds, in order, and refuses it in the end", async () => {
    database.fault = contendedBy(new Set(["run-37"]));
    const outcomes = await submit(names(64).map(start));
    expect(outcomes.map((outcome) => (outcome instanceof Error ? "refused" : outcome))).toEqual(
      names(64).map((name) => (name === "run-37" ? "refused" : "committed")),
    );
    expect(outcomes[37]).toBeInstanceOf(StoreUnavailableError);
    expect(database.committed).toEqual(names(64).filter((name) => name !== "run-37"));
    expect(lane.pending).toBe(0);
  });

  it("tries an item alone again while somebody holds its lock", async () => {
    let refusals = 2;
    database.fault = async () => {
      await new Promise((resolve) => setTimeout(resolve, LOCK_TIMEOUT_MS));
      if (refusals-- > 0) throw new BatchContendedError("lock_timeout");
    };
    expect(await submit([start("run-0")])).toEqual(["committed"]);
    expect(database.sent).toHaveLength(3);
  });

  it("refuses an item alone whose lock is never given", async () => {
    database.fault = contendedBy(new Set(["run-0"]));
    expect(await submit([start("run-0")])).toEqual([expect.any(StoreUnavailableError)]);
    expect(database.sent.length).toBeGreaterThan(1);
    database.fault = () => {};
    expect(await submit([start("run-0")])).toEqual(["committed"]);
  });

  it("does not stop for each of many items whose locks somebody holds", async () => {
    database.fault = contendedBy(new Set(names(512)));
    const outcomes = await submit([...names(512), "late"].map(start));
    expect(outcomes.slice(0, 512).every((outcome) => outcome instanceof StoreUnavailableError)).toBe(true);
    expect(outcomes[512]).toBe("committed");
  });

  it("commits the neighbours of items that the database refuses, in order", async () => {
    const guilty = new Set(["run-0", "run-5"]);
    database.fault = (items) => {
      if (items.some((name) => guilty.has(name))) throw new BatchRejectedError("a text holds U+0000");
    };
    const outcomes = await submit(names(8).map(start));
    expect(outcomes.map((outcome) => outcome instanceof BatchRejectedError)).toEqual(
      names(8).map((name) => guilty.has(name)),
    );
    expect(database.committed).toEqual(names(8).filter((name) => !guilty.has(name)));
  });

  it("drops what was not sent when its deadline passes, and finds out what became of the rest", async () => {
    const away = Promise.withResolvers<void>();
    database.fault = () => away.promise;
    const options = { boundMs: 1_000, isDatabaseSilent: () => true };
    const errorOf = (name: string) =>
      withDeadline(options, (deadline) => lane.submit(start(name), 1, deadline)).catch((error: Error) => error.message);
    const sent = errorOf("sent");
    await vi.advanceTimersByTimeAsync(10);
    const waiting = errorOf("waiting");
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(await sent).toContain("not known whether the request was carried out");
    expect(await waiting).toContain("Nothing was changed");
    expect(lane.pending).toBe(1);
    away.resolve();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(database.committed).toEqual(["sent"]);
    expect(lane.pending).toBe(0);
  });

  it("tries a batch again while the database is away, and tells its callers after a while", async () => {
    let refusals = 3;
    database.fault = () => {
      if (refusals-- > 0) throw new StoreUnavailableError("away");
    };
    expect(await submit([start("run-0")])).toEqual(["committed"]);
    refusals = Infinity;
    expect(await submit([start("run-1"), start("run-2")])).toEqual([
      expect.any(StoreUnavailableError),
      expect.any(StoreUnavailableError),
    ]);
    expect(database.committed).toEqual(["run-0"]);
  });

  it("sends a batch of unknown outcome again once it is resolved as void", async () => {
    database.fault = (_items, { batchNo }) => {
      if (batchNo === 1) throw new BatchOutcomeUnknownError("connection lost");
    };
    expect(await submit([start("run-0"), start("run-1")])).toEqual(["committed", "committed"]);
    expect(database.resolved).toEqual([1]);
    expect(database.sent).toEqual([
      ["run-0", "run-1"],
      ["run-0", "run-1"],
    ]);
  });

  it("reads from the ledger what became of the items of a batch whose reply was lost", async () => {
    const lost = start("lost");
    database.resolve = () => "committed";
    database.replyFault = ({ batchNo }) => {
      if (batchNo > 1) return;
      // Another record has this one's seq: the item was a conflict.
      const [other] = startOf({ tenantId: TENANT, runId: "lost" }).records;
      assert(other !== undefined);
      database.records.set("lost", { ...other, hash: "00".repeat(32) });
      database.records.delete("gone");
      throw new BatchOutcomeUnknownError("connection lost");
    };
    const mail: BatchItem = {
      type: "delivery",
      delivery: mailDelivery({ tenantId: TENANT, runId: "run-0" }, "cancel"),
    };
    const channel: Channel = { tenantId: TENANT, scope: "global", scopeId: "" };
    const event: BatchItem = { type: "delivery", delivery: eventDelivery(eventOf(channel, { name: "go" })) };
    expect(await submit([start("run-0"), lost, mail, event, start("gone")])).toEqual([
      "committed",
      "conflict",
      "committed",
      "committed",
      "conflict",
    ]);
    // Transitions and mail are not sent again: they would be there twice. An event is; its id is recognised.
    expect(database.sent).toEqual([["run-0", "lost", "mail of run-0", "event go", "gone"], ["event go"]]);
  });

  const groupOf = (...runIds: string[]): BatchItem => ({
    type: "group",
    transitions: runIds.map((runId) => startOf({ tenantId: TENANT, runId })),
  });

  it("counts the transitions of groups, and takes no more of them than fit into a batch", async () => {
    const group = (name: string, count: number) => groupOf(...Array.from({ length: count }, (_, i) => `${name}-${i}`));
    const outcomes = await submit([group("a", 256), group("b", 200), start("c"), group("d", 56), group("e", 256)]);
    expect(outcomes).toEqual(outcomes.map(() => "committed"));
    expect(database.sent.map((batch) => batch.map((name) => name.split("-")[0]))).toEqual([
      ["a", "b", "c"],
      ["d", "e"],
    ]);
  });

  it("leaves a second item for a run of the batch to the next batch, with all items after it", async () => {
    const items = [groupOf("a", "b"), start("c"), groupOf("d", "b"), start("e"), start("a")];
    expect(await submit(items)).toEqual(items.map(() => "committed"));
    expect(database.sent).toEqual([
      ["a,b", "c"],
      ["d,b", "e", "a"],
    ]);
  });

  it("reads from one record what became of a group whose reply was lost", async () => {
    database.resolve = () => "committed";
    database.replyFault = ({ batchNo }) => {
      if (batchNo > 1) return;
      database.records.delete("gone-1");
      database.records.delete("gone-2");
      throw new BatchOutcomeUnknownError("connection lost");
    };
    const outcomes = await submit([groupOf("here-1", "here-2"), groupOf("gone-1", "gone-2")]);
    expect(outcomes).toEqual(["committed", "conflict"]);
    expect(database.sent).toHaveLength(1);
  });

  it("asks until it knows what became of a batch, and sends nothing meanwhile", async () => {
    let answers = 0;
    database.fault = (_items, { batchNo }) => {
      if (batchNo === 1) throw new BatchOutcomeUnknownError("connection lost");
    };
    database.resolve = () => {
      if (++answers < 5) throw new StoreUnavailableError("away");
      expect(database.sent).toHaveLength(1);
      return "void";
    };
    expect(await submit([start("run-0")])).toEqual(["committed"]);
    expect(database.resolved).toEqual([1, 1, 1, 1, 1]);
  });

  it("tells callers who wait for a batch that cannot be resolved that the database is away", async () => {
    database.fault = (_items, { batchNo }) => {
      if (batchNo === 1) throw new BatchOutcomeUnknownError("connection lost");
    };
    let isAway = true;
    database.resolve = () => {
      if (isAway) throw new StoreUnavailableError("away");
      return "void";
    };
    const first = lane.submit(start("run-0"), 1);
    await vi.advanceTimersByTimeAsync(10);
    expect(await submit([start("run-1")])).toEqual([expect.any(StoreUnavailableError)]);
    isAway = false;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(await first).toEqual({ type: "committed" });
    expect(database.committed).toEqual(["run-0"]);
  });

  it("refuses everything once its lease has ended, and says so once", async () => {
    database.fault = () => {
      throw new LaneFencedError("the lane's lease has ended");
    };
    const outcomes = await submit(names(600).map(start));
    expect(outcomes.every((outcome) => outcome instanceof LaneFencedError)).toBe(true);
    expect(fencings).toBe(1);
    const sent = database.sent.length;
    expect(await submit([start("late")])).toEqual([expect.any(LaneFencedError)]);
    expect(database.sent).toHaveLength(sent);
    expect(lane.pending).toBe(0);
  });
});
