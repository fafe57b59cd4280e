import { describe, expect, test } from "vitest";

import { BOUNDS } from "./graph/gen/bounds.ts";
import { STEP_PLAN_SCHEMA } from "./graph/gen/step-plan-schema.ts";
import type { Json, JsonObject } from "./json/json.ts";
import { readStepPlan, type StepPlan } from "./step-plan.ts";
import type { TemplateValue } from "./template.ts";

function planOf(output: Json): StepPlan {
  const read = readStepPlan(output);
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.plan;
}

function problemsOf(output: Json): { path: string; message: string }[] {
  const read = readStepPlan(output);
  return "problems" in read ? read.problems : [];
}

/** Templates as what they evaluate to without any names: a literal needs none. */
function evaluated(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(evaluated);
  if (value === null || typeof value !== "object") return value;
  if ("evaluate" in value) return (value as TemplateValue).evaluate({});
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, evaluated(member)]));
}

function effectOf(output: JsonObject): unknown {
  const plan = planOf(output);
  if (plan.next !== "effect") throw new Error(`no effect but ${plan.next}`);
  const { answerValidator: _answerValidator, ...effect } = plan.effect as { answerValidator?: unknown };
  return evaluated(effect);
}

describe("effects", () => {
  test.each<[string, JsonObject, object]>([
    [
      "a question",
      { askUser: { prompt: "?" } },
      { type: "ask_user", prompt: "?", allowFreeText: false, assignees: [] },
    ],
    [
      "a question with everything, under the fields' own names",
      {
        ask_user: {
          prompt: "?",
          details: { a_b: 1 },
          choices: ["a", null],
          allow_free_text: true,
          answer_schema: { type: "string", min_length: 1 },
          assignees: ["ada"],
          timeout: "1h",
          default_answer: null,
        },
      },
      {
        type: "ask_user",
        prompt: "?",
        details: { a_b: 1 },
        choices: ["a", null],
        allowFreeText: true,
        answerSchema: { type: "string", min_length: 1 },
        assignees: ["ada"],
        timeout: "1h",
        defaultAnswer: null,
      },
    ],
    ["a pause", { waitUntil: { after: "90s" } }, { type: "wait_until", after: "90s" }],
    ["a time", { wait_until: { at: "2026-01-01T00:00:00Z" } }, { type: "wait_until", at: "2026-01-01T00:00:00Z" }],
    [
      "an event of the run",
      { waitEvent: { names: ["a", "b.*"] } },
      { type: "wait_event", names: ["a", "b.*"], scope: "run" },
    ],
    [
      "an event with everything",
      { wait_event: { names: ["*"], scope: "SCOPE_GLOBAL", key: "k", timeout: "1s" } },
      { type: "wait_event", names: ["*"], scope: "global", key: "k", timeout: "1s" },
    ],
    ["an event emitted", { emitEvent: { name: "a" } }, { type: "emit_event", name: "a", scope: "run" }],
    [
      "an event emitted with everything",
      { emit_event: { name: "a", scope: "session", key: "k", payload: null, event_id: "e-1" } },
      { type: "emit_event", name: "a", scope: "session", key: "k", payload: null, eventId: "e-1" },
    ],
    ["a message", { answerUser: { message: "Hello" } }, { type: "answer_user", message: "Hello" }],
    [
      "tool calls",
      { toolCalls: { calls: [{ name: "a" }] } },
      { type: "tool_calls", calls: [{ name: "a" }], requireApproval: false, failureIsError: false },
    ],
    [
      "tool calls with everything",
      {
        tool_calls: {
          calls: [
            { name: "a", arguments: { call_id: "kept" }, call_id: "c" },
            { name: "b", callId: "d" },
          ],
          require_approval: true,
          on_failure: "as_error",
        },
      },
      {
        type: "tool_calls",
        calls: [
          { name: "a", arguments: { call_id: "kept" }, callId: "c" },
          { name: "b", callId: "d" },
        ],
        requireApproval: true,
        failureIsError: true,
      },
    ],
    ["a custom effect", { custom: { type: "move" } }, { type: "custom", effectType: "move", payload: null }],
    [
      "a custom effect with its payload as it is",
      { custom: { type: "move", payload: { a_b: null, "": "" } } },
      { type: "custom", effectType: "move", payload: { a_b: null, "": "" } },
    ],
  ])("%s", (_what, output, effect) => {
    expect(effectOf(output)).toEqual(effect);
  });

  test("no text is evaluated", () => {
    const text = "${vars.secret} and $${x}";
    expect(
      effectOf({ askUser: { prompt: text, details: [text], choices: [text], assignees: [text], defaultAnswer: text } }),
    ).toMatchObject({ prompt: text, details: [text], choices: [text], assignees: [text], defaultAnswer: text });
    expect(effectOf({ toolCalls: { calls: [{ name: text, arguments: { a: text }, callId: text }] } })).toMatchObject({
      calls: [{ name: text, arguments: { a: text }, callId: text }],
    });
    expect(effectOf({ emitEvent: { name: text, key: text, payload: text } })).toMatchObject({
      name: text,
      key: text,
      payload: text,
    });
    expect(effectOf({ answerUser: { message: text } })).toMatchObject({ message: text });
    expect(effectOf({ custom: { type: text, payload: text } })).toMatchObject({ effectType: text, payload: text });
  });

  test.each([
    ["run", "run"],
    ["SESSION", "session"],
    ["Workflow", "workflow"],
    ["SCOPE_GLOBAL", "global"],
    ["SCOPE_UNSPECIFIED", "run"],
    ["unspecified", "run"],
    ["", "run"],
    [null, "run"],
  ])("the scope %j is %s", (scope, expected) => {
    expect(effectOf({ waitEvent: { names: ["a"], scope } })).toMatchObject({ scope: expected });
    expect(effectOf({ emitEvent: { name: "a", scope } })).toMatchObject({ scope: expected });
  });

  test.each([
    ["TOOL_FAILURE_AS_ERROR", true],
    ["AS_ERROR", true],
    ["as_error", true],
    ["TOOL_FAILURE_AS_DATA", false],
    ["as_data", false],
    ["TOOL_FAILURE_UNSPECIFIED", false],
    ["", false],
    [null, false],
  ])("on_failure %j fails the node: %s", (onFailure, failureIsError) => {
    expect(effectOf({ toolCalls: { calls: [{ name: "a" }], onFailure } })).toMatchObject({ failureIsError });
  });

  test("what is null or empty is not said", () => {
    const output = {
      askUser: {
        prompt: "?",
        allowFreeText: null,
        answerSchema: null,
        assignees: null,
        timeout: "",
      },
      waitUntil: null,
      toolCalls: null,
      resultKey: "",
      nextNode: null,
      fail: null,
      patch: null,
    };
    expect(planOf(output)).toMatchObject({ next: "effect", sequel: {}, patch: [] });
    expect(planOf(output).given).toEqual({ askUser: { prompt: "?" } });
    expect(effectOf({ emitEvent: { name: "a", key: "", eventId: "" } })).toEqual({
      type: "emit_event",
      name: "a",
      scope: "run",
    });
  });

  test.each<[string, JsonObject, object]>([
    ["nothing: the run is completed", {}, {}],
    ["a node", { next_node: "a" }, { to: "a" }],
    ["a place for the result", { resultKey: "a.b_c.0" }, { result_path: "/a/b_c/0" }],
    ["both", { result_key: "a", nextNode: "b" }, { result_path: "/a", to: "b" }],
  ])("are followed by %s", (_what, more, sequel) => {
    expect(planOf({ answerUser: { message: "Hello" }, ...more })).toMatchObject({ sequel });
  });
});

describe("plans without an effect", () => {
  test.each<[string, JsonObject, object]>([
    ["go to a node", { nextNode: "a" }, { next: "node", to: "a" }],
    ["go to a node, under the field's own name", { next_node: "a" }, { next: "node", to: "a" }],
    ["complete the run", { completeOutput: { a_b: "" } }, { next: "complete" }],
    ["complete the run with null", { complete_output: null }, { next: "complete" }],
    ["fail the run", { fail: { code: "C", message: "m" } }, { next: "fail", code: "C", message: "m" }],
    ["fail the run without a message", { fail: { code: "C" } }, { next: "fail", code: "C", message: "" }],
  ])("%s", (_what, output, plan) => {
    expect(planOf(output)).toMatchObject({ ...plan, patch: [] });
  });

  test("are kept under their JSON names, with values as they are", () => {
    expect(planOf({ complete_output: { a_b: null } }).given).toEqual({ completeOutput: { a_b: null } });
  });
});

describe("patches", () => {
  test("take their values from what was given", () => {
    const plan = planOf({
      next_node: "a",
      patch: [
        { op: "set", path: "/a~1b/0", value: { a_b: "${x}" } },
        { op: "APPEND", path: "/list", values: [null, ""] },
        { op: "PATCH_OP_KIND_UNSET", path: "/c" },
        { op: "Set", path: "", value: {} },
        { op: "PATCH_OP_KIND_SET", path: "/n", value: null },
        { op: "append", path: "/list", values: [] },
      ],
    });
    expect(plan.patch).toEqual([
      { op: "set", path: "/a~1b/0", of: "given", at: "/patch/0/value" },
      { op: "append", path: "/list", of: "given", at: "/patch/1/values" },
      { op: "unset", path: "/c" },
      { op: "set", path: "", of: "given", at: "/patch/3/value" },
      { op: "set", path: "/n", of: "given", at: "/patch/4/value" },
      { op: "append", path: "/list", of: "given", at: "/patch/5/values" },
    ]);
    expect(plan.given).toEqual({
      nextNode: "a",
      patch: [
        { op: "set", path: "/a~1b/0", value: { a_b: "${x}" } },
        { op: "append", path: "/list", values: [null, ""] },
        { op: "unset", path: "/c" },
        { op: "set", value: {} },
        { op: "set", path: "/n", value: null },
        { op: "append", path: "/list", values: [] },
      ],
    });
  });
});

const STEP_PLAN_FIELDS = { toolCall: true, ...(STEP_PLAN_SCHEMA.properties as JsonObject) };
const call = { name: "a" };
const ops = (length: number) => Array.from({ length }, () => ({ op: "unset", path: "/a" }));

describe("refused, with the place", () => {
  test.each<[string, Json, string, RegExp]>([
    ["null", null, "", /must be an object/],
    ["text", "nextNode", "", /must be an object/],
    ["a list", [], "", /must be an object/],
    ["nothing", {}, "", /must set one of nextNode, completeOutput, fail, or an effect/],
    [
      "only a patch",
      { patch: [{ op: "unset", path: "/a" }] },
      "",
      /must set one of nextNode, completeOutput, fail, or an effect/,
    ],
    ["only a result key", { resultKey: "a" }, "resultKey", /needs an effect/],
    ["a member that is not known", { nextNode: "a", after: "b" }, "", /"after"/],
    ["a member that is not known and has an underscore", { nextNode: "a", run_after: "b" }, "", /"run_after"/],
    ["a member __proto__", JSON.parse('{ "nextNode": "a", "__proto__": 1 }') as JsonObject, "", /"__proto__"/],
    ["a member _Proto__", { nextNode: "a", _Proto__: 1 }, "", /"_Proto__"/],
    ["a member under both names", { nextNode: "a", next_node: "b" }, "", /"next_node"/],
    ["a member under both names, the other way round", { next_node: "b", nextNode: "a" }, "", /"next_node"/],
    ["a kind that is no effect", { assign: { values: {} } }, "", /"assign"/],
    ["a handler", { handler: {} }, "", /"handler"/],
    ["two effects", { answerUser: { message: "m" }, custom: { type: "t" } }, "", /answerUser and custom/],
    ["two ends", { nextNode: "a", completeOutput: 1 }, "", /nextNode and completeOutput/],
    [
      "an effect and an output",
      { answerUser: { message: "m" }, completeOutput: 1 },
      "completeOutput",
      /cannot be combined with an effect/,
    ],
    [
      "an effect and a failure",
      { answerUser: { message: "m" }, fail: { code: "C" } },
      "fail",
      /cannot be combined with an effect/,
    ],
    ["a node that is no text", { nextNode: 1 }, "nextNode", /string/],
    ["a result key that is no path", { answerUser: { message: "m" }, resultKey: "a..b" }, "resultKey", /segment/],
    ["a result key that is too long", { answerUser: { message: "m" }, resultKey: "a".repeat(257) }, "resultKey", /256/],
    ["a failure without a code", { fail: { message: "m" } }, "fail.code", /is required/],
    ["a failure with an empty code", { fail: { code: "" } }, "fail.code", /is required/],
    ["a failure with more", { fail: { code: "C", retryable: true } }, "fail", /"retryable"/],
    ["a failure that is text", { fail: "C" }, "fail", /object/],
    ["a question without a prompt", { askUser: {} }, "askUser.prompt", /is required/],
    ["a question with an empty prompt", { askUser: { prompt: "" } }, "askUser.prompt", /is required/],
    ["no choice", { askUser: { prompt: "?", choices: [] } }, "askUser.choices", /needs at least one choice/],
    [
      "choices that are none",
      { askUser: { prompt: "?", choices: "${vars.list}" } },
      "askUser.choices",
      /must be a list/,
    ],
    ["choices null", { askUser: { prompt: "?", choices: null } }, "askUser.choices", /must be a list/],
    [
      "a schema that is none",
      { askUser: { prompt: "?", answerSchema: { type: "x" } } },
      "askUser.answerSchema.type",
      /./,
    ],
    ["a schema that is a boolean", { askUser: { prompt: "?", answerSchema: true } }, "askUser.answerSchema", /object/],
    ["an assignee that is no text", { askUser: { prompt: "?", assignees: [1] } }, "askUser.assignees[0]", /string/],
    ["a timeout that is none", { askUser: { prompt: "?", timeout: "soon" } }, "askUser.timeout", /is not a duration/],
    [
      "a timeout that is an expression",
      { askUser: { prompt: "?", timeout: "${'1s'}" } },
      "askUser.timeout",
      /is not a duration/,
    ],
    ["a question with more", { askUser: { prompt: "?", title: "t" } }, "askUser", /"title"/],
    ["an effect that is text", { askUser: "?" }, "askUser", /object/],
    ["a pause without a time", { waitUntil: {} }, "waitUntil", /exactly one of at, after/],
    ["a pause with two", { waitUntil: { at: "2026-01-01T00:00:00Z", after: "1s" } }, "waitUntil", /exactly one/],
    ["a pause that is none", { waitUntil: { after: "1" } }, "waitUntil.after", /is not a duration/],
    ["a time that is none", { waitUntil: { at: "noon" } }, "waitUntil.at", /RFC 3339/],
    ["no event", { waitEvent: {} }, "waitEvent.names", /at least one/],
    ["an empty list of events", { waitEvent: { names: [] } }, "waitEvent.names", /at least one/],
    ["too many events", { waitEvent: { names: Array<string>(17).fill("a") } }, "waitEvent.names", /16/],
    ["an event with * inside", { waitEvent: { names: ["a", "a*b"] } }, "waitEvent.names[1]", /only at its end/],
    ["an event without a name", { waitEvent: { names: [""] } }, "waitEvent.names[0]", /must not be empty/],
    ["a scope that is none", { waitEvent: { names: ["a"], scope: "world" } }, "waitEvent.scope", /SCOPE_GLOBAL/],
    ["a scope that is a number", { emitEvent: { name: "a", scope: 1 } }, "emitEvent.scope", /SCOPE_GLOBAL/],
    ["an emitted event without a name", { emitEvent: { payload: 1 } }, "emitEvent.name", /is required/],
    ["an emitted event with *", { emitEvent: { name: "a*" } }, "emitEvent.name", /may not contain/],
    ["an event id that is none", { emitEvent: { name: "a", eventId: "/" } }, "emitEvent.eventId", /is not an id/],
    ["a prompt of more bytes", { askUser: { prompt: "é".repeat(8_193) } }, "askUser.prompt", /1 to 16384 bytes/],
    ["a prompt that is too long", { askUser: { prompt: "x".repeat(16_385) } }, "askUser.prompt", /1 to 16384 bytes/],
    ["an empty assignee", { askUser: { prompt: "?", assignees: ["a", ""] } }, "askUser.assignees[1]", /1 to 256 char/],
    [
      "an assignee that is too long",
      { askUser: { prompt: "?", assignees: ["x".repeat(257)] } },
      "askUser.assignees[0]",
      /1 to 256 characters/,
    ],
    [
      "too many assignees",
      { askUser: { prompt: "?", assignees: Array<string>(65).fill("a") } },
      "askUser.assignees",
      /64/,
    ],
    [
      "an event with a control character",
      { waitEvent: { names: ["a", "a\u0000*"] } },
      "waitEvent.names[1]",
      /1 to 200 characters without control characters/,
    ],
    [
      "an event whose name is too long",
      { waitEvent: { names: ["x".repeat(201)] } },
      "waitEvent.names[0]",
      /1 to 200 characters/,
    ],
    [
      "an emitted event with a control character",
      { emitEvent: { name: "a\n" } },
      "emitEvent.name",
      /1 to 200 characters without \* and control/,
    ],
    [
      "an emitted event whose name is too long",
      { emitEvent: { name: "x".repeat(201) } },
      "emitEvent.name",
      /1 to 200 characters/,
    ],
    [
      "an event key that is too long",
      { emitEvent: { name: "a", key: "x".repeat(257) } },
      "emitEvent.key",
      /at most 256 characters/,
    ],
    ["a message of more bytes", { answerUser: { message: "é".repeat(32_769) } }, "answerUser.message", /65536 bytes/],
    ["a custom effect with a control character", { custom: { type: "a\tb" } }, "custom.type", /control character/],
    ["no message", { answerUser: {} }, "answerUser.message", /is required/],
    ["no calls", { toolCalls: {} }, "toolCalls", /exactly one of calls/],
    ["an empty list of calls", { toolCalls: { calls: [] } }, "toolCalls", /exactly one of calls/],
    ["calls from an expression", { toolCalls: { callsFrom: "vars.calls" } }, "toolCalls", /"callsFrom"/],
    ["calls that are none", { toolCalls: { calls: call } }, "toolCalls.calls", /array/],
    ["a call that is none", { toolCalls: { calls: ["a"] } }, "toolCalls.calls[0]", /object/],
    ["a call without a name", { toolCalls: { calls: [call, {}] } }, "toolCalls.calls[1].name", /is required/],
    ["a call with more", { toolCalls: { calls: [{ name: "a", args: {} }] } }, "toolCalls.calls[0]", /"args"/],
    [
      "arguments that are text",
      { toolCalls: { calls: [{ name: "a", arguments: "${x}" }] } },
      "toolCalls.calls[0].arguments",
      /object/,
    ],
    [
      "a call id that is none",
      { toolCalls: { calls: [{ name: "a", call_id: 7 }] } },
      "toolCalls.calls[0].callId",
      /string/,
    ],
    [
      "an on_failure that is none",
      { toolCalls: { calls: [call], onFailure: "IGNORE" } },
      "toolCalls.onFailure",
      /TOOL_FAILURE_AS_DATA/,
    ],
    [
      "an approval that is none",
      { toolCalls: { calls: [call], requireApproval: "yes" } },
      "toolCalls.requireApproval",
      /boolean/,
    ],
    ["a custom effect without a type", { custom: { payload: 1 } }, "custom.type", /is required/],
    ["a custom effect with a long type", { custom: { type: "t".repeat(129) } }, "custom.type", /128/],
    ["a patch that is none", { nextNode: "a", patch: {} }, "patch", /array/],
    ["too many operations", { nextNode: "a", patch: ops(1_001) }, "patch", /1000/],
    ["an operation that is none", { nextNode: "a", patch: ["set"] }, "patch[0]", /object/],
    ["an operation without a kind", { nextNode: "a", patch: [{ path: "/a" }] }, "patch[0].op", /set, append or unset/],
    [
      "an operation that is not known",
      { nextNode: "a", patch: [{ op: "move", path: "/a" }] },
      "patch[0].op",
      /set, append or unset/,
    ],
    [
      "an unspecified operation",
      { nextNode: "a", patch: [{ op: "PATCH_OP_KIND_UNSPECIFIED" }] },
      "patch[0].op",
      /set, append/,
    ],
    [
      "a path that is none",
      { nextNode: "a", patch: [{ op: "unset", path: "a" }] },
      "patch[0].path",
      /must begin with \//,
    ],
    ["a set without a value", { nextNode: "a", patch: [{ op: "set", path: "/a" }] }, "patch[0].value", /is required/],
    [
      "an append without values",
      { nextNode: "a", patch: [{ op: "append", path: "/a" }] },
      "patch[0].values",
      /is required/,
    ],
    [
      "an append of what is no list",
      { nextNode: "a", patch: [{ op: "append", path: "/a", values: 1 }] },
      "patch[0].values",
      /array/,
    ],
    [
      "a set of what the ledger holds",
      { nextNode: "a", patch: [{ op: "set", path: "/a", of: "given" }] },
      "patch[0]",
      /"of"/,
    ],
  ])("%s", (_what, output, path, message) => {
    const problems = problemsOf(output);
    expect(problems).toContainEqual({ path, message: expect.stringMatching(message) as string });
  });

  /** A plan for each text of a plan that the contract has a pattern for. */
  const unmatched: { [field: string]: JsonObject } = {
    "stepPlan.resultKey": { answerUser: { message: "m" }, resultKey: "a\n" },
    "waitEvent.names": { waitEvent: { names: ["a\n"] } },
    "emitEvent.name": { emitEvent: { name: "a\n" } },
    "custom.type": { custom: { type: "a\n" } },
  };
  const patterned = Object.entries(BOUNDS)
    .filter(([name]) => name === "stepPlan" || name === "patchOp" || name in STEP_PLAN_FIELDS)
    .flatMap(([name, fields]) => Object.entries(fields).map(([field, bounds]) => [`${name}.${field}`, bounds] as const))
    .filter(([, bounds]) => JSON.stringify(bounds).includes('"pattern"'))
    .map(([field]) => field)
    // Compared with the handler node's edges, whose targets are ids.
    .filter((field) => field !== "stepPlan.nextNode");

  test.each(patterned)("a text against the pattern of %s", (field) => {
    expect(unmatched).toHaveProperty([field]);
    expect(problemsOf(unmatched[field]!)).not.toEqual([]);
  });

  test("not 1,000 operations", () => {
    expect(planOf({ nextNode: "a", patch: ops(1_000) }).patch.length).toBe(1_000);
  });

  test("every problem at once", () => {
    const output = {
      askUser: { prompt: "?", choices: [], timeout: "soon" },
      completeOutput: 1,
      fail: { code: "C" },
      patch: [{ op: "set" }],
    };
    expect(problemsOf(output).map(({ path }) => path)).toEqual([
      "",
      "patch[0].value",
      "completeOutput",
      "askUser.choices",
      "askUser.timeout",
    ]);
  });
});
