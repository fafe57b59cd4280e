/**
 * Functions in the database: servers of two releases side by side, and what happens to functions that are not needed.
 */
import assert from "node:assert/strict";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../../tests/support/postgres.ts";
import { StoreUnavailableError } from "../contract/errors.ts";
import type { Store } from "../contract/store.ts";
import { assignOf, conflictOf, openWriter, startOf } from "../suite/fixtures.ts";
import { COMMIT_BATCH, commitFunctionOf, SECTIONS } from "./commit-batch.ts";
import { SECTIONS as MEMORY_SECTIONS } from "../memory/commit.ts";
import { nameFunction } from "./functions.ts";
import { JOB_FUNCTIONS } from "./job-functions.ts";
import { migrate } from "./migrate.ts";
import { refuse } from "./sections/section.ts";
import { createPostgresStore } from "./store.ts";

/** The function of another release. Its extra section, with a parameter of its own, leaves a trace in the settings. */
const OTHER = commitFunctionOf([
  ...SECTIONS,
  {
    name: "of-another-release",
    parameters: { p_of_another_release: "text" },
    encode: () => ({ p_of_another_release: "written by another release" }),
    write: `
  INSERT INTO settings (key, value) VALUES (p_lane_id || '/' || p_batch_no, p_of_another_release);`,
  },
]);

describe("functions in the database", () => {
  let database: TestDatabase;
  let observer: postgres.Sql;
  const stores: Store[] = [];

  beforeEach(async () => {
    database = await createTestDatabase();
    observer = postgres(database.url, { max: 1 });
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
    await observer.end();
    await database.drop();
  });

  async function openStore(commitFunction = COMMIT_BATCH): Promise<Store> {
    const store = await createPostgresStore({ url: database.url, commitFunction });
    stores.push(store);
    return store;
  }

  async function namesThere(): Promise<string[]> {
    const rows = await observer<{ name: string }[]>`
      select proname as name from pg_proc where pronamespace = 'public'::regnamespace order by name`;
    const known = await observer<{ name: string }[]>`select name from functions order by name`;
    expect(known).toEqual(rows);
    return rows.map(({ name }) => name);
  }

  const OWN = [COMMIT_BATCH, ...JOB_FUNCTIONS].map(({ name }) => name).toSorted();
  const BOTH = [...OWN, OTHER.name].toSorted();

  it("commit in sections that are those of the memory store, in the same order", () => {
    expect(SECTIONS.map(({ name }) => name)).toEqual(MEMORY_SECTIONS.map(({ name }) => name));
  });

  it("are named by their text", () => {
    expect(OTHER.name).toMatch(/^commit_batch_[0-9a-f]{8}$/);
    expect(OTHER.name).not.toBe(COMMIT_BATCH.name);
    const again = commitFunctionOf(SECTIONS);
    expect([again.name, again.text]).toEqual([COMMIT_BATCH.name, COMMIT_BATCH.text]);
    const one = nameFunction("f", (name) => `create function ${name}() returns int language sql as 'select 1'`);
    expect(one.text).toContain(`create function ${one.name}()`);
    expect(
      nameFunction("f", (name) => `create function ${name}() returns int language sql as 'select 2'`).name,
    ).not.toBe(one.name);
  });

  it("let servers of two releases commit to the same runs side by side", async () => {
    await migrate(database.url, { functions: [OTHER, ...JOB_FUNCTIONS] });
    expect(await namesThere()).toEqual(BOTH);
    const [writer, other] = [await openWriter(await openStore()), await openWriter(await openStore(OTHER))];
    const start = await writer.put(startOf({ tenantId: "t", runId: "run-1" }));
    const second = await other.put(assignOf(start, "x", 1));
    const third = await writer.put(assignOf(second, "x", 2));
    expect(await other.store.runs.load([third.state])).toEqual([third]);
    const traces = await observer<
      { key: string }[]
    >`select key from settings where value = 'written by another release'`;
    expect(traces).toEqual([{ key: `${other.laneId}/1` }]);
  });

  it("keep no row of a group, whichever section refuses it", async () => {
    const last = commitFunctionOf([
      ...SECTIONS,
      {
        name: "refuses-the-first",
        parameters: { p_refused_item: "int[]" },
        encode: () => ({ p_refused_item: "{0}" }),
        check: refuse(`
      SELECT i, 0, 'mail' FROM unnest(p_refused_item) AS i`),
      },
    ]);
    await migrate(database.url, { functions: [last, ...JOB_FUNCTIONS] });
    const writer = await openWriter(await openStore(last));
    const starts = ["refused", "neighbour"].map((runId) => startOf({ tenantId: "t", runId }));
    expect(await writer.commit(...starts)).toEqual([conflictOf("mail"), { type: "committed" }]);
    expect(await writer.store.runs.load(starts)).toEqual([undefined, starts[1]!.after]);
  });

  it("are created again by a start, and no lease is opened without them", async () => {
    const store = await openStore(OTHER);
    await expect(openWriter(store)).rejects.toThrow(StoreUnavailableError);
    expect(await observer`select from servers`).toHaveLength(0);
    await migrate(database.url, { functions: [OTHER] });
    const writer = await openWriter(store);
    await writer.put(startOf({ tenantId: "t", runId: "run-1" }));
  });

  it("are kept while an open server names them, and for 30 days after the last one", async () => {
    await migrate(database.url, { functions: [OTHER] });
    const writer = await openWriter(await openStore(OTHER));
    const age = async (days: number) => {
      await observer`update functions set named_at = named_at - ${days}::int * interval '1 day'`;
      await observer`update servers set ended_at = ended_at - ${days}::int * interval '1 day'`;
    };
    const restart = () => migrate(database.url);
    await age(400);
    await restart();
    expect(await namesThere()).toEqual(BOTH);
    await writer.store.lanes.end(writer.serverId);
    await age(29);
    await restart();
    expect(await namesThere()).toEqual(BOTH);
    await age(2);
    await restart();
    expect(await namesThere()).toEqual(OWN);
  });

  it("exist when a server starts again after a long time", async () => {
    await observer`update functions set named_at = named_at - interval '400 days'`;
    await migrate(database.url);
    expect(await namesThere()).toEqual(OWN);
    await openWriter(await openStore());
  });

  it("are not dropped between a server's check and its commit", async () => {
    await migrate(database.url, { functions: [OTHER] });
    await observer`update functions set named_at = now() - interval '400 days'`;
    // During a migration, a server that opens a lease waits, and then sees which functions exist.
    const sql = postgres(database.url, { max: 1 });
    await sql`select pg_advisory_lock(7400001, 'public'::regnamespace::oid::int)`;
    const opening = openWriter(await openStore(OTHER)).catch((error: unknown) => error);
    const isWaiting = async (): Promise<boolean> => {
      const waiting = await observer`
        select from pg_locks where locktype = 'advisory' and not granted and database = (
          select oid from pg_database where datname = current_database()
        )`;
      return waiting.length > 0;
    };
    while (!(await isWaiting()));
    await sql.unsafe(`drop function ${OTHER.name}`);
    await sql.end();
    const refusal = await opening;
    assert(refusal instanceof StoreUnavailableError);
    expect(String(refusal.cause)).toContain(OTHER.name);
  });
});
