import { DomainError } from "../errors.ts";
import { pointerText } from "./pointer-text.ts";

/** A JSON value as core, engine and store hold it. Objects from outside have no prototype (see `parseJson`).
 *  Values are immutable by convention: no code changes a Json that it received. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** How deep a payload may nest: protobuf decoders of several languages stop at 100 levels, and Struct needs three for
 *  each. */
export const JSON_DEPTH_MAX = 32;
/** How long a payload's text may be, in UTF-8 bytes: three of them fit in a message that default gRPC clients
 *  accept. */
export const JSON_BYTES_MAX = 1024 * 1024;

/** How much larger a payload may be as google.protobuf.Value than as text: two such payloads fit in 3 MiB. */
const WIRE_FACTOR_MAX = 1.25;
/** About how many bytes of tags and lengths surround a scalar in a list or a map; a container has them twice. */
const WIRE_OVERHEAD = 4;

/** Bounds for one value; a request body that wraps payloads needs wider ones than a payload. */
export type JsonBounds = { depthMax?: number; bytesMax?: number };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const NINE = 0x39;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Every integer of up to this many digits is exact in a double. */
const EXACT_DIGITS = 15;
/** The largest finite double has 309 digits; longer integers are refused without arithmetic. */
const INTEGER_DIGITS_MAX = 309;

/** Parses JSON text as I-JSON (RFC 7493). The objects it builds have no prototype; `-0` becomes 0.
 *
 *  Refused: duplicate names, the name `__proto__`, lone surrogates, U+0000, integers that a double cannot hold exactly,
 *  numbers beyond the doubles. A scalar is at level 0, `[]` at level 1. An integer is a number written without fraction
 *  and exponent.
 *  @throws {DomainError} PAYLOAD_INVALID, NUMBER_NOT_EXACT, PAYLOAD_TOO_DEEP, PAYLOAD_TOO_LARGE; the message has the
 *  JSON Pointer of the problem. */
export function parseJson(text: string, bounds: JsonBounds = {}): Json {
  const bytesMax = bounds.bytesMax ?? JSON_BYTES_MAX;
  // A UTF-16 unit is one to three UTF-8 bytes, so most texts are decided without counting.
  if (text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax)) {
    throw tooLarge(bytesMax);
  }
  return new JsonReader(text, { depthMax: bounds.depthMax ?? JSON_DEPTH_MAX, isOwn: false }).read();
}

/** One text of ours may contain several payloads, each within the bounds of a payload. */
const OWN_DEPTH_MAX = 2 * JSON_DEPTH_MAX;

/** Parses JSON text that this program wrote itself. Whole doubles beyond 2^53 are written with the fewest digits that
 *  read back as the same double, which are not exact as integers. The value was within its bounds when it was
 *  written. */
export function parseOwnJson(text: string): Json {
  return new JsonReader(text, { depthMax: OWN_DEPTH_MAX, isOwn: true }).read();
}

/** Whether a value is an object, not a list. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The empty prototype of `emptyObject`. */
const NO_MEMBERS: unknown = Object.freeze(Object.create(null));
function Members(): void {}
Members.prototype = NO_MEMBERS;

/** An object without members, own or inherited. An object without a prototype would do, but V8 stores those as hash
 *  tables, which take several times as long to create, copy and write. */
export function emptyObject(): JsonObject {
  return new (Members as unknown as new () => JsonObject)();
}

/** Parses a text in one pass. JSON.parse, a copy without prototypes and a scan for what JSON.parse accepts took about
 *  as long: 4.4 ms for 550 KB of rows, against 4.8 ms. */
class JsonReader {
  private readonly text: string;
  private readonly depthMax: number;
  private readonly isOwn: boolean;
  private position = 0;
  private depth = 0;
  /** The names and indexes of the path to the current value; entries at `depth` and beyond are stale. */
  private readonly path: (string | number)[] = [];

  constructor(text: string, { depthMax, isOwn }: { depthMax: number; isOwn: boolean }) {
    this.text = text;
    this.depthMax = depthMax;
    this.isOwn = isOwn;
  }

  read(): Json {
    const value = this.readValue(this.skipSpace());
    if (!Number.isNaN(this.skipSpace())) throw this.malformed();
    return value;
  }

  /** The next character that is not white space, or NaN at the end. */
  private skipSpace(): number {
    const text = this.text;
    let code = text.charCodeAt(this.position);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++this.position);
    return code;
  }

  private readValue(code: number): Json {
    switch (code) {
      case QUOTE:
        return this.readString();
      case OPEN_BRACE:
        return this.readObject();
      case OPEN_BRACKET:
        return this.readArray();
      case 0x74:
        return this.readWord("true", true);
      case 0x66:
        return this.readWord("false", false);
      case 0x6e:
        return this.readWord("null", null);
      default:
        return this.readNumber(code);
    }
  }

  private readWord<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) throw this.malformed();
    this.position += word.length;
    return value;
  }

  private readObject(): JsonObject {
    this.enter();
    const object = emptyObject();
    this.position += 1;
    let code = this.skipSpace();
    if (code === CLOSE_BRACE) {
      this.position += 1;
      return object;
    }
    for (;;) {
      if (code !== QUOTE) throw this.malformed();
      const key = this.readString();
      if (key === "__proto__") throw this.invalid("the member name __proto__ is not allowed");
      if (key in object) throw this.invalid(`the member name ${quoted(key)} appears twice`);
      if (this.skipSpace() !== COLON) throw this.malformed();
      this.position += 1;
      this.path[this.depth] = key;
      this.depth += 1;
      object[key] = this.readValue(this.skipSpace());
      this.depth -= 1;
      code = this.skipSpace();
      this.position += 1;
      if (code === CLOSE_BRACE) return object;
      if (code !== COMMA) throw this.malformed(-1);
      code = this.skipSpace();
    }
  }

  private readArray(): Json[] {
    this.enter();
    const list: Json[] = [];
    this.position += 1;
    let code = this.skipSpace();
    if (code === CLOSE_BRACKET) {
      this.position += 1;
      return list;
    }
    for (;;) {
      this.path[this.depth] = list.length;
      this.depth += 1;
      list.push(this.readValue(code));
      this.depth -= 1;
      code = this.skipSpace();
      this.position += 1;
      if (code === CLOSE_BRACKET) return list;
      if (code !== COMMA) throw this.malformed(-1);
      code = this.skipSpace();
    }
  }

  private enter(): void {
    if (this.depth >= this.depthMax) throw tooDeep(this.depthMax, this.pointer());
  }

  /** The string whose opening quote is at `position`. */
  private readString(): string {
    const text = this.text;
    let position = this.position + 1;
    let start = position;
    let built = "";
    for (;;) {
      const code = text.charCodeAt(position);
      if (code === QUOTE) {
        this.position = position + 1;
        return built === "" ? text.slice(start, position) : built + text.slice(start, position);
      }
      if (code === BACKSLASH) {
        built += text.slice(start, position);
        this.position = position + 1;
        built += this.readEscape();
        position = start = this.position;
      } else if (code >= 0xd800 && code <= 0xdfff) {
        const next = text.charCodeAt(position + 1);
        if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) throw this.invalid("lone surrogate");
        position += 2;
      } else if (code >= 0x20) {
        position += 1;
      } else {
        this.position = position;
        if (code === 0) throw this.invalid("U+0000 is not allowed");
        throw this.malformed();
      }
    }
  }

  /** Reads the escape after a backslash; both halves of a surrogate pair at once. */
  private readEscape(): string {
    switch (this.text.charCodeAt(this.position++)) {
      case QUOTE:
        return '"';
      case BACKSLASH:
        return "\\";
      case 0x2f:
        return "/";
      case 0x62:
        return "\b";
      case 0x66:
        return "\f";
      case 0x6e:
        return "\n";
      case 0x72:
        return "\r";
      case 0x74:
        return "\t";
      case 0x75: {
        const unit = this.readHex4();
        if (unit === 0) throw this.invalid("U+0000 is not allowed");
        if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
        if (unit <= 0xdbff && this.text.startsWith("\\u", this.position)) {
          this.position += 2;
          const low = this.readHex4();
          if (low >= 0xdc00 && low <= 0xdfff) return String.fromCharCode(unit, low);
        }
        throw this.invalid("lone surrogate");
      }
      default:
        throw this.malformed(-1);
    }
  }

  private readHex4(): number {
    let unit = 0;
    for (let i = 0; i < 4; i++) {
      const code = this.text.charCodeAt(this.position);
      const lower = code | 0x20;
      if (code >= ZERO && code <= NINE) unit = unit * 16 + code - ZERO;
      else if (lower >= 0x61 && lower <= 0x66) unit = unit * 16 + lower - 0x57;
      else throw this.malformed();
      this.position += 1;
    }
    return unit;
  }

  private readNumber(first: number): number {
    const start = this.position;
    const text = this.text;
    let code = first;
    if (code === MINUS) code = text.charCodeAt(++this.position);
    const digitsStart = this.position;
    if (code === ZERO) this.position += 1;
    else this.skipDigits(code);
    const digits = this.position - digitsStart;
    code = text.charCodeAt(this.position);
    let integer = true;
    if (code === DOT) {
      integer = false;
      this.skipDigits(text.charCodeAt(++this.position));
      code = text.charCodeAt(this.position);
    }
    if (code === 0x65 || code === 0x45) {
      integer = false;
      code = text.charCodeAt(++this.position);
      if (code === PLUS || code === MINUS) code = text.charCodeAt(++this.position);
      this.skipDigits(code);
    }
    if (digits > INTEGER_DIGITS_MAX) throw this.notExact();
    const source = text.slice(start, this.position);
    const value = Number(source);
    if (!Number.isFinite(value)) throw this.notExact();
    if (integer && !this.isOwn && digits > EXACT_DIGITS && BigInt(source) !== BigInt(value)) throw this.notExact();
    return value === 0 ? 0 : value;
  }

  /** Skips one or more digits; `code` is the first. */
  private skipDigits(code: number): void {
    if (!(code >= ZERO && code <= NINE)) throw this.malformed();
    do code = this.text.charCodeAt(++this.position);
    while (code >= ZERO && code <= NINE);
  }

  private pointer(): string {
    return pointerOf(this.path.slice(0, this.depth));
  }

  private invalid(what: string): DomainError {
    return invalid(what, this.pointer());
  }

  private notExact(): DomainError {
    return notExact(this.pointer());
  }

  private malformed(offset = 0): DomainError {
    const position = this.position + offset;
    const found = this.text.codePointAt(position);
    const what = found === undefined ? "the text ends too early" : `unexpected ${quoted(String.fromCodePoint(found))}`;
    return invalid(`malformed JSON at character ${position}: ${what}`, this.pointer());
  }
}

/** Checks a decoded value against the rules of `parseJson`; its size is the size of its canonical text.
 *  Objects must be plain: no prototype or Object.prototype, no symbols, no undefined members.
 *  @throws {DomainError} as `parseJson` */
export function assertJson(value: unknown, bounds: JsonBounds = {}): asserts value is Json {
  measureJson(value, bounds);
}

/** The size of a value: the bytes of its text, and about how many its google.protobuf.Value has. */
export type JsonSize = { bytes: number; wireBytes: number };

/** Checks the size of a list of measured values. @throws {DomainError} PAYLOAD_TOO_LARGE */
export function assertListFits(sizes: readonly JsonSize[]): void {
  let bytes = 1 + Math.max(sizes.length, 1);
  let wireBytes = 2 * WIRE_OVERHEAD;
  for (const size of sizes) {
    bytes += size.bytes;
    wireBytes += size.wireBytes;
  }
  if (bytes > JSON_BYTES_MAX) throw tooLarge(JSON_BYTES_MAX);
  if (wireBytes > JSON_BYTES_MAX * WIRE_FACTOR_MAX) throw tooLarge(JSON_BYTES_MAX * WIRE_FACTOR_MAX, "in protobuf");
}

/**
 * Checks a value as `assertJson` does, and returns its size.
 * @param measured returns the known sizes of members of `value`, if it is an object. They were checked under the same
 * bounds, with one level less of depth.
 * @throws {DomainError} as assertJson
 */
export function measureJson(
  value: unknown,
  bounds: JsonBounds = {},
  measured?: (name: string) => JsonSize | undefined,
): JsonSize {
  const depthMax = bounds.depthMax ?? JSON_DEPTH_MAX;
  const bytesMax = bounds.bytesMax ?? JSON_BYTES_MAX;
  const path: (string | number)[] = [];
  // A number takes two bytes as text but eleven as a google.protobuf.Value in a list, so both forms are bounded.
  const wireBytesMax = Math.max(bytesMax, JSON_BYTES_MAX) * WIRE_FACTOR_MAX;
  let bytes = 0;
  let wireBytes = 0;

  // A value with shared parts can be far larger as text than in memory, so the walk itself stops at the bound.
  const count = (more: number, moreOnWire = 0): void => {
    bytes += more;
    wireBytes += moreOnWire;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    if (wireBytes > wireBytesMax) throw tooLarge(wireBytesMax, "in protobuf");
  };
  const pointerAt = (depth: number): string => pointerOf(path.slice(0, depth));

  const checkString = (text: string, depth: number): void => {
    if (text.length > bytesMax) throw tooLarge(bytesMax);
    if (!text.isWellFormed()) throw invalid("lone surrogate", pointerAt(depth));
    let size = 2;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0) throw invalid("U+0000 is not allowed", pointerAt(depth));
      if (code < 0x20) size += code === 8 || code === 9 || code === 10 || code === 12 || code === 13 ? 2 : 6;
      else if (code < 0x80) size += code === QUOTE || code === BACKSLASH ? 2 : 1;
      else if (code < 0x800) size += 2;
      else size += code >= 0xd800 && code <= 0xdfff ? 2 : 3;
    }
    count(size, size + WIRE_OVERHEAD);
  };

  const check = (item: unknown, depth: number): void => {
    if (item === null) return count(4, WIRE_OVERHEAD);
    switch (typeof item) {
      case "string":
        return checkString(item, depth);
      case "boolean":
        return count(item ? 4 : 5, WIRE_OVERHEAD);
      case "number":
        if (!Number.isFinite(item)) throw notExact(pointerAt(depth));
        return count(String(item).length, WIRE_OVERHEAD + 8);
      case "object":
        break;
      default:
        throw invalid(`a value of type ${typeof item} is not JSON`, pointerAt(depth));
    }
    if (depth >= depthMax) throw tooDeep(depthMax, pointerAt(depth));
    count(2, 2 * WIRE_OVERHEAD);
    if (Array.isArray(item)) {
      for (let i = 0; i < item.length; i++) {
        path[depth] = i;
        if (i > 0) count(1);
        check(item[i], depth + 1);
      }
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(item);
    const isPlain = prototype === null || prototype === Object.prototype || prototype === NO_MEMBERS;
    if (!isPlain || Object.getOwnPropertySymbols(item).length > 0) {
      throw invalid("only plain objects are JSON", pointerAt(depth));
    }
    const keys = Object.keys(item);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      if (key === "__proto__") throw invalid("the member name __proto__ is not allowed", pointerAt(depth));
      checkString(key, depth);
      count(i > 0 ? 2 : 1);
      path[depth] = key;
      const size = depth === 0 ? measured?.(key) : undefined;
      if (size === undefined) check((item as Record<string, unknown>)[key], depth + 1);
      else count(size.bytes, size.wireBytes);
    }
  };
  check(value, 0);
  return { bytes, wireBytes };
}

/** The RFC 8785 text of a value: equal values have the same text, so it can be hashed. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  try {
    return JSON.stringify(withSortedMembers(value));
  } catch (error) {
    if (error === NOT_SORTABLE) return canonicalText(value);
    throw error;
  }
}

/** A value inside text: a string as it is, anything else as canonical JSON. */
export function plainText(value: Json): string {
  return typeof value === "string" ? value : canonicalJson(value);
}

const NOT_SORTABLE = new Error("JavaScript would reorder a member");

/** A copy whose members JSON.stringify writes in the order of UTF-16 code units, the order of RFC 8785 and of sort().
 *  This is three times as fast as joining texts. JavaScript puts names that are indexes first, so values with names
 *  that begin with a digit go through `canonicalText`. */
function withSortedMembers(value: Json[] | JsonObject): Json {
  if (Array.isArray(value)) {
    const list = new Array<Json>(value.length);
    for (let i = 0; i < value.length; i++) {
      const item = value[i]!;
      list[i] = item === null || typeof item !== "object" ? item : withSortedMembers(item);
    }
    return list;
  }
  const keys = Object.keys(value).toSorted();
  // With a prototype: objects of one shape are stringified faster.
  const object: JsonObject = {};
  for (const key of keys) {
    const code = key.charCodeAt(0);
    if ((code >= ZERO && code <= NINE) || key === "__proto__" || key === "toJSON") throw NOT_SORTABLE;
    const item = value[key]!;
    object[key] = item === null || typeof item !== "object" ? item : withSortedMembers(item);
  }
  return object;
}

function canonicalText(value: Json): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  let text = "";
  if (Array.isArray(value)) {
    for (const item of value) text += (text === "" ? "[" : ",") + canonicalText(item);
    return text === "" ? "[]" : text + "]";
  }
  for (const key of Object.keys(value).toSorted()) {
    text += (text === "" ? "{" : ",") + JSON.stringify(key) + ":" + canonicalText(value[key]!);
  }
  return text === "" ? "{}" : text + "}";
}

/** Whether two values are the same JSON; the order of members does not matter. */
export function deepEqual(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!deepEqual(a[i]!, b[i]!)) return false;
    return true;
  }
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const key of keys) if (!Object.hasOwn(b, key) || !deepEqual(a[key]!, b[key]!)) return false;
  return true;
}

/** How much of a name a message shows: messages travel in response headers. */
const QUOTED_CHARS_MAX = 64;
/** How much of a JSON Pointer a message shows, for the same reason. */
const POINTER_CHARS_MAX = 256;

function quoted(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARS_MAX ? text.slice(0, QUOTED_CHARS_MAX) + "…" : text);
}

function pointerOf(path: readonly (string | number)[]): string {
  const pointer = pointerText(path);
  if (pointer.length <= POINTER_CHARS_MAX) return pointer;
  return pointer.slice(0, POINTER_CHARS_MAX).toWellFormed() + "…";
}

function refusal(reason: "PAYLOAD_INVALID" | "NUMBER_NOT_EXACT" | "PAYLOAD_TOO_DEEP", what: string, pointer: string) {
  return new DomainError(reason, `${what} (at ${pointer === "" ? "the root" : pointer})`, { metadata: { pointer } });
}

function invalid(what: string, pointer: string): DomainError {
  return refusal("PAYLOAD_INVALID", what.toWellFormed(), pointer.toWellFormed());
}

function notExact(pointer: string): DomainError {
  return refusal("NUMBER_NOT_EXACT", "a double cannot hold this number exactly: send it as a string", pointer);
}

function tooDeep(depthMax: number, pointer: string): DomainError {
  return refusal("PAYLOAD_TOO_DEEP", `more than ${depthMax} levels deep`, pointer);
}

function tooLarge(bytesMax: number, form = "of JSON text"): DomainError {
  return new DomainError("PAYLOAD_TOO_LARGE", `more than ${bytesMax} bytes ${form}`, {
    metadata: { bytes_max: String(bytesMax) },
  });
}
