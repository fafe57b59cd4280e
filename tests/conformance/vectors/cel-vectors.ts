// Runs one vector of the official suite of CEL (npm @bufbuild/cel-spec) against our expressions.
import type { Value as CelValue } from "@bufbuild/cel-spec/cel/expr/value_pb.js";
import { getConformanceSuite, getParsingSuite, type IncrementalTestSuite } from "@bufbuild/cel-spec/testdata/tests.js";
import { isMessage } from "@bufbuild/protobuf";
import { AnySchema, anyUnpack, DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";

import { addMicros, addMs, type Instant } from "../../../server/src/core/duration.ts";
import { compileExpression } from "../../../server/src/core/expression/compile.ts";
import { createBudget, Evaluation } from "../../../server/src/core/expression/evaluation.ts";
import { ExpressionError } from "../../../server/src/core/expression/expression-error.ts";
import {
  Bytes,
  Duration,
  isMap,
  kindOf,
  Optional,
  Timestamp,
  TypeName,
  type Value,
} from "../../../server/src/core/expression/values.ts";
import type { Json } from "../../../server/src/core/json/json.ts";

export type Vector = IncrementalTestSuite["tests"][number];

/** Every vector of the suite by its id: `file/section/name`, with `#2` for the second of one name. */
export function readVectors(): ReadonlyMap<string, Vector> {
  const vectors = new Map<string, Vector>();
  const add = (suite: IncrementalTestSuite, path: string): void => {
    for (const vector of suite.tests) {
      let id = `${path}${vector.name}`;
      for (let n = 2; vectors.has(id); n++) id = `${path}${vector.name}#${n}`;
      vectors.set(id, vector);
    }
    for (const inner of suite.suites) add(inner, `${path}${inner.name}/`);
  };
  add(getConformanceSuite(), "");
  return vectors;
}

/** Sources with the syntax tree or the error of cel-go. */
export function readParsings(): Vector[] {
  const collect = (suite: IncrementalTestSuite): Vector[] => [...suite.tests, ...suite.suites.flatMap(collect)];
  return collect(getParsingSuite());
}

/** What a vector shows.
 *
 *  - `pass`: the value it wants, or an error when it wants one.
 *  - `refused`: it wants an error, and the compiler refuses the expression. That passes too.
 *  - `vacuous`: it wants an error, and there is one, but because something is missing that the vector is not about,
 *    such as a function. It does not count as passed.
 *  - `fail`: anything else; `detail` says what. */
export type Outcome = { is: "pass" | "refused" | "vacuous" | "fail"; detail: string };

/** What an error says if a vector uses something that is not there at all. */
const MISSING = /^(unknown (name|function|method) |messages cannot be built|the keys of a map must be strings)/;
/** What a vector expects if the missing thing is what it is about. */
const ABOUT_MISSING = /undeclared reference|unbound function|unknown variable|unsupported key type/;

export function runVector({ original: vector }: Vector): Outcome {
  const wanted = vector.resultMatcher;
  if (vector.checkOnly) return fail("it asserts the type that a checker deduces");
  const names: Record<string, Json> = {};
  for (const [name, binding] of Object.entries(vector.bindings)) {
    if (name.includes(".")) return fail("a name with a dot is bound");
    const value = binding.kind.case === "value" ? jsonOf(binding.kind.value) : undefined;
    if (value === undefined) return fail("what is bound is not JSON");
    names[name] = value;
  }
  const variables = new Set([...Object.keys(names), ...vector.typeEnv.map((declared) => declared.name)]);
  const wantsError = wanted.case === "evalError" || wanted.case === "anyEvalErrors";
  if (wanted.case === "unknown" || wanted.case === "anyUnknowns") return fail("it wants an unknown value");
  let value: Value;
  let isCompiled = false;
  try {
    const expression = compileExpression(vector.expr, { variables: [...variables] });
    isCompiled = true;
    value = expression.run(new Evaluation(names, expression.slots, createBudget()));
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    if (!wantsError) return fail(`${error.code}: ${error.message}`);
    if (error.code === "EXPRESSION_LIMIT") return fail(error.message);
    const messages = errorsOf(wanted).join("; ");
    if (MISSING.test(error.message) && !ABOUT_MISSING.test(messages)) {
      return { is: "vacuous", detail: `${error.message}, and the vector wants: ${messages}` };
    }
    return { is: isCompiled ? "pass" : "refused", detail: error.message };
  }
  if (wantsError) return fail(`no error: ${shownValue(value)}`);
  const result =
    wanted.case === "typedResult"
      ? wanted.value.result
      : wanted.case === "value"
        ? wanted.value
        : // A vector without a matcher wants true.
          undefined;
  const isEqual = result === undefined ? value === true : equals(value, result);
  return isEqual ? { is: "pass", detail: "" } : fail(`it is ${shownValue(value)}`);
}

function fail(detail: string): Outcome {
  return { is: "fail", detail };
}

function errorsOf(wanted: Vector["original"]["resultMatcher"]): string[] {
  if (wanted.case === "evalError") return wanted.value.errors.map((error) => error.message);
  if (wanted.case === "anyEvalErrors") return wanted.value.errors.flatMap((set) => set.errors.map((e) => e.message));
  return [];
}

/** A bound value as JSON; undefined if JSON has no such value. */
function jsonOf({ kind }: CelValue): Json | undefined {
  switch (kind.case) {
    case "nullValue":
      return null;
    case "boolValue":
    case "stringValue":
    case "doubleValue":
      return kind.value;
    case "int64Value":
    case "uint64Value":
      return Number(kind.value);
    case "listValue": {
      const list = kind.value.values.map(jsonOf);
      return list.includes(undefined) ? undefined : (list as Json[]);
    }
    case "mapValue": {
      const map: Record<string, Json> = {};
      for (const { key, value } of kind.value.entries) {
        const [name, json] = [jsonOf(key!), jsonOf(value!)];
        if (typeof name !== "string" || json === undefined) return undefined;
        map[name] = json;
      }
      return map;
    }
    default:
      return undefined;
  }
}

/** Whether a value of ours is the one that a vector wants. There is one number type, so 1 is 1.0. */
function equals(value: Value, { kind }: CelValue): boolean {
  switch (kind.case) {
    case "nullValue":
      return value === null;
    case "boolValue":
    case "stringValue":
      return value === kind.value;
    case "doubleValue":
      return typeof value === "number" && value === kind.value;
    case "int64Value":
    case "uint64Value":
      return typeof value === "number" && Number.isInteger(value) && BigInt(value) === kind.value;
    case "bytesValue":
      return value instanceof Bytes && value.data.equals(kind.value);
    case "typeValue":
      // int, uint and double are names of one type.
      return (
        value instanceof TypeName &&
        (value.name === kind.value || (value.name === "double" && (kind.value === "int" || kind.value === "uint")))
      );
    case "listValue": {
      const wanted = kind.value.values;
      return (
        Array.isArray(value) && value.length === wanted.length && wanted.every((item, i) => equals(value[i]!, item))
      );
    }
    case "mapValue": {
      const wanted = kind.value.entries;
      return (
        isMap(value) &&
        Object.keys(value).length === wanted.length &&
        wanted.every(({ key, value: item }) => {
          const name = key!.kind.case === "stringValue" ? key!.kind.value : undefined;
          return name !== undefined && Object.hasOwn(value, name) && equals(value[name]!, item!);
        })
      );
    }
    case "objectValue": {
      if (!isMessage(kind.value, AnySchema)) return false;
      const timestamp = anyUnpack(kind.value, TimestampSchema);
      if (timestamp !== undefined) {
        const start = addMs("1970-01-01T00:00:00.000000Z" as Instant, Number(timestamp.seconds) * 1000);
        return value instanceof Timestamp && value.instant === addMicros(start, timestamp.nanos / 1000);
      }
      const duration = anyUnpack(kind.value, DurationSchema);
      if (duration === undefined) return false;
      return value instanceof Duration && value.micros === Number(duration.seconds) * 1e6 + duration.nanos / 1000;
    }
    default:
      return false;
  }
}

function shownValue(value: Value): string {
  if (value instanceof Optional) return value.value === undefined ? "no value" : `optional ${shownValue(value.value)}`;
  return `${kindOf(value)} ${JSON.stringify(value)}`;
}
