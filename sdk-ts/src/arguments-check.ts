/** Arguments of tools: the JSON Schema that is told to others, and the check of what comes in. */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";

import { messageOf } from "./errors.ts";
import { isJsonObject, pointerOfSegments } from "./json.ts";
import { type Schema, type StandardSchema, toJsonSchema } from "./schema.ts";

/** The check of a Standard Schema; `jsonSchema()` of this package has none. */
type Validate = (value: unknown) => StandardResult | Promise<StandardResult>;
type StandardResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };
type StandardIssue = {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
};

/** What a function gets: the arguments as the schema makes them of what comes in. */
export type ParsedOf<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];

/** One way in which arguments do not fit. */
export type ArgumentsProblem = {
  /** The JSON Pointer of the place in the arguments. */
  path: string;
  message: string;
};

export type ArgumentsCheck = {
  /** What the worker registers; absent: any object. */
  schema?: JsonObject;
  /** Checks arguments; a Standard Schema also parses them. At most ten problems are told. */
  parse(args: JsonValue): Promise<{ args: unknown } | { problems: ArgumentsProblem[] }>;
};

/** Longest schema as JSON text, UTF-8 bytes, by the contract. */
const SCHEMA_BYTES_MAX = 64 * 1024;
/** How many problems a caller is told. */
const PROBLEMS_MAX = 10;
/** How much of one problem's message: libraries may print the value itself. */
const PROBLEM_CHARS_MAX = 500;

/** @param toolName for messages
 *  @throws {TypeError} the schema cannot be used */
export function createArgumentsCheck(toolName: string, input: Schema | undefined): ArgumentsCheck {
  if (input === undefined) return { parse: parseAnyObject };
  const schema = toJsonSchema(input, `the input of tool ${toolName}`);
  assertSchemaSize(toolName, schema);
  const validate = validateOf(input);
  if (validate !== undefined) return { schema, parse: (args) => parseByLibrary(validate, args) };
  return { schema, parse: compileParse(toolName, schema) };
}

function validateOf(input: Schema): Validate | undefined {
  const standard = input["~standard"] as { validate?: Validate } | undefined;
  // Bound: libraries may read `this`.
  return standard?.validate?.bind(standard);
}

function assertSchemaSize(toolName: string, schema: JsonObject): void {
  const bytes = Buffer.byteLength(JSON.stringify(schema));
  if (bytes > SCHEMA_BYTES_MAX) {
    throw new TypeError(
      `the input of tool ${toolName} has ${bytes} bytes as JSON Schema, more than ${SCHEMA_BYTES_MAX}`,
    );
  }
}

async function parseAnyObject(args: JsonValue): ReturnType<ArgumentsCheck["parse"]> {
  return isJsonObject(args) ? { args } : { problems: [{ path: "", message: "must be object" }] };
}

async function parseByLibrary(validate: Validate, args: JsonValue): ReturnType<ArgumentsCheck["parse"]> {
  const result = await validate(args);
  if (result.issues === undefined) return { args: result.value };
  return {
    problems: result.issues.slice(0, PROBLEMS_MAX).map(({ message, path = [] }) => ({
      path: pointerOfSegments(path.map((segment) => String(typeof segment === "object" ? segment.key : segment))),
      message: message.slice(0, PROBLEM_CHARS_MAX),
    })),
  };
}

function compileParse(toolName: string, schema: JsonObject): ArgumentsCheck["parse"] {
  assertLocalReferences(toolName, schema);
  const ajv = createAjv();
  let validate: ReturnType<Ajv2020["compile"]>;
  try {
    validate = ajv.compile(schema);
  } catch (error) {
    throw new TypeError(`the input of tool ${toolName} is not a JSON Schema 2020-12: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return async (args) => {
    if (validate(args)) return { args };
    return { problems: (validate.errors ?? []).slice(0, PROBLEMS_MAX).map(problemOf) };
  };
}

/** The server would refuse it, and the compiler's own message names no place. */
function assertLocalReferences(toolName: string, value: JsonValue): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if ((key === "$ref" || key === "$dynamicRef") && typeof inner === "string" && !inner.startsWith("#")) {
      throw new TypeError(
        `the input of tool ${toolName}: references lead into the same schema, they begin with #: ${inner}`,
      );
    }
    if (inner !== undefined) assertLocalReferences(toolName, inner);
  }
}

/** The schema is the tool's author's; the values are anybody's. */
function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({
    strict: false,
    logger: false,
    // Names of Object.prototype are not members.
    ownProperties: true,
    // Says nothing about formats: the server, which checks schemas, knows fewer than the plugin does.
    validateFormats: false,
  });
  // The library compares all pairs: a list of 100,000 objects would stop the worker for minutes.
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must not have duplicate items" },
    validate: (unique: boolean, list: JsonValue[]) => !unique || new Set(list.map(sortedText)).size === list.length,
  });
  return ajv;
}

/** The same text for equal values. */
function sortedText(value: JsonValue): string {
  return JSON.stringify(value, (_key, inner: JsonValue) =>
    isJsonObject(inner) ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

function problemOf(error: ErrorObject): ArgumentsProblem {
  const { additionalProperty, unevaluatedProperty, allowedValues } = error.params as { [name: string]: unknown };
  const detail = additionalProperty ?? unevaluatedProperty ?? allowedValues;
  const message = error.message ?? "does not fit";
  const text = detail === undefined ? message : `${message}: ${JSON.stringify(detail)}`;
  return { path: error.instancePath, message: text.slice(0, PROBLEM_CHARS_MAX).toWellFormed() };
}
