/**
 * Bad input: each case has its typed refusal and changes nothing. The tests compare all that the server shows before
 * and after.
 */
import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApi, type JsonObject, parseRefusal, readDetail, type Refusal, serviceOf } from "./api.ts";
import { envelope, watchToEnd } from "./connect-stream.ts";
import { useServer } from "./server.ts";

const server = useServer();
const api = createApi(server);

const ALL_REASONS = ["WAIT_REASON_USER", "WAIT_REASON_EVENT", "WAIT_REASON_UNTIL"];
const end = { complete: { output: "${vars}" } };
const toEnd = [{ to: "end" }];

/** What the server has before the first bad request: a workflow of each kind, and a run in each state. */
const wait: Record<string, string> = {};
beforeAll(async () => {
  const graphs: JsonObject = {
    asking: {
      entryNode: "ask",
      nodes: { ask: { askUser: { prompt: "?", choices: ["yes", "no"] }, next: toEnd }, end },
    },
    listening: { entryNode: "listen", nodes: { listen: { waitEvent: { names: ["e"] }, next: toEnd }, end } },
    sleeping: { entryNode: "sleep", nodes: { sleep: { waitUntil: { after: "72h" }, next: toEnd }, end } },
    calling: { entryNode: "call", nodes: { call: { toolCalls: { calls: [{ name: "t" }] }, next: toEnd }, end } },
    ending: { entryNode: "end", nodes: { end } },
    strict: {
      entryNode: "end",
      nodes: { end },
      varsSchema: {
        type: "object",
        required: ["n"],
        properties: { n: { type: "integer" } },
        additionalProperties: false,
      },
    },
    archived: { entryNode: "end", nodes: { end } },
  };
  for (const [workflowId, graph] of Object.entries(graphs)) {
    await api.call("RegisterWorkflow", { workflow: { workflowId, ...(graph as JsonObject) } });
  }
  await api.call("ArchiveWorkflow", { workflowId: "archived" });
  for (const runId of ["asking", "listening", "sleeping", "calling", "ending"]) {
    const { run } = await api.call("StartRun", { runId, workflowId: runId });
    if (run.waiting !== undefined) wait[runId] = run.waiting.waitId;
  }
  const answered = await api.call("StartRun", { runId: "answered", workflowId: "asking" });
  wait["answered"] = answered.run.waiting!.waitId;
  await api.call("ResumeRun", {
    runId: "answered",
    waitId: wait["answered"],
    payload: { answer: "yes" },
    requestId: "first",
  });
  await api.call("StartRun", { runId: "asking-2", workflowId: "asking" });
});

/** Everything that a client can see of the server. */
async function snapshot(): Promise<string> {
  const { runs = [] } = await api.call("ListRuns", { pageSize: 1000, order: "RUN_ORDER_CREATE_TIME_ASC" });
  const shown = [
    runs,
    await api.call("ListWorkflows", { pageSize: 1000 }),
    await api.call("ListWaits", { filter: { reasons: ALL_REASONS }, pageSize: 1000 }),
  ];
  const ledgers = await Promise.all(["asking", "listening", "answered"].map((runId) => api.records(runId)));
  return JSON.stringify([shown, ledgers]);
}

type Expected = {
  reason: string;
  code: string;
  fields?: string[];
  metadata?: Record<string, string>;
  message?: string;
};

const HTTP_STATUS: Record<string, number> = {
  invalid_argument: 400,
  failed_precondition: 400,
  not_found: 404,
  already_exists: 409,
  permission_denied: 403,
  unimplemented: 501,
};

function expectRefusal(refusal: Refusal, { reason, code, fields, metadata, message }: Expected): void {
  expect(refusal).toMatchObject({ reason, code, domain: "abstractruntime", httpStatus: HTTP_STATUS[code] });
  if (fields !== undefined) expect(refusal.fields.toSorted()).toEqual(fields.toSorted());
  if (metadata !== undefined) expect(refusal.metadata).toMatchObject(metadata);
  // The message is all that curl shows, so it must name what is wrong.
  for (const field of refusal.fields.slice(0, 3)) expect(refusal.message).toContain(field);
  expect(refusal.message).toContain(message ?? "");
  expect(refusal.message.length).toBeGreaterThan(5);
}

/** Sends a bad request, and compares everything visible before and after. */
async function expectRefused(method: string, request: object | string, expected: Expected): Promise<void> {
  const before = await snapshot();
  expectRefusal(await api.refused(method, request), expected);
  expect(await snapshot()).toBe(before);
}

const invalid = (reason: string, fields: string[] = []): Expected => ({ reason, code: "invalid_argument", fields });

describe("ids that do not exist", () => {
  const runUnknown = { reason: "RUN_UNKNOWN", code: "not_found", metadata: { run_id: "nobody" }, message: "nobody" };
  const rows: [method: string, request: JsonObject, expected: Expected][] = [
    ...[
      "GetRun",
      "ExplainRun",
      "AwaitRun",
      "DeleteRun",
      "CancelRun",
      "PauseRun",
      "UnpauseRun",
      "TickRun",
      "ListStepRecords",
    ].map((method): [string, JsonObject, Expected] => [method, { runId: "nobody" }, runUnknown]),
    ["ResumeRun", { runId: "nobody", waitId: "w", payload: { answer: 1 } }, runUnknown],
    ["GetStepRecord", { runId: "nobody", seq: 1 }, runUnknown],
    ["EmitEvent", { name: "e", runId: "nobody" }, runUnknown],
    [
      "GetStepRecord",
      { runId: "asking", seq: 99 },
      { reason: "STEP_RECORD_UNKNOWN", code: "not_found", metadata: { run_id: "asking", seq: "99" } },
    ],
    ["GetWait", { waitId: "nobody" }, { reason: "WAIT_UNKNOWN", code: "not_found", metadata: { wait_id: "nobody" } }],
    [
      "ResumeRun",
      { runId: "asking", waitId: "nobody", payload: { answer: "yes" } },
      { reason: "WAIT_UNKNOWN", code: "not_found", metadata: { wait_id: "nobody" } },
    ],
    [
      "EmitEvent",
      { name: "e", scope: "SCOPE_WORKFLOW", workflowId: "nobody" },
      { reason: "WORKFLOW_UNKNOWN", code: "not_found" },
    ],
    ...["GetWorkflow", "StartRun", "SetCurrentVersion", "ArchiveWorkflow"].map(
      (method): [string, JsonObject, Expected] => [
        method,
        { workflowId: "nobody" },
        { reason: "WORKFLOW_UNKNOWN", code: "not_found", metadata: { workflow_id: "nobody" } },
      ],
    ),
    ...["GetWorkflow", "StartRun", "SetCurrentVersion"].map((method): [string, JsonObject, Expected] => [
      method,
      { workflowId: "asking", version: 7 },
      { reason: "VERSION_UNKNOWN", code: "not_found", metadata: { workflow_id: "asking", version: "7" } },
    ]),
  ];
  test.each(rows)("%s %j", async (method, request, expected) => {
    await expectRefused(method, request, expected);
  });

  test("WatchRun", async () => {
    const { messages, end } = await watchToEnd(server.url, "WatchRun", { runId: "nobody" });
    expect(messages).toEqual([]);
    expect(end.refusal).toMatchObject({ reason: "RUN_UNKNOWN", code: "not_found", domain: "abstractruntime" });
  });
});

describe("at the wrong time", () => {
  const late = (reason: string): Expected => ({ reason, code: "failed_precondition" });
  const rows: [what: string, method: string, request: JsonObject, expected: Expected][] = [
    ["pause what has ended", "PauseRun", { runId: "ending" }, { ...late("RUN_ENDED"), metadata: { run_id: "ending" } }],
    ["tick what has ended", "TickRun", { runId: "ending" }, late("RUN_ENDED")],
    ["emit into what has ended", "EmitEvent", { name: "e", runId: "ending" }, late("RUN_ENDED")],
    [
      "unpause what is not paused",
      "UnpauseRun",
      { runId: "asking" },
      { ...late("RUN_NOT_PAUSED"), metadata: { run_id: "asking" } },
    ],
    [
      "delete what has not ended",
      "DeleteRun",
      { runId: "asking" },
      { ...late("RUN_NOT_ENDED"), metadata: { run_id: "asking" } },
    ],
    [
      "start what is archived",
      "StartRun",
      { workflowId: "archived" },
      { ...late("WORKFLOW_ARCHIVED"), metadata: { workflow_id: "archived" } },
    ],
    [
      "answer what waits for a time",
      "ResumeRun",
      { runId: "sleeping", waitId: "WAIT", payload: { answer: 1 } },
      late("WAIT_NOT_ANSWERABLE"),
    ],
    [
      "answer again",
      "ResumeRun",
      { runId: "answered", waitId: "WAIT", payload: { answer: "no" }, requestId: "second" },
      late("WAIT_ALREADY_ANSWERED"),
    ],
    [
      "answer again without a request_id",
      "ResumeRun",
      { runId: "answered", waitId: "WAIT", payload: { answer: "yes" } },
      late("WAIT_ALREADY_ANSWERED"),
    ],
    [
      "answer what does not wait",
      "ResumeRun",
      { runId: "calling", waitId: "nobody", payload: { answer: 1 } },
      late("RUN_NOT_WAITING"),
    ],
    [
      "answer what has ended",
      "ResumeRun",
      { runId: "ending", waitId: "nobody", payload: { answer: 1 } },
      late("RUN_NOT_WAITING"),
    ],
    [
      "the id of another run",
      "StartRun",
      { runId: "asking", workflowId: "ending" },
      { reason: "RUN_EXISTS", code: "already_exists", metadata: { run_id: "asking" } },
    ],
    [
      "the wait of another run",
      "ResumeRun",
      { runId: "asking-2", waitId: "WAIT-asking", payload: { answer: "yes" } },
      { reason: "WAIT_UNKNOWN", code: "not_found" },
    ],
  ];
  test.each(rows)("%s", async (_what, method, request, expected) => {
    const waitId =
      request["waitId"] === "WAIT"
        ? wait[request["runId"] as string]
        : request["waitId"] === "WAIT-asking"
          ? wait["asking"]
          : request["waitId"];
    await expectRefused(method, waitId === undefined ? request : { ...request, waitId }, expected);
  });
});

describe("answers that do not fit", () => {
  test.each<[what: string, payload: unknown, fields: string[]]>([
    ["none", undefined, ["payload"]],
    ["no object", "yes", ["payload"]],
    ["no answer in it", {}, ["payload.answer"]],
    ["none of the choices", { answer: "perhaps" }, ["payload.answer"]],
    ["more than an answer", { answer: "yes", why: "because" }, ["payload.why"]],
  ])("%s", async (_what, payload, fields) => {
    await expectRefused(
      "ResumeRun",
      { runId: "asking", waitId: wait["asking"], payload },
      { ...invalid("ANSWER_INVALID", fields), metadata: { wait_id: wait["asking"]! } },
    );
  });
});

describe("fields out of their bounds", () => {
  const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, "v"]));
  const rows: [what: string, method: string, request: object, fields: string[]][] = [
    ["an empty id", "GetRun", { runId: "" }, ["runId"]],
    ["an empty id of a run to explain", "ExplainRun", { runId: "" }, ["runId"]],
    ["no field at all", "ResumeRun", {}, ["runId", "waitId"]],
    ["a negative version", "StartRun", { workflowId: "ending", version: -1 }, ["version"]],
    ["65 labels", "StartRun", { workflowId: "ending", labels: labels(65) }, ["labels"]],
    ["a label of 257 characters", "StartRun", { workflowId: "ending", labels: { a: "v".repeat(257) } }, ["labels.a"]],
    [
      "limits below 0",
      "StartRun",
      { workflowId: "ending", limits: { maxSteps: -1, maxDepth: -1 } },
      ["limits.maxSteps", "limits.maxDepth"],
    ],
    [
      "a run_timeout that is none",
      "StartRun",
      { workflowId: "ending", limits: { runTimeout: "soon" } },
      ["limits.runTimeout"],
    ],
    ["a time that is none", "StartRun", { workflowId: "ending", startAt: "tomorrow" }, ["startAt"]],
    ["a time that does not exist", "StartRun", { workflowId: "ending", startAt: "2026-02-30T00:00:00Z" }, ["startAt"]],
    ["a time without offset", "StartRun", { workflowId: "ending", startAt: "2026-02-03T00:00:00" }, ["startAt"]],
    ["a duration that is none", "AwaitRun", { runId: "asking", timeout: "soon" }, ["timeout"]],
    ["a negative duration", "AwaitRun", { runId: "asking", timeout: "-1s" }, ["timeout"]],
    ["reasons twice", "AwaitRun", { runId: "asking", reasons: ["WAIT_REASON_USER", "WAIT_REASON_USER"] }, ["reasons"]],
    ["an unspecified reason", "AwaitRun", { runId: "asking", reasons: ["WAIT_REASON_UNSPECIFIED"] }, ["reasons[0]"]],
    ["a page of 1,001", "ListRuns", { pageSize: 1001 }, ["pageSize"]],
    ["a version without its workflow", "ListRuns", { filter: { version: 1 } }, ["filter"]],
    ["a page token of 5,000 characters", "ListRuns", { pageToken: "a".repeat(5000) }, ["pageToken"]],
    ["no starts", "StartRuns", { requests: [] }, ["requests"]],
    [
      "501 starts",
      "StartRuns",
      { requests: Array.from({ length: 501 }, () => ({ workflowId: "ending" })) },
      ["requests"],
    ],
    [
      "one bad start among good ones",
      "StartRuns",
      { requests: [{ workflowId: "ending" }, { workflowId: "" }] },
      ["requests[1].workflowId"],
    ],
    ["an event without a name", "EmitEvent", { runId: "listening" }, ["name"]],
    ["an event of a pattern", "EmitEvent", { name: "e*", runId: "listening" }, ["name"]],
    ["an event with a control character", "EmitEvent", { name: "e\n", runId: "listening" }, ["name"]],
    ["an event of 201 characters", "EmitEvent", { name: "e".repeat(201), runId: "listening" }, ["name"]],
    ["a key of 257 characters", "EmitEvent", { name: "e", runId: "listening", key: "k".repeat(257) }, ["key"]],
    ["SCOPE_SESSION without a session", "EmitEvent", { name: "e", scope: "SCOPE_SESSION" }, [""]],
    ["SCOPE_GLOBAL with a run", "EmitEvent", { name: "e", scope: "SCOPE_GLOBAL", runId: "listening" }, [""]],
    ["two targets", "EmitEvent", { name: "e", runId: "listening", sessionId: "s" }, [""]],
    ["more ticks than may be", "TickRun", { runId: "asking", maxSteps: 1001 }, ["maxSteps"]],
    ["a reason of 1,025 characters", "CancelRun", { runId: "asking", reason: "r".repeat(1025) }, ["reason"]],
    ["record 0", "GetStepRecord", { runId: "asking", seq: 0 }, ["seq"]],
    ["a negative after_seq", "ListStepRecords", { runId: "asking", afterSeq: -1 }, ["afterSeq"]],
    ["text where a number is meant", "TickRun", { runId: "asking", maxSteps: "many" }, ["maxSteps"]],
    ["a list where an object is meant", "StartRun", { workflowId: "ending", vars: [] }, ["vars"]],
    ["a number where text is meant", "GetRun", { runId: 7 }, ["runId"]],
    ["an object where text is meant", "GetRun", { runId: {} }, ["runId"]],
    ["a list with null", "StartRuns", { requests: [null] }, ["requests[0]"]],
    ["two names of one field", "StartRun", { workflowId: "ending", workflow_id: "ending" }, ["workflowId"]],
    [
      "fields that nobody knows",
      "StartRun",
      { workflowId: "ending", retries: 3, vars: {}, tenant: "other" },
      ["retries", "tenant"],
    ],
  ];
  test.each(rows)("%s", async (_what, method, request, fields) => {
    await expectRefused(method, request, invalid("REQUEST_INVALID", fields));
  });

  test.each<[what: string, vars: JsonObject, fields: string[]]>([
    ["what the schema asks for is missing", {}, ["vars"]],
    ["another type", { n: "1" }, ["vars.n"]],
    ["a name that the schema does not know", { n: 1, m: 2 }, ["vars"]],
  ])("vars: %s", async (_what, vars, fields) => {
    await expectRefused(
      "StartRun",
      { workflowId: "strict", vars },
      { ...invalid("VARS_INVALID", fields), metadata: { workflow_id: "strict" } },
    );
  });
});

describe("graphs", () => {
  const graph = (node: object, more: object = {}) => ({
    workflowId: "asking",
    entryNode: "a",
    nodes: { a: node, end },
    ...more,
  });
  const nodes = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`n${index}`, { complete: {} }]));
  const deep = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels)) as unknown;
  const rows: [what: string, workflow: object, fields: string[]][] = [
    [
      "CEL: nothing after an operator",
      graph({ complete: { output: "${1 + }" } }, { nodes: { a: { complete: { output: "${1 + }" } } } }),
      ["nodes.a.complete.output"],
    ],
    [
      "CEL: types that do not go together",
      { ...graph({}), nodes: { a: { complete: { output: "${'a' * 2}" } } } },
      ["nodes.a.complete.output"],
    ],
    [
      "CEL: deeper than may be",
      { ...graph({}), nodes: { a: { complete: { output: `\${${"(".repeat(2000)}1${")".repeat(2000)}}` } } } },
      ["nodes.a.complete.output"],
    ],
    [
      "CEL: longer than may be",
      graph({ assign: {}, next: [{ to: "end", when: `'${"x".repeat(9000)}' == ''` }, ...toEnd] }),
      ["nodes.a.next[0].when"],
    ],
    [
      "a regular expression with look-ahead",
      graph({ assign: {}, next: [{ to: "end", when: "'a'.matches('(?=a)')" }, ...toEnd] }),
      ["nodes.a.next[0].when"],
    ],
    [
      "a regular expression with a back reference",
      graph({ assign: {}, next: [{ to: "end", when: String.raw`'a'.matches('(a)\\1')` }, ...toEnd] }),
      ["nodes.a.next[0].when"],
    ],
    [
      "a regular expression of a size without measure",
      graph({ assign: {}, next: [{ to: "end", when: "'a'.matches('((a{100}){100}){100}')" }, ...toEnd] }),
      ["nodes.a.next[0].when"],
    ],
    [
      "a template that does not close",
      graph({ askUser: { prompt: "Hello ${vars.name" }, next: toEnd }),
      ["nodes.a.askUser.prompt"],
    ],
    ["a template of nothing", graph({ askUser: { prompt: "Hello ${}" }, next: toEnd }), ["nodes.a.askUser.prompt"]],
    ["no duration", graph({ waitUntil: { after: "a while" }, next: toEnd }), ["nodes.a.waitUntil.after"]],
    ["a negative duration", graph({ waitUntil: { after: "-5s" }, next: toEnd }), ["nodes.a.waitUntil.after"]],
    [
      "a duration without a unit",
      graph({ askUser: { prompt: "?", timeout: "90" }, next: toEnd }),
      ["nodes.a.askUser.timeout"],
    ],
    [
      "a duration of more than a life",
      graph({ waitEvent: { names: ["e"], timeout: "99999999d" }, next: toEnd }),
      ["nodes.a.waitEvent.timeout"],
    ],
    [
      "a duration of a policy",
      graph({ toolCalls: { calls: [{ name: "t" }] }, policy: { timeout: "x" }, next: toEnd }),
      ["nodes.a.policy.timeout"],
    ],
    ["a run_timeout", graph({ assign: {}, next: toEnd }, { limits: { runTimeout: "x" } }), ["limits.runTimeout"]],
    ["no time", graph({ waitUntil: { at: "noon" }, next: toEnd }), ["nodes.a.waitUntil.at"]],
    [
      "a time without offset",
      graph({ waitUntil: { at: "2026-01-01T00:00:00" }, next: toEnd }),
      ["nodes.a.waitUntil.at"],
    ],
    [
      "a day that does not exist",
      graph({ waitUntil: { at: "2026-02-29T00:00:00Z" }, next: toEnd }),
      ["nodes.a.waitUntil.at"],
    ],
    [
      "a schema of a type that does not exist",
      graph({ assign: {}, next: toEnd }, { varsSchema: { type: "strnig" } }),
      ["varsSchema.type"],
    ],
    [
      "a schema whose $ref leads nowhere",
      graph({ assign: {}, next: toEnd }, { varsSchema: { $ref: "#/$defs/nope" } }),
      ["varsSchema.$ref"],
    ],
    [
      "a schema whose $ref leads out",
      graph({ askUser: { prompt: "?", answerSchema: { $ref: "http://169.254.169.254/" } }, next: toEnd }),
      ["nodes.a.askUser.answerSchema.$ref"],
    ],
    [
      "a schema with a regular expression that is not RE2",
      graph({ askUser: { prompt: "?", answerSchema: { pattern: "(?<=a)b" } }, next: toEnd }),
      ["nodes.a.askUser.answerSchema.pattern"],
    ],
    [
      "an edge to nowhere",
      graph({ assign: {}, next: [{ to: "nowhere" }] }, { nodes: { a: { assign: {}, next: [{ to: "nowhere" }] } } }),
      ["nodes.a.next[0].to"],
    ],
    [
      "an edge behind one that always holds",
      graph({ assign: {}, next: [{ to: "end" }, { to: "end", when: "true" }] }),
      ["nodes.a.next[1]"],
    ],
    ["an end with edges", graph({ complete: {}, next: toEnd }), ["nodes.a.next"]],
    ["an assign without an edge", graph({ assign: {} }, { nodes: { a: { assign: {} } } }), ["nodes.a.next"]],
    [
      "a result_key where there is no result",
      graph({ assign: {}, resultKey: "x", next: toEnd }),
      ["nodes.a.resultKey"],
    ],
    [
      "a result_key that is no path",
      graph({ askUser: { prompt: "?" }, resultKey: "a..b", next: toEnd }),
      ["nodes.a.resultKey"],
    ],
    [
      "a path of an assign that is none",
      graph({ assign: { values: { "a..b": 1 } }, next: toEnd }),
      ["nodes.a.assign.values.a..b"],
    ],
    ["a path within another", graph({ assign: { values: { a: {}, "a.b": 1 } }, next: toEnd }), ["nodes.a.assign"]],
    ["a path given twice", graph({ assign: { values: { a: 1 }, unset: ["a"] }, next: toEnd }), ["nodes.a.assign"]],
    [
      "a policy where there are no jobs",
      graph({ askUser: { prompt: "?" }, policy: { maxAttempts: 2 }, next: toEnd }),
      ["nodes.a.policy"],
    ],
    ["no nodes", graph({}, { nodes: {} }), ["entryNode", "nodes"]],
    [
      "an id of a node that is none",
      { workflowId: "asking", entryNode: "a b", nodes: { "a b": end } },
      ["entryNode", "nodes.a b"],
    ],
    [
      "an event name with * in it",
      graph({ waitEvent: { names: ["a*b"] }, next: toEnd }),
      ["nodes.a.waitEvent.names[0]"],
    ],
    ["an event that emits a pattern", graph({ emitEvent: { name: "a*" }, next: toEnd }), ["nodes.a.emitEvent.name"]],
    [
      "choices that are no list",
      graph({ askUser: { prompt: "?", choices: { yes: 1 } }, next: toEnd }),
      ["nodes.a.askUser.choices"],
    ],
    ["no choice", graph({ askUser: { prompt: "?", choices: [] }, next: toEnd }), ["nodes.a.askUser.choices"]],
    ["no prompt", graph({ askUser: {}, next: toEnd }), ["nodes.a.askUser.prompt"]],
    [
      "an assignee of 257 characters",
      graph({ askUser: { prompt: "?", assignees: ["a", "x".repeat(257)] }, next: toEnd }),
      ["nodes.a.askUser.assignees[1]"],
    ],
    [
      "an event key of 257 characters",
      graph({ emitEvent: { name: "a", key: "k".repeat(257) }, next: toEnd }),
      ["nodes.a.emitEvent.key"],
    ],
    [
      "a wait for a key of 257 characters",
      graph({ waitEvent: { names: ["a"], key: "k".repeat(257) }, next: toEnd }),
      ["nodes.a.waitEvent.key"],
    ],
    [
      "a tool's name of 129 characters and a call id of 257",
      graph({ toolCalls: { calls: [{ name: "t".repeat(129), callId: "c".repeat(257) }] }, next: toEnd }),
      ["nodes.a.toolCalls.calls[0].name", "nodes.a.toolCalls.calls[0].callId"],
    ],
    [
      "a failure's code of 129 characters",
      graph({ fail: { code: "C".repeat(129) } }, { nodes: { a: { fail: { code: "C".repeat(129) } } } }),
      ["nodes.a.fail.code"],
    ],
    [
      "a node that nothing ends",
      graph({ assign: {}, next: [{ to: "a" }] }, { nodes: { a: { assign: {}, next: [{ to: "a" }] } } }),
      ["nodes.a"],
    ],
    ["a node that nothing reaches", graph({ complete: {} }), ["nodes.end"]],
  ];
  test.each(rows)("%s", async (_what, workflow, fields) => {
    await expectRefused(
      "RegisterWorkflow",
      { workflow },
      { ...invalid("WORKFLOW_INVALID", fields), metadata: { workflow_id: "asking" } },
    );
  });

  test("1,001 nodes", async () => {
    const before = await snapshot();
    const refusal = await api.refused("RegisterWorkflow", {
      workflow: { workflowId: "asking", entryNode: "n0", nodes: nodes(1001) },
    });
    expect(refusal).toMatchObject({ reason: "WORKFLOW_INVALID", code: "invalid_argument" });
    expect(refusal.fields[0]).toBe("nodes");
    expect(refusal.message).toContain("1000");
    expect(await snapshot()).toBe(before);
  });

  test("values deeper than 32 levels", async () => {
    const workflow = graph({ assign: { values: { x: deep(40) } }, next: toEnd });
    const before = await snapshot();
    const refusal = await api.refused("RegisterWorkflow", { workflow });
    expect(["WORKFLOW_INVALID", "PAYLOAD_TOO_DEEP"]).toContain(refusal.reason);
    expect(refusal.message).toContain("32");
    expect(await snapshot()).toBe(before);
  });

  test("a graph of more than 1 MiB", async () => {
    const values = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`v${index}`, "x".repeat(60_000)]));
    const before = await snapshot();
    const refusal = await api.refused("RegisterWorkflow", { workflow: graph({ assign: { values }, next: toEnd }) });
    expect(["PAYLOAD_TOO_LARGE", "WORKFLOW_INVALID"]).toContain(refusal.reason);
    expect(await snapshot()).toBe(before);
  });
});

describe("payloads", () => {
  const payloads: [what: string, json: string, reason: string][] = [
    ["a lone surrogate", String.raw`{"answer":"\ud800"}`, "PAYLOAD_INVALID"],
    ["U+0000", String.raw`{"answer":"a\u0000b"}`, "PAYLOAD_INVALID"],
    ["U+0000 in a name", String.raw`{"answer":{"\u0000":1}}`, "PAYLOAD_INVALID"],
    ["__proto__", `{"answer":{"__proto__":{"polluted":true}}}`, "PAYLOAD_INVALID"],
    ["__proto__, written with an escape", String.raw`{"answer":{"\u005f_proto__":{}}}`, "PAYLOAD_INVALID"],
    ["2^53 + 1", `{"answer":9007199254740993}`, "NUMBER_NOT_EXACT"],
    ["a number of 400 digits", `{"answer":${"9".repeat(400)}}`, "NUMBER_NOT_EXACT"],
    ["duplicate names", `{"answer":1,"answer":2}`, "PAYLOAD_INVALID"],
    ["33 levels", `{"answer":${"[".repeat(33)}${"]".repeat(33)}}`, "PAYLOAD_TOO_DEEP"],
    ["10,000 levels", `{"answer":${"[".repeat(10_000)}${"]".repeat(10_000)}}`, "PAYLOAD_TOO_DEEP"],
    ["more than 1 MiB", `{"answer":"${"é".repeat(600_000)}"}`, "PAYLOAD_TOO_LARGE"],
  ];
  const places: [place: string, method: string, around: (payload: string) => string][] = [
    ["vars", "StartRun", (payload) => `{"workflowId":"ending","runId":"never","vars":${payload}}`],
    ["an answer", "ResumeRun", (payload) => `{"runId":"asking","waitId":"${wait["asking"]}","payload":${payload}}`],
    ["an event", "EmitEvent", (payload) => `{"name":"e","runId":"listening","payload":${payload}}`],
    [
      "a graph",
      "RegisterWorkflow",
      (payload) =>
        `{"workflow":{"workflowId":"asking","entryNode":"end","nodes":{"end":{"complete":{"output":${payload}}}}}}`,
    ],
    [
      "default_vars",
      "RegisterWorkflow",
      (payload) =>
        `{"workflow":{"workflowId":"asking","entryNode":"end","nodes":{"end":{"complete":{}}},` +
        `"defaultVars":${payload}}}`,
    ],
    ["a batch", "StartRuns", (payload) => `{"requests":[{"workflowId":"ending","runId":"never","vars":${payload}}]}`],
  ];
  const rows = places.flatMap(([place, method, around]) =>
    payloads.map(([what, json, reason]): [string, string, string, () => string, string] => [
      what,
      place,
      method,
      () => around(json),
      reason,
    ]),
  );
  test.each(rows)("%s in %s", async (_what, _place, method, request, reason) => {
    const refusal = await api.refused(method, request());
    expectRefusal(refusal, { reason, code: "invalid_argument" });
  });

  test("none of them changed anything", async () => {
    const before = await snapshot();
    for (const [, , method, request] of rows) expect((await api.post(method, request())).status).toBe(400);
    expect(await snapshot()).toBe(before);
    expect((await api.refused("GetRun", { runId: "never" })).reason).toBe("RUN_UNKNOWN");
    expect(({} as JsonObject)["polluted"]).toBeUndefined();
  });

  test("a whole request larger than 3 MiB, also when it says so only once it is unpacked", async () => {
    const text = `{"workflowId":"${"x".repeat(3 * 1024 * 1024)}"}`;
    expectRefusal(await api.refused("StartRun", text), { reason: "PAYLOAD_TOO_LARGE", code: "invalid_argument" });
    const packed = await api.post("StartRun", gzipSync(text), { "content-encoding": "gzip" });
    expectRefusal(parseRefusal(packed), { reason: "PAYLOAD_TOO_LARGE", code: "invalid_argument" });
  });
});

describe("malformed requests", () => {
  const rows: [
    what: string,
    body: string | Uint8Array,
    headers: Record<string, string>,
    status: number,
    reason: string,
  ][] = [
    ["nothing", "", {}, 400, "REQUEST_INVALID"],
    ["half of it", `{"runId":`, {}, 400, "REQUEST_INVALID"],
    ["two documents", `{"runId":"a"}{"runId":"b"}`, {}, 400, "REQUEST_INVALID"],
    ["a list", "[]", {}, 400, "REQUEST_INVALID"],
    ["bytes that are not UTF-8", Uint8Array.from([0x7b, 0xff, 0x7d]), {}, 400, "REQUEST_INVALID"],
    [
      "a binary message that breaks off",
      Uint8Array.from([0x0a, 0x05, 0x61]),
      { "content-type": "application/proto" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a group that never ends",
      Uint8Array.from([0x0b]),
      { "content-type": "application/proto" },
      400,
      "REQUEST_INVALID",
    ],
    ["what is not packed as it says", "{}", { "content-encoding": "gzip" }, 400, "REQUEST_INVALID"],
    ["a packing that nobody knows", "{}", { "content-encoding": "zip" }, 501, "REQUEST_INVALID"],
    ["a content type that nobody knows", "<runId/>", { "content-type": "text/xml" }, 415, "REQUEST_INVALID"],
    ["a form of a page", "runId=a", { "content-type": "application/x-www-form-urlencoded" }, 415, "REQUEST_INVALID"],
    [
      "text, as pages may send without asking",
      `{"runId":"asking"}`,
      { "content-type": "text/plain" },
      415,
      "REQUEST_INVALID",
    ],
    ["a deadline that is none", "{}", { "connect-timeout-ms": "soon" }, 400, "REQUEST_INVALID"],
  ];
  test.each(rows)("%s", async (_what, body, headers, status, reason) => {
    const before = await snapshot();
    const refusal = parseRefusal(await api.post("CancelRun", body, headers));
    expect(refusal).toMatchObject({ httpStatus: status, reason, domain: "abstractruntime" });
    expect(await snapshot()).toBe(before);
  });

  test("an RPC that does not exist, and a service", async () => {
    expectRefusal(await api.refused("DropEverything", {}), {
      reason: "RPC_UNKNOWN",
      code: "unimplemented",
      metadata: { method: "DropEverything" },
    });
    expectRefusal(await api.refused("/abstractruntime.v9.RuntimeService/GetRun", {}), {
      reason: "RPC_UNKNOWN",
      code: "unimplemented",
    });
  });

  test("GET never does anything: Connect GET is off", async () => {
    const message = encodeURIComponent(JSON.stringify({ runId: "asking" }));
    for (const method of ["GetRun", "CancelRun"]) {
      const response = await fetch(`${server.url}/${serviceOf(method)}/${method}?encoding=json&message=${message}`);
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("POST");
      expect(parseRefusal({ status: 405, text: await response.text() }).reason).toBe("REQUEST_INVALID");
    }
  });
});

describe("requests meant to run for ever", () => {
  const evil: [what: string, expression: string][] = [
    ["loops in loops in loops", "range(90).all(a, range(90).all(b, range(90).all(c, true)))"],
    ["lists that double", `cel.bind(a, [1, 2, 3, 4], ${"cel.bind(a, a + a, ".repeat(25)}size(a)${")".repeat(26)}`],
    ["a result that shares its parts", `cel.bind(a, [1], ${"cel.bind(a, [a, a], ".repeat(25)}a${")".repeat(26)}`],
    ["a regular expression in a loop", "range(5000).all(i, !vars.text.matches('(a|b|ab)*(bc|c)$'))"],
    ["replacements that grow", "vars.text.replace('a', vars.text).replace('a', vars.text)"],
    ["formatting in a loop", "range(5000).map(i, '%s%s'.format([vars.text, vars.text]))"],
    ["errors that are swallowed", "range(100000).exists(i, vars.nope == i)"],
  ];
  test.each(evil)("%s", async (_what, expression) => {
    const nodes = { a: { complete: { output: `\${${expression}}` } } };
    const run = await api.run(
      { workflowId: "for-ever", entryNode: "a", nodes },
      { vars: { text: "ab".repeat(20_000) } },
    );
    expect(run).toMatchObject({ status: "RUN_STATUS_FAILED", error: { code: "EXPRESSION_LIMIT", nodeId: "a" } });
  });

  test("a graph that loops for ever ends at its limit, and others go on meanwhile", async () => {
    const nodes = { a: { assign: {}, next: [{ to: "a", when: "true" }, ...toEnd] }, end };
    const workflowId = await api.register({ workflowId: "loop", entryNode: "a", nodes, limits: { maxSteps: 5_000 } });
    const { run } = await api.call("StartRun", { workflowId });
    expect((await api.run({ entryNode: "end", nodes: { end } })).status).toBe("RUN_STATUS_COMPLETED");
    const done = await api.call("AwaitRun", { runId: run.runId, timeout: "60s" });
    expect(done.run).toMatchObject({
      status: "RUN_STATUS_FAILED",
      error: { code: "LIMIT_MAX_STEPS" },
      usage: { steps: 5_000 },
    });
  });

  test("schemas that would backtrack or recurse", async () => {
    const recursive = { $defs: { t: { anyOf: [{ $ref: "#/$defs/t" }, { $ref: "#/$defs/t" }] } }, $ref: "#/$defs/t" };
    for (const answerSchema of [{ pattern: "^(a+)+$" }, recursive]) {
      const nodes = { a: { askUser: { prompt: "?", answerSchema } } };
      const reply = await api.post(
        "RegisterWorkflow",
        JSON.stringify({ workflow: { workflowId: "schemas", entryNode: "a", nodes } }),
      );
      if (reply.status !== 200) {
        expect(parseRefusal(reply).reason).toBe("WORKFLOW_INVALID");
        continue;
      }
      const { run } = await api.call("StartRun", { workflowId: "schemas" });
      const payload = { answer: `${"a".repeat(50_000)}!` };
      const refusal = await api.refused("ResumeRun", { runId: run.runId, waitId: run.waiting!.waitId, payload });
      expect(refusal.reason).toBe("ANSWER_INVALID");
    }
  });
});

describe("tokens and cursors", () => {
  const lists: [
    method: "ListRuns" | "ListWaits" | "ListWorkflows" | "ListStepRecords",
    request: JsonObject,
    other: JsonObject,
  ][] = [
    ["ListRuns", {}, { filter: { workflowId: "asking" } }],
    ["ListWaits", { filter: { reasons: ALL_REASONS } }, { filter: { reasons: ["WAIT_REASON_USER"] } }],
    ["ListWorkflows", {}, { filter: { workflowId: "asking" } }],
    ["ListStepRecords", { runId: "answered" }, { runId: "asking" }],
  ];
  test.each(lists)(
    "%s: a page token that was changed, or belongs to another request",
    async (method, request, other) => {
      const { nextPageToken } = await api.call(method, { ...request, pageSize: 1 });
      expect(nextPageToken).toMatch(/./);
      const token = nextPageToken!;
      const flipped = token.slice(0, -3) + (token.at(-3) === "A" ? "B" : "A") + token.slice(-2);
      const bad: [JsonObject, string][] = [
        [request, flipped],
        [request, `A${token.slice(1)}`],
        [request, token.slice(0, 10)],
        [request, `${token}=`],
        [request, "%00"],
        [request, Buffer.from('[0,"z"]').toString("base64url")],
        [other, token],
      ];
      for (const [each, pageToken] of bad) {
        // The change may produce what was there already.
        if (each === request && pageToken === token) continue;
        expectRefusal(await api.refused(method, { ...each, pageSize: 1, pageToken }), {
          reason: "PAGE_TOKEN_INVALID",
          code: "invalid_argument",
        });
      }
      for (const [another, itsRequest] of lists) {
        if (another === method) continue;
        expect((await api.refused(another, { ...itsRequest, pageSize: 1, pageToken: token })).reason).toBe(
          "PAGE_TOKEN_INVALID",
        );
      }
      // Another size is another page of the same list.
      expect((await api.post(method, JSON.stringify({ ...request, pageSize: 2, pageToken: token }))).status).toBe(200);
    },
  );

  test("a cursor that was changed, or is a page token", async () => {
    const { nextPageToken } = await api.call("ListRuns", { pageSize: 1 });
    for (const cursor of ["x", "Beginning", nextPageToken!, "A".repeat(60), Buffer.from("[0]").toString("base64url")]) {
      const { messages, end } = await watchToEnd(server.url, "WatchRuns", { cursor });
      expect(messages).toEqual([]);
      expect(end.refusal, `of ${cursor}`).toMatchObject({
        reason: "CURSOR_INVALID",
        code: "invalid_argument",
        domain: "abstractruntime",
      });
    }
  });

  test("streams refuse values out of bounds too", async () => {
    const run = await watchToEnd(server.url, "WatchRun", { runId: "asking", afterSeq: -1 });
    expect(run.end.refusal).toMatchObject({ reason: "REQUEST_INVALID", fields: ["afterSeq"] });
    const runs = await watchToEnd(server.url, "WatchRuns", { kinds: ["NOTICE_KIND_UNSPECIFIED"], colour: "red" });
    expect(runs.end.refusal).toMatchObject({ reason: "REQUEST_INVALID" });
  });
});

describe("pages and hosts", () => {
  /** fetch sets Origin and Host itself, so these are sent by hand. */
  async function send(
    headers: Record<string, string | undefined>,
    { method = "POST", body = '{"runId":"asking"}' } = {},
  ) {
    const request = httpRequest(`${server.url}/${serviceOf("CancelRun")}/CancelRun`, {
      method,
      headers: { "content-type": "application/json", ...headers },
    });
    request.end(method === "POST" ? body : undefined);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() };
  }

  const rows: [what: string, headers: () => Record<string, string>, reason: string][] = [
    ["a page of another origin", () => ({ origin: "https://evil.example" }), "ORIGIN_REFUSED"],
    ["a page of no origin", () => ({ origin: "null" }), "ORIGIN_REFUSED"],
    ["a page of this machine on another port", () => ({ origin: "http://127.0.0.1:1" }), "ORIGIN_REFUSED"],
    [
      "a page of the same port by another scheme",
      () => ({ origin: `https://127.0.0.1:${server.port}` }),
      "ORIGIN_REFUSED",
    ],
    [
      "a page that says text/plain to be asked nothing",
      () => ({ origin: "https://evil.example", "content-type": "text/plain" }),
      "ORIGIN_REFUSED",
    ],
    ["a host whose name was rebound to this machine", () => ({ host: "evil.example" }), "HOST_REFUSED"],
    ["a host with our port", () => ({ host: `evil.example:${server.port}` }), "HOST_REFUSED"],
    ["a host that looks like us", () => ({ host: "127.0.0.1.evil.example" }), "HOST_REFUSED"],
  ];
  test.each(rows)("%s", async (_what, headers, reason) => {
    const before = await snapshot();
    const reply = await send(headers());
    expect(reply.status).toBe(403);
    expect(parseRefusal(reply)).toMatchObject({ code: "permission_denied", reason, domain: "abstractruntime" });
    expect(reply.headers["access-control-allow-origin"]).toBeUndefined();
    expect(await snapshot()).toBe(before);
  });

  test("a preflight of another origin is refused", async () => {
    const reply = await send(
      { origin: "https://evil.example", "access-control-request-method": "POST" },
      { method: "OPTIONS" },
    );
    expect(reply.status).toBe(403);
    expect(reply.headers["access-control-allow-origin"]).toBeUndefined();
    expect(reply.headers["access-control-allow-methods"]).toBeUndefined();
  });

  test("a page of the server's own origin, and localhost, are accepted", async () => {
    for (const headers of [
      { origin: `http://127.0.0.1:${server.port}` },
      { host: `localhost:${server.port}` },
      { host: "[::1]:80" },
    ]) {
      const reply = await send(headers, { body: '{"runId":"nobody"}' });
      expect(parseRefusal(reply).reason).toBe("RUN_UNKNOWN");
    }
  });
});

describe("a client that stops reading its stream", () => {
  const hangUps: (() => void)[] = [];
  afterAll(() => hangUps.forEach((hangUp) => hangUp()));

  // The server waits half a minute, and so must this test.
  test("is ended with STREAM_TOO_SLOW; others read on", { timeout: 300_000 }, async () => {
    const details = "d".repeat(900_000);
    const nodes = Object.fromEntries(
      Array.from({ length: 6 }, (_, index) => [
        `n${index}`,
        {
          answerUser: { message: `\${'${index}' + vars.text}` },
          next: [{ to: index === 5 ? "end" : `n${index + 1}` }],
        },
      ]),
    );
    const graph = { entryNode: "n0", nodes: { ...nodes, end: { complete: {} } } };
    const run = await api.run(graph, { vars: { text: details.slice(0, 60_000), pad: details } });
    const session = connectHttp2(server.url);
    hangUps.push(() => session.destroy());
    const slow = session.request({
      ":method": "POST",
      ":path": `/${serviceOf("WatchRun")}/WatchRun`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const trailers = once(slow, "trailers") as Promise<[Record<string, string>]>;
    const message = Buffer.from(run.runId);
    slow.end(envelope(Buffer.concat([Buffer.from([0x0a, message.length]), message])));
    await once(slow, "response");
    slow.pause();
    // Meanwhile another client reads the same run to its end, and steps go on.
    const { messages, end } = await watchToEnd(server.url, "WatchRun", { runId: run.runId });
    expect(messages.length).toBe(run.seq);
    expect(end.refusal).toBeUndefined();
    await server.logged("STREAM_TOO_SLOW");
    slow.resume();
    const [trailer] = await trailers;
    expect(trailer["grpc-status"]).toBe("8");
    const refusal: Refusal = {
      httpStatus: 200,
      code: "",
      message: "",
      reason: "",
      domain: "",
      metadata: {},
      fields: [],
      descriptions: [],
    };
    const status = Buffer.from(trailer["grpc-status-details-bin"] ?? "", "base64");
    expect(status.toString("latin1")).toContain("STREAM_TOO_SLOW");
    expect(status.toString("latin1")).toContain("google.rpc.RetryInfo");
    readDetail(refusal, "google.rpc.ErrorInfo", status);
    expect((await api.call("GetRun", { runId: run.runId })).run).toEqual(run);
  });
});
