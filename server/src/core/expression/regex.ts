// Regular expressions, run by RE2, which does not backtrack.
import { RE2JS } from "re2js";

import type { Code, Compiler } from "./code.ts";
import { type ExpressionError, failed, invalid } from "./expression-error.ts";
import { overloadFailure } from "./overloads.ts";

/** Size of all regular expressions of one expression, in RE2 instructions. Compiling 1,000 takes about 10 ms. */
const REGEX_INSTRUCTIONS_MAX = 2_000;
/** Longest regular expression, in UTF-16 units. */
const REGEX_CHARS_MAX = 1_024;
/** RE2 instructions times characters per step. The slowest patterns take 50 ns for each. */
const REGEX_WORK_PER_STEP = 128;
/** Steps for compiling a regular expression that is not a literal: it is compiled at each evaluation. */
const REGEX_COMPILE_STEPS = 1_000;
/** Further steps for each instruction of such a regular expression. */
const REGEX_INSTRUCTION_STEPS = 10;

export function compileMatches(text: Code, pattern: Code, position: number, compiler: Compiler): Code {
  for (const code of [text, pattern]) {
    if (code.type !== "string" && code.type !== "dyn")
      throw invalid(`matches() takes strings, not ${code.type}`, position);
  }
  let ready: RE2JS | undefined;
  if (typeof pattern.literal === "string") {
    ready = compileRegex(pattern.literal, (message) => invalid(message, position));
    compiler.regexInstructions += ready.programSize();
    if (compiler.regexInstructions > REGEX_INSTRUCTIONS_MAX) {
      throw invalid("the regular expressions of this expression are too large in total", position);
    }
  }
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const subject = text.run(evaluation);
      const written = pattern.run(evaluation);
      if (typeof subject !== "string" || typeof written !== "string") {
        return overloadFailure("matches", [subject, written], position);
      }
      let regex = ready;
      if (regex === undefined) {
        evaluation.spend(REGEX_COMPILE_STEPS);
        regex = compileRegex(written, (message) => failed(message, position));
        evaluation.spend(regex.programSize() * REGEX_INSTRUCTION_STEPS);
      }
      evaluation.spend((subject.length * regex.programSize()) / REGEX_WORK_PER_STEP);
      return regex.test(subject);
    },
  };
}

/** Compiles a pattern; `problem` creates the error if RE2 refuses it. */
function compileRegex(pattern: string, problem: (message: string) => ExpressionError): RE2JS {
  if (pattern.length > REGEX_CHARS_MAX)
    throw problem(`the regular expression is longer than ${REGEX_CHARS_MAX} characters`);
  let regex: RE2JS;
  try {
    regex = RE2JS.compile(pattern);
  } catch (error) {
    throw problem(error instanceof Error ? error.message : "the regular expression cannot be parsed");
  }
  if (regex.programSize() > REGEX_INSTRUCTIONS_MAX) throw problem("the regular expression is too large");
  return regex;
}
