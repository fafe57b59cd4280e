// `format` of the CEL strings extension: https://pkg.go.dev/github.com/google/cel-go/ext#Strings
import { decimalText, scientificText } from "./decimal.ts";
import type { Evaluation } from "./evaluation.ts";
import { failed, shown } from "./expression-error.ts";
import { textOf } from "./result.ts";
import { Bytes, kindOf, type Value } from "./values.ts";

/** Digits after the point of %f and %e, if the pattern does not say how many. */
const PRECISION = 6;
/** Steps for the exact digits of a number: 1 µs for most, 5 µs for the largest and the smallest. */
const DIGITS_STEPS = 20;

const CLAUSE = /%(?:%|(?:\.([0-9]{1,2}))?([sdfexXob]))/y;

/** Inserts values into a pattern: `%s %d %f %.2f %e %x %X %o %b %%`.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT */
export function format(evaluation: Evaluation, pattern: string, values: readonly Value[]): string {
  evaluation.text(pattern.length);
  let used = 0;
  let result = "";
  let from = 0;
  for (let at = pattern.indexOf("%"); at !== -1; at = pattern.indexOf("%", from)) {
    result += pattern.slice(from, at);
    CLAUSE.lastIndex = at;
    const clause = CLAUSE.exec(pattern);
    if (clause === null) throw failed(`format() does not support ${shown(pattern.slice(at, at + 4))}`);
    from = at + clause[0].length;
    const verb = clause[2];
    if (verb === undefined) {
      result += "%";
      continue;
    }
    if (used >= values.length) throw failed("format() has fewer values than placeholders");
    const text = formatOne(evaluation, verb, Number(clause[1] ?? PRECISION), values[used++]!);
    evaluation.json(text.length);
    evaluation.newText(result.length + text.length);
    result += text;
  }
  result += pattern.slice(from);
  evaluation.newText(result.length);
  return result;
}

function formatOne(evaluation: Evaluation, verb: string, precision: number, value: Value): string {
  switch (verb) {
    case "s":
      // Inside a list or a map, bytes are base64 as in every JSON text.
      return value instanceof Bytes ? value.data.toString("utf8") : textOf(value);
    case "f":
      evaluation.spend(DIGITS_STEPS);
      return decimalText(numberOf(verb, value), precision);
    case "e":
      evaluation.spend(DIGITS_STEPS);
      return scientificText(numberOf(verb, value), precision);
    case "d":
      return digitsOf(verb, value, 10);
    case "o":
      return digitsOf(verb, value, 8);
    case "b":
      return typeof value === "boolean" ? (value ? "1" : "0") : digitsOf(verb, value, 2);
    default: {
      const digits = hexadecimal(evaluation, verb, value);
      return verb === "X" ? digits.toUpperCase() : digits;
    }
  }
}

function hexadecimal(evaluation: Evaluation, verb: string, value: Value): string {
  if (typeof value !== "string" && !(value instanceof Bytes)) return digitsOf(verb, value, 16);
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value.data;
  evaluation.newText(bytes.length * 2);
  return bytes.toString("hex");
}

const TAKES: ReadonlyMap<string, string> = new Map([
  ["b", "a whole number or a bool"],
  ["x", "a whole number, a string or bytes"],
  ["X", "a whole number, a string or bytes"],
  ["f", "a number"],
  ["e", "a number"],
]);

function numberOf(verb: string, value: Value): number {
  if (typeof value === "number") return value;
  throw failed(`format() %${verb} takes ${TAKES.get(verb) ?? "a whole number"}, not ${kindOf(value)}`);
}

function digitsOf(verb: string, value: Value, radix: number): string {
  const number = numberOf(verb, value);
  if (!Number.isInteger(number)) throw failed(`format() %${verb} takes a whole number only`);
  // Number.toString would write 1e+21.
  return BigInt(number).toString(radix);
}
