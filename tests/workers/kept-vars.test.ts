/** Large members of vars that workers keep: what offers say about them, and what a new connection starts with. */
import { describe, expect, test } from "vitest";
import type { Json, JsonObject } from "../../server/src/core/json/json.ts";
import type { OfferedJob } from "../../server/src/engine/api.ts";
import { graph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";
import {
  answer,
  freshCaller,
  freshId,
  movesRun,
  startRun,
  STORE_KINDS,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { connectTestWorker, type TestWorker } from "../support/test-worker.ts";

const DOCUMENTS = [{ text: "d".repeat(3_000) }];
const NOTES = "n".repeat(3_000);
const KEPT = 1024 * 1024;

const large = (name: string, id: number, value?: Json) =>
  value === undefined ? { name, id } : { name, id, text: JSON.stringify(value) };

const smallVars = ({ payload }: OfferedJob): Json => (JSON.parse(payload) as JsonObject)["vars"]!;

describe.each(STORE_KINDS)("large members of vars on %s", (kind) => {
  const servers = useTwoServers(kind, { renewMs: 50, acceptMs: 400, reconnectMs: 300, handlerParkMs: 30 });
  const looping = () =>
    graph(
      { think: { handler: {}, next: [{ to: "think" }, { to: "done" }] }, done: { complete: {} } },
      {
        commitEveryStep: true,
      },
    );
  const serves = (definition: { workflowId: string }, keptVarsBytes = KEPT) => ({
    workflows: [{ workflowId: definition.workflowId, versions: [] }],
    keptVarsBytes,
  });

  /** Takes the next job, and makes its run come back with a change to vars. */
  async function think(worker: TestWorker, patch: Json[] = [], nextNode = "think"): Promise<OfferedJob> {
    const job = await worker.nextJob();
    worker.accept(job);
    expect(await worker.complete(job, { patch, nextNode })).toMatchObject({ status: "accepted" });
    return job;
  }

  test("are sent once, and again when they change", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = looping();
    const worker = await connectTestWorker(a, caller, serves(definition));
    worker.credit(100);
    const vars = { n: 0, documents: DOCUMENTS, notes: NOTES, last: 1 };
    const run = await startRun(a, caller, definition, { vars });

    const first = await think(worker, [{ op: "set", path: "/n", value: 1 }]);
    expect(Object.keys(smallVars(first) as JsonObject)).toEqual(["n", "documents", "notes", "last"]);
    expect(smallVars(first)).toEqual({ n: 0, documents: null, notes: null, last: 1 });
    expect(first.largeVars).toEqual([large("documents", 1, DOCUMENTS), large("notes", 2, NOTES)]);

    const second = await think(worker, [{ op: "append", path: "/documents", values: ["more"] }]);
    expect(smallVars(second)).toEqual({ n: 1, documents: null, notes: null, last: 1 });
    expect(second).toMatchObject({ largeVars: [large("documents", 1), large("notes", 2)], forgottenVars: [] });

    const third = await think(worker, [{ op: "unset", path: "/notes" }]);
    expect(third.largeVars).toEqual([large("documents", 3, [...DOCUMENTS, "more"]), large("notes", 2)]);
    expect(third.forgottenVars).toEqual([1]);

    const fourth = await think(worker, [], "done");
    expect(smallVars(fourth)).toEqual({ n: 1, documents: null, last: 1 });
    expect(fourth.largeVars).toEqual([large("documents", 3)]);
    expect((await untilEnded(a, caller, run.state.runId)).state.status).toBe("completed");
    worker.cut();
  });

  test("are in the payload of a worker that keeps nothing", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = looping();
    const worker = await connectTestWorker(a, caller, serves(definition, 0));
    worker.credit(100);
    const vars = { documents: DOCUMENTS };
    await startRun(a, caller, definition, { vars });
    for (const nextNode of ["think", "done"]) {
      const job = await think(worker, [], nextNode);
      expect(smallVars(job)).toEqual(vars);
      expect(job).not.toHaveProperty("largeVars");
    }
    worker.cut();
  });

  test("of two runs are kept apart, though their names are the same", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = looping();
    const worker = await connectTestWorker(a, caller, serves(definition));
    worker.credit(1);
    const values = new Map<string, Json>();
    for (const value of ["x".repeat(3_000), "y".repeat(3_000)]) {
      const { state } = await startRun(a, caller, definition, { vars: { value } });
      values.set(state.runId, value);
    }
    const ids = new Map<string, number>();
    for (let turn = 0; turn < 4; turn++) {
      const { runId, largeVars } = await think(worker);
      const id = ids.get(runId) ?? ids.size + 1;
      expect(largeVars).toEqual([large("value", id, ids.has(runId) ? undefined : values.get(runId))]);
      ids.set(runId, id);
      worker.credit(1);
    }
    expect(ids.size).toBe(2);
    worker.cut();
  });

  test("are dropped if there is no room for all of them", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = looping();
    const worker = await connectTestWorker(a, caller, serves(definition, 4_000));
    worker.credit(100);
    const vars = { documents: DOCUMENTS, notes: NOTES, huge: "h".repeat(5_000) };
    await startRun(a, caller, definition, { vars });
    const first = await think(worker);
    expect(first.largeVars).toEqual([
      large("documents", 1, DOCUMENTS),
      large("notes", 2, NOTES),
      large("huge", 0, vars.huge),
    ]);
    expect(first.forgottenVars).toEqual([1]);
    const second = await think(worker, [], "done");
    expect(second.largeVars).toEqual([
      large("documents", 3, DOCUMENTS),
      large("notes", 2),
      large("huge", 0, vars.huge),
    ]);
    expect(second.forgottenVars).toEqual([3]);
    worker.cut();
  });

  test("are all sent again on a new connection, at the same server and at another", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = looping();
    const workerSessionId = freshId("worker");
    await startRun(a, caller, definition, { vars: { documents: DOCUMENTS } });
    for (const server of [a, a, b]) {
      const worker = await connectTestWorker(server, caller, { ...serves(definition), workerSessionId });
      worker.credit(1);
      const job = await worker.nextJob();
      expect(job.largeVars).toEqual([large("documents", 1, DOCUMENTS)]);
      // The next connection says that its worker has kept nothing.
      worker.cut();
    }
  });

  test.each(["before", "after"])("leased for a connection that is gone, %s the next one is there", async (when) => {
    const { a } = servers;
    const caller = freshCaller();
    const definition = looping();
    const facts = { ...serves(definition), workerSessionId: freshId("worker") };
    const lost = await connectTestWorker(a, caller, serves(definition));
    lost.credit(1);
    const { runId } = (await startRun(a, caller, definition, { vars: { documents: DOCUMENTS } })).state;
    lost.accept(await lost.nextJob());
    const first = await connectTestWorker(a, caller, facts);
    first.credit(1);
    // The handler of the lost worker becomes a job, which is leased to the session that has credit.
    const commit = a.hold("batches.commit", "before", movesRun(runId));
    lost.cut();
    await commit.reached;
    first.cut();
    if (when === "before") commit.release();
    const second = await connectTestWorker(a, caller, facts);
    commit.release();
    second.credit(1);
    const job = await second.nextJob();
    expect(first.frames.filter(({ type }) => type === "offer")).toEqual([]);
    expect(job.largeVars).toEqual([large("documents", 1, DOCUMENTS)]);
    second.cut();
  });

  test("are kept for handlers that are jobs as well, and over a wait", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = graph(
      {
        think: { handler: {}, next: [{ to: "ask" }] },
        ask: { askUser: { prompt: "Go on?" }, resultKey: "reply", next: [{ to: "again" }] },
        again: { handler: {}, next: [{ to: "done" }] },
        done: { complete: {} },
      },
      { commitEveryStep: true },
    );
    // At a server that does not compute the run: its handlers come as jobs, with vars read from the database.
    const worker = await connectTestWorker(b, caller, serves(definition));
    worker.credit(100);
    const { state } = await startRun(a, caller, definition, { vars: { documents: DOCUMENTS, notes: NOTES } });
    const first = await think(worker, [{ op: "set", path: "/n", value: 1 }], "ask");
    expect(first.largeVars).toEqual([large("documents", 1, DOCUMENTS), large("notes", 2, NOTES)]);
    await answer(a, caller, await untilWaiting(a, caller, state.runId), "yes");
    const second = await think(worker, [], "done");
    expect(smallVars(second)).toMatchObject({ documents: null, notes: null, n: 1, reply: { answer: "yes" } });
    expect(second.largeVars).toEqual([large("documents", 1), large("notes", 2)]);
    expect((await untilEnded(a, caller, state.runId)).state.status).toBe("completed");
    worker.cut();
  });
});
