/** Every RPC once over each protocol that the port speaks, by clients that share no code with the server. */
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JsonObject } from "./api.ts";
import { type Caller, createConnectCaller, createGrpcCaller, createGrpcWebCaller, type Refused } from "./callers.ts";
import { type Reflected, reflectServer } from "./reflected.ts";
import { useServer } from "./server.ts";

const RUNTIME = "abstractruntime.v1.RuntimeService";
const LEDGER = "abstractruntime.v1.LedgerService";
const HEALTH = "grpc.health.v1.Health";

const server = useServer();
let reflected: Reflected;
let raw: grpc.Client;
const callers: Record<string, Caller> = {};

beforeAll(async () => {
  const address = `127.0.0.1:${server.port}`;
  raw = new grpc.Client(address, grpc.credentials.createInsecure());
  reflected = await reflectServer(raw);
  callers["gRPC"] = createGrpcCaller(address, reflected);
  callers["Connect JSON"] = createConnectCaller(server.url);
  callers["gRPC-Web"] = createGrpcWebCaller(server.url, reflected);
});
afterAll(() => {
  for (const caller of Object.values(callers)) caller.close();
  raw.close();
});

describe("reflection", () => {
  test.each(["v1", "v1alpha"] as const)("%s names every service and returns its files", async (version) => {
    const { services, methods } = await reflectServer(raw, version);
    expect(services).toEqual(expect.arrayContaining([RUNTIME, LEDGER, HEALTH, "grpc.reflection.v1.ServerReflection"]));
    expect(Object.keys(methods(RUNTIME))).toContain("StartRun");
    expect(Object.keys(methods(LEDGER)).toSorted()).toEqual(["GetStepRecord", "ListStepRecords"]);
  });
});

describe.each(["gRPC", "Connect JSON", "gRPC-Web"])("%s", (protocol) => {
  /** Ids that are this protocol's own. */
  const id = (name: string) => `${protocol.replaceAll(/[^A-Za-z]/g, "-").toLowerCase()}-${name}`;
  const graph = (...nodes: [string, JsonObject][]) => ({
    workflowId: id("flow"),
    entryNode: "set",
    nodes: {
      set: { assign: { values: { half: "${vars.n / 2}", list: [1, null, { deep: true }] } }, next: [{ to: "ask" }] },
      ask: { askUser: { prompt: "How many, ${vars.name}?" }, resultKey: "reply", next: [{ to: "listen" }] },
      listen: { waitEvent: { names: ["news"] }, resultKey: "news", next: [{ to: "end" }] },
      end: {
        complete: {
          output: {
            half: "${vars.half}",
            answer: "${vars.reply.answer}",
            news: "${vars.news.payload}",
            list: "${vars.list}",
          },
        },
      },
      ...Object.fromEntries(nodes),
    },
  });

  test("serves every RPC", async () => {
    const caller = callers[protocol]!;
    const used = new Set<string>();
    const call = async (method: string, request: JsonObject): Promise<JsonObject> => {
      const service = method.endsWith("StepRecord") || method.endsWith("StepRecords") ? LEDGER : RUNTIME;
      used.add(method);
      return caller.call(service, method, request);
    };
    const run = async (method: string, request: JsonObject) => (await call(method, request))["run"] as JsonObject;
    const ask = { workflowId: id("flow") };

    // Workflows.
    const first = (await call("RegisterWorkflow", { workflow: graph() }))["workflow"] as JsonObject;
    expect(first).toMatchObject({ workflowId: id("flow"), version: 1 });
    const second = graph(["ask", { askUser: { prompt: "And?" }, next: [{ to: "listen" }] }]);
    expect((await call("RegisterWorkflow", { workflow: second }))["workflow"]).toMatchObject({ version: 2 });
    expect((await call("SetCurrentVersion", { ...ask, version: 1 }))["workflow"]).toMatchObject({
      version: 1,
      current: true,
    });
    expect((await call("GetWorkflow", { ...ask }))["workflow"]).toMatchObject({ version: 1, digest: first["digest"] });
    expect((await call("ListWorkflows", { filter: ask }))["workflows"]).toHaveLength(2);
    expect((await call("ArchiveWorkflow", { ...ask }))["workflow"]).toMatchObject({ archived: true });
    expect((await call("ArchiveWorkflow", { ...ask, unarchive: true }))["workflow"]).toMatchObject({ version: 1 });

    // A stream over all runs, from before the first one.
    used.add("WatchRuns");
    const feed = caller.watch(RUNTIME, "WatchRuns", { filter: ask })[Symbol.asyncIterator]();
    const opened = (await feed.next()).value as JsonObject;
    expect(opened["cursor"]).toMatch(/./);

    // A run, from its start to its end.
    const runId = id("run");
    const started = await run("StartRun", { ...ask, runId, vars: { n: 7, name: "Ada" }, actorId: "ada" });
    expect(started).toMatchObject({
      runId,
      status: "RUN_STATUS_WAITING",
      vars: { n: 7, half: 3.5, list: [1, null, { deep: true }] },
    });
    const waitId = (started["waiting"] as JsonObject)["waitId"] as string;
    expect(await run("GetRun", { runId })).toEqual(started);
    const { vars: _vars, ...basic } = started;
    expect((await call("ExplainRun", { runId }))["explanation"]).toMatchObject({
      run: basic,
      next: { kind: "NEXT_MOVE_KIND_ANSWER", metadata: { wait_id: waitId } },
    });
    expect(await run("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "10s" })).toEqual(started);
    expect((await call("ListRuns", { filter: ask }))["runs"]).toMatchObject([{ runId }]);
    expect((await call("ListWaits", { filter: ask }))["waits"]).toMatchObject([{ waitId, prompt: "How many, Ada?" }]);
    expect((await call("GetWait", { waitId }))["wait"]).toMatchObject({ waitId, runId });
    expect(await run("PauseRun", { runId })).toMatchObject({ paused: true });
    expect(await run("TickRun", { runId, maxSteps: 1 })).toMatchObject({ paused: true });
    expect((await run("UnpauseRun", { runId }))["paused"] ?? false).toBe(false);
    const answered = await run("ResumeRun", {
      runId,
      waitId,
      payload: { answer: { many: [1.5, "two", null] } },
      requestId: "one",
    });
    expect(answered).toMatchObject({ status: "RUN_STATUS_WAITING", currentNode: "listen" });
    expect(
      await call("EmitEvent", { name: "news", runId, payload: ["read", "all"], eventId: id("event") }),
    ).toMatchObject({ eventId: id("event") });
    const ended = await run("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "10s" });
    const output = {
      half: 3.5,
      answer: { many: [1.5, "two", null] },
      news: ["read", "all"],
      list: [1, null, { deep: true }],
    };
    expect(ended).toMatchObject({ status: "RUN_STATUS_COMPLETED", output });

    // Its ledger, and the same as a stream that ends with the run.
    const listed = (await call("ListStepRecords", { runId, includeProof: true }))["stepRecords"] as JsonObject[];
    expect(listed.map(({ seq }) => seq)).toEqual(listed.map((_record, index) => index + 1));
    expect(listed[0]).toMatchObject({ kind: "run.started", actorId: "ada" });
    const last = (await call("GetStepRecord", { runId, seq: listed.length }))["stepRecord"];
    expect(last).toMatchObject({ kind: "run.completed", output, hash: listed.at(-1)!["hash"] });
    used.add("WatchRun");
    const watched: JsonObject[] = [];
    for await (const message of caller.watch(RUNTIME, "WatchRun", { runId, afterSeq: 2 })) watched.push(message);
    const records = watched.flatMap(({ stepRecord }) => (stepRecord === undefined ? [] : [stepRecord as JsonObject]));
    expect(records.map(({ hash }) => hash)).toEqual(listed.slice(2).map(({ hash }) => hash));
    expect(watched.at(-1)!["cursor"]).toBe(String(listed.length));

    // Others of the workflow, cancelled and deleted.
    const requests = [{ ...ask, runId: id("a"), vars: { n: 1, name: "B" } }, { workflowId: id("nobody") }];
    const { results } = (await call("StartRuns", { requests })) as { results: JsonObject[] };
    expect(results).toMatchObject([{ run: { runId: id("a") } }, { error: { code: 5, reason: "WORKFLOW_UNKNOWN" } }]);
    expect(await run("CancelRun", { runId: id("a"), reason: "enough" })).toMatchObject({
      status: "RUN_STATUS_CANCELLED",
    });
    await call("DeleteRun", { runId: id("a") });

    // The feed had all of it, in order.
    const kinds: unknown[] = [];
    for (;;) {
      const message = (await feed.next()).value as JsonObject;
      const notice = message["notice"] as JsonObject | undefined;
      if (notice === undefined || (notice["run"] as JsonObject)["runId"] !== runId) continue;
      kinds.push(notice["kind"]);
      if (notice["kind"] === "NOTICE_KIND_COMPLETED") break;
    }
    await feed.return?.();
    const told = ["STARTED", "WAITING", "PAUSED", "UNPAUSED", "RESUMED", "WAITING", "RESUMED", "COMPLETED"];
    expect(kinds).toEqual(told.map((kind) => `NOTICE_KIND_${kind}`));

    const all = [...Object.keys(reflected.methods(RUNTIME)), ...Object.keys(reflected.methods(LEDGER))];
    expect([...used].toSorted()).toEqual(all.toSorted());
  });

  test("a cursor of the feed continues where its stream was left, without earlier notices", async () => {
    const caller = callers[protocol]!;
    const workflow = {
      workflowId: id("short"),
      entryNode: "end",
      nodes: { end: { complete: { output: "${vars.n}" } } },
    };
    await caller.call(RUNTIME, "RegisterWorkflow", { workflow });
    const filter = { workflowId: id("short") };
    const completed = async (cursor: string, count: number) => {
      const seen: string[] = [];
      let at = cursor;
      for await (const message of caller.watch(RUNTIME, "WatchRuns", {
        filter,
        kinds: ["NOTICE_KIND_COMPLETED"],
        cursor,
      })) {
        at = message["cursor"] as string;
        const notice = message["notice"] as JsonObject | undefined;
        if (notice !== undefined) seen.push((notice["run"] as JsonObject)["runId"] as string);
        if (seen.length === count) break;
      }
      return { seen, at };
    };
    const start = (name: string) => caller.call(RUNTIME, "StartRun", { ...filter, runId: id(name), vars: { n: 1 } });
    await start("one");
    const first = await completed("beginning", 1);
    expect(first.seen).toEqual([id("one")]);
    await start("two");
    await start("three");
    expect((await completed(first.at, 2)).seen).toEqual([id("two"), id("three")]);
  });

  test("carries refusals with all their details", async () => {
    const caller = callers[protocol]!;
    const refusalOf = async (method: string, request: JsonObject): Promise<Refused["refusal"]> => {
      try {
        await caller.call(RUNTIME, method, request);
      } catch (error) {
        return (error as Refused).refusal;
      }
      throw new Error(`${method} was not refused`);
    };
    expect(await refusalOf("GetRun", { runId: "nobody" })).toMatchObject({
      code: "not_found",
      reason: "RUN_UNKNOWN",
      domain: "abstractruntime",
      metadata: { run_id: "nobody" },
    });
    const invalid = await refusalOf("GetRun", { runId: "a b" });
    expect(invalid).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID", fields: ["runId"] });
    expect(invalid.message).toContain("runId");
    const nodes = { a: { complete: { output: "${ é + }" } }, b: { complete: { output: "${nope}" } } };
    const workflow = await refusalOf("RegisterWorkflow", { workflow: { workflowId: "w", entryNode: "a", nodes } });
    expect(workflow).toMatchObject({ code: "invalid_argument", reason: "WORKFLOW_INVALID" });
    expect(workflow.fields).toEqual(expect.arrayContaining(["nodes.a.complete.output", "nodes.b.complete.output"]));
    const stream = caller.watch(RUNTIME, "WatchRun", { runId: "nobody" })[Symbol.asyncIterator]();
    await expect(stream.next()).rejects.toMatchObject({ refusal: { code: "not_found", reason: "RUN_UNKNOWN" } });
  });

  test("reports the server's health", async () => {
    const caller = callers[protocol]!;
    for (const service of ["", RUNTIME, LEDGER]) {
      expect(await caller.call(HEALTH, "Check", { service })).toMatchObject({ status: "SERVING" });
    }
    await expect(caller.call(HEALTH, "Check", { service: "nobody" })).rejects.toMatchObject({
      refusal: { code: "not_found" },
    });
    const watching = caller.watch(HEALTH, "Watch", { service: "" })[Symbol.asyncIterator]();
    expect((await watching.next()).value).toMatchObject({ status: "SERVING" });
    await watching.return?.();
  });
});

test("an ordinary gRPC client, with its limit of 4 MiB, receives the largest record with its proof", async () => {
  const caller = callers["gRPC"]!;
  const graph = { workflowId: "largest", entryNode: "ask", nodes: { ask: { askUser: { prompt: "?" } } } };
  await caller.call(RUNTIME, "RegisterWorkflow", { workflow: graph });
  const { run } = await caller.call(RUNTIME, "StartRun", { workflowId: "largest", runId: "largest" });
  const { waitId } = (run as JsonObject)["waiting"] as { waitId: string };
  const answer = "a".repeat(1024 * 1024 - 100);
  await caller.call(RUNTIME, "ResumeRun", { runId: "largest", waitId, payload: { answer } });
  const { stepRecord } = await caller.call(LEDGER, "GetStepRecord", { runId: "largest", seq: 3, includeProof: true });
  expect(stepRecord).toMatchObject({ kind: "run.completed", output: { answer } });
  const listed = await caller.call(LEDGER, "ListStepRecords", { runId: "largest", includeProof: true, afterSeq: 2 });
  expect(listed["stepRecords"]).toEqual([stepRecord]);
});

test("/healthz answers anyone who asks by GET", async () => {
  const response = await fetch(`${server.url}/healthz`);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ status: "SERVING", problems: [] });
});
