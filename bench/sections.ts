/** RESULTS.md in sections, each of which is written anew by itself: what others hold stays as it is. */

/** The text with the section of that name put in place of the one that it holds, or behind everything where it holds none. */
export function withSection(markdown: string, name: string, lines: readonly string[]): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const section = [begin, "", ...lines, "", end].join("\n");
  const from = markdown.indexOf(begin);
  const to = markdown.indexOf(end, from);
  return from === -1 || to === -1
    ? `${markdown.trimEnd()}\n\n${section}\n`
    : `${markdown.slice(0, from)}${section}${markdown.slice(to + end.length)}`;
}
