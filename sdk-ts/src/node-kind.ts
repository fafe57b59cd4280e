/** What the file of a kind of node exports by default, for the rest of the SDK; `effects/effects.ts` and
 *  `nodes/nodes.ts` list these. Every other export of such a file is public. The default export is a type and a value
 *  of one name, because declarations of the lists refer to the type by it. */
import type { NodeJson, NodeTypes } from "./node.ts";

/** What the compiler knows of a kind. `types` is computed: an interface that extends this one refers to `this["node"]`,
 *  the type of the whole plain node, and to `this["member"]`, the type of the member that the kind is named after. */
export interface KindTypes {
  readonly node: unknown;
  readonly member: unknown;
  /** What the member takes. */
  readonly takes: unknown;
  readonly types: NodeTypes;
}

declare const kindTypes: unique symbol;

/** A kind of node that a plain object can state, such as `{ askUser: { prompt: "…" } }`. */
export type NodeKind<Types extends KindTypes = KindTypes> = {
  /** The node's proto JSON without its settings. */
  readonly json: (member: Types["takes"]) => NodeJson;
  readonly [kindTypes]?: Types;
};

/** What a kind's member takes. */
export type TakesOf<Kind> = Kind extends NodeKind<infer Types> ? Types["takes"] : never;

/** What the compiler knows of a plain node whose member of this kind has the type `Member`. */
export type KindTypesOf<Kind, Node, Member> =
  Kind extends NodeKind<infer Types> ? (Types & { readonly node: Node; readonly member: Member })["types"] : never;
