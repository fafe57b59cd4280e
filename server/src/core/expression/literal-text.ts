// The text between the quotes of a string or bytes literal.
import { invalid, shown } from "./expression-error.ts";

const ESCAPED: ReadonlyMap<string, string> = new Map([
  ["\\", "\\"],
  ["?", "?"],
  ['"', '"'],
  ["'", "'"],
  ["`", "`"],
  ["a", "\u0007"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["v", "\v"],
]);

/** A backslash with what belongs to it, or a line break. */
const SPECIAL =
  /\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\\?"'`abfnrtv])|(.?))|\r\n?/gsu;

type LiteralText = {
  /** The offset of the whole literal, for what is wrong with all of it. */
  start: number;
  /** The offsets after the quotes that open the literal and before those that close it. */
  from: number;
  to: number;
  /** Backslashes are characters like any other. */
  isRaw: boolean;
};

/** Reads the text of a literal: resolves escape sequences, and makes every line break `\n`.
 *  @throws {ExpressionError} EXPRESSION_INVALID, with the position in `source` */
export function readLiteralText(source: string, literal: LiteralText & { isBytes: true }): Buffer;
export function readLiteralText(source: string, literal: LiteralText & { isBytes: false }): string;
export function readLiteralText(source: string, literal: LiteralText & { isBytes: boolean }): string | Buffer {
  const { start, from, to, isRaw, isBytes } = literal;
  const written = source.slice(from, to);
  if (!written.isWellFormed()) throw invalid("a string must be valid Unicode, without half a surrogate pair", start);
  const chunks: Buffer[] = [];
  let text = "";
  let done = 0;
  if (written.includes("\\") || written.includes("\r")) {
    for (const match of written.matchAll(isRaw ? /\r\n?/g : SPECIAL)) {
      text += written.slice(done, match.index);
      done = match.index + match[0].length;
      const position = from + match.index;
      const code = escapedCode(match, position);
      if (code === undefined) text += "\n";
      else if (typeof code === "string") text += code;
      else if (!isBytes) text += characterOf(code.value, position);
      else {
        if (!code.isOctet) throw invalid("bytes have no \\u and \\U: write \\x for each byte", position);
        // An escape names one byte, and characters as written stand for their UTF-8.
        chunks.push(Buffer.from(text, "utf8"), Buffer.of(code.value));
        text = "";
      }
    }
  }
  text += written.slice(done);
  if (isBytes) return Buffer.concat([...chunks, Buffer.from(text, "utf8")]);
  if (text.includes("\0")) throw invalid("U+0000 is not allowed in a string", start);
  return text;
}

/** What a match of SPECIAL stands for: a character, a number that was written as digits, or undefined for a line
 *  break. */
function escapedCode(
  match: RegExpExecArray,
  position: number,
): string | { value: number; isOctet: boolean } | undefined {
  if (!match[0].startsWith("\\")) return undefined;
  const [, hexadecimal, unicode, longUnicode, octal, letter, other] = match;
  if (letter !== undefined) return ESCAPED.get(letter)!;
  if (hexadecimal !== undefined) return { value: Number.parseInt(hexadecimal, 16), isOctet: true };
  if (octal !== undefined) return { value: Number.parseInt(octal, 8), isOctet: true };
  const digits = unicode ?? longUnicode;
  if (digits !== undefined) return { value: Number.parseInt(digits, 16), isOctet: false };
  throw invalid(
    `${problemOfEscape(other!)}: write \\\\ for a backslash, or r'...' for a string without escapes`,
    position,
  );
}

function problemOfEscape(character: string): string {
  if (character === "x" || character === "X") return `\\${character} takes two hexadecimal digits`;
  if (character === "u") return "\\u takes four hexadecimal digits";
  if (character === "U") return "\\U takes eight hexadecimal digits";
  if (/[0-9]/.test(character)) return "\\ and digits are one byte in octal, \\000 to \\377";
  return `${shown("\\" + character)} is not an escape sequence`;
}

function characterOf(code: number, position: number): string {
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    throw invalid(`U+${code.toString(16).toUpperCase()} is not a character`, position);
  }
  return String.fromCodePoint(code);
}
