/** Promise 1: one transaction per transition. Every reader sees all of it or nothing. */
import { openWaitOf } from "../../server/src/core/run.ts";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../server/src/engine/api.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  ledgerProblems,
  openSharedDatabase,
  readLedger,
  type SharedDatabase,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { graph, listeningGraph } from "./graphs.ts";

/** A graph whose answer moves the run, closes a wait, emits an event, opens the next wait and sets a timer. */
function eventfulGraph() {
  return graph({
    ask: { askUser: { prompt: "Sure?" }, resultKey: "reply", next: [{ to: "next" }] },
    next: { askUser: { prompt: "Really?", timeout: "1h" }, next: [{ to: "emit" }] },
    emit: { emitEvent: { name: "order.paid", scope: "SCOPE_GLOBAL", eventId: "the-event" }, next: [{ to: "done" }] },
    done: { complete: { output: "${vars}" } },
  });
}

describe("promise 1, one transaction per transition, on postgres", () => {
  let database: SharedDatabase;
  let server: TestServer;
  let outside: postgres.Sql;

  beforeAll(async () => {
    database = await openSharedDatabase("postgres");
    server = await startTestServer(database);
    outside = postgres(database.url, { max: 3, onnotice: () => undefined });
  });
  afterEach(() => expect(server.errors).toEqual([]));
  afterAll(async () => {
    await server.stop();
    await outside.end();
    await database.close();
  });

  /** Waits until a statement waits for a lock, and returns its process. */
  async function blockedProcess(): Promise<number> {
    for (;;) {
      const [row] = await outside<{ pid: number }[]>`
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%commit_batch%'`;
      if (row !== undefined) return row.pid;
    }
  }

  /** Locks the row of a wait: a transition that closes the wait has made many changes by then, and stops there. */
  async function lockWait(waitId: string): Promise<{ release(): Promise<void> }> {
    const locked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const holding = outside.begin(async (transaction) => {
      await transaction`select from waits where wait_id = ${waitId} for update`;
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

  async function seen(caller: Caller, runId: string) {
    const key = { tenantId: caller.tenantId, runId };
    const [run] = await server.store.runs.load([key]);
    const waits = await outside<{ open: boolean }[]>`
      select close_time is null as open from waits where run_id = ${runId} order by seq`;
    const [due] = await outside<{ is_due: boolean }[]>`
      select wake_at is not null as is_due from runs where run_id = ${runId}`;
    const feed = await outside<
      { kind: string }[]
    >`select kind from feed where run_id = ${runId} order by batch_no, ordinal`;
    return {
      seq: run!.state.seq,
      records: (await readLedger(server.store, key)).length,
      waits: waits.map(({ open }) => open),
      hasTimer: due!.is_due,
      feed: feed.map(({ kind }) => kind),
    };
  }

  test("while a transition is being committed nothing of it is seen, then all of it", async () => {
    const caller = freshCaller();
    const run = await startRun(server, caller, eventfulGraph());
    const { runId } = run.state;
    const wait = openWaitOf(run.state);
    const before = { seq: 2, records: 2, waits: [true], hasTimer: false, feed: ["started", "waiting"] };
    expect(await seen(caller, runId)).toEqual(before);
    const lock = await lockWait(wait!.wait_id);
    const answered = answer(server, caller, run, "yes");
    await blockedProcess();
    expect(await seen(caller, runId)).toEqual(before);
    await lock.release();
    await answered;
    expect(await seen(caller, runId)).toEqual({
      seq: 4,
      records: 4,
      waits: [false, true],
      hasTimer: true,
      feed: ["started", "waiting", "resumed", "waiting"],
    });
  });

  test("a connection that dies within the transaction leaves nothing, and the transition is made once", async () => {
    const caller = freshCaller();
    const listener = await startRun(server, caller, listeningGraph());
    const run = await startRun(server, caller, eventfulGraph());
    const { runId } = run.state;
    await answer(server, caller, run, "yes");
    const second = await untilWaiting(server, caller, runId);
    const lock = await lockWait(openWaitOf(second.state)!.wait_id);
    const answered = answer(server, caller, second, "yes", "request-1");
    const pid = await blockedProcess();
    await outside`select pg_terminate_backend(${pid}, 5000)`;
    expect(await seen(caller, runId)).toMatchObject({ seq: 4, records: 4, waits: [false, true] });
    await lock.release();
    // The server asked whether the batch was committed, learned that it was not, and committed it again.
    expect((await answered).state.seq).toBeGreaterThan(4);
    await untilEnded(server, caller, runId);
    expect(await ledgerProblems(server.store, run.state)).toEqual([]);
    const events = await server.store.events.list({ tenantId: caller.tenantId, scope: "global", scopeId: "" }, 0, 10);
    expect(events.map(({ eventId }) => eventId)).toEqual(["the-event"]);
    expect((await untilEnded(server, caller, listener.state.runId)).state.output).toMatchObject({
      event: { event_id: "the-event" },
    });
  });

  test("an event and the step that emits it are one: neither is stored without the other", async () => {
    const caller = freshCaller();
    const channel = { tenantId: caller.tenantId, scope: "global", scopeId: "" } as const;
    // Another event creates the channel's row, which is then locked.
    await server.engine.emitEvent(caller, emitRequest("other"));
    const released = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = outside.begin(async (transaction) => {
      await transaction`select from channels where tenant_id = ${caller.tenantId} for update`;
      locked.resolve();
      await released.promise;
    });
    await locked.promise;
    const emitter = graph({
      emit: { emitEvent: { name: "order.paid", scope: "SCOPE_GLOBAL", eventId: "the-event" }, next: [{ to: "done" }] },
      done: { complete: {} },
    });
    const started = startRun(server, caller, emitter, { runId: "emitter" });
    await blockedProcess();
    expect(await server.store.runs.load([{ tenantId: caller.tenantId, runId: "emitter" }])).toEqual([undefined]);
    expect(await server.store.events.list(channel, 1, 10)).toEqual([]);
    released.resolve();
    await Promise.all([holding, started]);
    expect(await server.store.events.list(channel, 1, 10)).toMatchObject([{ eventId: "the-event" }]);
    await untilEnded(server, caller, "emitter");
  });
});
