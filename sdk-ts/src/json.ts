/** JSON as callers see it: plain values, never google.protobuf messages. */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { NullValue, type Value } from "@bufbuild/protobuf/wkt";

export type { JsonObject } from "@bufbuild/protobuf";

/** Any JSON value. */
export type Json = JsonValue;

/** A value with more levels is assumed to contain itself. Twice the depth that the contract allows. */
const LEVELS_MAX = 64;

/** The JSON of a value. Members that are `undefined` are left out, `toJSON` (dates, URLs) is called, `-0` becomes 0.
 *  @throws {TypeError} if the value contains what JSON cannot express: NaN, bigint, functions, symbols, holes in lists,
 *  cycles, maps, sets, bytes, promises, lone surrogates; the message names the place as a JSON Pointer */
export function jsonOf(value: unknown): Json {
  return readJson(value, { pointer: "", level: 0 });
}

/** The JSON of a value that must be an object.
 *  @param what for messages
 *  @throws {TypeError} as `jsonOf`, or if the value is not an object */
export function jsonObjectOf(value: unknown, what: string): JsonObject {
  const json = jsonOf(value);
  if (isJsonObject(json)) return json;
  throw new TypeError(`${what} must be a JSON object`);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Place = { pointer: string; level: number };

function readJson(value: unknown, place: Place): Json {
  switch (typeof value) {
    case "string":
      assertWellFormed(value, place);
      return value;
    case "boolean":
      return value;
    case "number":
      if (!Number.isFinite(value)) throw notJson(`the number ${value}`, place);
      return value === 0 ? 0 : value;
    case "object":
      return value === null ? null : readContainer(value, place);
    case "undefined":
    case "bigint":
    case "function":
    case "symbol":
      throw notJson(`a value of type ${typeof value}`, place);
  }
}

function readContainer(value: object, place: Place): Json {
  if (place.level >= LEVELS_MAX) throw notJson(`more than ${LEVELS_MAX} levels`, place);
  const within = (key: string | number): Place => ({
    pointer: place.pointer + pointerOfSegments([String(key)]),
    level: place.level + 1,
  });
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return readJson((value as { toJSON(): unknown }).toJSON(), { ...place, level: place.level + 1 });
  }
  const foreign = foreignKindOf(value);
  if (foreign !== undefined) throw notJson(`a ${foreign}`, place);
  if (Array.isArray(value)) return Array.from(value, (item: unknown, index) => readJson(item, within(index)));
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  for (const [key] of entries) assertWellFormed(key, within(key));
  return Object.fromEntries(entries.map(([key, member]) => [key, readJson(member, within(key))]));
}

/** The class name of an object that JSON.stringify would write as `{}`, or as an object with a member for each byte.
 *  Returns undefined for other objects. */
export function foreignKindOf(value: object): string | undefined {
  const isForeign =
    value instanceof Map ||
    value instanceof Set ||
    value instanceof Promise ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value);
  return isForeign ? value.constructor.name : undefined;
}

/** I-JSON (RFC 7493) has no lone surrogates; in a message they would become U+FFFD. */
function assertWellFormed(text: string, place: Place): void {
  if (!text.isWellFormed()) throw notJson("a string with a lone surrogate", place);
}

function notJson(what: string, { pointer }: Place): TypeError {
  return new TypeError(`${what} is not JSON${pointer === "" ? "" : `: ${pointer}`}`);
}

/** The JSON Pointer (RFC 6901) of names and indexes, from the outermost one inwards. */
export function pointerOfSegments(segments: readonly string[]): string {
  return segments.map((segment) => `/${segment.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The google.protobuf.Value of a JSON value. */
export function valueOfJson(json: Json): Value {
  return { $typeName: "google.protobuf.Value", kind: kindOf(json) };
}

function kindOf(json: Json): Value["kind"] {
  if (typeof json === "string") return { case: "stringValue", value: json };
  if (typeof json === "number") return { case: "numberValue", value: json };
  if (typeof json === "boolean") return { case: "boolValue", value: json };
  if (json === null) return { case: "nullValue", value: NullValue.NULL_VALUE };
  if (Array.isArray(json)) {
    return { case: "listValue", value: { $typeName: "google.protobuf.ListValue", values: json.map(valueOfJson) } };
  }
  const fields = Object.fromEntries(Object.entries(json).map(([key, member]) => [key, valueOfJson(member)]));
  return { case: "structValue", value: { $typeName: "google.protobuf.Struct", fields } };
}

/** The JSON of a google.protobuf.Value; null if the value is missing. */
export function jsonOfValue(value: Value | undefined): Json {
  const kind = value?.kind;
  switch (kind?.case) {
    case "structValue":
      return Object.fromEntries(
        Object.entries(kind.value.fields).map(([key, member]) => [key, jsonOfValue(member)] as const),
      );
    case "listValue":
      return kind.value.values.map(jsonOfValue);
    case "numberValue":
    case "stringValue":
    case "boolValue":
      return kind.value;
    case "nullValue":
    case undefined:
      return null;
  }
}
