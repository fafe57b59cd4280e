/** Promise 4: a completed effect is never executed again. Of all results of one call, exactly one counts. */
import { describe, expect, test } from "vitest";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import type { Caller, OfferedJob, RunView } from "../../server/src/engine/api.ts";
import {
  freshCaller,
  ledgerProblems,
  movesRun,
  readLedger,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker, type TestWorker } from "../support/test-worker.ts";
import { graph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

const RECONNECT_MS = 150;
const SETTINGS = { renewMs: 50, acceptMs: 1_000, reconnectMs: RECONNECT_MS };

/** Calls `t` once and ends with its result. */
function calling(policy: NodeDefinition["policy"] & {} = {}) {
  const call: NodeDefinition = {
    toolCalls: { calls: [{ name: "t" }] },
    policy: { initialBackoff: "10ms", ...policy },
    resultKey: "found",
    next: [{ to: "done" }],
  };
  return graph({ call, done: { complete: { output: "${vars.found.results[0].output}" } } });
}

describe.each(STORE_KINDS)("promise 4, never twice, on %s", (kind) => {
  const servers = useTwoServers(kind, SETTINGS);

  async function connect(server: TestServer, caller: Caller, facts: Parameters<typeof connectTestWorker>[2] = {}) {
    const worker = await connectTestWorker(server, caller, { toolNames: ["t"], ...facts });
    worker.credit(10);
    return worker;
  }

  /** A run whose one call a worker of server a has accepted. */
  async function begin(policy: NodeDefinition["policy"] & {} = {}) {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling(policy));
    const job = await worker.nextJob();
    worker.accept(job);
    return { a, b, caller, worker, run, job };
  }

  const reconnect = (server: TestServer, caller: Caller, worker: TestWorker, job: OfferedJob) =>
    connect(server, caller, { workerSessionId: worker.sessionId, heldTokens: [job.token] });

  /** The run's end, after a check that exactly one result of its call is in its ledger. */
  async function endedOnce(server: TestServer, caller: Caller, { state: { runId } }: RunView) {
    const { state } = await untilEnded(server, caller, runId);
    const kinds = (await readLedger(server.store, state)).map(
      ({ header }) => (JSON.parse(header) as { kind: string }).kind,
    );
    expect(kinds.filter((one) => one === "call.completed")).toHaveLength(1);
    expect(await ledgerProblems(server.store, state)).toEqual([]);
    return state;
  }

  /** Lets everything become visible that would: round trips, and turns. */
  async function letOut({ a, b }: { a: TestServer; b: TestServer }): Promise<void> {
    for (let round = 0; round < 5; round++) await Promise.all([a.store.now(), b.store.now(), turn()]);
  }

  test("a result and the end of its lease: the result first", async () => {
    const { a, b, caller, worker, run, job } = await begin();
    const other = await connect(b, caller);
    const ending = a.hold("jobs.release", "before");
    worker.connection.receive({ type: "goodbye" });
    await ending.reached;
    // Its result arrives nevertheless, by another way.
    const back = await connect(b, caller);
    expect(await back.complete(job, "in time")).toMatchObject({ status: "accepted" });
    ending.release();
    await letOut({ a, b });
    expect([other.waiting, back.waiting]).toEqual([0, 0]);
    expect((await endedOnce(a, caller, run)).output).toBe("in time");
    for (const each of [other, back]) each.cut();
  });

  test("a result and the end of its lease: the end first, and another worker's result", async () => {
    const { a, b, caller, worker, run, job } = await begin();
    const late = a.hold("batches.commit", "before", movesRun(run.state.runId));
    const lost = worker.complete(job, "late");
    await late.reached;
    // As a server does that considers the worker gone.
    const { tenantId } = caller;
    const { idempotencyKey, leaseNumber: leaseNo } = job;
    expect(await a.store.jobs.release([{ tenantId, idempotencyKey, leaseNo, isLoss: true }], 5)).toEqual(["open"]);
    const other = await connect(b, caller);
    const again = await other.nextJob();
    expect(again).toMatchObject({ idempotencyKey, leaseNumber: 2 });
    other.accept(again);
    expect(await other.complete(again, "second")).toMatchObject({ status: "accepted" });
    late.release();
    expect(await lost).toMatchObject({ status: "refused", reason: "JOB_SETTLED" });
    expect((await endedOnce(a, caller, run)).output).toBe("second");
    for (const each of [worker, other]) each.cut();
  });

  test("a result and the end of its lease: the end first, the job open again", async () => {
    const { a, b, caller, worker, run, job } = await begin();
    const late = a.hold("batches.commit", "before", movesRun(run.state.runId));
    const lost = worker.complete(job, "late");
    await late.reached;
    const { idempotencyKey, leaseNumber: leaseNo } = job;
    await a.store.jobs.release([{ tenantId: caller.tenantId, idempotencyKey, leaseNo, isLoss: true }], 5);
    const other = await connect(b, caller);
    const again = await other.nextJob();
    other.accept(again);
    late.release();
    // No result has counted yet, but the call belongs to another worker now.
    expect(await lost).toMatchObject({ status: "refused", reason: "JOB_LEASE_LOST" });
    expect(await other.complete(again, "second")).toMatchObject({ status: "accepted" });
    expect((await endedOnce(a, caller, run)).output).toBe("second");
    for (const each of [worker, other]) each.cut();
  });

  test.each([
    ["the same", "same", { status: "duplicate" }],
    ["another", "other", { status: "refused", reason: "JOB_SETTLED" }],
  ])("%s result at both servers at once", async (_which, output, ack) => {
    const { a, b, caller, worker, run, job } = await begin();
    const late = a.hold("batches.commit", "before", movesRun(run.state.runId));
    const first = worker.complete(job, "same");
    await late.reached;
    const twin = await connect(b, caller);
    // The one that is committed first counts.
    expect(await twin.complete(job, output)).toMatchObject({ status: "accepted" });
    late.release();
    expect(await first).toMatchObject(ack);
    expect((await endedOnce(b, caller, run)).output).toBe(output);
    for (const each of [worker, twin]) each.cut();
  });

  test("a hundred results of one call, at both servers, together and one after the other", async () => {
    const { a, b, caller, worker, run, job } = await begin();
    const twin = await connect(b, caller);
    for (let n = 0; n < 50; n++) {
      for (const each of [worker, twin]) {
        each.connection.receive({ type: "result", results: [{ token: job.token, outcome: { output: `${n}` } }] });
      }
      if (n % 10 === 0) await turn();
    }
    await endedOnce(a, caller, run);
    await letOut({ a, b });
    const acks = [worker, twin].flatMap(({ frames }) =>
      frames.flatMap((one) => (one.type === "result_ack" ? one.acks : [])),
    );
    expect(acks.filter(({ status }) => status === "accepted")).toHaveLength(1);
    for (const each of [worker, twin]) each.cut();
  });

  test.each(["result", "cancel"])("a result and a cancel: the %s first", async (first) => {
    const { a, b, caller, worker, run, job } = await begin();
    const { runId } = run.state;
    if (first === "result") {
      const late = b.hold("batches.commit", "before", movesRun(runId));
      const cancelled = b.engine.cancelRun(caller, { runId });
      await late.reached;
      expect(await worker.complete(job, "in time")).toMatchObject({ status: "accepted" });
      late.release();
      await cancelled;
      await endedOnce(a, caller, run);
    } else {
      const late = a.hold("batches.commit", "before", movesRun(runId));
      const lost = worker.complete(job, "too late");
      await late.reached;
      await b.engine.cancelRun(caller, { runId });
      late.release();
      expect(await lost).toMatchObject({ status: "refused", reason: "JOB_CANCELLED" });
      const { state } = await untilEnded(a, caller, runId);
      expect(state.status).toBe("cancelled");
      expect(await ledgerProblems(a.store, state)).toEqual([]);
    }
    worker.cut();
  });

  test.each([
    ["the same", "done", { status: "duplicate" }],
    ["another", "done differently", { status: "refused", reason: "JOB_SETTLED" }],
  ])(
    "a server that is killed between commit and acknowledgement: %s result is sent again",
    async (_which, output, ack) => {
      const { b } = servers;
      const caller = freshCaller();
      const doomed = await startTestServer(servers.database, SETTINGS);
      const worker = await connect(doomed, caller);
      const run = await startRun(doomed, caller, calling());
      const job = await worker.nextJob();
      worker.accept(job);
      const committed = doomed.hold("batches.commit", "after", movesRun(run.state.runId));
      worker.connection.receive({
        type: "result",
        results: [{ token: job.token, outcome: { output: JSON.stringify("done") } }],
      });
      await committed.reached;
      const killed = doomed.kill();
      doomed.releaseAll();
      await killed;
      expect(worker.frames.filter(({ type }) => type === "result_ack")).toEqual([]);
      const back = await reconnect(b, caller, worker, job);
      expect(await back.complete(job, output)).toMatchObject(ack);
      expect(back.waiting).toBe(0);
      back.cut();
      // The run goes on at the server that has taken it over.
      await b.store.lanes.end((await worker.frame("welcome")).serverId);
      expect((await endedOnce(b, caller, run)).output).toBe("done");
    },
  );

  test("a result that a killed server never committed counts when it is sent again", async () => {
    const { b } = servers;
    const caller = freshCaller();
    const doomed = await startTestServer(servers.database, SETTINGS);
    const worker = await connect(doomed, caller);
    const run = await startRun(doomed, caller, calling());
    const job = await worker.nextJob();
    worker.accept(job);
    const uncommitted = doomed.hold("batches.commit", "before", movesRun(run.state.runId));
    worker.connection.receive({ type: "result", results: [{ token: job.token, outcome: { output: '"done"' } }] });
    await uncommitted.reached;
    const killed = doomed.kill();
    doomed.releaseAll();
    await killed;
    const back = await reconnect(b, caller, worker, job);
    expect(await back.complete(job, "done")).toMatchObject({ status: "accepted" });
    expect((await endedOnce(b, caller, run)).output).toBe("done");
    back.cut();
  });

  test("the late result of an attempt that timed out does not count, the next attempt's result does", async () => {
    const { a, caller, worker, run, job } = await begin({ timeout: "100ms" });
    const second = await worker.nextJob();
    worker.accept(second);
    expect(second).toMatchObject({ attempt: 2, idempotencyKey: job.idempotencyKey });
    expect(await worker.complete(job, "late")).toMatchObject({ status: "refused" });
    expect(await worker.complete(second, "second")).toMatchObject({ status: "accepted" });
    expect((await endedOnce(a, caller, run)).output).toBe("second");
    worker.cut();
  });

  test("keys are the same for every attempt and lease, and differ between calls, visits and runs", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = graph({
      call: {
        toolCalls: { calls: [{ name: "t" }, { name: "t" }] },
        policy: { initialBackoff: "10ms" },
        next: [{ to: "count" }],
      },
      count: { assign: { values: { n: "${vars.n + 1}" } }, next: [{ to: "call", when: "vars.n < 3" }, { to: "done" }] },
      done: { complete: {} },
    });
    const key = ({ idempotencyKey }: OfferedJob): string => idempotencyKey;
    const seen: string[] = [];
    for (const server of [a, b]) {
      const run = await startRun(server, caller, definition, { vars: { n: 0 } });
      for (let visit = 0; visit < 3; visit++) {
        // Lost by one worker, then failed once, then completed.
        const first = await connect(server, caller);
        const lost = [await first.nextJob(), await first.nextJob()];
        first.accept(...lost);
        first.connection.receive({ type: "goodbye" });
        const worker = await connect(server, caller);
        const again = [await worker.nextJob(), await worker.nextJob()];
        worker.accept(...again);
        for (const job of again) await worker.fail(job, "FLAKY");
        const last = [await worker.nextJob(), await worker.nextJob()];
        worker.accept(...last);
        expect(last.map(({ attempt }) => attempt)).toEqual([2, 2]);
        const keys = lost.map(key).toSorted();
        expect(again.map(key).toSorted()).toEqual(keys);
        expect(last.map(key).toSorted()).toEqual(keys);
        expect(keys[0]).toMatch(/^[a-z2-7]{52}$/);
        seen.push(...keys);
        // The connection ends before the next visit, so its jobs wait for the next worker.
        worker.connection.receive({ type: "drain" });
        for (const job of last) await worker.complete(job, 1);
        worker.cut();
      }
      const { state } = await untilEnded(server, caller, run.state.runId);
      expect(await ledgerProblems(server.store, state)).toEqual([]);
    }
    expect(new Set(seen).size).toBe(12);
  });
});
