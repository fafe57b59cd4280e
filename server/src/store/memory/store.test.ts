import { describe, expect, it } from "vitest";
import { epochMicrosOf } from "../../core/duration.ts";
import type { Batch } from "../contract/batch.ts";
import { BatchOutcomeUnknownError, LaneFencedError, StoreUnavailableError } from "../contract/errors.ts";
import type { Store } from "../contract/store.ts";
import { describeStore } from "../suite/suite.ts";
import { openWriter, startOf, TIME_ZERO } from "../suite/fixtures.ts";
import type { MemoryDatabase } from "./database.ts";
import { createMemoryDatabase, createMemoryStore } from "./store.ts";

/** A database whose clock stands still, which is the hardest case for comparing times. */
function stillDatabase(): MemoryDatabase {
  return createMemoryDatabase({ now: () => epochMicrosOf(TIME_ZERO) });
}

/** Copies every row of a tenant. */
function readRows(database: MemoryDatabase, tenantId: string): Record<string, unknown> {
  const ofTenant = <Row extends { tenantId: string }>(rows: Iterable<Row>) =>
    structuredClone([...rows].filter((row) => row.tenantId === tenantId));
  const lanes = [...database.lanes.values()];
  return {
    runs: ofTenant(database.runs.values()).map(({ parts, ...row }) => ({
      ...row,
      parts: [...parts].map(([part, texts]) => [part, [...texts]]),
    })),
    deletedRuns: [...database.deletedRuns].filter((key) => key.startsWith(`${tenantId}/`)),
    waits: ofTenant(database.waits.values()),
    events: [...database.channels.values()]
      .filter((row) => row.channel.tenantId === tenantId)
      .map((row) => [...row.events]),
    mail: ofTenant(database.mail.values()),
    jobs: ofTenant(database.jobs.values()),
    feed: ofTenant(lanes.flatMap(({ feed }) => feed)),
    batches: ofTenant(lanes.flatMap(({ committed }) => committed)),
  };
}

describeStore("memory", async () => {
  const database = stillDatabase();
  return {
    openStore: (options) => createMemoryStore(database, options),
    readRows: async (tenantId) => readRows(database, tenantId),
    close: async () => {},
  };
});

describe("faults of the memory store", () => {
  const start = startOf({ tenantId: "t", runId: "run-1" });

  async function open(): Promise<{ database: MemoryDatabase; store: Store; other: Store }> {
    const database = stillDatabase();
    return { database, store: await createMemoryStore(database), other: await createMemoryStore(database) };
  }

  it("commits nothing when the connection dies before the commit", async () => {
    const { database, store, other } = await open();
    const writer = await openWriter(store);
    const seen: Batch[] = [];
    database.faults.beforeCommit = (batch) => {
      seen.push(batch);
      throw new BatchOutcomeUnknownError("connection lost");
    };
    await expect(writer.commit(start)).rejects.toBeInstanceOf(BatchOutcomeUnknownError);
    database.faults.beforeCommit = undefined;
    expect(seen.map(({ laneId, batchNo }) => [laneId, batchNo])).toEqual([[writer.laneId, 1]]);
    expect(await other.batches.resolve(writer.laneId, 1)).toBe("void");
    expect(await other.runs.load([start])).toEqual([undefined]);
  });

  it("has committed if the connection dies after the commit", async () => {
    const { database, store, other } = await open();
    const writer = await openWriter(store);
    database.faults.afterCommit = () => {
      throw new BatchOutcomeUnknownError("connection lost");
    };
    await expect(writer.commit(start)).rejects.toBeInstanceOf(BatchOutcomeUnknownError);
    expect(await other.batches.resolve(writer.laneId, 1)).toBe("committed");
    expect(await other.runs.load([start])).toEqual([start.after]);
  });

  it("fences a batch that was delayed while its server's lease ended", async () => {
    const { database, store, other } = await open();
    const writer = await openWriter(store);
    database.faults.beforeCommit = () => other.lanes.end(writer.serverId);
    await expect(writer.commit(start)).rejects.toBeInstanceOf(LaneFencedError);
    expect(await other.runs.load([start])).toEqual([undefined]);
  });

  it("is unavailable to every server, loses notices meanwhile, and returns with everything", async () => {
    const { database, store, other } = await open();
    const writer = await openWriter(store);
    const heard: string[] = [];
    await store.notices.listen((payload) => heard.push(payload));
    await writer.put(start);
    database.faults.away = true;
    for (const attempt of [store.probe(), other.runs.load([start]), writer.commit(start), other.notices.send("lost")]) {
      await expect(attempt).rejects.toBeInstanceOf(StoreUnavailableError);
    }
    database.faults.away = false;
    expect(await other.runs.load([start])).toEqual([start.after]);
    await other.notices.send("found");
    await Promise.resolve();
    expect(heard).toEqual(["found"]);
  });

  it("awaits a turn before the effect and before the reply of a verb", async () => {
    const { database, store, other } = await open();
    const writer = await openWriter(store);
    const gates = [1, 2].map(() => ({ reached: Promise.withResolvers<void>(), open: Promise.withResolvers<void>() }));
    const [before, after] = gates;
    const queue = [...gates];
    database.faults.turn = (verb) => {
      if (verb !== "batches.commit") return undefined;
      const gate = queue.shift();
      gate?.reached.resolve();
      return gate?.open.promise;
    };
    let replied = false;
    const committing = writer.commit(start).finally(() => {
      replied = true;
    });
    await before?.reached.promise;
    expect(await other.runs.load([start])).toEqual([undefined]);
    before?.open.resolve();
    await after?.reached.promise;
    expect(await other.runs.load([start])).toEqual([start.after]);
    expect(replied).toBe(false);
    after?.open.resolve();
    expect(await committing).toEqual([{ type: "committed" }]);
  });

  it("refuses a ledger with a gap, and values that JSON would change", async () => {
    const { store } = await open();
    const writer = await openWriter(store);
    await expect(writer.commit({ ...start, records: [] })).rejects.toThrow("gapless");
    const state = { ...start.after.state, vars: { when: new Date(0) } as never };
    await expect(writer.commit({ ...start, after: { ...start.after, state } })).rejects.toThrow("not JSON");
    expect(await store.runs.load([start])).toEqual([undefined]);
  });

  it("refuses a closed store's verbs, but keeps the database", async () => {
    const { store, other } = await open();
    const heard: string[] = [];
    await store.notices.listen((payload) => heard.push(payload));
    await store.close();
    await expect(store.probe()).rejects.toBeInstanceOf(StoreUnavailableError);
    await other.notices.send("unheard");
    await other.probe();
    expect(heard).toEqual([]);
  });
});
