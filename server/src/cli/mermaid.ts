/** Draws a workflow as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html). */
import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import type { Assign, Node } from "@abstractruntime/proto/node_pb";
import type { Workflow } from "@abstractruntime/proto/workflow_pb";

import { safeLine } from "./terminal.ts";
import { enumShortName } from "./values.ts";

/** How much of a prompt or name a node shows; a diagram is an overview, and the graph has the text. */
const DETAIL_CHARS_MAX = 60;
/** How much of a condition an edge shows. */
const CONDITION_CHARS_MAX = 120;

/** The brackets that give a node its shape, by its kind: what waits for a person is slanted, for a time a hexagon, for an
 *  event a flag; tools and handlers have the walls of a subroutine; ends are round. */
const SHAPES: Readonly<Record<NonNullable<Node["kind"]["case"]>, readonly [open: string, close: string]>> = {
  askUser: ["[/", "/]"],
  answerUser: ["[\\", "\\]"],
  waitUntil: ["{{", "}}"],
  waitEvent: [">", "]"],
  emitEvent: ["[/", "\\]"],
  toolCalls: ["[[", "]]"],
  custom: ["[[", "]]"],
  handler: ["[[", "]]"],
  assign: ["[", "]"],
  complete: ["([", "])"],
  fail: ["([", "])"],
};

/** The Mermaid text of a workflow, ending in a line break. Nodes are numbered in the order of the graph, since Mermaid gives a
 *  meaning to some ids, such as `end`. Edges on errors are dashed; the entry has a dot before it. */
export function renderMermaid(workflow: Workflow): string {
  const names = new Map(Object.keys(workflow.nodes).map((nodeId, index) => [nodeId, `n${index}`]));
  const nodeName = (nodeId: string) => names.get(nodeId);
  const lines = ["flowchart TD"];
  for (const [nodeId, node] of Object.entries(workflow.nodes))
    lines.push(`  ${nodeLine(nodeName(nodeId) ?? "", nodeId, node)}`);

  const link = (from: string, arrow: string, target: string): void => {
    const to = nodeName(target);
    // A graph that is not checked yet may name a node that it lacks.
    if (to === undefined)
      lines.push(`  ${from} ${arrow} missing(["missing node ${label(target, DETAIL_CHARS_MAX)}"]):::fail`);
    else lines.push(`  ${from} ${arrow} ${to}`);
  };
  const enter = (name: string, open: string, target: string, arrow: string): void => {
    if (target === "") return;
    lines.push(`  ${name}${open}`);
    link(name, arrow, target);
  };
  enter("entry", "(( )):::entry", workflow.entryNode, "-->");
  enter("on_error", '(["any other failure"]):::aside', workflow.onError, "-.->");
  enter("on_cancel", '(["cancel"]):::aside', workflow.onCancel, "-.->");

  let hasImplicitEnd = false;
  for (const [nodeId, node] of Object.entries(workflow.nodes)) {
    const from = nodeName(nodeId) ?? "";
    for (const edge of node.next)
      link(from, edge.when === "" ? "-->" : `-->|"${label(edge.when, CONDITION_CHARS_MAX)}"|`, edge.to);
    if (node.onError !== "") link(from, '-.->|"on error"|', node.onError);
    const ends = node.next.length === 0 && node.kind.case !== "complete" && node.kind.case !== "fail";
    if (ends) lines.push(`  ${from} --> completed`);
    hasImplicitEnd ||= ends;
  }
  if (hasImplicitEnd) lines.push('  completed(["completed with the result"]):::done');
  lines.push(
    "  classDef entry fill:#333,stroke:#333",
    "  classDef aside stroke-dasharray:4 3",
    "  classDef wait fill:#fff3cd,stroke:#b58900,color:#333",
    "  classDef done fill:#d4edda,stroke:#2e7d32,color:#333",
    "  classDef fail fill:#f8d7da,stroke:#c62828,color:#333",
  );
  return `${lines.join("\n")}\n`;
}

function nodeLine(name: string, nodeId: string, node: Node): string {
  const [open, close] = node.kind.case === undefined ? ["[", "]"] : SHAPES[node.kind.case];
  const detail = nodeDetail(node);
  const text = [label(nodeId, 128), ...(detail === "" ? [] : [label(detail, DETAIL_CHARS_MAX)])].join("<br/>");
  return `${name}${open}"${text}"${close}${classOf(node)}`;
}

function classOf({ kind }: Node): string {
  switch (kind.case) {
    case "askUser":
    case "waitUntil":
    case "waitEvent":
      return ":::wait";
    case "complete":
      return ":::done";
    case "fail":
      return ":::fail";
    default:
      return "";
  }
}

/** What a node does, in a few words. */
export function nodeDetail({ kind }: Node): string {
  switch (kind.case) {
    case "askUser":
      return `asks: ${kind.value.prompt}`;
    case "answerUser":
      return `says: ${kind.value.message}`;
    case "waitUntil":
      return kind.value.time.case === "after"
        ? `waits ${kind.value.time.value}`
        : `waits until ${kind.value.time.value ?? "?"}`;
    case "waitEvent":
      return `waits for ${kind.value.names.join(" or ")}${scopeText(kind.value.scope)}`;
    case "emitEvent":
      return `emits ${kind.value.name}${scopeText(kind.value.scope)}`;
    case "toolCalls":
      return kind.value.callsFrom === ""
        ? `calls ${kind.value.calls.map((call) => call.name).join(", ")}`
        : `calls ${kind.value.callsFrom}`;
    case "custom":
      return `effect ${kind.value.type}`;
    case "handler":
      return "handler";
    case "assign":
      return `sets ${assigned(kind.value)}`;
    case "complete":
      return "completes";
    case "fail":
      return `fails: ${kind.value.code}`;
    case undefined:
      return "";
  }
}

function assigned(assign: Assign): string {
  const paths = [...Object.keys(assign.values ?? {}), ...Object.keys(assign.append ?? {}), ...assign.unset];
  return paths.length === 0 ? "nothing" : paths.join(", ");
}

function scopeText(scope: number): string {
  return scope === 0 ? "" : ` (${enumShortName(ScopeSchema, scope)})`;
}

/** Text inside a quoted Mermaid label. Everything that Mermaid, Markdown or HTML could take for markup becomes an entity. */
function label(text: string, charsMax: number): string {
  const characters = Array.from(safeLine(text));
  const short = characters.length > charsMax ? `${characters.slice(0, charsMax).join("")}…` : characters.join("");
  return short.replace(/["#&<>`*~\\|;{}$^%]|\b_\B|\B_\b|\B_\B/g, (character) => `#${character.codePointAt(0)};`);
}
