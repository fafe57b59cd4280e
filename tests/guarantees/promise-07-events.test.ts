/**
 * Promise 7: an event that is emitted after a run started and before it waits for it is not lost. The events of a
 * channel are consumed in order, once per run and name; `event_id` removes duplicates; paused runs keep their events.
 */
import { describe, expect, test } from "vitest";
import type { Scope } from "../../server/src/core/event.ts";
import type { WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { ScopeJson } from "../../server/src/core/graph/gen/types.ts";
import type { Caller, RunView } from "../../server/src/engine/api.ts";
import { BatchOutcomeUnknownError, StoreUnavailableError } from "../../server/src/store/contract/errors.ts";
import {
  answer,
  deliversEvent,
  emitRequest,
  endLeases,
  freshCaller,
  freshId,
  ledgerProblems,
  movesRun,
  openSharedDatabase,
  startRequest,
  refusalOf,
  startRun,
  startTestServer,
  STORE_KINDS,
  turn,
  untilEnded,
} from "../support/engine.ts";
import { askingThenListeningGraph, graph, listeningGraph, listeningThriceGraph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

const SCOPES: readonly Scope[] = ["run", "session", "workflow", "global"];
const KEYS = [undefined, "order-7"] as const;
const CASES = SCOPES.flatMap((scope) =>
  KEYS.map((key) => ({ scope, key, said: key === undefined ? "no key" : "a key" })),
);

describe.each(STORE_KINDS)("promise 7, events, on %s", (kind) => {
  const servers = useTwoServers(kind);

  const waitOf = (scope: Scope, key: string | undefined) => ({
    scope: `SCOPE_${scope.toUpperCase()}` as ScopeJson,
    ...(key === undefined ? {} : { key }),
  });

  /** Puts an event for a run into the run's channel of a scope. */
  function eventFor(
    run: { runId: string; sessionId?: string; workflowId: string },
    scope: Scope,
    key: string | undefined,
  ) {
    const scopeIds = { run: run.runId, session: run.sessionId ?? "", workflow: run.workflowId, global: "" };
    return emitRequest("order.paid", {
      scope,
      scopeId: scopeIds[scope],
      key: key ?? "",
      payload: { key: key ?? null },
    });
  }

  async function expectTaken(caller: Caller, run: { runId: string }, eventId: string | undefined): Promise<void> {
    const { state } = await untilEnded(servers.b, caller, run.runId);
    expect(state.output).toMatchObject({ event: { event_id: eventId, timed_out: false } });
    expect(await ledgerProblems(servers.a.store, state)).toEqual([]);
  }

  describe.each(CASES)("scope $scope, $said", ({ scope, key }) => {
    const request = (definition: WorkflowDefinition) =>
      startRequest(definition.workflowId, { sessionId: freshId("session") });

    test("an event from before the start does not reach the run", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = listeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const first = request(definition);
      await a.engine.startRun(caller, first);
      const old = eventFor({ ...first, runId: first.runId! }, scope, key);
      await b.engine.emitEvent(caller, old);
      await expectTaken(caller, { runId: first.runId! }, old.eventId);
      // Another run of the same session starts now: everything in the channels is older.
      const second = { ...first, runId: freshId("run") };
      const run = await a.engine.startRun(caller, second);
      expect(run.state.status).toBe("waiting");
      const event = eventFor({ ...second, runId: second.runId }, scope, key);
      await b.engine.emitEvent(caller, event);
      await expectTaken(caller, run.state, event.eventId);
    });

    test("before the wait", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = askingThenListeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const run = await a.engine.startRun(caller, request(definition));
      const event = eventFor(run.state, scope, key);
      expect(await b.engine.emitEvent(caller, event)).toMatchObject({ delivered: 0 });
      const ended = await answer(a, caller, run, "go on");
      expect(ended.state.status).toBe("completed");
      await expectTaken(caller, run.state, event.eventId);
    });

    test("between the check of the channel and the commit of the wait", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = listeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const starting = request(definition);
      const runId = starting.runId!;
      const opening = a.hold(
        "batches.commit",
        "before",
        movesRun(runId, ({ openWaits }) => openWaits.length > 0),
      );
      // An event for a run that does not exist yet is refused, so the run starts paused and is stepped to its wait.
      await a.engine.startRun(caller, { ...starting, paused: true });
      const unpaused = a.engine.unpauseRun(caller, { runId });
      await opening.reached;
      const event = eventFor({ ...starting, runId }, scope, key);
      expect(await b.engine.emitEvent(caller, event)).toMatchObject({ delivered: 0 });
      opening.release();
      await unpaused;
      await expectTaken(caller, { runId }, event.eventId);
    });

    test("between the commit of the wait and the reply about it", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = listeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const starting = request(definition);
      const runId = starting.runId!;
      const opened = a.hold(
        "batches.commit",
        "after",
        movesRun(runId, ({ openWaits }) => openWaits.length > 0),
      );
      const started = a.engine.startRun(caller, starting);
      await opened.reached;
      const event = eventFor({ ...starting, runId }, scope, key);
      expect(await b.engine.emitEvent(caller, event)).toMatchObject({ delivered: 1 });
      opened.release();
      await started;
      await expectTaken(caller, { runId }, event.eventId);
    });

    test("between the commit of the event and the search for listeners", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = askingThenListeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const run = await a.engine.startRun(caller, request(definition));
      const event = eventFor(run.state, scope, key);
      const looking = b.hold("events.readWoken", "before", (channels) =>
        channels.some(({ tenantId }) => tenantId === caller.tenantId),
      );
      const emitted = b.engine.emitEvent(caller, event);
      await looking.reached;
      await answer(a, caller, run, "go on");
      looking.release();
      // The run found the event itself, and the listeners' pass did not deliver it a second time.
      expect(await emitted).toMatchObject({ delivered: 0 });
      await expectTaken(caller, run.state, event.eventId);
    });

    test("while it waits, at either server; an event of another key or name changes nothing", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = listeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const run = await a.engine.startRun(caller, request(definition));
      const event = eventFor(run.state, scope, key);
      const others = [
        { ...event, name: "order.lost", eventId: freshId("event") },
        ...(key === undefined ? [] : [{ ...event, key: "order-8", eventId: freshId("event") }]),
      ];
      for (const other of others) expect(await b.engine.emitEvent(caller, other)).toMatchObject({ delivered: 0 });
      expect(await b.engine.emitEvent(caller, event)).toMatchObject({ delivered: 1 });
      await expectTaken(caller, run.state, event.eventId);
    });

    test("while it is paused", async () => {
      const { a, b } = servers;
      const caller = freshCaller();
      const definition = listeningGraph(waitOf(scope, key));
      await a.engine.registerWorkflow(caller, definition);
      const run = await a.engine.startRun(caller, request(definition));
      await a.engine.pauseRun(caller, { runId: run.state.runId });
      const event = eventFor(run.state, scope, key);
      expect(await b.engine.emitEvent(caller, event)).toMatchObject({ delivered: 0 });
      await b.engine.unpauseRun(caller, { runId: run.state.runId });
      await expectTaken(caller, run.state, event.eventId);
    });
  });

  const taken = ({ state }: RunView) => {
    const { first, second, third } = state.output as Record<string, { payload: unknown }>;
    return [first, second, third].map((event) => event?.payload);
  };

  test("events are consumed in the order of the channel, whoever emits and whenever the run checks", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningThriceGraph());
    const late = a.hold("batches.commit", "before", movesRun(run.state.runId));
    const first = a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    await late.reached;
    await b.engine.emitEvent(caller, emitRequest("order.paid", { payload: 2 }));
    await b.engine.emitEvent(caller, emitRequest("order.paid", { payload: 3 }));
    late.release();
    await first;
    expect(taken(await untilEnded(a, caller, run.state.runId))).toEqual([1, 2, 3]);
  });

  test("a second event with the same id is a duplicate, at either server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningThriceGraph());
    const event = emitRequest("order.paid", { payload: 1 });
    const both = await Promise.all([a.engine.emitEvent(caller, event), b.engine.emitEvent(caller, event)]);
    expect(both.map(({ eventId }) => eventId)).toEqual([event.eventId, event.eventId]);
    expect(await a.engine.emitEvent(caller, { ...event, payload: "other" })).toEqual({
      eventId: event.eventId,
      delivered: 0,
    });
    await b.engine.emitEvent(caller, emitRequest("order.paid", { payload: 2 }));
    await a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 3 }));
    expect(taken(await untilEnded(a, caller, run.state.runId))).toEqual([1, 2, 3]);
  });

  test("after a run's end, repeating an event that it got has the same reply; a new event is refused", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const { runId } = (await startRun(a, caller, listeningGraph())).state;
    const early = emitRequest("early", { scope: "run", scopeId: runId });
    await a.engine.emitEvent(caller, early);
    await a.engine.cancelRun(caller, { runId });
    await untilEnded(a, caller, runId);
    expect(await b.engine.emitEvent(caller, early)).toEqual({ eventId: early.eventId, delivered: 0 });
    const late = emitRequest("late", { scope: "run", scopeId: runId });
    expect(await refusalOf(b.engine.emitEvent(caller, late))).toBe("RUN_ENDED");
  });

  test("a pattern and a name share what they consume", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = listeningThriceGraph();
    definition.nodes["two"]!.waitEvent!.names = ["order.*"];
    const run = await startRun(a, caller, definition);
    for (const payload of [1, 2, 3]) await a.engine.emitEvent(caller, emitRequest("order.paid", { payload }));
    expect(taken(await untilEnded(a, caller, run.state.runId))).toEqual([1, 2, 3]);
  });

  test("an event emitted by a node reaches a run at another server", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const listener = await startRun(b, caller, listeningGraph());
    const emitter = graph({
      emit: { emitEvent: { name: "order.paid", scope: "SCOPE_GLOBAL", payload: "of a node" }, next: [{ to: "done" }] },
      done: { complete: {} },
    });
    await startRun(a, caller, emitter);
    expect((await untilEnded(b, caller, listener.state.runId)).state.output).toMatchObject({
      event: { payload: "of a node" },
    });
  });

  test("thirty runs at two servers each take every event once and in order", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = listeningThriceGraph();
    await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 30 }, () => startRequest(definition.workflowId));
    await Promise.all(requests.map((one, index) => (index % 2 === 0 ? a : b).engine.startRun(caller, one)));
    const emits = [1, 2, 3].map((payload) => emitRequest("order.paid", { payload }));
    await Promise.all(emits.map((event, index) => (index % 2 === 0 ? b : a).engine.emitEvent(caller, event)));
    const channel = { tenantId: caller.tenantId, scope: "global", scopeId: "" } as const;
    const order = (await a.store.events.list(channel, 0, 10)).map(({ payload }) => payload);
    expect(new Set(order)).toEqual(new Set([1, 2, 3]));
    for (const { runId } of requests) expect(taken(await untilEnded(a, caller, runId!))).toEqual(order);
  });
});

describe.each(STORE_KINDS)("promise 7, events, when a server fails on %s", (kind) => {
  /** Sweeps are what is tested here. */
  const settings = { strayMs: 50 };

  test("a server that dies between the commit of an event and waking its listeners", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const b = await startTestServer(database, settings);
    const caller = freshCaller();
    const run = await startRun(b, caller, listeningGraph());
    const looking = a.hold("events.readWoken", "before");
    const emitted = a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 })).catch(() => undefined);
    await looking.reached;
    const killed = a.kill();
    looking.release();
    expect((await untilEnded(b, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    await Promise.all([emitted, killed]);
    await b.stop();
    await database.close();
  });

  test("a server that is told to stop while it wakes listeners", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const b = await startTestServer(database, settings);
    const caller = freshCaller();
    const run = await startRun(b, caller, listeningGraph());
    const listed = a.hold("events.listListeners", "after");
    const emitted = a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    await listed.reached;
    const stopped = a.stop();
    await turn();
    listed.release();
    await Promise.all([emitted, stopped]);
    // Listeners that it did not reach are not noted as woken.
    expect((await untilEnded(b, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    await b.stop();
    await database.close();
  });

  test.each([
    ["runs.load"],
    ["events.lookUp"],
    ["events.listListeners"],
    ["events.list"],
    ["events.readWoken"],
  ] as const)("a database that is away for a moment while a listener is woken: %s", async (verb) => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, settings);
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningGraph());
    const failing = a.hold(verb, "before");
    failing.release(new StoreUnavailableError("away for a moment"));
    await a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    await failing.reached;
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    expect(a.errors).toEqual([]);
    await a.stop();
    await database.close();
  });

  test("a reply about an event that was lost: the emitter gets a reply, and the listeners wake", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningGraph());
    const event = emitRequest("order.paid", { payload: 1 });
    a.hold("batches.commit", "after", deliversEvent(event.eventId!)).release(
      new BatchOutcomeUnknownError("the reply was lost"),
    );
    expect(await a.engine.emitEvent(caller, event)).toMatchObject({ eventId: event.eventId });
    expect((await untilEnded(a, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    await a.stop();
    await database.close();
  });

  test("an emitter that repeats what a dead server committed wakes its listeners", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database);
    const b = await startTestServer(database);
    const caller = freshCaller();
    const run = await startRun(b, caller, listeningGraph());
    const event = emitRequest("order.paid", { payload: 1 });
    const looking = a.hold("events.readWoken", "before");
    const emitted = a.engine.emitEvent(caller, event).catch(() => undefined);
    await looking.reached;
    const killed = a.kill();
    looking.release();
    await b.engine.emitEvent(caller, event);
    expect((await untilEnded(b, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    await Promise.all([emitted, killed]);
    await b.stop();
    await database.close();
  });

  test("a run that waits for nothing else is woken when its server had no lane for a moment", async () => {
    const database = await openSharedDatabase(kind);
    const a = await startTestServer(database, { ...settings, renewMs: 50 });
    const b = await startTestServer(database, settings);
    const caller = freshCaller();
    const run = await startRun(b, caller, listeningGraph());
    const waking = a.hold("batches.commit", "before", movesRun(run.state.runId));
    const emitted = a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    await waking.reached;
    await endLeases(a);
    waking.release();
    await emitted;
    expect((await untilEnded(b, caller, run.state.runId)).state.output).toMatchObject({ event: { payload: 1 } });
    await Promise.all([a.stop(), b.stop()]);
    await database.close();
  });
});
