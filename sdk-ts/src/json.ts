/** JSON as callers see it: plain values, never google.protobuf messages. */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { NullValue, type Value } from "@bufbuild/protobuf/wkt";

export type { JsonObject } from "@bufbuild/protobuf";

/** Any JSON value. */
export type Json = JsonValue;

/** A value with more levels is assumed to contain itself. Twice the depth that the contract allows. */
const LEVELS_MAX = 64;
/** The longest JSON text of a value, in UTF-16 units: many times what a request may have. Parts that occur several
 *  times count each time, so a small value cannot stand for an endless text. */
const CHARS_MAX = 64 * 1024 * 1024;

/** The value has no JSON, or only one that means something else. */
export class NotJsonError extends TypeError {}

/** The value's JSON text is longer than it may be. */
export class JsonTooLargeError extends TypeError {}

/** The JSON of a value, in a new copy. This one rule decides what is JSON for vars, answers, events, step plans and the
 *  results of jobs: nothing is lost without a word.
 *
 *  As in JSON.stringify, members that are `undefined` and members whose name is a symbol are left out, `toJSON` is
 *  called (dates, URLs), an object of a class is written with its own members, and `-0` becomes 0.
 *  @param charsMax bounds the length of the JSON text from below: a value whose text is surely longer is given up early
 *  @throws {NotJsonError} if the value has what JSON.stringify would write as something else, such as `{}` or null:
 *  errors, maps, sets, bytes, streams and everything else that is iterated over, promises, objects of a class without a
 *  member, functions, symbols, bigints, NaN, invalid dates; `undefined` and holes in lists; lone surrogates, U+0000;
 *  cycles. The message names the place as a JSON Pointer
 *  @throws {JsonTooLargeError} if the text has more than `charsMax` characters */
export function jsonOf(value: unknown, charsMax: number = CHARS_MAX): Json {
  return new JsonReader(charsMax).read(value);
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

class JsonReader {
  /** The names and indexes of the current place. */
  readonly #path: (string | number)[] = [];
  readonly #charsMax: number;
  /** The JSON text has at least so many characters. */
  #chars = 0;

  constructor(charsMax: number) {
    this.#charsMax = charsMax;
  }

  read(value: unknown): Json {
    const json = this.#json(value);
    // A value without a `toJSON` is undefined only where its caller says so.
    if (json === undefined) throw this.#notJson({ what: "a value of type undefined" });
    return json;
  }

  /** Undefined if a member with this value is left out. */
  #json(value: unknown): Json | undefined {
    switch (typeof value) {
      case "string":
        this.#count(value.length);
        this.#assertText(value);
        return value;
      case "boolean":
        this.#count(1);
        return value;
      case "number":
        if (!Number.isFinite(value)) throw this.#notJson({ what: `the number ${value}` });
        this.#count(1);
        return value === 0 ? 0 : value;
      case "object":
        this.#count(1);
        return value === null ? null : this.#container(value);
      case "undefined":
        return undefined;
      case "bigint":
        // Some programs give all bigints a `toJSON`.
        return toJsonOf(value) === undefined ? this.#refuse(value) : this.#replaced(value);
      case "function":
      case "symbol":
        return this.#refuse(value);
    }
  }

  #refuse(value: bigint | symbol | object): never {
    throw this.#notJson({ what: `a value of type ${typeof value}` });
  }

  #container(value: object): Json | undefined {
    if (this.#path.length >= LEVELS_MAX) {
      throw this.#notJson({ what: `a value with more than ${LEVELS_MAX} levels`, advice: "does it contain itself?" });
    }
    this.#assertKnown(value);
    if (toJsonOf(value) !== undefined) return this.#replaced(value);
    return this.#members(value);
  }

  #members(value: object): Json {
    return Array.isArray(value) ? this.#list(value) : this.#object(value);
  }

  #assertKnown(value: object): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === Array.prototype || prototype === null) return;
    const foreign = foreignKindOf(value);
    if (foreign !== undefined) throw this.#notJson(foreign);
  }

  #list(value: readonly unknown[]): Json {
    const list: Json[] = [];
    for (let index = 0; index < value.length; index++) {
      this.#path.push(index);
      // A hole is undefined too.
      list.push(this.read(value[index]));
      this.#path.pop();
    }
    return list;
  }

  #object(value: object): Json {
    const copy: JsonObject = {};
    for (const key of Object.keys(value)) {
      this.#path.push(key);
      const json = this.#json((value as Readonly<Record<string, unknown>>)[key]);
      if (json !== undefined) {
        this.#count(key.length);
        this.#assertText(key);
        if (key === "__proto__") define(copy, key, json);
        else copy[key] = json;
      }
      this.#path.pop();
    }
    return copy;
  }

  #replaced(value: object | bigint): Json | undefined {
    let replacement: unknown;
    try {
      replacement = (value as { toJSON(key: string): unknown }).toJSON(String(this.#path.at(-1) ?? ""));
    } catch (error) {
      throw this.#notJson({ what: `a value whose toJSON failed${messageAfterColon(error)}` }, error);
    }
    if (typeof replacement !== "object" || replacement === null) return this.#json(replacement);
    this.#assertKnown(replacement);
    // As in JSON.stringify, the replacement's own toJSON is not called.
    return this.#members(replacement);
  }

  #count(chars: number): void {
    this.#chars += chars;
    if (this.#chars > this.#charsMax) {
      throw new JsonTooLargeError(`the value has more than ${this.#charsMax} characters as JSON text`);
    }
  }

  /** I-JSON (RFC 7493) has no lone surrogates: in a message they would become U+FFFD. No database holds U+0000. */
  #assertText(text: string): void {
    if (!text.isWellFormed()) throw this.#notJson({ what: "a string with a lone surrogate" });
    if (text.includes("\0")) throw this.#notJson({ what: "a string with the character U+0000" });
  }

  #notJson({ what, advice }: Foreign, cause?: unknown): NotJsonError {
    const place = this.#path.length === 0 ? "" : `: ${pointerOfSegments(this.#path.map(String))}`;
    const message = `${what} is not JSON${place}${advice === undefined ? "" : `; ${advice}`}`;
    return new NotJsonError(message, cause === undefined ? undefined : { cause });
  }
}

/** What is not JSON, and what to do. */
type Foreign = { what: string; advice?: string };

function toJsonOf(value: object | bigint): unknown {
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === "function" ? toJSON : undefined;
}

function define(object: JsonObject, name: string, value: Json): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** What an object is if JSON.stringify would write something else than its content: `{}`, null, or an object with a
 *  member for each byte. Some of these have a `toJSON` that does so. */
function foreignKindOf(value: object): Foreign | undefined {
  const what = `a ${classOf(value)}`;
  if (value instanceof Error) return { what: what + messageAfterColon(value), advice: "throw it" };
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? { what: "an invalid Date" } : undefined;
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return { what, advice: "encode bytes as text" };
  if (typeof (value as { then?: unknown }).then === "function") return { what, advice: "await it" };
  if (Array.isArray(value) || toJsonOf(value) !== undefined) return undefined;
  if (Symbol.iterator in value || Symbol.asyncIterator in value)
    return { what, advice: "make a list or an object of it" };
  // The content of a RegExp or a Response is not in members. A class without a name is that of a plain object.
  const isMemberless = classOf(value) !== "Object" && Object.keys(value).length === 0;
  return isMemberless ? { what: `${what} without members` } : undefined;
}

function classOf(value: object): string {
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name !== "" ? name : "Object";
}

function messageAfterColon(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === "string" && message !== "" ? `: ${message}` : "";
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
