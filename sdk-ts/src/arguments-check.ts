/** Arguments of tools: the JSON Schema that a worker registers, and the check of the arguments of each call. */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";

import { messageOf } from "./errors.ts";
import { isJsonObject, pointerOfSegments } from "./json.ts";
import { type Schema, type StandardSchema, toJsonSchema } from "./schema.ts";

/** The check of a Standard Schema. A schema made by `jsonSchema()` of this package has no check. */
type Validate = (value: unknown) => StandardResult | Promise<StandardResult>;
type StandardResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };
type StandardIssue = {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
};

/** The arguments that a function receives: what the schema makes of the call's arguments. */
export type ParsedOf<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];

/** One reason why arguments do not fit. */
export type ArgumentsProblem = {
  /** The JSON Pointer of the place in the arguments. */
  path: string;
  message: string;
};

export type ArgumentsCheck = {
  /** The schema that the worker registers. Absent: any object. */
  schema?: JsonObject;
  /** Checks arguments; a Standard Schema also parses them. Returns at most ten problems. */
  parse(args: JsonValue): Promise<{ args: unknown } | { problems: ArgumentsProblem[] }>;
};

/** Longest schema as JSON text, UTF-8 bytes, by the contract. */
const SCHEMA_BYTES_MAX = 64 * 1024;
/** How many problems are returned. */
const PROBLEMS_MAX = 10;
/** How much of a problem's message is returned: libraries may print the value itself. */
const PROBLEM_CHARS_MAX = 500;

/** @param toolName for messages
 *  @throws {TypeError} if the schema cannot be used */
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
  // Bound, because libraries may read `this`.
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
  assertSupported(toolName, schema);
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

/** Keywords that the validator gets wrong in some schemas (the official vectors show it), or does not know. */
const UNSUPPORTED = new Set([
  "unevaluatedItems",
  "unevaluatedProperties",
  "$dynamicRef",
  "$recursiveRef",
  "additionalItems",
]);
/** Keywords whose value has schemas by name, and keywords whose value is no schema. */
const SCHEMAS_BY_NAME = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
  "dependencies",
]);
const VALUES = new Set(["const", "enum", "default", "examples"]);

/** The name `__proto__` is refused in all JSON, and the validator does not see it. */
function isNamedProto(keyword: string, inner: JsonValue | undefined): boolean {
  return SCHEMAS_BY_NAME.has(keyword) && isJsonObject(inner) && Object.hasOwn(inner, "__proto__");
}

/** The server would refuse references to elsewhere, and the validator's own messages do not say where they are. */
function assertSupported(toolName: string, schema: JsonValue): void {
  if (typeof schema !== "object" || schema === null) return;
  for (const [keyword, inner] of Object.entries(schema)) {
    if (UNSUPPORTED.has(keyword) || isNamedProto(keyword, inner)) {
      throw new TypeError(
        `the input of tool ${toolName}: ${UNSUPPORTED.has(keyword) ? keyword : "the name __proto__"} is not supported; ` +
          "use a schema of a library such as Zod, or write the schema without it",
      );
    }
    if (keyword === "$ref" && typeof inner === "string" && !inner.startsWith("#")) {
      throw new TypeError(
        `the input of tool ${toolName}: a reference must begin with # and point into the same schema: ${inner}`,
      );
    }
    if (inner === undefined || VALUES.has(keyword)) continue;
    if (!SCHEMAS_BY_NAME.has(keyword)) assertSupported(toolName, inner);
    else if (isJsonObject(inner)) for (const named of Object.values(inner)) assertSupported(toolName, named);
  }
}

/** The tool's author is trusted with the schema; nobody is trusted with the values. */
function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({
    strict: false,
    logger: false,
    // Properties of Object.prototype do not count as members.
    ownProperties: true,
    // Formats are not checked: the server, which checks schemas too, knows fewer formats than the plugin.
    validateFormats: false,
  });
  // The library compares all pairs: a list of 100,000 objects would block the worker for minutes.
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

/** JSON text that is the same for equal values. */
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
