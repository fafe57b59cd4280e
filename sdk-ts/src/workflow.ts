/** Workflows: graphs whose vars, results, targets and output the compiler checks. */
import { WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { fromJson, type MessageInitShape } from "@bufbuild/protobuf";
import { given } from "./given.ts";
import type { HandlerFunction } from "./handler.ts";
import { type Json, type JsonObject, jsonObjectOf } from "./json.ts";
import type { NodeJson, NodeTypes } from "./node.ts";
import type { PathOf, Templated, ValueAt } from "./path.ts";
import { type Node, nodeJsonOf, type TypesOf } from "./plain-node.ts";
import { defaultsOf, type JsonOf, type Schema, type Simplified, toJsonSchema, type VarsOf } from "./schema.ts";
import type { Nothing, SetsOf } from "./step-plan.ts";

export type { HandlerFunction } from "./handler.ts";

declare const workflowTypes: unique symbol;

/** A workflow with its handlers. `workflow()` makes it, `client.register` and `client.start` send it to a server, a
 *  `Worker` serves its handlers. */
export type Workflow<Vars = unknown, Output = unknown, StartVars = unknown> = {
  readonly workflowId: string;
  /** The graph, without the members that the server sets. */
  readonly definition: MessageInitShape<typeof WorkflowSchema>;
  /** The code of the handler nodes, by node. */
  readonly handlers: ReadonlyMap<string, HandlerFunction>;
  /** For the compiler only. */
  readonly [workflowTypes]?: { readonly vars: Vars; readonly output: Output; readonly startVars: StartVars };
};

/** How much a run may use. An absent member has the contract's default. */
export type Limits = {
  /** Default 100,000. */
  maxSteps?: number;
  /** How long a run may take including its waits, such as `72h`. */
  runTimeout?: string;
  /** The share of a limit, in percent, from which clients should warn. Default 80. */
  warnPercent?: number;
};

export type WorkflowOptions<Vars, Output, Defaults, Id extends string> = {
  /** The vars: the members that a start passes and, as optional members, those that nodes add. A Zod 4 schema,
   *  `jsonSchema<T>(…)`, or an untyped JSON Schema. The server refuses starts that do not meet it. Its defaults of
   *  top-level members become the workflow's defaults. Default: any object. */
  vars?: Vars;
  /** The output, for the compiler: nodes and handlers may complete the run only with this type. Default: any JSON. */
  output?: Output;
  /** Values for vars that a start does not pass, by top-level name. They override the schema's defaults. No
   *  templates. */
  defaults?: Defaults;
  /** What the workflow is for; at most 16 KiB. */
  description?: string;
  /** The node at which runs start. Default: the first node in `nodes`. */
  entry?: NoInfer<Id>;
  /** The node to go to if a node without its own `onError` fails. Default: the run ends FAILED. */
  onError?: NoInfer<Id>;
  /** The node to go to, once, when the run is to be cancelled. Default: a cancel ends the run at once. */
  onCancel?: NoInfer<Id>;
  limits?: Limits;
  /** Names and values to find the workflow by; not part of its digest. At most 64. */
  labels?: Readonly<Record<string, string>>;
  /** Commits every step before the next one is computed. Default false. */
  commitEveryStep?: boolean;
};

/** The vars that a start passes. Members with a default may be left out. */
type StartVarsOf<Vars, Defaults> = Vars extends undefined
  ? JsonObject
  : Simplified<
      Omit<JsonOf<Vars, JsonObject>, keyof Defaults & string> &
        Partial<Pick<JsonOf<Vars, JsonObject>, keyof Defaults & keyof JsonOf<Vars, JsonObject>>>
    >;

/** Makes the compiler's message say what is wrong with a node. */
export type Problem<Message extends string> = { readonly problem: Message };

/** What is wrong with each node; `unknown` where nothing is. */
export type CheckedNodes<Nodes, Vars, Output> = {
  [Id in keyof Nodes]: CheckedNode<TypesOf<Nodes[Id]>, keyof Nodes & string, Vars, Output>;
};

type CheckedNode<Types extends NodeTypes, Id extends string, Vars, Output> = [UnknownIds<Types["to"], Id>] extends [
  never,
]
  ? [Exclude<Types["paths"], PathOf<Vars>>] extends [never]
    ? Types["sets"] extends SetsOf<Vars>
      ? Types["values"] extends TemplatedSetsOf<Vars>
        ? Types["end"] extends Templated<Output>
          ? unknown
          : Problem<"this ends the run with an output that does not fit the workflow's">
        : Problem<`vars do not take such a value at ${Types["paths"]}`>
      : Problem<`vars do not take this node's result at ${Types["paths"]}`>
    : Problem<`vars have no ${Exclude<Types["paths"], PathOf<Vars>>}`>
  : Problem<`no node is called ${UnknownIds<Types["to"], Id>}`>;

/** Targets that are not a node. The compiler cannot check a target of type `string`; the server does. */
type UnknownIds<To extends string, Id extends string> = string extends To ? never : Exclude<To, Id>;

type TemplatedSetsOf<Vars> = { readonly [Path in PathOf<Vars>]?: Templated<ValueAt<Vars, Path>> };

/** Defines a workflow.
 *
 *  ```ts
 *  const expense = workflow(
 *    "expense",
 *    {
 *      vars: z.object({ amount: z.number(), reply: z.object({ answer: z.string() }).optional() }),
 *      output: z.object({ paid: z.boolean() }),
 *    },
 *    {
 *      check: handler({ next: ["ask", "pay"] }, ({ vars }) => goTo(vars.amount > 100 ? "ask" : "pay")),
 *      ask: askUser(
 *        { prompt: "Pay ${vars.amount}?", choices: ["yes", "no"] },
 *        { resultKey: "reply", next: [{ to: "pay", when: "result.answer == 'yes'" }, "refused"] },
 *      ),
 *      pay: complete({ paid: true }),
 *      refused: fail("REFUSED", "nobody wanted to pay"),
 *    },
 *  );
 *  ```
 *
 *  The compiler reports a target that is not a node, a path that vars do not have, and a result or an output that does
 *  not fit. The server checks expressions and templates at registration.
 *
 *  @param nodes by id; the first node is the entry unless `entry` says otherwise
 *  @throws {TypeError} if a schema cannot be written as JSON Schema, or the defaults are not JSON */
export function workflow<
  Vars extends Schema | undefined = undefined,
  Output extends Schema | undefined = undefined,
  const Defaults extends Partial<JsonOf<Vars, JsonObject>> = Nothing,
  const Nodes extends Record<string, Node<VarsOf<Vars>, JsonOf<Output>>> = Record<string, never>,
>(
  workflowId: string,
  options: WorkflowOptions<Vars, Output, Defaults, keyof Nodes & string>,
  nodes: Nodes & (Nodes extends unknown ? CheckedNodes<Nodes, VarsOf<Vars>, JsonOf<Output>> : never),
): Workflow<VarsOf<Vars>, JsonOf<Output>, StartVarsOf<Vars, Defaults>> {
  const { vars, entry = Object.keys(nodes)[0] ?? "", defaults = {}, limits, onError, onCancel } = options;
  const varsSchema = vars === undefined ? undefined : toJsonSchema(vars, `vars of workflow ${workflowId}`);
  const defaultVars = { ...defaultsOf(varsSchema ?? {}), ...jsonObjectOf(defaults, "defaults") };
  const handlers = new Map<string, HandlerFunction>();
  const graph: Record<string, NodeJson> = {};
  for (const [id, node] of Object.entries(nodes as Record<string, Node>)) {
    graph[id] = nodeJsonOf(node);
    if ("handler" in node) handlers.set(id, node.handler);
  }
  const definition = {
    workflowId,
    entryNode: entry,
    nodes: graph,
    description: options.description ?? "",
    onError: onError ?? "",
    onCancel: onCancel ?? "",
    labels: { ...options.labels },
    commitEveryStep: options.commitEveryStep ?? false,
    ...given({
      varsSchema,
      defaultVars: Object.keys(defaultVars).length === 0 ? undefined : defaultVars,
      limits: limits && { ...limits },
    }),
  };
  return { workflowId, definition: fromJson(WorkflowSchema, definition as unknown as Json), handlers };
}
