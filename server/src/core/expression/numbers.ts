// The one number type of expressions: doubles, with results within ±(2^53-1).
import { instantToDate } from "../duration.ts";
import type { Evaluation } from "./evaluation.ts";
import { failed, shown } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { kindOf, type Timestamp, type Value } from "./values.ts";

/** Replaces -0, which JSON would not keep, by 0. */
export function wholeZero(value: number): number {
  return value === 0 ? 0 : value;
}

/** Checks the result of arithmetic. Outside ±(2^53-1) a double cannot tell adjacent whole numbers apart.
 *  @throws {ExpressionError} EVALUATION_FAILED */
function exact(value: number): number {
  if (value >= -Number.MAX_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return value === 0 ? 0 : value;
  throw failed(Number.isNaN(value) ? "the result is not a number" : "the result is outside ±(2^53-1)");
}

function divide(a: number, b: number): number {
  if (b === 0) throw failed("division by zero");
  return exact(a / b);
}

function remainder(a: number, b: number): number {
  if (!Number.isInteger(a) || !Number.isInteger(b)) throw failed("% takes whole numbers only");
  if (b === 0) throw failed("division by zero");
  return exact(a % b);
}

/** Operators of two numbers, which functions.ts calls without looking for an overload. */
export const QUICK_NUMBERS: ReadonlyMap<string, (a: number, b: number) => Value> = new Map<
  string,
  (a: number, b: number) => Value
>([
  ["+", (a, b) => exact(a + b)],
  ["-", (a, b) => exact(a - b)],
  ["*", (a, b) => exact(a * b)],
  ["/", divide],
  ["%", remainder],
  ["<", (a, b) => a < b],
  ["<=", (a, b) => a <= b],
  [">", (a, b) => a > b],
  [">=", (a, b) => a >= b],
  ["==", (a, b) => a === b],
  ["!=", (a, b) => a !== b],
]);

const ARITHMETIC = new Set(["+", "-", "*", "/", "%"]);

/** The same operators, as overloads. */
const OPERATORS: Overloads = Object.fromEntries(
  [...QUICK_NUMBERS].map(([operator, quick]) => [
    `${operator}(number, number): ${ARITHMETIC.has(operator) ? "number" : "bool"}`,
    (_: Evaluation, a: number, b: number) => quick(a, b),
  ]),
);

/** Operators of numbers, and functions that return one. */
export const NUMBERS: Overloads = {
  ...OPERATORS,
  "-_(number): number": (_, a: number) => wholeZero(-a),
  "int(number): number": (_, a: number) => exact(Math.trunc(a)),
  "int(string): number": (_, a: string) => wholeFromText(a),
  "int(timestamp): number": (_, a: Timestamp) => Math.floor(instantToDate(a.instant).getTime() / 1000),
  "uint(number): number": (_, a: number) => notNegative(exact(Math.trunc(a))),
  "uint(string): number": (_, a: string) => notNegative(wholeFromText(a)),
  "double(number): number": (_, a: number) => a,
  "double(string): number": (_, a: string) => numberFromText(a),
  "sum(list): number": (evaluation, list: Value[]) => {
    evaluation.newList(list.length);
    let total = 0;
    for (const item of list) {
      if (typeof item !== "number") throw failed(`sum() adds numbers, not ${kindOf(item)}`);
      total = exact(total + item);
    }
    return total;
  },
};

function wholeFromText(text: string): number {
  if (!/^[+-]?[0-9]{1,20}$/.test(text)) throw failed(`${shown(text)} is not a whole number`);
  return exact(Number(text));
}

function numberFromText(text: string): number {
  if (!/^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(text.slice(0, 400)))
    throw failed(`${shown(text)} is not a number`);
  return exact(Number(text));
}

function notNegative(value: number): number {
  if (value < 0) throw failed("uint() does not take a negative number");
  return value;
}
