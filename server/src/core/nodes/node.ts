/** The interface of a node kind: an effect, or a file of this folder. `nodes.ts` lists them. */
import type { HandlerNeeded, LookUpNeeded } from "../decision.ts";
import type { BeginningStep, EffectKind } from "../effects/effect.ts";
import type { CompiledKind } from "../graph/graph.ts";
import type { HandlerOutcome } from "../handler-request.ts";

/** What a decision needs before it can be made. */
export type Needed = LookUpNeeded | HandlerNeeded | undefined;

/** A step that begins, with the outcome of the handler if an earlier decision asked for it. */
export type NodeStep = BeginningStep & { handler: HandlerOutcome | undefined };

export type NodeKind<C extends CompiledKind = CompiledKind, D = never> = Omit<
  EffectKind<C, D>,
  "begin" | "waits" | "sequel"
> & {
  /** Whether it has a result, which `result_key` writes and which completes the run if there is no edge. */
  readonly hasResult: boolean;
  /** Whether it ends the run, so that it has no edges. */
  readonly isEnd: boolean;
  /** Whether its edges only list the nodes that it may go to. */
  readonly choosesItsEdge: boolean;
  /** Carries it out as far as one decision can, or returns what it needs first. */
  begin(compiled: C, step: NodeStep): Needed;
};
