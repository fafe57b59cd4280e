/** Clients that stop reading, or ask for too much, do not cost a server anything for long. */
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { awaitRun } from "../../server/src/engine/operations/await-run.ts";
import { createNoticeHub } from "../../server/src/engine/notice-hub.ts";
import { createRunViewer } from "../../server/src/engine/run-view.ts";
import { createReads } from "../../server/src/engine/reads.ts";
import { SETTINGS_DEFAULT } from "../../server/src/engine/settings.ts";
import { watchRun } from "../../server/src/engine/operations/watch-run.ts";
import { watchRuns } from "../../server/src/engine/operations/watch-runs.ts";
import {
  answer,
  freshCaller,
  openSharedDatabase,
  refusalOf,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { askingGraph } from "./graphs.ts";

/** What watching uses of a server, with a hub whose watchers can be counted. */
function watchingParts(server: TestServer) {
  const hub = createNoticeHub();
  const reads = createReads(server.store, pino({ level: "silent" }));
  return {
    hub,
    parts: {
      hub,
      reads,
      store: server.store,
      settings: { ...SETTINGS_DEFAULT, heartbeatMs: 60_000 },
      viewOf: createRunViewer(() => undefined),
      isStopping: () => false,
    },
  };
}

describe("slow and bad clients", () => {
  test("watchers are removed when their client goes away in the middle of a wait", async () => {
    const database = await openSharedDatabase("memory");
    const server = await startTestServer(database);
    const caller = freshCaller();
    const { runId } = (await startRun(server, caller, askingGraph())).state;
    const { hub, parts } = watchingParts(server);
    const end = new AbortController();
    const { signal } = end;
    const waits = [
      ...Array.from({ length: 50 }, () =>
        awaitRun(parts, caller, { runId, reasons: ["until"], timeoutMs: 60_000, signal }),
      ),
      ...Array.from({ length: 50 }, () => drain(watchRun(parts, caller, { runId, afterSeq: 0, signal }))),
      ...Array.from({ length: 50 }, () =>
        drain(watchRuns(parts, caller, { filter: {}, kinds: [], cursor: "", signal })),
      ),
    ];
    for (let round = 0; round < 10; round++) await server.store.now();
    expect(hub.watchers).toBeGreaterThan(0);
    end.abort();
    await Promise.all(waits);
    expect(hub.watchers).toBe(0);
    // A client that is gone before its request begins leaves nothing either.
    await awaitRun(parts, caller, { runId, reasons: ["until"], timeoutMs: 60_000, signal });
    expect(await refusalOf(awaitRun(parts, caller, { runId: "unknown", reasons: [], timeoutMs: 1, signal }))).toBe(
      "RUN_UNKNOWN",
    );
    expect(hub.watchers).toBe(0);
    await server.stop();
    await database.close();
  });

  test("long work on the main thread: many clients of one run read it once, and none holds it while it waits", async () => {
    const database = await openSharedDatabase("memory");
    const server = await startTestServer(database);
    const caller = freshCaller();
    const { runId } = (await startRun(server, caller, askingGraph())).state;
    const asked = await untilWaiting(server, caller, runId);
    const { parts } = watchingParts(server);
    const loads: number[] = [];
    const pages: number[] = [];
    const { runs, ledger } = server.store;
    const store = {
      ...server.store,
      runs: {
        ...runs,
        load: (keys: Parameters<typeof runs.load>[0]) => {
          loads.push(keys.length);
          return runs.load(keys);
        },
      },
      ledger: {
        ...ledger,
        list: (...request: Parameters<typeof ledger.list>) => {
          pages.push(request[2]);
          return ledger.list(...request);
        },
      },
    };
    const reads = createReads(store, pino({ level: "silent" }));
    const { signal } = new AbortController();
    const request = { runId, reasons: ["until"] as const, timeoutMs: 60_000, signal };
    const waits = Array.from({ length: 50 }, () => awaitRun({ ...parts, reads }, caller, request));
    for (let round = 0; round < 10; round++) await store.now();
    expect(loads).toEqual([]);
    await answer(server, caller, asked, "yes");
    const key = { tenantId: caller.tenantId, runId };
    await untilEnded(server, caller, runId);
    // As a notice of another server has it: everybody reads.
    parts.hub.publish(key, undefined);
    const ended = await Promise.all(waits);
    for (const { state } of ended) expect(state).toBe(ended[0]!.state);
    expect(loads).toEqual([1]);
    const watches = Array.from({ length: 20 }, () =>
      drain(watchRun({ ...parts, reads }, caller, { runId, afterSeq: 0, signal })),
    );
    await Promise.all(watches);
    // The first page is one record, because it may be large.
    expect(pages[0]).toBe(1);
    expect(pages.length).toBeLessThan(5);
    await server.stop();
    await database.close();
  });

  test("a stream that its client drops in the middle of a message is removed", async () => {
    const database = await openSharedDatabase("memory");
    const server = await startTestServer(database);
    const caller = freshCaller();
    const { runId } = (await startRun(server, caller, askingGraph())).state;
    const { hub, parts } = watchingParts(server);
    const { signal } = new AbortController();
    for (const stream of [
      watchRun(parts, caller, { runId, afterSeq: 0, signal }),
      watchRuns(parts, caller, { filter: {}, kinds: [], cursor: "beginning", signal }),
    ]) {
      await stream.next();
      expect(hub.watchers).toBe(1);
      await stream.return(undefined);
      expect(hub.watchers).toBe(0);
    }
    await server.stop();
    await database.close();
  });

  test("starts are refused while too much waits to be committed; answers are still accepted", async () => {
    const database = await openSharedDatabase("memory");
    const server = await startTestServer(database, { lanes: 1, pendingMax: 10 });
    const caller = freshCaller();
    const definition = askingGraph();
    const runs = await Promise.all(Array.from({ length: 12 }, () => startRun(server, caller, definition)));
    const held = server.hold("batches.commit", "before");
    const first = answer(server, caller, runs[0]!, "yes");
    await held.reached;
    const answers = runs.slice(1).map((run) => answer(server, caller, run, "yes"));
    for (let round = 0; round < 10; round++) await server.store.now();
    expect(await refusalOf(server.engine.startRun(caller, startRequest(definition.workflowId)))).toBe("OVERLOADED");
    held.release();
    for (const { state } of await Promise.all([first, ...answers])) expect(state.status).toBe("completed");
    expect((await server.engine.startRun(caller, startRequest(definition.workflowId))).state.status).toBe("waiting");
    await server.stop();
    await database.close();
  });
});

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of stream);
}
