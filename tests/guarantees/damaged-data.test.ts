/**
 * Damage: whatever is changed in the database behind the server's back, one damaged piece harms nothing but what it
 * belongs to, and no caller is blamed for it.
 */
import { StepRecordSchema } from "@abstractruntime/proto/step_record_pb";
import { toJson } from "@bufbuild/protobuf";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DamageError } from "../../server/src/core/damage.ts";
import { draftFromSealed, NO_PREVIOUS_HASH } from "../../server/src/core/ledger-format.ts";
import type { Caller, RunView, StepRecordView } from "../../server/src/engine/api.ts";
import { sealRecords } from "../../server/src/engine/transition/seal.ts";
import { CODE_BY_REASON } from "../../server/src/rpc/error-mapping.ts";
import { stepRecordToProto } from "../../server/src/rpc/step-record-conversion.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  freshId,
  openSharedDatabase,
  readLedger,
  refusalOf,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";
import { verifyLedger } from "../verifier/verify-ledger.ts";
import { askingGraph, graph, listeningGraph } from "./graphs.ts";

let database: SharedDatabase;
let server: TestServer;
let sql: postgres.Sql;

beforeAll(async () => {
  database = await openSharedDatabase("postgres");
  server = await startTestServer(database, { renewMs: 100 });
  sql = postgres(database.url, { max: 1, onnotice: () => undefined });
});

afterAll(async () => {
  await server.stop();
  await sql.end();
  await database.close();
});

const PAGE = { pageSize: 0, pageToken: "" };

/** A run that waits for an answer, beside one that stays whole. */
async function twoWaiting(): Promise<{ caller: Caller; runId: string; neighbour: string; view: RunView }> {
  const caller = freshCaller();
  const definition = askingGraph();
  const view = await startRun(server, caller, definition, { vars: { amount: 120 } });
  const { runId } = view.state;
  const other = await server.engine.startRun(caller, startRequest(definition.workflowId));
  const neighbour = other.state.runId;
  await Promise.all([untilWaiting(server, caller, runId), untilWaiting(server, caller, neighbour)]);
  return { caller, runId, neighbour, view: await server.engine.getRun(caller, runId, "full") };
}

async function recordsOf(caller: Caller, runId: string): Promise<StepRecordView[]> {
  const { signal } = new AbortController();
  const request = { ...PAGE, runId, afterSeq: 0, waitMs: 0, signal };
  return (await server.engine.listStepRecords(caller, request)).records;
}

function shown(view: StepRecordView) {
  return toJson(StepRecordSchema, stepRecordToProto(view, { withProof: true })) as Record<string, unknown>;
}

/** What the server said of the piece in its log, and drops it from what the test expects to be clean. */
function damageLogged(id: string): number {
  const about = server.errors.filter((said) => JSON.stringify(said).includes(id));
  for (const said of about) server.errors.splice(server.errors.indexOf(said), 1);
  return about.length;
}

describe("a damaged record", () => {
  test.each([
    ["its body", "body = overlay(body placing '!' from 3)", "body"],
    ["its body, which still is JSON", "body = replace(body, 'waiting', 'Waiting')", "body"],
    ["its header", "header = overlay(header placing '!' from 3)", "header"],
    ["its header, which still is JSON", "header = replace(header, 'ask', 'ASK')", "header"],
    ["its salt", "body_salt = '\\x00'", "body"],
    ["a given that it never had", "given = '{}', given_salt = '\\x00'", "given"],
  ])("%s hides neither its own proof nor the records beside it", async (_, change, damaged) => {
    const { caller, runId } = await twoWaiting();
    const whole = (await recordsOf(caller, runId)).map(shown);
    await sql.unsafe(`update step_records set ${change} where run_id = $1 and seq = 2`, [runId]);
    const records = (await recordsOf(caller, runId)).map(shown);
    expect(records[0]).toEqual(whole[0]);
    expect(records[1]).toMatchObject({ runId, seq: 2, damage: expect.stringContaining(damaged) as string });
    expect(records[1]!["proof"]).toMatchObject({ headerJson: expect.any(String) as string });
    const one = shown(await server.engine.getStepRecord(caller, runId, 2));
    expect(one).toEqual(records[1]);
    expect(verifyLedger(records).problems).toContainEqual(expect.stringMatching(/^record 2: /));
    // A watcher gets the record with its damage, and goes on.
    const end = new AbortController();
    const seen: number[] = [];
    for await (const { stepRecord } of server.engine.watchRun(caller, { runId, afterSeq: 0, signal: end.signal })) {
      seen.push(stepRecord!.sealed.seq);
      if (seen.length === 2) break;
    }
    end.abort();
    expect(seen).toEqual([1, 2]);
  });

  test("a chain that was built anew with a misplaced given is shown without what it cannot mean", async () => {
    const { caller, runId } = await twoWaiting();
    const [first, second] = await readLedger(server.store, { ...caller, runId });
    const draft = draftFromSealed(first!);
    const body = { ...draft.body, result: [{ op: "set", path: "", of: "given", at: "/nowhere" }], wait: { asks: 1 } };
    const { sealed } = sealRecords([{ ...draft, body } as typeof draft, draftFromSealed(second!)], NO_PREVIOUS_HASH);
    for (const { seq, header, hash, parts } of sealed) {
      const [sealedBody, given] = parts;
      await sql`
        update step_records set header = ${header}, hash = ${Buffer.from(hash, "hex")}, body = ${sealedBody!.text},
          body_salt = ${sealedBody!.salt}, given_salt = ${given?.salt ?? null}
        where run_id = ${runId} and seq = ${seq}`;
    }
    const records = (await recordsOf(caller, runId)).map(shown);
    expect(records[0]).toMatchObject({
      seq: 1,
      kind: "run.started",
      damage: expect.stringContaining("body") as string,
    });
    expect(records[1]).toMatchObject({ seq: 2, kind: "step.waiting" });
    expect(records[1]).not.toHaveProperty("damage");
  });
});

describe("a damaged run", () => {
  test.each([
    ["no JSON", "state = 'x'"],
    ["an empty state", "state = '{}'"],
    ["a state of another form", "state = '{\"digest\":1}'"],
    ["labels of another form", "labels = '[1]'"],
    ["no wait", "state = replace(state, '\"wait\"', '\"tiaw\"')"],
    ["a wait of another form", "state = replace(state, '\"prompt\"', '\"tpmorp\"')"],
  ])("%s is refused for itself and harms no other", async (_, change) => {
    const { caller, runId, neighbour } = await twoWaiting();
    await sql.unsafe(`update runs set ${change} where run_id = $1`, [runId]);
    const refusals = await Promise.all([
      refusalOf(server.engine.getRun(caller, runId, "full")),
      refusalOf(server.engine.getRun(caller, runId, "basic")),
      refusalOf(server.engine.cancelRun(caller, { runId, reason: "" })),
      // Read in the same batch.
      refusalOf(server.engine.getRun(caller, neighbour, "full").then(({ state }) => state.status)),
    ]);
    expect(refusals).toEqual(["DATA_DAMAGED", "DATA_DAMAGED", "DATA_DAMAGED", { value: "waiting" }]);
    for (const view of ["basic", "full"] as const) {
      const { runs } = await server.engine.listRuns(caller, { ...PAGE, filter: {}, order: "create_time_asc", view });
      expect(runs.map(({ state, damage }) => [state.runId, state.status, damage === undefined])).toEqual([
        [runId, "waiting", false],
        [neighbour, "waiting", true],
      ]);
    }
    const { run, next } = await server.engine.explainRun(caller, runId);
    expect([run.damage, next.message]).toEqual([expect.any(String), expect.stringContaining("damaged")]);
    const ended = await answer(server, caller, await server.engine.getRun(caller, neighbour, "full"), 1);
    expect((await untilEnded(server, caller, ended.state.runId)).state.status).toBe("completed");
    expect(damageLogged(runId)).toBe(1);
  });

  test("a part of it", async () => {
    const { caller, runId, neighbour } = await twoWaiting();
    await sql`update run_parts set value = '{"amount":' where run_id = ${runId} and part = 'vars'`;
    expect(await refusalOf(server.engine.getRun(caller, runId, "full"))).toBe("DATA_DAMAGED");
    const { runs } = await server.engine.listRuns(caller, {
      ...PAGE,
      filter: {},
      order: "create_time_asc",
      view: "full",
    });
    expect(runs.map(({ state, view, damage }) => [state.runId, view, damage === undefined])).toEqual([
      [runId, "basic", false],
      [neighbour, "full", true],
    ]);
    damageLogged(runId);
  });

  test("its timer comes, and neighbours' timers fire; it is not failed, and goes on when it is repaired", async () => {
    const caller = freshCaller();
    const definition = graph({ wait: { waitUntil: { after: "100ms" }, next: [{ to: "done" }] }, done: DONE });
    await server.engine.registerWorkflow(caller, definition);
    const [damaged, neighbour] = await Promise.all(
      [1, 2].map(async () => (await server.engine.startRun(caller, startRequest(definition.workflowId))).state.runId),
    );
    await sql`update runs set state = '!' || state where run_id = ${damaged!}`;
    await untilEnded(server, caller, neighbour!);
    await expect.poll(() => damageLogged(damaged!)).toBe(1);
    const [row] = await sql`select status from runs where run_id = ${damaged!}`;
    expect(row).toEqual({ status: "waiting" });
    await sql`update runs set state = substr(state, 2) where run_id = ${damaged!}`;
    await server.engine.tickRun(caller, { runId: damaged!, maxSteps: 1 });
    expect((await untilEnded(server, caller, damaged!)).state.status).toBe("completed");
  });

  test("the server that takes it over leaves it as it is, says so once, and computes others", async () => {
    const { caller, runId } = await twoWaiting();
    const serverId = freshId("gone");
    const [lane] = await server.store.lanes.open({ serverId, process: "test", lanes: 1 });
    await server.store.lanes.end(serverId);
    await sql`
      update runs set owner_lane = ${lane!.laneId}, status = 'running', wait_reason = null, state = 'x'
      where run_id = ${runId}`;
    const second = await startTestServer(database);
    // Either of the two takes it over.
    const said = () => [...server.errors, ...second.errors].filter((one) => JSON.stringify(one).includes(runId));
    await expect.poll(() => said().length).toBe(1);
    const definition = graph({ done: DONE });
    const run = await startRun(second, caller, definition);
    expect((await untilEnded(second, caller, run.state.runId)).state.status).toBe("completed");
    const [row] = await sql`select status, state from runs where run_id = ${runId}`;
    expect(row).toEqual({ status: "running", state: "x" });
    expect(said()).toHaveLength(1);
    // Parked, so that no other server takes it over while other tests run.
    await sql`update runs set owner_lane = null, status = 'waiting', wait_reason = 'user' where run_id = ${runId}`;
    damageLogged(runId);
    await second.stop();
  });

  test("a record that its row does not include yet", async () => {
    const { caller, runId, neighbour } = await twoWaiting();
    const serverId = freshId("gone");
    const [lane] = await server.store.lanes.open({ serverId, process: "test", lanes: 1 });
    // As if the run were active, and its row a record behind.
    await sql`
      update runs r set owner_lane = ${lane!.laneId}, status = 'running', wait_reason = null, seq = 1,
        state = (r.state::jsonb - 'inFlight')::text
      where run_id = ${runId}`;
    expect((await server.engine.getRun(caller, runId, "full")).state).toMatchObject({ seq: 2, status: "waiting" });
    await sql`update step_records set body = replace(body, 'Sure', 'SURE') where run_id = ${runId} and seq = 2`;
    expect(await refusalOf(server.engine.getRun(caller, runId, "full"))).toBe("DATA_DAMAGED");
    expect(await refusalOf(server.engine.getRun(caller, runId, "basic"))).toBe("DATA_DAMAGED");
    const { runs } = await server.engine.listRuns(caller, {
      ...PAGE,
      filter: {},
      order: "create_time_asc",
      view: "basic",
    });
    expect(runs.map(({ state, damage }) => [state.runId, damage === undefined])).toEqual([
      [runId, false],
      [neighbour, true],
    ]);
    await server.store.lanes.end(serverId);
    damageLogged(runId);
  });

  test("its watchers over all runs pass over it", async () => {
    const { caller, runId, neighbour } = await twoWaiting();
    await sql`update runs set state = 'x' where run_id = ${runId}`;
    const end = new AbortController();
    const request = { filter: {}, kinds: [], cursor: "beginning", signal: end.signal };
    const seen = new Map<string, boolean>();
    for await (const { notice } of server.engine.watchRuns(caller, request)) {
      if (notice !== undefined) seen.set(notice.run.state.runId, notice.run.damage === undefined);
      if (seen.size === 2) break;
    }
    end.abort();
    expect(Object.fromEntries(seen)).toEqual({ [runId]: false, [neighbour]: true });
    damageLogged(runId);
  });
});

const DONE = { complete: { output: "${vars}" } };

describe("other damaged data", () => {
  test("a wait is listed without its contents, and its neighbours whole", async () => {
    const { caller, runId, neighbour, view } = await twoWaiting();
    await sql`update waits set body = replace(body, '"prompt"', '"x') where run_id = ${runId}`;
    const { waits } = await server.engine.listWaits(caller, { ...PAGE, filter: { reasons: [] } });
    expect(waits.map((wait) => [wait.runId, wait.damage === undefined])).toEqual([
      [runId, false],
      [neighbour, true],
    ]);
    expect(await refusalOf(server.engine.getWait(caller, waits[0]!.wait.wait_id))).toBe("DATA_DAMAGED");
    // The run has its own copy.
    await answer(server, caller, view, 1);
    expect((await untilEnded(server, caller, runId)).state.status).toBe("completed");
    expect(damageLogged(runId)).toBe(1);
  });

  test("an event stops only the runs that wait for it", async () => {
    const caller = freshCaller();
    const [damaged, whole] = [listeningGraph(), listeningGraph({ names: ["order.sent"] })];
    const runs = [await startRun(server, caller, damaged), await startRun(server, caller, whole)];
    for (const { state } of runs) await untilWaiting(server, caller, state.runId);
    // Emitted while nobody looks.
    await sql`update runs set paused = true where tenant_id = ${caller.tenantId}`;
    const event = emitRequest("order.paid");
    await server.engine.emitEvent(caller, event);
    await sql`update events set payload = '{' where event_id = ${event.eventId!}`;
    await sql`update runs set paused = false where tenant_id = ${caller.tenantId}`;
    await server.engine.emitEvent(caller, emitRequest("order.sent"));
    expect((await untilEnded(server, caller, runs[1]!.state.runId)).state.status).toBe("completed");
    await server.engine.tickRun(caller, { runId: runs[0]!.state.runId, maxSteps: 1 });
    expect((await server.engine.getRun(caller, runs[0]!.state.runId, "basic")).state.status).toBe("waiting");
    expect(damageLogged(event.eventId!)).toBeGreaterThanOrEqual(1);
  });

  test("a letter stays, and the others of its run are acted on", async () => {
    const { caller, runId } = await twoWaiting();
    await sql`
      insert into mail (tenant_id, run_id, kind, body) values
        (${caller.tenantId}, ${runId}, 'cancel', '{'), (${caller.tenantId}, ${runId}, 'cancel', '{"reason":"enough"}')`;
    await server.engine.tickRun(caller, { runId, maxSteps: 1 });
    expect((await untilEnded(server, caller, runId)).state.status).toBe("cancelled");
    expect(await sql`select body from mail where run_id = ${runId}`).toEqual([{ body: "{" }]);
    expect(damageLogged(runId)).toBe(1);
  });

  test("a job fails its own call, and the jobs claimed with it are offered", async () => {
    const caller = freshCaller();
    const definition = graph({
      call: { toolCalls: { calls: [{ name: "t" }] }, resultKey: "found", next: [{ to: "done" }] },
      done: { complete: { output: "${vars.found.results[0]}" } },
    });
    const runs = [await startRun(server, caller, definition), await startRun(server, caller, definition)];
    const [damaged, whole] = runs.map(({ state }) => state.runId);
    await sql`update jobs set payload = '{' where run_id = ${damaged!}`;
    const worker = await connectTestWorker(server, caller, { toolNames: ["t"] });
    worker.credit(10);
    const job = await worker.nextJob();
    worker.accept(job);
    await worker.complete(job, "fine");
    expect((await untilEnded(server, caller, whole!)).state.output).toMatchObject({ output: "fine" });
    expect((await untilEnded(server, caller, damaged!)).state.output).toMatchObject({ error: { code: "JOB_DAMAGED" } });
    const { workers } = await server.engine.listWorkers(caller, PAGE);
    expect(workers).toMatchObject([{ tools: [{ name: "t" }] }]);
    await sql`update workers set registration = '{' where tenant_id = ${caller.tenantId}`;
    const listed = await server.engine.listWorkers(caller, PAGE);
    expect(listed.workers).toMatchObject([{ tools: [], damage: expect.any(DamageError) as DamageError }]);
    worker.cut();
    expect(damageLogged(damaged!)).toBe(1);
  });
});

describe("a workflow whose graph does not have its digest", () => {
  test.each([
    ["another graph", "definition = replace(definition, 'Sure?', 'Sure!')"],
    ["no JSON", "definition = '{'"],
    ["no graph", "definition = '[]'"],
    ["another digest", "digest = repeat('0', 64)"],
  ])("%s: it starts and advances nothing, harms nobody, and is repaired by registering it", async (_, change) => {
    const caller = freshCaller();
    const [definition, other] = [askingGraph(), askingGraph()];
    const run = await startRun(server, caller, definition);
    const whole = await startRun(server, caller, other);
    await untilWaiting(server, caller, run.state.runId);
    await sql.unsafe(`update workflows set ${change} where workflow_id = $1`, [definition.workflowId]);
    // A server that has not loaded the graph yet.
    const second = await startTestServer(database);
    const { engine } = second;
    const { workflowId } = definition;
    const refusals = await Promise.all([
      refusalOf(engine.startRun(caller, startRequest(workflowId))),
      refusalOf(answer(second, caller, await engine.getRun(caller, run.state.runId, "full"), 1)),
      refusalOf(engine.getWorkflow(caller, workflowId, 1)),
      refusalOf(engine.getWorkflow(caller, other.workflowId, 1).then(({ version }) => version)),
    ]);
    expect(refusals).toEqual(["DATA_DAMAGED", "DATA_DAMAGED", "DATA_DAMAGED", { value: 1 }]);
    const { workflows } = await engine.listWorkflows(caller, { ...PAGE, includeArchived: false });
    const damaged = workflows.filter(({ damage }) => damage !== undefined);
    expect(damaged.map(({ definition: { workflowId: id, nodes } }) => [id, nodes])).toEqual([[workflowId, {}]]);
    const { next } = await engine.explainRun(caller, run.state.runId);
    expect(next.message).toContain("damaged");
    await answer(second, caller, await engine.getRun(caller, whole.state.runId, "full"), 1);
    expect((await untilEnded(second, caller, whole.state.runId)).state.status).toBe("completed");
    if (!change.startsWith("digest")) {
      await engine.registerWorkflow(caller, definition);
      await answer(second, caller, await engine.getRun(caller, run.state.runId, "full"), 1);
      expect((await untilEnded(second, caller, run.state.runId)).state.status).toBe("completed");
    }
    expect(second.errors.length).toBeGreaterThanOrEqual(1);
    await second.stop();
  });
});

test("damage is DATA_LOSS, never the caller's mistake", () => {
  // 15 is DATA_LOSS (google.rpc.Code).
  expect(CODE_BY_REASON.DATA_DAMAGED).toBe(15);
});

test("no error was logged but those of the damage", () => {
  expect(server.errors).toEqual([]);
});
