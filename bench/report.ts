/** The results as a table for the terminal, as JSON, and as a part of RESULTS.md. */
import type { Machine } from "./machine.ts";
import type { Results, Row } from "./measure.ts";

const HEAD = ["", "per s", "ratio", "p50 ms", "p99 ms", "commits", "WAL B", "CPU us", "budget", "met"];
const CPU_NAMES = { server: "srv", worker: "wrk", load: "load", postgres: "pg" } as const;
const BEGIN = "<!-- npm run bench: begin -->";
const END = "<!-- npm run bench: end -->";

export function toJson({ rows, baselineCommitsPerSecond }: Results): string {
  const scenarios = rows.map(({ scenario, median }) => ({
    name: scenario.name,
    perSecond: rounded(median.perSecond),
    ratio: rounded(median.ratio),
    p50Ms: rounded(median.p50Ms),
    p99Ms: rounded(median.p99Ms),
    commitsPerStep: rounded(median.cost?.commitsPerStep),
    walBytesPerStep: rounded(median.cost?.walBytesPerStep),
  }));
  return JSON.stringify({ baselineCommitsPerSecond: rounded(baselineCommitsPerSecond), scenarios });
}

/** A table of aligned columns, and a line for each row that has details. */
export function toText(results: Results): string {
  const cells = [HEAD, ...results.rows.map(cellsOf)];
  const widths = HEAD.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  // Names and budgets are words; the rest are numbers.
  const isText = (column: number): boolean => column === 0 || column >= 7;
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
  return [
    `baseline: ${short(results.baselineCommitsPerSecond)} commits/s over 8 connections`,
    ...lines,
    ...notesOf(results),
  ].join("\n");
}

/** Puts the results into the text of RESULTS.md, in place of those that it holds. */
export function intoMarkdown(markdown: string, results: Results, machine: Machine): string {
  const [head, ...rows] = [HEAD, ...results.rows.map(cellsOf)].map((row) => `| ${row.join(" | ")} |`);
  const part = [
    BEGIN,
    "",
    ...machine.map(({ name, value }) => `- ${name}: ${value}`),
    `- Baseline: ${short(results.baselineCommitsPerSecond)} commits/s over 8 connections`,
    "",
    "Commits, WAL and CPU time are per step. What the columns mean stands in [README.md](README.md).",
    "",
    head,
    `|${" --- |".repeat(HEAD.length)}`,
    ...rows,
    "",
    ...notesOf(results).map((note) => `- ${note}`),
    "",
    END,
  ].join("\n");
  const [before, rest] = markdown.split(BEGIN);
  const after = rest?.split(END)[1];
  return after === undefined ? `${markdown.trimEnd()}\n\n${part}\n` : `${before}${part}${after}`;
}

function cellsOf({ scenario, median, isMet }: Row): string[] {
  const { cost } = median;
  const cpu = Object.entries(cost?.cpuUsPerStep ?? {}).map(
    ([role, us]) => `${CPU_NAMES[role as keyof typeof CPU_NAMES]} ${Math.round(us)}`,
  );
  return [
    scenario.name,
    short(median.perSecond),
    short(median.ratio),
    short(median.p50Ms),
    short(median.p99Ms),
    short(cost?.commitsPerStep),
    short(cost?.walBytesPerStep),
    cpu.join(" "),
    scenario.budget,
    isMet ? "yes" : "NO",
  ];
}

function notesOf({ rows }: Results): string[] {
  return rows.flatMap(({ scenario, median, baselinePerSecond }) => {
    const facts = Object.entries(median.details).map(([name, value]) => `${name} ${short(value)}`);
    if (baselinePerSecond !== undefined) facts.push(`baseline ${short(baselinePerSecond)}/s`);
    if (median.cost !== null) facts.push(`transactionsPerStep ${short(median.cost.transactionsPerStep)}`);
    if (scenario.latencyOf !== "") facts.push(`p50 and p99 are from ${scenario.latencyOf}`);
    return facts.length === 0 ? [] : [`${scenario.name}: ${facts.join(", ")}`];
  });
}

/** Three digits say all that three rounds know. */
function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value.toPrecision(6));
}
