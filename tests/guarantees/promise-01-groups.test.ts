/**
 * Promises 1 and 8 for groups: what several runs do together is committed as a whole or not at all, wherever the server
 * is killed.
 */
import { openWaitOf } from "../../server/src/core/run.ts";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Transition } from "../../server/src/store/contract/batch.ts";
import type { StoredRun } from "../../server/src/store/contract/runs.ts";
import {
  assignOf,
  closingOf,
  groupOf,
  openWriter,
  startOf,
  waitOf,
  type Writer,
} from "../../server/src/store/suite/fixtures.ts";
import {
  freshId,
  ledgerProblems,
  movesRun,
  openSharedDatabase,
  type SharedDatabase,
  startTestServer,
  STORE_KINDS,
  type TestServer,
} from "../support/engine.ts";

/** A parent that starts two runs and writes to a third, as one group. */
type Family = {
  tenantId: string;
  /** What is stored before the group is committed. */
  parent: StoredRun;
  third: StoredRun;
  transitions: readonly Transition[];
};

async function makeFamily(writer: Writer): Promise<Family> {
  const tenantId = freshId("tenant");
  const start = await writer.put(startOf({ tenantId, runId: "parent", vars: { n: 0 } }));
  const parent = await writer.put(waitOf(start, { asks: "question" }));
  const third = await writer.put(startOf({ tenantId, runId: "third" }));
  const letter = { tenantId, runId: "third", kind: "child.started", body: { run_id: "child-1" } };
  const step = assignOf(parent, "n", 2, { closeWaits: [closingOf(parent)], mail: [letter] });
  const children = ["child-1", "child-2"].map((runId) => startOf({ tenantId, runId, parentRunId: "parent" }));
  return { tenantId, parent, third, transitions: [children[0]!, step, children[1]!] };
}

/** Which parts of the group are stored: "all", "none", or a list. */
async function whatIsThere({ store }: TestServer, family: Family): Promise<unknown> {
  const runs = await store.runs.load(family.transitions);
  const mail = await store.mail.list([family.third.state]);
  const wait = await store.waits.get(family.tenantId, openWaitOf(family.parent.state)!.wait_id);
  for (const run of runs) if (run !== undefined) expect(await ledgerProblems(store, run.state)).toEqual([]);
  const hashes = runs.map((run) => run?.headHash);
  const seen = { hashes, letters: mail.length, isClosed: wait?.closing !== undefined };
  const all = { hashes: family.transitions.map(({ after }) => after.headHash), letters: 1, isClosed: true };
  const none = { hashes: [undefined, family.parent.headHash, undefined], letters: 0, isClosed: false };
  if (JSON.stringify(seen) === JSON.stringify(all)) return "all";
  return JSON.stringify(seen) === JSON.stringify(none) ? "none" : seen;
}

describe.each(STORE_KINDS)("groups, on %s", (kind) => {
  let database: SharedDatabase;
  let observer: TestServer;

  beforeAll(async () => {
    database = await openSharedDatabase(kind);
    observer = await startTestServer(database);
  });
  afterAll(async () => {
    await observer.stop();
    await database.close();
  });

  test.each([
    ["before", "none"],
    ["after", "all"],
  ] as const)("a server is killed %s it commits a group: %s of it is stored", async (moment, what) => {
    const doomed = await startTestServer(database);
    const writer = await openWriter(doomed.store);
    const family = await makeFamily(writer);
    const held = doomed.hold("batches.commit", moment, movesRun("child-2"));
    const committing = writer.commitItems([groupOf(...family.transitions)]).catch((error: unknown) => error);
    await held.reached;
    expect(await whatIsThere(observer, family)).toBe(what);
    const killed = doomed.kill();
    held.release();
    expect(await committing).toBeInstanceOf(Error);
    await killed;
    expect(await whatIsThere(observer, family)).toBe(what);
    // The server that takes over fences the lane, and finds out whether the batch was committed.
    await observer.store.lanes.end(writer.serverId);
    const settled = await observer.store.batches.resolve(writer.laneId, writer.batchNo());
    expect(settled).toBe(what === "all" ? "committed" : "void");
    expect(await whatIsThere(observer, family)).toBe(what);
  });
});

describe("groups, on postgres", () => {
  let database: SharedDatabase;
  let server: TestServer;
  let outside: postgres.Sql;

  beforeAll(async () => {
    database = await openSharedDatabase("postgres");
    server = await startTestServer(database);
    outside = postgres(database.url, { max: 3, onnotice: () => undefined });
  });
  afterAll(async () => {
    await server.stop();
    await outside.end();
    await database.close();
  });

  /** Holds what `lock` locks until `release`. */
  async function hold(lock: (sql: postgres.TransactionSql) => Promise<unknown>): Promise<{ release(): Promise<void> }> {
    const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = outside.begin(async (transaction) => {
      await lock(transaction);
      locked.resolve();
      await released.promise;
    });
    await locked.promise;
    return {
      async release() {
        released.resolve();
        await holding;
      },
    };
  }

  async function blockedProcess(): Promise<number> {
    for (;;) {
      const [row] = await outside<{ pid: number }[]>`
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%commit_batch%'`;
      if (row !== undefined) return row.pid;
    }
  }

  /** Where the statement stops: in the first phase, between the writes, at the last of them. */
  const PLACES: readonly [string, (family: Family) => (sql: postgres.TransactionSql) => Promise<unknown>][] = [
    ["its rows are locked", () => (sql) => sql`lock table deleted_runs in access exclusive mode`],
    ["its first rows are written", () => (sql) => sql`lock table run_parts in access exclusive mode`],
    [
      "its waits are closed",
      (family) => (sql) => sql`select from waits where tenant_id = ${family.tenantId} for update`,
    ],
    ["all but its last rows are written", () => (sql) => sql`lock table batches in access exclusive mode`],
  ];

  test.each(PLACES)(
    "the connection dies when %s: nothing of it is stored, and all of it after a second try",
    async (_place, lockOf) => {
      const writer = await openWriter(server.store);
      const family = await makeFamily(writer);
      const held = await hold(lockOf(family));
      const committing = writer.commitItems([groupOf(...family.transitions)]).catch((error: unknown) => error);
      const pid = await blockedProcess();
      await outside`select pg_terminate_backend(${pid}, 5000)`;
      expect(await committing).toBeInstanceOf(Error);
      await held.release();
      expect(await server.store.batches.resolve(writer.laneId, writer.batchNo())).toBe("void");
      expect(await whatIsThere(server, family)).toBe("none");
      expect(await writer.commitItems([groupOf(...family.transitions)])).toEqual([{ type: "committed" }]);
      expect(await whatIsThere(server, family)).toBe("all");
    },
  );
});
