/** Runs whose rows are behind their ledgers: whoever looks sees the ledger, and whoever takes over goes on behind its last record. */
import { describe, expect, test } from "vitest";
import type { Caller } from "../../server/src/engine/api.ts";
import type { Store, StoredRun } from "../../server/src/store/contract.ts";
import { BASIC_FORMAT } from "../../server/src/store/run-format.ts";
import {
  freshCaller,
  ledgerProblems,
  openSharedDatabase,
  readLedger,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker, type TestWorker } from "../support/test-worker.ts";
import { graph } from "./graphs.ts";

const QUICK = { lookAroundMs: 20, leaseMs: 200, handlerParkMs: 5_000 };
const LARGE = "large ü😀 ".repeat(500);

const counting = () =>
  graph(
    { count: { handler: {}, next: [{ to: "count" }, { to: "done" }] }, done: { complete: { output: "${vars.n}" } } },
    { commitEveryStep: true },
  );

function workerOf(server: TestServer, caller: Caller, { workflowId }: { workflowId: string }): Promise<TestWorker> {
  return connectTestWorker(server, caller, { workflows: [{ workflowId, versions: [] }] });
}

/** Has the worker take steps until `n` is this. @returns the keys of the steps */
async function countTo(worker: TestWorker, to: number, { end = false } = {}): Promise<string[]> {
  const keys: string[] = [];
  worker.credit(1);
  for (;;) {
    const job = await worker.nextJob();
    worker.accept(job);
    const { n, text } = (JSON.parse(job.payload) as { vars: { n: number; text: string } }).vars;
    expect(text).toBe(LARGE);
    keys.push(job.idempotencyKey);
    const isLast = n + 1 === to;
    const patch = [{ op: "set", path: "/n", value: n + 1 }];
    const ack = await worker.complete(job, { patch, nextNode: isLast && end ? "done" : "count" });
    expect(ack).toMatchObject({ status: "accepted" });
    if (isLast) return keys;
    worker.credit(1);
  }
}

async function storedRun(store: Store, caller: Caller, runId: string): Promise<StoredRun> {
  const [run] = await store.loadRuns([{ ...caller, runId }]);
  if (run === undefined) throw new Error(`${runId} is not there`);
  return run;
}

/** Has the worker take steps until the row is behind; on a slow machine each step may be long enough for its row to be written. */
async function countUntilBehind(
  worker: TestWorker,
  { from, read }: { from: number; read: () => Promise<StoredRun> },
): Promise<{ n: number; keys: string[] }> {
  const keys: string[] = [];
  for (let n = from + 1; n < from + 60; n++) {
    keys.push(...(await countTo(worker, n)));
    if ((await read()).behind !== undefined) return { n, keys };
  }
  throw new Error("no row was left behind");
}

describe.each(STORE_KINDS)("rows behind their ledgers, on %s", (kind) => {
  test("another server shows the run as its ledger says, and goes on behind it when the first one is killed", async () => {
    const database = await openSharedDatabase(kind);
    const [a, b] = [await startTestServer(database, QUICK), await startTestServer(database, QUICK)];
    const caller = freshCaller();
    const definition = counting();
    const worker = await workerOf(a, caller, definition);
    const { runId } = (await startRun(a, caller, definition, { vars: { n: 0, text: LARGE } })).state;
    const keys = await countTo(worker, 5);
    const { n, keys: more } = await countUntilBehind(worker, {
      from: 5,
      read: () => storedRun(b.store, caller, runId),
    });
    keys.push(...more);
    const place = { seq: n + 1, steps: n };
    expect((await b.engine.getRun(caller, runId, "full")).state).toMatchObject({ ...place, vars: { n } });
    expect((await b.engine.getRun(caller, runId, "basic")).state).toMatchObject({ ...place, vars: null });
    expect(await ledgerProblems(b.store, { ...caller, runId })).toEqual([]);
    const heir = await workerOf(b, caller, definition);
    await a.kill();
    keys.push(...(await countTo(heir, n + 3, { end: true })));
    const { state } = await untilEnded(b, caller, runId);
    expect(state).toMatchObject({ status: "completed", output: n + 3, seq: n + 5 });
    expect(new Set(keys).size).toBe(n + 3);
    expect(await ledgerProblems(b.store, state)).toEqual([]);
    expect((await storedRun(b.store, caller, runId)).behind).toBeUndefined();
    await b.stop();
    await database.close();
  });

  test("what is asked of such a run finds it where it is: a pause, a cancellation", async () => {
    const database = await openSharedDatabase(kind);
    const [a, b] = [await startTestServer(database, QUICK), await startTestServer(database, QUICK)];
    const caller = freshCaller();
    const definition = counting();
    const worker = await workerOf(a, caller, definition);
    const { runId } = (await startRun(a, caller, definition, { vars: { n: 0, text: LARGE } })).state;
    const { n } = await countUntilBehind(worker, { from: 0, read: () => storedRun(b.store, caller, runId) });
    await b.engine.pauseRun(caller, { runId });
    await expect
      .poll(async () => (await b.engine.getRun(caller, runId, "full")).state)
      .toMatchObject({
        paused: true,
        vars: { n, text: LARGE },
      });
    expect((await storedRun(b.store, caller, runId)).behind).toBeUndefined();
    await b.engine.unpauseRun(caller, { runId });
    await expect.poll(async () => (await b.engine.getRun(caller, runId, "basic")).state.paused).toBe(false);
    await b.engine.cancelRun(caller, { runId });
    const { state } = await untilEnded(b, caller, runId);
    expect(state).toMatchObject({ status: "cancelled", vars: { n } });
    expect(await ledgerProblems(b.store, state)).toEqual([]);
    await Promise.all([a.stop(), b.stop()]);
    await database.close();
  });

  test("a row is never more than 64 steps behind", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, QUICK);
    const caller = freshCaller();
    const definition = counting();
    const worker = await workerOf(a, caller, definition);
    const { runId } = (await startRun(a, caller, definition, { vars: { n: 0, text: LARGE } })).state;
    for (let to = 20; to <= 160; to += 20) {
      await countTo(worker, to, { end: to === 160 });
      const { state, behind } = await storedRun(a.store, caller, runId);
      expect(state.seq - (behind?.seq ?? state.seq)).toBeLessThanOrEqual(64);
    }
    const { state } = await untilEnded(a, caller, runId);
    expect(state).toMatchObject({ status: "completed", output: 160 });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
    await a.stop();
    await database.close();
  });

  test("none is left behind, and no vars are kept apart, while a server of the release before is there", async () => {
    const database = await openSharedDatabase(kind);
    let isOlderThere = true;
    const a = await startTestServer(database, QUICK, (store) => ({
      ...store,
      async lookAround(serverId) {
        const seen = await store.lookAround(serverId);
        const older = { serverId: "before", process: "before", renewals: seen.others.length, runFormat: BASIC_FORMAT };
        return isOlderThere ? { ...seen, others: [...seen.others, older] } : seen;
      },
    }));
    const caller = freshCaller();
    const definition = counting();
    const worker = await workerOf(a, caller, definition);
    const { runId } = (await startRun(a, caller, definition, { vars: { n: 0, text: LARGE } })).state;
    await countTo(worker, 3);
    const whole = await storedRun(a.store, caller, runId);
    expect(whole).toMatchObject({ format: BASIC_FORMAT, state: { seq: 4 } });
    expect(whole.behind).toBeUndefined();
    isOlderThere = false;
    const looked = a.hold("lookAround", "after");
    await looked.reached;
    looked.release();
    const lookedAgain = a.hold("lookAround", "before");
    await lookedAgain.reached;
    lookedAgain.release();
    // The first step writes the row anew, with its vars apart; those behind it may be left out of it.
    const { n } = await countUntilBehind(worker, { from: 3, read: () => storedRun(a.store, caller, runId) });
    const apart = await storedRun(a.store, caller, runId);
    expect(apart.format).toBeGreaterThan(BASIC_FORMAT);
    expect(apart.state).toMatchObject({ seq: n + 1, vars: { n, text: LARGE } });
    expect(apart.behind?.seq).toBeGreaterThan(4);
    expect(await readLedger(a.store, { ...caller, runId })).toHaveLength(n + 1);
    expect(await ledgerProblems(a.store, { ...caller, runId })).toEqual([]);
    await a.stop();
    await database.close();
  });
});
