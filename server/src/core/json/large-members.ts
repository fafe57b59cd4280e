/**
 * The large members of a run's vars, with a cache of what is computed from them: their text, its digest, and their
 * size. A step that does not change them does not compute it again, the store keeps each in a row of its own, and
 * workers keep the members that they were sent.
 *
 * A member is unchanged if it is the same object or an equal text: Json is never changed in place (json.ts). A cache
 * entry lives as long as its value.
 */
import { hash } from "node:crypto";
import { DomainError } from "../errors.ts";
import { isJsonObject, type Json, JSON_DEPTH_MAX, type JsonSize, measureJson } from "./json.ts";
import { jsonText } from "./json-text.ts";

export type LargeMember = {
  readonly value: Json;
  /** Its JSON text. */
  readonly text: string;
  /** SHA-256 of the text. */
  readonly digest: string;
  /** Undefined if the member exceeds a bound by itself. */
  readonly size: JsonSize | undefined;
};

export type LargeMembers = ReadonlyMap<string, LargeMember>;

/** A member is large from about this many characters: writing a shorter one again is faster than keeping it apart.
 *  Stored rows depend on this number, so it must not change. */
const LARGE_CHARS_MIN = 2_048;
/** Names are part of an indexed key in the store, whose size is bounded. Members with longer names count as small. */
const NAME_CHARS_MAX = 256;

const NONE: LargeMembers = new Map();

const membersByVars = new WeakMap<object, LargeMembers>();
const memberByValue = new WeakMap<object, LargeMember>();

/**
 * The large members of vars, by name, in their order; empty unless `vars` is an object. Depends on the value of `vars`
 * alone.
 * @param before earlier vars; the cache entries of equal texts are reused
 */
export function largeMembersOf(vars: Json, before?: Json): LargeMembers {
  if (!isJsonObject(vars)) return NONE;
  const known = membersByVars.get(vars);
  if (known !== undefined) return known;
  let members: Map<string, LargeMember> | undefined;
  for (const name of Object.keys(vars)) {
    const value = vars[name]!;
    if (!isLarge(value) || name.length > NAME_CHARS_MAX) continue;
    members ??= new Map();
    members.set(name, typeof value === "object" ? memberOfObject(value) : memberOfText(name, value, before));
  }
  if (members === undefined) return NONE;
  membersByVars.set(vars, members);
  return members;
}

/**
 * Lets vars have the cache entries of earlier vars for texts that are equal. Whoever reads `vars` later does not know
 * the earlier ones.
 */
export function keepLargeMembers(vars: Json, before: Json): void {
  if (vars !== before) largeMembersOf(vars, before);
}

/** The JSON text of vars; the texts of large members come from the cache. */
export function varsText(vars: Json): string {
  return textWith(vars, ({ text }) => text);
}

/** The JSON text of vars with null in place of each large member. Members keep their order. */
export function smallVarsText(vars: Json): string {
  return textWith(vars, () => "null");
}

function textWith(vars: Json, textOf: (member: LargeMember) => string): string {
  const large = largeMembersOf(vars);
  if (large.size === 0 || !isJsonObject(vars)) return JSON.stringify(vars);
  let text = "";
  for (const name of Object.keys(vars)) {
    const member = large.get(name);
    const value = member === undefined ? JSON.stringify(vars[name]) : textOf(member);
    text += `${text === "" ? "{" : ","}${JSON.stringify(name)}:${value}`;
  }
  return `${text}}`;
}

function isLarge(value: Json): boolean {
  return remainingChars(value, LARGE_CHARS_MIN) < 0;
}

/** Subtracts about the length of a value's text from `chars`. Stops early below 0. */
function remainingChars(value: Json, chars: number): number {
  if (typeof value === "string") return chars - value.length - 2;
  if (typeof value !== "object" || value === null) return chars - 5;
  let remaining = chars - 2;
  if (Array.isArray(value)) {
    for (const item of value) {
      if (remaining < 0) return remaining;
      remaining = remainingChars(item, remaining - 1);
    }
    return remaining;
  }
  for (const name of Object.keys(value)) {
    if (remaining < 0) return remaining;
    remaining = remainingChars(value[name]!, remaining - name.length - 4);
  }
  return remaining;
}

function memberOfObject(value: Json & object): LargeMember {
  const known = memberByValue.get(value);
  if (known !== undefined) return known;
  const member = createMember(value);
  memberByValue.set(value, member);
  return member;
}

/** A string cannot be a WeakMap key, so its cache entry is found through its name in the earlier vars. */
function memberOfText(name: string, value: Json, before: Json | undefined): LargeMember {
  const known = before === undefined || !isJsonObject(before) ? undefined : membersByVars.get(before)?.get(name);
  return known?.value === value ? known : createMember(value);
}

function createMember(value: Json): LargeMember {
  let text: string | undefined;
  let digest: string | undefined;
  let measured: { size: JsonSize | undefined } | undefined;
  return {
    value,
    get text() {
      text ??= jsonText(value);
      return text;
    },
    get digest() {
      digest ??= hash("sha256", this.text, "base64");
      return digest;
    },
    get size() {
      measured ??= { size: sizeOf(value) };
      return measured.size;
    },
  };
}

function sizeOf(value: Json): JsonSize | undefined {
  try {
    return measureJson(value, { depthMax: JSON_DEPTH_MAX - 1 });
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
}
