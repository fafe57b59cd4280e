/** Promise 3: nothing is acknowledged, announced or done outside before its commit. */
import { describe, expect, test } from "vitest";
import type { Caller } from "../../server/src/engine/api.ts";
import { BatchOutcomeUnknownError, LaneFencedError } from "../../server/src/store/contract/errors.ts";
import {
  answer,
  deliversEvent,
  deliversMail,
  emitRequest,
  freshCaller,
  ledgerProblems,
  movesRun,
  refusalOf,
  startRequest,
  startRun,
  STORE_KINDS,
  type TestServer,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { askingGraph, countingGraph, graph, listeningGraph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

/** Whether a promise has settled, without waiting for it. */
function watched<T>(work: Promise<T>): { work: Promise<T>; readonly isSettled: boolean } {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  work.then(settled, settled);
  return {
    work,
    get isSettled() {
      return isSettled;
    },
  };
}

/** Gives work under way at both servers every chance to become visible: round trips to the database, and turns. */
async function letOut(servers: { a: TestServer; b: TestServer }): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await Promise.all([servers.a.store.now(), servers.b.store.now(), turn()]);
  }
}

describe.each(STORE_KINDS)("promise 3, commit first, on %s", (kind) => {
  const servers = useTwoServers(kind);

  /** Everything that a watcher of all runs receives, until it is stopped. */
  function watchAll(server: TestServer, caller: Caller) {
    const heard: string[] = [];
    const end = new AbortController();
    const opened = Promise.withResolvers<void>();
    const reading = (async () => {
      const request = { filter: {}, kinds: [], cursor: "", signal: end.signal };
      for await (const message of server.engine.watchRuns(caller, request)) {
        opened.resolve();
        if (message.notice !== undefined) heard.push(message.notice.kind);
      }
    })();
    return {
      heard,
      opened: opened.promise,
      async stop() {
        end.abort();
        await reading;
      },
    };
  }

  test("a start: no reply, no run, no notice, no reply to waiting callers, at either server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    const watchers = [watchAll(a, caller), watchAll(b, caller)];
    await Promise.all(watchers.map(({ opened }) => opened));
    const held = a.hold("batches.commit", "before", movesRun(request.runId!));
    const started = watched(a.engine.startRun(caller, request));
    await held.reached;
    await letOut(servers);
    expect(started.isSettled).toBe(false);
    for (const server of [a, b]) {
      expect(await refusalOf(server.engine.getRun(caller, request.runId!, "full"))).toBe("RUN_UNKNOWN");
    }
    expect(watchers.map(({ heard }) => heard)).toEqual([[], []]);
    held.release();
    await started.work;
    for (const server of [a, b]) await answerable(server, caller, request.runId!);
    await Promise.all(watchers.map(({ stop }) => stop()));
  });

  async function answerable(server: TestServer, caller: Caller, runId: string): Promise<void> {
    expect((await server.engine.getRun(caller, runId, "full")).state.status).toBe("waiting");
  }

  test("an answer: no reply, and waiting callers do not hear of it", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { runId } = run.state;
    const { signal } = new AbortController();
    const request = { runId, reasons: ["until"], timeoutMs: 5_000, signal } as const;
    const waiting = [a, b].map((server) => watched(server.engine.awaitRun(caller, request)));
    const held = a.hold("batches.commit", "before", movesRun(runId));
    const answered = watched(answer(a, caller, run, "yes"));
    await held.reached;
    await letOut(servers);
    expect([answered, ...waiting].map(({ isSettled }) => isSettled)).toEqual([false, false, false]);
    held.release();
    const [reply, ...heard] = await Promise.all([answered.work, ...waiting.map(({ work }) => work)]);
    expect(reply.state.status).toBe("completed");
    for (const { state } of heard) expect(state).toEqual(reply.state);
  });

  test("an event: no reply, and no listener takes it", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(b, caller, listeningGraph());
    const event = emitRequest("order.paid");
    const held = a.hold("batches.commit", "before", deliversEvent(event.eventId!));
    const emitted = watched(a.engine.emitEvent(caller, event));
    await held.reached;
    await letOut(servers);
    expect(emitted.isSettled).toBe(false);
    await answerable(b, caller, run.state.runId);
    held.release();
    expect(await emitted.work).toMatchObject({ delivered: 1 });
    await untilEnded(b, caller, run.state.runId);
  });

  test("an event of a node: no listener takes it before the emitting step is committed", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const listener = await startRun(b, caller, listeningGraph());
    const emitter = graph({
      ask: { askUser: { prompt: "Sure?" }, next: [{ to: "emit" }] },
      emit: { emitEvent: { name: "order.paid", scope: "SCOPE_GLOBAL" }, next: [{ to: "done" }] },
      done: { complete: {} },
    });
    const run = await startRun(a, caller, emitter);
    const held = a.hold(
      "batches.commit",
      "before",
      movesRun(run.state.runId, ({ events }) => events.length > 0),
    );
    const answered = watched(answer(a, caller, run, "yes"));
    await held.reached;
    await letOut(servers);
    await answerable(b, caller, listener.state.runId);
    held.release();
    await answered.work;
    expect((await untilEnded(b, caller, listener.state.runId)).state.status).toBe("completed");
    await untilEnded(a, caller, run.state.runId);
  });

  test("mail: the owner acts only on committed mail", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, countingGraph());
    const { runId } = run.state;
    const held = b.hold("batches.commit", "before", deliversMail(runId));
    const cancelled = watched(b.engine.cancelRun(caller, { runId }));
    await held.reached;
    await letOut(servers);
    expect(cancelled.isSettled).toBe(false);
    expect((await a.engine.getRun(caller, runId, "basic")).state.status).toBe("running");
    held.release();
    await cancelled.work;
    expect((await untilEnded(a, caller, runId)).state.status).toBe("cancelled");
  });

  test("what is never committed is never announced: the lane was ended while the batch was on its way", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const watcher = watchAll(a, caller);
    await watcher.opened;
    const held = a.hold("batches.commit", "before", movesRun(run.state.runId));
    held.release(new LaneFencedError("ended by another server"));
    expect(await refusalOf(answer(a, caller, run, "yes"))).toBe("DATABASE_UNAVAILABLE");
    await answerable(a, caller, run.state.runId);
    expect(watcher.heard).toEqual([]);
    await watcher.stop();
  });
});

describe.each(STORE_KINDS)("promise 3, commit first, where the outcome is not known, on %s", (kind) => {
  const servers = useTwoServers(kind);

  test.each([
    ["was committed", "after"],
    ["was not committed", "before"],
  ] as const)("no caller gets a result before it is known what became of a batch, which %s", async (_what, moment) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { runId } = run.state;
    a.hold("batches.commit", moment, movesRun(runId)).release(new BatchOutcomeUnknownError("the connection died"));
    const asking = a.hold("batches.resolve", "before");
    const answered = watched(answer(a, caller, run, "yes", "request-1"));
    await asking.reached;
    await letOut(servers);
    expect(answered.isSettled).toBe(false);
    asking.release();
    const reply = await answered.work;
    expect(reply.state).toMatchObject({ status: "completed", seq: 4 });
    expect((await b.engine.getRun(caller, runId, "full")).state).toEqual(reply.state);
    expect(await ledgerProblems(b.store, reply.state)).toEqual([]);
  });

  test("the loser of a race in a batch whose reply was lost gets the refusal", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { runId } = run.state;
    const held = a.hold("batches.commit", "before", movesRun(runId));
    const lost = refusalOf(answer(a, caller, run, "too late"));
    await held.reached;
    await answer(b, caller, run, "in time");
    a.hold("batches.commit", "after", movesRun(runId)).release(new BatchOutcomeUnknownError("the connection died"));
    held.release();
    expect(await lost).toBe("WAIT_ALREADY_ANSWERED");
    expect((await a.engine.getRun(caller, runId, "full")).state.output).toMatchObject({ reply: { answer: "in time" } });
  });
});
