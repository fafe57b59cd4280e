/** A part of a Markdown file that a program writes, between two comments; the rest of the file is others'. */

const BEGIN = "<!-- compare:begin -->";
const END = "<!-- compare:end -->";

/** Puts the part into the text, in place of the one that it holds, or at its end. */
export function withSection(markdown: string, part: string): string {
  const section = `${BEGIN}\n\n${part}\n\n${END}`;
  const [before, rest] = markdown.split(BEGIN);
  const after = rest?.split(END)[1];
  return after === undefined ? `${markdown.trimEnd()}\n\n${section}\n` : `${before}${section}${after}`;
}
