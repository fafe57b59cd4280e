// `?:`, `&&` and `||`, which do not always evaluate all their operands, and `!`.
import type { Code } from "./code.ts";
import type { Evaluation, Run } from "./evaluation.ts";
import { ExpressionError, failed, invalid } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { kindOf } from "./values.ts";

/** Steps for an error that `&&`, `||`, `all` or `exists` ignores: an exception takes much longer than a node. */
const ABSORBED_ERROR_STEPS = 20;

export function requireBool(code: Code, what: string, position: number): void {
  if (code.type !== "bool" && code.type !== "dyn") throw invalid(`${what} must be bool, not ${code.type}`, position);
}

export function compileConditional(condition: Code, yes: Code, no: Code, position: number): Code {
  requireBool(condition, "the condition of ?:", position);
  return {
    type: yes.type === no.type ? yes.type : "dyn",
    run: (evaluation) => {
      evaluation.step();
      const chosen = condition.run(evaluation);
      if (chosen === true) return yes.run(evaluation);
      if (chosen === false) return no.run(evaluation);
      throw failed(`the condition of ?: must be bool, not ${kindOf(chosen)}`, position);
    },
  };
}

/** `&&` and `||`. As CEL specifies, one side that decides the result hides an error of the other. */
export function compileLogical(left: Code, right: Code, deciding: boolean, position: number): Code {
  const operator = deciding ? "||" : "&&";
  requireBool(left, `the left side of ${operator}`, position);
  requireBool(right, `the right side of ${operator}`, position);
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const first = boolOrError(left.run, evaluation, operator, position);
      if (first === deciding) return deciding;
      const second = boolOrError(right.run, evaluation, operator, position);
      if (second === deciding) return deciding;
      if (typeof first !== "boolean") throw first;
      if (typeof second !== "boolean") throw second;
      return !deciding;
    },
  };
}

/** Returns the value of an operand, or its error instead of throwing it: another operand may still decide. */
export function boolOrError(
  run: Run,
  evaluation: Evaluation,
  operator: string,
  position: number,
): boolean | ExpressionError {
  try {
    const value = run(evaluation);
    if (typeof value === "boolean") return value;
    return failed(`${operator} needs bool, not ${kindOf(value)}`, position);
  } catch (error) {
    if (!(error instanceof ExpressionError) || error.code !== "EVALUATION_FAILED") throw error;
    evaluation.spend(ABSORBED_ERROR_STEPS);
    return error;
  }
}

/** The logical operator that always evaluates its operand. */
export const LOGIC: Overloads = {
  "!_(bool): bool": (_, a: boolean) => !a,
};
