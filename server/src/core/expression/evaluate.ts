// Runs a compiled expression.
import type { Json } from "../json/json.ts";
import { type Budget, createBudget, Evaluation, type ExpressionNames, type Run } from "./evaluation.ts";
import { resultToJson } from "./result.ts";

/** A compiled expression. Immutable; the caller keeps it for as long as the graph. */
export type Expression = {
  readonly source: string;
  /** The result is a part of a name's value, untouched, so it needs no second look. */
  readonly isPath: boolean;
  readonly run: Run;
  readonly slots: number;
};

/** The value of an expression as JSON. Timestamps become RFC 3339 strings, durations strings such as `90s`, bytes base64,
 *  an optional its value. `budget` is used up; absent: one for this expression alone.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT (steps, or a result beyond 1 MiB or 32 levels) */
export function evaluate(expression: Expression, names: ExpressionNames, budget: Budget = createBudget()): Json {
  const evaluation = new Evaluation(names, expression.slots, budget);
  const value = expression.run(evaluation);
  return expression.isPath ? (value as Json) : resultToJson(value);
}
