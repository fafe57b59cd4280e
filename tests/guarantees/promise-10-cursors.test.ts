/** Promise 10: a cursor never skips and never silently repeats, at any server and across restarts. */
import { describe, expect, test } from "vitest";
import type { Caller, RunsMessage } from "../../server/src/engine/api.ts";
import type { FeedEntry } from "../../server/src/store/contract/feed.ts";
import type { Store } from "../../server/src/store/contract/store.ts";
import {
  answer,
  freshCaller,
  freshId,
  movesRun,
  openSharedDatabase,
  refusalOf,
  startRequest,
  startRun,
  startTestServer,
  STORE_KINDS,
  type TestServer,
  untilEnded,
  within,
} from "../support/engine.ts";
import { askingGraph, countingGraph, graph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

type Reading = { ids: string[]; cursor: string };

/** Reads notices after a cursor until `isEnough`. The reader then goes away, with the last cursor that it saw. */
async function read(
  server: TestServer,
  caller: Caller,
  from: Reading,
  isEnough: (ids: readonly string[]) => boolean,
): Promise<Reading> {
  const end = new AbortController();
  const reading: Reading = { ids: [...from.ids], cursor: from.cursor };
  const request = { filter: {}, kinds: [], cursor: from.cursor, signal: end.signal };
  const consume = async () => {
    for await (const message of server.engine.watchRuns(caller, request)) {
      reading.cursor = message.cursor;
      if (message.notice !== undefined) reading.ids.push(message.notice.noticeId);
      if (isEnough(reading.ids)) break;
    }
  };
  await within(consume(), `the feed ended short, with ${reading.ids.length} notices`).finally(() => end.abort());
  return reading;
}

const BEGINNING: Reading = { ids: [], cursor: "beginning" };

/** Every notice of a tenant, as stored in the database. */
async function allNotices(store: Store, { tenantId }: Caller): Promise<string[]> {
  const lanes = await store.lanes.list(0);
  const nonces = new Map(lanes.map(({ laneId, nonce }) => [laneId, nonce]));
  const positions = lanes.map(({ laneId }) => ({ laneId, batchNo: 0, ordinal: 0 }));
  const entries: FeedEntry[] = await store.feed.read(tenantId, positions, 100_000);
  return entries.map(({ laneId, batchNo, ordinal }) => `${laneId}-${nonces.get(laneId)}-${batchNo}-${ordinal}`);
}

describe.each(STORE_KINDS)("promise 10, cursors, on %s", (kind) => {
  const servers = useTwoServers(kind);

  test("a cursor is used at two servers in turn while both write", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const runs = 60;
    // Each run: started, waiting, resumed, completed.
    const total = runs * 4;
    const writing = Promise.all(
      Array.from({ length: runs }, async (_, index) => {
        const [first, second] = index % 2 === 0 ? [a, b] : [b, a];
        const run = await first.engine.startRun(caller, startRequest(definition.workflowId));
        await answer(second, caller, run, index);
      }),
    );
    let reading = BEGINNING;
    for (let round = 1; reading.ids.length < total; round++) {
      const enough = Math.min(reading.ids.length + 7, total);
      reading = await read(round % 2 === 0 ? a : b, caller, reading, (ids) => ids.length >= enough);
    }
    await writing;
    expect(new Set(reading.ids).size).toBe(total);
    expect(reading.ids.toSorted()).toEqual((await allNotices(a.store, caller)).toSorted());
  });

  test("a batch that is committed late is not skipped by a reader that is ahead in other lanes", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const late = startRequest(definition.workflowId);
    const held = a.hold("batches.commit", "before", movesRun(late.runId!));
    const started = a.engine.startRun(caller, late);
    await held.reached;
    for (let count = 0; count < 8; count++) await b.engine.startRun(caller, startRequest(definition.workflowId));
    const reading = await read(b, caller, BEGINNING, (ids) => ids.length === 16);
    held.release();
    await started;
    const whole = await read(b, caller, reading, (ids) => ids.length === 18);
    expect(whole.ids.toSorted()).toEqual((await allNotices(b.store, caller)).toSorted());
  });

  test("what is committed while a reader lists the lanes is read", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const looked = b.hold("lanes.list", "after");
    const reading = read(b, caller, BEGINNING, (ids) => ids.length === 4);
    await looked.reached;
    // A server that starts, writes and stops, all between two reads.
    const passing = await startTestServer(servers.database);
    await passing.engine.startRun(caller, startRequest(definition.workflowId));
    await passing.stop();
    await a.engine.startRun(caller, startRequest(definition.workflowId));
    looked.release();
    expect((await reading).ids.toSorted()).toEqual((await allNotices(a.store, caller)).toSorted());
  });

  test("a lane that ends while it is read is read to its end", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const passing = await startTestServer(servers.database);
    await passing.engine.startRun(caller, startRequest(definition.workflowId));
    const first = await read(b, caller, BEGINNING, (ids) => ids.length === 2);
    const reads = b.hold("feed.read", "before");
    const reading = read(b, caller, first, (ids) => ids.length === 4);
    await reads.reached;
    await passing.engine.startRun(caller, startRequest(definition.workflowId));
    await passing.stop();
    reads.release();
    const whole = await reading;
    expect(whole.ids.toSorted()).toEqual((await allNotices(a.store, caller)).toSorted());
    // Afterwards the lane has left the cursor, which still repeats nothing of it.
    await a.engine.startRun(caller, startRequest(definition.workflowId));
    const after = await read(b, caller, whole, (ids) => ids.length === 6);
    expect(new Set(after.ids).size).toBe(6);
  });

  test("a stream from now on begins at its first cursor, even if that stream was never read", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await startRun(a, caller, definition);
    const now = await read(a, caller, { ids: [], cursor: "" }, () => true);
    expect(now.ids).toEqual([]);
    await b.engine.startRun(caller, startRequest(definition.workflowId));
    const reading = await read(b, caller, now, (ids) => ids.length === 2);
    expect((await allNotices(a.store, caller)).toSorted()).toEqual(expect.arrayContaining(reading.ids));
  });

  test("a reader that stops pulling is sent nothing, and nothing is kept for it", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingGraph();
    await a.engine.registerWorkflow(caller, definition);
    const end = new AbortController();
    const request = { filter: {}, kinds: [], cursor: "beginning", signal: end.signal };
    const stream = a.engine.watchRuns(caller, request)[Symbol.asyncIterator]();
    await stream.next();
    let reads = 0;
    const counting = () => {
      reads += 1;
      return false;
    };
    a.hold("feed.read", "before", counting);
    a.hold("runs.load", "before", counting);
    const runs = Array.from({ length: 200 }, () => startRequest(definition.workflowId));
    await Promise.all(runs.map((run) => b.engine.startRun(caller, run)));
    // The reader does not pull, so nothing is read for it, however much happens.
    expect(reads).toBe(0);
    a.releaseAll();
    const next = await stream.next();
    const { cursor } = next.value as RunsMessage;
    end.abort();
    await stream.return?.(undefined);
    const rest = await read(b, caller, { ids: ["first"], cursor }, (ids) => ids.length === 400);
    expect(new Set(rest.ids).size).toBe(400);
  });

  test("a cursor that was changed, or is another tenant's, is refused", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    await startRun(a, caller, askingGraph());
    const { cursor } = await read(a, caller, BEGINNING, (ids) => ids.length === 2);
    const changed = `${cursor.slice(0, -2)}${cursor.endsWith("AA") ? "BB" : "AA"}`;
    const use = (who: Caller, text: string) => refusalOf(read(b, who, { ids: [], cursor: text }, () => true));
    expect(await use(caller, changed)).toBe("CURSOR_INVALID");
    expect(await use(caller, "x")).toBe("CURSOR_INVALID");
    expect(await use(freshCaller(), cursor)).toBe("CURSOR_INVALID");
    expect(await use(caller, cursor)).toMatchObject({ value: { ids: [] } });
  });

  test("the records of one run are followed across servers", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = countingGraph();
    definition.nodes["count"]!.next = [{ to: "count", when: "vars.n < 40" }, { to: "done" }];
    const run = await startRun(a, caller, definition);
    const { runId } = run.state;
    const seqs: number[] = [];
    let cursor = 0;
    for (let server = a; seqs.length < 42; server = server === a ? b : a) {
      const end = new AbortController();
      for await (const message of server.engine.watchRun(caller, { runId, afterSeq: cursor, signal: end.signal })) {
        cursor = Number(message.cursor);
        if (message.stepRecord === undefined) continue;
        seqs.push(message.stepRecord.sealed.seq);
        if (seqs.length % 9 === 0) break;
      }
      end.abort();
    }
    expect(seqs).toEqual(Array.from({ length: 42 }, (_, index) => index + 1));
  });

  test("pages of a list are read at two servers in turn, while runs are added", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = graph({ done: { complete: {} } });
    await a.engine.registerWorkflow(caller, definition);
    const before = Array.from({ length: 25 }, () => startRequest(definition.workflowId));
    await Promise.all(before.map((request) => a.engine.startRun(caller, request)));
    const seen: string[] = [];
    let pageToken = "";
    do {
      const server = seen.length % 2 === 0 ? a : b;
      const request = { filter: {}, order: "create_time_desc", view: "basic", pageSize: 5, pageToken } as const;
      const page = await server.engine.listRuns(caller, request);
      seen.push(...page.runs.map(({ state }) => state.runId));
      pageToken = page.nextPageToken;
      await b.engine.startRun(caller, startRequest(definition.workflowId));
    } while (pageToken !== "");
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(before.map(({ runId }) => runId)));
  });
});

describe.each(STORE_KINDS)("promise 10, cursors, across restarts on %s", (kind) => {
  test("a cursor outlives the servers that wrote it, killed or stopped", async () => {
    const database = await openSharedDatabase(kind);
    const caller = freshCaller();
    const definition = askingGraph();
    let reading = BEGINNING;
    let written = 0;
    for (let life = 0; life < 4; life++) {
      const server = await startTestServer(database);
      await server.engine.registerWorkflow(caller, definition);
      const requests = Array.from({ length: 5 }, () =>
        startRequest(definition.workflowId, { sessionId: freshId("session") }),
      );
      await Promise.all(requests.map((request) => server.engine.startRun(caller, request)));
      written += 10;
      // Half of the notices are read before the server ends, the other half at the next one.
      const enough = written - 5;
      reading = await read(server, caller, reading, (ids) => ids.length === enough);
      await (life % 2 === 0 ? server.kill() : server.stop());
    }
    const last = await startTestServer(database);
    reading = await read(last, caller, reading, (ids) => ids.length === written);
    expect(new Set(reading.ids).size).toBe(written);
    expect(reading.ids.toSorted()).toEqual((await allNotices(last.store, caller)).toSorted());
    const run = await startRun(last, caller, definition);
    await answer(last, caller, run, "yes");
    await untilEnded(last, caller, run.state.runId);
    await last.stop();
    await database.close();
  });

  test("a cursor of another history is refused", async () => {
    const [database, other] = await Promise.all([openSharedDatabase(kind), openSharedDatabase(kind)]);
    const caller = freshCaller();
    const server = await startTestServer(database);
    await startRun(server, caller, askingGraph());
    const { cursor } = await read(server, caller, BEGINNING, (ids) => ids.length === 2);
    // The other database signs with the same key, like a restored backup, but lacks the newer batches.
    const key = server.store.tokenKey;
    const restored = await startTestServer(other, {}, (store) => ({ ...store, tokenKey: key }));
    expect(await refusalOf(read(restored, caller, { ids: [], cursor }, () => true))).toBe("CURSOR_EXPIRED");
    await Promise.all([server.stop(), restored.stop()]);
    await Promise.all([database.close(), other.close()]);
  });
});
