// Splits the source of an expression into tokens, as the lexical rules of CEL say:
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
import { invalid, shown } from "./expression-error.ts";
import { readLiteralText } from "./literal-text.ts";
import { Bytes, type Value } from "./values.ts";

/** What a token is. Operators, brackets and the keyword `in` are their own kind. */
export type TokenKind = "end" | "name" | "quoted name" | "literal" | (typeof OPERATORS)[number] | "in";

const OPERATORS = [
  "==",
  "!=",
  "<=",
  ">=",
  "&&",
  "||",
  "<",
  ">",
  "+",
  "-",
  "*",
  "/",
  "%",
  "!",
  "?",
  ":",
  ".",
  ",",
  "(",
  ")",
  "[",
  "]",
  "{",
  "}",
] as const;

/** One character that begins an operator: the operator with a second character, if there is one, and alone. */
type OperatorStart = {
  second: number;
  double: (typeof OPERATORS)[number] | undefined;
  single: (typeof OPERATORS)[number] | undefined;
};

/** Operators by the code of their first character. */
const OPERATOR_BY_CODE: readonly (OperatorStart | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const first = String.fromCharCode(code);
  const starting = OPERATORS.filter((operator) => operator.startsWith(first));
  if (starting.length === 0) return undefined;
  const double = starting.find((operator) => operator.length === 2);
  return {
    second: double === undefined ? -1 : double.charCodeAt(1),
    double,
    single: starting.find((operator) => operator.length === 1),
  };
});

const SPACE = 1;
const DIGIT = 2;
const LETTER = 4;

/** What the character of a code can be part of; 0 for every code that is not in the table. */
const CLASS_BY_CODE = new Uint8Array(128);
for (const character of " \t\n\f\r") CLASS_BY_CODE[character.charCodeAt(0)] = SPACE;
for (const character of "0123456789") CLASS_BY_CODE[character.charCodeAt(0)] = DIGIT;
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") {
  CLASS_BY_CODE[character.charCodeAt(0)] = LETTER;
}

const [SLASH, DOT, DOUBLE_QUOTE, SINGLE_QUOTE, BACKQUOTE] = [0x2f, 0x2e, 0x22, 0x27, 0x60];

const NUMBER = /(?:0[xX]([0-9a-fA-F]+)|([0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)|[0-9]+)/y;
const QUOTED_NAME = /`([a-zA-Z0-9_./ -]+)`/y;
const STRING_PREFIXES = new Set(["r", "b", "br", "rb"]);

/** What people write for an operator of CEL. */
const MISTAKEN: ReadonlyMap<string, string> = new Map([
  ["=", "write == to compare"],
  ["&", "write && for and"],
  ["|", "write || for or"],
]);

/** The tokens of a source. After `next()`, `kind`, `start`, `end` and `value` describe the token that was read. */
export class Tokens {
  readonly source: string;
  kind: TokenKind = "end";
  start = 0;
  /** The offset after the last character of the token. */
  end: number;
  /** The name of a name, with or without quotes. */
  name = "";
  /** The value of a literal. */
  value: Value = null;

  /** Begins before the first token that starts at `from` or later. */
  constructor(source: string, from: number) {
    this.source = source;
    this.end = from;
  }

  /** Reads the next token.
   *  @throws {ExpressionError} EXPRESSION_INVALID, with the position */
  next(): void {
    const { source } = this;
    const start = this.skipSpace();
    this.start = start;
    if (start >= source.length) {
      this.kind = "end";
      this.end = start;
      return;
    }
    const code = source.charCodeAt(start);
    const type = classOf(code);
    if (type === LETTER) this.readWord(start);
    else if (type === DIGIT || (code === DOT && classOf(source.charCodeAt(start + 1)) === DIGIT)) {
      this.readNumber(start);
    } else if (code === SINGLE_QUOTE || code === DOUBLE_QUOTE) this.readString(start, "");
    else if (code === BACKQUOTE) this.readQuotedName(start);
    else this.readOperator(start, code);
  }

  /** Skips white space and comments, and returns the offset of what follows. */
  private skipSpace(): number {
    const { source } = this;
    for (let at = this.end; ; at++) {
      const code = source.charCodeAt(at);
      if (classOf(code) === SPACE) continue;
      if (code !== SLASH || source.charCodeAt(at + 1) !== SLASH) return at;
      const newline = source.indexOf("\n", at);
      if (newline === -1) return source.length;
      at = newline;
    }
  }

  /** Reads a name, a keyword, or a string that begins with a prefix such as `r`. */
  private readWord(start: number): void {
    const { source } = this;
    let end = start + 1;
    while (classOf(source.charCodeAt(end)) >= DIGIT) end++;
    const word = source.slice(start, end);
    if (end - start <= 2) {
      const code = source.charCodeAt(end);
      if ((code === SINGLE_QUOTE || code === DOUBLE_QUOTE) && STRING_PREFIXES.has(word.toLowerCase())) {
        this.readString(start, word.toLowerCase());
        return;
      }
    }
    this.end = end;
    switch (word) {
      case "true":
        return this.setLiteral(true);
      case "false":
        return this.setLiteral(false);
      case "null":
        return this.setLiteral(null);
      case "in":
        this.kind = "in";
        return;
      default:
        this.kind = "name";
        this.name = word;
    }
  }

  private setLiteral(value: Value): void {
    this.kind = "literal";
    this.value = value;
  }

  private readNumber(start: number): void {
    NUMBER.lastIndex = start;
    const [text, hexadecimal, double] = NUMBER.exec(this.source)!;
    this.end = start + text.length;
    const value = Number(text);
    if (double === undefined) {
      if (!Number.isSafeInteger(value))
        throw invalid(`${shown(text)} is outside ±(2^53-1): write it as a string`, start);
      // The mark of an unsigned number. There is one number type, so it changes nothing.
      const code = this.source.charCodeAt(this.end) | 0x20;
      if (code === 0x75) this.end += 1;
      else if (code === 0x78 && hexadecimal === undefined && text === "0") {
        throw invalid("a hexadecimal number needs digits after 0x", start);
      }
    } else if (!Number.isFinite(value)) throw invalid(`${shown(text)} is too large for a number`, start);
    this.setLiteral(value);
  }

  /** Reads a string or bytes literal; `prefix` has `r` for raw text and `b` for bytes. */
  private readString(start: number, prefix: string): void {
    const { source } = this;
    const isRaw = prefix.includes("r");
    const open = start + prefix.length;
    const quote = source[open]!;
    const isTriple = source.startsWith(quote.repeat(3), open);
    const delimiter = isTriple ? quote.repeat(3) : quote;
    const from = open + delimiter.length;
    let to = from;
    for (; !source.startsWith(delimiter, to); to++) {
      if (to >= source.length) throw invalid("the string is not closed", start);
      const character = source[to]!;
      if (!isTriple && (character === "\n" || character === "\r")) {
        throw invalid('a string over several lines needs three quotes on each side: """..."""', to);
      }
      // In a raw string a backslash is a character like any other, and does not protect a quote.
      if (character === "\\" && !isRaw) to += 1;
    }
    this.end = to + delimiter.length;
    if (prefix.includes("b"))
      this.setLiteral(new Bytes(readLiteralText(source, { start, from, to, isRaw, isBytes: true })));
    else this.setLiteral(readLiteralText(source, { start, from, to, isRaw, isBytes: false }));
  }

  private readQuotedName(start: number): void {
    QUOTED_NAME.lastIndex = start;
    const match = QUOTED_NAME.exec(this.source);
    if (match === null) {
      throw invalid(
        "a quoted field consists of letters, digits, spaces and _ . - / between backquotes; write ['...'] for others",
        start,
      );
    }
    this.kind = "quoted name";
    this.name = match[1]!;
    this.end = start + match[0].length;
  }

  private readOperator(start: number, code: number): void {
    const operator = code < 128 ? OPERATOR_BY_CODE[code] : undefined;
    if (operator?.double !== undefined && this.source.charCodeAt(start + 1) === operator.second) {
      this.kind = operator.double;
      this.end = start + 2;
    } else if (operator?.single !== undefined) {
      this.kind = operator.single;
      this.end = start + 1;
    } else {
      const character = String.fromCodePoint(this.source.codePointAt(start)!);
      const advice = MISTAKEN.get(character);
      throw invalid(
        `the character ${shown(character)} has no meaning here${advice === undefined ? "" : `: ${advice}`}`,
        start,
      );
    }
  }
}

function classOf(code: number): number {
  // False for NaN too, the code after the end.
  return code < 128 ? CLASS_BY_CODE[code]! : 0;
}

/** The offset of the brace that closes the expression at `from`, in a text that goes on after it. Braces in strings and
 *  comments do not count, and the braces of map literals come in pairs. Returns undefined if no brace closes it.
 *  @throws {ExpressionError} EXPRESSION_INVALID */
export function findClosingBrace(text: string, from: number): number | undefined {
  const tokens = new Tokens(text, from);
  for (let open = 0; ;) {
    tokens.next();
    if (tokens.kind === "{") open += 1;
    else if (tokens.kind === "}") {
      if (open === 0) return tokens.start;
      open -= 1;
    } else if (tokens.kind === "end") return undefined;
  }
}
