/**
 * A database that goes away under load: callers get an error within seconds, nothing is lost, and afterwards everything
 * goes on.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  ledgerProblems,
  openSharedDatabase,
  refusalOf,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  within,
} from "../support/engine.ts";
import { openTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { askingGraph, countingGraph, graph, listeningGraph } from "./graphs.ts";

describe("a database that is away", () => {
  let database: SharedDatabase;
  let proxy: TcpProxy;
  let server: TestServer;

  beforeAll(async () => {
    database = await openSharedDatabase("postgres");
    proxy = await openTcpProxy(database.url);
    const throughProxy = { ...database, openStore: () => createPostgresStore({ url: proxy.url, connections: 8 }) };
    server = await startTestServer(throughProxy, { renewMs: 100, strayMs: 200 });
  });
  afterAll(async () => {
    await proxy.accept();
    await server.stop();
    await proxy.close();
    await database.close();
  });

  test("requests are refused within seconds, and everything goes on when it is back", async () => {
    const caller = freshCaller();
    const asking = askingGraph();
    const run = await startRun(server, caller, asking);
    const listener = await startRun(server, caller, listeningGraph());
    const timed = await startRun(
      server,
      caller,
      graph({ rest: { waitUntil: { after: "200ms" }, next: [{ to: "done" }] }, done: { complete: {} } }),
    );
    const counting = countingGraph();
    counting.nodes["count"]!.next = [{ to: "count", when: "vars.n < 300" }, { to: "done" }];
    const active = await startRun(server, caller, counting);
    const committed = server.hold("batches.commit", "before");
    await committed.reached;
    // Cut while a batch is on its way: its outcome is unknown.
    proxy.cut();
    committed.release();
    const event = emitRequest("order.paid", { payload: 1 });
    const start = startRequest(asking.workflowId);
    const ask = [
      () => answer(server, caller, run, "yes", "request-1"),
      () => server.engine.startRun(caller, start),
      () => server.engine.emitEvent(caller, event),
      () => server.engine.getRun(caller, run.state.runId, "full"),
      () => server.engine.listWaits(caller, { filter: { reasons: [] }, pageSize: 0, pageToken: "" }),
    ];
    const reasons = await Promise.all(
      ask.map((one) => within(refusalOf(one()), "no answer while the database is away")),
    );
    expect(reasons).toEqual(ask.map(() => "DATABASE_UNAVAILABLE"));
    await until(() => !server.engine.isServing());
    await proxy.accept();
    await until(() => server.engine.isServing());
    // The same requests again; it makes no difference whether the first ones were committed after all.
    expect((await answer(server, caller, run, "yes", "request-1")).state.status).toBe("completed");
    expect((await server.engine.startRun(caller, start)).state.runId).toBe(start.runId);
    await server.engine.emitEvent(caller, event);
    expect((await untilEnded(server, caller, listener.state.runId)).state.output).toMatchObject({
      event: { payload: 1 },
    });
    expect((await untilEnded(server, caller, timed.state.runId)).state.status).toBe("completed");
    expect((await untilEnded(server, caller, active.state.runId)).state.output).toEqual({ n: 300 });
    for (const { state } of [run, listener, timed, active])
      expect(await ledgerProblems(server.store, state)).toEqual([]);
    expect(server.errors).toEqual([]);
  });

  /** Waits until the server reports whether it serves. */
  async function until(isSo: () => boolean): Promise<void> {
    const changed = Promise.withResolvers<void>();
    const stop = server.engine.onServingChange(() => isSo() && changed.resolve());
    if (!isSo()) await within(changed.promise, "the server did not report whether it serves");
    stop();
  }
});
