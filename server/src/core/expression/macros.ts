// Macros: calls that decide themselves when their arguments run: once per element, on demand, or not at all.
import type { Code, Compiler, Scope } from "./code.ts";
import type { Evaluation } from "./evaluation.ts";
import { type ExpressionError, failed, invalid } from "./expression-error.ts";
import { boolOrError, requireBool } from "./logic.ts";
import { memberOf, selectOptional } from "./selection.ts";
import type { Node } from "./syntax.ts";
import { isMap, kindOf, NONE, Optional, type Value } from "./values.ts";

type Macro = (
  target: Node,
  args: readonly Node[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
) => Code;

export function compileHas(
  args: readonly Node[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
): Code {
  const selection = args[0];
  if (args.length !== 1 || selection?.op !== "select") {
    throw invalid("has() takes a field selection such as vars.x", position);
  }
  const { field, isOptional } = selection;
  const operand = compiler.compileNode(selection.operand, scope).run;
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const value = operand(evaluation);
      if (value instanceof Optional || isOptional) return selectOptional(value, field, position).value !== undefined;
      return memberOf(value, field, position) !== undefined;
    },
  };
}

/** Declares the variable of a macro: a scope for its body. */
function declare(node: Node | undefined, compiler: Compiler, scope: Scope | undefined): Scope {
  if (node?.op !== "name" || node.isAbsolute) {
    throw invalid("the first argument must be the name of a variable", node?.start);
  }
  return { name: node.name, slot: compiler.slots++, outer: scope };
}

export function compileBind(
  args: readonly Node[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
): Code {
  if (args.length !== 3) throw invalid("cel.bind(name, value, expression) takes three arguments", position);
  const value = compiler.compileNode(args[1]!, scope).run;
  const inner = declare(args[0], compiler, scope);
  const body = compiler.compileNode(args[2]!, inner);
  return {
    type: body.type,
    run: (evaluation) => {
      evaluation.step();
      evaluation.locals[inner.slot] = value(evaluation);
      return body.run(evaluation);
    },
  };
}

/** Compiles the range of a macro. `each` sets the variable to each element of a list, or each key of a map in order,
 *  and calls `visit` until that returns false. */
function compileLoop(target: Node, variable: Node | undefined, compiler: Compiler, scope: Scope | undefined) {
  const range = compiler.compileNode(target, scope);
  if (range.type !== "list" && range.type !== "map" && range.type !== "dyn") {
    throw invalid(`a ${range.type} cannot be iterated`, target.start);
  }
  const inner = declare(variable, compiler, scope);
  const each = (evaluation: Evaluation, visit: () => boolean): void => {
    const value = range.run(evaluation);
    let items: readonly Value[];
    if (Array.isArray(value)) items = value;
    else if (isMap(value)) {
      // Sorted, because a value that was stored and read back may have its members in another order.
      items = Object.keys(value).toSorted();
      evaluation.spend(items.length);
    } else throw failed(`a ${kindOf(value)} cannot be iterated`, target.start);
    for (const item of items) {
      evaluation.step();
      evaluation.locals[inner.slot] = item;
      if (!visit()) return;
    }
  };
  return { inner, each };
}

/** `all` and `exists`. One element that decides the result hides errors of other elements. */
function quantifier(deciding: boolean): Macro {
  const name = deciding ? "exists" : "all";
  return (target, args, position, compiler, scope) => {
    const { inner, each } = compileLoop(target, args[0], compiler, scope);
    const predicate = compiler.compileNode(args[1]!, inner);
    requireBool(predicate, `the predicate of ${name}()`, position);
    return {
      type: "bool",
      run: (evaluation) => {
        evaluation.step();
        let decided = false;
        let firstError: ExpressionError | undefined;
        each(evaluation, () => {
          const holds = boolOrError(predicate.run, evaluation, `${name}()`, position);
          if (typeof holds !== "boolean") firstError ??= holds;
          decided = holds === deciding;
          return !decided;
        });
        if (!decided && firstError !== undefined) throw firstError;
        return decided ? deciding : !deciding;
      },
    };
  };
}

const existsOne: Macro = (target, args, position, compiler, scope) => {
  const { inner, each } = compileLoop(target, args[0], compiler, scope);
  const predicate = compilePredicate(args[1]!, "exists_one", position, compiler, inner);
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      let count = 0;
      each(evaluation, () => {
        if (predicate(evaluation)) count += 1;
        return true;
      });
      return count === 1;
    },
  };
};

function compilePredicate(
  node: Node,
  name: string,
  position: number,
  compiler: Compiler,
  scope: Scope,
): (evaluation: Evaluation) => boolean {
  const predicate = compiler.compileNode(node, scope);
  requireBool(predicate, `the predicate of ${name}()`, position);
  return (evaluation) => {
    const holds = predicate.run(evaluation);
    if (typeof holds !== "boolean")
      throw failed(`the predicate of ${name}() must be bool, not ${kindOf(holds)}`, position);
    return holds;
  };
}

/** `map`, with and without a filter, and `filter`, which collects the elements themselves. */
function collector(name: string, at: { predicate: number | undefined; transform: number | undefined }): Macro {
  return (target, args, position, compiler, scope) => {
    const { inner, each } = compileLoop(target, args[0], compiler, scope);
    const keep =
      at.predicate === undefined ? undefined : compilePredicate(args[at.predicate]!, name, position, compiler, inner);
    const transform = at.transform === undefined ? undefined : compiler.compileNode(args[at.transform]!, inner).run;
    return {
      type: "list",
      run: (evaluation) => {
        evaluation.step();
        const list: Value[] = [];
        each(evaluation, () => {
          if (keep === undefined || keep(evaluation)) {
            list.push(transform === undefined ? evaluation.locals[inner.slot]! : transform(evaluation));
          }
          return true;
        });
        return list;
      },
    };
  };
}

function optionalMap(flat: boolean): Macro {
  return (target, args, position, compiler, scope) => {
    const receiver = compiler.compileNode(target, scope);
    const inner = declare(args[0], compiler, scope);
    const body = compiler.compileNode(args[1]!, inner).run;
    return {
      type: "optional",
      run: (evaluation) => {
        evaluation.step();
        const optional = receiver.run(evaluation);
        if (!(optional instanceof Optional)) throw failed(`a ${kindOf(optional)} is not an optional`, position);
        if (optional.value === undefined) return NONE;
        evaluation.locals[inner.slot] = optional.value;
        const value = body(evaluation);
        if (!flat) return new Optional(value);
        if (value instanceof Optional) return value;
        throw failed("the expression of optFlatMap() must return an optional", position);
      },
    };
  };
}

/** Macros by name and number of arguments. `orValue` and `or` are macros because they evaluate their argument only if
 *  the optional has no value. */
export const MACROS: ReadonlyMap<string, Macro> = new Map([
  ["all/2", quantifier(false)],
  ["exists/2", quantifier(true)],
  ["exists_one/2", existsOne],
  ["existsOne/2", existsOne],
  ["map/2", collector("map", { predicate: undefined, transform: 1 })],
  ["map/3", collector("map", { predicate: 1, transform: 2 })],
  ["filter/2", collector("filter", { predicate: 1, transform: undefined })],
  ["optMap/2", optionalMap(false)],
  ["optFlatMap/2", optionalMap(true)],
  ["orValue/1", otherwise(false)],
  ["or/1", otherwise(true)],
]);

function otherwise(wantsOptional: boolean): Macro {
  return (target, args, position, compiler, scope) => {
    const receiver = compiler.compileNode(target, scope);
    if (receiver.type !== "optional" && receiver.type !== "dyn") {
      throw invalid(`a ${receiver.type} is not an optional`, position);
    }
    const other = compiler.compileNode(args[0]!, scope);
    if (wantsOptional && other.type !== "optional" && other.type !== "dyn") {
      throw invalid(`or() takes an optional, not a ${other.type}`, position);
    }
    return {
      type: wantsOptional ? "optional" : "dyn",
      run: (evaluation) => {
        evaluation.step();
        const optional = receiver.run(evaluation);
        if (!(optional instanceof Optional)) throw failed(`a ${kindOf(optional)} is not an optional`, position);
        if (optional.value !== undefined) return wantsOptional ? optional : optional.value;
        const value = other.run(evaluation);
        if (!wantsOptional || value instanceof Optional) return value;
        throw failed(`or() takes an optional, not a ${kindOf(value)}`, position);
      },
    };
  };
}
