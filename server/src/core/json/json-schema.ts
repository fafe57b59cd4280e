/**
 * JSON Schema 2020-12 for vars and answers. Schemas come from outside, so they are bounded when they are accepted,
 * patterns run on RE2, and validation counts its steps.
 */
import { hash } from "node:crypto";

import type { FieldProblem } from "../errors.ts";
import { createWeighedCache, weakly } from "../weighed-cache.ts";
import { canonicalJson, type Json } from "./json.ts";
import { checkSchema, type SchemaAllowances } from "./schema-check.ts";
import { type Check, compileCheck, type Evaluation, StepLimit } from "./schema-evaluation.ts";

/** How many problems are reported. */
const PROBLEMS_MAX = 10;
/** Steps of one validation: a payload of 1 MiB has at most half a million values, and a step takes up to 0.2 µs. */
const VALIDATION_STEPS_MAX = 2_000_000;
/** Steps of the second pass, which collects all problems: each step may allocate. */
const REPORT_STEPS_MAX = 20_000;

/** What a compiled schema weighs: measured 0.6 KiB per subschema, each at least 2 characters, … */
const BYTES_PER_CHARACTER = 32;
/** … and what it weighs apart from them. */
const COMPILED_BYTES = 1024;
/** What all compiled schemas of a server may weigh. */
const COMPILED_BYTES_MAX = 32 * 1024 * 1024;

export type SchemaValidator = {
  /** Returns the first ten problems of `value`, each with a JSON Pointer into it. Empty if it is valid. */
  validate(value: Json): FieldProblem[];
};

/** The compiled schemas of this process, by digest: graphs, answers and handlers' questions share them. */
const COMPILED = createWeighedCache<Check>(COMPILED_BYTES_MAX);

/**
 * Checks a schema (schema-check.ts says how) and returns its validator, which compiles it at its first use. The formats
 * that are checked are in schema-formats.ts.
 * @param shared what this schema uses together with others
 * @throws {SchemaError} if it is not a schema of 2020-12, is too large, or has a foreign `$ref` or a pattern that RE2
 * does not accept
 */
export function compileSchema(schema: Json, shared?: Partial<SchemaAllowances>): SchemaValidator {
  checkSchema(schema, shared);
  const compiled = weakly(() => compiledCheck(schema));
  return { validate: (value) => problemsOf(compiled(), value) };
}

function compiledCheck(schema: Json): Check {
  const text = canonicalJson(schema);
  const digest = hash("sha256", text);
  const known = COMPILED.get(digest);
  if (known !== undefined) return known;
  const check = compileCheck(schema);
  COMPILED.put(digest, check, COMPILED_BYTES + text.length * BYTES_PER_CHARACTER);
  return check;
}

function problemsOf(check: Check, value: Json): FieldProblem[] {
  const outcome = runBounded(check, value, { stepsLeft: VALIDATION_STEPS_MAX, problems: undefined, path: [] });
  if (outcome === true) return [];
  if (outcome === "limit") return [{ path: "", message: "the value takes too long to check against the schema" }];
  const problems: FieldProblem[] = [];
  // The second pass may end at its bound; what it found until then is reported.
  runBounded(check, value, { stepsLeft: REPORT_STEPS_MAX, problems, path: [] });
  return problems.length > 0 ? problems.slice(0, PROBLEMS_MAX) : [{ path: "", message: "does not fit the schema" }];
}

function runBounded(check: Check, value: Json, evaluation: Evaluation): boolean | "limit" {
  try {
    return check(value, evaluation, undefined);
  } catch (error) {
    // A reference that leads to itself recurses until the stack ends.
    if (error instanceof StepLimit || error instanceof RangeError) return "limit";
    throw error;
  }
}
