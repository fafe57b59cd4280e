// Fields and elements: `a.b`, `a.?b`, `a[b]` and `a[?b]`.
import type { Code } from "./code.ts";
import { failed, invalid, shown } from "./expression-error.ts";
import { textOf } from "./result.ts";
import { isMap, kindOf, NONE, Optional, type Value } from "./values.ts";

export function compileSelect(operand: Code, field: string, optional: boolean, position: number): Code {
  if (operand.type !== "dyn" && operand.type !== "map" && operand.type !== "optional") {
    throw invalid(`a ${operand.type} has no field ${shown(field)}`, position);
  }
  if (field === "__proto__") throw invalid("the name __proto__ is not allowed", position);
  const run = operand.run;
  if (optional) {
    return {
      type: "optional",
      run: (evaluation) => {
        evaluation.step();
        return selectOptional(run(evaluation), field, position);
      },
    };
  }
  return {
    type: operand.type === "optional" ? "optional" : "dyn",
    isPath: operand.isPath === true,
    run: (evaluation) => {
      evaluation.step();
      const value = run(evaluation);
      if (value instanceof Optional) return selectOptional(value, field, position);
      const found = memberOf(value, field, position);
      if (found === undefined) throw failed(`no such key: ${shown(field)}`, position);
      return found;
    },
  };
}

export function memberOf(value: Value, key: string, position: number): Value | undefined {
  if (!isMap(value)) throw failed(`a ${kindOf(value)} has no field ${shown(key)}`, position);
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

export function selectOptional(value: Value, key: string, position: number): Optional {
  const from = value instanceof Optional ? value.value : value;
  // JSON often has null for a missing value, so selecting from null finds nothing.
  if (from === undefined || from === null) return NONE;
  const found = memberOf(from, key, position);
  return found === undefined ? NONE : new Optional(found);
}

export function compileIndex(operand: Code, index: Code, optional: boolean, position: number): Code {
  if (!["dyn", "map", "list", "optional"].includes(operand.type))
    throw invalid(`a ${operand.type} cannot be indexed`, position);
  return {
    type: optional || operand.type === "optional" ? "optional" : "dyn",
    isPath: operand.isPath === true && index.literal !== undefined && !optional,
    run: (evaluation) => {
      evaluation.step();
      const from = operand.run(evaluation);
      const at = index.run(evaluation);
      if (!optional && !(from instanceof Optional)) {
        const found = elementOf(from, at, position);
        if (found !== undefined) return found;
        throw failed(
          typeof at === "string" ? `no such key: ${shown(at)}` : `index ${textOf(at)} is out of range`,
          position,
        );
      }
      const value = from instanceof Optional ? from.value : from;
      if (value === undefined || value === null) return NONE;
      const found = elementOf(value, at, position);
      return found === undefined ? NONE : new Optional(found);
    },
  };
}

function elementOf(value: Value, at: Value, position: number): Value | undefined {
  if (Array.isArray(value)) {
    if (typeof at !== "number" || !Number.isInteger(at))
      throw failed("the index of a list must be a whole number", position);
    return at >= 0 && at < value.length ? value[at] : undefined;
  }
  if (!isMap(value)) throw failed(`a ${kindOf(value)} cannot be indexed`, position);
  if (typeof at !== "string") throw failed("the key of a map must be a string", position);
  return Object.hasOwn(value, at) ? value[at] : undefined;
}
