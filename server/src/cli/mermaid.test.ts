import { describe, expect, it } from "vitest";

import { parseGraph } from "./graph-file.ts";
import { renderMermaid } from "./mermaid.ts";

function linesOf(...nodes: string[]): string[] {
  const text = ["workflowId: w", "entryNode: a", "nodes:", ...nodes.map((node) => `  ${node}`)].join("\n");
  return renderMermaid(parseGraph("graph.yaml", text).workflow)
    .split("\n")
    .map((line) => line.trim());
}

describe("renderMermaid", () => {
  it.each([
    ["a: { askUser: { prompt: Who? } }", 'n0[/"a<br/>asks: Who?"/]:::wait'],
    ["a: { waitUntil: { after: 3s } }", 'n0{{"a<br/>waits 3s"}}:::wait'],
    ["a: { waitUntil: { at: x } }", 'n0{{"a<br/>waits until x"}}:::wait'],
    ["a: { waitEvent: { names: [x, y.*], scope: global } }", 'n0>"a<br/>waits for x or y.#42; (global)"]:::wait'],
    ["a: { emitEvent: { name: x } }", 'n0[/"a<br/>emits x"\\]'],
    ["a: { answerUser: { message: hi } }", 'n0[\\"a<br/>says: hi"\\]'],
    ["a: { toolCalls: { calls: [{ name: t }, { name: u }] } }", 'n0[["a<br/>calls t, u"]]'],
    ["a: { custom: { type: print } }", 'n0[["a<br/>effect print"]]'],
    ["a: { handler: {} }", 'n0[["a<br/>handler"]]'],
    ["a: { complete: {} }", 'n0(["a<br/>completes"]):::done'],
    ["a: { fail: { code: NO } }", 'n0(["a<br/>fails: NO"]):::fail'],
  ])("draws %s", (node, line) => {
    expect(linesOf(node)).toContain(line);
  });

  it("marks the entry, draws conditions, and errors dashed", () => {
    const lines = linesOf(
      "b: { complete: {} }",
      `a: { handler: {}, next: [{ to: b, when: "vars.x < 2 && vars.s == \\"y\\"" }, { to: a }], onError: c }`,
      "c: { fail: { code: NO } }",
    );
    expect(lines[0]).toBe("flowchart TD");
    expect(lines).toContain("entry --> n1");
    expect(lines).toContain('n1 -->|"vars.x #60; 2 #38;#38; vars.s == #34;y#34;"| n0');
    expect(lines).toContain("n1 --> n1");
    expect(lines).toContain('n1 -.->|"on error"| n2');
  });

  it("draws the end of an effect without edges, and of nothing else", () => {
    expect(linesOf("a: { handler: {} }")).toContain("n0 --> completed");
    expect(linesOf("a: { complete: {} }").join("\n")).not.toContain("completed");
  });

  it("draws the workflow's own on_error and on_cancel", () => {
    const text =
      "workflowId: w\nentryNode: a\nonError: b\nonCancel: c\nnodes: { a: { handler: {} }, b: { complete: {} }, c: { complete: {} } }";
    const lines = renderMermaid(parseGraph("graph.yaml", text).workflow);
    expect(lines).toContain("on_error -.-> n1");
    expect(lines).toContain("on_cancel -.-> n2");
  });

  it("lets no text become markup", () => {
    const line = linesOf('a: { askUser: { prompt: "]/ \\" %%{init} <b> `x` $$1$$ \\n # ; end" } }').find((text) =>
      text.startsWith("n0"),
    );
    expect(line).toMatch(/^n0\[\/"a<br\/>asks: [^"<>`%$;{}]*(?:#\d+;[^"<>`%$;{}]*)*"\/\]:::wait$/);
  });

  it("shortens long prompts visibly", () => {
    expect(linesOf(`a: { askUser: { prompt: ${"x".repeat(100)} } }`)).toContain(
      `n0[/"a<br/>asks: ${"x".repeat(54)}…"/]:::wait`,
    );
  });

  it("draws a node that is missing as missing", () => {
    expect(linesOf("a: { handler: {}, next: [{ to: nowhere }] }")).toContain(
      'n0 --> missing(["missing node nowhere"]):::fail',
    );
  });
});
