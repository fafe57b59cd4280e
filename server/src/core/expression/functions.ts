// The table of all operators and functions, and the compilation of their calls.
import { type Code, literalCode } from "./code.ts";
import { COMPARISONS } from "./comparison.ts";
import { CONVERSIONS } from "./conversions.ts";
import { createBudget, Evaluation } from "./evaluation.ts";
import { ExpressionError, invalid, shown } from "./expression-error.ts";
import { LISTS } from "./lists.ts";
import { LOGIC } from "./logic.ts";
import { NUMBERS, QUICK_NUMBERS } from "./numbers.ts";
import { OPTIONALS } from "./optionals.ts";
import { accepts, dispatch, overloadsByName } from "./overloads.ts";
import { STRINGS } from "./strings.ts";
import { TIME } from "./time.ts";
import type { Value } from "./values.ts";

const FUNCTIONS = overloadsByName([LOGIC, NUMBERS, COMPARISONS, LISTS, CONVERSIONS, OPTIONALS, STRINGS, TIME]);

/** Compiles a call of `name`, an operator or a function, or a method if there is a receiver. */
export function compileOverloads(
  name: string,
  args: readonly Code[],
  receiver: Code | undefined,
  position: number,
): Code {
  const called = FUNCTIONS.get(name)?.filter(
    (overload) => (overload.target === undefined) === (receiver === undefined),
  );
  if (called === undefined || called.length === 0) {
    throw invalid(`unknown ${receiver === undefined ? "function" : "method"} ${shown(name)}`, position);
  }
  const all = receiver === undefined ? args : [receiver, ...args];
  const fitting = called.filter(
    (overload) =>
      overload.params.length === args.length &&
      (receiver === undefined || accepts(overload.target!, receiver.type)) &&
      overload.params.every((param, i) => accepts(param, args[i]!.type)),
  );
  if (fitting.length === 0) {
    throw invalid(`no overload of ${name} for (${all.map((code) => code.type).join(", ")})`, position);
  }
  const first = fitting[0]!.result;
  if (name === "duration" || name === "timestamp") {
    // A literal is checked when the graph is registered, not when a run reaches it.
    const literal = all.length === 1 ? all[0]!.literal : undefined;
    if (literal !== undefined) {
      try {
        return literalCode(dispatch(fitting, name, [literal], new Evaluation({}, 0, createBudget()), position));
      } catch (error) {
        throw error instanceof ExpressionError ? invalid(error.message, position) : error;
      }
    }
  }
  return {
    type: fitting.every((overload) => overload.result === first) ? first : "dyn",
    run: (evaluation) => {
      evaluation.step();
      const values = new Array<Value>(all.length);
      for (let i = 0; i < all.length; i++) values[i] = all[i]!.run(evaluation);
      return dispatch(fitting, name, values, evaluation, position);
    },
  };
}

/** Compiles an operator with two operands. */
export function compileBinary(operator: string, left: Code, right: Code, position: number): Code {
  // Two numbers are by far the most frequent operands. The table of overloads returns the same, a few times slower.
  const slow = compileOverloads(operator, [left, right], undefined, position);
  const quick = QUICK_NUMBERS.get(operator);
  if (quick === undefined) return slow;
  const overloads = FUNCTIONS.get(operator)!;
  const [leftRun, rightRun] = [left.run, right.run];
  return {
    type: slow.type,
    run: (evaluation) => {
      evaluation.step();
      const a = leftRun(evaluation);
      const b = rightRun(evaluation);
      if (typeof a === "number" && typeof b === "number") return quick(a, b);
      return dispatch(overloads, operator, [a, b], evaluation, position);
    },
  };
}
