/**
 * A narrow question over a whole history: each read looks at a bounded number of entries, says how far it is, and
 * loads only what matches.
 */
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller, RunFilter } from "../../server/src/engine/api.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import {
  freshCaller,
  openSharedDatabase,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { askingGraph, graph } from "./graphs.ts";

/** More than one read looks at. */
const RUNS = 12_000;

let database: SharedDatabase;
let server: TestServer;
let sql: postgres.Sql;
let caller: Caller;
let narrow: string;
const reads = new Map<string, number>();

beforeAll(async () => {
  database = await openSharedDatabase("postgres");
  server = await startTestServer(database);
  sql = postgres(database.url, { max: 1, onnotice: () => undefined });
  caller = freshCaller();
  const definition = graph({ done: { complete: { output: "${vars}" } } });
  const old = await startRun(server, caller, definition);
  await untilEnded(server, caller, old.state.runId);
  const asking = askingGraph();
  const waiting = await startRun(server, caller, asking);
  await untilWaiting(server, caller, waiting.state.runId);
  // A history of copies of these two.
  const { tenantId } = caller;
  const copyOf = async (table: string, id: string, columns: string) => {
    const names = await sql<{ column_name: string }[]>`
      select column_name from information_schema.columns where table_name = ${table} order by ordinal_position`;
    const replaced = Object.fromEntries(columns.split(";").map((one) => one.split("=") as [string, string]));
    const values = names.map(({ column_name: name }) => replaced[name] ?? `t.${name}`);
    await sql.unsafe(
      `insert into ${table} (${names.map(({ column_name: name }) => name).join()})
       select ${values.join()} from ${table} t, generate_series(1, ${RUNS}) as n
       where t.tenant_id = $1 and t.run_id = $2`,
      [tenantId, id],
    );
  };
  await copyOf("runs", old.state.runId, "run_id=t.run_id || '-' || n;root_run_id=t.run_id || '-' || n");
  await copyOf("runs", waiting.state.runId, "run_id=t.run_id || '-' || n;root_run_id=t.run_id || '-' || n");
  await copyOf("waits", waiting.state.runId, "wait_id=t.wait_id || n;run_id=t.run_id || '-' || n");
  await server.stop();
  // After the batches of the lane, which has ended.
  await sql`
    insert into feed (tenant_id, lane_id, batch_no, ordinal, run_id, kind, seq, time)
    select f.tenant_id, f.lane_id, f.batch_no + n, f.ordinal, f.run_id || '-' || n, f.kind, f.seq, f.time
    from (select * from feed where tenant_id = ${tenantId} order by batch_no desc limit 1) as f,
      generate_series(1, ${RUNS}) as n`;
  await sql`analyze`;
  server = await startTestServer(database, {}, countReads);
  const facts = { sessionId: "narrow", labels: { of: "narrow" } };
  const last = await server.engine.startRun(caller, startRequest(asking.workflowId, facts));
  narrow = last.state.runId;
  await untilWaiting(server, caller, narrow);
});

afterAll(async () => {
  await server.stop();
  await sql.end();
  await database.close();
});

function countReads(store: Store): Store {
  return {
    ...store,
    runs: { ...store.runs, loadHeads: (keys) => counted("heads", keys.length, store.runs.loadHeads(keys)) },
    feed: { read: (...args) => counted("feed", 1, store.feed.read(...args)) },
  };
}

function counted<T>(what: string, count: number, result: T): T {
  reads.set(what, (reads.get(what) ?? 0) + count);
  return result;
}

test("WatchRuns from the beginning loads only the runs that match, and says how far it is on the way", async () => {
  reads.clear();
  const watch = (sessionId: string, signal: AbortSignal) =>
    server.engine.watchRuns(caller, { filter: { sessionId }, kinds: [], cursor: "beginning", signal });
  const end = new AbortController();
  for await (const { notice } of watch("narrow", end.signal)) if (notice?.run.state.runId === narrow) break;
  const cursors = new Set<string>();
  for await (const { cursor } of watch("nobody", end.signal)) if (cursors.add(cursor).size === 3) break;
  end.abort();
  expect(reads.get("heads")).toBeLessThan(10);
  expect(reads.get("feed")).toBeLessThan(10);
});

describe("lists look at a bounded number of entries, and reach what matches by their pages", () => {
  const filters: [string, RunFilter][] = [
    ["labels", { labels: { of: "narrow" } }],
    ["labels of open runs", { labels: { of: "narrow" }, statuses: ["waiting"] }],
    ["a session", { sessionId: "narrow" }],
    ["a reason and labels", { waitingReasons: ["user"], labels: { of: "narrow" } }],
  ];
  test.each(filters)("runs by %s", async (_, filter) => {
    let pages = 0;
    let pageToken = "";
    const found: string[] = [];
    do {
      const request = { filter, order: "create_time_asc", view: "basic", pageSize: 10, pageToken } as const;
      const page = await server.engine.listRuns(caller, request);
      found.push(...page.runs.map(({ state }) => state.runId));
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken !== "");
    expect(found).toEqual([narrow]);
    const isIndexed = filter.sessionId !== undefined;
    expect(pages > 1).toBe(!isIndexed);
  });

  test("a filter that many match is not looked further than its page", async () => {
    const filter: RunFilter = { statuses: ["completed"] };
    const seen = new Set<string>();
    let pageToken = "";
    for (let pages = 0; pages < 5; pages++) {
      const request = { filter, order: "create_time_asc", view: "basic", pageSize: 100, pageToken } as const;
      const page = await server.engine.listRuns(caller, request);
      expect(page.runs).toHaveLength(100);
      for (const { state } of page.runs) seen.add(state.runId);
      pageToken = page.nextPageToken;
    }
    expect(seen.size).toBe(500);
  });

  test("waits by a session", async () => {
    let pageToken = "";
    let pages = 0;
    const found: string[] = [];
    do {
      const filter = { reasons: [], sessionId: "narrow" };
      const page = await server.engine.listWaits(caller, { filter, pageSize: 10, pageToken });
      found.push(...page.waits.map(({ runId }) => runId));
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken !== "");
    expect(found).toEqual([narrow]);
    expect(pages).toBeGreaterThan(1);
  });
});
