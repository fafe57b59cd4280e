// CEL with one number type (numbers.ts) and a few functions of our own (functions.ts).
//
// The library parses. This folder evaluates, because overloads cannot replace the library's numbers, regular
// expressions, maps and clock arithmetic (docs/adr/0001-cel-library.md). An expression is compiled once into closures,
// one per node of the syntax tree. Each closure counts its steps on the `Evaluation` it receives.
// This file decides what a node means; functions.ts has the table of operators and functions.
import { type ASTNode, Environment, ParseError } from "@marcbachmann/cel-js";

import { type Allowance, spend } from "../allowance.ts";
import type { Json } from "../json/json.ts";
import { type Code, type Compiler, literalCode, type Scope } from "./code.ts";
import type { Expression } from "./evaluate.ts";
import type { Evaluation } from "./evaluation.ts";
import { failed, invalid, shown } from "./expression-error.ts";
import { compileBinary, compileOverloads } from "./functions.ts";
import { compileConditional, compileLogical } from "./logic.ts";
import { compileBind, compileHas, MACROS } from "./macros.ts";
import { wholeZero } from "./numbers.ts";
import { overloadFailure } from "./overloads.ts";
import { compileMatches, createPatternAllowance } from "./regex.ts";
import { compileIndex, compileSelect } from "./selection.ts";
import { timestampFromText } from "./time.ts";
import { Bytes, TYPE_NAMES, type Value, type ValueMap } from "./values.ts";

/** Longest source of one expression, in UTF-16 units: about as much as people can read. Bounds the parser's work. */
export const EXPRESSION_CHARS_MAX = 8 * 1024;
/** Deepest syntax tree, chains of operators included. The compiler and the closures recurse over it. */
const NESTING_MAX = 250;

const PARSER = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  enableOptionalTypes: true,
  // Bounds the recursion of the parser; NESTING_MAX bounds the tree it returns.
  limits: { maxDepth: 100, maxAstNodes: 4096 },
});

/** @property shared what this expression uses together with others: characters, and RE2 instructions */
export type ExpressionOptions = {
  variables: readonly string[];
  shared?: { characters: Allowance; patterns: Allowance } | undefined;
};

/** Parses and checks an expression: syntax, names, functions, and kinds that are known before it runs.
 *  @throws {ExpressionError} EXPRESSION_INVALID */
export function compileExpression(source: string, options: ExpressionOptions): Expression {
  if (source.length > EXPRESSION_CHARS_MAX) {
    throw invalid(`the expression is longer than ${EXPRESSION_CHARS_MAX} characters`, 0);
  }
  const { shared } = options;
  const exceeded = shared && spend(shared.characters, source.length);
  if (exceeded !== undefined) throw invalid(exceeded, 0);
  let root: ASTNode;
  try {
    root = PARSER.parse(source).ast;
  } catch (error) {
    if (error instanceof ParseError) throw invalid(error.summary, error.range?.start);
    if (error instanceof RangeError) throw invalid("the expression is nested too deeply", 0);
    throw error;
  }
  const compiler: Compiler = {
    variables: new Set(options.variables),
    slots: 0,
    patterns: [createPatternAllowance(), ...(shared === undefined ? [] : [shared.patterns])],
    depth: 0,
    compileNode: (node, scope) => compileNode(node, compiler, scope),
  };
  const code = compileNode(root, compiler, undefined);
  return { source, isPath: code.isPath === true, run: code.run, slots: compiler.slots };
}

function compileNode(node: ASTNode, compiler: Compiler, scope: Scope | undefined): Code {
  if (++compiler.depth > NESTING_MAX) throw invalid("the expression is nested too deeply", node.start);
  const code = compileInner(node, compiler, scope);
  compiler.depth -= 1;
  return code;
}

function compileInner(node: ASTNode, compiler: Compiler, scope: Scope | undefined): Code {
  const position = node.start;
  switch (node.op) {
    case "value":
      if (node.args instanceof Uint8Array && /[^ -~]/.test(node.input.slice(node.start, node.end))) {
        // The library truncates code points to bytes; CEL encodes them as UTF-8.
        throw invalid("a bytes literal must be ASCII: use bytes('...') instead", position);
      }
      return compileLiteral(node.args, position);
    case "id":
      return compileName(node.args, position, compiler, scope);
    case ".":
    case ".?": {
      const operand = compileNode(node.args[0], compiler, scope);
      return compileSelect(operand, node.args[1], node.op === ".?", node.pos);
    }
    case "[]":
    case "[?]": {
      const operand = compileNode(node.args[0], compiler, scope);
      const index = compileNode(node.args[1], compiler, scope);
      return compileIndex(operand, index, node.op === "[?]", position);
    }
    case "list":
      return compileList(node.args.map((item) => compileNode(item, compiler, scope)));
    case "map":
      return compileMap(node.args, compiler, scope);
    case "?:": {
      const [condition, yes, no] = node.args.map((part) => compileNode(part, compiler, scope)) as [Code, Code, Code];
      return compileConditional(condition, yes, no, position);
    }
    case "&&":
    case "||": {
      const left = compileNode(node.args[0], compiler, scope);
      const right = compileNode(node.args[1], compiler, scope);
      return compileLogical(left, right, node.op === "||", position);
    }
    case "!_": {
      const operand = compileNode(node.args, compiler, scope);
      return compileOverloads("!_", [operand], undefined, position);
    }
    case "-_": {
      const operand = compileNode(node.args, compiler, scope);
      if (typeof operand.literal === "number") return literalCode(wholeZero(-operand.literal));
      return compileOverloads("-_", [operand], undefined, position);
    }
    case "call":
      return compileCall(node.args[0], node.args[1], position, compiler, scope);
    case "rcall":
      return compileMethod(node.args[0], node.args[1], node.args[2], position, compiler, scope);
    default: {
      const left = compileNode(node.args[0], compiler, scope);
      const right = compileNode(node.args[1], compiler, scope);
      return compileBinary(node.op, left, right, position);
    }
  }
}

function compileLiteral(value: unknown, position: number): Code {
  if (typeof value === "string" && value.includes("\0")) throw invalid("U+0000 is not allowed", position);
  if (value === null || typeof value === "boolean" || typeof value === "string") return literalCode(value);
  if (value instanceof Uint8Array) return literalCode(new Bytes(Buffer.from(value)));
  if (typeof value === "number") return literalCode(value);
  // The remaining literals are integers: a bigint for 1, a class of the library for 1u.
  const whole = BigInt(value as bigint | string);
  const number = Number(whole);
  if (!Number.isSafeInteger(number)) throw invalid(`${whole} is outside ±(2^53-1): write it as a string`, position);
  return literalCode(number);
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

function compileList(items: readonly Code[]): Code {
  return {
    type: "list",
    run: (evaluation) => {
      evaluation.step();
      const list = new Array<Value>(items.length);
      for (let i = 0; i < items.length; i++) list[i] = items[i]!.run(evaluation);
      return list;
    },
  };
}

function compileMap(entries: readonly [ASTNode, ASTNode][], compiler: Compiler, scope: Scope | undefined): Code {
  const codes = entries.map(([keyNode, valueNode]) => {
    const key = compileNode(keyNode, compiler, scope);
    if (key.type !== "string" && key.type !== "dyn") throw invalid("the keys of a map must be strings", keyNode.start);
    if (key.literal === "__proto__") throw invalid("the name __proto__ is not allowed", keyNode.start);
    return { key: key.run, value: compileNode(valueNode, compiler, scope).run, position: keyNode.start };
  });
  return {
    type: "map",
    run: (evaluation) => {
      evaluation.step();
      const map = Object.create(null) as ValueMap;
      for (const { key, value, position } of codes) {
        const name = key(evaluation);
        if (typeof name !== "string") throw failed("the keys of a map must be strings", position);
        if (name === "__proto__") throw failed("the name __proto__ is not allowed", position);
        if (name in map) throw failed(`the key ${shown(name)} appears twice`, position);
        map[name] = value(evaluation);
      }
      return map;
    },
  };
}

/** A call without a receiver: a function, or a macro that looks like one. */
function compileCall(
  name: string,
  args: readonly ASTNode[],
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
  target: ASTNode,
  args: readonly ASTNode[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
): Code {
  if (
    target.op === "id" &&
    NAMESPACES.has(target.args) &&
    !compiler.variables.has(target.args) &&
    !inScope(target.args, scope)
  ) {
    const qualified = `${target.args}.${name}`;
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
