/** Nodes of a graph. A function for each kind of the contract; where one node has no code, its plain object does as well:
 *  `{ askUser: { prompt: "…" }, next: [{ to: "pay" }] }`. */
import {
  type AnswerOf,
  type AnswerUserResult,
  type AskUser,
  type AskUserResult,
  answerUserJson,
  askUserJson,
  type Custom,
  customJson,
  type EffectJson,
  type EmitEvent,
  type EmitEventResult,
  emitEventJson,
  enumName,
  type ToolCalls,
  type ToolCallsFrom,
  type ToolsResultOf,
  toolCallsJson,
  type WaitEvent,
  type WaitEventResult,
  waitEventJson,
  type WaitUntil,
  type WaitUntilResult,
  waitUntilJson,
} from "./effects.ts";
import type { HandlerContext, HandlerFunction, HandlerInput } from "./handler.ts";
import { jsonObjectOf, jsonOf, type JsonObject } from "./json.ts";
import { pointerOf } from "./path.ts";
import type { FittingPlan, Nothing } from "./step-plan.ts";

/** A way to another node: its id, or with a CEL expression that says whether the edge holds. */
export type Edge = string | { readonly to: string; readonly when?: string };
/** Where a run goes next: the first edge that holds. */
export type Next = Edge | readonly Edge[];

/** What every node can say. */
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
/** What nodes can say whose work is done by workers. */
export type JobSettings = {
  /** How its jobs are run. */
  readonly policy?: EffectPolicy;
};

/** How jobs are run. Durations are strings such as `500ms`, `90s`, `15m`; each may be a template. */
export type EffectPolicy = {
  /** How often a job is tried, the first time included. Default 3, or 1 if delivered at most once. */
  readonly maxAttempts?: number;
  /** Default 1s. */
  readonly initialBackoff?: string;
  /** Default 2. */
  readonly backoffMultiplier?: number;
  /** Default 60s. */
  readonly maxBackoff?: string;
  /** How the pause is spread. Default full. */
  readonly jitter?: "full" | "none";
  /** How long one attempt may take. Default 15m, for handlers 60s. */
  readonly timeout?: string;
  /** How long a job may wait for a worker. Default for ever. */
  readonly queueTimeout?: string;
  /** How long a worker may say nothing about an attempt. Default as long as it is connected. */
  readonly heartbeatTimeout?: string;
  /** What may be assumed about running a job twice. Default at-least-once. */
  readonly delivery?: "at-least-once" | "at-most-once";
  /** Failure codes after which there is no further attempt. */
  readonly nonRetryableErrors?: readonly string[];
};

/** Changes vars; strings may be templates. All right-hand sides see vars as they were on entry. */
export type Assign = {
  /** The values to set, by path. */
  readonly values?: object;
  /** The element to append to the list at each path. */
  readonly append?: object;
  /** The paths to remove. */
  readonly unset?: readonly string[];
};

/** What the compiler knows of a node. `sets` are results, `values` may be templates. */
export type NodeTypes = { to: string; sets: object; values: object; paths: string; end: unknown };

declare const nodeTypes: unique symbol;
declare const handlerTypes: unique symbol;

/** A node that one of the functions made. */
export type BuiltNode<Types extends NodeTypes = NodeTypes> = {
  readonly json: NodeJson;
  readonly handler?: HandlerFunction;
  readonly [nodeTypes]?: Types;
};

/** A node with code, for a workflow with these vars and output. */
export type HandlerNode<Vars = unknown, Output = unknown, Types extends NodeTypes = NodeTypes> = BuiltNode<Types> & {
  readonly handler: HandlerFunction;
  readonly [handlerTypes]?: { readonly vars: Vars; readonly output: Output };
};

/** A node as the contract writes it. */
export type PlainNode = EffectSettings &
  JobSettings & { readonly json?: never } & (
    | { readonly askUser: AskUser }
    | { readonly waitUntil: WaitUntil }
    | { readonly waitEvent: WaitEvent }
    | { readonly emitEvent: EmitEvent }
    | { readonly answerUser: { readonly message: string } }
    | { readonly toolCalls: ToolCalls | ToolCallsFrom }
    | { readonly custom: Custom }
    | { readonly assign: Assign }
    | { readonly complete: { readonly output?: unknown } }
    | { readonly fail: { readonly code: string; readonly message?: string } }
  );

export type Node<Vars = unknown, Output = unknown> = HandlerNode<Vars, Output> | BuiltNode | PlainNode;

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
export type EdgeJson = { to: string; when?: string };

/** What the compiler knows of any node. */
export type TypesOf<N> = N extends BuiltNode<infer Types> ? Types : N extends PlainNode ? PlainTypes<N> : NodeTypes;

type PlainTypes<N> = N extends { readonly askUser: infer Q }
  ? EffectTypes<N, AskUserResult<AnswerOf<Q>>>
  : N extends { readonly waitUntil: unknown }
    ? EffectTypes<N, WaitUntilResult>
    : N extends { readonly waitEvent: unknown }
      ? EffectTypes<N, WaitEventResult<never>>
      : N extends { readonly emitEvent: unknown }
        ? EffectTypes<N, EmitEventResult>
        : N extends { readonly answerUser: unknown }
          ? EffectTypes<N, AnswerUserResult>
          : N extends { readonly toolCalls: infer C }
            ? EffectTypes<N, ToolsResultOf<C>>
            : N extends { readonly assign: infer A }
              ? AssignTypes<A, N>
              : N extends { readonly complete: infer C }
                ? EndTypes<C extends { readonly output: infer Output } ? Output : null>
                : N extends { readonly fail: unknown }
                  ? EndTypes<never>
                  : EffectTypes<N, never>;

type Targets<N> = N extends string
  ? N
  : N extends { readonly to: infer To }
    ? To & string
    : N extends readonly (infer E)[]
      ? Targets<E>
      : never;
type NextOf<S> = S extends { readonly next: infer N } ? Targets<N> : never;
type OnErrorOf<S> = S extends { readonly onError: infer Id } ? Id & string : never;
type ResultKeyOf<S> = S extends { readonly resultKey: infer Path } ? Path & string : never;
type MemberOf<T, Name extends string> = T extends { readonly [K in Name]: infer Member extends object }
  ? Member
  : Nothing;
type UnsetOf<A> = A extends { readonly unset: readonly (infer Path)[] } ? Path & string : never;

export type EffectTypes<S, Result> = {
  to: NextOf<S> | OnErrorOf<S>;
  sets: { [Path in ResultKeyOf<S>]: Result };
  values: Nothing;
  paths: ResultKeyOf<S>;
  end: S extends { readonly next: unknown } ? never : Result;
};
export type AssignTypes<A, S> = {
  to: NextOf<S> | OnErrorOf<S>;
  sets: Nothing;
  values: MemberOf<A, "values">;
  paths: ((keyof MemberOf<A, "values"> | keyof MemberOf<A, "append">) & string) | UnsetOf<A>;
  end: never;
};
export type EndTypes<Output> = { to: never; sets: Nothing; values: Nothing; paths: never; end: Output };
/** Its own plans are checked where they are made. */
export type HandlerNodeTypes<S> = {
  to: NextOf<S> | OnErrorOf<S>;
  sets: Nothing;
  values: Nothing;
  paths: never;
  end: never;
};

/** Asks a person, and waits for the answer. */
export function askUser<const Q extends AskUser, const S extends EffectSettings = Nothing>(
  question: Q,
  settings?: S,
): BuiltNode<EffectTypes<S, AskUserResult<AnswerOf<Q>>>> {
  return built(askUserJson(question), settings);
}

/** Waits for an instant (`{ at }`) or a duration (`{ after }`). */
export function waitUntil<const S extends EffectSettings = Nothing>(
  time: WaitUntil,
  settings?: S,
): BuiltNode<EffectTypes<S, WaitUntilResult>> {
  return built(waitUntilJson(time), settings);
}

/** Waits for an event, also one that was emitted since the run started and that the run has not consumed. */
export function waitEvent<const S extends EffectSettings = Nothing>(
  wait: WaitEvent,
  settings?: S,
): BuiltNode<EffectTypes<S, WaitEventResult<never>>> {
  return built(waitEventJson(wait), settings);
}

/** Emits an event. */
export function emitEvent<const S extends EffectSettings = Nothing>(
  event: EmitEvent,
  settings?: S,
): BuiltNode<EffectTypes<S, EmitEventResult>> {
  return built(emitEventJson(event), settings);
}

/** Tells the person something, without waiting. */
export function answerUser<const S extends EffectSettings = Nothing>(
  message: string,
  settings?: S,
): BuiltNode<EffectTypes<S, AnswerUserResult>> {
  return built(answerUserJson(message), settings);
}

/** Calls tools that workers serve, side by side, and waits until all have settled. */
export function toolCalls<
  const C extends ToolCalls | ToolCallsFrom,
  const S extends EffectSettings & JobSettings = Nothing,
>(calls: C, settings?: S): BuiltNode<EffectTypes<S, ToolsResultOf<C>>> {
  return built(toolCallsJson(calls), settings);
}

/** Does something that a worker registered as a custom effect. Nobody checks its result. */
export function custom<const S extends EffectSettings & JobSettings = Nothing>(
  effect: Custom,
  settings?: S,
): BuiltNode<EffectTypes<S, never>> {
  return built(customJson(effect), settings);
}

/** Changes vars. Needs a `next`. */
export function assign<const A extends Assign, const S extends NodeSettings & { readonly next: Next }>(
  changes: A,
  settings: S,
): BuiltNode<AssignTypes<A, S>> {
  return built(assignJson(changes), settings);
}

/** Ends the run as COMPLETED, with null if no output is given. Strings in it may be templates. */
export function complete(): BuiltNode<EndTypes<null>>;
export function complete<const Output>(
  output: Output,
  settings?: Pick<NodeSettings, "description">,
): BuiltNode<EndTypes<Output>>;
export function complete(output?: unknown, settings?: Pick<NodeSettings, "description">): BuiltNode {
  return built({ complete: output === undefined ? {} : { output: jsonOf(output) } }, settings);
}

/** Ends the run as FAILED. Code and message may be templates. */
export function fail(
  code: string,
  message = "",
  settings?: Pick<NodeSettings, "description">,
): BuiltNode<EndTypes<never>> {
  return built({ fail: { code, message } }, settings);
}

/** A node with code, which a `Worker` serves. The code returns a step plan, made by `goTo`, `completeRun`, `failRun`, `ask`, `callTools` …,
 *  which may go only to what `next` names.
 *
 *  `handler({ next: ["ask", "pay"] }, ({ vars }) => goTo(vars.amount > 100 ? "ask" : "pay"))` */
export function handler<Vars, Output, const S extends HandlerSettings>(
  settings: S,
  run: (
    input: HandlerInput<NoInfer<Vars>>,
    context: HandlerContext,
  ) => Awaitable<FittingPlan<NoInfer<Vars>, NoInfer<Output>, NextOf<S>>>,
): HandlerNode<Vars, Output, HandlerNodeTypes<S>> {
  // The server gives vars that meet the schema from which Vars comes.
  return { ...built({ handler: {} }, settings), handler: run as unknown as HandlerFunction };
}

type Awaitable<T> = T | Promise<T>;

export type HandlerSettings = Omit<NodeSettings, "next"> &
  JobSettings & {
    /** The nodes that the code may go to. Default: none; it ends the run. */
    readonly next?: string | readonly string[];
  };

function assignJson({ values, append, unset }: Assign): NodeJson {
  for (const path of [...Object.keys(values ?? {}), ...Object.keys(append ?? {}), ...(unset ?? [])]) pointerOf(path);
  return {
    assign: {
      ...(values === undefined ? {} : { values: jsonObjectOf(values, "values") }),
      ...(append === undefined ? {} : { append: jsonObjectOf(append, "append") }),
      ...(unset === undefined ? {} : { unset: [...unset] }),
    },
  };
}

function built<Types extends NodeTypes>(
  kind: NodeJson,
  settings: (EffectSettings & JobSettings) | undefined = {},
): BuiltNode<Types> {
  const { description, next, onError, resultKey, policy } = settings;
  if (resultKey !== undefined) pointerOf(resultKey);
  return {
    json: {
      ...kind,
      ...(description === undefined ? {} : { description }),
      ...(resultKey === undefined ? {} : { resultKey }),
      ...(next === undefined ? {} : { next: edgesOf(next) }),
      ...(onError === undefined ? {} : { onError }),
      ...(policy === undefined ? {} : { policy: policyJson(policy) }),
    },
  };
}

function edgesOf(next: Next): EdgeJson[] {
  const edges = typeof next === "string" || "to" in next ? [next] : next;
  return edges.map((edge) => (typeof edge === "string" ? { to: edge } : { ...edge }));
}

function policyJson({ jitter, delivery, ...rest }: EffectPolicy): JsonObject {
  return {
    ...jsonObjectOf(rest, "policy"),
    ...(jitter === undefined ? {} : { jitter: enumName("JITTER_", jitter) }),
    ...(delivery === undefined ? {} : { delivery: enumName("DELIVERY_", delivery) }),
  };
}

/** The proto JSON of any node. */
export function nodeJsonOf(node: Node): NodeJson {
  return "json" in node && node.json !== undefined ? node.json : built<NodeTypes>(plainKindJson(node), node).json;
}

function plainKindJson(node: PlainNode): NodeJson {
  if ("askUser" in node) return askUserJson(node.askUser);
  if ("waitUntil" in node) return waitUntilJson(node.waitUntil);
  if ("waitEvent" in node) return waitEventJson(node.waitEvent);
  if ("emitEvent" in node) return emitEventJson(node.emitEvent);
  if ("answerUser" in node) return answerUserJson(node.answerUser.message);
  if ("toolCalls" in node) return toolCallsJson(node.toolCalls);
  if ("custom" in node) return customJson(node.custom);
  if ("assign" in node) return assignJson(node.assign);
  if ("complete" in node) return { complete: jsonOf(node.complete) as JsonObject };
  if ("fail" in node) return { fail: jsonOf(node.fail) as JsonObject };
  throw new TypeError("a node needs exactly one kind");
}
