/** The results as a table for the terminal, as JSON, and as a part of RESULTS.md. */
import type { Machine } from "./machine.ts";
import type { Results, Row } from "./measure.ts";
import { alignedLines, markdownLines, short } from "./table.ts";
import { withSection } from "./sections.ts";
import { SCENARIOS } from "./scenarios.ts";

const HEAD = ["", "per s", "ratio", "p50 ms", "p99 ms", "commits", "WAL B", "CPU us", "budget", "met"];
const CPU_NAMES = { server: "srv", worker: "wrk", load: "load", postgres: "pg" } as const;

export function toJson({ rows, baselineCommitsPerSecond }: Results): string {
  const scenarios = rows.map(({ scenario, median, isMet, trouble }) => ({
    name: scenario.name,
    perSecond: rounded(median.perSecond),
    ratio: rounded(median.ratio),
    p50Ms: rounded(median.p50Ms),
    p99Ms: rounded(median.p99Ms),
    commitsPerStep: rounded(median.cost?.commitsPerStep),
    walBytesPerStep: rounded(median.cost?.walBytesPerStep),
    isMet,
    ...(trouble === undefined ? {} : { trouble }),
    details: Object.fromEntries(Object.entries(median.details).map(([name, value]) => [name, rounded(value)])),
    ...(median.tables === undefined ? {} : { tables: median.tables }),
  }));
  return JSON.stringify({ baselineCommitsPerSecond: rounded(baselineCommitsPerSecond), scenarios });
}

/** A table of aligned columns, a line for each row with details, and the rows' own tables. */
export function toText(results: Results): string {
  // Names and budgets are text; the other columns are numbers.
  const table = { head: HEAD, rows: results.rows.map(cellsOf) };
  const tables = results.rows.flatMap(({ scenario, median }) =>
    (median.tables ?? []).flatMap((one) => ["", scenario.name, ...alignedLines(one, (column) => column === 0)]),
  );
  return [
    `baseline: ${short(results.baselineCommitsPerSecond)} commits/s over 8 connections`,
    ...alignedLines(table, (column) => column === 0 || column >= 7),
    ...notesOf(results),
    ...tables,
  ].join("\n");
}

/** Replaces the results in the text of RESULTS.md: the rows of section 9 of the design are one section, every other row
 *  is its own section. */
export function intoMarkdown(markdown: string, results: Results, machine: Machine): string {
  const { baselineCommitsPerSecond } = results;
  const isPlain = ({ scenario }: Row): boolean => SCENARIOS.includes(scenario);
  const plain = results.rows.filter(isPlain);
  const sections = [
    ...(plain.length === 0 ? [] : [{ name: "rows", title: "Rows", rows: plain }]),
    ...results.rows
      .filter((row) => !isPlain(row))
      .map((row) => ({ name: row.scenario.name, title: `\`${row.scenario.name}\``, rows: [row] })),
  ];
  return sections.reduce((text, { name, title, rows }) => {
    const lines = [`## ${title}`, "", ...sectionLines({ rows, baselineCommitsPerSecond }, machine)];
    return withSection(text, name, lines);
  }, markdown);
}

function sectionLines(results: Results, machine: Machine): string[] {
  return [
    ...machine.map(({ name, value }) => `- ${name}: ${value}`),
    `- Baseline: ${short(results.baselineCommitsPerSecond)} commits/s over 8 connections`,
    "",
    "Commits, WAL and CPU time are per step. [README.md](README.md) explains the columns.",
    "",
    ...markdownLines({ head: HEAD, rows: results.rows.map(cellsOf) }),
    "",
    ...notesOf(results).map((note) => `- ${note}`),
    ...results.rows.flatMap(({ median }) => (median.tables ?? []).flatMap((one) => ["", ...markdownLines(one)])),
  ];
}

function cellsOf({ scenario, median, isMet, trouble }: Row): string[] {
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
    trouble === undefined ? (isMet ? "yes" : "NO") : `not measured: ${trouble.split("\n")[0]}`,
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

function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value.toPrecision(6));
}
