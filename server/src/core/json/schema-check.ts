/** Checks schemas: whether they are schemas of JSON Schema 2020-12, and within bounds. Compiles nothing. */
import { type Allowance, createAllowance, spend } from "../allowance.ts";
import { DomainError } from "../errors.ts";
import { acceptPattern, PatternError } from "../pattern.ts";
import { isJsonObject, type Json, type JsonObject, measureJson } from "./json.ts";
import { pointerText } from "./pointer-text.ts";
import { pointerOfReference } from "./schema-reference.ts";

/** Longest schema, in UTF-8 bytes. */
const SCHEMA_BYTES_MAX = 64 * 1024;
/** How deep a schema may nest. */
const SCHEMA_DEPTH_MAX = 32;
/** Schemas within a schema. */
const SUBSCHEMAS_MAX = 1_000;
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

/** What the schemas and regular expressions of one graph or one hello may use together. */
export type SchemaAllowances = { bytes: Allowance; subschemas: Allowance; patterns: Allowance };
export type SchemaBounds = { bytesMax: number; subschemasMax: number; regexInstructionsMax: number };

/** @param what for messages: "graph" */
export function createSchemaAllowances(what: string, bounds: SchemaBounds): SchemaAllowances {
  const { bytesMax, subschemasMax, regexInstructionsMax } = bounds;
  const total = (kind: string, max: string) => `the ${kind} of this ${what} are too large in total: at most ${max}`;
  return {
    bytes: createAllowance(bytesMax, total("schemas", `${bytesMax} bytes`)),
    subschemas: createAllowance(subschemasMax, total("schemas", `${subschemasMax} subschemas`)),
    patterns: createAllowance(
      regexInstructionsMax,
      total("regular expressions", `${regexInstructionsMax} RE2 instructions`),
    ),
  };
}

const NONE: Partial<SchemaAllowances> = {};

/**
 * Checks a schema. `$ref` must stay within it; `$id` is allowed at the root only, and is ignored. Unknown keywords are
 * ignored, but those of older drafts that would have restricted the value are refused.
 * @param shared what this schema uses together with others
 * @throws {SchemaError}
 */
export function checkSchema(schema: Json, shared: Partial<SchemaAllowances> = NONE): void {
  if (typeof schema !== "boolean" && !isJsonObject(schema))
    throw new SchemaError("", "a schema must be an object or a boolean");
  const { bytes } = measured(schema);
  take(shared.bytes, bytes, "");
  const subschemas = createAllowance(SUBSCHEMAS_MAX, `more than ${SUBSCHEMAS_MAX} subschemas`);
  const patterns = createAllowance(
    REGEX_INSTRUCTIONS_MAX,
    `the patterns of a schema are too large in total: at most ${REGEX_INSTRUCTIONS_MAX} RE2 instructions`,
  );
  const walk: Walk = {
    subschemas: [subschemas, ...(shared.subschemas === undefined ? [] : [shared.subschemas])],
    patterns: [patterns, ...(shared.patterns === undefined ? [] : [shared.patterns])],
    places: new Set(),
    anchors: new Set(),
    references: [],
  };
  checkSubschema(schema, "", walk);
  for (const { at, reference } of walk.references) checkReference(reference, at, walk);
}

function measured(schema: Json): { bytes: number } {
  try {
    return measureJson(schema, { depthMax: SCHEMA_DEPTH_MAX, bytesMax: SCHEMA_BYTES_MAX });
  } catch (error) {
    if (error instanceof DomainError) throw new SchemaError(error.metadata["pointer"] ?? "", error.message);
    throw error;
  }
}

type Walk = {
  subschemas: readonly Allowance[];
  patterns: readonly Allowance[];
  /** The JSON Pointers of all subschemas. */
  places: Set<string>;
  anchors: Set<string>;
  references: { at: string; reference: string }[];
};

function take(allowance: Allowance | undefined, amount: number, path: string): void {
  const problem = allowance && spend(allowance, amount);
  if (problem !== undefined) throw new SchemaError(path, problem);
}

function checkSubschema(schema: Json | undefined, path: string, walk: Walk): void {
  if (typeof schema !== "boolean" && !isJsonObject(schema))
    throw new SchemaError(path, "a schema must be an object or a boolean");
  walk.places.add(path);
  for (const allowance of walk.subschemas) take(allowance, 1, path);
  if (typeof schema === "boolean") return;
  for (const [keyword, value] of Object.entries(schema)) {
    const form = FORMS.get(keyword);
    form?.(value, `${path}${pointerText([keyword])}`, walk);
  }
}

function checkReference(reference: string, at: string, walk: Walk): void {
  const pointer = pointerOfReference(reference);
  const isKnown = pointer === undefined ? walk.anchors.has(reference.slice(1)) : walk.places.has(pointer);
  if (!isKnown) throw new SchemaError(at, `there is no schema at ${JSON.stringify(reference)}`);
}

// ── The form of each keyword's value ──

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
const TYPES = new Set(["array", "boolean", "integer", "null", "number", "object", "string"]);

/** Checks the value of a keyword. @throws {SchemaError} */
type Form = (value: Json, path: string, walk: Walk) => void;

const FORMS = new Map<string, Form>([
  ...forms("not if then else items contains additionalProperties propertyNames", checkSubschema),
  ...forms("unevaluatedItems unevaluatedProperties contentSchema", checkSubschema),
  ...forms("allOf anyOf oneOf prefixItems", schemaList),
  ...forms("properties $defs definitions dependentSchemas", schemaMap),
  ...forms("patternProperties", (value, path, walk) => {
    schemaMap(value, path, walk);
    for (const name of Object.keys(value as JsonObject)) checkPattern(name, `${path}${pointerText([name])}`, walk);
  }),
  ...forms("dependencies", (value, path, walk) =>
    eachMember(value, path, (item, at) => (Array.isArray(item) ? names(item, at) : checkSubschema(item, at, walk))),
  ),
  ...forms("dependentRequired", (value, path) => eachMember(value, path, names)),
  ...forms("required", names),
  ...forms("type", checkType),
  ...forms("enum examples", (value, path) => must(Array.isArray(value), path, "must be a list")),
  ...forms("minimum maximum exclusiveMinimum exclusiveMaximum", (value, path) =>
    must(typeof value === "number", path, "must be a number"),
  ),
  ...forms("multipleOf", (value, path) =>
    must(typeof value === "number" && value > 0, path, "must be a number greater than 0"),
  ),
  ...forms("minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains", (value, path) =>
    must(Number.isInteger(value) && (value as number) >= 0, path, "must be a whole number, 0 or more"),
  ),
  ...forms("uniqueItems deprecated readOnly writeOnly", (value, path) =>
    must(typeof value === "boolean", path, "must be true or false"),
  ),
  ...forms("format title description $comment contentEncoding contentMediaType", text),
  ...forms("pattern", (value, path, walk) => {
    text(value, path);
    checkPattern(value as string, path, walk);
  }),
  ...forms("$ref $dynamicRef", (value, path, walk) => {
    const isLocal = typeof value === "string" && value.startsWith("#");
    must(isLocal, path, "a reference must stay within the schema, so it must begin with #");
    walk.references.push({ at: path, reference: value as string });
  }),
  // There is one schema resource, so a dynamic anchor has one place and behaves as any other anchor.
  ...forms("$anchor $dynamicAnchor", (value, path, walk) => {
    const isName = typeof value === "string" && /^[A-Za-z_][-A-Za-z0-9._]*$/.test(value);
    must(isName, path, "must be a name: letters, digits, and - . _ after the first");
    must(!walk.anchors.has(value as string), path, `the anchor ${JSON.stringify(value)} occurs twice`);
    walk.anchors.add(value as string);
  }),
  ...forms("$schema", (value, path) =>
    must(typeof value === "string" && value.replace(/#$/, "") === DIALECT, path, `only ${DIALECT} is supported`),
  ),
  ...forms("$id", (value, path) => {
    must(path === "/$id", path, "$id is allowed at the root only");
    must(typeof value === "string" && /^[^#]*#?$/.test(value), path, "must be a URI without a fragment");
  }),
  ...forms("$vocabulary", (value, path) => must(isJsonObject(value), path, "must be an object")),
  // Ignored, these would accept what their author wanted to be refused.
  ...forms("additionalItems", older("items after prefixItems")),
  ...forms("$recursiveRef", older("$dynamicRef")),
  ...forms("$recursiveAnchor", older("$dynamicAnchor")),
  ...forms("divisibleBy", older("multipleOf")),
  ...forms("disallow", older("not")),
  ...forms("extends", older("allOf")),
]);

function forms(keywords: string, form: Form): [string, Form][] {
  return keywords.split(" ").map((keyword) => [keyword, form]);
}

function must(holds: boolean, path: string, message: string): void {
  if (!holds) throw new SchemaError(path, message);
}

function older(successor: string): Form {
  return (_value, path) => must(false, path, `is a keyword of an older draft; 2020-12 has ${successor} for it`);
}

function text(value: Json, path: string): void {
  must(typeof value === "string", path, "must be a string");
}

/** A list of different names. */
function names(value: Json, path: string): void {
  const isList = Array.isArray(value) && value.every((name) => typeof name === "string");
  must(isList, path, "must be a list of names");
  must(new Set(value as string[]).size === (value as string[]).length, path, "a name occurs twice in the list");
}

function checkType(value: Json, path: string): void {
  const isList = Array.isArray(value) && value.length > 0;
  const types = isList ? value : [value];
  const known = [...TYPES].join(", ");
  const isKnown = types.every((type) => typeof type === "string" && TYPES.has(type));
  must(isKnown, path, `must be one of ${known}, or a list of them`);
  must(new Set(types).size === types.length, path, "a type occurs twice in the list");
}

function schemaList(value: Json, path: string, walk: Walk): void {
  if (!Array.isArray(value) || value.length === 0) throw new SchemaError(path, "must be a list of schemas, not empty");
  for (const [index, item] of value.entries()) checkSubschema(item, `${path}/${index}`, walk);
}

function schemaMap(value: Json, path: string, walk: Walk): void {
  eachMember(value, path, (item, at) => checkSubschema(item, at, walk));
}

function eachMember(value: Json, path: string, check: (item: Json, path: string) => void): void {
  if (!isJsonObject(value)) throw new SchemaError(path, "must be an object of schemas");
  for (const [name, item] of Object.entries(value)) check(item, `${path}${pointerText([name])}`);
}

function checkPattern(pattern: string, path: string, { patterns }: Walk): void {
  try {
    acceptPattern(pattern, patterns);
  } catch (error) {
    throw error instanceof PatternError ? new SchemaError(path, error.message) : error;
  }
}
