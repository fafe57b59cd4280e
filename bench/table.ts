/** Tables of the results, which a row shows in addition to its numbers. */

export type Table = { head: readonly string[]; rows: readonly (readonly string[])[] };

/** A table of rows with the same columns. */
export function tableOf(rows: readonly Readonly<Record<string, string | number | null>>[]): Table {
  const head = Object.keys(rows[0] ?? {});
  const cell = (value: string | number | null | undefined): string =>
    typeof value === "string" ? value : short(value);
  return { head, rows: rows.map((row) => head.map((name) => cell(row[name]))) };
}

/** Lines of aligned columns. @param isText which columns are text; the others are numbers */
export function alignedLines({ head, rows }: Table, isText: (column: number) => boolean): string[] {
  const cells = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
}

export function markdownLines({ head, rows }: Table): string[] {
  const [first, ...rest] = [head, ...rows].map((row) => `| ${row.join(" | ")} |`);
  return [first!, `|${" --- |".repeat(head.length)}`, ...rest];
}

/** Three digits: three rounds are not more precise than that. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}
