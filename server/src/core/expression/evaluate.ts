// Runs a compiled expression.
import type { Json } from "../json/json.ts";
import { type Budget, createBudget, Evaluation, type ExpressionNames, type Run } from "./evaluation.ts";
import { resultToJson } from "./result.ts";

/** A compiled expression. Immutable; the caller keeps it as long as it keeps the graph. */
export type Expression = {
  readonly source: string;
  /** The result is an unchanged part of a value that was passed in, so it needs no check. */
  readonly isPath: boolean;
  readonly run: Run;
  readonly slots: number;
};

/** Returns the value of an expression as JSON. Timestamps become RFC 3339 strings, durations strings such as `90s`,
 *  bytes base64, and an optional its value. The evaluation takes its steps from `budget`; if it is missing, the
 *  expression has a budget of its own.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT (steps, or a result beyond 1 MiB or 32 levels) */
export function evaluate(expression: Expression, names: ExpressionNames, budget: Budget = createBudget()): Json {
  const evaluation = new Evaluation(names, expression.slots, budget);
  const value = expression.run(evaluation);
  return expression.isPath ? (value as Json) : resultToJson(value);
}
