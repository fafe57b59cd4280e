// Evaluates expressions in tests of core/expression.
import { compileExpression } from "../../server/src/core/expression/compile.ts";
import { evaluate } from "../../server/src/core/expression/evaluate.ts";
import { ExpressionError, type ExpressionErrorCode } from "../../server/src/core/expression/expression-error.ts";
import { type Json, parseJson } from "../../server/src/core/json/json.ts";

export const VARIABLES = ["vars", "run", "result", "error", "now"];
export const vars = parseJson(
  '{"one":1,"two":2.0,"half":0.5,"text":"héllo 😀 x","list":[1,2,3],' +
    '"rows":[{"amount":10,"tag":"a"},{"amount":140,"tag":"b"}],' +
    '"map":{"b":1,"a":2},"nil":null,"yes":true,"huge":1e300,"constructor_":1}',
);
const names = {
  vars,
  run: parseJson('{"run_id":"r1"}'),
  result: parseJson('{"ok":true}'),
  error: undefined,
  now: "2026-01-02T03:04:05.120000Z",
};

/** Compiles and evaluates `source` with the values above. */
export function evaluateSource(source: string): Json {
  return evaluate(compileExpression(source, { variables: VARIABLES }), names);
}

export function errorOf(work: () => unknown): ExpressionError {
  try {
    work();
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** The code of the error that compiling or evaluating `source` throws. */
export function codeOf(source: string): ExpressionErrorCode {
  return errorOf(() => evaluateSource(source)).code;
}
