// An operator or a function has overloads. The kinds of the arguments select one of them.
import { DurationError, InstantError } from "../duration.ts";
import { DomainError } from "../errors.ts";
import type { Evaluation } from "./evaluation.ts";
import { ExpressionError, failed } from "./expression-error.ts";
import { kindOf, type Type, type Value } from "./values.ts";

/** Computes a call. The arguments have the kinds of the signature. */
type Implementation = (evaluation: Evaluation, ...args: never[]) => Value;

/** Overloads by signature: `name(kind, kind): kind`, or `(kind).name(kind): kind` for a method. */
export type Overloads = { readonly [signature: `${string}(${string}): ${Type}`]: Implementation };

/** An overload with its signature parsed. */
type Overload = {
  /** The kind of the receiver of a method; undefined for a function. */
  target: Type | undefined;
  params: readonly Type[];
  result: Type;
  call: (...args: unknown[]) => Value;
};

/** The overloads of several groups, by name. */
export function overloadsByName(groups: readonly Overloads[]): ReadonlyMap<string, readonly Overload[]> {
  const table = new Map<string, Overload[]>();
  for (const group of groups) {
    for (const [signature, call] of Object.entries(group)) {
      const [, target, name, params, result] = /^(?:\(([a-z]+)\)\.)?([^ ()]+)\((.*)\): ([a-z]+)$/.exec(signature)!;
      const list = table.get(name!) ?? [];
      list.push({
        target: target as Type | undefined,
        params: params === "" ? [] : (params!.split(", ") as Type[]),
        result: result as Type,
        call: call as Overload["call"],
      });
      table.set(name!, list);
    }
  }
  return table;
}

/** Whether a parameter takes an argument, as far as is known. */
export function accepts(wanted: Type, given: Type): boolean {
  return wanted === "dyn" || given === "dyn" || wanted === given;
}

/** Calls the first overload that accepts the kinds of `values`; the receiver of a method comes first.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT, each with `position` */
export function dispatch(
  overloads: readonly Overload[],
  name: string,
  values: Value[],
  evaluation: Evaluation,
  position: number,
): Value {
  next: for (const overload of overloads) {
    const params = overload.params;
    const skip = overload.target === undefined ? 0 : 1;
    if (params.length + skip !== values.length) continue;
    if (skip === 1 && !accepts(overload.target!, kindOf(values[0]!))) continue;
    for (let i = 0; i < params.length; i++) if (!accepts(params[i]!, kindOf(values[i + skip]!))) continue next;
    try {
      return overload.call(evaluation, ...values);
    } catch (error) {
      if (error instanceof ExpressionError && error.position === undefined) {
        throw new ExpressionError(error.code, error.message, position);
      }
      if (error instanceof DomainError || error instanceof DurationError || error instanceof InstantError) {
        throw failed(error.message, position);
      }
      throw error;
    }
  }
  return overloadFailure(name, values, position);
}

export function overloadFailure(name: string, values: readonly Value[], position: number): never {
  throw failed(`no overload of ${name} for (${values.map(kindOf).join(", ")})`, position);
}
