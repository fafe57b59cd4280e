/** The report's sections, in Markdown. */
import type { Marks } from "./marks.ts";
import type { Outline } from "./outline.ts";
import type { Survey } from "./survey.ts";

/** A section, and what it is about. */
export type SectionFacts =
  | { section: "summary"; survey: Survey; read: number; unread: readonly Unread[] }
  | { section: "kinds"; survey: Survey }
  | { section: "longest" | "documents"; outlines: readonly Outline[] }
  | { section: "marks"; marked: Marks };

export type Unread = { path: string; code: string };

const LONGEST_MAX = 10;
const DOCUMENTS_MAX = 12;
const UNREAD_SHOWN_MAX = 5;
/** Longer paths and lines are cut, because the question to the person contains the whole report. */
const SHOWN_CHARS_MAX = 160;

export function draftSection(facts: SectionFacts): string {
  switch (facts.section) {
    case "summary":
      return paragraphs("## Summary", ...summary(facts.survey, facts.read, facts.unread));
    case "kinds":
      return paragraphs("## Kinds of files", kinds(facts.survey));
    case "longest":
      return paragraphs("## Longest texts", longest(facts.outlines));
    case "documents":
      return paragraphs("## Documents", documents(facts.outlines));
    case "marks":
      return paragraphs("## Marked for later", ...marks(facts.marked));
  }
}

function summary(survey: Survey, read: number, unread: readonly Unread[]): string[] {
  const { files, bytes, folders, others, truncated, largest } = survey;
  if (files === 0) return ["There are no files here."];
  const more = truncated ? " There are more: these are the first, in order of their paths." : "";
  const strange =
    others === 0 ? "" : ` ${counted(others, "link or other thing", "links and other things")} beside them.`;
  const failed =
    unread.length === 0
      ? ""
      : ` ${unread.length} could not be: ${unread
          .slice(0, UNREAD_SHOWN_MAX)
          .map(({ path, code }) => `${inCode(path)} (${code})`)
          .join(", ")}${unread.length > UNREAD_SHOWN_MAX ? ", …" : ""}.`;
  return [
    `${counted(files, "file", "files")} in ${counted(folders, "folder", "folders")}, ${inBytes(bytes)}.${more}${strange}`,
    `${counted(read, "text was", "texts were")} read for this report.${failed}`,
    `Largest: ${largest.map(({ path, size }) => `${inCode(path)} (${inBytes(size)})`).join(", ")}.`,
  ];
}

function kinds({ kinds, kinds_left_out: leftOut }: Survey): string {
  if (kinds.length === 0) return "None.";
  const rows = kinds.map(({ extension, files, bytes }) => [
    extension === "" ? "none" : `.${extension}`,
    inDigits(files),
    inBytes(bytes),
  ]);
  const rest = leftOut === 0 ? "" : `\n\nAnd ${counted(leftOut, "other kind", "other kinds")}.`;
  return `${table(["extension", "files>", "size>"], rows)}${rest}`;
}

function longest(outlines: readonly Outline[]): string {
  if (outlines.length === 0) return "None was read.";
  const rows = outlines
    .toSorted((a, b) => b.lines - a.lines || b.words - a.words)
    .slice(0, LONGEST_MAX)
    .map(({ path, lines, words, longest_line: widest, truncated }) => {
      const least = truncated ? "more than " : "";
      return [inCode(path), `${least}${inDigits(lines)}`, `${least}${inDigits(words)}`, inDigits(widest)];
    });
  return table(["file", "lines>", "words>", "longest line>"], rows);
}

function documents(outlines: readonly Outline[]): string {
  const titled = outlines.filter(({ headings }) => headings.length > 0);
  if (titled.length === 0) return "No document with headings was read.";
  const lines = titled
    .slice(0, DOCUMENTS_MAX)
    .map(({ path, headings }) => `- ${inCode(path)}: ${headings.map(plain).join(" · ")}`);
  const rest = titled.length - DOCUMENTS_MAX;
  return [...lines, ...(rest > 0 ? [`- and ${rest} more`] : [])].join("\n");
}

function marks({ counts, first, files, truncated }: Marks): string[] {
  const more = truncated ? " Not everything was searched, or there are more." : "";
  if (counts.length === 0) return [`Nothing, in ${counted(files, "file", "files")}.${more}`];
  const found = counts.map(({ mark, lines }) => `${mark} in ${counted(lines, "line", "lines")}`).join(", ");
  const shown = first.map(({ path, line, text }) => `- ${inCode(`${path}:${line}`)}: ${plain(text)}`);
  return [`${found}, of ${counted(files, "file", "files")}.${more}`, shown.join("\n")];
}

function paragraphs(...texts: readonly string[]): string {
  return `${texts.join("\n\n")}\n`;
}

/** Columns whose name ends in `>` are aligned to the right. */
function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    line(headers.map((header) => header.replace(/>$/, ""))),
    line(headers.map((header) => (header.endsWith(">") ? "---:" : "---"))),
    ...rows.map(line),
  ].join("\n");
}

/** Foreign text as inline code, so that Markdown does not interpret it. */
function inCode(text: string): string {
  return `\`${cut(text).replaceAll("`", "'")}\``;
}

/** Foreign text, without anything that Markdown or HTML would interpret. */
function plain(text: string): string {
  return cut(text).replaceAll(/[\\`*_[\]<>&#|~]/g, "\\$&");
}

function cut(text: string): string {
  const line = text.replaceAll(/\p{Cc}|\p{Bidi_Control}/gu, "·");
  return line.length <= SHOWN_CHARS_MAX ? line : `${line.slice(0, SHOWN_CHARS_MAX - 1)}…`;
}

export function counted(count: number, one: string, many: string): string {
  return `${inDigits(count)} ${count === 1 ? one : many}`;
}

function inDigits(count: number): string {
  return count.toLocaleString("en-US");
}

export function inBytes(bytes: number): string {
  if (bytes < 1024) return counted(bytes, "byte", "bytes");
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}
