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

/** A kind where it is known before an expression runs, or `dyn`. */
export type Type = Kind | "dyn";

/** What JSON has no value for; everything else is the JSON value itself. */
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
    // 285 years; beyond, a double loses microseconds.
    if (!Number.isSafeInteger(micros)) throw failed("a duration is at most 285 years");
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
  /** Undefined for none. */
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

export const TYPE_NAMES: ReadonlyMap<string, TypeName> = new Map(
  // There is one number type, so all its names mean the same.
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
      return new TypeName("google.protobuf.Timestamp");
    case "duration":
      return new TypeName("google.protobuf.Duration");
    case "optional":
      return new TypeName("optional_type");
    default:
      return TYPE_NAMES.get(kind)!;
  }
}
