// Lists and maps.
import type { Evaluation } from "./evaluation.ts";
import { failed } from "./expression-error.ts";
import type { Overloads } from "./overloads.ts";
import { codePoints } from "./strings.ts";
import type { Bytes, Type, Value, ValueMap } from "./values.ts";

/** `size(x)` and `x.size()` of one kind. */
function overloadsOfSize(kind: Type, size: (evaluation: Evaluation, value: never) => number): Overloads {
  return { [`size(${kind}): number`]: size, [`(${kind}).size(): number`]: size };
}

/** Operators and functions that return lists or maps, and the size of every kind that has one. */
export const LISTS: Overloads = {
  "+(list, list): list": (evaluation, a: Value[], b: Value[]) => {
    evaluation.newList(a.length + b.length);
    return a.concat(b);
  },
  "range(number): list": (evaluation, n: number) => {
    if (!Number.isInteger(n) || n < 0) throw failed("range() takes a whole number that is not negative");
    evaluation.newList(n);
    return Array.from({ length: n }, (_, i) => i);
  },
  "merge(map, map): map": (evaluation, a: ValueMap, b: ValueMap) => {
    evaluation.spend(Object.keys(a).length + Object.keys(b).length);
    return Object.assign(Object.create(null), a, b) as ValueMap;
  },
  ...overloadsOfSize("string", (evaluation, text: string) => codePoints(evaluation, text).length),
  ...overloadsOfSize("bytes", (_, bytes: Bytes) => bytes.data.length),
  ...overloadsOfSize("list", (_, list: Value[]) => list.length),
  ...overloadsOfSize("map", (evaluation, map: ValueMap) => {
    const length = Object.keys(map).length;
    evaluation.newList(length);
    return length;
  }),
};
