// Conversions between kinds, and to and from JSON text.
import { canonicalJson, parseJson } from "../json/json.ts";
import { failed, shown } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { resultToJson } from "./result.ts";
import { typeOf, type Value } from "./values.ts";

/** Conversions, except to numbers, strings and times: their files have these. */
export const CONVERSIONS: Overloads = {
  "bool(bool): bool": (_, a: boolean) => a,
  "bool(string): bool": (_, a: string) => {
    if (["true", "True", "TRUE", "t", "1"].includes(a)) return true;
    if (["false", "False", "FALSE", "f", "0"].includes(a)) return false;
    throw failed(`${shown(a)} is neither true nor false`);
  },
  "dyn(dyn): dyn": (_, a: Value) => a,
  "type(dyn): type": (_, a: Value) => typeOf(a),
  "json(dyn): string": (evaluation, value: Value) => {
    const text = canonicalJson(resultToJson(value));
    // Paid afterwards: resultToJson bounds the work by the size of a payload.
    evaluation.json(text.length);
    return text;
  },
  "parseJson(string): dyn": (evaluation, text: string) => {
    evaluation.json(text.length);
    return parseJson(text);
  },
};
