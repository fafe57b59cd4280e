/** Outlines a text: its lines, words and headings. */

export type Outline = {
  path: string;
  lines: number;
  words: number;
  /** Characters of its longest line. */
  longest_line: number;
  /** Of Markdown: the first ones, without their marks. */
  headings: string[];
  /** Whether the file has more lines than were counted. */
  truncated: boolean;
};

const HEADINGS_MAX = 6;
const HEADING_CHARS_MAX = 100;

export function outlineText({ path, text, truncated }: { path: string; text: string; truncated: boolean }): Outline {
  const lines = text.split("\n");
  // A newline at the end ends the last line and does not begin another.
  if (lines.at(-1) === "") lines.pop();
  return {
    path,
    lines: lines.length,
    words: text.match(/\S+/g)?.length ?? 0,
    longest_line: lines.reduce((longest, line) => Math.max(longest, line.length), 0),
    headings: /\.(?:md|markdown)$/i.test(path) ? headingsOf(lines) : [],
    truncated,
  };
}

function headingsOf(lines: readonly string[]): string[] {
  const headings: string[] = [];
  let inCode = false;
  for (const line of lines) {
    if (/^\s*(?:```|~~~)/.test(line)) inCode = !inCode;
    const heading = inCode ? undefined : /^#{1,3}\s+(\S.*)/.exec(line)?.[1];
    if (heading !== undefined) headings.push(heading.trim().slice(0, HEADING_CHARS_MAX));
    if (headings.length >= HEADINGS_MAX) break;
  }
  return headings;
}
