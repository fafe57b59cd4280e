import { describe, expect, test } from "vitest";

import { DomainError, type FieldProblem } from "../errors.ts";
import { checkLimits } from "../graph/limits.ts";
import { compileWorkflow, workflowDigest } from "./workflow.ts";
import type { NodeDefinition, WorkflowDefinition } from "../graph/definition.ts";

function problemsOf(definition: WorkflowDefinition): readonly FieldProblem[] {
  try {
    compileWorkflow(definition);
    return [];
  } catch (error) {
    if (error instanceof DomainError && error.reason === "WORKFLOW_INVALID") return error.problems;
    throw error;
  }
}

/** A valid graph with `node` in its middle. */
function around(node: NodeDefinition, rest: Partial<WorkflowDefinition> = {}): WorkflowDefinition {
  const isEnd = node.complete !== undefined || node.fail !== undefined;
  const nodes = {
    first: { assign: { values: { a: 1 } }, next: [{ to: "it", when: "vars.a == 1" }, { to: "end" }] },
    it: { ...(isEnd ? {} : { next: [{ to: "end" }] }), ...node },
    end: { complete: {} },
  };
  return { workflowId: "flow", entryNode: "first", nodes, ...rest };
}

const ask = { prompt: "Well?" };

describe("a valid graph compiles", () => {
  test("with a handler of several edges: they are what its step plans may name", () => {
    const workflow = compileWorkflow(around({ handler: {}, next: [{ to: "end" }, { to: "first" }] }));
    expect(workflow.nodes.get("it")!.next.map(({ to }) => to)).toEqual(["end", "first"]);
  });

  test.each<[string, NodeDefinition]>([
    ["assign", { assign: { values: { "a.b": "${vars.a}" }, append: { c: 1 }, unset: ["d"] } }],
    [
      "a question with choices",
      { askUser: { ...ask, choices: ["a"], timeout: "3d", answerSchema: { type: "string" } } },
    ],
    ["a question whose choices are a template", { askUser: { ...ask, choices: "${vars.list}", timeout: "${vars.t}" } }],
    ["a time", { waitUntil: { at: "2030-01-01T00:00:00+02:00" } }],
    ["a time from a template", { waitUntil: { at: "${vars.at}" } }],
    ["a duration", { waitUntil: { after: "1h30m" } }],
    [
      "events",
      { waitEvent: { names: ["a", "b.*", "*", "${vars.a * 2}"], scope: "SCOPE_GLOBAL", key: "k", timeout: "1s" } },
    ],
    ["an event to emit", { emitEvent: { name: "${string(vars.a * 2)}", payload: { a: "${vars.a}" }, eventId: "e-1" } }],
    ["a message", { answerUser: { message: "Hello" } }],
    ["tool calls", { toolCalls: { calls: [{ name: "pay", arguments: { a: "${vars.a}" }, callId: "c" }] } }],
    ["tool calls from an expression", { toolCalls: { callsFrom: "vars.calls" }, policy: { timeout: "5m" } }],
    ["a custom effect", { custom: { type: "robot.move", payload: "${vars}" } }],
    ["a handler", { handler: {} }],
    ["an end", { complete: { output: { a: "${vars.a}" } } }],
    ["a failure", { fail: { code: "X", message: "${vars.a}" } }],
    ["an effect as an end", { answerUser: { message: "bye" }, next: [] }],
    ["a result key, handlers", { handler: {}, resultKey: "a.b", onError: "end" }],
  ])("%s", (_what, node) => {
    const workflow = compileWorkflow(around(node), 3);
    expect(workflow.version).toBe(3);
    expect(workflow.nodes.get("it")!.nodeId).toBe("it");
  });

  test("a circle that rests, or that an edge leaves", () => {
    const wait = { waitUntil: { after: "1d" }, next: [{ to: "say" }] };
    const say = { answerUser: { message: "still here" }, next: [{ to: "wait" }] };
    expect(problemsOf({ workflowId: "f", entryNode: "wait", nodes: { wait, say } })).toEqual([]);
    const loop = { assign: { values: { a: 1 } }, next: [{ to: "loop", when: "vars.a < 3" }, { to: "end" }] };
    expect(problemsOf({ workflowId: "f", entryNode: "loop", nodes: { loop, end: { complete: {} } } })).toEqual([]);
  });

  test("nodes that only handlers lead to", () => {
    const rest = { onError: "rescue", onCancel: "undo" };
    const definition = around({ handler: {} }, rest);
    Object.assign(definition.nodes, { rescue: { complete: {} }, undo: { complete: {} } });
    expect(problemsOf(definition)).toEqual([]);
  });
});

describe("each problem is told once, with its path", () => {
  test.each<[string, NodeDefinition, string, RegExp]>([
    ["no kind", {}, "nodes.it", /exactly one kind .* found none/],
    ["two kinds", { handler: {}, complete: {} }, "nodes.it", /found handler, complete/],
    ["a missing target", { handler: {}, next: [{ to: "nowhere" }] }, "nodes.it.next[0].to", /no node "nowhere"/],
    ["an edge without target", { handler: {}, next: [{ to: "" }] }, "nodes.it.next[0].to", /is required/],
    ["a missing handler", { handler: {}, onError: "nowhere" }, "nodes.it.onError", /no node "nowhere"/],
    ["a bad condition", { handler: {}, next: [{ to: "end", when: "vars.(" }] }, "nodes.it.next[0].when", /./],
    [
      "a condition on a name that is none",
      { handler: {}, next: [{ to: "end", when: "var.x" }] },
      "nodes.it.next[0].when",
      /var/,
    ],
    [
      "edges behind one that always holds",
      { answerUser: { message: "Hi" }, next: [{ to: "end" }, { to: "first", when: "true" }, { to: "first" }] },
      "nodes.it.next[1]",
      /follows an edge without a condition/,
    ],
    ["an end with an edge", { complete: {}, next: [{ to: "end" }] }, "nodes.it.next", /ends the run/],
    ["a failure with an edge", { fail: { code: "X" }, next: [{ to: "end" }] }, "nodes.it.next", /ends the run/],
    ["assign without an edge", { assign: { values: {} }, next: [] }, "nodes.it.next", /cannot be the last node/],
    [
      "a result key of what has no result",
      { assign: { values: {} }, resultKey: "a" },
      "nodes.it.resultKey",
      /no result/,
    ],
    ["a result key of an end", { complete: {}, resultKey: "a" }, "nodes.it.resultKey", /complete has no result/],
    ["a bad result key", { handler: {}, resultKey: "a..b" }, "nodes.it.resultKey", /segment is empty/],
    ["a result key through __proto__", { handler: {}, resultKey: "__proto__.x" }, "nodes.it.resultKey", /__proto__/],
    ["a bad template", { complete: { output: "${vars.(}" } }, "nodes.it.complete.output", /./],
    [
      "a template that is not closed",
      { answerUser: { message: "Hi ${vars.a" } },
      "nodes.it.answerUser.message",
      /not closed/,
    ],
    [
      "a bad template deep in a value",
      { complete: { output: { a: [1, { "odd name": "${nope}" }] } } },
      'nodes.it.complete.output.a[1]["odd name"]',
      /nope/,
    ],
    ["no prompt", { askUser: {} }, "nodes.it.askUser.prompt", /is required/],
    ["a bad duration", { askUser: { ...ask, timeout: "soon" } }, "nodes.it.askUser.timeout", /not a duration/],
    ["no choices", { askUser: { ...ask, choices: [] } }, "nodes.it.askUser.choices", /needs at least one choice/],
    ["choices that are no list", { askUser: { ...ask, choices: "yes" } }, "nodes.it.askUser.choices", /must be a list/],
    [
      "a bad schema",
      { askUser: { ...ask, answerSchema: { type: "strin" } } },
      "nodes.it.askUser.answerSchema.type",
      /./,
    ],
    [
      "a schema that leads outside",
      { askUser: { ...ask, answerSchema: { $ref: "https://example.com/s" } } },
      "nodes.it.askUser.answerSchema.$ref",
      /stay within the schema/,
    ],
    ["a bad assignee", { askUser: { ...ask, assignees: ["a", "${"] } }, "nodes.it.askUser.assignees[1]", /./],
    ["no time", { waitUntil: {} }, "nodes.it.waitUntil", /exactly one of at, after/],
    ["two times", { waitUntil: { at: "${vars.a}", after: "1s" } }, "nodes.it.waitUntil", /exactly one of at, after/],
    ["a bad time", { waitUntil: { at: "2030-02-30T00:00:00Z" } }, "nodes.it.waitUntil.at", /does not exist/],
    ["a time without offset", { waitUntil: { at: "2030-01-01" } }, "nodes.it.waitUntil.at", /RFC 3339/],
    ["a wait of no duration", { waitUntil: { after: "3 days" } }, "nodes.it.waitUntil.after", /not a duration/],
    ["no event name", { waitEvent: { names: [] } }, "nodes.it.waitEvent.names", /at least one/],
    ["an empty event name", { waitEvent: { names: ["a", ""] } }, "nodes.it.waitEvent.names[1]", /must not be empty/],
    ["a * in a name", { waitEvent: { names: ["a*b"] } }, "nodes.it.waitEvent.names[0]", /only at its end/],
    ["a bad key", { waitEvent: { names: ["a"], key: "${" } }, "nodes.it.waitEvent.key", /./],
    ["a pattern to emit", { emitEvent: { name: "a*" } }, "nodes.it.emitEvent.name", /may not contain/],
    ["no name to emit", { emitEvent: {} }, "nodes.it.emitEvent.name", /is required/],
    [
      "an event id that is none",
      { emitEvent: { name: "a", eventId: "a b" } },
      "nodes.it.emitEvent.eventId",
      /is not an id/,
    ],
    ["no message", { answerUser: {} }, "nodes.it.answerUser.message", /is required/],
    ["no calls", { toolCalls: {} }, "nodes.it.toolCalls", /exactly one of calls, callsFrom/],
    ["calls twice", { toolCalls: { calls: [{ name: "a" }], callsFrom: "[]" } }, "nodes.it.toolCalls", /exactly one/],
    [
      "a call without name",
      { toolCalls: { calls: [{ name: "a" }, {}] } },
      "nodes.it.toolCalls.calls[1].name",
      /required/,
    ],
    [
      "a bad argument",
      { toolCalls: { calls: [{ name: "a", arguments: { x: "${(}" } }] } },
      "nodes.it.toolCalls.calls[0].arguments.x",
      /./,
    ],
    ["a bad callsFrom", { toolCalls: { callsFrom: "[" } }, "nodes.it.toolCalls.callsFrom", /./],
    ["no custom type", { custom: { payload: 1 } }, "nodes.it.custom.type", /is required/],
    ["no failure code", { fail: { message: "x" } }, "nodes.it.fail.code", /is required/],
    ["a bad path", { assign: { values: { "a b": 1 } } }, "nodes.it.assign.values.a b", /segments must be/],
    ["a path written twice", { assign: { values: { a: 1 }, unset: ["a"] } }, "nodes.it.assign", /writes \/a twice/],
    [
      "a path and a part of it",
      { assign: { values: { "a.b": 1 }, append: { a: 1 } } },
      "nodes.it.assign",
      /part of it/,
    ],
    [
      "a bad policy",
      { handler: {}, policy: { maxBackoff: "a while" } },
      "nodes.it.policy.maxBackoff",
      /not a duration/,
    ],
  ])("%s", (_what, node, path, message) => {
    expect(problemsOf(around(node))).toEqual([{ path, message: expect.stringMatching(message) as string }]);
  });

  test.each<[string, Partial<WorkflowDefinition>, string, RegExp]>([
    ["no entry", { entryNode: "" }, "entryNode", /is required/],
    ["an entry that is not there", { entryNode: "nowhere" }, "entryNode", /no node "nowhere"/],
    ["an on_error that is not there", { onError: "nowhere" }, "onError", /no node/],
    ["an on_cancel that is not there", { onCancel: "nowhere" }, "onCancel", /no node/],
    ["a bad vars schema", { varsSchema: { type: 1 } }, "varsSchema.type", /./],
    ["a bad run_timeout", { limits: { runTimeout: "forever" } }, "limits.runTimeout", /not a duration/],
  ])("%s", (_what, rest, path, message) => {
    expect(problemsOf(around({ handler: {} }, rest))).toEqual([
      { path, message: expect.stringMatching(message) as string },
    ]);
  });

  test("nodes that nothing leads to, and circles that nothing leaves", () => {
    const definition = around({ handler: {} });
    definition.nodes["island"] = { complete: {} };
    definition.nodes["round"] = { assign: { values: {} }, next: [{ to: "about" }] };
    definition.nodes["about"] = { emitEvent: { name: "a" }, next: [{ to: "round", when: "vars.a" }, { to: "about" }] };
    definition.nodes["it"]!.onError = "round";
    expect(problemsOf(definition)).toEqual([
      { path: "nodes.island", message: "unreachable: no path leads to this node" },
      { path: "nodes.round", message: expect.stringMatching(/can never end/) as string },
      { path: "nodes.about", message: expect.stringMatching(/can never end/) as string },
    ]);
  });

  describe("one cause is one problem, without echoes:", () => {
    const step = (...next: string[]): NodeDefinition => ({
      assign: {},
      next: next.map((to) => ({ to, when: "vars.a" })),
    });
    const chain = { b: step("c"), c: step("d"), d: step("e"), e: step("end"), end: { complete: {} } };
    test.each<[string, Partial<WorkflowDefinition>, string[]]>([
      ["a missing target before five nodes", { nodes: { a: step("missing"), ...chain } }, ["nodes.a.next[0].to"]],
      ["an empty target", { nodes: { a: step(""), ...chain } }, ["nodes.a.next[0].to"]],
      ["a node without its next", { nodes: { a: { assign: {} }, ...chain } }, ["nodes.a.next"]],
      ["a node without a kind", { nodes: { a: {}, ...chain } }, ["nodes.a"]],
      [
        "a missing on_error of a node",
        { nodes: { a: { ...step("a2"), onError: "x" }, a2: { complete: {} }, ...chain } },
        ["nodes.a.onError"],
      ],
      ["a missing on_error", { onError: "x", nodes: { a: { complete: {} }, ...chain } }, ["onError"]],
      ["a missing entry", { entryNode: "x", nodes: chain }, ["entryNode"]],
      ["a chain that nothing leads to", { nodes: { a: { complete: {} }, ...chain } }, ["nodes.b"]],
      [
        "two chains that nothing leads to",
        { nodes: { a: { complete: {} }, x: step("y"), y: step("end"), ...chain } },
        ["nodes.x", "nodes.b"],
      ],
      [
        "a circle that nothing leads to, with a tail",
        { nodes: { a: { complete: {} }, tail: { complete: {} }, b: step("c"), c: step("d"), d: step("b", "tail") } },
        ["nodes.b", "nodes.c", "nodes.d"],
      ],
      [
        "a way into a circle",
        { nodes: { a: step("b"), b: step("c"), c: step("d"), d: step("c") } },
        ["nodes.c", "nodes.d"],
      ],
      [
        "an edge that cannot be read",
        { nodes: { a: { assign: {}, next: [{ to: "b", when: "(" }] }, ...chain } },
        ["nodes.a.next[0].when"],
      ],
    ])("%s", (_what, rest, paths) => {
      const problems = problemsOf({ workflowId: "flow", entryNode: "a", nodes: {}, ...rest });
      expect(problems.map(({ path }) => path)).toEqual(paths);
    });
  });

  test("all of them at once, of every sort", () => {
    const definition = around({ complete: { output: ["${(}", "${)}"] } }, { varsSchema: { type: 1 } });
    definition.nodes["island"] = { fail: {} };
    expect(problemsOf(definition).map(({ path }) => path)).toEqual([
      "nodes.it.complete.output[0]",
      "nodes.it.complete.output[1]",
      "nodes.island.fail.code",
      "nodes.island",
      "varsSchema.type",
    ]);
  });

  test("as many as are shown, and how many there are", () => {
    const nodes = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`n${n}`, { complete: { output: "${" } }]));
    try {
      compileWorkflow({ workflowId: "flow", entryNode: "n0", nodes });
      expect.fail("it was not refused");
    } catch (error) {
      expect((error as DomainError).problems.length).toBe(100);
      expect(Number((error as DomainError).metadata["problems"])).toBeGreaterThanOrEqual(150);
    }
  });
});

describe("the digest", () => {
  const definition = around({ complete: { output: { b: 1, a: "x" } } }, { defaultVars: { z: 1, y: 2 } });

  // printf of {"entryNode":"say","nodes":{"say":{"complete":{"output":"Hello"}}},"workflowId":"hello"} into sha256sum.
  test("is fixed for a graph, from the first release on", () => {
    const hello: WorkflowDefinition = {
      workflowId: "hello",
      entryNode: "say",
      nodes: { say: { complete: { output: "Hello" } } },
    };
    expect(workflowDigest(hello)).toBe("998bfbd60fb695cede04011c43456fabbc98909b4fb9d1b01265e3ec5b685a28");
  });

  test.each<[string, WorkflowDefinition]>([
    ["the description", { ...definition, description: "words" }],
    ["the labels", { ...definition, labels: { team: "finance" } }],
    ["the order of names", JSON.parse(JSON.stringify(definition, sortedNames)) as WorkflowDefinition],
  ])("does not change with %s", (_what, other) => {
    expect(workflowDigest(other)).toBe(workflowDigest(definition));
    expect(compileWorkflow(other).digest).toBe(workflowDigest(definition));
  });

  test.each<[string, WorkflowDefinition]>([
    ["the id", { ...definition, workflowId: "other" }],
    ["default vars", { ...definition, defaultVars: { z: 1, y: 3 } }],
    ["a limit", { ...definition, limits: { maxSteps: 5 } }],
    ["a node", { ...definition, nodes: { ...definition.nodes, it: { complete: { output: 1 } } } }],
    ["when it commits", { ...definition, commitEveryStep: true }],
  ])("changes with %s", (_what, other) => {
    expect(workflowDigest(other)).not.toBe(workflowDigest(definition));
  });
});

test("limits are checked below the path that holds them", () => {
  const problems: FieldProblem[] = [];
  checkLimits(undefined, "limits", problems);
  checkLimits({ runTimeout: "1h", maxSteps: 3 }, "limits", problems);
  expect(problems).toEqual([]);
  checkLimits({ runTimeout: "1 h" }, "request.limits", problems);
  expect(problems.map(({ path }) => path)).toEqual(["request.limits.runTimeout"]);
});

function sortedNames(_name: string, value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
