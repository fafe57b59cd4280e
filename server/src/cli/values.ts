/** Parses the values of options: JSON, `name=value`, durations, instants, and the short names of enums. */
import type { DescEnum } from "@bufbuild/protobuf";

import { DomainError } from "../core/errors.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../core/json/json.ts";
import { readRegularFile } from "../regular-file.ts";
import { UsageError } from "./failure.ts";
import { INPUT_BYTES_MAX } from "./line-reader.ts";

/** Reads standard input to its end. */
export type ReadInput = () => Promise<string>;

/** Reads JSON: text, `@file`, or `-` for standard input. As strict as the server: no duplicate names, no number that a
 *  double cannot hold exactly.
 *  @throws {UsageError} naming the option */
export async function readJson(option: string, text: string, readInput: ReadInput): Promise<Json> {
  return jsonOf(option, await readText(option, text, readInput));
}

/** Reads a JSON object as `readJson` does. */
export async function readJsonObject(option: string, text: string, readInput: ReadInput): Promise<JsonObject> {
  const value = await readJson(option, text, readInput);
  if (!isJsonObject(value)) {
    throw new UsageError(`${option} must be a JSON object, such as '{"name": "Ada"}'`);
  }
  return value;
}

async function readText(option: string, text: string, readInput: ReadInput): Promise<string> {
  if (text === "-") return readInput();
  if (!text.startsWith("@")) return text;
  try {
    return readRegularFile(text.slice(1), INPUT_BYTES_MAX).toString();
  } catch (error) {
    throw new UsageError(`${option}: cannot read ${text.slice(1)}: ${systemMessage(error)}`);
  }
}

/** The operating system's message, without the path and call that Node adds. */
export function systemMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^[A-Z]+: /, "").replace(/, \w+( '.*')?$/, "");
}

function jsonOf(option: string, text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof DomainError) throw new UsageError(`${option}: ${error.reason}: ${error.message}`);
    throw error;
  }
}

/** Splits `name=value`.
 *  @throws {UsageError} naming the option */
function splitAssignment(option: string, text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`${option} ${text}: must be name=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** Reads `name=value` options into a map.
 *  @throws {UsageError} if a name is given twice */
export function readLabels(option: string, texts: readonly string[]): Record<string, string> {
  const labels = new Map<string, string>();
  for (const text of texts) {
    const [name, value] = splitAssignment(option, text);
    if (labels.has(name)) throw new UsageError(`${option} ${name} is given twice`);
    labels.set(name, value);
  }
  return Object.fromEntries(labels);
}

/** Matches a value that looks like JSON: a number, true, false, null, a string in quotes, a list or an object. */
const JSON_VALUE = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|".*"|\[.*\]|\{.*\})$/su;

/** Parses a value as JSON if it looks like JSON; else it is text: `12` is a number, `"12"` and `Ada` are strings. */
export function readLooseValue(option: string, text: string): Json {
  return JSON_VALUE.test(text.trim()) ? jsonOf(option, text) : text;
}

/** Sets `path=value` options in a copy of `vars`; dots in the path reach into objects, which are created if missing.
 *  @throws {UsageError} */
export function withAssignments(option: string, vars: JsonObject, texts: readonly string[]): JsonObject {
  const result = structuredClone(vars);
  for (const text of texts) {
    const [path, value] = splitAssignment(option, text);
    const names = path.split(".");
    if (names.some((name) => name === "" || name === "__proto__"))
      throw new UsageError(`${option} ${path}: must be a path of names separated by dots`);
    setAt(result, names, readLooseValue(`${option} ${path}`, value), `${option} ${path}`);
  }
  return result;
}

function setAt(object: JsonObject, names: readonly string[], value: Json, where: string): void {
  const [name = "", ...rest] = names;
  if (rest.length === 0) {
    object[name] = value;
    return;
  }
  const inner = Object.hasOwn(object, name) ? object[name] : undefined;
  if (inner === undefined) {
    const made: JsonObject = {};
    object[name] = made;
    setAt(made, rest, value, where);
    return;
  }
  if (!isJsonObject(inner)) {
    throw new UsageError(`${where}: ${name} is not an object`);
  }
  setAt(inner, rest, value, where);
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses a duration such as `500ms`, `90s`, `15m`, `72h`, `3d`; returns milliseconds.
 *  @throws {UsageError} */
export function readDurationMs(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ""] ?? Number.NaN);
  if (!Number.isSafeInteger(Math.round(ms)))
    throw new UsageError(`${option} ${text}: must be a duration such as 500ms, 90s, 15m, 72h, 3d`);
  return Math.round(ms);
}

/** Parses an instant: RFC 3339 with a zone, or `+` and a duration from now.
 *  @throws {UsageError} */
export function readInstant(option: string, text: string, now: Date): Date {
  if (text.startsWith("+")) return new Date(now.getTime() + readDurationMs(option, text.slice(1)));
  const form = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
  const instant = new Date(text);
  if (!form.test(text) || Number.isNaN(instant.getTime())) {
    throw new UsageError(
      `${option} ${text}: must be a time such as 2026-12-24T18:00:00Z, or a duration from now such as +15m`,
    );
  }
  return instant;
}

/** Reads a whole number within bounds.
 *  @throws {UsageError} */
export function readInteger(option: string, text: string, bounds: { min: number; max: number }): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= bounds.min && value <= bounds.max)) {
    throw new UsageError(`${option} ${text}: must be a whole number from ${bounds.min} to ${bounds.max}`);
  }
  return value;
}

/** The short name of an enum value: `global` for SCOPE_GLOBAL. Numbers that this client does not know stay numbers. */
export function enumShortName(desc: DescEnum, number: number): string {
  const name = desc.value[number]?.name;
  return name === undefined ? String(number) : name.slice(desc.sharedPrefix?.length ?? 0).toLowerCase();
}

/** The short names that users may write, without the unspecified one. */
export function enumShortNames(desc: DescEnum): string[] {
  return desc.values.filter(({ number }) => number !== 0).map(({ number }) => enumShortName(desc, number));
}

/** The number of an enum value by its short or full name; undefined if there is no such value. */
export function enumNumber(desc: DescEnum, text: string): number | undefined {
  return desc.values.find(
    (value) => value.name === text || (value.number !== 0 && enumShortName(desc, value.number) === text),
  )?.number;
}

/** Parses enum values, each by its short or full name; commas separate several.
 *  @throws {UsageError} listing the allowed names */
export function readEnums(option: string, desc: DescEnum, texts: readonly string[]): number[] {
  const numbers = texts
    .flatMap((text) => text.split(","))
    .map((text) => {
      const number = enumNumber(desc, text.trim()) ?? enumNumber(desc, text.trim().toLowerCase());
      if (number === undefined)
        throw new UsageError(`${option} ${text}: must be one of ${enumShortNames(desc).join(", ")}`);
      return number;
    });
  return [...new Set(numbers)];
}
