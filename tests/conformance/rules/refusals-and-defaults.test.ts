/** The form of refusals, and defaults. The cases of each reason are in ../refusals.test.ts. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { createApi } from "../api.ts";
import { useServer } from "../server.ts";

const server = useServer();
const api = createApi(server);

const ask = { entryNode: "ask", nodes: { ask: { askUser: { prompt: "?" } } } };
const end = { entryNode: "end", nodes: { end: { complete: {} } } };

describe("Refusals", () => {
  test("the message names the first three problems, BadRequest all of them", async () => {
    const nodes = Object.fromEntries(["a", "b", "c", "d", "e"].map((id) => [id, { complete: { output: "${" } }]));
    const refusal = await api.refused("RegisterWorkflow", { workflow: { workflowId: "w", entryNode: "a", nodes } });
    expect(refusal.fields.length).toBeGreaterThanOrEqual(5);
    expect(refusal.fields.filter((field) => refusal.message.includes(`${field}:`))).toHaveLength(3);
    expect(refusal.message).toContain(`and ${refusal.fields.length - 3} more`);
    expect(refusal.metadata["problems"]).toBe(String(refusal.fields.length));
    expect(refusal.descriptions.every((description) => description.length > 0)).toBe(true);
  });

  test("details fit into a reply's headers, however many problems there are", async () => {
    const nodes = Object.fromEntries(
      Array.from({ length: 900 }, (_, index) => [`node-${index}`, { complete: { output: "${" } }]),
    );
    const refusal = await api.refused("RegisterWorkflow", {
      workflow: { workflowId: "w", entryNode: "node-0", nodes },
    });
    expect(refusal.reason).toBe("WORKFLOW_INVALID");
    expect(Number(refusal.metadata["problems"])).toBeGreaterThanOrEqual(900);
    expect(refusal.fields.length).toBeGreaterThan(50);
    expect(refusal.message.length).toBeLessThan(1100);
  });

  test("undecodable requests carry ErrorInfo too", async () => {
    expect(await api.refused("StartRun", "{")).toMatchObject({
      code: "invalid_argument",
      reason: "REQUEST_INVALID",
      domain: "abstractruntime",
    });
    expect(await api.refused("StartRun", "")).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID" });
    expect(await api.refused("StartRun", "[]")).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID" });
    expect(await api.refused("StartRun", '"text"')).toMatchObject({
      code: "invalid_argument",
      reason: "REQUEST_INVALID",
    });
    expect(await api.refused("Nope", {})).toMatchObject({
      code: "unimplemented",
      reason: "RPC_UNKNOWN",
      metadata: { method: "Nope" },
    });
  });

  test("every refusal that a test can bring about is documented with its code", async () => {
    const proto = await readFile(
      new URL("../../../proto/abstractruntime/v1/error_reason.proto", import.meta.url),
      "utf8",
    );
    const documented = new Map<string, string>();
    for (const [, comment = "", name = ""] of proto.matchAll(/((?:^ *\/\/.*\n)+) *ERROR_REASON_(\w+) = \d+;/gm)) {
      documented.set(name, /^ *\/\/ ([A-Z_]+)\. Retry:/m.exec(comment)?.[1]?.toLowerCase() ?? "");
    }
    const workflowId = await api.register(ask);
    const ended = await api.run(end);
    const { runId, waiting } = (await api.call("StartRun", { workflowId, runId: "open" })).run;
    await api.call("ArchiveWorkflow", { workflowId });
    const requests: [method: string, request: object | string][] = [
      ["GetRun", { runId: "" }],
      ["StartRun", String.raw`{"workflowId":"w","vars":{"a":"\u0000"}}`],
      ["StartRun", `{"workflowId":"w","vars":{"a":"${"x".repeat(2 ** 20)}"}}`],
      ["StartRun", `{"workflowId":"w","vars":${"[".repeat(40)}${"]".repeat(40)}}`],
      ["StartRun", `{"workflowId":"w","vars":{"a":9007199254740993}}`],
      ["RegisterWorkflow", { workflow: { workflowId: "w", entryNode: "x", nodes: end.nodes } }],
      ["GetWorkflow", { workflowId: "nobody" }],
      ["StartRun", { workflowId }],
      ["GetWorkflow", { workflowId, version: 9 }],
      ["GetRun", { runId: "nobody" }],
      ["StartRun", { runId, workflowId: ended.workflowId }],
      ["PauseRun", { runId: ended.runId }],
      ["DeleteRun", { runId }],
      ["ResumeRun", { runId: ended.runId, waitId: "nobody", payload: {} }],
      ["UnpauseRun", { runId }],
      ["GetWait", { waitId: "nobody" }],
      ["ResumeRun", { runId, waitId: waiting!.waitId, payload: {} }],
      ["GetStepRecord", { runId, seq: 99 }],
      ["ListRuns", { pageToken: "x" }],
      ["Nope", {}],
    ];
    const seen = new Set<string>();
    for (const [method, request] of requests) {
      const { reason, code, message } = await api.refused(method, request);
      expect(documented.get(reason), `${method}: ${reason}: ${message}`).toBe(code);
      seen.add(reason);
    }
    expect(seen.size).toBeGreaterThanOrEqual(18);
  });
});

describe("Defaults", () => {
  test("page_size 50, of at most 1,000", async () => {
    const workflowId = await api.register(ask);
    const requests = Array.from({ length: 60 }, (_, index) => ({
      workflowId,
      runId: `page-${String(index).padStart(2, "0")}`,
    }));
    await api.call("StartRuns", { requests });
    const first = await api.call("ListRuns", { filter: { workflowId } });
    expect(first.runs).toHaveLength(50);
    expect((await api.call("ListWaits", { filter: { workflowId } })).waits).toHaveLength(50);
    expect((await api.call("ListRuns", { filter: { workflowId }, pageSize: 1000 })).runs).toHaveLength(60);
    for (const method of ["ListRuns", "ListWaits", "ListWorkflows", "ListStepRecords"]) {
      const run = method === "ListStepRecords" ? { runId: "page-00" } : {};
      for (const pageSize of [1001, -1]) {
        const refusal = await api.refused(method, { ...run, pageSize });
        expect(refusal, `${method} ${pageSize}`).toMatchObject({ reason: "REQUEST_INVALID", fields: ["pageSize"] });
      }
    }
  });

  test.each([
    ["RUN_ORDER_CREATE_TIME_DESC", -1],
    ["RUN_ORDER_CREATE_TIME_ASC", 1],
    ["", -1],
  ])("pages together hold everything once, in order %s", async (order, direction) => {
    const workflowId = await api.register(ask);
    const requests = Array.from({ length: 23 }, (_, index) => ({
      workflowId,
      runId: `${workflowId}-${String(index).padStart(2, "0")}`,
    }));
    await api.call("StartRuns", { requests });
    const seen: string[] = [];
    let pageToken = "";
    let pages = 0;
    do {
      const { runs = [], nextPageToken = "" } = await api.call("ListRuns", {
        filter: { workflowId },
        ...(order === "" ? {} : { order }),
        pageSize: 5,
        pageToken,
      });
      expect(runs.length).toBeGreaterThan(0);
      seen.push(...runs.map(({ runId }) => runId));
      pageToken = nextPageToken;
      pages += 1;
    } while (pageToken !== "");
    expect(pages).toBe(5);
    const expected = requests.map(({ runId }) => runId);
    expect(seen.toSorted()).toEqual(expected);
    // Proto JSON writes 0, 3, 6 or 9 digits of a second: padded, the texts sort as the times do.
    const times = await Promise.all(
      seen.map(async (runId) => {
        const { createTime } = (await api.call("GetRun", { runId })).run;
        return `${createTime.slice(0, 19)}.${createTime.slice(20, -1).padEnd(9, "0")}`;
      }),
    );
    const sorted = times.toSorted();
    expect(times).toEqual(direction === 1 ? sorted : sorted.toReversed());
  });

  test("pages of waits, workflows and records hold everything once too", async () => {
    const nodes = {
      a: { assign: {}, next: [{ to: "b" }] },
      b: { assign: {}, next: [{ to: "c" }] },
      c: { assign: {}, next: [{ to: "d" }] },
      d: { askUser: { prompt: "?" } },
    };
    const workflowId = await api.register({ entryNode: "a", nodes });
    for (const runId of ["w-1", "w-2", "w-3"]) await api.call("StartRun", { workflowId, runId });
    await api.register({ workflowId, ...end });
    const all = async (list: (pageToken: string) => Promise<{ items: string[]; nextPageToken?: string }>) => {
      const seen: string[] = [];
      for (let pageToken = ""; ;) {
        const { items, nextPageToken = "" } = await list(pageToken);
        seen.push(...items);
        if (nextPageToken === "") return seen;
        pageToken = nextPageToken;
      }
    };
    const waits = await all(async (pageToken) => {
      const { waits = [], ...rest } = await api.call("ListWaits", { filter: { workflowId }, pageSize: 1, pageToken });
      return { items: waits.map(({ runId }) => runId), ...rest };
    });
    expect(waits).toEqual(["w-1", "w-2", "w-3"]);
    const versions = await all(async (pageToken) => {
      const { workflows = [], ...rest } = await api.call("ListWorkflows", {
        filter: { workflowId },
        pageSize: 1,
        pageToken,
      });
      return { items: workflows.map(({ version }) => String(version)), ...rest };
    });
    expect(versions).toEqual(["2", "1"]);
    const records = await all(async (pageToken) => {
      const { stepRecords = [], ...rest } = await api.call("ListStepRecords", { runId: "w-1", pageSize: 2, pageToken });
      return { items: stepRecords.map(({ seq }) => String(seq)), ...rest };
    });
    expect(records).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("views: GetRun is FULL, lists are BASIC", async () => {
    const { runId, workflowId } = await api.run(
      { entryNode: "end", nodes: { end: { complete: { output: 1 } } } },
      { vars: { a: 1 } },
    );
    expect((await api.call("GetRun", { runId })).run).toMatchObject({ vars: { a: 1 }, output: 1 });
    const basic = (await api.call("GetRun", { runId, view: "RUN_VIEW_BASIC" })).run;
    expect(basic).not.toHaveProperty("vars");
    expect(basic).not.toHaveProperty("output");
    expect((await api.call("ListRuns", { filter: { workflowId } })).runs).toEqual([basic]);
  });

  test("default_vars apply if the start has no value, by top-level name", async () => {
    const graph = {
      defaultVars: { a: 1, b: { c: 2 } },
      entryNode: "end",
      nodes: { end: { complete: { output: "${vars}" } } },
    };
    expect((await api.run(graph, { vars: { b: { d: 3 } } })).output).toEqual({ a: 1, b: { d: 3 } });
  });

  test("AwaitRun's timeout is at most 300s", async () => {
    const { runId } = await api.run(end);
    expect((await api.call("AwaitRun", { runId, timeout: "300s" })).run.status).toBe("RUN_STATUS_COMPLETED");
    expect(await api.refused("AwaitRun", { runId, timeout: "300.001s" })).toMatchObject({
      reason: "REQUEST_INVALID",
      fields: ["timeout"],
    });
  });

  test("without limits a run takes more than a few steps", async () => {
    const nodes = {
      a: { assign: { values: { n: "${vars.n + 1}" } }, next: [{ to: "a", when: "vars.n < 1500" }, { to: "end" }] },
      end: { complete: { output: "${vars.n}" } },
    };
    const run = await api.run({ defaultVars: { n: 0 }, entryNode: "a", nodes });
    expect(run).toMatchObject({ status: "RUN_STATUS_COMPLETED", output: 1500, usage: { steps: 1501 } });
  });
});
