/** Nodes with code. */
import type { HandlerContext, HandlerFunction, HandlerInput } from "../handler.ts";
import {
  type BuiltNode,
  built,
  type JobSettings,
  type NextOf,
  type NodeSettings,
  type NodeTypes,
  type TargetsOf,
} from "../node.ts";
import type { FittingPlan, Nothing } from "../step-plan.ts";

declare const handlerTypes: unique symbol;

/** A node with code, for a workflow with these vars and output. */
export type HandlerNode<Vars = unknown, Output = unknown, Types extends NodeTypes = NodeTypes> = BuiltNode<Types> & {
  readonly handler: HandlerFunction;
  readonly [handlerTypes]?: { readonly vars: Vars; readonly output: Output };
};

export type HandlerSettings = Omit<NodeSettings, "next"> &
  JobSettings & {
    /** The nodes that the code may go to. Default: no node; the code ends the run. */
    readonly next?: string | readonly string[];
  };

/** The handler's plans are checked where they are made. */
type HandlerNodeTypes<S> = {
  to: TargetsOf<S>;
  sets: Nothing;
  values: Nothing;
  paths: never;
  end: never;
};

/** A node with code, which a `Worker` serves. The code returns a step plan, made by `goTo`, `completeRun`, `failRun`,
 *  `ask`, `callTools` …; the plan may go only to the nodes that `next` names.
 *
 *  `handler({ next: ["ask", "pay"] }, ({ vars }) => goTo(vars.amount > 100 ? "ask" : "pay"))` */
export function handler<Vars, Output, const S extends HandlerSettings>(
  settings: S,
  run: (
    input: HandlerInput<NoInfer<Vars>>,
    context: HandlerContext,
  ) => Awaitable<FittingPlan<NoInfer<Vars>, NoInfer<Output>, NextOf<S>>>,
): HandlerNode<Vars, Output, HandlerNodeTypes<S>> {
  // The server sends vars that meet the schema from which `Vars` is derived.
  return { ...built({ handler: {} }, settings), handler: run as unknown as HandlerFunction };
}

type Awaitable<T> = T | Promise<T>;
