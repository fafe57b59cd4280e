/** What a handler returns: what the run is to do now. The patch is applied first, then the effect is carried out and its result
 *  written to `resultKey`, then the run goes to `next`. No string in a plan is a template. */
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
  type ToolCalls,
  type ToolsResultOf,
  toolCallsJson,
  type WaitEvent,
  type WaitEventResult,
  waitEventJson,
  type WaitUntil,
  type WaitUntilResult,
  waitUntilJson,
} from "./effects.ts";
import { type Json, jsonOf } from "./json.ts";
import { type Given, type PathOf, pointerOf, type ValueAt } from "./path.ts";

/** One change of vars in proto JSON. */
export type PatchOpJson = {
  op: "PATCH_OP_KIND_SET" | "PATCH_OP_KIND_APPEND" | "PATCH_OP_KIND_UNSET";
  /** A JSON Pointer (RFC 6901). */
  path: string;
  /** What a set writes. */
  value?: Json;
  /** What an append adds. */
  values?: Json[];
};

/** The proto JSON of a StepPlan: what goes to the server. */
export type StepPlanJson = EffectJson & {
  resultKey?: string;
  nextNode?: string;
  completeOutput?: Json;
  fail?: { code: string; message: string };
  patch?: PatchOpJson[];
};

/** What the compiler knows of a plan: where it goes, what it writes, what it ends the run with. */
export type PlanTypes = { to: string; sets: object; appends: object; paths: string; end: unknown };

declare const planTypes: unique symbol;

/** A plan that the compiler can check against the node and the workflow it is for. */
export type StepPlan<Types extends PlanTypes = PlanTypes> = StepPlanJson & { readonly [planTypes]?: Types };

/** A plan that fits a handler of a workflow with these vars and output, whose node names these targets. */
export type FittingPlan<Vars, Output, To extends string> = StepPlan<{
  to: To;
  sets: SetsOf<Vars>;
  appends: AppendsOf<Vars>;
  paths: PathOf<Vars>;
  end: Given<Output>;
}>;

/** What may be set, by path. */
export type SetsOf<Vars> = { readonly [Path in PathOf<Vars>]?: Given<ValueAt<Vars, Path>> };
/** What may be appended, by path. */
export type AppendsOf<Vars> = {
  readonly [Path in PathOf<Vars>]?: ValueAt<Vars, Path> extends readonly (infer Item)[]
    ? readonly Given<Item>[]
    : unknown;
};

/** Nothing written. */
export type Nothing = object;

/** Changes of vars. Paths are names separated by dots, such as `order.payment`. */
export type Changes = {
  /** Values to set; each replaces the whole value at its path. Null is a value. */
  readonly set?: object;
  /** Elements to add to the end of the list at each path; a list that does not exist is made. */
  readonly append?: { readonly [path: string]: readonly unknown[] };
  /** Paths to remove. */
  readonly unset?: readonly string[];
  /** Further operations, with JSON Pointers, after the others. Nobody checks them at compile time. */
  readonly patch?: readonly PatchOp[];
};

/** One change of vars at a JSON Pointer (RFC 6901), which unlike a path reaches into lists. */
export type PatchOp =
  | { readonly op: "set"; readonly path: string; readonly value: unknown }
  | { readonly op: "append"; readonly path: string; readonly values: readonly unknown[] }
  | { readonly op: "unset"; readonly path: string };

/** What follows an effect. */
export type Follow = Changes & {
  /** The node to go to. Default: the run is completed with the effect's result. */
  readonly next?: string;
  /** Where in vars the effect's result is written. Default: nowhere. */
  readonly resultKey?: string;
};

type SetOf<F> = F extends { readonly set: infer S extends object } ? S : Nothing;
type AppendOf<F> = F extends { readonly append: infer A extends object } ? A : Nothing;
type UnsetOf<F> = F extends { readonly unset: readonly (infer P)[] } ? P & string : never;
type ResultKeyOf<F> = F extends { readonly resultKey: infer P } ? P & string : never;
type ChangeTypes<F> = {
  sets: SetOf<F>;
  appends: AppendOf<F>;
  paths: ((keyof SetOf<F> | keyof AppendOf<F>) & string) | UnsetOf<F>;
};
type FollowTypes<F, Result> = {
  to: F extends { readonly next: infer To } ? To & string : never;
  sets: SetOf<F> & { [P in ResultKeyOf<F>]: Result };
  appends: AppendOf<F>;
  paths: ChangeTypes<F>["paths"] | ResultKeyOf<F>;
  end: F extends { readonly next: string } ? never : Result;
};

/** Goes to a node.
 *
 *  `goTo("approve", { set: { "order.total": 12 }, append: { log: ["priced"] } })`
 *  @throws {TypeError} a path or a value that cannot be written */
export function goTo<const To extends string, const C extends Changes = Nothing>(
  to: To,
  changes?: C,
): StepPlan<ChangeTypes<C> & { to: To; end: never }> {
  return { nextNode: to, ...patchJson(changes) };
}

/** Completes the run with an output, null if there is none.
 *  @throws {TypeError} the output is no JSON */
export function completeRun(): StepPlan<ChangeTypes<Nothing> & { to: never; end: null }>;
export function completeRun<const Output, const C extends Changes = Nothing>(
  output: Output,
  changes?: C,
): StepPlan<ChangeTypes<C> & { to: never; end: Output }>;
export function completeRun(output?: unknown, changes?: Changes): StepPlanJson {
  return { completeOutput: output === undefined ? null : jsonOf(output), ...patchJson(changes) };
}

/** Fails the run, whatever `onError` says. To fail the node instead, throw.
 *  @param code for programs: 1 to 128 characters */
export function failRun(code: string, message = ""): StepPlan<ChangeTypes<Nothing> & { to: never; end: never }> {
  return { fail: { code, message } };
}

/** Asks a person, and waits for the answer. */
export function ask<const Q extends AskUser & { choices?: readonly Json[] }, const F extends Follow = Nothing>(
  question: Q,
  then?: F,
): StepPlan<FollowTypes<F, AskUserResult<AnswerOf<Q>>>> {
  return { ...askUserJson(question), ...followJson(then) };
}

/** Waits for an instant (`{ at }`) or a duration (`{ after }`). */
export function waitForTime<const F extends Follow = Nothing>(
  time: WaitUntil,
  then?: F,
): StepPlan<FollowTypes<F, WaitUntilResult>> {
  return { ...waitUntilJson(time), ...followJson(then) };
}

/** Waits for an event. */
export function waitForEvent<const F extends Follow = Nothing>(
  wait: WaitEvent,
  then?: F,
): StepPlan<FollowTypes<F, WaitEventResult<never>>> {
  return { ...waitEventJson(wait), ...followJson(then) };
}

/** Emits an event. */
export function emit<const F extends Follow = Nothing>(
  event: EmitEvent,
  then?: F,
): StepPlan<FollowTypes<F, EmitEventResult>> {
  return { ...emitEventJson(event), ...followJson(then) };
}

/** Tells the person something, without waiting. */
export function tell<const F extends Follow = Nothing>(
  message: string,
  then?: F,
): StepPlan<FollowTypes<F, AnswerUserResult>> {
  return { ...answerUserJson(message), ...followJson(then) };
}

/** Calls tools side by side, and waits until all have settled. */
export function callTools<const C extends ToolCalls, const F extends Follow = Nothing>(
  calls: C,
  then?: F,
): StepPlan<FollowTypes<F, ToolsResultOf<C>>> {
  return { ...toolCallsJson(calls), ...followJson(then) };
}

/** Does something that a worker registered as a custom effect. */
export function perform<const F extends Follow = Nothing>(custom: Custom, then?: F): StepPlan<FollowTypes<F, never>> {
  return { ...customJson(custom), ...followJson(then) };
}

function followJson(then: Follow | undefined): StepPlanJson {
  if (then?.resultKey !== undefined) pointerOf(then.resultKey);
  return {
    ...(then?.resultKey === undefined ? {} : { resultKey: then.resultKey }),
    ...(then?.next === undefined ? {} : { nextNode: then.next }),
    ...patchJson(then),
  };
}

function patchJson(changes: Changes | undefined): Pick<StepPlanJson, "patch"> {
  const { set = {}, append = {}, unset = [], patch = [] } = changes ?? {};
  const ops = [
    ...Object.entries(set).map(([path, value]: [string, unknown]) => setJson(pointerOf(path), value)),
    ...Object.entries(append).map(([path, values]) => appendJson(pointerOf(path), values)),
    ...unset.map((path) => unsetJson(pointerOf(path))),
    ...patch.map(opJson),
  ];
  return ops.length === 0 ? {} : { patch: ops };
}

function opJson(op: PatchOp): PatchOpJson {
  switch (op.op) {
    case "set":
      return setJson(op.path, op.value);
    case "append":
      return appendJson(op.path, op.values);
    case "unset":
      return unsetJson(op.path);
  }
}

function setJson(path: string, value: unknown): PatchOpJson {
  return { op: "PATCH_OP_KIND_SET", path, value: jsonOf(value) };
}

function appendJson(path: string, values: readonly unknown[]): PatchOpJson {
  return { op: "PATCH_OP_KIND_APPEND", path, values: values.map(jsonOf) };
}

function unsetJson(path: string): PatchOpJson {
  return { op: "PATCH_OP_KIND_UNSET", path };
}
