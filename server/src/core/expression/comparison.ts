// Equality of all kinds, and the order of the kinds that have one.
import type { Evaluation } from "./evaluation.ts";
import type { Overloads } from "./overloads.ts";
import {
  type Bytes,
  type Duration,
  kindOf,
  type Optional,
  type Timestamp,
  type Type,
  type TypeName,
  type Value,
  type ValueMap,
} from "./values.ts";

/** Whether two values are equal; values of different kinds are not. */
function equal(evaluation: Evaluation, a: Value, b: Value): boolean {
  evaluation.step();
  const kind = kindOf(a);
  if (kind !== kindOf(b)) return false;
  switch (kind) {
    case "string":
      evaluation.text(Math.min((a as string).length, (b as string).length));
      return a === b;
    case "list": {
      const [listA, listB] = [a as Value[], b as Value[]];
      if (listA.length !== listB.length) return false;
      for (let i = 0; i < listA.length; i++) if (!equal(evaluation, listA[i]!, listB[i]!)) return false;
      return true;
    }
    case "map": {
      const [mapA, mapB] = [a as ValueMap, b as ValueMap];
      const keys = Object.keys(mapA);
      evaluation.newList(keys.length);
      if (keys.length !== Object.keys(mapB).length) return false;
      for (const key of keys) if (!Object.hasOwn(mapB, key) || !equal(evaluation, mapA[key]!, mapB[key]!)) return false;
      return true;
    }
    case "bytes":
      evaluation.text((a as Bytes).data.length);
      return (a as Bytes).data.equals((b as Bytes).data);
    case "timestamp":
      return (a as Timestamp).instant === (b as Timestamp).instant;
    case "duration":
      return (a as Duration).micros === (b as Duration).micros;
    case "type":
      return (a as TypeName).name === (b as TypeName).name;
    case "optional": {
      const [valueA, valueB] = [(a as Optional).value, (b as Optional).value];
      if (valueA === undefined || valueB === undefined) return valueA === valueB;
      return equal(evaluation, valueA, valueB);
    }
    default:
      return a === b;
  }
}

/** Compares strings by code points, as CEL does. UTF-16 units would put emoji before U+E000. */
function compareStrings(evaluation: Evaluation, a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  evaluation.text(length);
  for (let i = 0; i < length; i++) {
    const [unitA, unitB] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (unitA === unitB) continue;
    const [surrogateA, surrogateB] = [unitA >= 0xd800 && unitA <= 0xdfff, unitB >= 0xd800 && unitB <= 0xdfff];
    if (surrogateA !== surrogateB) return surrogateA ? 1 : -1;
    return unitA - unitB;
  }
  return a.length - b.length;
}

type Order = (evaluation: Evaluation, a: never, b: never) => number;

/** The four operators of one kind that has an order. */
function overloadsOfOrder(kind: Type, order: Order): Overloads {
  return {
    [`<(${kind}, ${kind}): bool`]: (evaluation: Evaluation, a: never, b: never) => order(evaluation, a, b) < 0,
    [`<=(${kind}, ${kind}): bool`]: (evaluation: Evaluation, a: never, b: never) => order(evaluation, a, b) <= 0,
    [`>(${kind}, ${kind}): bool`]: (evaluation: Evaluation, a: never, b: never) => order(evaluation, a, b) > 0,
    [`>=(${kind}, ${kind}): bool`]: (evaluation: Evaluation, a: never, b: never) => order(evaluation, a, b) >= 0,
  };
}

/** Equality, membership, and order. Two numbers are compared in numbers.ts. */
export const COMPARISONS: Overloads = {
  "==(dyn, dyn): bool": (evaluation, a: Value, b: Value) => equal(evaluation, a, b),
  "!=(dyn, dyn): bool": (evaluation, a: Value, b: Value) => !equal(evaluation, a, b),
  "in(dyn, list): bool": (evaluation, item: Value, list: Value[]) =>
    list.some((other) => equal(evaluation, item, other)),
  "in(dyn, map): bool": (_, key: Value, map: ValueMap) => typeof key === "string" && Object.hasOwn(map, key),
  ...overloadsOfOrder("string", compareStrings),
  ...overloadsOfOrder("bool", (_, a: boolean, b: boolean) => Number(a) - Number(b)),
  ...overloadsOfOrder("bytes", (evaluation, a: Bytes, b: Bytes) => {
    evaluation.text(Math.min(a.data.length, b.data.length));
    return Buffer.compare(a.data, b.data);
  }),
  ...overloadsOfOrder("timestamp", (_, a: Timestamp, b: Timestamp) =>
    a.instant < b.instant ? -1 : a.instant > b.instant ? 1 : 0,
  ),
  ...overloadsOfOrder("duration", (_, a: Duration, b: Duration) => a.micros - b.micros),
};
