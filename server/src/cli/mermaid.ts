/** Draws a workflow as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html). */
import { type Node, NodeSchema } from "@abstractruntime/proto/node_pb";
import type { Workflow } from "@abstractruntime/proto/workflow_pb";
import { create, toJson } from "@bufbuild/protobuf";

import type { NodeKind } from "../core/nodes/node.ts";
import { NODES } from "../core/nodes/nodes.ts";
import { safeLine } from "./terminal.ts";

/** How much of a prompt or name a node shows; a diagram is only an overview. */
const DETAIL_CHARS_MAX = 60;
/** How much of a condition an edge shows. */
const CONDITION_CHARS_MAX = 120;

/** The Mermaid text of a workflow, ending in a line break. Nodes are numbered in the order of the graph, since some
 *  ids, such as `end`, have a meaning in Mermaid. Error edges are dashed; the entry has a dot before it. */
export function renderMermaid(workflow: Workflow): string {
  const names = new Map(Object.keys(workflow.nodes).map((nodeId, index) => [nodeId, `n${index}`]));
  const nodeName = (nodeId: string) => names.get(nodeId);
  const lines = ["flowchart TD"];
  for (const [nodeId, node] of Object.entries(workflow.nodes))
    lines.push(`  ${nodeLine(nodeName(nodeId) ?? "", nodeId, node)}`);

  const link = (from: string, arrow: string, target: string): void => {
    const to = nodeName(target);
    // An unchecked graph may name a node that does not exist.
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
    const ends = node.next.length === 0 && kindOf(node)?.kind.isEnd !== true;
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

/** The kind of a node, with its definition in proto JSON. Undefined if this release does not know the kind. */
function kindOf({ kind }: Node): { kind: NodeKind; definition: never } | undefined {
  const found = NODES.find(({ key }) => key === kind.case);
  if (found === undefined) return undefined;
  const json = toJson(NodeSchema, create(NodeSchema, { kind })) as { [key: string]: unknown };
  return { kind: found, definition: json[found.key] as never };
}

function nodeLine(name: string, nodeId: string, node: Node): string {
  const drawing = kindOf(node)?.kind.drawing ?? { shape: ["[", "]"] };
  const [open, close] = drawing.shape;
  const detail = nodeDetail(node);
  const text = [label(nodeId, 128), ...(detail === "" ? [] : [label(detail, DETAIL_CHARS_MAX)])].join("<br/>");
  return `${name}${open}"${text}"${close}${drawing.class === undefined ? "" : `:::${drawing.class}`}`;
}

/** What a node does, in a few words. */
export function nodeDetail(node: Node): string {
  const found = kindOf(node);
  return found === undefined ? "" : found.kind.summary(found.definition);
}

/** Text for a quoted Mermaid label. Everything that Mermaid, Markdown or HTML could read as markup becomes an
 *  entity. */
function label(text: string, charsMax: number): string {
  const characters = Array.from(safeLine(text));
  const short = characters.length > charsMax ? `${characters.slice(0, charsMax).join("")}…` : characters.join("");
  return short.replace(/["#&<>`*~\\|;{}$^%]|\b_\B|\B_\b|\B_\B/g, (character) => `#${character.codePointAt(0)};`);
}
