// Parses CEL: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
//
// Binary operators are parsed by precedence climbing; everything else has a function of its own. What the grammar of
// CEL has and this one lacks, and the other way round, is in docs/adr/0001-cel-library.md.
import { invalid, shown } from "./expression-error.ts";
import type { ListItem, MapEntry, Node } from "./syntax.ts";
import { type TokenKind, Tokens } from "./tokens.ts";

/** Deepest nesting of brackets, calls and conditions. The parser recurses over it. */
export const NESTING_MAX = 250;

/** How tightly binary operators bind. Comparisons and `in` are on one level, as CEL has it. */
const PRECEDENCE: ReadonlyMap<TokenKind, number> = new Map<TokenKind, number>([
  ["||", 1],
  ["&&", 2],
  ["==", 3],
  ["!=", 3],
  ["<", 3],
  ["<=", 3],
  [">", 3],
  [">=", 3],
  ["in", 3],
  ["+", 4],
  ["-", 4],
  ["*", 5],
  ["/", 5],
  ["%", 5],
]);

/** Words that CEL reserves. They can name fields and methods, but nothing else. */
const RESERVED = new Set(
  "as break const continue else for function if import let loop package namespace return var void while".split(" "),
);

/** Parses an expression.
 *  @throws {ExpressionError} EXPRESSION_INVALID, with the position of the token that cannot be there */
export function parseExpression(source: string): Node {
  const tokens = new Tokens(source, 0);
  tokens.next();
  const node = parseNode(tokens, 0);
  if (tokens.kind !== "end") throw unexpected(tokens, "an operator or the end");
  return node;
}

/** Parses a whole expression, with a condition `a ? b : c` or without. */
function parseNode(tokens: Tokens, depth: number): Node {
  if (depth > NESTING_MAX) throw invalid("the expression is nested too deeply", tokens.start);
  const condition = parseBinary(tokens, depth, 1);
  if (tokens.kind !== "?") return condition;
  tokens.next();
  const yes = parseNode(tokens, depth + 1);
  expect(tokens, ":");
  const no = parseNode(tokens, depth + 1);
  return { op: "conditional", start: condition.start, condition, yes, no };
}

/** Parses operands and the operators between them that bind at least as tightly as `level`. */
function parseBinary(tokens: Tokens, depth: number, level: number): Node {
  let left = parseUnary(tokens, depth);
  for (;;) {
    const precedence = PRECEDENCE.get(tokens.kind);
    if (precedence === undefined || precedence < level) return left;
    const operator = tokens.kind;
    tokens.next();
    const right = parseBinary(tokens, depth, precedence + 1);
    const start = left.start;
    left =
      operator === "&&" || operator === "||"
        ? { op: "logical", start, operator, left, right }
        : { op: "binary", start, operator, left, right };
  }
}

/** Parses `!` and `-` before an operand. Not recursive, since there may be thousands. */
function parseUnary(tokens: Tokens, depth: number): Node {
  if (tokens.kind !== "!" && tokens.kind !== "-") return parseMember(tokens, depth);
  const operators: { operator: "!" | "-"; start: number }[] = [];
  while (tokens.kind === "!" || tokens.kind === "-") {
    operators.push({ operator: tokens.kind, start: tokens.start });
    tokens.next();
  }
  let node = parseMember(tokens, depth);
  for (const { operator, start } of operators.toReversed()) node = { op: "unary", start, operator, operand: node };
  return node;
}

/** Parses an operand with the selections, indexes and method calls that follow it. */
function parseMember(tokens: Tokens, depth: number): Node {
  let node = parsePrimary(tokens, depth);
  for (;;) {
    if (tokens.kind === ".") {
      tokens.next();
      node = parseSelection(tokens, depth, node);
    } else if (tokens.kind === "[") {
      tokens.next();
      const isOptional = accept(tokens, "?");
      const index = parseNode(tokens, depth + 1);
      expect(tokens, "]");
      node = { op: "index", start: node.start, operand: node, index, isOptional };
    } else if (tokens.kind === "{" && (node.op === "name" || node.op === "select")) {
      throw invalid("messages cannot be built in an expression: write a map such as {'name': 1}", tokens.start);
    } else return node;
  }
}

/** Parses what follows a dot: a field, or a method with its arguments. */
function parseSelection(tokens: Tokens, depth: number, operand: Node): Node {
  const isOptional = accept(tokens, "?");
  const { kind, name, start: fieldStart } = tokens;
  if (kind !== "name" && kind !== "quoted name") {
    const isKeyword = tokens.source[tokens.start - 1] === "." && /^[a-z]/.test(tokens.source.slice(tokens.start));
    throw unexpected(tokens, isKeyword ? "the name of a field (write ['...'] for a keyword)" : "the name of a field");
  }
  tokens.next();
  const start = operand.start;
  if (kind === "name" && !isOptional && accept(tokens, "(")) {
    return { op: "method", start, target: operand, name, args: parseArguments(tokens, depth) };
  }
  return { op: "select", start, operand, field: name, isOptional, fieldStart };
}

function parsePrimary(tokens: Tokens, depth: number): Node {
  const { kind, start } = tokens;
  switch (kind) {
    case "literal": {
      const { value } = tokens;
      tokens.next();
      return { op: "literal", start, value };
    }
    case "name":
      return parseName(tokens, depth, start, false);
    case ".":
      tokens.next();
      if (tokens.kind !== "name") throw unexpected(tokens, "a name after the dot");
      return parseName(tokens, depth, start, true);
    case "(": {
      tokens.next();
      const node = parseNode(tokens, depth + 1);
      expect(tokens, ")");
      return node;
    }
    case "[":
      tokens.next();
      return { op: "list", start, items: parseItems(tokens, "]", () => parseListItem(tokens, depth + 1)) };
    case "{":
      tokens.next();
      return { op: "map", start, entries: parseItems(tokens, "}", () => parseMapEntry(tokens, depth + 1)) };
    default:
      throw unexpected(tokens, "a value");
  }
}

/** Parses a name, or the call of a function. */
function parseName(tokens: Tokens, depth: number, start: number, isAbsolute: boolean): Node {
  const { name } = tokens;
  if (RESERVED.has(name)) throw invalid(`${name} is a reserved word of CEL and cannot be a name`, tokens.start);
  tokens.next();
  if (!accept(tokens, "(")) return { op: "name", start, name, isAbsolute };
  return { op: "call", start, name, args: parseArguments(tokens, depth) };
}

function parseArguments(tokens: Tokens, depth: number): Node[] {
  return parseItems(tokens, ")", () => parseNode(tokens, depth + 1));
}

/** Parses items with commas between them, and the bracket after them. A comma may follow the last item. */
function parseItems<Item>(tokens: Tokens, close: TokenKind, parseItem: () => Item): Item[] {
  const items: Item[] = [];
  while (tokens.kind !== close) {
    items.push(parseItem());
    if (!accept(tokens, ",")) break;
  }
  expect(tokens, close);
  return items;
}

function parseListItem(tokens: Tokens, depth: number): ListItem {
  const isOptional = accept(tokens, "?");
  return { value: parseNode(tokens, depth), isOptional };
}

function parseMapEntry(tokens: Tokens, depth: number): MapEntry {
  const isOptional = accept(tokens, "?");
  const key = parseNode(tokens, depth);
  expect(tokens, ":");
  return { key, value: parseNode(tokens, depth), isOptional };
}

/** Reads the token if it is of this kind, and returns whether it was. */
function accept(tokens: Tokens, kind: TokenKind): boolean {
  if (tokens.kind !== kind) return false;
  tokens.next();
  return true;
}

function expect(tokens: Tokens, kind: TokenKind): void {
  if (!accept(tokens, kind)) throw unexpected(tokens, shown(kind));
}

function unexpected(tokens: Tokens, wanted: string): Error {
  const found =
    tokens.kind === "end" ? "the end of the expression" : shown(tokens.source.slice(tokens.start, tokens.end));
  return invalid(`expected ${wanted}, not ${found}`, tokens.start);
}
