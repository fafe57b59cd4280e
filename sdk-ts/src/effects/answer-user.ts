/** Tells the person something, without waiting for an answer. */
import { type BuiltNode, built, type EffectSettings, type EffectTypes } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

export type AnswerUserResult = { message: string };

/** Tells the person something, without waiting. */
export function answerUser<const S extends EffectSettings = Nothing>(
  message: string,
  settings?: S,
): BuiltNode<EffectTypes<S, AnswerUserResult>> {
  return built(answerUserJson({ message }), settings);
}

/** Tells the person something, without waiting. */
export function tell<const F extends Follow = Nothing>(
  message: string,
  then?: F,
): StepPlan<FollowTypes<F, AnswerUserResult>> {
  return planOf(answerUserJson({ message }), then);
}

function answerUserJson({ message }: { readonly message: string }): EffectJson {
  return { answerUser: { message } };
}

interface AnswerUserKind extends KindTypes {
  readonly takes: { readonly message: string };
  readonly types: EffectTypes<this["node"], AnswerUserResult>;
}
const AnswerUserKind: NodeKind<AnswerUserKind> = { json: answerUserJson };
export default AnswerUserKind;
