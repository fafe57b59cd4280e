// Strings and bytes. Positions count code points, as CEL has it.
import type { Evaluation } from "./evaluation.ts";
import { failed, shown } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { textOf } from "./result.ts";
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
    return a.trim();
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
    return JSON.stringify(a);
  },
  "(string).format(list): string": (evaluation, pattern: string, values: Value[]) =>
    format(evaluation, pattern, values),
};

/** `format` of the CEL strings extension: `%s %d %f %.2f %e %x %X %o %b %%`. */
function format(evaluation: Evaluation, pattern: string, values: readonly Value[]): string {
  evaluation.text(pattern.length);
  let used = 0;
  let result = "";
  let from = 0;
  for (let at = pattern.indexOf("%"); at !== -1; at = pattern.indexOf("%", from)) {
    result += pattern.slice(from, at);
    const clause = /^%(?:\.([0-9]{1,2}))?([sdfexXob%])/.exec(pattern.slice(at, at + 5));
    if (clause === null) throw failed(`format() does not support ${shown(pattern.slice(at, at + 4))}`);
    from = at + clause[0].length;
    if (clause[2] === "%") {
      result += "%";
      continue;
    }
    if (used >= values.length) throw failed("format() has fewer values than placeholders");
    const text = formatOne(clause[2]!, clause[1], values[used++]!);
    evaluation.json(text.length);
    evaluation.newText(result.length + text.length);
    result += text;
  }
  result += pattern.slice(from);
  evaluation.newText(result.length);
  return result;
}

function formatOne(verb: string, precision: string | undefined, value: Value): string {
  if (verb === "s") return textOf(value);
  if (typeof value !== "number") throw failed(`format() %${verb} takes a number, not ${kindOf(value)}`);
  switch (verb) {
    case "f":
      return value.toFixed(Number(precision ?? 6));
    case "e":
      return value.toExponential(Number(precision ?? 6)).replace(/e([+-])([0-9])$/, "e$10$2");
    default: {
      if (!Number.isInteger(value)) throw failed(`format() %${verb} takes a whole number only`);
      const radix = { d: 10, x: 16, X: 16, o: 8, b: 2 }[verb]!;
      const digits = value.toString(radix);
      return verb === "X" ? digits.toUpperCase() : digits;
    }
  }
}
