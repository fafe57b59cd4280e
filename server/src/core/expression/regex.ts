// Regular expressions, run by RE2, which does not backtrack.
import { type Allowance, createAllowance } from "../allowance.ts";
import { acceptPattern, compiledPattern, parsingCost, type Pattern, PatternError } from "../pattern.ts";
import { weakly } from "../weighed-cache.ts";
import type { Code, Compiler } from "./code.ts";
import { type ExpressionError, failed, invalid } from "./expression-error.ts";
import { overloadFailure } from "./overloads.ts";

/** Size of all regular expressions of one expression, in RE2 instructions. Compiling 1,000 takes about 10 ms. */
const REGEX_INSTRUCTIONS_MAX = 2_000;
/** Longest regular expression, in UTF-16 units. */
const REGEX_CHARS_MAX = 1_024;
/** RE2 instructions times characters per step. The slowest patterns take 50 ns for each. */
const REGEX_WORK_PER_STEP = 128;
/** Steps for compiling a regular expression that is not a literal, whether or not it is known from before. */
const REGEX_COMPILE_STEPS = 1_000;
/** Further steps for each instruction of such a regular expression. */
const REGEX_INSTRUCTION_STEPS = 10;

/** What the regular expressions of one expression may use together. */
export function createPatternAllowance(): Allowance {
  return createAllowance(
    REGEX_INSTRUCTIONS_MAX,
    `the regular expressions of this expression are too large in total: at most ${REGEX_INSTRUCTIONS_MAX} instructions`,
  );
}

export function compileMatches(text: Code, pattern: Code, position: number, compiler: Compiler): Code {
  for (const code of [text, pattern]) {
    if (code.type !== "string" && code.type !== "dyn")
      throw invalid(`matches() takes strings, not ${code.type}`, position);
  }
  const { literal } = pattern;
  const isLiteral = typeof literal === "string";
  if (isLiteral) accept(literal, compiler.patterns, (message) => invalid(message, position));
  const ready = isLiteral ? weakly<Pattern>(() => compiledPattern(literal)) : undefined;
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const subject = text.run(evaluation);
      const written = pattern.run(evaluation);
      if (typeof subject !== "string" || typeof written !== "string") {
        return overloadFailure("matches", [subject, written], position);
      }
      let regex = ready?.();
      if (regex === undefined) {
        // Paid before it is parsed, and again before it is compiled.
        evaluation.spend(REGEX_COMPILE_STEPS + parsingCost(written) * REGEX_INSTRUCTION_STEPS);
        accept(written, [createPatternAllowance()], (message) => failed(message, position));
        regex = compiledPattern(written);
        evaluation.spend(regex.size * REGEX_INSTRUCTION_STEPS);
      }
      evaluation.spend((subject.length * regex.size) / REGEX_WORK_PER_STEP);
      return regex.test(subject);
    },
  };
}

/** Accepts a pattern; `problem` creates the error if it cannot be read or is too large. */
function accept(
  pattern: string,
  allowances: readonly Allowance[],
  problem: (message: string) => ExpressionError,
): void {
  if (pattern.length > REGEX_CHARS_MAX)
    throw problem(`the regular expression is longer than ${REGEX_CHARS_MAX} characters`);
  try {
    acceptPattern(pattern, allowances);
  } catch (error) {
    throw error instanceof PatternError ? problem(error.message) : error;
  }
}
