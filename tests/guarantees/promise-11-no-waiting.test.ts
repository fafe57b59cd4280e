/**
 * Promise 11: no transaction waits for another run's row; there is one lock order; a bad transition never makes the
 * others in its batch fail.
 */
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Batch } from "../../server/src/store/contract/batch.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import { BatchRejectedError } from "../../server/src/store/contract/errors.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  movesRun,
  openSharedDatabase,
  refusalOf,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  untilEnded,
} from "../support/engine.ts";
import { askingGraph, graph, listeningGraph } from "./graphs.ts";

describe("promise 11, no waiting, on postgres", () => {
  let database: SharedDatabase;
  let a: TestServer;
  let b: TestServer;
  let outside: postgres.Sql;

  beforeAll(async () => {
    database = await openSharedDatabase("postgres");
    a = await startTestServer(database, { lanes: 1 });
    b = await startTestServer(database, { lanes: 1 });
    outside = postgres(database.url, { max: 2, onnotice: () => undefined });
  });
  afterEach(() => {
    for (const server of [a, b]) {
      server.releaseAll();
      expect(server.errors).toEqual([]);
    }
  });
  afterAll(async () => {
    await Promise.all([a.stop(), b.stop()]);
    await outside.end();
    await database.close();
  });

  /** A third connection that holds a run's row until it is released. */
  async function lockRun(runId: string): Promise<{ release(): Promise<void> }> {
    const locked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const holding = outside.begin(async (transaction) => {
      await transaction`select from runs where run_id = ${runId} for update`;
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

  test("a row that someone holds is a conflict at once; the others of its batch are committed", async () => {
    const caller = freshCaller();
    const definition = askingGraph();
    const runs = await Promise.all(Array.from({ length: 10 }, () => startRun(a, caller, definition)));
    const [stuck, ...others] = runs;
    const lock = await lockRun(stuck!.state.runId);
    // Collected during one batch, so that all of them share the next.
    const held = a.hold("batches.commit", "before");
    const first = a.engine.startRun(caller, startRequest(definition.workflowId));
    await held.reached;
    const batches: number[] = [];
    a.hold("batches.commit", "before", (batch) => batches.push(batch.items.length) < 0);
    const refusals = runs.map((run) => refusalOf(answer(a, caller, run, "yes")));
    await a.store.now();
    held.release();
    await first;
    const [ofStuck, ...ofOthers] = await Promise.all(refusals);
    expect(ofStuck).toBe("TRANSITION_CONFLICT");
    for (const one of ofOthers) expect(one).toMatchObject({ value: { state: { status: "completed" } } });
    expect(Math.max(...batches)).toBeGreaterThan(others.length / 2);
    // The row is still held: nothing above has waited for it.
    await lock.release();
    expect((await answer(a, caller, stuck!, "yes")).state.status).toBe("completed");
  });

  test("a cancel of a run whose row someone holds becomes mail, and happens when the row is free", async () => {
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { runId } = run.state;
    const lock = await lockRun(runId);
    // Not refused, and not waiting for the row: the reply is the run as it is.
    expect((await b.engine.cancelRun(caller, { runId })).state.status).toBe("waiting");
    await lock.release();
    // Any server that handles the run acts on its mail. The server that left it may have done so by now; then the run
    // has ended.
    const ticked = await refusalOf(b.engine.tickRun(caller, { runId, maxSteps: 1 }));
    if (ticked !== "RUN_ENDED") expect(ticked).toMatchObject({ value: { state: { status: "cancelled" } } });
    expect((await b.engine.getRun(caller, runId, "full")).state.status).toBe("cancelled");
  });

  test("a wake-up that finds the row held is not forgotten", async () => {
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningGraph());
    const lock = await lockRun(run.state.runId);
    expect(await a.engine.emitEvent(caller, emitRequest("order.paid"))).toMatchObject({ delivered: 0 });
    const channel = { tenantId: caller.tenantId, scope: "global", scopeId: "" } as const;
    await lock.release();
    // A pass that missed a run is not noted as done; the next one sees the same event again.
    expect(await a.store.events.readWoken([channel])).toMatchObject([{ lastNumber: 1, wokenNumber: 0 }]);
    await a.engine.emitEvent(caller, emitRequest("other"));
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
  });

  test("two servers emit into the same channels in every order, and none fails", async () => {
    const caller = freshCaller();
    const emit = (name: string, scope: "SCOPE_SESSION" | "SCOPE_WORKFLOW" | "SCOPE_GLOBAL", to: string) => ({
      emitEvent: { name, scope },
      next: [{ to }],
    });
    const there = graph({
      one: emit("x", "SCOPE_GLOBAL", "two"),
      two: emit("x", "SCOPE_SESSION", "three"),
      three: emit("x", "SCOPE_WORKFLOW", "done"),
      done: { complete: {} },
    });
    const back = graph({
      one: emit("x", "SCOPE_WORKFLOW", "two"),
      two: emit("x", "SCOPE_SESSION", "three"),
      three: emit("x", "SCOPE_GLOBAL", "done"),
      done: { complete: {} },
    });
    for (const definition of [there, back]) await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 60 }, (_, index) =>
      startRequest((index % 2 === 0 ? there : back).workflowId, { sessionId: `session-${index % 3}` }),
    );
    const events = Array.from({ length: 60 }, (_, index) =>
      emitRequest("y", index % 2 === 0 ? {} : { scope: "session", scopeId: `session-${index % 3}` }),
    );
    await Promise.all([
      ...requests.map((request, index) => (index % 4 < 2 ? a : b).engine.startRun(caller, request)),
      ...events.map((event, index) => (index % 4 < 2 ? b : a).engine.emitEvent(caller, event)),
    ]);
    for (const { runId } of requests) expect((await untilEnded(a, caller, runId!)).state.status).toBe("completed");
  });
});

describe.each(STORE_KINDS)("promise 11, one bad transition, on %s", (kind) => {
  test("is refused alone, and the others in the batch are committed", async () => {
    const database = await openSharedDatabase(kind);
    const isGuilty = movesRun("guilty");
    const sizes: number[] = [];
    const server = await startTestServer(database, { lanes: 1 }, (store: Store) => ({
      ...store,
      batches: {
        ...store.batches,
        commit: (batch: Batch) => {
          sizes.push(batch.items.length);
          return isGuilty(batch)
            ? Promise.reject(new BatchRejectedError("a row is refused"))
            : store.batches.commit(batch);
        },
      },
    }));
    const caller = freshCaller();
    const definition = askingGraph();
    await server.engine.registerWorkflow(caller, definition);
    const held = server.hold("batches.commit", "before");
    const first = server.engine.startRun(caller, startRequest(definition.workflowId));
    await held.reached;
    const requests = Array.from({ length: 31 }, () => startRequest(definition.workflowId));
    requests.splice(17, 0, startRequest(definition.workflowId, { runId: "guilty" }));
    const refusals = requests.map((request) => refusalOf(server.engine.startRun(caller, request)));
    // All are decided before the batch in front of them is released.
    for (let round = 0; round < 8; round++) await server.store.now();
    held.release();
    await first;
    const outcomes = await Promise.all(refusals);
    expect(outcomes[17]).toBe("TRANSITION_REJECTED");
    for (const outcome of outcomes.toSpliced(17, 1))
      expect(outcome).toMatchObject({ value: { state: { status: "waiting" } } });
    // The batch is halved, not split into single items: 32 items take a few more commits, not 32.
    expect(sizes.length).toBeLessThan(20);
    expect(server.errors).toEqual([]);
    await server.stop();
    await database.close();
  });
});
