import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BatchOutcomeUnknownError, StoreUnavailableError } from "../store/contract/errors.ts";
import type { Store, Verb } from "../store/contract/store.ts";
import { mapVerbs } from "../store/map-verbs.ts";
import { createMemoryDatabase, createMemoryStore } from "../store/memory/store.ts";
import { createHealth, type Health } from "./health.ts";
import { type WatchedStore, watchStore } from "./watch-store.ts";

let health: Health;
let watched: WatchedStore;
/** The verbs that fail, and how. */
let faults: Map<Verb, Error>;
let shortage: ReturnType<Store["shortage"]>;

beforeEach(async () => {
  vi.useFakeTimers();
  const inner = await createMemoryStore(createMemoryDatabase({ now: () => 0 }));
  faults = new Map();
  shortage = undefined;
  const failing = mapVerbs(inner, (verb, perform) => {
    const fault = faults.get(verb);
    if (fault !== undefined) throw fault;
    return perform();
  });
  health = createHealth(pino({ level: "silent" }));
  const store = { ...inner, ...failing, shortage: () => shortage };
  watched = watchStore(store, health, { writtenMs: 10_000, quietMs: 6_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const kinds = () => health.problems().map(({ kind }) => kind);
const renew = () => watched.store.lanes.renew("server").catch(() => undefined);
const commit = () => watched.store.batches.commit({ laneId: 1, batchNo: 1, items: [] }).catch(() => undefined);
const list = () => watched.store.lanes.list(0).catch(() => undefined);
const lost = () => new StoreUnavailableError("lost", { code: "CONNECTION_CLOSED" });

/** Rechecks, and lets the probe end. */
async function recheck(): Promise<void> {
  watched.recheck();
  await vi.advanceTimersByTimeAsync(0);
}

test("one lost connection is no problem, two in a row are, and any success over the same connections ends it", async () => {
  faults.set("lanes.list", lost());
  await list();
  expect(kinds()).toEqual([]);
  await list();
  expect(kinds()).toEqual(["database_unreachable"]);
  await renew();
  expect(kinds()).toEqual(["database_unreachable"]);
  await watched.store.now();
  expect(kinds()).toEqual([]);
  faults.set("lanes.renew", lost());
  await renew();
  expect(kinds()).toEqual(["database_unreachable"]);
});

test("a trouble of statements stays although others succeed, until a probe does and nothing has failed for a while", async () => {
  faults.set("batches.commit", new StoreUnavailableError("full", { kind: "disk_full", code: "53100" }));
  await commit();
  await renew();
  expect(health.problems()).toMatchObject([
    { kind: "database_full", message: expect.stringContaining("53100") as string },
  ]);
  await recheck();
  expect(kinds()).toEqual(["database_full"]);
  vi.advanceTimersByTime(6_000);
  faults.set("probe", new StoreUnavailableError("full", { kind: "disk_full", code: "53100" }));
  await recheck();
  expect(kinds()).toEqual(["database_full"]);
  faults.delete("probe");
  vi.advanceTimersByTime(6_000);
  await recheck();
  expect(kinds()).toEqual([]);
});

test("a trouble that becomes another one is that one only", async () => {
  faults.set("lanes.renew", new StoreUnavailableError("away", { code: "ECONNREFUSED" }));
  await renew();
  faults.set("lanes.renew", new StoreUnavailableError("password", { kind: "login_refused", code: "28P01" }));
  await renew();
  expect(kinds()).toEqual(["database_refuses_login"]);
});

test("what is slow or fails beside commits and the lease does not keep the server from its work", async () => {
  faults.set("lanes.list", new StoreUnavailableError("slow", { kind: "timed_out" }));
  faults.set("now", new StoreUnavailableError("damaged", { kind: "failing", code: "XX001" }));
  await list();
  await watched.store.now().catch(() => undefined);
  expect(kinds()).toEqual(["database_slow", "database_fails_partly"]);
  expect(health.canServe()).toBe(true);
  faults.set("batches.commit", new BatchOutcomeUnknownError("late", { kind: "timed_out" }));
  await commit();
  expect(kinds()).toContain("database_silent");
  expect(health.canServe()).toBe(false);
});

test("locks of others, a lost lease and a batch whose connection was lost are no trouble of the database", async () => {
  for (const kind of ["contended", "no_lease"] as const) {
    faults.set("batches.commit", new StoreUnavailableError(kind, { kind }));
    await commit();
  }
  faults.set("batches.commit", new BatchOutcomeUnknownError("lost"));
  await commit();
  expect(kinds()).toEqual([]);
});

test("a write counts for a while, a read does not", async () => {
  await list();
  expect(watched.hasWritten()).toBe(false);
  await renew();
  expect(watched.hasWritten()).toBe(true);
  vi.advanceTimersByTime(10_000);
  expect(watched.hasWritten()).toBe(false);
});

test("fewer connections than configured are a problem that keeps nobody from working", async () => {
  shortage = { granted: 5, wanted: 12 };
  await recheck();
  expect(kinds()).toEqual(["database_connections_short"]);
  expect(health.canServe()).toBe(true);
  shortage = undefined;
  await recheck();
  expect(kinds()).toEqual([]);
});
