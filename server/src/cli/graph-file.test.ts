import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import { Scope } from "@abstractruntime/proto/event_pb";
import { describe, expect, it } from "vitest";

import { CliError } from "./failure.ts";
import { loadGraph, parseGraph } from "./graph-file.ts";

const noInput = () => Promise.reject(new Error("nothing is piped in"));

/** The problems of a text, as `line:column: message`, without the source lines below each. */
function problemsOf(text: string, name = "graph.yaml"): string[] {
  try {
    parseGraph(name, text);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return error.message
      .split("\n")
      .filter((line) => line.startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 1));
  }
  return [];
}

/** A graph of one node `a`, whose lines begin at line 4. */
function graphWith(...nodeLines: string[]): string {
  return ["workflowId: w", "entryNode: a", "nodes:", ...nodeLines.map((line) => `  ${line}`)].join("\n");
}

describe("parseGraph reads", () => {
  it("YAML with either spelling of fields and either name of enum values", () => {
    const { workflow } = parseGraph(
      "graph.yaml",
      [
        "workflow_id: w",
        "entryNode: a",
        "nodes:",
        "  a:",
        "    emit_event: { name: go, scope: global, payload: { big: 1e3, nothing: null } }",
        "    next: [{ to: b }]",
        "  b:",
        "    toolCalls: { calls: [{ name: t }], onFailure: TOOL_FAILURE_AS_ERROR }",
        "    policy: { delivery: at_most_once, max_attempts: 1 }",
      ].join("\n"),
    );
    expect(workflow.workflowId).toBe("w");
    const kind = workflow.nodes["a"]?.kind;
    expect(kind?.case === "emitEvent" && kind.value.scope).toBe(Scope.GLOBAL);
    expect(workflow.nodes["b"]?.policy).toMatchObject({ delivery: Delivery.AT_MOST_ONCE, maxAttempts: 1 });
  });

  it("JSON, tabs and all", () => {
    const text = JSON.stringify(
      { workflowId: "w", entryNode: "a", nodes: { a: { complete: { output: "\u{1f600}/" } } } },
      null,
      "\t",
    );
    expect(parseGraph("graph.json", text).workflow.entryNode).toBe("a");
  });

  it("values that aliases repeat", () => {
    const { workflow } = parseGraph(
      "graph.yaml",
      graphWith(
        "a: { toolCalls: { calls: [{ name: t }] }, policy: &twice { maxAttempts: 2 }, next: [{ to: b }] }",
        "b: { toolCalls: { calls: [{ name: u }] }, policy: *twice }",
      ),
    );
    expect(workflow.nodes["b"]?.policy?.maxAttempts).toBe(2);
  });

  it("what is piped in", async () => {
    const graph = await loadGraph("-", () => Promise.resolve(graphWith("a: { complete: {} }")));
    expect(graph.workflow.workflowId).toBe("w");
  });

  it("dates, versions and yes as the strings that YAML 1.2 says they are", () => {
    const { workflow } = parseGraph("graph.yaml", graphWith("a: { complete: { output: [2026-01-01, 1.2.3, yes] } }"));
    const kind = workflow.nodes["a"]?.kind;
    const output = kind?.case === "complete" ? kind.value.output?.kind : undefined;
    expect(output?.case === "listValue" && output.value.values.map((value) => value.kind.value)).toEqual([
      "2026-01-01",
      "1.2.3",
      "yes",
    ]);
  });
});

it("takes a carriage return alone as the end of a line, and not as a part of a value", () => {
  const json =
    '{"workflowId":"w","entryNode":"a","nodes":{"a":{"assign":{"values":{"x":1\r,"y":[2\r]}},"next":[{"to":"b"}]},"b":{"complete":{}}}}';
  const yaml =
    "workflowId: w\rentryNode: a\rnodes:\r  a: {assign: {values: {x: 1, y: [2]}}, next: [{to: b}]}\r  b: {complete: {}}\r";
  for (const [name, text] of [
    ["g.json", json],
    ["g.yaml", json],
    ["g.yaml", yaml],
  ] as const) {
    const kind = parseGraph(name, text).workflow.nodes["a"]!.kind;
    expect(kind.case === "assign" && kind.value.values).toEqual({ x: 1, y: [2] });
  }
});

describe("parseGraph points to the line and column of", () => {
  const cases: { what: string; text: string; name?: string; problems: (string | RegExp)[] }[] = [
    { what: "an empty file", text: "# nothing\n", problems: [/^ the file is empty$/] },
    { what: "something else than an object", text: "hello", problems: ["1:1: must be an object"] },
    { what: "broken YAML", text: "a: b: c", problems: [/^1:4: /] },
    { what: "broken JSON", text: '{"workflowId": "x", \'a\': 1}', name: "g.json", problems: [/^1:21: is not JSON: /] },
    { what: "a comment in JSON", text: '{"workflowId": "x"} # no', name: "g.json", problems: [/^1:21: is not JSON: /] },
    {
      what: "a second document",
      text: "a: 1\n---\nb: 2",
      problems: ["2:1: this is a second document; a file must have only one"],
    },
    { what: "YAML 1.1", text: "%YAML 1.1\n---\na: yes", problems: ["1:1: YAML 1.1 is not supported; use YAML 1.2"] },
    { what: "a duplicate key", text: "a: 1\nb: 2\na: 3", problems: ['3:1: duplicate key "a"'] },
    { what: "__proto__", text: "a:\n  __proto__: 1", problems: ["2:3: the key __proto__ is not allowed"] },
    { what: "a custom tag", text: "a: !js 1", problems: [/^1:4: Unresolved tag: !js/] },
    { what: "binary", text: "a: !!binary aGk=", problems: [/^1:4: Unresolved tag/] },
    {
      what: "an inexact integer",
      text: "a: [1, 9007199254740993]",
      problems: [/^1:8: a double cannot hold this number exactly/],
    },
    { what: "infinity", text: "a: .inf", problems: ["1:4: the number is not finite"] },
    { what: "a number beyond doubles", text: "a: 1e999", problems: ["1:4: the number is not finite"] },
    { what: "a lone surrogate", text: 'a: "\\ud800"', problems: ["1:4: lone surrogate"] },
    { what: "U+0000", text: 'a: "\\u0000"', problems: ["1:4: U+0000 is not allowed"] },
    { what: "an alias without anchor", text: "a: *x", problems: ["1:4: there is no anchor &x before this alias"] },
    { what: "an alias in itself", text: "a: &x [*x]", problems: ["1:8: alias *x is inside its own anchor &x"] },
    {
      what: "aliases that multiply",
      text: [
        "a: &a [1,1,1,1,1,1,1,1,1,1]",
        ...["b", "c", "d", "e"].map((key, i) => `${key}: &${key} [${`*${"abcd"[i]},`.repeat(10)}]`),
      ].join("\n"),
      problems: [/aliases expand to more than 10000 values/],
    },
    {
      what: "deep nesting",
      text: `a: ${"[".repeat(70)}1${"]".repeat(70)}`,
      problems: ["1:67: more than 64 levels deep"],
    },
    { what: "endless nesting", text: "[".repeat(100_000), problems: [/is nested too deeply$/] },
    {
      what: "an unknown field, with a hint",
      text: graphWith("a: { askUser: { promt: hi } }"),
      problems: ["4:19: nodes.a.askUser.promt: unknown field; did you mean prompt?"],
    },
    {
      what: "a field one level too high",
      text: graphWith("a:", "  askUser: {}", "  prompt: hi"),
      problems: ["6:5: nodes.a.prompt: unknown field here; it belongs in askUser"],
    },
    {
      what: "a field of an empty message",
      text: graphWith("a: { handler: { x: 1 } }"),
      problems: [/^4:19: nodes\.a\.handler\.x: unknown field: this object has no fields/],
    },
    {
      what: "both spellings of a field",
      text: "workflowId: a\nworkflow_id: b",
      problems: [/^2:1: workflowId is given twice, in both spellings/],
    },
    {
      what: "two kinds",
      text: graphWith("a:", "  complete: {}", "  handler: {}"),
      problems: ["6:5: nodes.a: handler cannot be combined with complete"],
    },
    {
      what: "no kind",
      text: graphWith("a: {}"),
      problems: [/^4:3: nodes\.a: needs exactly one of askUser, waitUntil, /],
    },
    {
      what: "an empty kind",
      text: graphWith("a:", "  handler:"),
      problems: [/^5:13: nodes\.a\.handler: must be an object; write `{}`/],
    },
    {
      what: "a number for a string",
      text: graphWith("a: { waitUntil: { after: 90 } }"),
      problems: ['4:28: nodes.a.waitUntil.after: must be a string: write "90" in quotes'],
    },
    {
      what: "a list for a string",
      text: graphWith("a: { waitUntil: { after: [] } }"),
      problems: ["4:28: nodes.a.waitUntil.after: must be a string"],
    },
    {
      what: "a string for a bool",
      text: graphWith("a: { askUser: { prompt: p, allowFreeText: yes } }"),
      problems: [/^4:45: .*: must be true or false$/],
    },
    {
      what: "a fraction for an int32",
      text: graphWith("a: { handler: {}, policy: { maxAttempts: 1.5 } }"),
      problems: [/^4:44: .*: must be a whole number that fits in 32 bits$/],
    },
    {
      what: "a number beyond int32",
      text: graphWith("a: { handler: {}, policy: { maxAttempts: 2147483648 } }"),
      problems: [/^4:44: .*that fits in 32 bits$/],
    },
    { what: "a list where a map is needed", text: "nodes: []", problems: ["1:8: nodes: must be an object"] },
    {
      what: "a map where a list is needed",
      text: graphWith("a: { complete: {}, next: {} }"),
      problems: ["4:28: nodes.a.next: must be a list"],
    },
    {
      what: "an unknown enum value",
      text: graphWith("a: { emitEvent: { name: n, scope: everywhere } }"),
      problems: ["4:37: nodes.a.emitEvent.scope: must be one of run, session, workflow, global"],
    },
    {
      what: "the number of an enum value",
      text: graphWith("a: { emitEvent: { name: n, scope: 4 } }"),
      problems: [/^4:37: nodes\.a\.emitEvent\.scope: must be one of/],
    },
    {
      what: "a bound of the contract",
      text: graphWith("a: { handler: {}, policy: { maxAttempts: 5000 } }"),
      problems: [/^4:44: nodes\.a\.policy\.maxAttempts: /],
    },
    {
      what: "a bad node id",
      text: graphWith('"a b": { complete: {} }'),
      problems: [/^4:3: nodes\.a b: must be an id/],
    },
    {
      what: "a missing field",
      text: graphWith("a:", "  askUser:", "    timeout: 1h"),
      problems: ["5:5: nodes.a.askUser.prompt: is required"],
    },
  ];
  it.each(cases)("$what", ({ text, name, problems }) => {
    const found = problemsOf(text, name);
    expect(found).toHaveLength(problems.length);
    for (const [index, problem] of problems.entries()) expect(found[index]).toMatch(problem);
  });

  it("every problem at once, in the order of the file, with the line and a caret", () => {
    const text = graphWith("a: { askUser: { prompt: 1 }, next: [{ to: b, wen: x }] }");
    expect(() => parseGraph("graph.yaml", text)).toThrow(
      [
        'graph.yaml:4:27: nodes.a.askUser.prompt: must be a string: write "1" in quotes',
        "    4 |   a: { askUser: { prompt: 1 }, next: [{ to: b, wen: x }] }",
        "      |                           ^",
        "graph.yaml:4:48: nodes.a.next[0].wen: unknown field; did you mean when?",
        "    4 |   a: { askUser: { prompt: 1 }, next: [{ to: b, wen: x }] }",
        "      |                                                ^",
      ].join("\n"),
    );
  });

  it("a problem in a long line, whose surroundings alone are shown", () => {
    const text = `{"workflowId": "${"x".repeat(500)}", "wat": 1, "description": "${"y".repeat(500)}"}`;
    const message = messageOf(() => parseGraph("graph.json", text));
    const [place, source = "", caret = ""] = message.split("\n");
    expect(place).toBe(
      "graph.json:1:520: wat: unknown field; the fields are workflowId, version, digest, description, entryNode, nodes, varsSchema, defaultVars, onError, onCancel, limits, labels, commitEveryStep, current, archived, createTime, damage",
    );
    expect(source.length).toBeLessThan(200);
    expect(source.slice(caret.indexOf("^")).startsWith('"wat"')).toBe(true);
  });

  it("a problem behind wide characters, where the caret stands by columns of the terminal", () => {
    const message = messageOf(() =>
      parseGraph(
        "graph.yaml",
        "description: 日本\nx: 1"
          .replace("\nx", ", x")
          .replace("description: 日本, x: 1", "{ description: 日本, x: 1 }"),
      ),
    );
    const [, source = "", caret = ""] = message.split("\n");
    // Two characters before the x take two columns each.
    expect(caret.indexOf("^")).toBe(source.indexOf("x") + 2);
  });

  it("control characters, which it shows as escapes", () => {
    const message = messageOf(() => parseGraph("graph.yaml", 'x: "\u009b31m"'));
    expect(message).toContain("\\u009b");
    expect(message).not.toMatch(/\u009b/);
  });
});

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof CliError) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("describe shows where the server's problems are", () => {
  const graph = parseGraph(
    "graph.yaml",
    [
      "workflow_id: w",
      "entry_node: ask",
      "nodes:",
      "  ask:",
      "    ask_user: { prompt: hi }",
      "    next:",
      "      - { to: ask.more }",
      "      - to: done",
      "        when: vars.x",
      "  ask.more:",
      "    assign: { values: { a.b: 1 } }",
      "    next: [{ to: done }]",
      "  done: { complete: {} }",
    ].join("\n"),
  );
  it.each([
    ["nodes.ask.next[0].to", "7:15"],
    ["workflow.nodes.ask.next[0].to", "7:15"],
    ['workflow.nodes["ask"].next[1].when', "9:15"],
    ["nodes.ask.askUser.prompt", "5:25"],
    ["nodes.ask.ask_user.prompt", "5:25"],
    ["nodes.ask.askUser.timeout", "5:5"],
    ["nodes.ask.more.assign.values.a.b", "11:30"],
    ["nodes.ask.more", "10:3"],
    ["nodes.ask", "4:3"],
    ["nodes.ask.next[7].to", "6:5"],
    ["entryNode", "2:13"],
    ["varsSchema", "1:1"],
    ["", "1:1"],
  ])("%s", (path, place) => {
    expect(graph.describe([{ path, message: "wrong" }]).split("\n")[0]).toBe(
      `graph.yaml:${place}: ${path === "" ? "" : `${path}: `}wrong`,
    );
  });
});

describe("loadGraph says why it cannot read", () => {
  it("a file that does not exist", async () => {
    await expect(loadGraph("/nowhere/graph.yaml", noInput)).rejects.toThrow(
      "/nowhere/graph.yaml: cannot be read: no such file or directory",
    );
  });
});
