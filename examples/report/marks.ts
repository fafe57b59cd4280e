/** Counts lines that are marked for later. */

/** The result of search_text. */
export type SearchResult = {
  matches: readonly { path: string; line: number; text: string }[];
  files_searched: number;
  truncated: boolean;
};

export type Marks = {
  /** How many lines have each mark. */
  counts: { mark: string; lines: number }[];
  /** The first ones, in order of their paths. */
  first: { path: string; line: number; text: string }[];
  files: number;
  /** Whether not everything was searched, or there are more such lines. */
  truncated: boolean;
};

const FIRST_MAX = 12;
const TEXT_CHARS_MAX = 120;
const MARK = /\b(?:TODO|FIXME|XXX|HACK)\b/;
/** Of a line that is shown only up to a place before its mark. */
const UNSEEN = "further right";

/** @param search null if the search failed */
export function countMarks(search: SearchResult | null): Marks {
  const { matches, files_searched: files, truncated } = search ?? { matches: [], files_searched: 0, truncated: true };
  const counts = new Map<string, number>();
  for (const { text } of matches) {
    const mark = MARK.exec(text)?.[0] ?? UNSEEN;
    counts.set(mark, (counts.get(mark) ?? 0) + 1);
  }
  return {
    counts: [...counts].map(([mark, lines]) => ({ mark, lines })).toSorted((a, b) => b.lines - a.lines),
    first: matches.slice(0, FIRST_MAX).map(({ path, line, text }) => ({
      path,
      line,
      text: text.trim().slice(0, TEXT_CHARS_MAX),
    })),
    files,
    truncated,
  };
}
