/** Requests are decoded strictly, and the JSON that people see is JSON. */
import { describe, expect, test } from "vitest";
import { createApi, type Json, type JsonObject, parseRefusal } from "../api.ts";
import { useServer } from "../server.ts";

const server = useServer();
const api = createApi(server);

const echo = { entryNode: "end", nodes: { end: { complete: { output: "${vars}" } } } };
const ask = { entryNode: "ask", nodes: { ask: { askUser: { prompt: "?" } } } };
const oneNode = (node: object) => ({ entryNode: "node", nodes: { node, end: { complete: {} } } });

describe("Strict", () => {
  const refused: [sentence: string, method: string, request: object, reason: string, field: string][] = [
    ["unknown fields are refused in JSON", "GetRun", { runId: "r", colour: "red" }, "REQUEST_INVALID", "colour"],
    [
      "unknown fields are refused inside messages",
      "ListRuns",
      { filter: { colour: 1 } },
      "REQUEST_INVALID",
      "filter.colour",
    ],
    [
      "unknown fields are refused inside a graph",
      "RegisterWorkflow",
      { workflow: { workflowId: "w", ...oneNode({ askUser: { prompt: "?", colour: "red" }, next: [{ to: "end" }] }) } },
      "REQUEST_INVALID",
      "workflow.nodes.node.askUser.colour",
    ],
    ["enums have no short names", "AwaitRun", { runId: "r", reasons: ["user"] }, "REQUEST_INVALID", "reasons[0]"],
    ["enums have no lower-case names", "GetRun", { runId: "r", view: "run_view_full" }, "REQUEST_INVALID", "view"],
    ["enums are not numbers", "GetRun", { runId: "r", view: 2 }, "REQUEST_INVALID", "view"],
    [
      "enum names that do not exist are refused",
      "GetRun",
      { runId: "r", view: "RUN_VIEW_ALL" },
      "REQUEST_INVALID",
      "view",
    ],
    [
      "a node without a kind is refused",
      "RegisterWorkflow",
      { workflow: { workflowId: "w", ...oneNode({}) } },
      "WORKFLOW_INVALID",
      "nodes.node",
    ],
    [
      "a node of two kinds is refused",
      "RegisterWorkflow",
      { workflow: { workflowId: "w", ...oneNode({ complete: {}, fail: { code: "X" } }) } },
      "REQUEST_INVALID",
      "workflow.nodes.node",
    ],
    [
      "a duration of a request is no graph's text",
      "AwaitRun",
      { runId: "r", timeout: "1m" },
      "REQUEST_INVALID",
      "timeout",
    ],
    ["a duration of a request is no number", "AwaitRun", { runId: "r", timeout: 60 }, "REQUEST_INVALID", "timeout"],
    [
      "a duration of a graph is no number",
      "RegisterWorkflow",
      { workflow: { workflowId: "w", ...oneNode({ waitUntil: { after: 90 }, next: [{ to: "end" }] }) } },
      "REQUEST_INVALID",
      "workflow.nodes.node.waitUntil.after",
    ],
    [
      "alternatives that hold lists are two fields and a rule: both",
      "RegisterWorkflow",
      {
        workflow: {
          workflowId: "w",
          ...oneNode({ toolCalls: { calls: [{ name: "t" }], callsFrom: "vars.calls" }, next: [{ to: "end" }] }),
        },
      },
      "WORKFLOW_INVALID",
      "nodes.node.toolCalls",
    ],
    [
      "alternatives that hold lists are two fields and a rule: neither",
      "RegisterWorkflow",
      { workflow: { workflowId: "w", ...oneNode({ toolCalls: {}, next: [{ to: "end" }] }) } },
      "WORKFLOW_INVALID",
      "nodes.node.toolCalls",
    ],
    ["counters are int32: no fraction", "ListRuns", { pageSize: 1.5 }, "REQUEST_INVALID", "pageSize"],
    [
      "counters are int32: no more than 2^31 - 1",
      "GetWorkflow",
      { workflowId: "w", version: 2 ** 31 },
      "REQUEST_INVALID",
      "version",
    ],
  ];
  test.each(refused)("%s", async (_sentence, method, request, reason, field) => {
    const refusal = await api.refused(method, request);
    expect(refusal).toMatchObject({ httpStatus: 400, code: "invalid_argument", reason, domain: "abstractruntime" });
    expect(refusal.fields).toContain(field);
    expect(refusal.message).toContain(field);
  });

  test("binary requests with unknown fields are refused too", async () => {
    // GetRunRequest { run_id: "r" }, then field 1000, a varint; then the same without it.
    const known = [0x0a, 0x01, 0x72];
    const headers = { "content-type": "application/proto" };
    const reply = await api.post("GetRun", Uint8Array.from([...known, 0xc0, 0x3e, 0x01]), headers);
    const refusal = parseRefusal(reply);
    expect(refusal).toMatchObject({ httpStatus: 400, code: "invalid_argument", reason: "REQUEST_INVALID" });
    expect(refusal.message).toContain("1000");
    expect(parseRefusal(await api.post("GetRun", Uint8Array.from(known), headers)).reason).toBe("RUN_UNKNOWN");
  });

  const ids: [what: string, id: string, isId: boolean][] = [
    ["one character", "a", true],
    ["a digit first", "7", true],
    ["128 characters", "a".repeat(128), true],
    ["all that may stand in one", "A.b_c-9", true],
    ["129 characters", "a".repeat(129), false],
    ["a dash first", "-a", false],
    ["a dot first", ".a", false],
    ["an underscore first", "_a", false],
    ["a space", "a b", false],
    ["a slash", "a/b", false],
    ["a letter beyond ASCII", "é", false],
    ["a line break at the end", "a\n", false],
  ];
  test.each(ids)("ids match [A-Za-z0-9][A-Za-z0-9._-]{0,127}: %s", async (_what, id, isId) => {
    const { reason, fields } = await api.refused("GetRun", { runId: id });
    expect(reason).toBe(isId ? "RUN_UNKNOWN" : "REQUEST_INVALID");
    expect(fields).toEqual(isId ? [] : ["runId"]);
    const wait = await api.refused("GetWait", { waitId: id });
    expect(wait.reason).toBe(isId ? "WAIT_UNKNOWN" : "REQUEST_INVALID");
  });

  const durations: [text: string, ms: number][] = [
    ["90s", 90_000],
    ["15m", 900_000],
    ["72h", 259_200_000],
    ["3d", 259_200_000],
    ["${vars.days}d", 172_800_000],
    ["${vars.delay}", 1_500],
  ];
  test.each(durations)("in the graph a duration is a string: %s", async (after, ms) => {
    const graph = oneNode({ waitUntil: { after }, next: [{ to: "end" }] });
    const run = await api.run(graph, { vars: { days: 2, delay: "1.5s" } });
    const { dueTime, createTime, reason } = run.waiting!;
    expect(reason).toBe("WAIT_REASON_UNTIL");
    expect(Date.parse(dueTime!) - Date.parse(createTime)).toBe(ms);
  });

  test("in requests a duration is a Duration", async () => {
    const { runId } = await api.run(ask);
    const { run } = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_UNTIL"], timeout: "0.01s" });
    expect(run.status).toBe("RUN_STATUS_WAITING");
  });
});

describe("JSON people see is JSON", () => {
  const document: Json = {
    text: "Grüße, 世界 🌍",
    "": "the empty name",
    numbers: [0, -1, 0.1, 1e300, 5e-324, 9007199254740991, -9007199254740992],
    nothing: null,
    yes: true,
    nested: [[], {}, [{ a: [] }]],
    "name with spaces.and/dots~": 1,
    constructor: "c",
  };

  test("vars and outputs are plain JSON", async () => {
    const run = await api.run(echo, { vars: document });
    expect(run.vars).toEqual(document);
    expect(run.output).toEqual(document);
  });

  test("answers and results are plain JSON", async () => {
    const { runId, waiting } = await api.run(ask);
    const { run } = await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: document } });
    expect(run.output).toMatchObject({ answer: document });
    const last = (await api.records(runId)).at(-1)!;
    expect(last.result).toMatchObject({ answer: document });
  });

  test("arguments are plain JSON", async () => {
    const graph = oneNode({ toolCalls: { calls: [{ name: "t", arguments: document }] }, next: [{ to: "end" }] });
    const { runId } = await api.run(graph);
    const started = (await api.records(runId)).at(-1)!;
    expect(started.effect).toMatchObject({
      type: "tool_calls",
      payload: { calls: [{ name: "t", arguments: document }] },
    });
  });

  test("payloads of events are plain JSON", async () => {
    const graph = oneNode({ waitEvent: { names: ["e"] } });
    const { runId } = await api.run({ entryNode: "node", nodes: { node: graph.nodes.node } });
    await api.call("EmitEvent", { name: "e", runId, payload: document });
    const { run } = await api.call("AwaitRun", { runId, reasons: ["WAIT_REASON_UNTIL"], timeout: "10s" });
    expect(run.output).toMatchObject({ payload: document });
  });

  const notIJson: [sentence: string, json: string, reason: string, pointer: string][] = [
    ["well-formed Unicode", String.raw`{"a":"\ud800"}`, "PAYLOAD_INVALID", "/vars/a"],
    ["well-formed Unicode, a low surrogate first", String.raw`{"a":"\udc00\ud800"}`, "PAYLOAD_INVALID", "/vars/a"],
    ["well-formed Unicode in names", String.raw`{"\ud800":1}`, "PAYLOAD_INVALID", "/vars"],
    ["no U+0000", String.raw`{"a":["\u0000"]}`, "PAYLOAD_INVALID", "/vars/a/0"],
    ["no duplicate names", `{"a":1,"a":1}`, "PAYLOAD_INVALID", "/vars"],
    ["no duplicate names, however they are written", String.raw`{"a":1,"\u0061":1}`, "PAYLOAD_INVALID", "/vars"],
    ["no duplicate names, deep down", `{"a":[{"b":{"c":1,"c":2}}]}`, "PAYLOAD_INVALID", "/vars/a/0/b"],
    ["no __proto__", `{"a":{"__proto__":{"admin":true}}}`, "PAYLOAD_INVALID", "/vars/a"],
    ["integers that a double cannot hold: 2^53 + 1", `{"a":9007199254740993}`, "NUMBER_NOT_EXACT", "/vars/a"],
    ["integers that a double cannot hold: -(2^53 + 1)", `{"a":[-9007199254740993]}`, "NUMBER_NOT_EXACT", "/vars/a/0"],
    ["integers that a double cannot hold: 20 digits", `{"a":12345678901234567891}`, "NUMBER_NOT_EXACT", "/vars/a"],
    ["finite doubles", `{"a":1e999}`, "NUMBER_NOT_EXACT", "/vars/a"],
    ["numbers that are none", `{"a":NaN}`, "REQUEST_INVALID", "/vars/a"],
    ["text that is no JSON", `{"a":1,}`, "REQUEST_INVALID", "/vars"],
    ["comments", `{"a":1 /* one */}`, "REQUEST_INVALID", "/vars"],
    ["at most 32 levels", nested(33), "PAYLOAD_TOO_DEEP", "/vars"],
    ["at most 1 MiB", `{"a":"${"x".repeat(1024 * 1024)}"}`, "PAYLOAD_TOO_LARGE", "/vars"],
  ];
  test.each(notIJson)("payloads are I-JSON: %s", async (_sentence, vars, reason, pointer) => {
    const workflowId = await api.register(echo);
    const refusal = await api.refused("StartRun", `{"workflowId":"${workflowId}","runId":"refused","vars":${vars}}`);
    expect(refusal).toMatchObject({ httpStatus: 400, code: "invalid_argument", reason, domain: "abstractruntime" });
    expect(refusal.metadata["pointer"]).toMatch(new RegExp(`^${pointer}`));
    expect((await api.refused("GetRun", { runId: "refused" })).reason).toBe("RUN_UNKNOWN");
  });

  test("large ids are strings", async () => {
    const { output } = await api.run(echo, { vars: { orderId: "9007199254740993" } });
    expect(output).toEqual({ orderId: "9007199254740993" });
  });

  test("32 levels are taken", async () => {
    const vars = JSON.parse(nested(32)) as Json;
    expect((await api.run(echo, { vars })).output).toEqual(vars);
  });

  describe("messages to a peer stay under 3 MiB", () => {
    const BYTES_MAX = 3 * 1024 * 1024;

    /** Returns all entries of a list that is read completely, and how many pages it took. */
    async function pagesOf(
      method: string,
      field: string,
      request: object,
    ): Promise<{ entries: JsonObject[]; pages: number }> {
      const entries: JsonObject[] = [];
      for (let pages = 1, pageToken = ""; ; pages += 1) {
        const reply = await api.post(method, JSON.stringify({ ...request, pageSize: 1000, pageToken }));
        expect(reply.status).toBe(200);
        expect(Buffer.byteLength(reply.text)).toBeLessThan(BYTES_MAX);
        const page = JSON.parse(reply.text) as { [field: string]: JsonObject[] } & { nextPageToken?: string };
        entries.push(...(page[field] ?? []));
        if (page.nextPageToken === undefined) return { entries, pages };
        pageToken = page.nextPageToken;
      }
    }

    test("lists of waits page by bytes too", async () => {
      const graph = { entryNode: "ask", nodes: { ask: { askUser: { prompt: "?", details: "${vars.details}" } } } };
      const workflowId = await api.register(graph);
      const runIds = Array.from({ length: 15 }, (_, index) => `large-${String.fromCodePoint(97 + index)}`);
      for (const runId of runIds) {
        const { run } = await api.call("StartRun", { workflowId, runId, vars: { details: "d".repeat(240_000) } });
        expect(run.status).toBe("RUN_STATUS_WAITING");
      }
      const { entries, pages } = await pagesOf("ListWaits", "waits", { filter: { workflowId } });
      expect(entries.map(({ runId }) => runId)).toEqual(runIds);
      expect(pages).toBeGreaterThan(1);
    });

    test("lists of records page by bytes too, proofs included", async () => {
      const nodes = {
        ask: { askUser: { prompt: "?" }, next: [{ to: "ask", when: "result.answer != 'end'" }, { to: "end" }] },
      };
      let run = await api.run({ entryNode: "ask", nodes: { ...nodes, end: { complete: {} } } });
      const { runId } = run;
      for (const answer of [..."abcd".split("").map((letter) => letter.repeat(500_000)), "end"]) {
        const request = { runId, waitId: run.waiting!.waitId, payload: { answer } };
        ({ run } = await api.call("ResumeRun", request));
      }
      for (const includeProof of [false, true]) {
        const { entries, pages } = await pagesOf("ListStepRecords", "stepRecords", {
          runId,
          includeProof,
        });
        expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: run.seq }, (_, index) => index + 1));
        expect(pages).toBeGreaterThan(1);
      }
    });
  });
});

/** An object with this many levels. */
function nested(levels: number): string {
  return `{"a":`.repeat(levels) + "1" + "}".repeat(levels);
}
