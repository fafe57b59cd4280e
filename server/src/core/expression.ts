// CEL with the number rule and the functions of CONTRACT.md, rules 3 and 5.
//
// The library parses; this file evaluates, because the library's numbers, regular expressions, maps and clock arithmetic
// cannot be replaced by overloads (docs/adr/0001-cel-library.md). An expression is compiled once into closures; each counts
// its steps on the `Evaluation` it is given. Operators and functions are tables of overloads at the end.
import { type ASTNode, Environment, ParseError } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";

import {
  addMicros,
  DurationError,
  epochMicrosOf,
  InstantError,
  instantFromEpochMicros,
  type Instant,
  microsBetween,
  parseInstant,
} from "./duration.ts";
import { DomainError } from "./errors.ts";
import {
  assertJson,
  canonicalJson,
  JSON_DEPTH_MAX,
  type Json,
  type JsonObject,
  parseJson,
  plainText,
} from "./json/json.ts";

/** Longest source of one expression, UTF-16 units: a rule people can read. Bounds what the parser does. */
export const EXPRESSION_CHARS_MAX = 8 * 1024;
/** Evaluation steps of one expression: about 10 ms of work on a server that other runs share. */
export const EXPRESSION_STEPS_MAX = 100_000;

/** How deep the syntax tree may be, chains of operators included: the compiler and the closures recurse over it. */
const NESTING_MAX = 250;
/** Longest string an expression may build, UTF-16 units: a payload cannot hold more. */
const STRING_CHARS_MAX = 1024 * 1024;
/** Longest list an expression may build: a payload rarely holds more, and elements cost memory before they cost steps. */
const LIST_ITEMS_MAX = 100_000;
/** Characters a native string operation may read per step: it takes about as long as visiting one node. */
const CHARS_PER_STEP = 256;
/** Characters of JSON text that are written or parsed per step. */
const JSON_CHARS_PER_STEP = 16;
/** Elements a native list operation may copy per step, for the same reason. */
const ITEMS_PER_STEP = 16;
/** Steps for an error that `&&`, `||`, `all` or `exists` swallows: an exception is much dearer than a node. */
const ABSORBED_ERROR_STEPS = 20;
/** Regular expressions of one expression together, in RE2 instructions: compiling 1,000 of them takes about 10 ms. */
const REGEX_INSTRUCTIONS_MAX = 2_000;
/** Longest regular expression, UTF-16 units. */
const REGEX_CHARS_MAX = 1_024;
/** RE2 instructions times characters per step: the slowest patterns take 50 ns for each. */
const REGEX_WORK_PER_STEP = 128;
/** Steps for a regular expression that is only known when it runs, since it must be compiled each time; and per instruction. */
const REGEX_COMPILE_STEPS = 1_000;
const REGEX_INSTRUCTION_STEPS = 10;

export type ExpressionErrorCode = "EXPRESSION_INVALID" | "EVALUATION_FAILED" | "EXPRESSION_LIMIT";

/** An expression or template that cannot be compiled (EXPRESSION_INVALID), has no value for these names (EVALUATION_FAILED)
 *  or costs too much (EXPRESSION_LIMIT). */
export class ExpressionError extends Error {
  readonly code: ExpressionErrorCode;
  /** Where in the source, in UTF-16 units from 0, where that is known. */
  readonly position: number | undefined;
  /** The JSON Pointer of the template inside a value of templates; empty elsewhere. */
  readonly path: string;

  constructor(code: ExpressionErrorCode, message: string, position?: number, path = "") {
    super(message);
    this.name = "ExpressionError";
    this.code = code;
    this.position = position;
    this.path = path;
  }
}

/** A compiled expression. Immutable; the caller keeps it for as long as the graph. */
export type Expression = {
  readonly source: string;
  /** The result is a part of a name's value, untouched, so it needs no second look. */
  readonly isPath: boolean;
  readonly run: Run;
  readonly slots: number;
};

/** What an expression may name. `now` is an RFC 3339 string and reads as a CEL timestamp. */
export type ExpressionNames = Readonly<Record<string, Json | undefined>>;

/** Parses and checks an expression: syntax, names, functions, and types where they are known.
 *  @throws {ExpressionError} EXPRESSION_INVALID */
export function compileExpression(source: string, options: { variables: readonly string[] }): Expression {
  if (source.length > EXPRESSION_CHARS_MAX) {
    throw invalid(`an expression has at most ${EXPRESSION_CHARS_MAX} characters`, 0);
  }
  let root: ASTNode;
  try {
    root = PARSER.parse(source).ast;
  } catch (error) {
    if (error instanceof ParseError) throw invalid(error.summary, error.range?.start);
    if (error instanceof RangeError) throw invalid("the expression is nested too deeply", 0);
    throw error;
  }
  const compiler: Compiler = { variables: new Set(options.variables), slots: 0, regexInstructions: 0, depth: 0 };
  const code = compileNode(root, compiler, undefined);
  return { source, isPath: code.isPath === true, run: code.run, slots: compiler.slots };
}

/** The steps that are left for expressions that belong together, such as those of one template. */
export type Budget = { steps: number };

export function createBudget(): Budget {
  return { steps: EXPRESSION_STEPS_MAX };
}

/** The value of an expression as JSON. Timestamps become RFC 3339 strings, durations strings such as `90s`, bytes base64,
 *  an optional its value. `budget` is used up; absent: one for this expression alone.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT (steps, or a result beyond 1 MiB or 32 levels) */
export function evaluate(expression: Expression, names: ExpressionNames, budget: Budget = createBudget()): Json {
  const evaluation = new Evaluation(names, expression.slots, budget);
  const value = expression.run(evaluation);
  return expression.isPath ? (value as Json) : resultToJson(value);
}

const PARSER = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  enableOptionalTypes: true,
  // The parser's own recursion; NESTING_MAX bounds what it returns.
  limits: { maxDepth: 100, maxAstNodes: 4096 },
});

// ── Values ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Kind =
  | "null"
  | "bool"
  | "number"
  | "string"
  | "bytes"
  | "list"
  | "map"
  | "timestamp"
  | "duration"
  | "optional"
  | "type";

/** What JSON has no value for; everything else is the JSON value itself. */
abstract class Special {
  abstract readonly kind: Kind;
}

class Timestamp extends Special {
  readonly kind = "timestamp";
  readonly instant: Instant;
  constructor(instant: Instant) {
    super();
    this.instant = instant;
  }
}

class Duration extends Special {
  readonly kind = "duration";
  /** Whole microseconds. */
  readonly micros: number;
  constructor(micros: number) {
    super();
    // 285 years; beyond, a double loses microseconds.
    if (!Number.isSafeInteger(micros)) throw failed("a duration is at most 285 years");
    this.micros = micros;
  }
}

class Bytes extends Special {
  readonly kind = "bytes";
  readonly data: Buffer;
  constructor(data: Buffer) {
    super();
    this.data = data;
  }
}

class Optional extends Special {
  readonly kind = "optional";
  /** Undefined for none. */
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    super();
    this.value = value;
  }
}

class TypeName extends Special {
  readonly kind = "type";
  readonly name: string;
  constructor(name: string) {
    super();
    this.name = name;
  }
}

type ValueMap = { [key: string]: Value };
type Value = null | boolean | number | string | Value[] | ValueMap | Special;

const NONE = new Optional(undefined);

function kindOf(value: Value): Kind {
  switch (typeof value) {
    case "string":
      return "string";
    case "number":
      return "number";
    case "boolean":
      return "bool";
    default:
      if (value === null) return "null";
      if (Array.isArray(value)) return "list";
      return value instanceof Special ? value.kind : "map";
  }
}

function isMap(value: Value): value is ValueMap {
  return kindOf(value) === "map";
}

// ── Evaluation ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Run = (evaluation: Evaluation) => Value;

/** One evaluation: its names, its local variables, and the steps it has left. */
class Evaluation {
  readonly names: ExpressionNames;
  /** The values of macro variables, each at the slot the compiler gave it. */
  readonly locals: Value[];
  private readonly budget: Budget;

  constructor(names: ExpressionNames, slots: number, budget: Budget) {
    this.names = names;
    this.budget = budget;
    this.locals = slots === 0 ? NO_LOCALS : new Array<Value>(slots).fill(null);
  }

  step(): void {
    if (--this.budget.steps < 0) throw limit(`more than ${EXPRESSION_STEPS_MAX} steps`);
  }

  spend(steps: number): void {
    this.budget.steps -= Math.ceil(steps);
    if (this.budget.steps < 0) throw limit(`more than ${EXPRESSION_STEPS_MAX} steps`);
  }

  /** Pays for reading or writing text of so many UTF-16 units. */
  text(chars: number): void {
    if (chars > CHARS_PER_STEP) this.spend(chars / CHARS_PER_STEP);
  }

  /** Pays for a string that is about to be built. */
  newText(chars: number): void {
    if (chars > STRING_CHARS_MAX) throw limit(`a string of more than ${STRING_CHARS_MAX} characters`);
    this.text(chars);
  }

  /** Pays for writing or reading JSON text, which is an order of magnitude dearer than reading characters. */
  json(chars: number): void {
    this.spend(chars / JSON_CHARS_PER_STEP);
  }

  /** Pays for a list that is about to be built. */
  newList(items: number): void {
    if (items > LIST_ITEMS_MAX) throw limit(`a list of more than ${LIST_ITEMS_MAX} elements`);
    if (items > ITEMS_PER_STEP) this.spend(items / ITEMS_PER_STEP);
  }
}

const NO_LOCALS: Value[] = [];

function invalid(message: string, position: number | undefined): ExpressionError {
  return new ExpressionError("EXPRESSION_INVALID", message, position);
}

function failed(message: string, position?: number): ExpressionError {
  return new ExpressionError("EVALUATION_FAILED", message, position);
}

function limit(message: string): ExpressionError {
  return new ExpressionError("EXPRESSION_LIMIT", message);
}

/** How much of a value's name a message shows. */
const SHOWN_CHARS_MAX = 64;

function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARS_MAX ? text.slice(0, SHOWN_CHARS_MAX).toWellFormed() + "…" : text);
}

function resultToJson(value: Value): Json {
  const json = toJson(value, 0, { left: LIST_ITEMS_MAX * 2 });
  try {
    assertJson(json);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const tooMuch = error.reason === "PAYLOAD_TOO_LARGE" || error.reason === "PAYLOAD_TOO_DEEP";
    throw tooMuch ? limit(`the result has ${error.message}`) : failed(`the result is not JSON: ${error.message}`);
  }
  return json;
}

/** `value` with the values that JSON lacks replaced; shares what has none. */
function toJson(value: Value, depth: number, budget: { left: number }): Json {
  // Values share parts, so the tree may be far larger than the memory it takes.
  if (--budget.left < 0) throw limit("the result has too many values");
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Special) return specialToJson(value, depth, budget);
  if (depth >= JSON_DEPTH_MAX) throw limit(`the result has more than ${JSON_DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    let copy: Json[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const json = toJson(value[i]!, depth + 1, budget);
      if (json !== value[i]) (copy ??= value.slice() as Json[])[i] = json;
    }
    return copy ?? (value as Json[]);
  }
  let copy: JsonObject | undefined;
  for (const key of Object.keys(value)) {
    const json = toJson(value[key]!, depth + 1, budget);
    if (json !== value[key]) (copy ??= Object.assign(Object.create(null), value) as JsonObject)[key] = json;
  }
  return copy ?? (value as JsonObject);
}

function specialToJson(value: Special, depth: number, budget: { left: number }): Json {
  if (value instanceof Timestamp) return timestampText(value.instant);
  if (value instanceof Duration) return durationText(value.micros);
  if (value instanceof Bytes) return value.data.toString("base64");
  if (value instanceof TypeName) return value.name;
  if (value instanceof Optional && value.value !== undefined) return toJson(value.value, depth, budget);
  throw failed("the result is an optional without a value: add .orValue(...)");
}

// ── Compilation ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Type = Kind | "dyn";

/** A compiled node. */
type Code = {
  run: Run;
  /** Its kind where that is known before it runs. */
  type: Type;
  /** A literal's value, for checks at compile time. */
  literal?: Value;
  /** A name followed by selections only: what comes out is a part of what went in. */
  isPath?: boolean;
};

type Compiler = { variables: ReadonlySet<string>; slots: number; regexInstructions: number; depth: number };

/** A variable of a macro, and those around it. */
type Scope = { name: string; slot: number; outer: Scope | undefined };

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
        // The library cuts code points to bytes where CEL encodes them as UTF-8.
        throw invalid("bytes literals are ASCII: write bytes('...')", position);
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

function literalCode(value: Value): Code {
  return {
    type: kindOf(value),
    literal: value,
    run: (evaluation) => {
      evaluation.step();
      return value;
    },
  };
}

function compileLiteral(value: unknown, position: number): Code {
  if (typeof value === "string" && value.includes("\0")) throw invalid("U+0000 is not allowed", position);
  if (value === null || typeof value === "boolean" || typeof value === "string") return literalCode(value);
  if (value instanceof Uint8Array) return literalCode(new Bytes(Buffer.from(value)));
  if (typeof value === "number") return literalCode(value);
  // What is left are the integers: a bigint for 1, the library's own class for 1u.
  const whole = BigInt(value as bigint | string);
  const number = Number(whole);
  if (!Number.isSafeInteger(number)) throw invalid(`${whole} is beyond ±(2^53-1): write it as a string`, position);
  return literalCode(number);
}

const TYPE_NAMES: ReadonlyMap<string, TypeName> = new Map(
  // There is one number type, so all its names mean the same.
  [
    ["int", "double"],
    ["uint", "double"],
    ["double", "double"],
    ["bool", "bool"],
    ["string", "string"],
    ["bytes", "bytes"],
    ["list", "list"],
    ["map", "map"],
    ["null_type", "null_type"],
    ["type", "type"],
  ].map(([written, name]) => [written!, new TypeName(name!)]),
);

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
    if (value === undefined) throw failed(`${name} has no value here`, position);
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

function compileSelect(operand: Code, field: string, optional: boolean, position: number): Code {
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

function memberOf(value: Value, key: string, position: number): Value | undefined {
  if (!isMap(value)) throw failed(`a ${kindOf(value)} has no field ${shown(key)}`, position);
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function selectOptional(value: Value, key: string, position: number): Optional {
  const from = value instanceof Optional ? value.value : value;
  // JSON says null where it could say nothing, so null is as good as none.
  if (from === undefined || from === null) return NONE;
  const found = memberOf(from, key, position);
  return found === undefined ? NONE : new Optional(found);
}

function compileIndex(operand: Code, index: Code, optional: boolean, position: number): Code {
  if (!["dyn", "map", "list", "optional"].includes(operand.type))
    throw invalid(`a ${operand.type} has no elements`, position);
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
    if (typeof at !== "number" || !Number.isInteger(at)) throw failed("a list is indexed by whole numbers", position);
    return at >= 0 && at < value.length ? value[at] : undefined;
  }
  if (!isMap(value)) throw failed(`a ${kindOf(value)} has no elements`, position);
  if (typeof at !== "string") throw failed("a map is indexed by strings", position);
  return Object.hasOwn(value, at) ? value[at] : undefined;
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
    if (key.type !== "string" && key.type !== "dyn") throw invalid("the keys of a map are strings", keyNode.start);
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
        if (typeof name !== "string") throw failed("the keys of a map are strings", position);
        if (name === "__proto__") throw failed("the name __proto__ is not allowed", position);
        if (name in map) throw failed(`the key ${shown(name)} appears twice`, position);
        map[name] = value(evaluation);
      }
      return map;
    },
  };
}

function requireBool(code: Code, what: string, position: number): void {
  if (code.type !== "bool" && code.type !== "dyn") throw invalid(`${what} must be bool, not ${code.type}`, position);
}

function compileConditional(condition: Code, yes: Code, no: Code, position: number): Code {
  requireBool(condition, "the condition of ?:", position);
  return {
    type: yes.type === no.type ? yes.type : "dyn",
    run: (evaluation) => {
      evaluation.step();
      const chosen = condition.run(evaluation);
      if (chosen === true) return yes.run(evaluation);
      if (chosen === false) return no.run(evaluation);
      throw failed(`the condition of ?: must be bool, not ${kindOf(chosen)}`, position);
    },
  };
}

/** `&&` and `||`: the deciding value wins over an error on the other side, as CEL has it. */
function compileLogical(left: Code, right: Code, deciding: boolean, position: number): Code {
  const operator = deciding ? "||" : "&&";
  requireBool(left, `the left side of ${operator}`, position);
  requireBool(right, `the right side of ${operator}`, position);
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const first = boolOrError(left.run, evaluation, operator, position);
      if (first === deciding) return deciding;
      const second = boolOrError(right.run, evaluation, operator, position);
      if (second === deciding) return deciding;
      if (typeof first !== "boolean") throw first;
      if (typeof second !== "boolean") throw second;
      return !deciding;
    },
  };
}

function boolOrError(run: Run, evaluation: Evaluation, operator: string, position: number): boolean | ExpressionError {
  try {
    const value = run(evaluation);
    if (typeof value === "boolean") return value;
    return failed(`${operator} needs bool, not ${kindOf(value)}`, position);
  } catch (error) {
    if (!(error instanceof ExpressionError) || error.code !== "EVALUATION_FAILED") throw error;
    evaluation.spend(ABSORBED_ERROR_STEPS);
    return error;
  }
}

function compileBinary(operator: string, left: Code, right: Code, position: number): Code {
  // The pairs that nearly all expressions use; the table of overloads has the same meaning, a few times slower.
  const slow = compileOverloads(operator, [left, right], undefined, position);
  const quick = QUICK_NUMBERS.get(operator);
  if (quick === undefined) return slow;
  const overloads = functionNamed(operator)!;
  const [leftRun, rightRun] = [left.run, right.run];
  return {
    type: slow.type,
    run: (evaluation) => {
      evaluation.step();
      const a = leftRun(evaluation);
      const b = rightRun(evaluation);
      if (typeof a === "number" && typeof b === "number") return quick(a, b);
      return dispatch(overloads, operator, [a, b], evaluation, position);
    },
  };
}

/** A function of CEL, an operator, or a macro written as one. */
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
  // Names such as `_+_` cannot be written, since the lexer does not read them.
  return compileOverloads(name, codes, undefined, position);
}

const NAMESPACES = new Set(["cel", "optional", "strings"]);

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

// ── Macros ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Macro = (
  target: ASTNode,
  args: readonly ASTNode[],
  position: number,
  compiler: Compiler,
  scope: Scope | undefined,
) => Code;

function compileHas(args: readonly ASTNode[], position: number, compiler: Compiler, scope: Scope | undefined): Code {
  const selection = args[0];
  if (args.length !== 1 || selection === undefined || (selection.op !== "." && selection.op !== ".?")) {
    throw invalid("has() takes a selection such as vars.x", position);
  }
  const [operandNode, field] = selection.args;
  const operand = compileNode(operandNode, compiler, scope).run;
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const value = operand(evaluation);
      if (value instanceof Optional || selection.op === ".?")
        return selectOptional(value, field, position).value !== undefined;
      return memberOf(value, field, position) !== undefined;
    },
  };
}

/** A variable for the body of a macro. */
function declare(node: ASTNode | undefined, compiler: Compiler, scope: Scope | undefined): Scope {
  if (node?.op !== "id") throw invalid("the first argument is the name of a variable", node?.start);
  return { name: node.args, slot: compiler.slots++, outer: scope };
}

function compileBind(args: readonly ASTNode[], position: number, compiler: Compiler, scope: Scope | undefined): Code {
  if (args.length !== 3) throw invalid("cel.bind(name, value, expression) takes three arguments", position);
  const value = compileNode(args[1]!, compiler, scope).run;
  const inner = declare(args[0], compiler, scope);
  const body = compileNode(args[2]!, compiler, inner);
  return {
    type: body.type,
    run: (evaluation) => {
      evaluation.step();
      evaluation.locals[inner.slot] = value(evaluation);
      return body.run(evaluation);
    },
  };
}

/** Calls `visit` for each element of a list, or each key of a map in order, with the variable set, until it returns false. */
function compileLoop(target: ASTNode, variable: ASTNode | undefined, compiler: Compiler, scope: Scope | undefined) {
  const range = compileNode(target, compiler, scope);
  if (range.type !== "list" && range.type !== "map" && range.type !== "dyn") {
    throw invalid(`a ${range.type} cannot be iterated`, target.start);
  }
  const inner = declare(variable, compiler, scope);
  const each = (evaluation: Evaluation, visit: () => boolean): void => {
    const value = range.run(evaluation);
    let items: readonly Value[];
    if (Array.isArray(value)) items = value;
    else if (isMap(value)) {
      // Sorted, because the order of members differs between a value in memory and the same value read back.
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

/** `all` and `exists`: the deciding value wins over errors of other elements. */
function quantifier(deciding: boolean): Macro {
  const name = deciding ? "exists" : "all";
  return (target, args, position, compiler, scope) => {
    const { inner, each } = compileLoop(target, args[0], compiler, scope);
    const predicate = compileNode(args[1]!, compiler, inner);
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
  node: ASTNode,
  name: string,
  position: number,
  compiler: Compiler,
  scope: Scope,
): (evaluation: Evaluation) => boolean {
  const predicate = compileNode(node, compiler, scope);
  requireBool(predicate, `the predicate of ${name}()`, position);
  return (evaluation) => {
    const holds = predicate.run(evaluation);
    if (typeof holds !== "boolean")
      throw failed(`the predicate of ${name}() must be bool, not ${kindOf(holds)}`, position);
    return holds;
  };
}

/** `map` with and without a filter, and `filter`, which keeps the element itself. */
function collector(name: string, at: { predicate: number | undefined; transform: number | undefined }): Macro {
  return (target, args, position, compiler, scope) => {
    const { inner, each } = compileLoop(target, args[0], compiler, scope);
    const keep =
      at.predicate === undefined ? undefined : compilePredicate(args[at.predicate]!, name, position, compiler, inner);
    const transform = at.transform === undefined ? undefined : compileNode(args[at.transform]!, compiler, inner).run;
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
    const receiver = compileNode(target, compiler, scope);
    const inner = declare(args[0], compiler, scope);
    const body = compileNode(args[1]!, compiler, inner).run;
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
        throw failed("optFlatMap() needs an expression that gives an optional", position);
      },
    };
  };
}

/** By name and number of arguments. `orValue` and `or` are here because they evaluate their argument only when it is needed. */
const MACROS: ReadonlyMap<string, Macro> = new Map([
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
    const receiver = compileNode(target, compiler, scope);
    if (receiver.type !== "optional" && receiver.type !== "dyn") {
      throw invalid(`a ${receiver.type} is not an optional`, position);
    }
    const other = compileNode(args[0]!, compiler, scope);
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

// ── Regular expressions ───────────────────────────────────────────────────────────────────────────────────────────────

function compileMatches(text: Code, pattern: Code, position: number, compiler: Compiler): Code {
  for (const code of [text, pattern]) {
    if (code.type !== "string" && code.type !== "dyn")
      throw invalid(`matches() takes strings, not ${code.type}`, position);
  }
  let ready: RE2JS | undefined;
  if (typeof pattern.literal === "string") {
    ready = compileRegex(pattern.literal, (message) => invalid(message, position));
    compiler.regexInstructions += ready.programSize();
    if (compiler.regexInstructions > REGEX_INSTRUCTIONS_MAX) {
      throw invalid("the regular expressions are too large together", position);
    }
  }
  return {
    type: "bool",
    run: (evaluation) => {
      evaluation.step();
      const subject = text.run(evaluation);
      const written = pattern.run(evaluation);
      if (typeof subject !== "string" || typeof written !== "string") {
        return overloadFailure("matches", [subject, written], position);
      }
      let regex = ready;
      if (regex === undefined) {
        evaluation.spend(REGEX_COMPILE_STEPS);
        regex = compileRegex(written, (message) => failed(message, position));
        evaluation.spend(regex.programSize() * REGEX_INSTRUCTION_STEPS);
      }
      evaluation.spend((subject.length * regex.programSize()) / REGEX_WORK_PER_STEP);
      return regex.test(subject);
    },
  };
}

/** Compiles RE2 syntax, which has no construct that backtracks. */
function compileRegex(pattern: string, problem: (message: string) => ExpressionError): RE2JS {
  if (pattern.length > REGEX_CHARS_MAX) throw problem(`a regular expression has at most ${REGEX_CHARS_MAX} characters`);
  let regex: RE2JS;
  try {
    regex = RE2JS.compile(pattern);
  } catch (error) {
    throw problem(error instanceof Error ? error.message : "the regular expression cannot be read");
  }
  if (regex.programSize() > REGEX_INSTRUCTIONS_MAX) throw problem("the regular expression is too large");
  return regex;
}

// ── Overloads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Implementation = (evaluation: Evaluation, ...args: never[]) => Value;
type Overload = {
  target: Type | undefined;
  params: readonly Type[];
  result: Type;
  call: (...args: unknown[]) => Value;
};

const KINDS = new Set([
  "null",
  "bool",
  "number",
  "string",
  "bytes",
  "list",
  "map",
  "timestamp",
  "duration",
  "optional",
  "type",
  "dyn",
]);

const FUNCTIONS = new Map<string, Overload[]>();

function functionNamed(name: string): readonly Overload[] | undefined {
  return FUNCTIONS.get(name);
}

/** Adds overloads, each by its signature: `name(kind, kind): kind`, or `kind.name(kind): kind` for a method. */
function define(overloads: Record<string, Implementation>): void {
  for (const [signature, call] of Object.entries(overloads)) {
    const [, qualifier, name, params, result] = /^(?:([a-z]+)\.)?([^ ()]+)\((.*)\): ([a-z]+)$/.exec(signature)!;
    // A qualifier that is no kind is a namespace and belongs to the name.
    const isMethod =
      qualifier !== undefined && KINDS.has(qualifier) && name !== "of" && name !== "none" && name !== "ofNonZeroValue";
    const key = qualifier === undefined || isMethod ? name! : `${qualifier}.${name}`;
    const list = FUNCTIONS.get(key) ?? [];
    list.push({
      target: isMethod ? (qualifier as Type) : undefined,
      params: params === "" ? [] : (params!.split(", ") as Type[]),
      result: result as Type,
      call: call as Overload["call"],
    });
    FUNCTIONS.set(key, list);
  }
}

function accepts(wanted: Type, given: Type): boolean {
  return wanted === "dyn" || given === "dyn" || wanted === given;
}

function compileOverloads(name: string, args: readonly Code[], receiver: Code | undefined, position: number): Code {
  const called = functionNamed(name)?.filter(
    (overload) => (overload.target === undefined) === (receiver === undefined),
  );
  if (called === undefined || called.length === 0) {
    throw invalid(`unknown ${receiver === undefined ? "function" : "method"} ${shown(name)}`, position);
  }
  const all = receiver === undefined ? args : [receiver, ...args];
  const fitting = called.filter(
    (overload) =>
      overload.params.length === args.length &&
      (receiver === undefined || accepts(overload.target!, receiver.type)) &&
      overload.params.every((param, i) => accepts(param, args[i]!.type)),
  );
  if (fitting.length === 0) {
    throw invalid(`no overload of ${name} for (${all.map((code) => code.type).join(", ")})`, position);
  }
  const first = fitting[0]!.result;
  if (name === "duration" || name === "timestamp") {
    // A literal is checked when the graph is registered, not when the run gets there.
    const literal = all.length === 1 ? all[0]!.literal : undefined;
    if (literal !== undefined) {
      try {
        return literalCode(dispatch(fitting, name, [literal], new Evaluation({}, 0, createBudget()), position));
      } catch (error) {
        throw error instanceof ExpressionError ? invalid(error.message, position) : error;
      }
    }
  }
  return {
    type: fitting.every((overload) => overload.result === first) ? first : "dyn",
    run: (evaluation) => {
      evaluation.step();
      const values = new Array<Value>(all.length);
      for (let i = 0; i < all.length; i++) values[i] = all[i]!.run(evaluation);
      return dispatch(fitting, name, values, evaluation, position);
    },
  };
}

function dispatch(
  overloads: readonly Overload[],
  name: string,
  values: Value[],
  evaluation: Evaluation,
  position: number,
): Value {
  next: for (const overload of overloads) {
    const params = overload.params;
    const skip = overload.target === undefined ? 0 : 1;
    if (params.length + skip !== values.length) continue;
    if (skip === 1 && !accepts(overload.target!, kindOf(values[0]!))) continue;
    for (let i = 0; i < params.length; i++) if (!accepts(params[i]!, kindOf(values[i + skip]!))) continue next;
    try {
      return overload.call(evaluation, ...values);
    } catch (error) {
      if (error instanceof ExpressionError && error.position === undefined) {
        throw new ExpressionError(error.code, error.message, position);
      }
      if (error instanceof DomainError || error instanceof DurationError || error instanceof InstantError) {
        throw failed(error.message, position);
      }
      throw error;
    }
  }
  return overloadFailure(name, values, position);
}

function overloadFailure(name: string, values: readonly Value[], position: number): never {
  throw failed(`no overload of ${name} for (${values.map(kindOf).join(", ")})`, position);
}

// ── Numbers (CONTRACT.md, rule 3) ─────────────────────────────────────────────────────────────────────────────────────

function wholeZero(value: number): number {
  return value === 0 ? 0 : value;
}

/** The result of arithmetic: finite, and within the whole numbers that a double counts one by one. Beyond them every double
 *  is whole. */
function exact(value: number): number {
  if (value >= -Number.MAX_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return value === 0 ? 0 : value;
  throw failed(Number.isNaN(value) ? "the result is not a number" : "the result is beyond ±(2^53-1)");
}

function divide(a: number, b: number): number {
  if (b === 0) throw failed("division by zero");
  return exact(a / b);
}

function remainder(a: number, b: number): number {
  if (!Number.isInteger(a) || !Number.isInteger(b)) throw failed("% needs whole numbers");
  if (b === 0) throw failed("division by zero");
  return exact(a % b);
}

const QUICK_NUMBERS: ReadonlyMap<string, (a: number, b: number) => Value> = new Map<
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

for (const [operator, quick] of QUICK_NUMBERS) {
  const result = ["+", "-", "*", "/", "%"].includes(operator) ? "number" : "bool";
  define({ [`${operator}(number, number): ${result}`]: (_: Evaluation, a: number, b: number) => quick(a, b) });
}

define({
  "-_(number): number": (_, a: number) => wholeZero(-a),
  "!_(bool): bool": (_, a: boolean) => !a,
  "int(number): number": (_, a: number) => exact(Math.trunc(a)),
  "int(string): number": (_, a: string) => wholeFromText(a),
  "int(timestamp): number": (_, a: Timestamp) => Math.floor(epochMicrosOf(a.instant) / 1_000_000),
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
});

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
  if (value < 0) throw failed("uint() of a negative number");
  return value;
}

// ── Equality and order ────────────────────────────────────────────────────────────────────────────────────────────────

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

/** Orders strings by code points, as CEL does; UTF-16 units would put emoji before U+E000 and above. */
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

const ORDERS: { [kind: string]: (evaluation: Evaluation, a: never, b: never) => number } = {
  string: compareStrings,
  bool: (_, a: boolean, b: boolean) => Number(a) - Number(b),
  bytes: (evaluation, a: Bytes, b: Bytes) => {
    evaluation.text(Math.min(a.data.length, b.data.length));
    return Buffer.compare(a.data, b.data);
  },
  timestamp: (_, a: Timestamp, b: Timestamp) => (a.instant < b.instant ? -1 : a.instant > b.instant ? 1 : 0),
  duration: (_, a: Duration, b: Duration) => a.micros - b.micros,
};

for (const [kind, order] of Object.entries(ORDERS)) {
  define({
    [`<(${kind}, ${kind}): bool`]: (evaluation, a: never, b: never) => order(evaluation, a, b) < 0,
    [`<=(${kind}, ${kind}): bool`]: (evaluation, a: never, b: never) => order(evaluation, a, b) <= 0,
    [`>(${kind}, ${kind}): bool`]: (evaluation, a: never, b: never) => order(evaluation, a, b) > 0,
    [`>=(${kind}, ${kind}): bool`]: (evaluation, a: never, b: never) => order(evaluation, a, b) >= 0,
  });
}

define({
  "==(dyn, dyn): bool": (evaluation, a: Value, b: Value) => equal(evaluation, a, b),
  "!=(dyn, dyn): bool": (evaluation, a: Value, b: Value) => !equal(evaluation, a, b),
  "in(dyn, list): bool": (evaluation, item: Value, list: Value[]) =>
    list.some((other) => equal(evaluation, item, other)),
  "in(dyn, map): bool": (_, key: Value, map: ValueMap) => typeof key === "string" && Object.hasOwn(map, key),
});

// ── Lists, maps, types, JSON ──────────────────────────────────────────────────────────────────────────────────────────

const size = {
  string: (evaluation: Evaluation, text: string) => codePoints(evaluation, text).length,
  bytes: (_: Evaluation, bytes: Bytes) => bytes.data.length,
  list: (_: Evaluation, list: Value[]) => list.length,
  map: (evaluation: Evaluation, map: ValueMap) => {
    const length = Object.keys(map).length;
    evaluation.newList(length);
    return length;
  },
};

for (const [kind, call] of Object.entries(size)) {
  define({ [`size(${kind}): number`]: call, [`${kind}.size(): number`]: call });
}

define({
  "+(list, list): list": (evaluation, a: Value[], b: Value[]) => {
    evaluation.newList(a.length + b.length);
    return a.concat(b);
  },
  "range(number): list": (evaluation, n: number) => {
    if (!Number.isInteger(n) || n < 0) throw failed("range() takes a whole number from 0");
    evaluation.newList(n);
    return Array.from({ length: n }, (_, i) => i);
  },
  "merge(map, map): map": (evaluation, a: ValueMap, b: ValueMap) => {
    evaluation.spend(Object.keys(a).length + Object.keys(b).length);
    return Object.assign(Object.create(null), a, b) as ValueMap;
  },
  "bool(bool): bool": (_, a: boolean) => a,
  "bool(string): bool": (_, a: string) => {
    if (["true", "True", "TRUE", "t", "1"].includes(a)) return true;
    if (["false", "False", "FALSE", "f", "0"].includes(a)) return false;
    throw failed(`${shown(a)} is neither true nor false`);
  },
  "dyn(dyn): dyn": (_, a: Value) => a,
  "type(dyn): type": (_, a: Value) => typeOf(a),
  "json(dyn): string": (evaluation, value: Value) => {
    const text = canonicalJson(resultToJson(value));
    // Paid afterwards: resultToJson has bounded the work by the size of a payload.
    evaluation.json(text.length);
    return text;
  },
  "parseJson(string): dyn": (evaluation, text: string) => {
    evaluation.json(text.length);
    return parseJson(text);
  },
});

function typeOf(value: Value): TypeName {
  const kind = kindOf(value);
  switch (kind) {
    case "number":
      return TYPE_NAMES.get("double")!;
    case "null":
      return TYPE_NAMES.get("null_type")!;
    case "timestamp":
      return new TypeName("google.protobuf.Timestamp");
    case "duration":
      return new TypeName("google.protobuf.Duration");
    case "optional":
      return new TypeName("optional_type");
    default:
      return TYPE_NAMES.get(kind)!;
  }
}

define({
  "optional.of(dyn): optional": (_, value: Value) => new Optional(value),
  "optional.none(): optional": () => NONE,
  "optional.ofNonZeroValue(dyn): optional": (_, value: Value) => (isZero(value) ? NONE : new Optional(value)),
  "optional.hasValue(): bool": (_, optional: Optional) => optional.value !== undefined,
  "optional.value(): dyn": (_, optional: Optional) => {
    if (optional.value === undefined) throw failed("an optional without a value");
    return optional.value;
  },
});

function isZero(value: Value): boolean {
  if (value === null || value === false || value === 0 || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Duration) return value.micros === 0;
  if (value instanceof Bytes) return value.data.length === 0;
  return isMap(value) && Object.keys(value).length === 0;
}

// ── Strings ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Text by code points, so that no operation cuts a surrogate pair: the text itself where it has none. */
function codePoints(
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

/** The index in code points of a match found at a UTF-16 index. */
function pointIndex(evaluation: Evaluation, text: string, unitIndex: number): number {
  return unitIndex <= 0 ? unitIndex : codePoints(evaluation, text.slice(0, unitIndex)).length;
}

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
  if (!Number.isInteger(most)) throw failed("split() takes a whole number of parts");
  if (most === 0) return [];
  // By code points, so that an empty separator does not cut a surrogate pair.
  const all = separator === "" ? Array.from(text) : text.split(separator);
  evaluation.newList(all.length);
  if (most < 0 || all.length <= most) return all;
  return [...all.slice(0, most - 1), all.slice(most - 1).join(separator)];
}

function replace(evaluation: Evaluation, text: string, from: string, to: string, most: number): string {
  if (!Number.isInteger(most)) throw failed("replace() takes a whole number of times");
  if (most === 0) return text;
  if (from !== "") {
    const parts = split(evaluation, text, from, most < 0 ? -1 : most + 1);
    evaluation.newText(text.length + (parts.length - 1) * to.length);
    return parts.join(to);
  }
  // Nothing is found before each character and at the end.
  const characters = split(evaluation, text, "", -1);
  const times = most < 0 ? characters.length + 1 : Math.min(most, characters.length + 1);
  evaluation.newText(text.length + times * to.length);
  let result = "";
  for (let i = 0; i <= characters.length; i++) result += (i < times ? to : "") + (characters[i] ?? "");
  return result;
}

define({
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
  "string.contains(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return a.includes(b);
  },
  "string.startsWith(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(b.length);
    return a.startsWith(b);
  },
  "string.endsWith(string): bool": (evaluation, a: string, b: string) => {
    evaluation.text(b.length);
    return a.endsWith(b);
  },
  "string.charAt(number): string": (evaluation, a: string, index: number) => {
    const points = codePoints(evaluation, a);
    if (!Number.isInteger(index) || index < 0 || index > points.length)
      throw failed(`character ${index} is out of range`);
    return points[index] ?? "";
  },
  "string.indexOf(string): number": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.indexOf(b));
  },
  "string.indexOf(string, number): number": (evaluation, a: string, b: string, from: number) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.indexOf(b, unitIndex(evaluation, a, from)));
  },
  "string.lastIndexOf(string): number": (evaluation, a: string, b: string) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.lastIndexOf(b));
  },
  "string.lastIndexOf(string, number): number": (evaluation, a: string, b: string, from: number) => {
    evaluation.text(a.length);
    return pointIndex(evaluation, a, a.lastIndexOf(b, unitIndex(evaluation, a, from)));
  },
  "string.substring(number): string": (evaluation, a: string, from: number) => slice(evaluation, a, from),
  "string.substring(number, number): string": (evaluation, a: string, from: number, to: number) =>
    slice(evaluation, a, from, to),
  "string.lowerAscii(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    return a.replace(/[A-Z]+/g, (part) => part.toLowerCase());
  },
  "string.upperAscii(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    return a.replace(/[a-z]+/g, (part) => part.toUpperCase());
  },
  "string.trim(): string": (evaluation, a: string) => {
    evaluation.text(a.length);
    return a.trim();
  },
  "string.reverse(): string": (evaluation, a: string) => {
    evaluation.newText(a.length);
    evaluation.text(a.length * 8);
    return Array.from(a).toReversed().join("");
  },
  "string.split(string): list": (evaluation, a: string, separator: string) => split(evaluation, a, separator, -1),
  "string.split(string, number): list": (evaluation, a: string, separator: string, most: number) =>
    split(evaluation, a, separator, most),
  "list.join(): string": (evaluation, list: Value[]) => join(evaluation, list, ""),
  "list.join(string): string": (evaluation, list: Value[], separator: string) => join(evaluation, list, separator),
  "string.replace(string, string): string": (evaluation, a: string, from: string, to: string) =>
    replace(evaluation, a, from, to, -1),
  "string.replace(string, string, number): string": (evaluation, a: string, from: string, to: string, most: number) =>
    replace(evaluation, a, from, to, most),
  "strings.quote(string): string": (evaluation, a: string) => {
    evaluation.newText(a.length * 2);
    return JSON.stringify(a);
  },
  "string.format(list): string": (evaluation, pattern: string, values: Value[]) => format(evaluation, pattern, values),
});

/** `%s %d %f %.2f %e %x %X %o %b %%` of the CEL strings extension. */
function format(evaluation: Evaluation, pattern: string, values: readonly Value[]): string {
  evaluation.text(pattern.length);
  let used = 0;
  let result = "";
  let from = 0;
  for (let at = pattern.indexOf("%"); at !== -1; at = pattern.indexOf("%", from)) {
    result += pattern.slice(from, at);
    const clause = /^%(?:\.([0-9]{1,2}))?([sdfexXob%])/.exec(pattern.slice(at, at + 5));
    if (clause === null) throw failed(`format() does not know ${shown(pattern.slice(at, at + 4))}`);
    from = at + clause[0].length;
    if (clause[2] === "%") {
      result += "%";
      continue;
    }
    if (used >= values.length) throw failed("format() has fewer values than clauses");
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
      if (!Number.isInteger(value)) throw failed(`format() %${verb} takes a whole number`);
      const radix = { d: 10, x: 16, X: 16, o: 8, b: 2 }[verb]!;
      const digits = value.toString(radix);
      return verb === "X" ? digits.toUpperCase() : digits;
    }
  }
}

/** A value inside text: a string as it is, all else as JSON text. */
function textOf(value: Value): string {
  return plainText(resultToJson(value));
}

// ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** RFC 3339 in UTC with as many fraction digits as needed. */
function timestampText(instant: Instant): string {
  const fraction = instant.slice(20, 26).replace(/0+$/, "");
  return `${instant.slice(0, 19)}${fraction === "" ? "" : "." + fraction}Z`;
}

/** Seconds with as many fraction digits as needed: `90s`, `-1.5s`. */
function durationText(micros: number): string {
  const whole = Math.floor(Math.abs(micros) / 1_000_000);
  const fraction = String(Math.abs(micros) % 1_000_000)
    .padStart(6, "0")
    .replace(/0+$/, "");
  return `${micros < 0 ? "-" : ""}${whole}${fraction === "" ? "" : "." + fraction}s`;
}

function timestampFromText(text: string): Timestamp {
  return new Timestamp(parseInstant(text));
}

/** Microseconds per unit. `d` and `w` are not CEL's, but the graph's durations have them. */
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ["w", 604_800_000_000],
  ["d", 86_400_000_000],
  ["h", 3_600_000_000],
  ["m", 60_000_000],
  ["s", 1_000_000],
  ["ms", 1_000],
  ["us", 1],
  ["µs", 1],
  ["ns", 0.001],
]);

function durationFromText(text: string): Duration {
  const match = /^([+-]?)((?:[0-9]+(?:\.[0-9]*)?(?:ms|us|µs|ns|[wdhms]))+)$/.exec(text.slice(0, 128));
  if (match === null || text.length > 128) throw failed(`${shown(text)} is not a duration`);
  let micros = 0;
  for (const [, number, unit] of match[2]!.matchAll(/([0-9]+(?:\.[0-9]*)?)([a-zµ]+)/g)) {
    micros += Number(number) * DURATION_UNITS.get(unit!)!;
  }
  return new Duration(Math.round(match[1] === "-" ? wholeZero(-micros) : micros));
}

define({
  "timestamp(timestamp): timestamp": (_, a: Timestamp) => a,
  "timestamp(string): timestamp": (_, a: string) => timestampFromText(a),
  "timestamp(number): timestamp": (_, seconds: number) =>
    new Timestamp(instantFromEpochMicros(exact(seconds * 1_000_000))),
  "duration(duration): duration": (_, a: Duration) => a,
  "duration(string): duration": (_, a: string) => durationFromText(a),
  "+(timestamp, duration): timestamp": (_, a: Timestamp, b: Duration) => new Timestamp(addMicros(a.instant, b.micros)),
  "+(duration, timestamp): timestamp": (_, a: Duration, b: Timestamp) => new Timestamp(addMicros(b.instant, a.micros)),
  "-(timestamp, duration): timestamp": (_, a: Timestamp, b: Duration) => new Timestamp(addMicros(a.instant, -b.micros)),
  "-(timestamp, timestamp): duration": (_, a: Timestamp, b: Timestamp) =>
    new Duration(microsBetween(b.instant, a.instant)),
  "+(duration, duration): duration": (_, a: Duration, b: Duration) => new Duration(a.micros + b.micros),
  "-(duration, duration): duration": (_, a: Duration, b: Duration) => new Duration(a.micros - b.micros),
  "-_(duration): duration": (_, a: Duration) => new Duration(wholeZero(-a.micros)),
  "duration.getHours(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 3_600_000_000)),
  "duration.getMinutes(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 60_000_000)),
  "duration.getSeconds(): number": (_, a: Duration) => wholeZero(Math.trunc(a.micros / 1_000_000)),
  "duration.getMilliseconds(): number": (_, a: Duration) => wholeZero(Math.trunc((a.micros % 1_000_000) / 1_000)),
});

/** A date as clocks show it; months and days of the year from 0, as CEL counts them. */
const DATE_PARTS: { [method: string]: (date: Date) => number } = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: (date) => {
    const start = new Date(date);
    start.setUTCMonth(0, 1);
    return Math.round((date.getTime() - start.getTime()) / 86_400_000);
  },
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};

for (const [method, part] of Object.entries(DATE_PARTS)) {
  define({
    [`timestamp.${method}(): number`]: (_, a: Timestamp) => part(new Date(a.instant)),
    [`timestamp.${method}(string): number`]: (evaluation, a: Timestamp, zone: string) => {
      // Making a formatter for a zone takes tens of microseconds.
      evaluation.spend(100);
      return part(dateInZone(a.instant, zone));
    },
  });
}

/** A Date whose UTC fields show what clocks in `zone` show: an IANA name, or an offset such as `+02:00`. */
function dateInZone(instant: Instant, zone: string): Date {
  const offset = /^([+-]?)([0-9]{2}):([0-9]{2})$/.exec(zone);
  const date = new Date(instant);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3]);
    return new Date(date.getTime() + (offset[1] === "-" ? -minutes : minutes) * 60_000);
  }
  let shownDate: string;
  try {
    // The Swedish way of writing a date is ISO 8601's.
    shownDate = date.toLocaleString("sv-SE", { timeZone: zone });
  } catch {
    throw failed(`${shown(zone)} is not a time zone`);
  }
  const local = new Date(shownDate.replace(" ", "T") + "Z");
  local.setUTCMilliseconds(date.getUTCMilliseconds());
  return local;
}
