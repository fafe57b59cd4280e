// The values of CEL: JSON values as they are, and a class for each kind that JSON lacks.
import type { Instant } from "../duration.ts";
import { failed } from "./expression-error.ts";

/** What a value is. */
type Kind =
  | "null"
  | "bool"
  | "number"
  | "string"
  | "bytes"
  | "list"
  | "map"
  | "timestamp"
  | "duration"
  | "optional"
  | "type";

/** What is known of a value before the expression runs: its kind, or `dyn` for any kind. */
export type Type = Kind | "dyn";

/** A value of a kind that JSON lacks. All other values are plain JSON. */
export abstract class Special {
  abstract readonly kind: Kind;
}

export class Timestamp extends Special {
  readonly kind = "timestamp";
  readonly instant: Instant;
  constructor(instant: Instant) {
    super();
    this.instant = instant;
  }
}

export class Duration extends Special {
  readonly kind = "duration";
  /** Whole microseconds. */
  readonly micros: number;
  constructor(micros: number) {
    super();
    // 285 years; a double cannot count more microseconds one by one.
    if (!Number.isSafeInteger(micros)) throw failed("the duration is longer than 285 years");
    this.micros = micros;
  }
}

export class Bytes extends Special {
  readonly kind = "bytes";
  readonly data: Buffer;
  constructor(data: Buffer) {
    super();
    this.data = data;
  }
}

export class Optional extends Special {
  readonly kind = "optional";
  /** Undefined if there is no value. */
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    super();
    this.value = value;
  }
}

export class TypeName extends Special {
  readonly kind = "type";
  readonly name: string;
  constructor(name: string) {
    super();
    this.name = name;
  }
}

export type ValueMap = { [key: string]: Value };
export type Value = null | boolean | number | string | Value[] | ValueMap | Special;

/** The optional without a value. */
export const NONE = new Optional(undefined);

export function kindOf(value: Value): Kind {
  switch (typeof value) {
    case "string":
      return "string";
    case "number":
      return "number";
    case "boolean":
      return "bool";
    default:
      if (value === null) return "null";
      if (Array.isArray(value)) return "list";
      return value instanceof Special ? value.kind : "map";
  }
}

export function isMap(value: Value): value is ValueMap {
  return kindOf(value) === "map";
}

/** Types by the name an expression writes. */
export const TYPE_NAMES: ReadonlyMap<string, TypeName> = new Map(
  // There is one number type, which has three names.
  [
    ["int", "double"],
    ["uint", "double"],
    ["double", "double"],
    ["bool", "bool"],
    ["string", "string"],
    ["bytes", "bytes"],
    ["list", "list"],
    ["map", "map"],
    ["null_type", "null_type"],
    ["type", "type"],
    ["optional_type", "optional_type"],
    ["google.protobuf.Timestamp", "google.protobuf.Timestamp"],
    ["google.protobuf.Duration", "google.protobuf.Duration"],
  ].map(([written, name]) => [written!, new TypeName(name!)]),
);

export function typeOf(value: Value): TypeName {
  const kind = kindOf(value);
  switch (kind) {
    case "number":
      return TYPE_NAMES.get("double")!;
    case "null":
      return TYPE_NAMES.get("null_type")!;
    case "timestamp":
      return TYPE_NAMES.get("google.protobuf.Timestamp")!;
    case "duration":
      return TYPE_NAMES.get("google.protobuf.Duration")!;
    case "optional":
      return TYPE_NAMES.get("optional_type")!;
    default:
      return TYPE_NAMES.get(kind)!;
  }
}
