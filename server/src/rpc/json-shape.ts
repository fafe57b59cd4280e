/** Checks JSON against a message's fields and finds every problem with its path. The decoder stops at the first
 *  problem and reports no path. The check is stricter than proto JSON in one respect: an enum must be its full name,
 *  never a number. */
import { type DescEnum, type DescField, type DescMessage, fromJson, ScalarType } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import type { FieldProblem } from "../core/errors.ts";
import { parseInstant } from "../core/duration.ts";
import { isJsonObject, type Json } from "../core/json/json.ts";
import { dottedPath, type Segment } from "./field-path.ts";

/** The maximum number of problems to report: more would help nobody. */
const PROBLEMS_MAX = 100;
/** How many names a problem with an enum lists. */
const NAMES_SHOWN_MAX = 12;
/** How much of an unknown name a path shows. */
const NAME_CHARS_MAX = 128;

/** Every problem of `json` as a message of this type, at most 100. */
export function jsonProblems(desc: DescMessage, json: Json): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const path: Segment[] = [];

  const report = (message: string): void => {
    if (problems.length < PROBLEMS_MAX) problems.push({ path: dottedPath(path), message });
  };
  const at = (segment: Segment, check: () => void): void => {
    path.push(segment);
    check();
    path.pop();
  };

  const checkMessage = (message: DescMessage, value: Json): void => {
    if (message.typeName.startsWith("google.protobuf.")) return checkWellKnown(message, value);
    if (!isJsonObject(value)) return report("must be an object");
    const fields = fieldsByName(message);
    const seen = new Set<DescField>();
    const chosen = new Map<string, string>();
    for (const [name, member] of Object.entries(value)) {
      const field = fields.get(name);
      if (field === undefined) {
        at(name.slice(0, NAME_CHARS_MAX), () => report("unknown field"));
        continue;
      }
      at(field.jsonName, () => {
        if (seen.has(field)) return report("is given twice, by its proto name and by its JSON name");
        seen.add(field);
        if (member === null && !isValue(field)) return;
        checkField(field, member);
      });
      if (field.oneof === undefined || member === null) continue;
      const other = chosen.get(field.oneof.name);
      if (other !== undefined) report(`only one of ${other} and ${field.jsonName} may be given`);
      chosen.set(field.oneof.name, field.jsonName);
    }
  };

  const checkField = (field: DescField, value: Json): void => {
    switch (field.fieldKind) {
      case "list":
        if (!Array.isArray(value)) return report("must be a list");
        for (const [index, item] of value.entries()) at(index, () => checkElement(field, item));
        return;
      case "map":
        if (!isJsonObject(value)) return report("must be an object");
        for (const [key, item] of Object.entries(value)) {
          at(key.slice(0, NAME_CHARS_MAX), () => checkElement(field, item));
        }
        return;
      case "message":
        return checkMessage(field.message, value);
      case "enum":
        return checkEnum(field.enum, value);
      case "scalar":
        return checkScalar(field.scalar, value);
    }
  };

  const checkElement = (field: DescField & { fieldKind: "list" | "map" }, value: Json): void => {
    const kind = field.fieldKind === "list" ? field.listKind : field.mapKind;
    if (value === null && !isValue(field)) return report("must not be null");
    if (kind === "message" && field.message !== undefined) return checkMessage(field.message, value);
    if (kind === "enum" && field.enum !== undefined) return checkEnum(field.enum, value);
    if (kind === "scalar" && field.scalar !== undefined) return checkScalar(field.scalar, value);
  };

  const checkEnum = (desc: DescEnum, value: Json): void => {
    if (typeof value === "string" && desc.values.some(({ name }) => name === value)) return;
    const names = desc.values.slice(0, NAMES_SHOWN_MAX).map(({ name }) => name);
    report(`must be one of ${names.join(", ")}${desc.values.length > NAMES_SHOWN_MAX ? ", …" : ""}`);
  };

  const checkScalar = (scalar: ScalarType, value: Json): void => {
    const expected = SCALARS[scalar];
    if (!expected.accepts(value)) report(expected.message);
  };

  const checkWellKnown = (message: DescMessage, value: Json): void => {
    try {
      fromJson(message, value);
      // JavaScript's dates take days that do not exist for later ones.
      if (message.typeName === "google.protobuf.Timestamp") parseInstant(value as string);
    } catch {
      report(WELL_KNOWN[message.typeName] ?? "is malformed");
    }
  };

  checkMessage(desc, json);
  return problems;
}

const WELL_KNOWN: Record<string, string> = {
  "google.protobuf.Struct": "must be an object",
  "google.protobuf.ListValue": "must be a list",
  "google.protobuf.Timestamp": "must be a time such as 2026-12-24T18:00:00Z",
  "google.protobuf.Duration": "must be a duration in seconds such as 90s or 0.5s",
};

type Scalar = { accepts: (value: Json) => boolean; message: string };

const INTEGER_TEXT = /^-?(0|[1-9][0-9]{0,19})$/;

function integer(min: bigint, max: bigint): Scalar {
  return {
    message: `must be an integer from ${min} to ${max}`,
    accepts: (value) => {
      const isInteger = typeof value === "string" ? INTEGER_TEXT.test(value) : Number.isInteger(value);
      if (!isInteger) return false;
      const number = BigInt(value as string | number);
      return number >= min && number <= max;
    },
  };
}

const INT32 = integer(-(2n ** 31n), 2n ** 31n - 1n);
const UINT32 = integer(0n, 2n ** 32n - 1n);
const INT64 = integer(-(2n ** 63n), 2n ** 63n - 1n);
const UINT64 = integer(0n, 2n ** 64n - 1n);
const NUMBER: Scalar = {
  message: "must be a number",
  accepts: (value) =>
    typeof value === "number" || (typeof value === "string" && value.trim() !== "" && !isNotNumber(value)),
};

function isNotNumber(text: string): boolean {
  return text !== "NaN" && Number.isNaN(Number(text));
}

const SCALARS: Record<ScalarType, Scalar> = {
  [ScalarType.DOUBLE]: NUMBER,
  [ScalarType.FLOAT]: NUMBER,
  [ScalarType.INT32]: INT32,
  [ScalarType.SINT32]: INT32,
  [ScalarType.SFIXED32]: INT32,
  [ScalarType.UINT32]: UINT32,
  [ScalarType.FIXED32]: UINT32,
  [ScalarType.INT64]: INT64,
  [ScalarType.SINT64]: INT64,
  [ScalarType.SFIXED64]: INT64,
  [ScalarType.UINT64]: UINT64,
  [ScalarType.FIXED64]: UINT64,
  [ScalarType.BOOL]: { message: "must be true or false", accepts: (value) => typeof value === "boolean" },
  [ScalarType.STRING]: { message: "must be a string", accepts: (value) => typeof value === "string" },
  [ScalarType.BYTES]: { message: "must be base64 text", accepts: isBase64 },
};

function isBase64(value: Json): boolean {
  try {
    return typeof value === "string" && base64Decode(value).length >= 0;
  } catch {
    return false;
  }
}

function isValue(field: DescField): boolean {
  return field.message?.typeName === "google.protobuf.Value";
}

const FIELDS = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

function fieldsByName(desc: DescMessage): ReadonlyMap<string, DescField> {
  let fields = FIELDS.get(desc);
  if (fields === undefined) {
    fields = new Map(
      desc.fields.flatMap((field) => [field.name, field.jsonName].map((name) => [name, field] as const)),
    );
    FIELDS.set(desc, fields);
  }
  return fields;
}
