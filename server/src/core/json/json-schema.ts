// JSON Schema 2020-12 for vars, answers and tool arguments. Schemas come from outside, so they are bounded before they
// are compiled, patterns run on RE2, and validation counts its steps.
import assert from "node:assert/strict";

import { Ajv2020 } from "ajv/dist/2020.js";
import { _, type ErrorObject, type ValidateFunction } from "ajv";
import { RE2JS } from "re2js";

import { InstantError, parseInstant } from "../duration.ts";
import { DomainError, type FieldProblem } from "../errors.ts";
import { assertJson, canonicalJson, deepEqual, isJsonObject, type Json } from "./json.ts";
import { pointerText } from "./pointer-text.ts";

/** Longest schema, in UTF-8 bytes: compiling produces about ten times as much code. */
const SCHEMA_BYTES_MAX = 64 * 1024;
/** How deep a schema may nest. */
const SCHEMA_DEPTH_MAX = 32;
/** Schemas within a schema: each becomes code that is compiled when a graph is registered, about 0.1 ms apiece. */
const SUBSCHEMAS_MAX = 1_000;

/** How many problems are reported. */
const PROBLEMS_MAX = 10;
/** Steps of one validation: a payload of 1 MiB has at most half a million values, and a step takes up to 0.6 µs. */
const VALIDATION_STEPS_MAX = 2_000_000;
/** Steps of the second pass, which collects all problems: each step may allocate. */
const REPORT_STEPS_MAX = 20_000;
/** RE2 instructions times characters per step: the slowest patterns take 50 ns for each. */
const REGEX_WORK_PER_STEP = 8;
/** Total RE2 instructions of the patterns of one schema: compiling 1,000 of them takes about 10 ms. */
const REGEX_INSTRUCTIONS_MAX = 5_000;

/** A schema that cannot be used. */
export class SchemaError extends Error {
  /** The JSON Pointer of the place in the schema. */
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.name = "SchemaError";
    this.path = path;
  }
}

export type SchemaValidator = {
  /** Returns the first ten problems of `value`, each with a JSON Pointer into it. Empty if it is valid. */
  validate(value: Json): FieldProblem[];
};

/** Compiles a schema. `format` is checked for date-time, date, time, email, uri and uuid; other formats and unknown
 *  keywords are ignored. `$ref` must stay within the schema; `$id` is allowed at the root only and is ignored.
 *  @throws {SchemaError} if it is not a schema of 2020-12, is too large, or has a foreign `$ref` or a pattern that RE2
 *  does not accept */
export function compileSchema(schema: Json): SchemaValidator {
  if (typeof schema !== "boolean" && !isJsonObject(schema))
    throw new SchemaError("", "a schema must be an object or a boolean");
  try {
    assertJson(schema, { depthMax: SCHEMA_DEPTH_MAX, bytesMax: SCHEMA_BYTES_MAX });
  } catch (error) {
    if (error instanceof DomainError) throw new SchemaError(error.metadata["pointer"] ?? "", error.message);
    throw error;
  }
  const walk: Walk = { subschemas: 0, regexInstructions: 0 };
  // Two copies: the compiled one has steps, which the meta-schema does not know.
  const plain = copySchema(schema, "", walk, false);
  // Checking against the meta-schema takes steps as well.
  stepsLeft = VALIDATION_STEPS_MAX;
  if (AJV.validateSchema(plain) !== true) {
    const problem = AJV.errors?.[0];
    throw new SchemaError(problem?.instancePath ?? "", problem === undefined ? "not a schema" : problemText(problem));
  }
  const counted = copySchema(schema, "", { subschemas: 0, regexInstructions: 0 }, true);
  const first = compileWith(AJV, counted);
  let all: ValidateFunction | undefined;
  return {
    validate(value) {
      const outcome = runBounded(first, value, VALIDATION_STEPS_MAX);
      if (outcome === true) return [];
      if (outcome === "limit") return [{ path: "", message: "the value takes too long to check against the schema" }];
      const firstProblems = problemsOf(first);
      all ??= compileWith(AJV_ALL, counted);
      // The second pass may hit its step limit; then only the problem of the first pass is reported.
      return runBounded(all, value, REPORT_STEPS_MAX) === false ? problemsOf(all) : firstProblems;
    },
  };
}

// ── The schema's copy ──

/** Keywords by the type of their value. Only these reach the compiler. */
const VALUE_KEYWORDS = words(`
  type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern
  maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required dependentRequired
  format $ref $anchor $dynamicRef $dynamicAnchor`);
const SCHEMA_KEYWORDS = words(`
  items contains additionalProperties propertyNames not if then else unevaluatedItems unevaluatedProperties`);
const LIST_KEYWORDS = words("allOf anyOf oneOf prefixItems");
const MAP_KEYWORDS = words("properties patternProperties $defs definitions dependentSchemas");

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
/** Our own keyword, first in each subschema: it counts the steps of checking one value. */
const STEP = "abstractruntime-step";

type Walk = { subschemas: number; regexInstructions: number };
type PlainSchema = boolean | { [keyword: string]: unknown };

/** A plain copy of a schema with the known keywords only, and with steps if asked for. */
function copySchema(schema: Json, path: string, walk: Walk, withSteps: boolean): PlainSchema {
  if (typeof schema === "boolean") return schema;
  if (!isJsonObject(schema)) throw new SchemaError(path, "a schema must be an object or a boolean");
  if (++walk.subschemas > SUBSCHEMAS_MAX) throw new SchemaError(path, `more than ${SUBSCHEMAS_MAX} subschemas`);
  const before = walk.subschemas;
  const copy: { [keyword: string]: unknown } = {};
  for (const [keyword, value] of Object.entries(schema)) {
    const at = `${path}${pointerText([keyword])}`;
    if (keyword === "$schema" && (typeof value !== "string" || value.replace(/#$/, "") !== DIALECT)) {
      throw new SchemaError(at, `only ${DIALECT} is supported`);
    }
    if (keyword === "$id" && path !== "") throw new SchemaError(at, "$id is allowed at the root only");
    if (VALUE_KEYWORDS.has(keyword)) copy[keyword] = copyValue(keyword, value, at, walk);
    else if (SCHEMA_KEYWORDS.has(keyword)) copy[keyword] = copySchema(value, at, walk, withSteps);
    else if (LIST_KEYWORDS.has(keyword)) {
      if (!Array.isArray(value)) throw new SchemaError(at, "must be a list of schemas");
      copy[keyword] = value.map((item, i) => copySchema(item, `${at}/${i}`, walk, withSteps));
    } else if (MAP_KEYWORDS.has(keyword)) {
      if (!isJsonObject(value)) throw new SchemaError(at, "must be an object of schemas");
      const map: { [name: string]: unknown } = {};
      for (const [name, item] of Object.entries(value)) {
        if (keyword === "patternProperties") checkPattern(name, `${at}${pointerText([name])}`, walk);
        map[name] = copySchema(item, `${at}${pointerText([name])}`, walk, withSteps);
      }
      copy[keyword] = map;
    }
  }
  if (withSteps) copy[STEP] = 1 + walk.subschemas - before;
  return copy;
}

function copyValue(keyword: string, value: Json, path: string, walk: Walk): unknown {
  if ((keyword === "$ref" || keyword === "$dynamicRef") && (typeof value !== "string" || !value.startsWith("#"))) {
    throw new SchemaError(path, "a reference must stay within the schema, so it must begin with #");
  }
  if (keyword === "pattern" && typeof value === "string") checkPattern(value, path, walk);
  return value;
}

function checkPattern(pattern: string, path: string, walk: Walk): void {
  try {
    walk.regexInstructions += RE2JS.compile(pattern).programSize();
  } catch (error) {
    throw new SchemaError(path, error instanceof Error ? error.message : "the pattern cannot be read");
  }
  if (walk.regexInstructions > REGEX_INSTRUCTIONS_MAX)
    throw new SchemaError(path, "the patterns are too large in total");
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}

// ── The compiler ──

class StepLimit extends Error {}

/** The remaining steps of the current validation; validation is synchronous and does not nest. */
let stepsLeft = 0;

function spend(steps: number): void {
  stepsLeft -= steps;
  if (stepsLeft < 0) throw new StepLimit();
}

const AJV = createAjv(false);
const AJV_ALL = createAjv(true);

function createAjv(allErrors: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors,
    strict: false,
    logger: false,
    // Inherited names of Object.prototype are not members.
    ownProperties: true,
    // Inlined references would multiply the code.
    inlineRefs: false,
    code: { regExp: Object.assign(re2, { code: "re2" }) },
    formats: FORMATS(),
  });
  // Before all keywords that lead to other schemas, so that the steps of failing subschemas count as well.
  // json-schema.test.ts checks what this relies on.
  const first = ajv.RULES.rules.find((group) => group.type === undefined)?.rules[0]?.keyword;
  assert(first !== undefined, "ajv has no group of keywords for every type");
  ajv.addKeyword({
    keyword: STEP,
    before: first,
    validate: (weight: number, data: unknown) => {
      // `contains` checks every element within one keyword.
      spend(Array.isArray(data) ? weight * (1 + data.length) : weight);
      return true;
    },
  });
  // The library compares with a method of Object.prototype, which our objects do not have.
  ajv.removeKeyword("const");
  ajv.addKeyword({
    keyword: "const",
    error: { message: "must be equal to constant" },
    validate: (constant: Json, data: Json) => deepEqual(constant, data),
  });
  ajv.removeKeyword("enum");
  ajv.addKeyword({
    keyword: "enum",
    error: {
      message: "must be equal to one of the allowed values",
      params: ({ schemaCode }) => _`{allowedValues: ${schemaCode}}`,
    },
    validate: (allowed: Json[], data: Json) => {
      spend(allowed.length / 16);
      return allowed.some((value) => deepEqual(value, data));
    },
  });
  // The library compares all pairs, which takes quadratic time.
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must not have duplicate items" },
    validate: (unique: boolean, list: Json[]) => {
      if (!unique) return true;
      const seen = new Set<string>();
      for (const item of list) {
        const text = canonicalJson(item);
        spend(1 + text.length / 16);
        if (seen.has(text)) return false;
        seen.add(text);
      }
      return true;
    },
  });
  return ajv;
}

function compileWith(ajv: Ajv2020, schema: PlainSchema): ValidateFunction {
  try {
    return ajv.compile(schema);
  } catch (error) {
    throw new SchemaError("", error instanceof Error ? error.message : "the schema cannot be compiled");
  } finally {
    // The library would keep every compiled schema for ever.
    if (typeof schema === "object") ajv.removeSchema(schema);
  }
}

function re2(pattern: string): { test(text: string): boolean; toString(): string } {
  const regex = RE2JS.compile(pattern);
  const size = regex.programSize();
  return {
    test: (text) => {
      spend((text.length * size) / REGEX_WORK_PER_STEP);
      return regex.test(text);
    },
    // The library uses this text to tell patterns apart.
    toString: () => `/${pattern}/`,
  };
}

function FORMATS(): Record<string, (text: string) => boolean> {
  const instant = (text: string): boolean => {
    try {
      parseInstant(text);
      return true;
    } catch (error) {
      if (error instanceof InstantError) return false;
      throw error;
    }
  };
  return {
    "date-time": instant,
    date: (text) => /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) && instant(`${text}T00:00:00Z`),
    time: (text) => instant(`2000-01-02T${text}`),
    email: (text) => text.length <= 320 && /^[^\s@]{1,64}@[^\s@.]+(?:\.[^\s@.]+)*$/.test(text),
    uri: (text) => /^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$/.test(text) && URL.canParse(text),
    uuid: (text) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text),
  };
}

function runBounded(validate: ValidateFunction, value: Json, steps: number): boolean | "limit" {
  stepsLeft = steps;
  try {
    return validate(value);
  } catch (error) {
    // A reference that leads to itself recurses until the stack ends.
    if (error instanceof StepLimit || error instanceof RangeError) return "limit";
    throw error;
  }
}

function problemsOf(validate: ValidateFunction): FieldProblem[] {
  const problems = (validate.errors ?? []).slice(0, PROBLEMS_MAX);
  return problems.map((error) => ({ path: error.instancePath, message: problemText(error) }));
}

/** How much of a name or of the allowed values a message shows. */
const SHOWN_CHARS_MAX = 200;

function problemText(error: ErrorObject): string {
  const message = error.message ?? "does not fit";
  const { additionalProperty, unevaluatedProperty, allowedValues } = error.params as {
    [name: string]: Json | undefined;
  };
  const detail = additionalProperty ?? unevaluatedProperty ?? allowedValues;
  const text = detail === undefined ? message : `${message}: ${canonicalJson(detail)}`;
  return text.length > SHOWN_CHARS_MAX ? text.slice(0, SHOWN_CHARS_MAX).toWellFormed() + "…" : text;
}
