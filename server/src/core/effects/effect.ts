/**
 * The interface of an effect: its compiled form, how it begins, and what answers, wakes or settles it. Each effect is a
 * file in this folder, and `effects.ts` lists them; nothing else switches over effects. To add one, see
 * docs/recipes.md.
 */
import type { PlanFacts } from "../begin-step.ts";
import type { Call, CallKind, StepSequel } from "../call.ts";
import type { KindPlace } from "../compile/place.ts";
import type { DecisionBuilder } from "../decision-builder.ts";
import type { EventLookup, EventQuery } from "../event.ts";
import type { Failure } from "../failure.ts";
import type { CompiledKind, Workflow, WorkflowNode } from "../graph/graph.ts";
import type { Json } from "../json/json.ts";
import type { Names } from "../names.ts";
import type { Wait } from "../wait.ts";

/** The context of a step: its run, its workflow and its node. */
export type Step = { draft: DecisionBuilder; workflow: Workflow; node: WorkflowNode };

/** A step that begins. */
export type BeginningStep = Step & {
  names: Names;
  lookup: EventLookup | undefined;
  plan: PlanFacts;
};

/** An answer to a wait, as it goes into the ledger. */
export type Answer = { given: { text: string; value: Json }; actorId?: string; requestId?: string };

/** How waits of one kind end. */
export type WaitHandling<W extends Wait = Wait> = {
  /**
   * Answers the wait. Absent if it takes no answer.
   * @throws {DomainError} ANSWER_INVALID
   */
  answer?(wait: W, step: Step, answer: Answer): void;
  /** Ends the wait if it is over, or returns the look-up that it needs first. */
  wake(wait: W, step: Step, at: { isDue: boolean; lookup: EventLookup | undefined }): EventQuery | undefined;
};

/** What is recorded about the end of a call: its node, attempt, key and actor. */
export type CallFacts = { nodeId: string; attempt: number; idempotencyKey: string; actorId?: string };

/** How calls of one kind settle. */
export type CallHandling = {
  kind: CallKind;
  /** How long an attempt may take if the policy does not say. */
  timeoutMsDefault: number;
  /** Records an output, or returns the look-up that it needs first. */
  completed(
    call: Call,
    step: Step,
    output: Json,
    at: { facts: CallFacts; lookup: EventLookup | undefined },
  ): EventQuery | undefined;
  /** Records the failure of the last attempt. */
  failed(call: Call, step: Step, error: Failure, facts: CallFacts): void;
};

/**
 * How a Mermaid flowchart shows a node: its brackets, and a class. A wait for a person is slanted, a wait for a time is
 * a hexagon, and a wait for an event is a flag. Remote work is shown as a subroutine; ends are round.
 */
type Drawing = {
  readonly shape: readonly [open: string, close: string];
  readonly class?: "wait" | "done" | "fail";
};

/** One effect. `C` is its compiled form, `D` its definition in proto JSON. */
export type EffectKind<C extends CompiledKind = CompiledKind, D = never> = {
  /** Its key in a node, and in a step plan: the proto JSON name. */
  readonly key: string;
  /** Its name in the ledger. */
  readonly type: C["type"];
  /** Whether a run rests at it; a loop through such a node may be endless. */
  readonly rests: boolean;
  /** Compiles its definition. Reports problems to `place`; returns undefined if there is no usable form. */
  compile(definition: D, place: KindPlace): C | undefined;
  /** Carries it out as far as one decision can, or returns the look-up that it needs first. */
  begin(compiled: C, step: BeginningStep): EventQuery | undefined;
  /** The waits that it opens, by what they ask. */
  readonly waits?: { readonly [A in Wait["asks"]]?: WaitHandling<Extract<Wait, { asks: A }>> };
  /** How its calls settle. Present if and only if it has jobs, to which a policy applies. */
  readonly calls?: CallHandling;
  /** What it adds to the sequel of a step plan that asks for it. */
  sequel?(compiled: C): StepSequel;
  /** What it does, in a few words, for a drawing of the graph. */
  summary(definition: D): string;
  readonly drawing: Drawing;
};
