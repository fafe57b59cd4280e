/** Checks the edges of a graph: targets exist, every node is reachable, and every node can reach an end. */
import type { FieldProblem } from "../errors.ts";
import type { NodeDefinition, WorkflowDefinition } from "../graph/definition.ts";
import { kindsOf } from "./node.ts";

/** Reports targets that do not exist, and edges that no run can take. */
export function checkTargets(definition: WorkflowDefinition, problems: FieldProblem[]): void {
  const known = (nodeId: string) => Object.hasOwn(definition.nodes ?? {}, nodeId);
  const check = (path: string, target: string | undefined) => {
    if (target && !known(target)) problems.push({ path, message: `there is no node "${target}"` });
  };
  if (!definition.entryNode) problems.push({ path: "entryNode", message: "is required" });
  check("entryNode", definition.entryNode);
  check("onError", definition.onError);
  check("onCancel", definition.onCancel);
  for (const [nodeId, node] of Object.entries(definition.nodes ?? {})) {
    const path = `nodes.${nodeId}.next`;
    const edges = node.next ?? [];
    check(`nodes.${nodeId}.onError`, node.onError);
    for (const [index, edge] of edges.entries()) {
      if (!edge.to) problems.push({ path: `${path}[${index}].to`, message: "is required" });
      check(`${path}[${index}].to`, edge.to);
    }
    checkEdges(node, path, problems);
  }
}

function checkEdges(node: NodeDefinition, path: string, problems: FieldProblem[]): void {
  const edges = node.next ?? [];
  const kinds = kindsOf(node);
  if (kinds.some(({ isEnd }) => isEnd) && edges.length > 0)
    problems.push({ path, message: "a node that ends the run has no next node" });
  const transformation = kinds.find(({ hasResult, isEnd }) => !hasResult && !isEnd);
  if (transformation !== undefined && edges.length === 0) {
    const message = `${transformation.key} cannot be the last node: add a next node, such as a complete node`;
    problems.push({ path, message });
  }
  // The edges of a handler node only list the nodes that its step plans may name.
  if (kinds.some(({ choosesItsEdge }) => choosesItsEdge)) return;
  const open = edges.findIndex((edge) => !edge.when);
  if (open !== -1 && open < edges.length - 1) {
    problems.push({ path: `${path}[${open + 1}]`, message: "unreachable: it follows an edge without a condition" });
  }
}

/** Reports nodes that no path leads to, and nodes from which a run can neither end nor rest. Only causes are reported:
 *  not what lies behind such a node, and no unreachable node while a target is missing that may have led to it. */
export function checkPaths(definition: WorkflowDefinition, problems: FieldProblem[]): void {
  const nodes = definition.nodes ?? {};
  // Targets that do not exist are problems of their own.
  const isNode = (nodeId: string | undefined): nodeId is string => nodeId !== undefined && Object.hasOwn(nodes, nodeId);
  const successors = (nodeId: string): string[] => {
    const node = nodes[nodeId]!;
    const targets = [...(node.next ?? []).map((edge) => edge.to), ...(node.onError ? [node.onError] : [])];
    return targets.filter(isNode);
  };
  const entries = [definition.entryNode, definition.onError, definition.onCancel].filter(isNode);
  const reached = closure(entries, successors);
  const leadingTo = new Map<string, string[]>();
  const predecessors = (nodeId: string): string[] => leadingTo.get(nodeId) ?? [];
  for (const nodeId of Object.keys(nodes)) {
    for (const target of successors(nodeId)) {
      const known = leadingTo.get(target);
      if (known === undefined) leadingTo.set(target, [nodeId]);
      else known.push(nodeId);
    }
  }
  // A node with an edge to nowhere has that problem, not this one.
  const mayEnd = (node: NodeDefinition) =>
    rests(node) || !(node.next ?? []).every((edge) => isNode(edge.to)) || !node.next?.length;
  const ends = Object.keys(nodes).filter((nodeId) => mayEnd(nodes[nodeId]!));
  const ending = closure(ends, predecessors);
  const isWhole = [definition.onError, definition.onCancel].every((target) => !target || isNode(target));
  const mayLeadOn =
    !isWhole || !isNode(definition.entryNode) || [...reached].some((id) => lacksTarget(nodes[id]!, isNode));
  const unreached = mayLeadOn ? [] : Object.keys(nodes).filter((nodeId) => !reached.has(nodeId));
  for (const nodeId of causesOf(unreached, successors, predecessors)) {
    problems.push({ path: `nodes.${nodeId}`, message: "unreachable: no path leads to this node" });
  }
  const endless = Object.keys(nodes).filter((nodeId) => !ending.has(nodeId));
  for (const nodeId of causesOf(endless, predecessors, successors)) {
    const message = "a run that reaches this node can never end: every path loops back without waiting for anything";
    problems.push({ path: `nodes.${nodeId}`, message });
  }
}

/** Whether a target of the node is missing, so that nobody knows where it was to lead. */
function lacksTarget(node: NodeDefinition, isNode: (nodeId: string | undefined) => boolean): boolean {
  const edges = node.next ?? [];
  if (edges.some(({ to }) => !isNode(to)) || (node.onError && !isNode(node.onError))) return true;
  return edges.length === 0 && !kindsOf(node).some(({ isEnd, hasResult }) => isEnd || hasResult);
}

/** The causes among some nodes: `forth` leads from them to all others, and `back` leads back. A circle is a cause as a
 *  whole. In linear time, by the order in which a search leaves the nodes: a node is left after all that lie behind
 *  it. */
function causesOf(
  some: readonly string[],
  forth: (nodeId: string) => readonly string[],
  back: (nodeId: string) => readonly string[],
): string[] {
  const isOne = new Set(some);
  const left = new Set<string>();
  const entered = new Set<string>();
  for (const start of some) {
    const pending = [start];
    for (let nodeId = pending.at(-1); nodeId !== undefined; nodeId = pending.at(-1)) {
      if (entered.has(nodeId)) {
        pending.pop();
        left.add(nodeId);
        continue;
      }
      entered.add(nodeId);
      pending.push(...forth(nodeId).filter((next) => isOne.has(next) && !entered.has(next)));
    }
  }
  const explained = new Set<string>();
  const firsts: string[] = [];
  for (const nodeId of [...left].toReversed()) {
    if (explained.has(nodeId)) continue;
    firsts.push(nodeId);
    for (const each of closure([nodeId], (id) => forth(id).filter((next) => isOne.has(next) && !explained.has(next)))) {
      explained.add(each);
    }
  }
  // Nothing but its own circle leads to the first node of a cause.
  const causes = closure(firsts, (nodeId) => back(nodeId).filter((each) => isOne.has(each)));
  return some.filter((nodeId) => causes.has(nodeId));
}

/** The nodes that can be reached from `starts`, including `starts`. */
function closure(starts: readonly string[], next: (nodeId: string) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const pending = [...starts];
  for (let nodeId = pending.pop(); nodeId !== undefined; nodeId = pending.pop()) {
    if (found.has(nodeId)) continue;
    found.add(nodeId);
    pending.push(...next(nodeId));
  }
  return found;
}

/** Whether a run rests at the node. A loop through such a node waits, so it may be endless. */
function rests(node: NodeDefinition): boolean {
  return kindsOf(node).some((kind) => kind.rests);
}
