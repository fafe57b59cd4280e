/** What a handler returns: what the run is to do now. The server applies the patch first. Then it carries out the
 *  effect and writes the result to `resultKey`. Then the run goes to `next`. No string in a plan is a template.
 *
 *  The functions that make a plan with an effect are in the effects' files, those that end the run in
 *  `nodes/complete.ts` and `nodes/fail.ts`. */
import type { StepPlan as StepPlanMessage } from "@abstractruntime/proto/step_plan_pb";
import { given } from "./given.ts";
import { type Json, type JsonObject, jsonOf } from "./json.ts";
import { type Given, type PathOf, pointerOf, type ValueAt } from "./path.ts";

/** One effect in proto JSON, as nodes and step plans hold it; the names are the contract's. */
export type EffectJson = { [Name in NonNullable<StepPlanMessage["effect"]["case"]>]?: JsonObject };

/** One change of vars in proto JSON. */
export type PatchOpJson = {
  op: "PATCH_OP_KIND_SET" | "PATCH_OP_KIND_APPEND" | "PATCH_OP_KIND_UNSET";
  /** A JSON Pointer (RFC 6901). */
  path: string;
  /** The value that a set writes. */
  value?: Json;
  /** The elements that an append adds. */
  values?: Json[];
};

/** The proto JSON of a StepPlan, as it is sent to the server. */
export type StepPlanJson = EffectJson & {
  resultKey?: string;
  nextNode?: string;
  completeOutput?: Json;
  fail?: { code: string; message: string };
  patch?: PatchOpJson[];
};

/** What the compiler knows of a plan: where it goes, what it writes, and the output that it ends the run with. */
export type PlanTypes = { to: string; sets: object; appends: object; paths: string; end: unknown };

declare const planTypes: unique symbol;

/** A plan that the compiler can check against its node and its workflow. */
export type StepPlan<Types extends PlanTypes = PlanTypes> = StepPlanJson & { readonly [planTypes]?: Types };

/** A plan that fits a handler of a workflow with these vars and output, whose node names these targets. */
export type FittingPlan<Vars, Output, To extends string> = StepPlan<{
  to: To;
  sets: SetsOf<Vars>;
  appends: AppendsOf<Vars>;
  paths: PathOf<Vars>;
  end: Given<Output>;
}>;

/** The values that may be set, by path. */
export type SetsOf<Vars> = { readonly [Path in PathOf<Vars>]?: Given<ValueAt<Vars, Path>> };
/** The elements that may be appended, by path. */
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
  /** Elements to add to the end of the list at each path; a missing list is created. */
  readonly append?: { readonly [path: string]: readonly unknown[] };
  /** Paths to remove. */
  readonly unset?: readonly string[];
  /** Further operations, with JSON Pointers, applied after the others. The compiler does not check them. */
  readonly patch?: readonly PatchOp[];
};

/** One change of vars at a JSON Pointer (RFC 6901). Unlike a path, a pointer reaches into lists. */
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
/** What changes write. */
export type ChangeTypes<F> = {
  sets: SetOf<F>;
  appends: AppendOf<F>;
  paths: ((keyof SetOf<F> | keyof AppendOf<F>) & string) | UnsetOf<F>;
};
/** The types of a plan whose effect has this result. */
export type FollowTypes<F, Result> = {
  to: F extends { readonly next: infer To } ? To & string : never;
  sets: SetOf<F> & { [P in ResultKeyOf<F>]: Result };
  appends: AppendOf<F>;
  paths: ChangeTypes<F>["paths"] | ResultKeyOf<F>;
  end: F extends { readonly next: string } ? never : Result;
};

/** Goes to a node.
 *
 *  `goTo("approve", { set: { "order.total": 12 }, append: { log: ["priced"] } })`
 *  @throws {TypeError} if a path or a value cannot be written */
export function goTo<const To extends string, const C extends Changes = Nothing>(
  to: To,
  changes?: C,
): StepPlan<ChangeTypes<C> & { to: To; end: never }> {
  return { nextNode: to, ...patchJson(changes) };
}

/** A plan with an effect and what follows it.
 *  @throws {TypeError} if a path or a value cannot be written */
export function planOf(effect: EffectJson, then: Follow | undefined): StepPlanJson {
  const { resultKey, next } = then ?? {};
  if (resultKey !== undefined) pointerOf(resultKey);
  return { ...effect, ...given({ resultKey, nextNode: next }), ...patchJson(then) };
}

export function patchJson(changes: Changes | undefined): Pick<StepPlanJson, "patch"> {
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
  return { op: "PATCH_OP_KIND_APPEND", path, values: values.map((value) => jsonOf(value)) };
}

function unsetJson(path: string): PatchOpJson {
  return { op: "PATCH_OP_KIND_UNSET", path };
}
