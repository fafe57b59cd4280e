/** The demo's output for people: plain, aligned lines, with colour only on a terminal. */
import { styleText } from "node:util";

export type Style = "bold" | "dim" | "red" | "green" | "yellow";

export type Screen = {
  line: (text?: string) => void;
  /** The title of what follows. */
  title: (text: string) => void;
  /** Shows a line that the next one replaces: on a terminal only, and not faster than one can read. */
  status: (text: () => string) => void;
  style: (style: Style, text: string) => string;
};

const STATUS_MS = 100;

/** @param quiet whether to show no status, because another process writes to the terminal */
export function createScreen(stream: NodeJS.WriteStream, quiet = false): Screen {
  const isTerminal = stream.isTTY;
  // https://no-color.org: any non-empty value switches colour off.
  const coloured = isTerminal && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
  let shown = false;
  let shownAt = 0;
  const clear = () => {
    if (shown) stream.write("\r\u001b[K");
    shown = false;
  };
  const style: Screen["style"] = (name, text) => (coloured ? styleText(name, text, { validateStream: false }) : text);
  const line = (text = "") => {
    clear();
    stream.write(`${text}\n`);
  };
  return {
    line,
    title(text) {
      line();
      line(style("bold", text));
    },
    status(text) {
      if (!isTerminal || quiet || performance.now() - shownAt < STATUS_MS) return;
      clear();
      stream.write(text().slice(0, stream.columns - 1));
      shown = true;
      shownAt = performance.now();
    },
    style,
  };
}

// Control characters, C1 included since terminals obey those too, and characters that change the direction of text.
const UNSAFE = /\p{Cc}|\p{Bidi_Control}/gu;

/** Text from a file on one line, made safe for a terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " / ").replaceAll(UNSAFE, "·");
}

const WIDE = /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60])/u;
const NO_WIDTH = /^(?:\p{M}|\p{Cf})/u;

/** How many columns of a terminal a text takes. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) if (!NO_WIDTH.test(character)) width += WIDE.test(character) ? 2 : 1;
  return width;
}

/** Lines of a table; columns whose name ends in `>` are aligned to the right. */
export function tableLines(headers: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const names = headers.map((header) => header.replace(/>$/, ""));
  const all = [names, ...rows];
  const widths = names.map((_, column) => Math.max(...all.map((row) => displayWidth(row[column] ?? ""))));
  return all.map((row) =>
    row
      .map((cell, column) => {
        const space = " ".repeat((widths[column] ?? 0) - displayWidth(cell));
        return headers[column]?.endsWith(">") ? space + cell : cell + space;
      })
      .join("   ")
      .trimEnd(),
  );
}
