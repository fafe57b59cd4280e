/** RESULTS.md in sections. Each is rewritten separately, and the other sections are not changed. */

/** Returns the text with the section of that name replaced, or appended if there is no such section. */
export function withSection(markdown: string, name: string, lines: readonly string[]): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const section = [begin, "", ...lines, "", end].join("\n");
  const from = markdown.indexOf(begin);
  const to = markdown.indexOf(end, from);
  return from === -1 || to === -1
    ? `${markdown.trimEnd()}\n\n${section}\n`
    : `${markdown.slice(0, from)}${section}${markdown.slice(to + end.length)}`;
}
