/**
 * The large members of a run's vars, with what is worked out of them remembered: their text, its digest, and their
 * size. A step that leaves them alone then pays for none of it again, and whoever keeps vars can keep each of these
 * apart.
 *
 * A member is the same while it is the same object, or an equal text: Json is never changed in place (json.ts). What
 * is remembered lives as long as the value it is of.
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
  /** Undefined: it breaks a bound by itself. */
  readonly size: JsonSize | undefined;
};

export type LargeMembers = ReadonlyMap<string, LargeMember>;

/**
 * From about this many characters a member is large: a shorter one takes less time to write again than to keep apart.
 * What is kept apart anywhere follows from it, so it stays as it is.
 */
const LARGE_CHARS_MIN = 2_048;
/** Members with longer names count as small: names are keys wherever large members are kept. */
const NAME_CHARS_MAX = 256;

const NONE: LargeMembers = new Map();

const membersByVars = new WeakMap<object, LargeMembers>();
const memberByValue = new WeakMap<object, LargeMember>();

/**
 * Returns the large members of vars, by name, in their order; empty unless `vars` is an object. Depends on `vars`
 * alone.
 * @param before other vars, of which texts that are the same are taken over
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

/** The JSON text of vars, put together of what is remembered. */
export function varsText(vars: Json): string {
  return textWith(vars, ({ text }) => text);
}

/** The JSON text of vars with null in place of each large member, so that members stay in their order. */
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
  return charsLeft(value, LARGE_CHARS_MIN) < 0;
}

/** What is left of `chars` after about the text of a value; below 0, the rest of it is not looked at. */
function charsLeft(value: Json, chars: number): number {
  if (typeof value === "string") return chars - value.length - 2;
  if (typeof value !== "object" || value === null) return chars - 5;
  let left = chars - 2;
  if (Array.isArray(value)) {
    for (const item of value) {
      if (left < 0) return left;
      left = charsLeft(item, left - 1);
    }
    return left;
  }
  for (const name of Object.keys(value)) {
    if (left < 0) return left;
    left = charsLeft(value[name]!, left - name.length - 4);
  }
  return left;
}

function memberOfObject(value: Json & object): LargeMember {
  const known = memberByValue.get(value);
  if (known !== undefined) return known;
  const member = createMember(value);
  memberByValue.set(value, member);
  return member;
}

/** A text cannot be a key of what is remembered: it is looked for under its name, where it was before. */
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
