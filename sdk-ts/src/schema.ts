/** Schemas of vars, outputs and answers: schemas of a library such as Zod, or plain JSON Schema. */
import { messageOf } from "./errors.ts";
import { isJsonObject, type Json, type JsonObject, jsonObjectOf } from "./json.ts";

/** A schema of a library that implements the Standard Schema and Standard JSON Schema interfaces, such as Zod 4
 *  (https://standardschema.dev). */
export type StandardSchema<Input = unknown, Output = unknown> = {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly jsonSchema: { readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown> };
  };
};

/** An untyped JSON Schema (2020-12, local `$ref` only). `jsonSchema` makes one with a type. */
export type JsonSchema = { readonly [keyword: string]: unknown; readonly "~standard"?: never };

export type Schema = StandardSchema | JsonSchema;

/** The JSON that a schema accepts, before the schema's own transformations. `Otherwise` for an untyped JSON Schema. */
export type JsonOf<S, Otherwise = Json> = S extends StandardSchema
  ? NonNullable<S["~standard"]["types"]>["input"]
  : Otherwise;

/** The type of a run's vars: what a start passes, with defaults filled in. */
export type VarsOf<S> = S extends StandardSchema
  ? WithDefaults<NonNullable<S["~standard"]["types"]>["input"], NonNullable<S["~standard"]["types"]>["output"]>
  : JsonObject;

/** A top-level name has a default if the input may leave it out and the output always has it. */
type WithDefaults<Input, Output> = Simplified<
  Pick<Input, Exclude<keyof Input, DefaultedKeys<Input, Output>>> & {
    [K in DefaultedKeys<Input, Output>]-?: Exclude<Input[K], undefined>;
  }
>;
type DefaultedKeys<Input, Output> = Exclude<keyof Input & keyof Output, OptionalKeys<Output>> & OptionalKeys<Input>;
type OptionalKeys<T> = { [K in keyof T]-?: undefined extends T[K] ? K : never }[keyof T];
/** The same type, shown as one object. */
export type Simplified<T> = { [K in keyof T]: T[K] };

/** Adds a type to a JSON Schema. Nothing checks that the schema describes this type.
 *
 *  `vars: jsonSchema<{ amount?: number }>({ type: "object", properties: { amount: { type: "number" } } })` */
export function jsonSchema<T>(schema: { readonly [keyword: string]: unknown }): StandardSchema<T, T> {
  return { "~standard": { version: 1, vendor: "abstractruntime", jsonSchema: { input: () => ({ ...schema }) } } };
}

/** What to use instead, by the vendor of a Standard Schema without a JSON Schema. */
const JSON_SCHEMA_SINCE: Readonly<Record<string, string>> = {
  zod: "it takes zod >=4.2.0 <5, imported from `zod`, not `zod/v4` of zod 3.25",
  valibot: "convert it with @valibot/to-json-schema, and pass the JSON Schema",
  arktype: "use arktype 2.1.28 or newer",
};

/** The JSON Schema that goes into a graph.
 *  @param what for messages
 *  @throws {TypeError} if the schema cannot be written as JSON Schema: it has a transformation or a date, or its
 *  library is too old */
export function toJsonSchema(schema: Schema, what: string): JsonObject {
  if (!isStandardSchema(schema)) return jsonObjectOf(schema, what);
  const { jsonSchema: converter, vendor } = schema["~standard"];
  if ((converter as unknown) === undefined) {
    const advice = JSON_SCHEMA_SINCE[vendor] ?? "pass a JSON Schema, for example by jsonSchema()";
    throw new TypeError(`${what}: this release of ${vendor} cannot write its schemas as JSON Schema; ${advice}`);
  }
  try {
    return jsonObjectOf(converter.input({ target: "draft-2020-12" }), what);
  } catch (error) {
    throw new TypeError(`${what} has no JSON Schema: ${messageOf(error)}`, { cause: error });
  }
}

function isStandardSchema(schema: Schema): schema is StandardSchema {
  // A library's schemas may be functions.
  return (typeof schema === "object" || typeof schema === "function") && "~standard" in schema;
}

/** The defaults that a schema states for top-level names. The server fills in these, and no deeper ones. */
export function defaultsOf(schema: JsonObject): JsonObject {
  const { properties } = schema;
  if (!isJsonObject(properties)) return {};
  const defaults: JsonObject = {};
  for (const [name, property] of Object.entries(properties)) {
    if (isJsonObject(property) && property["default"] !== undefined) defaults[name] = property["default"];
  }
  return defaults;
}
