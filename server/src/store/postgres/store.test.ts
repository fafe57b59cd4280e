/** The shared suite on a real Postgres, and tests that need Postgres: locks, lost connections, plans. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../../tests/support/postgres.ts";
import type { Instant } from "../../core/duration.ts";
import type { Channel } from "../../core/event.ts";
import type { Json } from "../../core/json/json.ts";
import type { Transition } from "../contract/batch.ts";
import {
  BatchContendedError,
  BatchOutcomeUnknownError,
  BatchRejectedError,
  LaneFencedError,
  StoreUnavailableError,
} from "../contract/errors.ts";
import type { JobLease } from "../contract/jobs.ts";
import type { StoredRun } from "../contract/runs.ts";
import type { Store } from "../contract/store.ts";
import { describeStore } from "../suite/suite.ts";
import {
  assignOf,
  channelMoved,
  conflictOf,
  endOf,
  eventDelivery,
  eventOf,
  groupOf,
  jobOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
  waitOf,
} from "../suite/fixtures.ts";
import { openClient, type Sql } from "./client.ts";
import { commit, parameterBytesOf } from "./commit.ts";
import { listListeners, lookUpEvents, wasEmitted } from "./events.ts";
import { loadRuns, claimDueRuns, claimRuns, deleteRun } from "./runs.ts";
import { adoptJobs, claimDueJobs, claimJobs, listOrphanedLeases, loadJobs, releaseJobs, startJobs } from "./jobs.ts";
import type { Pool } from "./pools.ts";
import { listWaits } from "./waits.ts";
import { createPostgresStore } from "./store.ts";

/** Returns every row of a tenant. Channels are left out: their numbers have gaps after refused events. */
async function readRows({ url }: TestDatabase, tenantId: string): Promise<Record<string, unknown>> {
  const sql = postgres(url, { max: 1 });
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.columns
    where table_schema = 'public' and column_name = 'tenant_id' and table_name <> 'channels' order by name`;
  assert(tables.length > 10, "the query finds the tables of tenants");
  const rows: Record<string, unknown> = {};
  for (const { name } of tables) {
    const found = await sql<{ row: string }[]>`
      select to_json(t)::text as row from ${sql(name)} t where tenant_id = ${tenantId} order by row`;
    rows[name] = found.map(({ row }) => row);
  }
  await sql.end();
  return rows;
}

describeStore("postgres", async () => {
  const database = await createTestDatabase();
  return {
    openStore: (options) => createPostgresStore({ url: database.url, ...options }),
    readRows: (tenantId) => readRows(database, tenantId),
    close: () => database.drop(),
  };
});

describeStore("postgres without prepared statements", async () => {
  const database = await createTestDatabase();
  return {
    openStore: (options) => createPostgresStore({ url: database.url, prepare: false, ...options }),
    readRows: (tenantId) => readRows(database, tenantId),
    close: () => database.drop(),
  };
});

const COMMITTED = { type: "committed" };
const PAST = "2020-01-01T00:00:00.000000Z" as Instant;
const FUTURE = "2999-01-01T00:00:00.000000Z" as Instant;

describe("the store on Postgres", () => {
  let database: TestDatabase;
  let store: Store;
  /** A connection that observes the database from outside the store. */
  let observer: postgres.Sql;
  let tenants = 0;
  const newTenant = (): string => `tenant-${++tenants}`;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = await createPostgresStore({ url: database.url });
    observer = postgres(database.url, { max: 1 });
  });
  afterAll(async () => {
    await store.close();
    await observer.end();
    await database.drop();
  });

  /** Opens a transaction on its own connection that does `work` and keeps its locks until `release`. */
  async function hold(work: (sql: postgres.TransactionSql) => Promise<unknown>): Promise<{ release(): Promise<void> }> {
    const sql = postgres(database.url, { max: 1 });
    const held = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const transaction = sql.begin(async (inside) => {
      await work(inside);
      held.resolve();
      await end.promise;
    });
    await Promise.race([held.promise, transaction]);
    return {
      release: async () => {
        end.resolve();
        await transaction;
        await sql.end();
      },
    };
  }

  function holdRun(runId: string): Promise<{ release(): Promise<void> }> {
    return hold((sql) => sql`select from runs where run_id = ${runId} for no key update`);
  }

  function holdChannel(channel: Channel): Promise<{ release(): Promise<void> }> {
    return hold((sql) => sql`select from channels where tenant_id = ${channel.tenantId} for no key update`);
  }

  /** Waits until a statement of the store waits for a lock, and returns the id of the process that runs it. */
  async function blockedBackend(statement: string): Promise<number> {
    for (;;) {
      const [backend] = await observer<{ pid: number }[]>`
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like ${`%${statement}%`}`;
      if (backend !== undefined) return backend.pid;
    }
  }

  it("keeps no row for a member of vars that is no longer large, and none of a deleted run", async () => {
    const tenantId = newTenant();
    const writer = await openWriter(store);
    const LARGE = "x".repeat(3_000);
    const names = async () => {
      const rows = await observer<
        { name: string }[]
      >`select name from run_parts where tenant_id = ${tenantId} and part = 'member' order by name`;
      return rows.map(({ name }) => name);
    };
    const replaced = (before: StoredRun, value: Json) =>
      stepOf(before, "step.completed", { status: "completed", patch: [{ op: "set", path: "", value }] });
    let run = await writer.put(startOf({ tenantId, runId: "run-1", vars: { a: LARGE, b: [LARGE], small: 1 } }));
    expect(await names()).toEqual(["a", "b"]);
    // The only row of its batch. There is no line then, and with other rows there would be an empty one.
    run = await writer.put(assignOf(run, "b", []));
    expect(await names()).toEqual(["a"]);
    run = await writer.put(assignOf(run, "a", ""));
    expect(await names()).toEqual([]);
    run = await writer.put(assignOf(run, "c", LARGE));
    expect(await names()).toEqual(["c"]);
    run = await writer.put(replaced(run, [LARGE]));
    expect(await names()).toEqual([]);
    run = await writer.put(replaced(run, { d: LARGE }));
    expect(await names()).toEqual(["d"]);
    await writer.put(endOf(run, null));
    expect(await store.runs.delete(run.state)).toBe(true);
    expect(await names()).toEqual([]);
  });

  it("writes nothing of members of vars for refused transitions", async () => {
    const tenantId = newTenant();
    const writer = await openWriter(store);
    const LARGE = "x".repeat(3_000);
    const stale = await writer.put(startOf({ tenantId, runId: "run-1", vars: { a: LARGE, b: LARGE } }));
    await writer.put(assignOf(stale, "small", 1));
    const rows = () => observer`select * from run_parts where tenant_id = ${tenantId} order by part, name`;
    const before = await rows();
    expect(before).toHaveLength(3);
    for (const refused of [assignOf(stale, "a", 1), assignOf(stale, "a", `${LARGE}!`), assignOf(stale, "c", LARGE)]) {
      expect(await writer.commit(refused)).toEqual([conflictOf("seq")]);
    }
    const again = startOf({ tenantId, runId: "run-1", vars: { d: LARGE } });
    expect(await writer.commit(again)).toEqual([conflictOf("run_exists")]);
    expect(await rows()).toEqual(before);
  });

  it("sends each text of a step once, and no text that the step did not change", async () => {
    const tenantId = newTenant();
    const writer = await openWriter(store);
    const LARGE = '"'.repeat(10_000);
    const bytesOf = (transition: Transition) =>
      parameterBytesOf({ laneId: writer.laneId, batchNo: 1, items: [groupOf(transition)] });
    const start = startOf({ tenantId, runId: "run-1", vars: { large: LARGE } });
    // Once as what was given, and once as the member of vars; in JSON each takes twice its characters.
    expect(bytesOf(start)).toBeGreaterThan(40_000);
    expect(bytesOf(start)).toBeLessThan(42_000);
    const run = await writer.put(start);
    expect(bytesOf(assignOf(run, "small", 1))).toBeLessThan(2_000);
  });

  it("treats a run that another transaction has locked as a conflict at once, and moves its neighbours", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const locked = await writer.put(startOf({ tenantId, runId: "locked" }));
    const free = await writer.put(startOf({ tenantId, runId: "free" }));
    const holder = await holdRun("locked");
    // Waiting for the lock would fail after a second, and the holder releases it only afterwards.
    const outcomes = await writer.commit(assignOf(locked, "x", 1), assignOf(free, "x", 1));
    await holder.release();
    expect(outcomes).toEqual([conflictOf("seq"), COMMITTED]);
    expect(await writer.commit(assignOf(locked, "x", 1))).toEqual([COMMITTED]);
  });

  it("finds mail and events that nobody dealt with, also if the clock was set back since", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const run = await writer.put(startOf({ tenantId, runId: "stray" }));
    const channel = { tenantId, scope: "global", scopeId: "" } as const;
    await writer.deliver(mailDelivery(run.state, "cancel"), eventDelivery(eventOf(channel, { name: "go" })));
    await store.events.lookUp([{ channel, names: ["go"], startNumber: 0, cursors: [] }]);
    expect(await store.mail.findStrays(60_000, 10)).toEqual({ mailed: [], channels: [] });
    await observer`update mail set create_time = create_time + interval '1 year' where tenant_id = ${tenantId}`;
    await observer`update channels set emit_time = emit_time + interval '1 year' where tenant_id = ${tenantId}`;
    const strays = { mailed: [{ tenantId, runId: "stray" }], channels: [channel] };
    expect(await store.mail.findStrays(60_000, 10)).toEqual(strays);
    await observer`delete from mail where tenant_id = ${tenantId}`;
    await observer`delete from channels where tenant_id = ${tenantId}`;
  });

  it("does not wait for a locked run to delete, claim or mail it", async () => {
    const writer = await openWriter(store);
    const doomed = await openWriter(store);
    const tenantId = newTenant();
    const run = await doomed.put(startOf({ tenantId, runId: "owned" }, { ownerLane: doomed.laneId }));
    await store.lanes.end(doomed.serverId);
    const holder = await holdRun("owned");
    expect(await store.runs.claim(writer.laneId, 10)).toEqual([]);
    expect(await store.runs.delete(run.state)).toBe(false);
    expect(await writer.deliver(mailDelivery(run.state, "cancel"))).toEqual([COMMITTED]);
    await holder.release();
    expect(await store.runs.claim(writer.laneId, 10)).toEqual([{ tenantId, runId: "owned" }]);
  });

  it("treats mail that another transaction has locked as a conflict at once, and moves its neighbours", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const mailed = await writer.put(startOf({ tenantId, runId: "mailed" }));
    const free = await writer.put(startOf({ tenantId, runId: "free" }));
    await writer.deliver(mailDelivery(mailed.state, "cancel"));
    const consumedMail = (await store.mail.list([mailed.state])).map((mail) => mail.mailId);
    const holder = await hold((sql) => sql`select from mail where tenant_id = ${tenantId} for update`);
    const act = assignOf(mailed, "x", 1, { consumedMail });
    const outcomes = await writer.commit(act, assignOf(free, "x", 1));
    await holder.release();
    expect(outcomes).toEqual([conflictOf("mail"), COMMITTED]);
    expect(await store.runs.load([mailed.state])).toEqual([mailed]);
    expect(await writer.commit(act)).toEqual([COMMITTED]);
    expect(await store.mail.list([mailed.state])).toEqual([]);
  });

  it("refuses to start a run again after waiting for its deletion", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const start = startOf({ tenantId, runId: "run-1" });
    await writer.put(endOf(await writer.put(start), "end"));
    const deletion = await hold(async (sql) => expect(await deleteRun(sql as unknown as Sql, start)).toBe(true));
    const outcomes = writer.commit(start, startOf({ tenantId, runId: "run-2" }));
    await blockedBackend("commit_batch");
    await deletion.release();
    expect(await outcomes).toEqual([conflictOf("run_exists"), COMMITTED]);
    expect(await store.runs.load([start])).toEqual([undefined]);
    expect(await store.ledger.list(start, 0, 10)).toEqual([]);
  });

  it("ends a lease only after the batch in flight, and fences the next", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const channel: Channel = { tenantId, scope: "global", scopeId: "" };
    await writer.deliver(eventDelivery(eventOf(channel, { name: "first" })));
    const holder = await holdChannel(channel);
    const inFlight = writer.deliver(eventDelivery(eventOf(channel, { name: "second" })));
    await blockedBackend("commit_batch");
    const ended = store.lanes.end(writer.serverId);
    await blockedBackend("update lanes set ended_at");
    await holder.release();
    expect(await inFlight).toEqual([{ type: "committed", number: 2 }]);
    await ended;
    const late = writer.deliver(eventDelivery(eventOf(channel, { name: "third" })));
    await expect(late).rejects.toBeInstanceOf(LaneFencedError);
    expect(await store.events.list(channel, 0, 10)).toHaveLength(2);
  });

  it("resolves a batch in flight only after it is decided", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const channel: Channel = { tenantId, scope: "global", scopeId: "" };
    await writer.deliver(eventDelivery(eventOf(channel, { name: "first" })));
    const holder = await holdChannel(channel);
    const inFlight = writer.deliver(eventDelivery(eventOf(channel, { name: "second" })));
    await blockedBackend("commit_batch");
    const resolved = store.batches.resolve(writer.laneId, writer.batchNo());
    await blockedBackend("with voided");
    await holder.release();
    expect(await resolved).toBe("committed");
    expect(await inFlight).toEqual([{ type: "committed", number: 2 }]);
  });

  it("reports an unknown outcome when the connection dies during a batch, and resolves it", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const channel: Channel = { tenantId, scope: "global", scopeId: "" };
    await writer.deliver(eventDelivery(eventOf(channel, { name: "first" })));
    const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
    const holder = await holdChannel(channel);
    const next = assignOf(run, "x", 1, { events: [eventOf(channel, { name: "second" })] });
    const commitFailure = writer.commit(next).catch((error: unknown) => error);
    const pid = await blockedBackend("commit_batch");
    await observer`select pg_terminate_backend(${pid}, 5000)`;
    expect(await commitFailure).toBeInstanceOf(BatchOutcomeUnknownError);
    await holder.release();
    expect(await store.batches.resolve(writer.laneId, writer.batchNo())).toBe("void");
    expect(await store.runs.load([run.state])).toEqual([run]);
    expect(await writer.commit(next)).toEqual([COMMITTED]);
  });

  it("stops waiting for a channel after lock_timeout, and commits nothing", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const channel: Channel = { tenantId, scope: "global", scopeId: "" };
    await writer.deliver(eventDelivery(eventOf(channel, { name: "first" })));
    const holder = await holdChannel(channel);
    const start = startOf({ tenantId, runId: "run-1" });
    const item = groupOf(start);
    const event = { type: "delivery", delivery: eventDelivery(eventOf(channel, { name: "second" })) } as const;
    await expect(writer.commitItems([item, event])).rejects.toBeInstanceOf(BatchContendedError);
    // The part that does not need the channel is not delayed.
    const neighbour = startOf({ tenantId, runId: "run-2" });
    expect(await writer.commit(neighbour)).toEqual([COMMITTED]);
    await holder.release();
    expect(await store.runs.load([start])).toEqual([undefined]);
    expect(await store.events.list(channel, 0, 10)).toHaveLength(1);
    expect((await writer.commitItems([item, event])).map((outcome) => outcome.type)).toEqual([
      "committed",
      "committed",
    ]);
  });

  it("stops waiting to mark a locked channel after lock_timeout", async () => {
    const writer = await openWriter(store);
    const channel: Channel = { tenantId: newTenant(), scope: "global", scopeId: "" };
    await writer.deliver(eventDelivery(eventOf(channel, { name: "first" })));
    const holder = await holdChannel(channel);
    const mark = store.events.markWoken([{ channel, number: 1 }]);
    await expect(mark).rejects.toBeInstanceOf(StoreUnavailableError);
    await holder.release();
    await store.events.markWoken([{ channel, number: 1 }]);
    expect(await store.events.readWoken([channel])).toEqual([{ lastNumber: 1, wokenNumber: 1, isHeard: false }]);
  });

  it("refuses a wait whose channel moved while the commit waited for it", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const channel: Channel = { tenantId, scope: "global", scopeId: "" };
    const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
    const [lookup] = await store.events.lookUp([{ channel, names: ["go"], startNumber: 0, cursors: [] }]);
    assert(lookup !== undefined);
    const emitter = await hold(
      (sql) => sql`update channels set last_number = last_number + 1 where tenant_id = ${tenantId}`,
    );
    const wait = waitOf(
      run,
      { asks: "event", names: ["go"], scope: "global", scope_id: "" },
      { expectChannels: [{ channel, upTo: lookup.upTo }] },
    );
    const outcome = writer.commit(wait);
    await blockedBackend("commit_batch");
    await emitter.release();
    expect(await outcome).toEqual([channelMoved()]);
  });

  it("locks channels in one order, whatever a batch does with them", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    const [a, b]: [Channel, Channel] = [
      { tenantId, scope: "session", scopeId: "a" },
      { tenantId, scope: "session", scopeId: "b" },
    ];
    await writer.deliver(...[a, b].map((channel) => eventDelivery(eventOf(channel, { name: "first" }))));
    for (const [emitted, expected] of [
      [a, b],
      [b, a],
    ] as const) {
      const run = await writer.put(startOf({ tenantId, runId: `emits-${emitted.scopeId}` }));
      const holder = await hold(
        (sql) => sql`select from channels where tenant_id = ${tenantId} and scope_id = 'a' for update`,
      );
      const committed = writer.commit(
        assignOf(run, "x", 1, {
          events: [eventOf(emitted, { name: "e" })],
          expectChannels: [{ channel: expected, upTo: Number.MAX_SAFE_INTEGER }],
        }),
      );
      await blockedBackend("commit_batch");
      // It waits for `a`, so it has not touched `b` yet.
      const free = await observer`
        select scope_id from channels where tenant_id = ${tenantId} for update skip locked`;
      await holder.release();
      expect(await committed).toEqual([COMMITTED]);
      expect(free).toEqual([{ scope_id: "b" }]);
    }
  });

  it("refuses to break an invariant of the tables", async () => {
    const writer = await openWriter(store);
    const tenantId = newTenant();
    // A paused run has no owner.
    const broken = startOf({ tenantId, runId: "run-1" }, { state: { paused: true } });
    broken.after.ownerLane = writer.laneId;
    const neighbour = startOf({ tenantId, runId: "run-2" });
    await expect(writer.commit(broken, neighbour)).rejects.toBeInstanceOf(BatchRejectedError);
    expect(await store.runs.load([broken, neighbour])).toEqual([undefined, undefined]);
  });

  it("hands out the runs of a claim again if its reply was lost", async () => {
    const doomed = await openWriter(store);
    const heir = await openWriter(store);
    const tenantId = newTenant();
    await doomed.put(startOf({ tenantId, runId: "orphan" }, { ownerLane: doomed.laneId }));
    await store.lanes.end(doomed.serverId);
    // Delayed after the row was claimed, and cut before the reply: the store cannot know whether the claim was
    // committed or rolled back.
    const holder = await hold((sql) => sql`lock table runs in share mode`);
    const claim = store.runs.claim(heir.laneId, 10).catch((error: unknown) => error);
    const pid = await blockedBackend("update runs r set owner_lane");
    await observer`select pg_terminate_backend(${pid}, 5000)`;
    expect(await claim).toBeInstanceOf(StoreUnavailableError);
    await holder.release();
    await observer`update runs set owner_lane = ${heir.laneId} where tenant_id = ${tenantId}`;
    expect((await store.lanes.renew(heir.serverId)).hasOrphans).toBe(true);
    expect(await store.runs.claim(heir.laneId, 10)).toEqual([{ tenantId, runId: "orphan" }]);
    expect((await store.lanes.renew(heir.serverId)).hasOrphans).toBe(false);
  });
});

describe("jobs on Postgres", () => {
  let database: TestDatabase;
  let store: Store;
  let sql: Sql;
  let tenants = 0;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = await createPostgresStore({ url: database.url });
    sql = openClient(database.url, { max: 1 });
  });
  afterAll(async () => {
    await store.close();
    await sql.end();
    await database.drop();
  });

  /** Starts a run that creates jobs for the tool "pay". */
  async function startWith(tenantId: string, keys: readonly string[]) {
    const writer = await openWriter(store);
    const jobs = keys.map((key, ordinal) => jobOf(key, { ordinal }));
    return { writer, run: await writer.put(startOf({ tenantId, runId: "run-1" }, { jobs })) };
  }

  async function claimKeys(tenantId: string, count: number): Promise<string[]> {
    const workerSessionIds = Array.from({ length: count }, () => "session-1");
    const jobs = await store.jobs.claim("server-1", [{ tenantId, kind: "tool", name: "pay", workerSessionIds }]);
    return jobs.map((job) => job.idempotencyKey);
  }

  async function stateOf(tenantId: string, idempotencyKey: string): Promise<string | undefined> {
    return (await store.jobs.load([{ tenantId, idempotencyKey }]))[0]?.state;
  }

  /** Opens a transaction that does `work` and keeps its locks until `release`. */
  async function hold(work: (inside: Sql) => Promise<unknown>): Promise<{ release(): Promise<void> }> {
    const client = openClient(database.url, { max: 1 });
    const held = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const transaction = client.begin(async (inside) => {
      await work(inside as unknown as Sql);
      held.resolve();
      await end.promise;
    });
    await Promise.race([held.promise, transaction]);
    return {
      release: async () => {
        end.resolve();
        await transaction;
        await client.end();
      },
    };
  }

  function holdJob(tenantId: string, key: string): Promise<{ release(): Promise<void> }> {
    return hold(
      (inside) => inside`
        select from jobs where tenant_id = ${tenantId} and idempotency_key = ${key} for no key update`,
    );
  }

  async function untilBlocked(): Promise<void> {
    for (;;) {
      const blocked = await sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      if (blocked.length > 0) return;
    }
  }

  it("a claim skips jobs that another transaction has locked", async () => {
    const tenantId = `tenant-${++tenants}`;
    await startWith(tenantId, ["a1", "a2"]);
    const holder = await holdJob(tenantId, "a1");
    expect(await claimKeys(tenantId, 1)).toEqual(["a2"]);
    await holder.release();
    expect(await claimKeys(tenantId, 1)).toEqual(["a1"]);
  });

  it("a locked job is a conflict at once for the transition that settles it, and its neighbours move", async () => {
    const tenantId = `tenant-${++tenants}`;
    const { writer, run } = await startWith(tenantId, ["a1"]);
    const free = await writer.put(startOf({ tenantId, runId: "free" }));
    await claimKeys(tenantId, 1);
    const holder = await holdJob(tenantId, "a1");
    const settle = assignOf(run, "x", 1, { settledJobs: [{ idempotencyKey: "a1", leaseNo: 1 }] });
    const outcomes = await writer.commit(settle, assignOf(free, "x", 1));
    await holder.release();
    expect(outcomes).toEqual([conflictOf("job"), COMMITTED]);
    expect(await store.runs.load([run.state])).toEqual([run]);
    expect(await writer.commit(settle)).toEqual([COMMITTED]);
  });

  it("cancels a job that was claimed while the commit waited for it", async () => {
    const tenantId = `tenant-${++tenants}`;
    const { writer, run } = await startWith(tenantId, ["a1"]);
    const claim = await hold((inside) =>
      claimJobs(inside, "server-1", [{ tenantId, kind: "tool", name: "pay", workerSessionIds: ["session-1"] }]),
    );
    const cancelled = writer.commit(endOf(run, null, { cancelJobs: true }));
    await untilBlocked();
    await claim.release();
    expect(await cancelled).toEqual([COMMITTED]);
    expect(await store.jobs.load([{ tenantId, idempotencyKey: "a1" }])).toMatchObject([
      { state: "cancelled", leaseNo: 1 },
    ]);
  });

  it("holds back a job that was released while the commit waited for it", async () => {
    const tenantId = `tenant-${++tenants}`;
    const { writer, run } = await startWith(tenantId, ["a1"]);
    await claimKeys(tenantId, 1);
    const release = await hold((inside) =>
      releaseJobs(inside, [{ tenantId, idempotencyKey: "a1", leaseNo: 1, isLoss: true }], 3),
    );
    const paused = writer.commit(stepOf(run, "run.paused", { paused: true }, { holdJobs: true }));
    await untilBlocked();
    await release.release();
    expect(await paused).toEqual([COMMITTED]);
    await sql`update runs set paused = false where tenant_id = ${tenantId}`;
    expect(await claimKeys(tenantId, 1)).toEqual([]);
    expect(await stateOf(tenantId, "a1")).toBe("open");
  });

  it("a release, a start and an adoption wait for locked jobs, without keeping others locked", async () => {
    const tenantId = `tenant-${++tenants}`;
    await startWith(tenantId, ["a1", "a2", "a3"]);
    await claimKeys(tenantId, 3);
    const lease = (idempotencyKey: string) => ({ tenantId, idempotencyKey, leaseNo: 1 });
    const holder = await hold(
      (inside) => inside`select from jobs where tenant_id = ${tenantId} and idempotency_key <> 'a2' for no key update`,
    );
    const released = store.jobs.release(
      ["a1", "a2"].map((key) => ({ ...lease(key), isLoss: true })),
      3,
    );
    const started = store.jobs.start([lease("a3")]);
    const adopted = store.jobs.adopt({ tenantId, workerSessionId: "session-1", serverId: "server-2", limit: 10 });
    // Jobs that are not locked are changed and unlocked meanwhile.
    await expect.poll(() => stateOf(tenantId, "a2")).toBe("open");
    const free = await sql`
      select idempotency_key from jobs where tenant_id = ${tenantId} for update skip locked`;
    expect(free.map((row) => row.idempotency_key as string)).toEqual(["a2"]);
    await holder.release();
    expect(await released).toEqual(["open", "open"]);
    expect(await started).toEqual([true]);
    expect((await adopted).map((job) => job.idempotencyKey)).toContain("a3");
  });

  it("reports the database as unavailable if a job stays locked", async () => {
    const tenantId = `tenant-${++tenants}`;
    await startWith(tenantId, ["a1"]);
    await claimKeys(tenantId, 1);
    const holder = await holdJob(tenantId, "a1");
    const started = store.jobs.start([{ tenantId, idempotencyKey: "a1", leaseNo: 1 }]);
    await expect(started).rejects.toBeInstanceOf(StoreUnavailableError);
    await holder.release();
    expect(await stateOf(tenantId, "a1")).toBe("leased");
  });

  it("keeps the last refused result of a job, cut between characters", async () => {
    const tenantId = `tenant-${++tenants}`;
    await startWith(tenantId, ["a1"]);
    const key = { tenantId, idempotencyKey: "a1" };
    await store.jobs.noteRefusedResult(key, { reason: "FIRST", output: "" });
    await store.jobs.noteRefusedResult(key, { reason: "LAST", output: `\0${"ü".repeat(40_000)}` });
    const [row] = await sql<{ refused_results: number; refused_result: string }[]>`
      select refused_results, refused_result from jobs where tenant_id = ${tenantId}`;
    assert(row !== undefined);
    expect(row.refused_results).toBe(2);
    // 64 KiB minus one byte, which would be half a character.
    expect(JSON.parse(row.refused_result)).toEqual({ reason: "LAST", output: `\0${"ü".repeat(32_767)}` });
  });

  it("refuses an incomplete lease", async () => {
    const tenantId = `tenant-${++tenants}`;
    await startWith(tenantId, ["a1"]);
    const half = sql`update jobs set lease_server = 'server-1' where tenant_id = ${tenantId}`;
    await expect(half).rejects.toThrow("jobs_leased_whole");
    const stateless = sql`update jobs set state = 'delayed' where tenant_id = ${tenantId}`;
    await expect(stateless).rejects.toThrow("jobs_delayed_due");
  });
});

/** Commits with a connection of the test. */
const on = (sql: Sql): Pick<Pool, "use"> => ({ use: async (work) => await work(sql) });

describe("plans on Postgres", () => {
  const MANY = 1_000;
  let database: TestDatabase;
  let store: Store;
  let sql: Sql;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = await createPostgresStore({ url: database.url });
    sql = openClient(database.url, { max: 1 });
  });
  afterAll(async () => {
    await store.close();
    await sql.end();
    await database.drop();
  });

  type Reads = { full_scans: number; rows_read: number };

  /** What a statement read from a table: full scans, and rows through indexes. */
  async function readsOf(table: string, work: (inside: Sql) => Promise<unknown>): Promise<Reads> {
    return await sql.begin(async (transaction) => {
      const counters = () =>
        transaction<Reads[]>`
          select seq_scan::bigint as full_scans, coalesce(idx_tup_fetch, 0)::bigint as rows_read
          from pg_stat_xact_user_tables where relname = ${table}`;
      const [before] = await counters();
      await work(transaction as unknown as Sql);
      const [after] = await counters();
      assert(before !== undefined && after !== undefined);
      return { full_scans: after.full_scans - before.full_scans, rows_read: after.rows_read - before.rows_read };
    });
  }

  it("a batch reads only the rows it moves, even with a plan that was made when the table was small", async () => {
    const tenantId = "small";
    const writer = await openWriter(store);
    const first = await writer.put(startOf({ tenantId, runId: "first" }));
    await sql`analyze`;
    let batchNo = writer.batchNo();
    const move = (inside: Sql, run: typeof first) =>
      commit(on(inside), {
        laneId: writer.laneId,
        batchNo: ++batchNo,
        items: [groupOf(assignOf(run, "x", 1))],
      });
    // Plans are made here, on one row, and this connection keeps them.
    await readsOf("runs", (inside) => move(inside, first));
    const others = await openWriter(store);
    const starts = Array.from({ length: MANY }, (_, i) => startOf({ tenantId, runId: `run-${i}` }));
    for (let i = 0; i < MANY; i += 500) await others.commit(...starts.slice(i, i + 500));
    const last = starts.at(-1);
    assert(last !== undefined);
    const reads = await readsOf("runs", (inside) => move(inside, last.after));
    expect(reads.full_scans).toBe(0);
    expect(reads.rows_read).toBeLessThan(10);
  });

  it("large members of vars are written, read and deleted by an index, even with plans for few rows", async () => {
    const tenantId = "large";
    const writer = await openWriter(store);
    const LARGE = "x".repeat(3_000);
    let batchNo = 0;
    const commitOne = async (inside: Sql, transition: Transition): Promise<StoredRun> => {
      batchNo += 1;
      await commit(on(inside), { laneId: writer.laneId, batchNo, items: [groupOf(transition)] });
      return transition.after;
    };
    const work = async (runId: string): Promise<Reads[]> => {
      const reads: Reads[] = [];
      const read = async (one: (inside: Sql) => Promise<unknown>) => reads.push(await readsOf("run_parts", one));
      let run = startOf({ tenantId, runId, vars: { a: LARGE, b: LARGE } }).after;
      await read((inside) => commitOne(inside, startOf({ tenantId, runId, vars: { a: LARGE, b: LARGE } })));
      const [stored] = await loadRuns(sql, [{ tenantId, runId }]);
      assert(stored !== undefined);
      await read(async (inside) => (run = await commitOne(inside, assignOf(stored, "a", `${LARGE}!`))));
      await read(async (inside) => (run = await commitOne(inside, assignOf(run, "b", 1))));
      await read((inside) => loadRuns(inside, [{ tenantId, runId }]));
      await commitOne(sql, endOf(run, null));
      await read((inside) => deleteRun(inside, { tenantId, runId }));
      return reads;
    };
    await sql`analyze`;
    await work("first");
    const others = await openWriter(store);
    for (let i = 0; i < MANY; i += 250) {
      const runIds = Array.from({ length: 250 }, (_, place) => `run-${i + place}`);
      await others.commit(...runIds.map((runId) => startOf({ tenantId, runId, vars: { a: LARGE, b: LARGE } })));
    }
    for (const reads of await work("last")) {
      expect(reads.full_scans).toBe(0);
      expect(reads.rows_read).toBeLessThan(10);
    }
  });

  it("jobs are created, claimed, changed, settled and found by an index, even with plans for one row", async () => {
    const tenantId = "working";
    const writer = await openWriter(store);
    const queue = { tenantId, kind: "tool", name: "pay" } as const;
    const claim = (inside: Sql) =>
      claimJobs(inside, writer.serverId, [{ ...queue, workerSessionIds: ["session-1", "session-1"] }]);
    let leases: (JobLease & { isLoss: boolean })[] = [];
    let batchNo = 0;
    const commitOne = (inside: Sql, transition: Transition) => {
      const batch = { laneId: writer.laneId, batchNo: ++batchNo, items: [groupOf(transition)] } as const;
      return commit(on(inside), batch);
    };
    const runs = new Map<string, StoredRun>();
    const work: [string, (inside: Sql, round: string) => Promise<unknown>][] = [
      [
        "made",
        async (inside, round) => {
          const start = startOf({ tenantId, runId: round }, { jobs: [jobOf(round, { fairnessKey: round })] });
          runs.set(round, start.after);
          await commitOne(inside, start);
        },
      ],
      [
        "claimed",
        async (inside) => {
          leases = (await claim(inside)).map((job) => ({ ...job, isLoss: true }));
        },
      ],
      ["started", (inside) => startJobs(inside, leases.slice(0, 1))],
      [
        "adopted",
        (inside) => adoptJobs(inside, { tenantId, workerSessionId: "session-1", serverId: "server-2", limit: 10 }),
      ],
      ["orphaned", (inside) => listOrphanedLeases(inside, 10)],
      ["released", (inside) => releaseJobs(inside, leases, 3)],
      [
        "settled",
        async (inside, round) => {
          const [job] = await loadJobs(inside, [{ tenantId, idempotencyKey: round }]);
          const retry = { attempt: 2, dueTime: PAST };
          const settledJobs = [{ idempotencyKey: round, leaseNo: job!.leaseNo, retry }];
          expect(await commitOne(inside, assignOf(runs.get(round)!, "x", 1, { settledJobs }))).toEqual([COMMITTED]);
        },
      ],
      ["due", (inside) => claimDueJobs(inside, 10, 0)],
    ];
    // Plans are made here, on one job, and this connection keeps them.
    for (const [what, step] of work) {
      await step(sql, "first");
      if (what === "made") await sql`analyze`;
    }
    for (let i = 0; i < MANY; i += 200) {
      const jobs = Array.from({ length: 200 }, (_, k) => jobOf(`key-${i + k}`, { fairnessKey: `f-${k}` }));
      await commitOne(sql, startOf({ tenantId, runId: `many-${i}` }, { jobs }));
    }
    const reads: (Reads & { what: string })[] = [];
    for (const [what, step] of work) {
      reads.push({ what, ...(await readsOf("jobs", (inside) => step(inside, "second"))) });
    }
    expect(reads.filter((read) => read.full_scans > 0 || read.rows_read > 50)).toEqual([]);
  });

  it("among many rows, an index finds timers, orphans, listeners, open waits, events and runs", async () => {
    const tenantId = "many";
    const writer = await openWriter(store);
    const channel: Channel = { tenantId, scope: "session", scopeId: "busy" };
    const starts = Array.from({ length: MANY }, (_, i) => startOf({ tenantId, runId: `run-${i}` }));
    const waits = starts.map((start, i) =>
      waitOf(
        start.after,
        i % 2 === 0
          ? { asks: "event", names: ["go"], scope: "session", scope_id: "busy", key: `key-${i}` }
          : { asks: "time", due_time: FUTURE },
      ),
    );
    for (let i = 0; i < MANY; i += 500) {
      await writer.commit(...starts.slice(i, i + 500));
      await writer.commit(...waits.slice(i, i + 500));
    }
    const due = await writer.put(startOf({ tenantId, runId: "due" }));
    await writer.put(waitOf(due, { asks: "time", due_time: PAST }));
    const asked = await writer.put(startOf({ tenantId, runId: "asked" }));
    await writer.put(waitOf(asked, { asks: "question" }));
    const events = Array.from({ length: MANY }, (_, i) => eventOf(channel, { name: `n-${i}` }));
    await writer.deliver(...events.slice(0, 500).map(eventDelivery));
    await writer.deliver(...events.slice(500).map(eventDelivery));
    await sql`analyze`;

    const upTo = MANY;
    const query = { channel, names: ["n-999"], startNumber: upTo - 10, cursors: [] };
    const table: [string, string, (inside: Sql) => Promise<unknown>, unknown][] = [
      ["timers", "runs", (inside) => claimDueRuns(inside, 10, 0), { runs: [{ tenantId, runId: "due" }] }],
      ["orphans", "runs", (inside) => claimRuns(inside, writer.laneId, 10), []],
      ["runs", "runs", (inside) => loadRuns(inside, [due.state]), [{ state: { runId: "due" } }]],
      [
        "listeners",
        "waits",
        (inside) => listListeners(inside, { channel, events: [{ name: "go", key: "key-8" }], limit: 10 }),
        [{ runId: "run-8" }],
      ],
      [
        "the inbox",
        "waits",
        (inside) => listWaits(inside, { tenantId, filter: { reasons: ["user"] }, limit: 10 }),
        { items: [{ runId: "asked" }] },
      ],
      ["events", "events", (inside) => lookUpEvents(inside, [query]), [{ upTo, event: { name: "n-999" } }]],
      ["an event's id", "events", (inside) => wasEmitted(inside, channel, events[500]!.eventId), true],
    ];
    const found: unknown[] = [];
    const reads: (Reads & { what: string })[] = [];
    for (const [what, relation, work] of table) {
      const counted = await readsOf(relation, async (inside) => {
        found.push(await work(inside));
      });
      reads.push({ what, ...counted });
    }
    expect(found).toMatchObject(table.map(([, , , expected]) => expected));
    expect(reads.filter((read) => read.full_scans > 0 || read.rows_read > 50)).toEqual([]);
  });
});
