import type { FieldProblem } from "../errors.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import type { WorkflowNode } from "../graph/graph.ts";
import type { NodeKind } from "../nodes/node.ts";
import type { GraphAllowances } from "./graph-allowances.ts";
import { NODES } from "../nodes/nodes.ts";
import { pointerFromDotted } from "../json/pointer.ts";
import { type At, compileBare, createKindPlace, templatesWithin } from "./place.ts";
import { compilePolicy } from "./policy.ts";

/** The kinds that a definition sets. A valid node has exactly one. */
export function kindsOf(definition: NodeDefinition): NodeKind[] {
  return NODES.filter(({ key }) => definitionOf(definition, key) !== undefined);
}

function definitionOf(definition: NodeDefinition, key: string): unknown {
  return (definition as { [key: string]: unknown })[key];
}

/** Compiles one node, and reports the problems within it. */
export function compileNode(
  nodeId: string,
  definition: NodeDefinition,
  { at, problems, allowances }: { at: At; problems: FieldProblem[]; allowances: GraphAllowances },
): WorkflowNode | undefined {
  const path = `nodes.${nodeId}`;
  const kinds = kindsOf(definition);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    const found = kinds.length === 0 ? "none" : kinds.map(({ key }) => key).join(", ");
    const known = NODES.map(({ key }) => key).join(", ");
    problems.push({ path, message: `a node has exactly one kind (${known}); found ${found}` });
    return undefined;
  }
  const place = createKindPlace(`${path}.${kind.key}`, {
    at,
    problems,
    source: templatesWithin(allowances),
    allowances,
  });
  const compiled = kind.compile(definitionOf(definition, kind.key) as never, place);
  const { resultKey } = definition;
  if (resultKey && !kind.hasResult) problems.push({ path: `${path}.resultKey`, message: `${kind.key} has no result` });
  const resultPointer = resultKey && at(`${path}.resultKey`, () => pointerFromDotted(resultKey));
  const next = (definition.next ?? []).map((edge, index) => {
    const source = edge.when;
    const when = source ? at(`${path}.next[${index}].when`, () => compileBare(source, allowances)) : undefined;
    return { to: edge.to, ...(when ? { when } : {}) };
  });
  if (definition.policy !== undefined && kind.calls === undefined) {
    problems.push({ path: `${path}.policy`, message: `does not apply to ${kind.key}, which starts no jobs` });
  }
  const policy = compilePolicy(definition.policy, `${path}.policy`, { at, allowances });
  if (compiled === undefined) return undefined;
  return {
    nodeId,
    kind: compiled,
    ...(resultPointer ? { resultPointer } : {}),
    next,
    ...(definition.onError ? { onError: definition.onError } : {}),
    policy,
  };
}
