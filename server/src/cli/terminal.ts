/** Output of the command line: text that is safe to show, aligned tables, and JSON. */
import { styleText } from "node:util";

/** The styles of outputs; each has one meaning. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** A stream to write to; `isTTY` is true for a terminal. */
export type OutputStream = NodeJS.WritableStream & { isTTY?: boolean | undefined };

export type Terminal = {
  /** Writes a line to stdout. Resolves once the stream has taken it, so that a slow reader slows the command down. */
  print: (line: string) => Promise<void>;
  /** Writes a line to stderr, for anything but the result. */
  note: (line: string) => Promise<void>;
  /** Writes to stderr without ending the line. */
  ask: (prompt: string) => Promise<void>;
  /** Writes text to stdout as it is; the caller must have made it safe. */
  write: (text: string) => Promise<void>;
  /** Writes one JSON document, indented. */
  printJson: (value: unknown) => Promise<void>;
  /** Writes one JSON document on one line, for streams. */
  printJsonLine: (value: unknown) => Promise<void>;
  /** Colours text for stdout, if stdout is a terminal and NO_COLOR is not set. */
  style: (style: Style, text: string) => string;
  /** The same for stderr. */
  styleNote: (style: Style, text: string) => string;
};

export function createTerminal(streams: {
  stdout: OutputStream;
  stderr: OutputStream;
  env: Readonly<Record<string, string | undefined>>;
}): Terminal {
  const { stdout, stderr, env } = streams;
  const styler = (stream: OutputStream) => {
    // https://no-color.org: any non-empty value switches colour off.
    const coloured = stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
    return (style: Style, text: string) => (coloured ? styleText(style, text, { validateStream: false }) : text);
  };
  return {
    print: (line) => writeTo(stdout, `${line}\n`),
    note: (line) => writeTo(stderr, `${line}\n`),
    ask: (prompt) => writeTo(stderr, prompt),
    write: (text) => writeTo(stdout, text),
    printJson: (value) => writeTo(stdout, `${jsonText(value, 2)}\n`),
    printJsonLine: (value) => writeTo(stdout, `${jsonText(value)}\n`),
    style: styler(stdout),
    styleNote: styler(stderr),
  };
}

function writeTo(stream: OutputStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

// Control characters, C1 included since terminals obey those too, and characters that change the direction of text.
const UNSAFE = /(?![\t\n])\p{Cc}|\p{Bidi_Control}/gu;
const CONTROL = /(?![\t\n])\p{Cc}/gu;

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Makes foreign text safe for a terminal: control characters become escapes. Line breaks and tabs stay. */
export function safeText(text: string): string {
  return text.toWellFormed().replaceAll("\r\n", "\n").replace(UNSAFE, escapeOf);
}

/** The same, on one line, for tables and messages. */
export function safeLine(text: string): string {
  return safeText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

/** JSON text that is safe for a terminal. Escapes in strings do not change the value. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNSAFE, escapeOf);
}

/** Makes YAML text safe for a terminal. Strings with such characters are already in double quotes. */
export function safeYaml(text: string): string {
  return text.replace(CONTROL, escapeOf);
}

const WIDE =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6])/u;
const NO_WIDTH = /^(?:\p{M}|\p{Cf})/u;

/** How many columns a line of text takes in a terminal. */
export function displayWidth(line: string): number {
  let width = 0;
  for (const character of line) {
    if (NO_WIDTH.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** Pads a cell to `width` columns. */
export function padCell(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

/** A cell of a table: its text, and the style to apply once its width is known. */
export type Cell = string | { text: string; style: Style };

/** Lines of an aligned table. Cells are made safe here; the last column is not padded. */
export function tableLines(
  terminal: Terminal,
  headers: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const texts = rows.map((row) => row.map((cell) => safeLine(typeof cell === "string" ? cell : cell.text)));
  const widths = headers.map((header, column) =>
    texts.reduce((width, row) => Math.max(width, displayWidth(row[column] ?? "")), displayWidth(header)),
  );
  const line = (cells: readonly string[], styleOf: (column: number) => Style | undefined): string =>
    cells
      .map((cell, column) => {
        const padded = column === cells.length - 1 ? cell : padCell(cell, widths[column] ?? 0);
        const style = styleOf(column);
        return style === undefined ? padded : terminal.style(style, cell) + padded.slice(cell.length);
      })
      .join("  ")
      .trimEnd();
  return [
    line(headers, () => "dim"),
    ...texts.map((row, index) =>
      line(row, (column) => {
        const cell = rows[index]?.[column];
        return cell === undefined || typeof cell === "string" ? undefined : cell.style;
      }),
    ),
  ];
}

/** Lines of `name  value` pairs, values aligned; further lines of a value are indented under its first. */
export function fieldLines(terminal: Terminal, fields: readonly (readonly [name: string, value: string])[]): string[] {
  const width = fields.reduce((most, [name]) => Math.max(most, displayWidth(name)), 0) + 2;
  return fields.flatMap(([name, value]) =>
    value
      .split("\n")
      .map((line, index) =>
        (index === 0
          ? terminal.style("dim", name) + " ".repeat(width - displayWidth(name)) + line
          : " ".repeat(width) + line
        ).trimEnd(),
      ),
  );
}

/** Shortens a line and appends how many characters are missing. */
export function shortened(line: string, charsMax: number): string {
  const characters = Array.from(line);
  if (characters.length <= charsMax) return line;
  return `${characters.slice(0, charsMax).join("")}… (${characters.length - charsMax} more characters)`;
}
