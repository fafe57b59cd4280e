/** What the tests of the suite run on: databases, servers on them, and functions that several nouns need. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { Page, PageStart } from "../contract/page.ts";
import type { RunKey, StoredRun } from "../contract/runs.ts";
import type { Store } from "../contract/store.ts";
import type { VerbObserver } from "../map-verbs.ts";
import { type Writer, openWriter } from "./fixtures.ts";

/** One database, empty when it is created. */
export type StoreHarness = {
  /** Another server's store on the same database. The suite closes what it opens. */
  openStore(options?: { onVerb?: VerbObserver }): Promise<Store>;
  /** Returns all rows of a tenant, by table, without the numbers of channels, which have gaps after refused events. */
  readRows(tenantId: string): Promise<Record<string, unknown>>;
  /** Removes the database, after every store was closed. */
  close(): Promise<void>;
};

/** More entries than any list in the suite has. */
export const ALL = 1_000;

export const HOUR_MS = 3_600_000;

export const COMMITTED = { type: "committed" };

/** What a test runs on: two servers on one database, and a tenant of its own. */
export type Bench = {
  readonly store: Store;
  readonly other: Store;
  /** A server on `store`. */
  readonly writer: Writer;
  tenant(): string;
  /** Opens one more store on the database; the test closes it. */
  readonly openStore: StoreHarness["openStore"];
  readonly readRows: StoreHarness["readRows"];
};

export function keyOf(run: { state: RunKey }): RunKey {
  return { tenantId: run.state.tenantId, runId: run.state.runId };
}

export async function load(store: Store, key: RunKey): Promise<StoredRun> {
  const [run] = await store.runs.load([key]);
  assert(run !== undefined, `run ${key.runId} is stored`);
  return run;
}

/** Reads a whole list in pages of `limit`. */
export async function readPages<T>(
  limit: number,
  read: (start: PageStart | undefined) => Promise<Page<T>>,
): Promise<T[]> {
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

/** Opens a bench for each test of a group, or one for all of them, and closes it afterwards. */
export type OpenBench = (per: "test" | "group") => Bench;

/** @param createHarness creates the database of a bench */
export function createOpenBench(createHarness: () => Promise<StoreHarness>): OpenBench {
  return (per) => {
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
      openStore: (options) => current().harness.openStore(options),
      readRows: (tenantId) => current().harness.readRows(tenantId),
      tenant: () => `tenant-${randomBytes(6).toString("hex")}`,
    };
  };
}
