/** What the command line writes: text that is safe to show, aligned tables, and JSON. */
import { styleText } from "node:util";

/** The styles that outputs use; each means one thing. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** A stream to write to, of which a terminal says `isTTY`. */
export type OutputStream = NodeJS.WritableStream & { isTTY?: boolean | undefined };

export type Terminal = {
  /** Writes a line to stdout. Resolves when it is handed over, so that a slow reader slows the command down. */
  print: (line: string) => Promise<void>;
  /** Writes a line to stderr: what is said beside the result. */
  note: (line: string) => Promise<void>;
  /** Writes to stderr without ending the line. */
  ask: (prompt: string) => Promise<void>;
  /** Writes text to stdout as it is; the caller has made it safe. */
  write: (text: string) => Promise<void>;
  /** Writes one JSON document, indented. */
  printJson: (value: unknown) => Promise<void>;
  /** Writes one JSON document on one line, for streams. */
  printJsonLine: (value: unknown) => Promise<void>;
  /** Colours text for stdout, if that is a terminal and NO_COLOR is not set. */
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
    // https://no-color.org: any value but the empty one switches colour off.
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

// Control characters of both sets, since terminals obey C1 too, and what turns the direction of text around.
const UNSAFE = /(?![\t\n])\p{Cc}|\p{Bidi_Control}/gu;
const CONTROL = /(?![\t\n])\p{Cc}/gu;

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Text from elsewhere made safe for a terminal: control characters are shown as escapes. Lines and tabs stay. */
export function safeText(text: string): string {
  return text.toWellFormed().replaceAll("\r\n", "\n").replace(UNSAFE, escapeOf);
}

/** The same on one line, for tables and messages. */
export function safeLine(text: string): string {
  return safeText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

/** JSON text that a terminal shows as it is. Escapes in strings do not change the value. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNSAFE, escapeOf);
}

/** YAML text that a terminal shows as it is. What must be escaped stands in double quotes already. */
export function safeYaml(text: string): string {
  return text.replace(CONTROL, escapeOf);
}

const WIDE =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6])/u;
const NO_WIDTH = /^(?:\p{M}|\p{Cf})/u;

/** How many columns of a terminal a line of text takes. */
export function displayWidth(line: string): number {
  let width = 0;
  for (const character of line) {
    if (NO_WIDTH.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** Fills a cell up to `width` columns. */
export function padCell(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

/** A cell of a table: its text, and how to colour it once its width is known. */
export type Cell = string | { text: string; style: Style };

/** Lines of an aligned table. Cells are made safe here; the last column is not filled up. */
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

/** Shortens a line and says by how much, so that nothing goes missing unsaid. */
export function shortened(line: string, charsMax: number): string {
  const characters = Array.from(line);
  if (characters.length <= charsMax) return line;
  return `${characters.slice(0, charsMax).join("")}… (${characters.length - charsMax} more characters)`;
}
