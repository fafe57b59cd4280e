/** Nodes as a workflow's author writes them: built by a function, or as plain objects in the contract's form, such as
 *  `{ askUser: { prompt: "…" }, next: [{ to: "pay" }] }`. */
import effects from "./effects/effects.ts";
import { type BuiltNode, built, type EffectSettings, type JobSettings, type NodeJson, type NodeTypes } from "./node.ts";
import type { KindTypesOf, TakesOf } from "./node-kind.ts";
import type { HandlerNode } from "./nodes/handler.ts";
import nodes from "./nodes/nodes.ts";

const KINDS = { ...effects, ...nodes };
type Kinds = typeof KINDS;

/** A node as the contract writes it. */
export type PlainNode = EffectSettings &
  JobSettings & { readonly json?: never } & {
    [Name in keyof Kinds]: { readonly [Member in Name]: TakesOf<Kinds[Name]> };
  }[keyof Kinds];

export type Node<Vars = unknown, Output = unknown> = HandlerNode<Vars, Output> | BuiltNode | PlainNode;

/** What the compiler knows of any node. */
export type TypesOf<N> = N extends BuiltNode<infer Types> ? Types : N extends PlainNode ? PlainTypes<N> : NodeTypes;

type PlainTypes<N> = {
  [Name in keyof Kinds]: N extends { readonly [Member in Name]: infer Member }
    ? KindTypesOf<Kinds[Name], N, Member>
    : never;
}[keyof Kinds];

/** The proto JSON of any node.
 *  @throws {TypeError} if a plain node has no kind */
export function nodeJsonOf(node: Node): NodeJson {
  return "json" in node && node.json !== undefined ? node.json : built<NodeTypes>(plainKindJson(node), node).json;
}

function plainKindJson(node: PlainNode): NodeJson {
  for (const [name, kind] of Object.entries<{ readonly json: (member: never) => NodeJson }>(KINDS)) {
    if (name in node) return kind.json((node as unknown as Record<string, never>)[name] as never);
  }
  throw new TypeError("a node needs exactly one kind");
}
