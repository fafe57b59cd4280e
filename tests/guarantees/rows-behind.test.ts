/**
 * Runs whose rows are behind their ledgers: every reader sees the ledger, and a server that takes over goes on after
 * its last record.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { Json } from "../../server/src/core/json/json.ts";
import type { Caller, StartRequest } from "../../server/src/engine/api.ts";
import { BatchOutcomeUnknownError } from "../../server/src/store/contract/errors.ts";
import type { StoredRun } from "../../server/src/store/contract/runs.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import {
  emitRequest,
  freshCaller,
  ledgerProblems,
  movesRun,
  openSharedDatabase,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker, type TestWorker } from "../support/test-worker.ts";
import { graph } from "./graphs.ts";

const QUICK = { renewMs: 20, leaseMs: 200, handlerParkMs: 5_000 };
const LARGE = "large ü😀 ".repeat(500);

/** Handlers, one after the other, with a commit for each step; a handler may make the run wait for an event. */
const counting = () =>
  graph(
    {
      count: { handler: {}, next: [{ to: "count" }, { to: "listen" }, { to: "done" }] },
      listen: {
        waitEvent: { names: ["go"], scope: "SCOPE_GLOBAL" },
        resultKey: "event",
        next: [{ to: "count" }],
      },
      done: { complete: { output: "${vars.n}" } },
    },
    { commitEveryStep: true },
  );

type Vars = { n: number; [name: string]: Json };

/** Takes one step of any run that the worker is offered. @returns what the handler was given, and the step's key */
async function step(
  worker: TestWorker,
  plan: { patch?: Json[]; nextNode?: string } = {},
): Promise<{ vars: Vars; key: string }> {
  worker.credit(1);
  const job = await worker.nextJob();
  worker.accept(job);
  const { vars } = JSON.parse(job.payload) as { vars: Vars };
  const patch = plan.patch ?? [{ op: "set", path: "/n", value: vars.n + 1 }];
  const ack = await worker.complete(job, { patch, nextNode: plan.nextNode ?? "count" });
  expect(ack).toMatchObject({ status: "accepted" });
  return { vars, key: job.idempotencyKey };
}

describe.each(STORE_KINDS)("rows behind their ledgers, on %s", (kind) => {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  /** A server with a worker, and as many further servers as the test needs, on a database of their own. */
  async function setUp(wrap?: (store: Store) => Store): Promise<{
    a: TestServer;
    caller: Caller;
    worker: TestWorker;
    another(): Promise<{ server: TestServer; worker: TestWorker }>;
    start(facts?: Partial<StartRequest>): Promise<TestedRun>;
  }> {
    const database = await openSharedDatabase(kind);
    ends.push(() => database.close());
    const caller = freshCaller();
    const definition = counting();
    const workflows = [{ workflowId: definition.workflowId, versions: [] }];
    const open = async () => {
      const server = await startTestServer(database, QUICK, wrap);
      ends.push(() => server.stop());
      return { server, worker: await connectTestWorker(server, caller, { workflows }) };
    };
    const { server: a, worker } = await open();
    return {
      a,
      caller,
      worker,
      another: open,
      async start(facts = {}) {
        const run = await startRun(a, caller, definition, { vars: { n: 0, text: LARGE }, ...facts });
        const key = { ...caller, runId: run.state.runId };
        const read = async (): Promise<StoredRun> => {
          const [stored] = await a.store.runs.load([key]);
          if (stored === undefined) throw new Error("the run does not exist");
          return stored;
        };
        return { ...key, read };
      },
    };
  }

  type TestedRun = Caller & { runId: string; read(): Promise<StoredRun> };

  /**
   * Takes steps until the row is behind. On a slow machine a step may take so long that the row is written.
   * @returns the steps' keys
   */
  async function stepUntilBehind(worker: TestWorker, run: TestedRun): Promise<string[]> {
    const keys: string[] = [];
    do {
      expect(keys.length).toBeLessThan(60);
      keys.push((await step(worker)).key);
    } while ((await run.read()).behind === undefined);
    return keys;
  }

  test("another server shows the run as in its ledger, and goes on from there after the first one dies", async () => {
    const { a, caller, worker, another, start } = await setUp();
    const { server: b, worker: heir } = await another();
    const run = await start();
    const keys = [(await step(worker)).key, ...(await stepUntilBehind(worker, run))];
    const n = keys.length;
    const place = { seq: n + 1, steps: n };
    expect((await b.engine.getRun(caller, run.runId, "full")).state).toMatchObject({ ...place, vars: { n } });
    expect((await b.engine.getRun(caller, run.runId, "basic")).state).toMatchObject({ ...place, vars: null });
    expect(await ledgerProblems(b.store, run)).toEqual([]);
    await a.kill();
    for (const nextNode of ["count", "count", "done"]) {
      const { vars, key } = await step(heir, { nextNode });
      expect(vars).toMatchObject({ n: keys.length, text: LARGE });
      keys.push(key);
    }
    const { state } = await untilEnded(b, caller, run.runId);
    expect(state).toMatchObject({ status: "completed", output: n + 3, seq: n + 5 });
    expect(new Set(keys).size).toBe(n + 3);
    expect(await ledgerProblems(b.store, state)).toEqual([]);
    expect((await b.store.runs.load([state]))[0]?.behind).toBeUndefined();
  });

  test("requests for such a run act on its latest state: a pause, a cancellation", async () => {
    const { caller, worker, another, start } = await setUp();
    const { server: b } = await another();
    const run = await start();
    const n = (await stepUntilBehind(worker, run)).length;
    const { runId } = run;
    await b.engine.pauseRun(caller, { runId });
    const full = async () => (await b.engine.getRun(caller, runId, "full")).state;
    await expect.poll(full).toMatchObject({ paused: true, vars: { n, text: LARGE } });
    expect((await run.read()).behind).toBeUndefined();
    await b.engine.unpauseRun(caller, { runId });
    await expect.poll(full).toMatchObject({ paused: false });
    await b.engine.cancelRun(caller, { runId });
    const { state } = await untilEnded(b, caller, runId);
    expect(state).toMatchObject({ status: "cancelled", vars: { n } });
    expect(await ledgerProblems(b.store, state)).toEqual([]);
  });

  test("a row is behind by 64 steps at most", async () => {
    const { a, caller, worker, start } = await setUp();
    const run = await start();
    const distances: number[] = [];
    for (let n = 0; n < 150; n++) {
      await step(worker);
      const { state, behind } = await run.read();
      distances.push(state.seq - (behind?.seq ?? state.seq));
    }
    expect(Math.max(...distances)).toBeGreaterThan(0);
    expect(Math.max(...distances)).toBeLessThanOrEqual(64);
    await step(worker, { nextNode: "done" });
    const { state } = await untilEnded(a, caller, run.runId);
    expect(state).toMatchObject({ status: "completed", output: 151 });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
  });

  test("lists show each run once, though it has gone on since its row was written", async () => {
    const { a, caller, worker, start } = await setUp();
    const runIds: string[] = [];
    for (let count = 0; count < 30; count++) {
      runIds.push((await start()).runId);
      await step(worker);
    }
    for (const pageSize of [1, 50]) {
      const seen: string[] = [];
      let pageToken = "";
      do {
        const request = { filter: {}, order: "update_time_desc", view: "basic", pageSize, pageToken } as const;
        const page = await a.engine.listRuns(caller, request);
        seen.push(...page.runs.map(({ state }) => state.runId));
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && seen.length <= runIds.length);
      expect(seen).toEqual(runIds.toReversed());
    }
  });

  test.each(["committed", "void"])("a step of unknown outcome, which is %s, is taken once", async (outcome) => {
    const { a, caller, worker, start } = await setUp();
    const run = await start();
    const n = (await stepUntilBehind(worker, run)).length;
    const held = a.hold("batches.commit", outcome === "committed" ? "after" : "before", movesRun(run.runId));
    const stepping = step(worker);
    await held.reached;
    held.release(new BatchOutcomeUnknownError("the connection died"));
    await stepping;
    expect((await step(worker, { nextNode: "done" })).vars.n).toBe(n + 1);
    const { state } = await untilEnded(a, caller, run.runId);
    expect(state).toMatchObject({ status: "completed", output: n + 2, seq: n + 4 });
    expect(await ledgerProblems(a.store, run)).toEqual([]);
    expect(a.errors).toEqual([]);
  });

  test("a commit that exists but cannot be confirmed yet does not strand its run", async () => {
    const { a, caller, worker, start } = await setUp();
    const run = await start();
    await stepUntilBehind(worker, run);
    const committed = a.hold("batches.commit", "after", movesRun(run.runId));
    const asked = a.hold("ledger.list", "before");
    const stepping = step(worker);
    await committed.reached;
    committed.release(new BatchOutcomeUnknownError("the connection died"));
    await asked.reached;
    asked.release(new Error("an answer without content"));
    await stepping;
    await step(worker, { nextNode: "done" });
    expect((await untilEnded(a, caller, run.runId)).state.status).toBe("completed");
    expect(await ledgerProblems(a.store, run)).toEqual([]);
  });

  test("a run reaches its deadline while its row is behind", async () => {
    const { a, caller, worker, start } = await setUp();
    const run = await start({ limits: { runTimeout: "1s" } });
    const n = (await stepUntilBehind(worker, run)).length;
    const { state } = await untilEnded(a, caller, run.runId);
    expect(state).toMatchObject({ status: "failed", vars: { n } });
    expect(await ledgerProblems(a.store, run)).toEqual([]);
  });

  test("steps that leave the row behind take an existing event once", async () => {
    const { a, caller, worker, start } = await setUp();
    const run = await start();
    for (const payload of [1, 2]) await a.engine.emitEvent(caller, emitRequest("go", { payload }));
    await step(worker, { nextNode: "listen" });
    const first = await step(worker, { nextNode: "listen" });
    const second = await step(worker, { nextNode: "done" });
    expect([first, second].map(({ vars }) => vars["event"])).toMatchObject([{ payload: 1 }, { payload: 2 }]);
    expect((await untilEnded(a, caller, run.runId)).state.status).toBe("completed");
    expect(await ledgerProblems(a.store, run)).toEqual([]);
  });
});
