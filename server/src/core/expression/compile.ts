// CEL with one number type (numbers.ts) and a few functions of our own (functions.ts).
//
// parser.ts reads the source. This file decides what a node of the syntax tree means, and compiles it once into
// closures, one per node (docs/adr/0001-cel-library.md). Each closure counts its steps on the `Evaluation` it receives.
// functions.ts has the table of operators and functions.
import { type Allowance, spend } from "../allowance.ts";
import type { Json } from "../json/json.ts";
import { type Code, type Compiler, literalCode, type Scope } from "./code.ts";
import type { Expression } from "./evaluate.ts";
import type { Evaluation, Run } from "./evaluation.ts";
import { failed, invalid, shown } from "./expression-error.ts";
import { compileBinary, compileOverloads } from "./functions.ts";
import { compileConditional, compileLogical } from "./logic.ts";
import { compileBind, compileHas, MACROS } from "./macros.ts";
import { wholeZero } from "./numbers.ts";
import { overloadFailure } from "./overloads.ts";
import { NESTING_MAX, parseExpression } from "./parser.ts";
import { compileMatches, createPatternAllowance } from "./regex.ts";
import { compileIndex, compileSelect } from "./selection.ts";
import type { ListItem, MapEntry, Node } from "./syntax.ts";
import { timestampFromText } from "./time.ts";
import { kindOf, Optional, TYPE_NAMES, type TypeName, type Value, type ValueMap } from "./values.ts";

/** Longest source of one expression, in code points: about as much as people can read. Bounds the parser's work. The
 *  contract says the same of the fields that are one expression. */
export const EXPRESSION_CHARS_MAX = 8_192;

/** @property shared what this expression uses together with others: characters, and RE2 instructions */
export type ExpressionOptions = {
  variables: readonly string[];
  shared?: { characters: Allowance; patterns: Allowance } | undefined;
};

/** Parses and checks an expression: syntax, names, functions, and kinds that are known before it runs.
 *  @throws {ExpressionError} EXPRESSION_INVALID */
export function compileExpression(source: string, options: ExpressionOptions): Expression {
  if (isLongerThan(source, EXPRESSION_CHARS_MAX)) {
    throw invalid(`the expression is longer than ${EXPRESSION_CHARS_MAX} characters`, 0);
  }
  const { shared } = options;
  const exceeded = shared && spend(shared.characters, source.length);
  if (exceeded !== undefined) throw invalid(exceeded, 0);
  const compiler: Compiler = {
    variables: new Set(options.variables),
    slots: 0,
    patterns: [createPatternAllowance(), ...(shared === undefined ? [] : [shared.patterns])],
    depth: 0,
    compileNode: (node, scope) => compileNode(node, compiler, scope),
  };
  const code = compileNode(parseExpression(source), compiler, undefined);
  return { source, isPath: code.isPath === true, run: code.run, slots: compiler.slots };
}

/** Whether a text has more than `max` code points. Most texts are decided without counting. */
function isLongerThan(text: string, max: number): boolean {
  if (text.length <= max) return false;
  return text.length > 2 * max || Array.from(text).length > max;
}

function compileNode(node: Node, compiler: Compiler, scope: Scope | undefined): Code {
  // Chains of operators are deep too, though the parser does not recurse over them.
  if (++compiler.depth > NESTING_MAX) throw invalid("the expression is nested too deeply", node.start);
  const code = compileInner(node, compiler, scope);
  compiler.depth -= 1;
  return code;
}

function compileInner(node: Node, compiler: Compiler, scope: Scope | undefined): Code {
  const position = node.start;
  switch (node.op) {
    case "literal":
      return literalCode(node.value);
    case "name":
      return compileName(node.name, position, compiler, node.isAbsolute ? undefined : scope);
    case "select": {
      const type = typeNamed(node, compiler, scope);
      if (type !== undefined) return literalCode(type);
      const operand = compileNode(node.operand, compiler, scope);
      return compileSelect(operand, node.field, node.isOptional, node.fieldStart);
    }
    case "index": {
      const operand = compileNode(node.operand, compiler, scope);
      const index = compileNode(node.index, compiler, scope);
      return compileIndex(operand, index, node.isOptional, position);
    }
    case "list":
      return compileList(node.items, compiler, scope);
    case "map":
      return compileMap(node.entries, compiler, scope);
    case "conditional": {
      const condition = compileNode(node.condition, compiler, scope);
      const yes = compileNode(node.yes, compiler, scope);
      const no = compileNode(node.no, compiler, scope);
      return compileConditional(condition, yes, no, position);
    }
    case "logical": {
      const left = compileNode(node.left, compiler, scope);
      const right = compileNode(node.right, compiler, scope);
      return compileLogical(left, right, node.operator === "||", position);
    }
    case "unary": {
      const operand = compileNode(node.operand, compiler, scope);
      if (node.operator === "!") return compileOverloads("!_", [operand], undefined, position);
      if (typeof operand.literal === "number") return literalCode(wholeZero(-operand.literal));
      return compileOverloads("-_", [operand], undefined, position);
    }
    case "binary": {
      const left = compileNode(node.left, compiler, scope);
      const right = compileNode(node.right, compiler, scope);
      return compileBinary(node.operator, left, right, position);
    }
    case "call":
      return compileCall(node.name, node.args, position, compiler, scope);
    case "method":
      return compileMethod(node.name, node.target, node.args, position, compiler, scope);
  }
}

function compileName(name: string, position: number, compiler: Compiler, scope: Scope | undefined): Code {
  for (let at = scope; at !== undefined; at = at.outer) {
    if (at.name !== name) continue;
    const slot = at.slot;
    return {
      type: "dyn",
      run: (evaluation) => {
        evaluation.step();
        return evaluation.locals[slot]!;
      },
    };
  }
  if (!compiler.variables.has(name)) {
    const type = TYPE_NAMES.get(name);
    if (type !== undefined) return literalCode(type);
    const known = [...compiler.variables].join(", ");
    throw invalid(`unknown name ${shown(name)}; known here: ${known === "" ? "none" : known}`, position);
  }
  const load = (evaluation: Evaluation): Json => {
    evaluation.step();
    const value = evaluation.names[name];
    if (value === undefined) throw failed(`${name} is not set here`, position);
    return value;
  };
  if (name !== "now") return { type: "dyn", isPath: true, run: load };
  return {
    type: "timestamp",
    run: (evaluation) => {
      const value = load(evaluation);
      return typeof value === "string" ? timestampFromText(value) : overloadFailure("timestamp", [value], position);
    },
  };
}

/** The type that a name with dots, such as `google.protobuf.Timestamp`, names; undefined if it names a field. */
function typeNamed(node: Node, compiler: Compiler, scope: Scope | undefined): TypeName | undefined {
  let name = "";
  let at = node;
  for (; at.op === "select" && !at.isOptional; at = at.operand) name = `.${at.field}${name}`;
  if (at.op !== "name" || compiler.variables.has(at.name) || (!at.isAbsolute && inScope(at.name, scope)))
    return undefined;
  return TYPE_NAMES.get(at.name + name);
}

function compileList(items: readonly ListItem[], compiler: Compiler, scope: Scope | undefined): Code {
  const runs = items.map(({ value, isOptional }) => {
    const code = compileNode(value, compiler, scope);
    return isOptional ? optionalElement(code, value.start) : code.run;
  });
  if (items.some((item) => item.isOptional)) {
    return {
      type: "list",
      run: (evaluation) => {
        evaluation.step();
        const list: Value[] = [];
        for (const [i, run] of runs.entries()) {
          const value = run(evaluation);
          if (!items[i]!.isOptional) list.push(value);
          else if ((value as Optional).value !== undefined) list.push((value as Optional).value!);
        }
        return list;
      },
    };
  }
  return {
    type: "list",
    run: (evaluation) => {
      evaluation.step();
      const list = new Array<Value>(runs.length);
      for (let i = 0; i < runs.length; i++) list[i] = runs[i]!(evaluation);
      return list;
    },
  };
}

/** The code after a `?` in a literal, whose value is an optional. */
function optionalElement(code: Code, position: number): (evaluation: Evaluation) => Optional {
  if (code.type !== "optional" && code.type !== "dyn") {
    throw invalid(`? takes an optional, not a ${code.type}: leave it out, or write .?x or [?x]`, position);
  }
  return (evaluation) => {
    const value = code.run(evaluation);
    if (value instanceof Optional) return value;
    throw failed(`? takes an optional, not a ${kindOf(value)}`, position);
  };
}

function compileMap(entries: readonly MapEntry[], compiler: Compiler, scope: Scope | undefined): Code {
  const codes = entries.map((entry) => {
    const position = entry.key.start;
    const key = compileNode(entry.key, compiler, scope);
    if (key.type !== "string" && key.type !== "dyn") throw invalid("the keys of a map must be strings", position);
    if (key.literal === "__proto__") throw invalid("the name __proto__ is not allowed", position);
    const code = compileNode(entry.value, compiler, scope);
    const { isOptional } = entry;
    const value: Run = isOptional ? optionalElement(code, entry.value.start) : code.run;
    return { key: key.run, value, isOptional, position };
  });
  return {
    type: "map",
    run: (evaluation) => {
      evaluation.step();
      const map = Object.create(null) as ValueMap;
      for (const { key, value, isOptional, position } of codes) {
        const name = key(evaluation);
        if (typeof name !== "string") throw failed("the keys of a map must be strings", position);
        if (name === "__proto__") throw failed("the name __proto__ is not allowed", position);
        const found = value(evaluation);
        const kept = isOptional ? (found as Optional).value : found;
        if (kept === undefined) continue;
        if (name in map) throw failed(`the key ${shown(name)} appears twice`, position);
        map[name] = kept;
      }
      return map;
    },
  };
}

/** A call without a receiver: a function, or a macro that looks like one. */
function compileCall(
  name: string,
  args: readonly Node[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
): Code {
  if (name === "has") return compileHas(args, position, compiler, scope);
  const codes = args.map((arg) => compileNode(arg, compiler, scope));
  if (name === "matches" && codes.length === 2) return compileMatches(codes[0]!, codes[1]!, position, compiler);
  // An expression cannot call an operator by a name such as `_+_`: the lexer refuses it.
  return compileOverloads(name, codes, undefined, position);
}

/** Names before a dot that belong to the name of a function, unless a variable has that name. */
const NAMESPACES = new Set(["cel", "optional", "strings"]);

/** A call with a receiver: a function of a namespace, a macro, or a method. */
function compileMethod(
  name: string,
  target: Node,
  args: readonly Node[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
): Code {
  if (
    target.op === "name" &&
    NAMESPACES.has(target.name) &&
    !compiler.variables.has(target.name) &&
    (target.isAbsolute || !inScope(target.name, scope))
  ) {
    const qualified = `${target.name}.${name}`;
    if (qualified === "cel.bind") return compileBind(args, position, compiler, scope);
    return compileOverloads(
      qualified,
      args.map((arg) => compileNode(arg, compiler, scope)),
      undefined,
      position,
    );
  }
  const macro = MACROS.get(`${name}/${args.length}`);
  if (macro !== undefined) return macro(target, args, position, compiler, scope);
  const receiver = compileNode(target, compiler, scope);
  const codes = args.map((arg) => compileNode(arg, compiler, scope));
  if (name === "matches" && codes.length === 1) return compileMatches(receiver, codes[0]!, position, compiler);
  return compileOverloads(name, codes, receiver, position);
}

function inScope(name: string, scope: Scope | undefined): boolean {
  for (let at = scope; at !== undefined; at = at.outer) if (at.name === name) return true;
  return false;
}
