/**
 * docs/postgres.md, "Connections" and "Timeouts": connections that go silent, close early or are not granted. No pool
 * loses a place, and no call waits for ever.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { findPrograms } from "../../../../tests/support/debian-programs.ts";
import { makeCertificate, type RealPostgres, startPostgres } from "../../../../tests/support/real-servers.ts";
import { createTestDatabase, type TestDatabase } from "../../../../tests/support/postgres.ts";
import { openTcpProxy, type TcpProxy } from "../../../../tests/support/tcp-proxy.ts";
import { BatchOutcomeUnknownError, StoreUnavailableError } from "../contract/errors.ts";
import type { Store } from "../contract/store.ts";
import { eventDelivery, eventOf, openWriter } from "../suite/fixtures.ts";
import { createPlace } from "./client.ts";
import { CallTimeoutError, NoRoomError, NotConnectedError } from "./errors.ts";
import { createPools, type Ticks } from "./pools.ts";
import { createPostgresStore } from "./store.ts";

const programs = await findPrograms("postgres");

/** More than any call may take. */
const LONG_TICKS = 20;
const CHANNEL = { tenantId: "tenant-1", scope: "global", scopeId: "" } as const;

/** Time that passes only when a test says so. */
function createTicks() {
  const callbacks = new Set<() => void>();
  const ticks: Ticks = (onTick) => {
    callbacks.add(onTick);
    return () => callbacks.delete(onTick);
  };
  const pass = async (count: number): Promise<void> => {
    for (let passed = 0; passed < count; passed++) {
      for (const callback of callbacks) callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { ticks, pass };
}

let database: TestDatabase;
let admin: postgres.Sql;
beforeAll(async () => {
  database = await createTestDatabase();
  admin = postgres(inject("postgresAdminUrl"), { max: 1, onnotice: () => {} });
});
afterAll(async () => {
  await database.drop();
  await admin.end();
});

async function openStore(options: Partial<Parameters<typeof createPostgresStore>[0]> = {}): Promise<Store> {
  const store = await createPostgresStore({ url: database.url, ...options });
  onTestFinished(() => store.close());
  return store;
}

/** The database's URL for a new role that may have so many connections. */
async function limitedUrl(connections: number): Promise<string> {
  const role = `limited_${Math.random().toString(36).slice(2)}`;
  const owner = decodeURIComponent(new URL(database.url).username);
  await admin.unsafe(`create role ${role} login password 'secret' in role ${owner} connection limit ${connections}`);
  onTestFinished(async () => {
    await admin.unsafe(`drop role ${role}`);
  });
  return Object.assign(new URL(database.url), { username: role, password: "secret" }).href;
}

describe("connections that go silent without closing", () => {
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = await openTcpProxy(database.url);
  });
  afterAll(() => proxy.close());

  /** The sessions of one test's store that have answered: silent ones of other tests stay open. */
  async function idleSessions(name: string): Promise<number> {
    const rows = await admin`
      select pid from pg_stat_activity where application_name = ${name} and state = 'idle' and query <> ''`;
    return rows.length;
  }

  test("are replaced in every pool after the time limit of one call", async () => {
    const { ticks, pass } = createTicks();
    const store = await openStore({ url: `${proxy.url}?application_name=every`, connections: 5, lanes: 1, ticks });
    const heard: string[] = [];
    const lost = Promise.withResolvers<void>();
    await store.notices.listen((payload) => heard.push(payload), lost.resolve);
    const writer = await openWriter(store);
    const { serverId, laneId } = writer;
    const commit = () => writer.deliver(eventDelivery(eventOf(CHANNEL, { name: "n" })));
    const read = () => store.lanes.list(0);
    const renew = () => store.lanes.renew(serverId);
    await Promise.all([read(), read(), renew(), commit()]);
    // All of them are open, also the one whose read was quicker on the other.
    await expect.poll(() => idleSessions("every")).toBe(5);
    const silent = [...proxy.connections];
    for (const connection of silent) connection.blackHole();
    const calls = Promise.allSettled([read(), read(), renew(), commit()]);
    await pass(LONG_TICKS);
    const failures = await calls;
    expect(failures).toEqual([
      ...[1, 2, 3].map(() => ({ status: "rejected", reason: expect.objectContaining({ kind: "timed_out" }) as Error })),
      { status: "rejected", reason: expect.any(BatchOutcomeUnknownError) as Error },
    ]);
    // The next test of the connection that listens.
    await pass(LONG_TICKS);
    await lost.promise;
    await store.notices.listen((payload) => heard.push(payload));
    // New ones everywhere: as many calls as before, without another failure.
    expect(await store.batches.resolve(laneId, writer.batchNo())).toBe("void");
    await Promise.all([read(), read(), renew(), commit()]);
    await store.notices.send("are you there");
    await expect.poll(() => heard).toEqual(["are you there"]);
    expect(proxy.connections.filter((connection) => connection.isWhole)).toHaveLength(5);
  });

  test("cost one time limit, not one for each of them", async () => {
    const { ticks, pass } = createTicks();
    const store = await openStore({ url: `${proxy.url}?application_name=once`, connections: 8, ticks });
    const read = () => store.lanes.list(0);
    await Promise.all([read(), read(), read(), read()]);
    await expect.poll(() => idleSessions("once")).toBe(6);
    for (const connection of proxy.connections) connection.blackHole();
    const call = read();
    call.catch(() => undefined);
    await pass(LONG_TICKS);
    await expect(call).rejects.toMatchObject({ kind: "timed_out" });
    // The other idle connections are as old, so they are not tried.
    await expect(Promise.all([read(), read()])).resolves.toHaveLength(2);
  });

  test("are not waited for when the store is closed", async () => {
    const store = await createPostgresStore({ url: proxy.url });
    await store.lanes.list(0);
    for (const connection of proxy.connections) connection.blackHole();
    await expect(store.close()).resolves.toBeUndefined();
  });
});

describe("encrypted connections", () => {
  const withMode = (mode: string) => `${database.url}?sslmode=${mode}`;

  test("are refused by name where the database offers none, and are not needed if they are only preferred", async () => {
    await expect(openStore({ url: withMode("require") })).rejects.toMatchObject({ code: "ERR_TLS_NOT_OFFERED" });
    const store = await openStore({ url: withMode("prefer") });
    expect(await store.lanes.list(0)).toBeInstanceOf(Array);
  });
});

describe.skipIf(programs.missing !== undefined)("a real database", () => {
  let server: RealPostgres;
  beforeAll(async () => {
    server = await startPostgres(programs);
    const { cert, key } = makeCertificate();
    const files = { cert: await server.write("server.crt", cert), key: await server.write("server.key", key) };
    await server.reload(`ssl = on\nssl_cert_file = '${files.cert}'\nssl_key_file = '${files.key}'`);
  });
  afterAll(() => server.stop());

  function openPool(url: string) {
    const { ticks, pass } = createTicks();
    const pools = createPools(ticks);
    onTestFinished(() => pools.close());
    const pool = pools.add({ name: "tests", place: createPlace(url), size: 1, ticksMax: 15 });
    const isEncrypted = async () =>
      (await pool.use((sql) => sql<{ ssl: boolean }[]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`))[0]!
        .ssl;
    return { pass, isEncrypted };
  }

  test("is reached again after its encrypted connections went silent", async () => {
    const proxy = await openTcpProxy(server.url({ query: "sslmode=require" }));
    onTestFinished(() => proxy.close());
    const { pass, isEncrypted } = openPool(proxy.url);
    expect(await isEncrypted()).toBe(true);
    for (const connection of proxy.connections) connection.blackHole();
    const call = isEncrypted();
    call.catch(() => undefined);
    await pass(LONG_TICKS);
    await expect(call).rejects.toBeInstanceOf(CallTimeoutError);
    expect(await isEncrypted()).toBe(true);
  });

  test("that is suspended holds no call longer than its time, and is reached when it goes on", async () => {
    const { pass, isEncrypted } = openPool(server.url());
    await isEncrypted();
    server.suspend();
    for (const expected of [CallTimeoutError, NotConnectedError]) {
      const call = isEncrypted();
      call.catch(() => undefined);
      await pass(LONG_TICKS);
      await expect(call).rejects.toBeInstanceOf(expected);
    }
    server.resume();
    expect(await isEncrypted()).toBe(false);
  });
});

describe("a place where no database answers", () => {
  /** Opens a port with this behaviour, and a pool that connects to it. */
  async function connectTo(onSocket: (end: () => void) => void) {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.on("error", () => undefined);
      onSocket(() => socket.destroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { ticks, pass } = createTicks();
    const pools = createPools(ticks);
    const place = createPlace(`postgres://u:p@127.0.0.1:${port}/d`);
    const pool = pools.add({ name: "tests", place, size: 2, ticksMax: 15 });
    onTestFinished(async () => {
      await pools.close();
      server.close();
    });
    return { ask: () => pool.use((sql) => sql`select 1`), accepted: () => accepted, pass };
  }

  test("fails a call whose connection is accepted and never answered", async () => {
    const { ask, pass, accepted } = await connectTo(() => undefined);
    const call = ask();
    call.catch(() => undefined);
    await expect.poll(accepted).toBe(1);
    await pass(LONG_TICKS);
    await expect(call).rejects.toMatchObject({ code: "CONNECT_TIMEOUT" });
  });

  test("fails a call at once whose connections are closed as soon as they open", async () => {
    const { ask, accepted } = await connectTo((end) => end());
    await expect(ask()).rejects.toMatchObject({ code: "CONNECTION_CLOSED" });
    expect(accepted()).toBe(1);
  });
});

describe("the time of a call", () => {
  test("includes the wait for a connection, and says that all are in use", async () => {
    const { ticks, pass } = createTicks();
    const pools = createPools(ticks);
    onTestFinished(() => pools.close());
    const pool = pools.add({ name: "tests", place: createPlace(database.url), size: 1, ticksMax: 10 });
    await pool.use((sql) => sql`select 1`);
    const slow = pool.use((sql) => sql`select pg_sleep(60)`);
    const calls = Promise.allSettled([slow, pool.use((sql) => sql`select 1`)]);
    await pass(LONG_TICKS);
    const refusals = await calls;
    const reasons = refusals.map((refusal) => (refusal as PromiseRejectedResult).reason as Error);
    expect(reasons[0]).toBeInstanceOf(CallTimeoutError);
    expect(reasons[1]).toBeInstanceOf(NoRoomError);
    expect(await pool.use((sql) => sql`select 1 as one`)).toEqual([{ one: 1 }]);
  });

  test("does not pass while this process stands still", async () => {
    const tickMs = 20;
    const pools = createPools((onTick) => {
      const timer = setInterval(onTick, tickMs);
      return () => clearInterval(timer);
    });
    onTestFinished(() => pools.close());
    const pool = pools.add({ name: "tests", place: createPlace(database.url), size: 1, ticksMax: 25 });
    await pool.use((sql) => sql`select 1`);
    const answer = pool.use((sql) => sql`select 1 as one`);
    await new Promise((resolve) => setImmediate(resolve));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30 * tickMs);
    expect(await answer).toEqual([{ one: 1 }]);
  });
});

describe("a database that grants few connections", () => {
  test.each([4, 5, 7])("to a role with a limit of %d: everything works with those", async (limit) => {
    const store = await openStore({ url: await limitedUrl(limit) });
    const { serverId, deliver } = await openWriter(store);
    const heard: string[] = [];
    await store.notices.listen((payload) => heard.push(payload));
    const work = Array.from({ length: 20 }, async (_, index) => {
      await store.lanes.list(index);
      if (index % 5 === 0) await store.lanes.renew(serverId);
    });
    await Promise.all(work);
    for (let events = 0; events < 3; events++) await deliver(eventDelivery(eventOf(CHANNEL, { name: "n" })));
    await store.notices.send("n");
    await expect.poll(() => heard).toEqual(["n"]);
    expect(store.shortage()?.granted).toBeLessThan(12);
  });

  test("fails to open if there are not enough to work at all", async () => {
    const opened = createPostgresStore({ url: await limitedUrl(2) });
    await expect(opened).rejects.toMatchObject({ kind: "no_connections", code: "53300" });
    await expect(opened).rejects.toBeInstanceOf(StoreUnavailableError);
  });

  test("commits, the lease and notices get a connection although reads have taken all", async () => {
    const url = await limitedUrl(4);
    const store = await openStore({ url });
    const { serverId, deliver } = await openWriter(store);
    await admin`select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = ${new URL(url).username}`;
    const reads = await Promise.allSettled(Array.from({ length: 8 }, () => store.lanes.list(0)));
    expect(reads).toContainEqual(expect.objectContaining({ status: "fulfilled" }));
    await untilDone(() => deliver(eventDelivery(eventOf(CHANNEL, { name: "n" }))));
    await untilDone(() => store.lanes.renew(serverId));
    await untilDone(() => store.notices.listen(() => undefined));
    await untilDone(() => store.lanes.list(0));
  });

  /** Each attempt may be refused, and makes room for the next one. */
  async function untilDone(work: () => Promise<unknown>): Promise<void> {
    await expect
      .poll(() =>
        work().then(
          () => "done",
          (error: StoreUnavailableError) => error.kind,
        ),
      )
      .toBe("done");
  }
});

test("a server's connections are as many as configured, not more, while all are in use", async () => {
  const url = await limitedUrl(50);
  const store = await openStore({ url, connections: 6, lanes: 2 });
  await store.notices.listen(() => undefined);
  const { serverId, deliver } = await openWriter(store);
  const other = await openWriter(store);
  const commits = [deliver, other.deliver].map((commit) => commit(eventDelivery(eventOf(CHANNEL, { name: "n" }))));
  await Promise.all([
    ...commits,
    store.lanes.renew(serverId),
    ...Array.from({ length: 30 }, () => store.lanes.list(0)),
  ]);
  const rows = await admin`select pid from pg_stat_activity where usename = ${new URL(url).username}`;
  expect(rows).toHaveLength(6);
});
