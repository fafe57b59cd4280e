// Strings and bytes. Positions count code points, as CEL has it.
import type { Evaluation } from "./evaluation.ts";
import { failed } from "./expression-error.ts";
import { format } from "./format.ts";
import type { Overloads } from "./overloads.ts";
import { durationText, timestampText } from "./time.ts";
import { Bytes, type Duration, kindOf, type Timestamp, type Value } from "./values.ts";

/** The code points of a text, so that no operation splits a surrogate pair. A text without such pairs is returned as
 *  it is. */
export function codePoints(
  evaluation: Evaluation,
  text: string,
): ArrayLike<string> & { slice(from: number, to?: number): string | string[] } {
  evaluation.text(text.length);
  if (!/[\ud800-\udfff]/.test(text)) return text;
  evaluation.text(text.length * 8);
  return Array.from(text);
}

function slice(evaluation: Evaluation, text: string, from: number, to?: number): string {
  const points = codePoints(evaluation, text);
  const end = to ?? points.length;
  if (!Number.isInteger(from) || !Number.isInteger(end) || from < 0 || from > end || end > points.length) {
    throw failed(`characters ${from} to ${end} are out of range`);
  }
  const part = points.slice(from, end);
  return typeof part === "string" ? part : part.join("");
}

/** Converts an index in UTF-16 units to an index in code points; -1 stays -1. */
function pointIndex(evaluation: Evaluation, text: string, unitIndex: number): number {
  return unitIndex <= 0 ? unitIndex : codePoints(evaluation, text.slice(0, unitIndex)).length;
}

/** Converts an index in code points to an index in UTF-16 units. */
function unitIndex(evaluation: Evaluation, text: string, index: number): number {
  return slice(evaluation, text, 0, index).length;
}

function join(evaluation: Evaluation, list: readonly Value[], separator: string): string {
  evaluation.newList(list.length);
  const texts: string[] = [];
  let chars = 0;
  for (const item of list) {
    if (typeof item !== "string") throw failed(`join() joins strings, not ${kindOf(item)}`);
    texts.push(item);
    chars += item.length + separator.length;
  }
  evaluation.newText(chars);
  return texts.join(separator);
}

function split(evaluation: Evaluation, text: string, separator: string, most: number): string[] {
  evaluation.text(text.length);
  if (!Number.isInteger(most)) throw failed("the limit of split() must be a whole number");
  if (most === 0) return [];
  // By code points, so that an empty separator does not split a surrogate pair.
  const all = separator === "" ? Array.from(text) : text.split(separator);
  evaluation.newList(all.length);
  if (most < 0 || all.length <= most) return all;
  return [...all.slice(0, most - 1), all.slice(most - 1).join(separator)];
}

function replace(evaluation: Evaluation, text: string, from: string, to: string, most: number): string {
  if (!Number.isInteger(most)) throw failed("the limit of replace() must be a whole number");
  if (most === 0) return text;
  if (from !== "") {
    const parts = split(evaluation, text, from, most < 0 ? -1 : most + 1);
    evaluation.newText(text.length + (parts.length - 1) * to.length);
    return parts.join(to);
  }
  // The empty string occurs before each character and at the end.
  const characters = split(evaluation, text, "", -1);
  const times = most < 0 ? characters.length + 1 : Math.min(most, characters.length + 1);
  evaluation.newText(text.length + times * to.length);
  let result = "";
  for (let i = 0; i <= characters.length; i++) result += (i < times ? to : "") + (characters[i] ?? "");
  return result;
}

/** Operators and functions of strings and bytes. */
export const STRINGS: Overloads = {
  "+(string, string): string": (evaluation, a: string, b: string) => {
    evaluation.newText(a.length + b.length);
    return a + b;
  },
  "string(string): string": (_, a: string) => a,
  "string(number): string": (_, a: number) => String(a),
  "string(bool): string": (_, a: boolean) => String(a),
  "string(timestamp): string": (_, a: Timestamp) => timestampText(a.instant),
  "string(duration): string": (_, a: Duration) => durationText(a.micros),
  "string(bytes): string": (evaluation, a: Bytes) => {
    evaluation.newText(a.data.length);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(a.data);
    } catch {
      throw failed("the bytes are not UTF-8");
    }
  },
  "bytes(bytes): bytes": (_, a: Bytes) => a,
  "bytes(string): bytes": (evaluation, a: string) => {
    evaluation.text(a.length);
    return new Bytes(Buffer.from(a, "utf8"));
  },
  "+(bytes, bytes): bytes": (evaluation, a: Bytes, b: Bytes) => {
    evaluation.newText(a.data.length + b.data.length);
    return new Bytes(Buffer.concat([a.data, b.data]));
  },
  "(string).contains(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return a.includes(b);
  },
  "(string).startsWith(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(b.length);
    return a.startsWith(b);
  },
  "(string).endsWith(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(b.length);
    return a.endsWith(b);
  },
  "(string).charAt(number): string": (evaluation, a: string, index: number) => {
    const points = codePoints(evaluation, a);
    if (!Number.isInteger(index) || index < 0 || index > points.length)
      throw failed(`character ${index} is out of range`);
    return points[index] ?? "";
  },
  "(string).indexOf(string): number": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.indexOf(b));
  },
  "(string).indexOf(string, number): number": (evaluation, a: string, b: string, from: number) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.indexOf(b, unitIndex(evaluation, a, from)));
  },
  "(string).lastIndexOf(string): number": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.lastIndexOf(b));
  },
  "(string).lastIndexOf(string, number): number": (evaluation, a: string, b: string, from: number) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.lastIndexOf(b, unitIndex(evaluation, a, from)));
  },
  "(string).substring(number): string": (evaluation, a: string, from: number) => slice(evaluation, a, from),
  "(string).substring(number, number): string": (evaluation, a: string, from: number, to: number) =>
    slice(evaluation, a, from, to),
  "(string).lowerAscii(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    return a.replace(/[A-Z]+/g, (part) => part.toLowerCase());
  },
  "(string).upperAscii(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    return a.replace(/[a-z]+/g, (part) => part.toUpperCase());
  },
  "(string).trim(): string": (evaluation, a: string) => {
    evaluation.text(a.length);
    return trim(a);
  },
  "(string).reverse(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    evaluation.text(a.length * 8);
    return Array.from(a).toReversed().join("");
  },
  "(string).split(string): list": (evaluation, a: string, separator: string) => split(evaluation, a, separator, -1),
  "(string).split(string, number): list": (evaluation, a: string, separator: string, most: number) =>
    split(evaluation, a, separator, most),
  "(list).join(): string": (evaluation, list: Value[]) => join(evaluation, list, ""),
  "(list).join(string): string": (evaluation, list: Value[], separator: string) => join(evaluation, list, separator),
  "(string).replace(string, string): string": (evaluation, a: string, from: string, to: string) =>
    replace(evaluation, a, from, to, -1),
  "(string).replace(string, string, number): string": (evaluation, a: string, from: string, to: string, most: number) =>
    replace(evaluation, a, from, to, most),
  "strings.quote(string): string": (evaluation, a: string) => {
    evaluation.newText(a.length * 2);
    return `"${a.toWellFormed().replace(/["\\\p{Cc}]/gu, (character) => QUOTED.get(character) ?? character)}"`;
  },
  "(string).format(list): string": (evaluation, pattern: string, values: Value[]) =>
    format(evaluation, pattern, values),
};

/** Escape sequences of `strings.quote`. Other characters stand for themselves, control characters too. */
const QUOTED: ReadonlyMap<string, string> = new Map([
  ["\u0007", "\\a"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\v", "\\v"],
  ["\\", "\\\\"],
  ['"', '\\"'],
]);

/** Whether a code is white space of Unicode. JavaScript's trim takes U+FEFF for white space, and U+0085 not. */
function isWhiteSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  if (code < 0x1680) return code === 0x85 || code === 0xa0;
  if (code < 0x2028) return code === 0x1680 || (code >= 0x2000 && code <= 0x200a);
  return code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f || code === 0x3000;
}

function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isWhiteSpace(text.charCodeAt(from))) from++;
  while (to > from && isWhiteSpace(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}
