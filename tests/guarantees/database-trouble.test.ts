/**
 * docs/postgres.md, "What the log says". A database that is there and in trouble: requests are refused with the kind of
 * the trouble, the log says it once, health says it too, nothing acknowledged is lost, and everything goes on by itself
 * afterwards.
 */
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { DomainError } from "../../server/src/core/errors.ts";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import {
  freshCaller,
  ledgerProblems,
  openSharedDatabase,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
} from "../support/engine.ts";
import { openTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { countingGraph, graph } from "./graphs.ts";

const ROLE = "trouble";

let database: SharedDatabase;
let proxy: TcpProxy;
let server: TestServer;
/** A superuser in the server's database. */
let admin: postgres.Sql;
/** A superuser elsewhere. */
let outside: postgres.Sql;
let name: string;

beforeAll(async () => {
  database = await openSharedDatabase("postgres");
  const adminUrl = inject("postgresAdminUrl");
  name = new URL(database.url).pathname.slice(1);
  outside = postgres(adminUrl, { max: 1, onnotice: () => {} });
  admin = postgres(Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href, { max: 1, onnotice: () => {} });
  await outside.unsafe(`create role ${ROLE} login password 'secret'`);
  await admin.unsafe(`grant all on all tables in schema public to ${ROLE}`);
  await admin.unsafe(`grant all on all sequences in schema public to ${ROLE}`);
  const url = Object.assign(new URL(database.url), { username: ROLE, password: "secret" }).href;
  proxy = await openTcpProxy(url);
  const throughProxy = { ...database, openStore: () => createPostgresStore({ url: proxy.url }) };
  server = await startTestServer(throughProxy, { renewMs: 100, strayMs: 200 });
});
afterAll(async () => {
  await server.stop();
  await proxy.close();
  await admin.unsafe(`drop owned by ${ROLE}`);
  await admin.end();
  await database.close();
  await outside.unsafe(`drop role ${ROLE}`);
  await outside.end();
});

async function endSessions(): Promise<void> {
  await outside`select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = ${ROLE}`;
}

/** Makes every insert into these tables fail as it would on a full disk. */
const FULL_DISK = `
  create function fail_full() returns trigger language plpgsql as
    $$ begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;
  create trigger full_disk before insert on step_records for each row execute function fail_full();
  create trigger full_disk before insert on settings for each row execute function fail_full()`;

const TROUBLES = [
  {
    title: "an outage",
    begin: async () => proxy.cut(),
    end: () => proxy.accept(),
    kind: "unreachable",
    problem: "database_unreachable",
  },
  {
    title: "a read-only database",
    begin: async () => {
      await outside.unsafe(`alter database ${name} set default_transaction_read_only = on`);
      await endSessions();
    },
    end: async () => {
      await outside.unsafe(`alter database ${name} reset default_transaction_read_only`);
      await endSessions();
    },
    kind: "refuses_writes",
    problem: "database_refuses_writes",
    code: "25006",
  },
  {
    title: "a full disk",
    begin: () => admin.unsafe(FULL_DISK),
    end: () => admin.unsafe("drop function fail_full cascade"),
    kind: "disk_full",
    problem: "database_full",
    code: "53100",
  },
  {
    title: "no more connections",
    begin: async () => {
      await outside.unsafe(`alter role ${ROLE} connection limit 0`);
      await endSessions();
    },
    end: () => outside.unsafe(`alter role ${ROLE} connection limit -1`),
    kind: "no_connections",
    problem: "database_refuses_connections",
    code: "53300",
  },
  {
    title: "another password",
    begin: async () => {
      await outside.unsafe(`alter role ${ROLE} password 'other'`);
      await endSessions();
    },
    end: () => outside.unsafe(`alter role ${ROLE} password 'secret'`),
    kind: "login_refused",
    problem: "database_refuses_login",
    code: "28P01",
  },
  {
    title: "a grant that was revoked",
    begin: () => admin.unsafe(`revoke insert on step_records from ${ROLE}`),
    end: () => admin.unsafe(`grant insert on step_records to ${ROLE}`),
    kind: "permission_denied",
    problem: "database_denies_permission",
    code: "42501",
  },
  {
    title: "a table that is gone",
    begin: () => admin.unsafe("alter table step_records rename to hidden"),
    end: () => admin.unsafe("alter table hidden rename to step_records"),
    kind: "schema_missing",
    problem: "database_lacks_schema",
    code: "42P01",
  },
] as const;

describe.each(TROUBLES)("$title", ({ begin, end, kind, problem, ...rest }) => {
  const isLasting = ["login_refused", "permission_denied", "schema_missing"].includes(kind);
  const code: string | undefined = "code" in rest ? rest.code : undefined;
  let isOver = true;

  beforeEach(() => {
    server.news.length = 0;
  });
  afterEach(async () => {
    if (!isOver) await end();
    await expect.poll(() => server.engine.isServing(), { timeout: 30_000 }).toBe(true);
  });

  test("is named to callers, in the log and by health, harms no run, and passes by itself", async () => {
    const caller = freshCaller();
    const idle = graph({ done: { complete: {} } });
    await server.engine.registerWorkflow(caller, idle);
    const counting = countingGraph();
    counting.nodes["count"]!.next = [{ to: "count", when: "vars.n < 500" }, { to: "done" }];
    const active = await startRun(server, caller, counting);
    const acknowledged = (await server.engine.startRun(caller, startRequest(idle.workflowId))).state.runId;

    isOver = false;
    await begin();
    const start = startRequest(idle.workflowId);
    const refusals: DomainError[] = [];
    await expect
      .poll(
        async () => {
          const refusal = await server.engine.startRun(caller, start).then(
            () => undefined,
            (error: unknown) => error as DomainError,
          );
          if (refusal !== undefined) refusals.push(refusal);
          return refusal?.metadata["kind"];
        },
        { timeout: 30_000 },
      )
      .toBe(kind);
    const refusal = refusals.at(-1)!;
    expect(refusal.reason).toBe(isLasting ? "DATABASE_MISCONFIGURED" : "DATABASE_UNAVAILABLE");
    if (code !== undefined) expect(refusal.metadata).toMatchObject({ code });
    expect(refusal.retryAfterMs).toBe(isLasting ? undefined : 1_000);
    await expect.poll(() => server.engine.isServing()).toBe(false);
    const known = server.engine.problems().find((each) => each.kind === problem);
    expect(known).toMatchObject({ since: expect.stringMatching(/^20.*Z$/) as string });
    expect(JSON.stringify(known)).not.toContain(ROLE);

    await end();
    isOver = true;
    await expect.poll(() => server.engine.isServing(), { timeout: 30_000 }).toBe(true);
    const again = (await server.engine.startRun(caller, start)).state.runId;
    expect(again).toBe(start.runId);
    for (const runId of [acknowledged, again]) {
      expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
    }
    expect((await untilEnded(server, caller, active.state.runId)).state.output).toEqual({ n: 500 });
    expect(await ledgerProblems(server.store, active.state)).toEqual([]);
    expect(server.errors).toEqual([]);
    const lines = server.news.filter((each) => each.problem === problem);
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    if (code !== undefined) expect(lines[0]).toMatchObject({ code });
  });
});

describe("sessions that are ended again and again", () => {
  test("lose nothing that was acknowledged", async () => {
    const caller = freshCaller();
    const idle = graph({ done: { complete: {} } });
    await server.engine.registerWorkflow(caller, idle);
    let isOver = false;
    const acknowledged: string[] = [];
    const load = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await server.engine.startRun(caller, startRequest(idle.workflowId)).then(
          ({ state }) => acknowledged.push(state.runId),
          (error: unknown) => expect((error as DomainError).reason).toBe("DATABASE_UNAVAILABLE"),
        );
      }
    });
    for (let storms = 0; storms < 5; storms++) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(before + 20);
      await endSessions();
    }
    isOver = true;
    await Promise.all(load);
    for (const runId of acknowledged) expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
    expect(server.errors).toEqual([]);
  });
});
