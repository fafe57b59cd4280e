/**
 * Promise 6: a run is never stranded. After failing nodes, spent budgets, missing workers, rejected rows, dead servers
 * or an unavailable database, a run either goes on or ends in a recorded, visible state.
 */
import { describe, expect, test } from "vitest";
import type { NodeDefinition } from "../../server/src/core/graph/definition.ts";
import type { Batch } from "../../server/src/store/contract/batch.ts";
import {
  BatchOutcomeUnknownError,
  BatchRejectedError,
  StoreUnavailableError,
} from "../../server/src/store/contract/errors.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import {
  answer,
  emitRequest,
  endLeases,
  freshCaller,
  ledgerProblems,
  movesRun,
  openSharedDatabase,
  refusalOf,
  startRequest,
  startRun,
  startTestServer,
  transitionsOf,
  STORE_KINDS,
  turn,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";
import { askingGraph, countingGraph, graph, listeningGraph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

/**
 * A server that detects dead servers quickly. They ran on this machine, in this very process, so their leases must run
 * out.
 */
const QUICK = { renewMs: 20, leaseMs: 400 };

/** A store that rejects every batch with a matching item, like a database that cannot store it. */
function rejecting(matches: (batch: Batch) => boolean): (store: Store) => Store {
  return (store) => ({
    ...store,
    batches: {
      ...store.batches,
      commit: (batch) =>
        matches(batch) ? Promise.reject(new BatchRejectedError("a row is refused")) : store.batches.commit(batch),
    },
  });
}

describe.each(STORE_KINDS)("promise 6, never stranded, on %s", (kind) => {
  const servers = useTwoServers(kind);
  const done: NodeDefinition = { complete: {} };

  test("on_cancel of a run that was paused and cancelled together gets its job to a worker", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const calls = (name: string): NodeDefinition => ({ toolCalls: { calls: [{ name }] }, next: [{ to: "done" }] });
    // An event is committed before the next step: the run is then active at its server.
    const say: NodeDefinition = { emitEvent: { name: "said" }, next: [{ to: "work" }] };
    const definition = graph({ say, work: calls("work"), undo: calls("undo"), done }, { onCancel: "undo" });
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    const runId = request.runId!;
    // The calls are in flight when the two letters are read, which happens in one transition.
    const parking = a.hold(
      "batches.commit",
      "before",
      movesRun(runId, ({ jobs }) => jobs.length > 0),
    );
    await a.engine.startRun(caller, request);
    await parking.reached;
    await b.engine.pauseRun(caller, { runId });
    await b.engine.cancelRun(caller, { runId });
    const undoing = b.hold(
      "batches.commit",
      "after",
      movesRun(runId, ({ after }) => after.state.node === "undo"),
    );
    const undoingAtOwner = a.hold(
      "batches.commit",
      "after",
      movesRun(runId, ({ after }) => after.state.node === "undo"),
    );
    parking.release();
    await Promise.race([undoing.reached, undoingAtOwner.reached]);
    undoing.release();
    undoingAtOwner.release();
    const worker = await connectTestWorker(b, caller, { toolNames: ["undo"] });
    worker.credit(1);
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.complete(job, null);
    expect((await untilEnded(b, caller, runId)).state).toMatchObject({ status: "cancelled", paused: false });
    worker.cut();
  });

  test.each<[string, string, NodeDefinition]>([
    [
      "an expression that fails",
      "EVALUATION_FAILED",
      { assign: { values: { n: "${1 / 0}" } }, next: [{ to: "done" }] },
    ],
    ["no edge that holds", "NO_EDGE", { assign: { values: { n: 1 } }, next: [{ to: "done", when: "vars.n > 1" }] }],
    ["an invalid duration", "EVALUATION_FAILED", { waitUntil: { after: "${'soon'}" }, next: [{ to: "done" }] }],
    ["a fail node", "REFUSED", { fail: { code: "REFUSED", message: "no" } }],
  ])("%s: the run has failed with %s", async (_what, code, node) => {
    const { a } = servers;
    const caller = freshCaller();
    const nodes = node.next === undefined ? { node } : { node, done };
    const run = await startRun(a, caller, graph(nodes));
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state).toMatchObject({ status: "failed", error: { code, node_id: "node" } });
    expect(await ledgerProblems(a.store, state)).toEqual([]);
  });

  test("a circle of nodes ends at max_steps", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, countingGraph({ commitEveryStep: false, limits: { maxSteps: 200 } }));
    const { state } = await untilEnded(a, caller, run.state.runId);
    expect(state).toMatchObject({ status: "failed", steps: 200, error: { code: "LIMIT_MAX_STEPS" } });
  });

  test("run_timeout ends a run that waits, and one that computes", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const limits = { runTimeout: "100ms" };
    const waiting = await startRun(a, caller, askingGraph(), { limits });
    const computing = await startRun(b, caller, countingGraph(), { limits });
    for (const { state } of [waiting, computing]) {
      const ended = await untilEnded(a, caller, state.runId);
      expect(ended.state).toMatchObject({ status: "failed", error: { code: "RUN_TIMEOUT" } });
    }
  });

  test("a run at a node without a worker shows that, and can be cancelled", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const tool: NodeDefinition = { toolCalls: { calls: [{ name: "weather", arguments: {} }] }, next: [{ to: "done" }] };
    const run = await startRun(a, caller, graph({ tool, done }));
    expect(run).toMatchObject({ state: { status: "running" }, blockedReason: "no_worker" });
    expect((await b.engine.cancelRun(caller, { runId: run.state.runId })).state.status).toBe("cancelled");
  });

  test("a paused run is stepped one by one, at any server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, countingGraph(), { paused: true });
    const { runId } = run.state;
    expect((await b.engine.tickRun(caller, { runId, maxSteps: 3 })).state).toMatchObject({
      vars: { n: 3 },
      paused: true,
    });
    expect((await a.engine.tickRun(caller, { runId, maxSteps: 2 })).state).toMatchObject({
      vars: { n: 5 },
      paused: true,
    });
    await a.engine.cancelRun(caller, { runId });
  });

  test("more than a thousand answers for one run: some are asked to retry later, the run goes on", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const emit: NodeDefinition = { emitEvent: { name: "asked", scope: "SCOPE_GLOBAL" }, next: [{ to: "again" }] };
    const definition = graph({
      ask: { askUser: { prompt: "Sure?" }, next: [{ to: "emit" }] },
      emit,
      again: { emitEvent: { name: "asked", scope: "SCOPE_GLOBAL" }, next: [{ to: "done" }] },
      done,
    });
    const run = await startRun(a, caller, definition);
    const replies = await Promise.all(Array.from({ length: 1_500 }, () => refusalOf(answer(a, caller, run, "yes"))));
    expect(replies.filter((one) => typeof one === "object")).toHaveLength(1);
    expect(replies.filter((one) => one === "OVERLOADED").length).toBeGreaterThan(0);
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
  });
});

describe.each(STORE_KINDS)("promise 6, never stranded, when something fails on %s", (kind) => {
  test("the active runs of a server that dies go on at another", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, QUICK);
    const b = await startTestServer(database, QUICK);
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 30" }, { to: "done" }];
    await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 20 }, () => startRequest(definition.workflowId));
    const held = a.hold(
      "batches.commit",
      "before",
      movesRun(requests[0]!.runId!, ({ expectedSeq }) => expectedSeq === 4),
    );
    await Promise.all(requests.map((request) => a.engine.startRun(caller, request)));
    await held.reached;
    const killed = a.kill();
    held.release();
    for (const { runId } of requests) {
      const { state } = await untilEnded(b, caller, runId!);
      expect(state).toMatchObject({ status: "completed", output: { n: 30 }, steps: 31 });
      expect(await ledgerProblems(b.store, state)).toEqual([]);
    }
    await killed;
    await b.stop();
    await database.close();
  });

  test("the runs of a stopped server go on at another at once", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const b = await startTestServer(database, { renewMs: 20 });
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 500" }, { to: "done" }];
    const run = await startRun(a, caller, definition);
    await a.stop();
    expect(a.errors).toEqual([]);
    expect((await untilEnded(b, caller, run.state.runId)).state.output).toEqual({ n: 500 });
    await b.stop();
    await database.close();
  });

  test("a server whose lease was ended by another opens a new one, and its runs go on", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, { renewMs: 20 });
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 40" }, { to: "done" }];
    await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 20 }, () => startRequest(definition.workflowId));
    const held = a.hold(
      "batches.commit",
      "before",
      movesRun(requests[0]!.runId!, ({ expectedSeq }) => expectedSeq === 9),
    );
    await Promise.all(requests.map((request) => a.engine.startRun(caller, request)));
    await held.reached;
    await endLeases(a);
    held.release();
    for (const { runId } of requests) {
      expect((await untilEnded(a, caller, runId!)).state.output).toEqual({ n: 40 });
    }
    expect(a.errors).toEqual([]);
    await a.stop();
    await database.close();
  });

  test.each([["runs.load"], ["events.lookUp"], ["workflows.get"], ["batches.commit"]] as const)(
    "a database that is away for a moment fails no run: %s",
    async (verb) => {
      const database = await openSharedDatabase(kind);
      const first = await startTestServer(database);
      const caller = freshCaller();
      // Active, and not in the memory of any server: the next server claims it.
      const definition = countingGraph();
      definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 3" }, { to: "listen" }];
      definition.nodes["listen"] = {
        waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL" },
        next: [{ to: "done" }],
      };
      await first.engine.registerWorkflow(caller, definition);
      const request = startRequest(definition.workflowId);
      const started = first.hold("batches.commit", "after", movesRun(request.runId!));
      const starting = first.engine.startRun(caller, request).catch(() => undefined);
      await started.reached;
      const killed = first.kill();
      started.release();
      const second = await startTestServer(database);
      const claimed = second.hold("runs.claim", "after");
      // This server's own lease ends as well: its next renewal opens another, and claims the first server's runs.
      await endLeases(second);
      await claimed.reached;
      const failing = second.hold(verb, "before");
      failing.release(new StoreUnavailableError("away for a moment"));
      claimed.release();
      await failing.reached;
      const { state } = await untilWaiting(second, caller, request.runId!);
      expect(state).toMatchObject({ status: "waiting", node: "listen", vars: { n: 3 } });
      expect(second.errors).toEqual([]);
      await Promise.all([starting, killed, second.stop()]);
      await database.close();
    },
  );

  test.each([
    ["committed", "after"],
    ["not committed", "before"],
  ] as const)("a batch of unknown outcome, which was %s: everything in it happens once", async (_what, moment) => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, { lanes: 1 });
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 5" }, { to: "done" }];
    await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 10 }, () => startRequest(definition.workflowId));
    const failing = a.hold(
      "batches.commit",
      moment,
      movesRun(requests[0]!.runId!, ({ expectedSeq }) => expectedSeq === 3),
    );
    failing.release(new BatchOutcomeUnknownError("the connection died"));
    await Promise.all(requests.map((request) => a.engine.startRun(caller, request)));
    for (const { runId } of requests) {
      const { state } = await untilEnded(a, caller, runId!);
      expect(state).toMatchObject({ status: "completed", output: { n: 5 }, steps: 6 });
      expect(await ledgerProblems(a.store, state)).toEqual([]);
    }
    await failing.reached;
    expect(a.errors).toEqual([]);
    await a.stop();
    await database.close();
  });

  test("a run whose step the database refuses has failed with STORE_REJECTED; its neighbours go on", async () => {
    const database = await openSharedDatabase(kind);
    const isGuilty = ({ seq }: { seq: number }, runId: string) => runId === "guilty" && seq === 4;
    const a = await startTestServer(
      database,
      { lanes: 1 },
      rejecting((batch) =>
        transitionsOf(batch).some(
          ({ runId, records, after }) =>
            records.some((record) => isGuilty(record, runId)) && after.state.status !== "failed",
        ),
      ),
    );
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 5" }, { to: "done" }];
    await a.engine.registerWorkflow(caller, definition);
    const requests = ["guilty", ...Array.from({ length: 20 }, (_, index) => `innocent-${index}`)].map((runId) =>
      startRequest(definition.workflowId, { runId }),
    );
    await Promise.all(requests.map((request) => a.engine.startRun(caller, request)));
    for (const { runId } of requests) {
      const { state } = await untilEnded(a, caller, runId!);
      if (runId === "guilty") expect(state).toMatchObject({ status: "failed", error: { code: "STORE_REJECTED" } });
      else expect(state).toMatchObject({ status: "completed" });
      expect(await ledgerProblems(a.store, state)).toEqual([]);
    }
    await a.stop();
    await database.close();
  });

  test("a run that is due is woken even if the server receives an older time in the meantime", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, { renewMs: 20 });
    const caller = freshCaller();
    const claimed = a.hold("runs.claimDue", "after");
    const run = await startRun(a, caller, askingGraph({ timeout: "100ms", defaultAnswer: "none" }));
    // A renewal before the run is due; its reply takes long.
    const renewed = a.hold("lanes.renew", "after");
    await Promise.all([renewed.reached, claimed.reached]);
    const loaded = a.hold("runs.load", "before", (keys) => keys.some(({ runId }) => runId === run.state.runId));
    claimed.release();
    await loaded.reached;
    renewed.release();
    for (let round = 0; round < 3; round++) await turn();
    loaded.release();
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ reply: { timed_out: true } });
    await a.stop();
    await database.close();
  });

  test.each([["an event"], ["its time"]])(
    "a run that %s would bring on, but the database refuses, has failed",
    async (what) => {
      const database = await openSharedDatabase(kind);
      const a = await startTestServer(
        database,
        {},
        rejecting((batch) =>
          transitionsOf(batch).some(({ expectedSeq, after }) => expectedSeq > 0 && after.state.status !== "failed"),
        ),
      );
      const caller = freshCaller();
      const isEvent = what === "an event";
      const definition = isEvent ? listeningGraph() : askingGraph({ timeout: "50ms" });
      // The start itself opens the wait.
      const run = await startRun(a, caller, definition);
      expect(run.state.status).toBe("waiting");
      if (isEvent) await a.engine.emitEvent(caller, emitRequest("order.paid"));
      const { state } = await untilEnded(a, caller, run.state.runId);
      expect(state).toMatchObject({ status: "failed", error: { code: "STORE_REJECTED" } });
      await a.stop();
      await database.close();
    },
  );
});
