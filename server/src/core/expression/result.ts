// Converts the value of an expression to JSON or to text.
import { DomainError } from "../errors.ts";
import { assertJson, type Json, JSON_DEPTH_MAX, type JsonObject, plainText } from "../json/json.ts";
import { LIST_ITEMS_MAX } from "./evaluation.ts";
import { failed, limit } from "./expression-error.ts";
import { durationText, timestampText } from "./time.ts";
import { Bytes, Duration, Optional, Special, Timestamp, TypeName, type Value } from "./values.ts";

/** Returns a value as JSON that fits into a payload.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT */
export function resultToJson(value: Value): Json {
  const json = toJson(value, 0, { left: LIST_ITEMS_MAX * 2 });
  try {
    assertJson(json);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const tooMuch = error.reason === "PAYLOAD_TOO_LARGE" || error.reason === "PAYLOAD_TOO_DEEP";
    throw tooMuch ? limit(`the result has ${error.message}`) : failed(`the result is not JSON: ${error.message}`);
  }
  return json;
}

/** Replaces the values that JSON lacks. Parts without such values are shared with `value`, not copied. */
function toJson(value: Value, depth: number, budget: { left: number }): Json {
  // Values share parts, so the tree may be far larger than the memory it occupies.
  if (--budget.left < 0) throw limit("the result has too many values");
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Special) return specialToJson(value, depth, budget);
  if (depth >= JSON_DEPTH_MAX) throw limit(`the result has more than ${JSON_DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    let copy: Json[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const json = toJson(value[i]!, depth + 1, budget);
      if (json !== value[i]) (copy ??= value.slice() as Json[])[i] = json;
    }
    return copy ?? (value as Json[]);
  }
  let copy: JsonObject | undefined;
  for (const key of Object.keys(value)) {
    const json = toJson(value[key]!, depth + 1, budget);
    if (json !== value[key]) (copy ??= Object.assign(Object.create(null), value) as JsonObject)[key] = json;
  }
  return copy ?? (value as JsonObject);
}

function specialToJson(value: Special, depth: number, budget: { left: number }): Json {
  if (value instanceof Timestamp) return timestampText(value.instant);
  if (value instanceof Duration) return durationText(value.micros);
  if (value instanceof Bytes) return value.data.toString("base64");
  if (value instanceof TypeName) return value.name;
  if (value instanceof Optional && value.value !== undefined) return toJson(value.value, depth, budget);
  throw failed("the result is an optional that has no value: add .orValue(...)");
}

/** A value inside a text: a string unchanged, any other value as JSON text. */
export function textOf(value: Value): string {
  return plainText(resultToJson(value));
}
