/** Promise 2: compare-and-swap on the run's seq. Of racing stimuli exactly one wins, and the others get a refusal. */
import { openWaitOf } from "../../server/src/core/run.ts";
import { describe, expect, test } from "vitest";
import type { Json } from "../../server/src/core/json/json.ts";
import type { Caller } from "../../server/src/engine/api.ts";
import type { Batch } from "../../server/src/store/contract/batch.ts";
import {
  answer,
  deliversEvent,
  deliversMail,
  endLeases,
  emitRequest,
  freshCaller,
  freshId,
  ledgerProblems,
  closesBy,
  movesRun,
  openSharedDatabase,
  refusalOf,
  startRequest,
  startRun,
  startTestServer,
  STORE_KINDS,
  turn,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { askingGraph, askingThenListeningGraph, askingTwiceGraph, countingGraph, listeningGraph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

/** Long enough to be held, and short enough to wait for. */
const TIMEOUT = "400ms";

describe.each(STORE_KINDS)("promise 2, compare-and-swap, on %s", (kind) => {
  const servers = useTwoServers(kind);

  /** Server a or b is first; the other one is second. */
  const orders = [["a first"], ["b first"]] as const;
  const inOrder = (order: string) => {
    const { a, b } = servers;
    return order === "a first" ? { winner: a, loser: b } : { winner: b, loser: a };
  };

  test.each(orders)("two answers at two servers: %s", async (order) => {
    const { winner, loser } = inOrder(order);
    const caller = freshCaller();
    const run = await startRun(winner, caller, askingGraph());
    const key = run.state;
    const late = loser.hold("batches.commit", "before", movesRun(key.runId));
    const lost = refusalOf(answer(loser, caller, run, "of the loser"));
    await late.reached;
    const won = await answer(winner, caller, run, "of the winner");
    late.release();
    expect(won.state.status).toBe("completed");
    expect(await lost).toBe("WAIT_ALREADY_ANSWERED");
    const { state } = await loser.engine.getRun(caller, key.runId, "full");
    expect(state.output).toMatchObject({ reply: { answer: "of the winner" } });
    expect(await ledgerProblems(winner.store, key)).toEqual([]);
  });

  test.each(orders)("one answer sent to both servers is one answer, with one reply: %s", async (order) => {
    const { winner, loser } = inOrder(order);
    const caller = freshCaller();
    const run = await startRun(winner, caller, askingTwiceGraph());
    const late = loser.hold("batches.commit", "before", movesRun(run.state.runId));
    const second = answer(loser, caller, run, "yes", "request-1");
    await late.reached;
    const first = await answer(winner, caller, run, "yes", "request-1");
    // Later changes of the run do not change either reply.
    await answer(winner, caller, first, "and more", "request-2");
    late.release();
    expect(await second).toEqual(first);
    expect(first.state).toMatchObject({ node: "askAgain", status: "waiting" });
    expect(await refusalOf(answer(loser, caller, run, "yes", "request-3"))).toBe("WAIT_ALREADY_ANSWERED");
  });

  test("an answer repeated at a server that does not own the active run has the first reply", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["ask"] = { askUser: { prompt: "Sure?" }, next: [{ to: "count" }] };
    const started = await startRun(a, caller, { ...definition, entryNode: "ask" });
    const run = await untilWaiting(a, caller, started.state.runId);
    const first = await answer(a, caller, run, "yes", "request-1");
    expect(await answer(b, caller, run, "yes", "request-1")).toEqual(first);
    expect(await refusalOf(answer(b, caller, run, "no", "request-2"))).toBe("WAIT_ALREADY_ANSWERED");
    expect(await refusalOf(b.engine.resumeRun(caller, { runId: run.state.runId, waitId: "other", payload: {} }))).toBe(
      "RUN_NOT_WAITING",
    );
    await a.engine.cancelRun(caller, { runId: run.state.runId });
  });

  test("an answer and a timer: the answer first", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph({ timeout: TIMEOUT, defaultAnswer: "none" });
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    // Whichever server fires the timer: both are held until the answer is committed.
    const isTimer = movesRun(request.runId!, closesBy("time"));
    const timers = [a, b].map((server) => server.hold("batches.commit", "before", isTimer));
    const run = await a.engine.startRun(caller, request);
    await Promise.race(timers.map(({ reached }) => reached));
    const won = await answer(await freeServer(timers), caller, run, "in time");
    for (const timer of timers) timer.release();
    expect(won.state.output).toMatchObject({ reply: { answer: "in time", timed_out: false } });
    await untilEnded(a, caller, request.runId!);
    expect(await ledgerProblems(a.store, run.state)).toEqual([]);
  });

  /** The server whose timer did not fire: its lanes are free. */
  async function freeServer(timers: { reached: Promise<void> }[]) {
    const first = await Promise.race(timers.map(({ reached }, index) => reached.then(() => index)));
    return first === 0 ? servers.b : servers.a;
  }

  test("an answer and a timer: the timer first", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    // Server b claims no timer: its transition would wait behind its own held answer.
    b.hold("runs.claimDue", "before");
    const run = await startRun(a, caller, askingGraph({ timeout: TIMEOUT, defaultAnswer: "none" }));
    const { runId } = run.state;
    const late = b.hold("batches.commit", "before", movesRun(runId, closesBy("answer")));
    const lost = refusalOf(answer(b, caller, run, "too late"));
    await late.reached;
    const ended = await untilEnded(a, caller, runId);
    late.release();
    expect(await lost).toBe("RUN_NOT_WAITING");
    expect(ended.state.output).toMatchObject({ reply: { answer: "none", timed_out: true } });
  });

  test.each([["answer"], ["cancel"]])("an answer and a cancel: the %s first", async (first) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const { runId } = run.state;
    const late = b.hold("batches.commit", "before", movesRun(runId));
    const lost =
      first === "answer" ? refusalOf(b.engine.cancelRun(caller, { runId })) : refusalOf(answer(b, caller, run, "late"));
    await late.reached;
    const won =
      first === "answer" ? await answer(a, caller, run, "in time") : await a.engine.cancelRun(caller, { runId });
    late.release();
    // Cancelling a run that has ended changes nothing and returns how it ended.
    if (first === "answer") expect(await lost).toMatchObject({ value: { state: { status: "completed" } } });
    else expect(await lost).toBe("RUN_NOT_WAITING");
    const { state } = await b.engine.getRun(caller, runId, "full");
    expect(state).toEqual(won.state);
    expect(await ledgerProblems(b.store, state)).toEqual([]);
  });

  test("an event and a timeout: the event first", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = listeningGraph({ timeout: TIMEOUT });
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    const isTimeout = movesRun(request.runId!, closesBy("time"));
    const timers = [a, b].map((server) => server.hold("batches.commit", "before", isTimeout));
    const run = await a.engine.startRun(caller, request);
    const free = await freeServer(timers);
    // The timeout is decided, but an event enters the channel before it is committed: it is decided again.
    await free.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    for (const timer of timers) timer.release();
    const ended = await untilEnded(a, caller, request.runId!);
    const channel = { tenantId: caller.tenantId, scope: "global", scopeId: "" } as const;
    const [event] = await a.store.events.list(channel, 0, 1);
    // The clocks of the servers differ slightly, so either may win; what counts is the time at which the event was
    // emitted.
    const isLate = event!.emitTime > openWaitOf(run.state)!.due_time!;
    expect(ended.state.output).toMatchObject({ event: { timed_out: isLate } });
    // An event that was too late is left for a later wait.
    expect(ended.state.cursors).toHaveLength(isLate ? 0 : 1);
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test("an event and a timeout: an event that was in time wins even if the timeout is decided", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = listeningGraph({ timeout: TIMEOUT });
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    // Server b claims no timer: a timeout of its own would wait behind the held event.
    b.hold("runs.claimDue", "before");
    const timeout = a.hold("batches.commit", "before", movesRun(request.runId!, closesBy("time")));
    // The event is emitted before the wait's due time, and committed only after the timeout has been decided.
    const event = emitRequest("order.paid", { payload: 1 });
    const emit = b.hold("batches.commit", "before", deliversEvent(event.eventId!));
    await a.engine.startRun(caller, request);
    const emitted = b.engine.emitEvent(caller, event);
    await emit.reached;
    await timeout.reached;
    const committed = b.hold("batches.commit", "after", deliversEvent(event.eventId!));
    emit.release();
    await committed.reached;
    committed.release();
    timeout.release();
    await emitted;
    const ended = await untilEnded(a, caller, request.runId!);
    expect(ended.state.output).toMatchObject({ event: { timed_out: false, payload: 1 } });
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test("an event and a timeout: the timeout first", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    // Server b claims no timer: its transition would wait behind its own held one.
    b.hold("runs.claimDue", "before");
    const run = await startRun(a, caller, listeningGraph({ timeout: TIMEOUT }));
    const { runId } = run.state;
    const isTaking = movesRun(runId, closesBy("event"));
    const late = b.hold("batches.commit", "before", isTaking);
    // The event is in time, but the run sees it only when the wait could time out: the event still wins.
    const emitted = b.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    await late.reached;
    const ended = await untilEnded(a, caller, runId);
    late.release();
    // The event was emitted by the due time, so both servers decide for it.
    expect(ended.state.output).toMatchObject({ event: { timed_out: false, payload: 1 } });
    expect(await emitted).toMatchObject({ delivered: 0 });
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test.each(orders)("two starts of one run id, the same request: %s", async (order) => {
    const { winner, loser } = inOrder(order);
    const caller = freshCaller();
    const definition = askingGraph();
    await winner.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId, { vars: { n: 1 } });
    const late = loser.hold("batches.commit", "before", movesRun(request.runId!));
    const second = loser.engine.startRun(caller, request);
    await late.reached;
    const first = await winner.engine.startRun(caller, request);
    late.release();
    expect(await second).toEqual(first);
    expect(await ledgerProblems(winner.store, first.state)).toEqual([]);
  });

  test.each(orders)("two starts of one run id, different requests: %s", async (order) => {
    const { winner, loser } = inOrder(order);
    const caller = freshCaller();
    const definition = askingGraph();
    await winner.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId, { vars: { n: 1 } });
    const late = loser.hold("batches.commit", "before", movesRun(request.runId!));
    const second = refusalOf(loser.engine.startRun(caller, { ...request, vars: { n: 2 } }));
    await late.reached;
    const first = await winner.engine.startRun(caller, request);
    late.release();
    expect(await second).toBe("RUN_EXISTS");
    expect((await loser.engine.getRun(caller, request.runId!, "full")).state.vars).toEqual({ n: 1 });
    expect(first.state.vars).toEqual({ n: 1 });
  });

  test.each([["pause"], ["answer"]])("a pause and an answer: the %s first", async (first) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingTwiceGraph());
    const { runId } = run.state;
    const pause = (server: typeof a) => server.engine.pauseRun(caller, { runId });
    const reply = (server: typeof a) => answer(server, caller, run, "yes");
    const late = b.hold("batches.commit", "before", movesRun(runId));
    const second = first === "pause" ? reply(b) : pause(b);
    await late.reached;
    await (first === "pause" ? pause(a) : reply(a));
    late.release();
    await second;
    // In either order nothing is lost: what was decided from the old state is decided again. The run stops before the
    // next question only if it is paused first.
    const { state } = await a.engine.getRun(caller, runId, "full");
    expect(state).toMatchObject({ paused: true, node: "askAgain", vars: { first: { answer: "yes" } } });
    expect(state.status).toBe(first === "pause" ? "running" : "waiting");
    await b.engine.unpauseRun(caller, { runId });
    const again = await untilWaiting(a, caller, runId);
    const ended = await answer(a, caller, again, "yes");
    expect(ended.state.status).toBe("completed");
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test.each([["unpause"], ["event"]])("an unpause and an event: the %s first", async (first) => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, listeningGraph());
    const { runId } = run.state;
    await a.engine.pauseRun(caller, { runId });
    const emit = () => a.engine.emitEvent(caller, emitRequest("order.paid", { payload: 1 }));
    if (first === "event") {
      // Decided while the channel was empty. When this is committed the event is there, and nothing else will wake the
      // run.
      const late = b.hold("batches.commit", "before", movesRun(runId));
      const unpaused = b.engine.unpauseRun(caller, { runId });
      await late.reached;
      expect(await emit()).toMatchObject({ delivered: 0 });
      late.release();
      await unpaused;
    } else {
      // Committed before the event is, but its server has not received the reply yet.
      const late = b.hold("batches.commit", "after", movesRun(runId));
      const unpaused = b.engine.unpauseRun(caller, { runId });
      await late.reached;
      expect(await emit()).toMatchObject({ delivered: 1 });
      late.release();
      await unpaused;
    }
    const ended = await untilEnded(b, caller, runId);
    expect(ended.state.output).toMatchObject({ event: { payload: 1 } });
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test("a run that is active on one server is cancelled by another, through mail", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, countingGraph());
    const { runId } = run.state;
    const cancelled = await b.engine.cancelRun(caller, { runId, reason: "enough" });
    expect(cancelled.state.status).not.toBe("completed");
    const ended = await untilEnded(b, caller, runId);
    expect(ended.state.status).toBe("cancelled");
    expect(await b.store.mail.list([ended.state])).toEqual([]);
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });

  test("mail for a run that parks before the mail is committed is acted on by its sender", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = countingGraph({ workflowId: "counts-to-ten" });
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 10" }, { to: "ask" }];
    definition.nodes["ask"] = { askUser: { prompt: "Sure?" }, next: [{ to: "done" }] };
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    const step = a.hold(
      "batches.commit",
      "before",
      movesRun(request.runId!, ({ expectedSeq }) => expectedSeq === 5),
    );
    await a.engine.startRun(caller, request);
    await step.reached;
    const mail = b.hold("batches.commit", "before", deliversMail(request.runId!));
    const cancelled = b.engine.cancelRun(caller, { runId: request.runId! });
    await mail.reached;
    step.release();
    await untilWaiting(a, caller, request.runId!);
    mail.release();
    expect((await cancelled).state.status).toBe("cancelled");
  });

  test("mail that a killed owner has not read is acted on by the server that takes over, before any step", async () => {
    // Of its own: every server loses its lease here.
    const database = await openSharedDatabase(kind);
    const owner = await startTestServer(database);
    const heir = await startTestServer(database);
    const caller = freshCaller();
    const { runId } = (await startRun(owner, caller, countingGraph())).state;
    const killed = owner.kill();
    const { state: asked } = await heir.engine.cancelRun(caller, { runId });
    expect(asked.status).toBe("running");
    await endLeases(heir);
    const { state: ended } = await untilEnded(heir, caller, runId);
    expect(ended.status).toBe("cancelled");
    // One step may have been on its way when the owner was killed.
    expect(ended.seq - asked.seq).toBeLessThanOrEqual(2);
    await Promise.all([killed, heir.stop()]);
    await database.close();
  });

  test("a wake-up that queues behind a commit sees what another server has done in the meantime", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const { runId, scopeId } = await listenerBesideItsChannel(caller);
    // Paused by a, which has not received the reply; unpaused by b.
    const committed = a.hold("batches.commit", "after", movesRun(runId));
    const paused = a.engine.pauseRun(caller, { runId });
    await committed.reached;
    await b.engine.unpauseRun(caller, { runId });
    // The wake-up waits behind the pause. A server that trusted its memory would take the run for paused and do
    // nothing.
    const listed = a.hold("events.listListeners", "after", ({ events }) =>
      events.some(({ name }) => name === "order.paid"),
    );
    const emitted = a.engine.emitEvent(caller, emitRequest("order.paid", { scope: "session", scopeId, payload: 1 }));
    await listed.reached;
    listed.release();
    await turn();
    committed.release();
    await Promise.all([paused, emitted]);
    expect((await untilEnded(a, caller, runId)).state.output).toMatchObject({ event: { payload: 1 } });
  });

  /** A run that listens to its session, and whose lane at server a is not that of the session's events. */
  async function listenerBesideItsChannel(caller: Caller): Promise<{ runId: string; scopeId: string }> {
    const { a } = servers;
    const definition = listeningGraph({ scope: "SCOPE_SESSION" });
    await a.engine.registerWorkflow(caller, definition);
    let lane = 0;
    for (;;) {
      const seen = (batch: Batch) => (lane = batch.laneId) < 0;
      const scopeId = freshId("session");
      a.hold("batches.commit", "before", seen);
      const run = await startRun(a, caller, definition, { sessionId: scopeId });
      const runLane = lane;
      await a.engine.emitEvent(caller, emitRequest("other", { scope: "session", scopeId }));
      a.releaseAll();
      if (lane !== runLane) return { runId: run.state.runId, scopeId };
    }
  }

  test("operations that queue behind a commit see what another server has done in the meantime", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingTwiceGraph());
    const { runId } = run.state;
    // Committed at a, which has not received the reply: its next operations on the run wait behind it.
    const committed = a.hold("batches.commit", "after", movesRun(runId));
    const first = answer(a, caller, run, "yes");
    await committed.reached;
    const { state } = await b.engine.getRun(caller, runId, "full");
    const paused = a.engine.pauseRun(caller, { runId });
    const second = await answer(b, caller, { state, view: "full" }, "of b");
    expect(second.state.status).toBe("completed");
    committed.release();
    await first;
    // Refused because of the run's present state; a server that trusted its memory would have tried to pause a waiting
    // run.
    expect(await refusalOf(paused)).toBe("RUN_ENDED");
  });

  const values: Json[] = [1, "two", [3], { four: null }];
  test("twenty answers at two servers at once: one wins, all others are refused", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingGraph());
    const answers = Array.from({ length: 20 }, (_, index) =>
      refusalOf(answer(index % 2 === 0 ? a : b, caller, run, values[index % 4]!)),
    );
    const replies = await Promise.all(answers);
    expect(replies.filter((one) => one === "WAIT_ALREADY_ANSWERED")).toHaveLength(19);
    const { state } = await a.engine.getRun(caller, run.state.runId, "full");
    expect(replies.filter((one) => typeof one === "object")).toMatchObject([
      { value: { state: { output: state.output } } },
    ]);
    expect(await ledgerProblems(a.store, state)).toEqual([]);
  });

  test("a listener acts once on what two servers ask of it at once", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const run = await startRun(a, caller, askingThenListeningGraph());
    await answer(a, caller, run, "yes");
    const events = [emitRequest("order.paid", { payload: 1 }), emitRequest("order.paid", { payload: 2 })] as const;
    await Promise.all([a.engine.emitEvent(caller, events[0]), b.engine.emitEvent(caller, events[1])]);
    const ended = await untilEnded(b, caller, run.state.runId);
    expect(ended.state.cursors).toHaveLength(1);
    expect(ended.state.steps).toBe(3);
    expect(await ledgerProblems(a.store, ended.state)).toEqual([]);
  });
});
