/** Asks a person, and waits for the answer. */
import { given } from "../given.ts";
import { type Json, type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type JsonOf, type Schema, toJsonSchema } from "../schema.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

/** Asks a person. In a node, strings may be templates. */
export type AskUser = {
  /** The question: 1 byte to 16 KiB. */
  prompt: string;
  /** What the person should see beside the question. */
  details?: Json;
  /** The answers to choose from, 1 to 1,000; in a node also a template that returns them. Default: any answer. */
  choices?: readonly Json[] | string;
  /** Whether, with choices, the answer may also be any other string. Default false. */
  allowFreeText?: boolean;
  /** The schema that an answer must meet. Default: any JSON. */
  answerSchema?: Schema;
  /** Who is asked: names or groups, at most 64. Default: anyone. */
  assignees?: readonly string[];
  /** How long to wait, such as `72h`. After that the result has `timed_out: true`. Default: no limit. */
  timeout?: string;
  /** The answer after a timeout. Default null. */
  defaultAnswer?: Json;
};

export type AskUserResult<Answer = Json> = {
  answer: Answer;
  timed_out: boolean;
  answered_by: string | null;
  answer_time: string | null;
};

/** What the answer to a question can be. */
type AnswerOf<Q> =
  | (Q extends { readonly choices: readonly (infer Choice)[] }
      ? Choice | (Q extends { readonly allowFreeText: true } ? string : never)
      : Q extends { readonly answerSchema: infer S }
        ? JsonOf<S>
        : Json)
  | (Q extends { readonly timeout: string }
      ? Q extends { readonly defaultAnswer: infer Answer }
        ? Answer
        : null
      : never);

/** Asks a person, and waits for the answer. */
export function askUser<const Q extends AskUser, const S extends EffectSettings = Nothing>(
  question: Q,
  settings?: S,
): BuiltNode<EffectTypes<S, AskUserResult<AnswerOf<Q>>>> {
  return built(askUserJson(question), settings);
}

/** Asks a person, and waits for the answer. */
export function ask<const Q extends AskUser & { choices?: readonly Json[] }, const F extends Follow = Nothing>(
  question: Q,
  then?: F,
): StepPlan<FollowTypes<F, AskUserResult<AnswerOf<Q>>>> {
  return planOf(askUserJson(question), then);
}

function askUserJson({ answerSchema, ...rest }: AskUser): EffectJson {
  const schema = answerSchema === undefined ? undefined : toJsonSchema(answerSchema, "answerSchema");
  return { askUser: { ...(jsonOf(rest) as JsonObject), ...given({ answerSchema: schema }) } };
}

interface AskUserKind extends KindTypes {
  readonly takes: AskUser;
  readonly types: EffectTypes<this["node"], AskUserResult<AnswerOf<this["member"]>>>;
}
const AskUserKind: NodeKind<AskUserKind> = { json: askUserJson };
export default AskUserKind;
