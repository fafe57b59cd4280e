import { describe, expect, test } from "vitest";
import { DomainError, type FieldProblem } from "../errors.ts";
import type { NodeDefinition, WorkflowDefinition } from "../graph/definition.ts";
import type { JsonObject } from "../json/json.ts";
import { compileInPieces, compileWorkflow } from "./workflow.ts";

/** A graph of nodes in a row. */
function graphOf(count: number, node: (index: number) => NodeDefinition): WorkflowDefinition {
  const nodes: { [nodeId: string]: NodeDefinition } = { end: { complete: {} } };
  for (let i = 0; i < count; i++) nodes[`n${i}`] = { ...node(i), next: [{ to: i + 1 < count ? `n${i + 1}` : "end" }] };
  return { workflowId: "w", entryNode: "n0", nodes };
}

function problemsOf(graph: WorkflowDefinition): readonly FieldProblem[] {
  try {
    compileWorkflow(graph);
    return [];
  } catch (error) {
    if (error instanceof DomainError && error.reason === "WORKFLOW_INVALID") return error.problems;
    throw error;
  }
}

const asks = (answerSchema: JsonObject): NodeDefinition => ({ askUser: { prompt: "?", answerSchema } });
const matches = (pattern: string): NodeDefinition => ({
  assign: { values: { a: `\${matches("x", ${JSON.stringify(pattern)})}` } },
});
const members = (count: number): JsonObject => ({
  properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, {}])),
});

describe("each piece is within its bounds, and the graph is not", () => {
  test.each<[string, WorkflowDefinition, RegExp, string]>([
    [
      "patterns of expressions",
      graphOf(60, (i) => matches(`a{900}b${i}`)),
      /^nodes\.n5\d\.assign\.values\.a$/,
      "the regular expressions of this graph are too large in total: at most 50000 RE2 instructions",
    ],
    [
      "patterns of schemas",
      graphOf(60, (i) => asks({ properties: { a: { pattern: `a{900}b${i}` } } })),
      /^nodes\.n5\d\.askUser\.answerSchema\.properties\.a\.pattern$/,
      "the regular expressions of this graph are too large in total: at most 50000 RE2 instructions",
    ],
    [
      "subschemas",
      graphOf(60, () => asks(members(900))),
      /^nodes\.n55\.askUser\.answerSchema\.properties\.p\d+$/,
      "the schemas of this graph are too large in total: at most 50000 subschemas",
    ],
    [
      "bytes of schemas",
      graphOf(20, (i) => asks({ description: "x".repeat(60_000 + i) })),
      /^nodes\.n17\.askUser\.answerSchema$/,
      "the schemas of this graph are too large in total: at most 1048576 bytes",
    ],
    [
      "expressions",
      graphOf(160, () => ({ assign: { values: { a: `\${"${"x".repeat(8_000)}"}` } } })),
      /^nodes\.n13\d\.assign\.values\.a$/,
      "the expressions of this graph are too long in total: at most 1048576 characters",
    ],
  ])("%s", (_, graph, path, message) => {
    const [first] = problemsOf(graph);
    expect(first).toEqual({ path: expect.stringMatching(path) as string, message });
  });

  test("30 nodes with 700 subschemas each are accepted", () => {
    expect(problemsOf(graphOf(30, () => asks(members(699))))).toEqual([]);
  });
});

// These took seconds to minutes, or the memory of the process, before they were refused or accepted.
describe("a graph that was slow or large to compile", () => {
  const nested = `(${"a".repeat(900)}){1000}`;
  test.each<[string, WorkflowDefinition, number]>([
    ["counted repetition of long groups", graphOf(900, (i) => matches(`${nested}${i}`)), 100],
    ["counted repetition of alternatives", graphOf(900, () => matches("(?:a|b|c){0,1000}".repeat(58))), 100],
    ["ranges whose case is ignored", graphOf(900, () => matches(`(?i)[${"A-\u{1E942}".repeat(200)}]`)), 100],
    [
      "templates that are wrong",
      graphOf(1, () => ({ assign: { values: { a: Array<string>(200_000).fill("${)}") } } })),
      100,
    ],
    [
      "paths to write",
      graphOf(1, () => ({
        assign: { values: Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, 1])) },
      })),
      0,
    ],
    ["edges to one node", graphOf(1, () => ({ assign: { values: { a: 1 } } })), 0],
  ])("%s", (name, graph, problems) => {
    if (name === "edges to one node") {
      for (let i = 0; i < 990; i++) {
        const edges = Array.from({ length: 63 }, () => ({ to: "end", when: "true" }));
        graph.nodes[`m${i}`] = {
          assign: { values: { a: 1 } },
          next: [...edges, { to: i < 989 ? `m${i + 1}` : "end" }],
        };
      }
      graph.nodes["n0"] = { assign: { values: { a: 1 } }, next: [{ to: "m0" }] };
    }
    expect(problemsOf(graph)).toHaveLength(problems);
  });
});

test("a graph is compiled in pieces, so that others may have a turn between them", () => {
  const pieces = compileInPieces(graphOf(10, () => asks({})));
  let count = 0;
  while (pieces.next().done !== true) count++;
  expect(count).toBe(11);
});

test.each<[string, NodeDefinition["assign"]]>([
  ["a place twice", { values: { "a.b": 1 }, append: { "a.b": 1 } }],
  ["a place and a part of it", { values: { "a.b.c": 1 }, unset: ["a"] }],
])("assign refuses to write %s", (_, assign) => {
  expect(problemsOf(graphOf(1, () => ({ assign: assign! })))[0]?.message).toContain("twice");
});
