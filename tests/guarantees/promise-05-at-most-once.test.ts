/**
 * Promise 5: a job that is delivered at most once and may have run is never run again silently. For now the call fails
 * with OUTCOME_UNKNOWN; asking a person comes later.
 */
import { describe, expect, test } from "vitest";
import type { Caller } from "../../server/src/engine/api.ts";
import {
  freshCaller,
  ledgerProblems,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { connectTestWorker, toolOf } from "../support/test-worker.ts";
import { graph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

const SETTINGS = { renewMs: 50, acceptMs: 300, reconnectMs: 100, orphanMs: 200 };

function calling(policy = {}) {
  const toolCalls = { calls: [{ name: "pay" }] };
  return graph({
    call: { toolCalls, policy, resultKey: "found", next: [{ to: "done" }] },
    done: { complete: { output: "${vars.found.results[0]}" } },
  });
}

/** Either the graph says it, or the worker does for the tool that it serves. */
const WAYS = [
  ["the node's policy", { delivery: "DELIVERY_AT_MOST_ONCE" }, undefined],
  ["the worker's tool", {}, "at_most_once"],
] as const;

describe.each(STORE_KINDS)("promise 5, at most once, on %s", (kind) => {
  const servers = useTwoServers(kind, SETTINGS);

  async function connect(server: TestServer, caller: Caller, delivery?: "at_most_once") {
    const tools = [toolOf("pay", delivery === undefined ? {} : { delivery })];
    const worker = await connectTestWorker(server, caller, { tools });
    worker.credit(10);
    return worker;
  }

  test.each(WAYS)("a started job whose worker is lost is not offered again: by %s", async (_way, policy, delivery) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller, delivery);
    const run = await startRun(a, caller, calling(policy));
    const job = await worker.nextJob();
    expect(job.delivery).toBe("at_most_once");
    worker.accept(job);
    expect(await worker.frame("start")).toMatchObject({ tokens: [job.token] });
    const other = await connect(b, caller, delivery);
    worker.cut();
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ success: false, error: { code: "OUTCOME_UNKNOWN", retryable: false } });
    expect(other.waiting).toBe(0);
    expect(await other.complete(job, "late")).toMatchObject({ status: "refused", reason: "JOB_SETTLED" });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
    other.cut();
  });

  test("no job begins before its start is committed; a job that did not begin is offered again", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling(WAYS[0][1]));
    const job = await worker.nextJob();
    const starting = a.hold("jobs.start", "before");
    worker.accept(job);
    await starting.reached;
    for (let round = 0; round < 5; round++) await Promise.all([a.store.now(), turn()]);
    expect(worker.frames.some(({ type }) => type === "start")).toBe(false);
    const other = await connect(b, caller);
    worker.connection.receive({ type: "goodbye" });
    const again = await other.nextJob();
    expect(again).toMatchObject({ idempotencyKey: job.idempotencyKey, leaseNumber: 2 });
    starting.release();
    other.accept(again);
    expect(await other.frame("start")).toMatchObject({ tokens: [again.token] });
    expect(await other.complete(again, "paid")).toMatchObject({ status: "accepted" });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ output: "paid" });
    other.cut();
  });

  test("a started job that timed out may have been done", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const run = await startRun(a, caller, calling({ ...WAYS[0][1], timeout: "150ms", maxAttempts: 3 }));
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.frame("start");
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state.output).toMatchObject({ error: { code: "OUTCOME_UNKNOWN", attempt: 1 } });
    expect(worker.waiting).toBe(0);
    worker.cut();
  });

  test("a failure that the worker reports is a known outcome: the policy decides about another attempt", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const worker = await connect(a, caller);
    const policy = { ...WAYS[0][1], maxAttempts: 2, initialBackoff: "10ms" };
    const run = await startRun(a, caller, calling(policy));
    for (const attempt of [1, 2]) {
      const job = await worker.nextJob();
      expect(job.attempt).toBe(attempt);
      worker.accept(job);
      await worker.frame("start", (frame: { tokens: readonly string[] }) => frame.tokens.includes(job.token));
      if (attempt === 1) await worker.fail(job, "REFUSED_BY_BANK");
      else await worker.complete(job, "paid");
    }
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ output: "paid" });
    worker.cut();
  });

  test.each(["started", "offered"])("a job that was %s at a worker of a server that is killed", async (state) => {
    const { a } = servers;
    const caller = freshCaller();
    const doomed = await startTestServer(servers.database, SETTINGS);
    const worker = await connect(doomed, caller);
    const run = await startRun(doomed, caller, calling(WAYS[0][1]));
    const job = await worker.nextJob();
    if (state === "started") {
      worker.accept(job);
      await worker.frame("start");
    }
    await doomed.kill();
    const other = await connect(a, caller);
    // As another server does that has not heard of it for too long.
    await a.store.lanes.end((await worker.frame("welcome")).serverId);
    if (state === "offered") {
      const again = await other.nextJob();
      other.accept(again);
      await other.complete(again, "paid");
    }
    const { output } = (await untilEnded(a, caller, run.state.runId)).state;
    expect(output).toMatchObject(state === "offered" ? { output: "paid" } : { error: { code: "OUTCOME_UNKNOWN" } });
    expect(other.waiting).toBe(0);
    other.cut();
  });
});
