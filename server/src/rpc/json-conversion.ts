/** Converts google.protobuf.Struct and Value to and from core's Json. protobuf-es represents a Struct field as a
 *  plain object, a Value as a message. */
import type { JsonObject as StructObject } from "@bufbuild/protobuf";
import { NullValue, type Value } from "@bufbuild/protobuf/wkt";
import { emptyObject, isJsonObject, type Json, type JsonObject } from "../core/json/json.ts";

/** A copy whose objects have no prototype, as everywhere below rpc; `-0` becomes 0. */
export function jsonFromPlain(value: unknown): Json {
  if (typeof value === "number") return value === 0 ? 0 : value;
  if (value === null || typeof value !== "object") return value as Json;
  if (Array.isArray(value)) return value.map(jsonFromPlain);
  return jsonObjectFromStruct(value as StructObject);
}

/** A copy of a Struct field; the empty object if the field is missing. */
export function jsonObjectFromStruct(struct: StructObject | undefined): JsonObject {
  const object = emptyObject();
  for (const key of Object.keys(struct ?? {})) object[key] = jsonFromPlain(struct?.[key]);
  return object;
}

/** The JSON of a Value; null if the Value or its kind is missing. */
export function jsonFromValue(value: Value | undefined): Json {
  const kind = value?.kind;
  switch (kind?.case) {
    case "structValue": {
      const object = emptyObject();
      for (const key of Object.keys(kind.value.fields)) object[key] = jsonFromValue(kind.value.fields[key]);
      return object;
    }
    case "listValue":
      return kind.value.values.map(jsonFromValue);
    case "numberValue":
      return kind.value === 0 ? 0 : kind.value;
    case "stringValue":
    case "boolValue":
      return kind.value;
    case "nullValue":
    case undefined:
      return null;
  }
}

/** Builds the message without `create`, which is several times slower for each value of a payload. */
export function valueFromJson(json: Json): Value {
  return { $typeName: "google.protobuf.Value", kind: kindFromJson(json) };
}

function kindFromJson(json: Json): Value["kind"] {
  if (typeof json === "string") return { case: "stringValue", value: json };
  if (typeof json === "number") return { case: "numberValue", value: json };
  if (typeof json === "boolean") return { case: "boolValue", value: json };
  if (json === null) return { case: "nullValue", value: NullValue.NULL_VALUE };
  if (Array.isArray(json)) {
    return { case: "listValue", value: { $typeName: "google.protobuf.ListValue", values: json.map(valueFromJson) } };
  }
  const fields: Record<string, Value> = {};
  for (const [key, member] of Object.entries(json)) fields[key] = valueFromJson(member);
  return { case: "structValue", value: { $typeName: "google.protobuf.Struct", fields } };
}

export function optionalValue(json: Json | undefined): Value | undefined {
  return json === undefined ? undefined : valueFromJson(json);
}

/** A Struct field of a JSON object; absent for anything else. */
export function structFromJson(json: Json | undefined): StructObject | undefined {
  return json === undefined || !isJsonObject(json) ? undefined : json;
}
