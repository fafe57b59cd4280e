/** Nodes of a graph: what all kinds have in common. Each kind has a file of its own, in `effects/` if handlers can ask
 *  for it in a step plan, otherwise in `nodes/`. */
import { type EffectPolicy, policyJson } from "./effect-policy.ts";
import { given } from "./given.ts";
import type { HandlerFunction } from "./handler.ts";
import type { JsonObject } from "./json.ts";
import { pointerOf } from "./path.ts";
import type { EffectJson, Nothing } from "./step-plan.ts";

/** A way to another node: its id, or its id with a CEL expression that says whether the edge holds. */
export type Edge = string | { readonly to: string; readonly when?: string };
/** Where a run goes next: along the first edge that holds. */
export type Next = Edge | readonly Edge[];

/** Settings of every node. */
export type NodeSettings = {
  /** What the node is for; at most 1,024 characters. */
  readonly description?: string;
  /** Where the run goes next. Default, for an effect: the run is completed with its result. */
  readonly next?: Next;
  /** The node to go to if this one fails. Default: the workflow's. */
  readonly onError?: string;
};
export type EffectSettings = NodeSettings & {
  /** Where in vars the result is written, such as `order.payment`. Default: only in `result`, for this node's edges. */
  readonly resultKey?: string;
};
/** Settings of nodes whose work is done by workers. */
export type JobSettings = {
  /** How its jobs are run. */
  readonly policy?: EffectPolicy;
};

/** What the compiler knows of a node. `sets` are results, `values` may be templates. */
export type NodeTypes = { to: string; sets: object; values: object; paths: string; end: unknown };

declare const nodeTypes: unique symbol;

/** A node that one of the functions made. */
export type BuiltNode<Types extends NodeTypes = NodeTypes> = {
  readonly json: NodeJson;
  readonly handler?: HandlerFunction;
  readonly [nodeTypes]?: Types;
};

/** A node in proto JSON. */
export type NodeJson = EffectJson & {
  description?: string;
  assign?: JsonObject;
  handler?: JsonObject;
  complete?: JsonObject;
  fail?: JsonObject;
  resultKey?: string;
  next?: EdgeJson[];
  onError?: string;
  policy?: JsonObject;
};
type EdgeJson = { to: string; when?: string };

type Targets<N> = N extends string
  ? N
  : N extends { readonly to: infer To }
    ? To & string
    : N extends readonly (infer E)[]
      ? Targets<E>
      : never;
/** The nodes that settings name in `next`. */
export type NextOf<S> = S extends { readonly next: infer N } ? Targets<N> : never;
type OnErrorOf<S> = S extends { readonly onError: infer Id } ? Id & string : never;
type ResultKeyOf<S> = S extends { readonly resultKey: infer Path } ? Path & string : never;
/** All nodes that settings name. */
export type TargetsOf<S> = NextOf<S> | OnErrorOf<S>;

/** The types of a node with these settings whose effect has this result. */
export type EffectTypes<S, Result> = {
  to: TargetsOf<S>;
  sets: { [Path in ResultKeyOf<S>]: Result };
  values: Nothing;
  paths: ResultKeyOf<S>;
  end: S extends { readonly next: unknown } ? never : Result;
};
/** The types of a node that ends the run with this output. */
export type EndTypes<Output> = { to: never; sets: Nothing; values: Nothing; paths: never; end: Output };

/** A node of one kind with its settings.
 *  @throws {TypeError} if `resultKey` is not a path, or the policy cannot be written as JSON */
export function built<Types extends NodeTypes>(
  kind: NodeJson,
  settings: (EffectSettings & JobSettings) | undefined = {},
): BuiltNode<Types> {
  const { description, next, onError, resultKey, policy } = settings;
  if (resultKey !== undefined) pointerOf(resultKey);
  return {
    json: {
      ...kind,
      ...given({
        description,
        resultKey,
        next: next === undefined ? undefined : edgesOf(next),
        onError,
        policy: policy && policyJson(policy),
      }),
    },
  };
}

function edgesOf(next: Next): EdgeJson[] {
  const edges = typeof next === "string" || "to" in next ? [next] : next;
  return edges.map((edge) => (typeof edge === "string" ? { to: edge } : { ...edge }));
}
