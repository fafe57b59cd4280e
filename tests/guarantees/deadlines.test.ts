/**
 * Every operation ends within its bound, also while a database keeps its connections open and answers nothing. The
 * refusal says whether something may have been done. Afterwards everything goes on, and nothing is lost or doubled.
 */
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DomainError } from "../../server/src/core/errors.ts";
import type { Engine, RunView } from "../../server/src/engine/api.ts";
import { DeadlineError } from "../../server/src/engine/deadline.ts";
import { createRpcServer, type RpcServerOptions } from "../../server/src/rpc/server.ts";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  freshId,
  ledgerProblems,
  movesRun,
  openSharedDatabase,
  readLedger,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
  within,
} from "../support/engine.ts";
import { createTestDatabase, startThrowAwayPostgres, type ThrowAwayPostgres } from "../support/postgres.ts";
import { PROTOCOLS, rawCall } from "../support/raw-client.ts";
import { CAN_SUSPEND, suspendTree } from "../support/suspended-processes.ts";
import { askingGraph, countingGraph, graph, listeningGraph } from "./graphs.ts";

const BOUND_MS = 400;

/** What is asked of the engine, for each operation that replies once. */
type Asked = Record<
  Exclude<keyof Engine, "watchRun" | "watchRuns" | "isServing" | "onServingChange" | "problems">,
  () => unknown
>;

describe.runIf(CAN_SUSPEND)("a database that is suspended", () => {
  let postgres: ThrowAwayPostgres;
  let server: TestServer;

  beforeAll(async () => {
    postgres = await startThrowAwayPostgres();
    const { url } = await createTestDatabase(postgres);
    const database: SharedDatabase = {
      kind: "postgres",
      url,
      openStore: () => createPostgresStore({ url, connections: 6 }),
      close: () => Promise.resolve(),
    };
    server = await startTestServer(database, { operationMs: BOUND_MS, renewMs: 100, strayMs: 200 });
  });
  afterAll(async () => {
    await server.stop();
    await postgres.stop();
  });

  test("every operation is refused within its bound, and everything goes on when the database does", async () => {
    const caller = freshCaller();
    const { engine } = server;
    const definition = askingGraph();
    const asking = await startRun(server, caller, definition);
    const { runId } = asking.state;
    await untilWaiting(server, caller, runId);
    const listening = await startRun(server, caller, listeningGraph());
    const timed = await startRun(
      server,
      caller,
      graph({ rest: { waitUntil: { after: "300ms" }, next: [{ to: "done" }] }, done: { complete: {} } }),
    );
    const counting = countingGraph();
    counting.nodes["count"]!.next = [{ to: "count", when: "vars.n < 300" }, { to: "done" }];
    const active = await startRun(server, caller, counting);
    const ended = await startRun(server, caller, graph({ done: { complete: {} } }));
    await untilEnded(server, caller, ended.state.runId);
    const paused = await startRun(server, caller, definition, { paused: true });
    const start = startRequest(definition.workflowId);
    const starts = [startRequest(definition.workflowId), startRequest(definition.workflowId)];
    const event = emitRequest("order.paid", { payload: 1 });
    const other = askingGraph();
    const page = { pageSize: 0, pageToken: "" };
    const { signal } = new AbortController();
    const { workflowId } = definition;
    const link = { send: () => undefined, end: () => undefined };
    const hello = {
      workerSessionId: freshId("worker"),
      name: "w",
      tools: [],
      workflows: [],
      customTypes: [],
      heldTokens: [],
    };
    const asked: Asked = {
      registerWorkflow: () => engine.registerWorkflow(caller, other),
      getWorkflow: () => engine.getWorkflow(caller, workflowId, 1),
      listWorkflows: () => engine.listWorkflows(caller, { ...page, includeArchived: true }),
      setCurrentVersion: () => engine.setCurrentVersion(caller, workflowId, 1),
      setArchived: () => engine.setArchived(caller, workflowId, false),
      startRun: () => engine.startRun(caller, start),
      startRuns: () =>
        engine.startRuns(
          caller,
          starts.map((request) => ({ request })),
        ),
      getRun: () => engine.getRun(caller, runId, "full"),
      explainRun: () => engine.explainRun(caller, runId),
      listRuns: () => engine.listRuns(caller, { ...page, filter: {}, order: "create_time_desc", view: "basic" }),
      awaitRun: () => engine.awaitRun(caller, { runId, reasons: ["job"], timeoutMs: 60_000, signal }),
      deleteRun: () => engine.deleteRun(caller, ended.state.runId),
      listWaits: () => engine.listWaits(caller, { ...page, filter: { reasons: [] } }),
      getWait: () => engine.getWait(caller, "some-wait"),
      resumeRun: () => answer(server, caller, asking, "yes", "request-1"),
      emitEvent: () => engine.emitEvent(caller, event),
      cancelRun: () => engine.cancelRun(caller, { runId: paused.state.runId }),
      pauseRun: () => engine.pauseRun(caller, { runId: listening.state.runId }),
      unpauseRun: () => engine.unpauseRun(caller, { runId: paused.state.runId }),
      tickRun: () => engine.tickRun(caller, { runId: paused.state.runId, maxSteps: 3 }),
      listStepRecords: () => engine.listStepRecords(caller, { ...page, runId, afterSeq: 100, waitMs: 60_000, signal }),
      getStepRecord: () => engine.getStepRecord(caller, runId, 1),
      connectWorker: () => engine.connectWorker(caller, hello, link),
      listWorkers: () => engine.listWorkers(caller, page),
    };
    // A step of the active run is on its way, so that its lane waits for an answer.
    const committed = server.hold("batches.commit", "before", movesRun(active.state.runId));
    await committed.reached;
    const resume = suspendTree(postgres.pid);
    try {
      committed.release();
      const names = Object.keys(asked) as (keyof Asked)[];
      const said = await Promise.all(
        names.map(async (name) => {
          const refused = await within(
            Promise.resolve(asked[name]()).catch((error: unknown) => error),
            `${name} was still held`,
          );
          return [name, refused instanceof DeadlineError ? refused.reason : refused];
        }),
      );
      expect(Object.fromEntries(said)).toEqual(Object.fromEntries(names.map((name) => [name, "DATABASE_UNAVAILABLE"])));
    } finally {
      resume();
    }
    // The same requests again; it makes no difference which of the first ones were carried out.
    const again = async <T>(ask: () => Promise<T>): Promise<T> => {
      for (;;) {
        try {
          return await ask();
        } catch (error) {
          const isPassing =
            error instanceof DomainError && ["DATABASE_UNAVAILABLE", "OVERLOADED"].includes(error.reason);
          if (!isPassing) throw error;
        }
      }
    };
    expect((await again(() => answer(server, caller, asking, "yes", "request-1"))).state.status).toBe("completed");
    const { runId: startedId } = (await again(() => engine.startRun(caller, start))).state;
    expect(startedId).toBe(start.runId);
    await again(() => engine.emitEvent(caller, event));
    const unpaused = await again(() => engine.getRun(caller, listening.state.runId, "basic"));
    if (unpaused.state.paused) await again(() => engine.unpauseRun(caller, { runId: listening.state.runId }));
    const endOf = async ({ state }: RunView) => (await again(() => untilEnded(server, caller, state.runId))).state;
    expect((await endOf(listening)).output).toMatchObject({ event: { payload: 1 } });
    expect((await endOf(timed)).status).toBe("completed");
    expect((await endOf(active)).output).toEqual({ n: 300 });
    const { tenantId } = caller;
    for (const { state } of [asking, listening, timed, active]) {
      expect(await ledgerProblems(server.store, state)).toEqual([]);
    }
    expect(await readLedger(server.store, { tenantId, runId: timed.state.runId })).toHaveLength(4);
    const emitted = await server.store.events.list({ tenantId, scope: "global", scopeId: "" }, 0, 10);
    expect(emitted.map(({ eventId }) => eventId)).toEqual([event.eventId]);
    expect(server.errors).toEqual([]);
  });
});

describe("an operation whose time is up", () => {
  let database: SharedDatabase;
  let server: TestServer;
  beforeAll(async () => {
    database = await openSharedDatabase("memory");
    server = await startTestServer(database, { operationMs: BOUND_MS });
  });
  afterAll(() => server.stop());

  const errorOf = async (work: Promise<unknown>): Promise<DeadlineError> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof DeadlineError)) throw new Error("no deadline has passed", { cause: error });
    return error;
  };

  test("says that it may have been carried out if it was sent", async () => {
    const caller = freshCaller();
    const definition = askingGraph();
    await server.engine.registerWorkflow(caller, definition);
    const start = startRequest(definition.workflowId);
    const hold = server.hold("batches.commit", "after", movesRun(start.runId!));
    const error = await errorOf(server.engine.startRun(caller, start));
    expect(error.message).toContain("not known whether");
    hold.release();
    expect((await server.engine.startRun(caller, start)).state.runId).toBe(start.runId);
  });

  test("is the caller's own, if that is shorter", async () => {
    const caller = freshCaller();
    const hold = server.hold("runs.load", "before");
    const error = await errorOf(server.engine.getRun({ ...caller, timeoutMs: 50 }, "some-run", "full"));
    hold.release();
    expect(error).toMatchObject({ isOfCaller: true, reason: "DATABASE_UNAVAILABLE" });
    expect(error.message).toContain("within 50 ms");
  });

  test.each(PROTOCOLS)("is the caller's own over %s too", async (protocol) => {
    const listen = { host: "127.0.0.1", port: 0 };
    const nothing = (): void => undefined;
    const log = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as RpcServerOptions["log"];
    const rpc = createRpcServer({ engine: server.engine, config: { listen, hosts: [], origins: [] }, log });
    const { url } = await rpc.listen();
    const hold = server.hold("runs.load", "before");
    const isJson = protocol.endsWith("json");
    const message = isJson ? Buffer.from('{"runId":"run-1"}') : Buffer.from([0x0a, 5, ...Buffer.from("run-1")]);
    const headers = protocol.startsWith("connect") ? { "connect-timeout-ms": "50" } : { "grpc-timeout": "50m" };
    const reply = await rawCall(url, { protocol, path: `/${RuntimeService.typeName}/GetRun`, message, headers });
    expect(reply.code).toBe(Code.DeadlineExceeded);
    hold.release();
    await rpc.close(0);
  });

  test("does not count what the caller asked to wait for", async () => {
    const caller = freshCaller();
    const run = await startRun(
      server,
      caller,
      graph({ rest: { waitUntil: { after: "1h" }, next: [{ to: "done" }] }, done: { complete: {} } }),
    );
    const { runId } = run.state;
    const { signal } = new AbortController();
    const awaited = server.engine.awaitRun(caller, { runId, reasons: ["user"], timeoutMs: 2 * BOUND_MS, signal });
    expect((await awaited).state.status).toBe("waiting");
  });
});
