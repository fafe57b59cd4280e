/** Converts between google.protobuf.Value and plain JSON. */
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

export function valueOf(value: Value | undefined): JsonValue {
  return value === undefined ? null : toJson(ValueSchema, value);
}

export function toValue(json: JsonValue): Value {
  return fromJson(ValueSchema, json);
}
