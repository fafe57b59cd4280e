/** Versions of workflows, starts that are idempotent by their run_id, and actors. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createApi, type Json, type Run, type Workflow } from "../api.ts";
import { useServer } from "../server.ts";

const api = createApi(useServer());

/** A graph whose runs end with `output`. */
const ending = (workflowId: string, output: Json, more: object = {}) => ({
  workflowId,
  entryNode: "end",
  nodes: { end: { complete: { output } } },
  ...more,
});
const asking = { entryNode: "ask", nodes: { ask: { askUser: { prompt: "?" } } } };

async function register(workflow: object): Promise<Workflow> {
  return (await api.call("RegisterWorkflow", { workflow })).workflow;
}

async function start(request: object): Promise<Run> {
  return (await api.call("StartRun", request)).run;
}

describe("Versions", () => {
  test("RegisterWorkflow is idempotent by digest: a known digest returns its version and changes nothing", async () => {
    const first = await register(ending("same", 1, { description: "first", labels: { team: "a" } }));
    expect(first).toMatchObject({ version: 1, current: true, description: "first", labels: { team: "a" } });
    const again = await register(ending("same", 1, { description: "second", labels: { team: "b" } }));
    expect(again).toEqual(first);
    expect((await api.call("ListWorkflows", { filter: { workflowId: "same" } })).workflows).toEqual([first]);
  });

  test("another graph is the next version; an earlier one again is its old version", async () => {
    const one = await register(ending("next", 1));
    const two = await register(ending("next", 2));
    expect([one.version, two.version]).toEqual([1, 2]);
    expect(two.digest).not.toBe(one.digest);
    expect((await register(ending("next", 1))).version).toBe(1);
    expect((await register(ending("next", 3))).version).toBe(3);
  });

  test("registering the same graph several times at once makes one version", async () => {
    const registered = await Promise.all([1, 2, 3, 4].map(() => register(ending("race", 1))));
    expect(new Set(registered.map(({ version }) => version))).toEqual(new Set([1]));
  });

  test("the digest is SHA-256 of RFC 8785 proto JSON without starred fields, description and labels", async () => {
    // Every name below is ASCII and in order, and there are only strings and whole numbers, so JSON.stringify writes
    // the RFC 8785 form.
    const graph = {
      entryNode: "end",
      limits: { maxSteps: 10 },
      nodes: { end: { complete: { output: { a: 1, b: "${vars.x}" } } } },
      workflowId: "digested",
    };
    const digest = createHash("sha256").update(JSON.stringify(graph)).digest("hex");
    expect((await register({ ...graph, description: "d", labels: { a: "b" } })).digest).toBe(digest);
  });

  test.each<[what: string, fields: object]>([
    ["version", { version: 7 }],
    ["digest", { digest: "00" }],
    ["current and archived", { current: true, archived: true }],
    ["create_time", { createTime: "2020-01-01T00:00:00Z" }],
  ])("fields that the server sets are ignored in requests: %s", async (_what, fields) => {
    const plain = await register(ending("set-by-server", 1));
    expect(await register(ending("set-by-server", 1, fields))).toEqual(plain);
  });

  test("the order of names, and how the JSON is spaced, are not part of the digest", async () => {
    const { digest } = await register(ending("order", { a: 1, b: 2 }));
    const nodes = `{ "end": { "complete": { "output": { "b": 2.0, "a": 1e0 } } } }`;
    const text = `{ "workflow": { "nodes": ${nodes}, "entry_node": "end", "workflowId": "order" } }`;
    const reply = await api.post("RegisterWorkflow", text);
    expect(JSON.parse(reply.text)).toMatchObject({ workflow: { version: 1, digest } });
  });

  test("StartRun without version starts the current one: the highest, or SetCurrentVersion's choice", async () => {
    for (const output of [1, 2]) await register(ending("current", output));
    expect((await start({ workflowId: "current" })).output).toBe(2);
    expect((await start({ workflowId: "current", version: 1 })).output).toBe(1);
    const { workflow } = await api.call("SetCurrentVersion", { workflowId: "current", version: 1 });
    expect(workflow).toMatchObject({ version: 1, current: true });
    expect((await start({ workflowId: "current" })).output).toBe(1);
    await register(ending("current", 3));
    expect((await start({ workflowId: "current" })).output).toBe(1);
    expect((await api.call("GetWorkflow", { workflowId: "current" })).workflow).toMatchObject({
      version: 1,
      current: true,
    });
    const back = await api.call("SetCurrentVersion", { workflowId: "current" });
    expect(back.workflow).toMatchObject({ version: 3, current: true });
    await register(ending("current", 4));
    expect((await start({ workflowId: "current" })).version).toBe(4);
  });

  test("versions are listed, the highest first; workflows by id, in their current version", async () => {
    for (const id of ["list-b", "list-a"]) {
      for (const output of [1, 2]) await register(ending(id, output, { labels: { of: "list" } }));
    }
    const versions = await api.call("ListWorkflows", { filter: { workflowId: "list-a" } });
    expect(versions.workflows?.map(({ version, current }) => [version, current ?? false])).toEqual([
      [2, true],
      [1, false],
    ]);
    const all = await api.call("ListWorkflows", { filter: { labels: { of: "list" } } });
    expect(all.workflows?.map(({ workflowId, version }) => [workflowId, version])).toEqual([
      ["list-a", 2],
      ["list-b", 2],
    ]);
  });

  test("a run is pinned for life", async () => {
    await register({ workflowId: "pinned", ...asking });
    const run = await start({ workflowId: "pinned" });
    await register({
      workflowId: "pinned",
      entryNode: "ask",
      nodes: { ask: { askUser: { prompt: "?" }, next: [{ to: "end" }] }, end: { complete: { output: "new" } } },
    });
    const { run: done } = await api.call("ResumeRun", {
      runId: run.runId,
      waitId: run.waiting!.waitId,
      payload: { answer: "old" },
    });
    expect(done).toMatchObject({ version: 1, output: { answer: "old" } });
  });

  test("an archived workflow takes no starts; its runs go on", async () => {
    await register({ workflowId: "archived", ...asking });
    const run = await start({ workflowId: "archived" });
    expect((await api.call("ArchiveWorkflow", { workflowId: "archived" })).workflow).toMatchObject({ archived: true });
    expect(await api.refused("StartRun", { workflowId: "archived" })).toMatchObject({
      code: "failed_precondition",
      reason: "WORKFLOW_ARCHIVED",
    });
    const { run: done } = await api.call("ResumeRun", {
      runId: run.runId,
      waitId: run.waiting!.waitId,
      payload: { answer: 1 },
    });
    expect(done.status).toBe("RUN_STATUS_COMPLETED");
    const archived = await api.call("ListWorkflows", { filter: { archived: true } });
    expect(archived.workflows?.map(({ workflowId }) => workflowId)).toEqual(["archived"]);
    await api.call("ArchiveWorkflow", { workflowId: "archived", unarchive: true });
    expect((await start({ workflowId: "archived" })).status).toBe("RUN_STATUS_WAITING");
  });
});

describe("Idempotent start", () => {
  test("same run_id and same request returns the run, as it is now", async () => {
    const workflowId = await api.register(asking);
    const request = { runId: "twice", workflowId, vars: { a: 1, b: [2] }, labels: { x: "y" } };
    const run = await start(request);
    expect(await start(request)).toEqual(run);
    expect(await start({ labels: { x: "y" }, vars: { b: [2], a: 1 }, workflowId, runId: "twice" })).toEqual(run);
    const { run: answered } = await api.call("ResumeRun", {
      runId: "twice",
      waitId: run.waiting!.waitId,
      payload: { answer: 1 },
    });
    expect(await start(request)).toEqual(answered);
  });

  test.each<[what: string, change: object]>([
    ["vars", { vars: { a: 2 } }],
    ["no vars", { vars: {} }],
    ["session_id", { sessionId: "s" }],
    ["actor_id", { actorId: "bob" }],
    ["labels", { labels: { x: "z" } }],
    ["limits", { limits: { maxSteps: 5 } }],
    ["paused", { paused: true }],
    ["start_at", { startAt: "2020-01-01T00:00:00Z" }],
    ["version", { version: 1 }],
  ])("another request is RUN_EXISTS: %s", async (what, change) => {
    const workflowId = await api.register(asking);
    const runId = `other-${what.replaceAll(/[^a-z]/g, "-")}`;
    const run = await start({ runId, workflowId, vars: { a: 1 } });
    const refusal = await api.refused("StartRun", { runId, workflowId, vars: { a: 1 }, ...change });
    expect(refusal).toMatchObject({
      httpStatus: 409,
      code: "already_exists",
      reason: "RUN_EXISTS",
      metadata: { run_id: runId },
    });
    expect((await api.call("GetRun", { runId })).run).toEqual(run);
  });

  test("many equal starts at once start one run", async () => {
    const workflowId = await api.register(ending("at-once", "${run.run_id}"));
    const runs = await Promise.all(Array.from({ length: 8 }, () => start({ runId: "at-once", workflowId })));
    expect(new Set(runs.map(({ createTime }) => createTime)).size).toBe(1);
    expect((await api.call("ListRuns", { filter: { workflowId } })).runs).toHaveLength(1);
  });

  test("without a run_id each start is a run of its own", async () => {
    const workflowId = await api.register(asking);
    expect((await start({ workflowId })).runId).not.toBe((await start({ workflowId })).runId);
  });

  test("a batch: each start succeeds or is refused on its own, in order", async () => {
    const workflowId = await api.register(asking);
    const requests = [
      { runId: "batch-1", workflowId },
      { runId: "batch-2", workflowId: "nobody" },
      { runId: "batch-1", workflowId, vars: { other: true } },
      { runId: "batch-1", workflowId },
      { runId: "batch-3", workflowId, version: 9 },
    ];
    const { results } = await api.call("StartRuns", { requests });
    const [first, unknown, exists, same, version] = results;
    expect(first?.run).toMatchObject({ runId: "batch-1", status: "RUN_STATUS_WAITING" });
    expect(first?.run?.vars).toBeUndefined();
    expect(unknown?.error).toMatchObject({ code: 5, reason: "WORKFLOW_UNKNOWN" });
    expect(exists?.error).toMatchObject({ code: 6, reason: "RUN_EXISTS" });
    expect(same?.run?.runId).toBe("batch-1");
    expect(version?.error).toMatchObject({ code: 5, reason: "VERSION_UNKNOWN" });
  });

  test("a deleted run's id is not used again: old answers and effect keys would mean the new run", async () => {
    const workflowId = await api.register(ending("deleted", 1));
    await start({ runId: "deleted", workflowId });
    await api.call("DeleteRun", { runId: "deleted" });
    expect((await api.refused("GetRun", { runId: "deleted" })).reason).toBe("RUN_UNKNOWN");
    expect((await api.refused("StartRun", { runId: "deleted", workflowId })).reason).toBe("RUN_EXISTS");
  });
});

describe("Actors are recorded", () => {
  test("on starts, answers, pauses and cancels", async () => {
    const workflowId = await api.register({
      entryNode: "a",
      nodes: { a: { askUser: { prompt: "?" }, next: [{ to: "b" }] }, b: { askUser: { prompt: "?" } } },
    });
    const { runId, waiting } = await start({ workflowId, actorId: "starter" });
    await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: 1 }, actorId: "answerer" });
    await api.call("PauseRun", { runId, actorId: "pauser" });
    await api.call("UnpauseRun", { runId, actorId: "unpauser" });
    const { run } = await api.call("CancelRun", { runId, actorId: "canceller" });
    expect(run.actorId).toBe("starter");
    const records = await api.records(runId);
    expect(records.map(({ kind, actorId }) => [kind, actorId])).toEqual([
      ["run.started", "starter"],
      ["step.waiting", undefined],
      ["step.completed", "answerer"],
      ["step.waiting", undefined],
      ["run.paused", "pauser"],
      ["run.unpaused", "unpauser"],
      ["run.cancelled", "canceller"],
    ]);
    expect((await api.call("GetWait", { waitId: waiting!.waitId })).wait.answeredBy).toBe("answerer");
    expect((await api.call("ListRuns", { filter: { actorId: "starter" } })).runs?.map((each) => each.runId)).toEqual([
      runId,
    ]);
  });

  test("on events: the record that takes one names who emitted it", async () => {
    const { runId } = await api.run({ entryNode: "wait", nodes: { wait: { waitEvent: { names: ["e"] } } } });
    await api.call("EmitEvent", { name: "e", runId, actorId: "emitter" });
    await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "20s" });
    expect((await api.records(runId)).at(-1)).toMatchObject({ kind: "run.completed", actorId: "emitter" });
  });

  test("no actor is recorded if none was given", async () => {
    const { runId } = await api.run(ending("nobody-named", 1));
    expect((await api.records(runId)).map(({ actorId }) => actorId)).toEqual([undefined, undefined]);
  });
});

describe("the ledger", () => {
  test("records are numbered without gaps, chained, and the run's seq is the last", async () => {
    const run = await api.run({
      entryNode: "a",
      nodes: { a: { assign: { values: { x: 1 } }, next: [{ to: "end" }] }, end: { complete: {} } },
    });
    const records = await api.records(run.runId);
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_record, index) => index + 1));
    expect(run.seq).toBe(records.length);
    const { workflow } = await api.call("GetWorkflow", { workflowId: run.workflowId });
    expect(records.map(({ workflowDigest }) => workflowDigest)).toEqual([
      workflow.digest,
      ...records.slice(1).map(() => undefined),
    ]);
  });

  test("include_proof returns the bytes behind each hash", async () => {
    const { runId } = await api.run(ending("proven", 1), { vars: { a: 1 } });
    const plain = await api.call("ListStepRecords", { runId });
    expect(plain.stepRecords?.some(({ proof }) => proof !== undefined)).toBe(false);
    const { stepRecords = [] } = await api.call("ListStepRecords", { runId, includeProof: true });
    expect(stepRecords.length).toBe(2);
    for (const { proof, hash, seq } of stepRecords) {
      // docs/ledger-format.md: the name of what is hashed stands before it.
      const hashed = `abstractruntime/step-record/v1\0${proof!.headerJson}`;
      expect(createHash("sha256").update(hashed).digest("hex")).toBe(hash);
      for (const salt of Object.values(proof!.salts)) expect(Buffer.from(salt, "base64")).toHaveLength(16);
      const { stepRecord } = await api.call("GetStepRecord", { runId, seq, includeProof: true });
      expect(stepRecord.hash).toBe(hash);
      expect(stepRecord.proof).toEqual(proof);
    }
    expect(Buffer.from(stepRecords[0]!.proof!.given!, "base64").toString()).toBe('{"a":1}');
    expect(stepRecords[1]!.proof!.headerJson).toContain(stepRecords[0]!.hash);
  });
});
