/** The comparison as a table for the terminal, as JSON, and as parts of RESULTS.md and of the README. */
import { RUNS_AT_A_TIME, type Comparison, type Row } from "./compare.ts";
import type { Measured } from "./measurement.ts";
import { STEPS_PER_RUN } from "./ten-steps.ts";

type Facts = readonly { name: string; value: string }[];

const HEAD = ["", "runs", "steps/s", "run p50 ms", "run p99 ms", "step p50 ms", "commits", "CPU us", "of which"];
const COLUMNS_OF_WORDS = new Set([0, 8]);
const CPU_NAMES = { server: "srv", worker: "wrk", load: "load", postgres: "pg" } as const;

export function toJson({ rows, baselineCommitsPerSecond }: Comparison): string {
  return JSON.stringify({
    baselineCommitsPerSecond: rounded(baselineCommitsPerSecond),
    rows: rows.map(({ contender, runs, median, trouble }) => ({
      system: contender.system,
      name: contender.title,
      runs,
      ...(median === undefined ? { trouble } : numbersOf(median)),
    })),
  });
}

function numbersOf(median: Measured): object {
  return {
    stepsPerSecond: rounded(median.stepsPerSecond),
    p50Ms: rounded(median.p50Ms),
    p99Ms: rounded(median.p99Ms),
    postgresCommitsPerStep: rounded(median.cost.commitsPerStep),
    cpuUsPerStep: Object.fromEntries(cpuOf(median).map(([role, us]) => [role, rounded(us)])),
  };
}

/** A table of aligned columns. */
export function toText(comparison: Comparison): string {
  const cells = [HEAD, ...comparison.rows.map(cellsOf)];
  const widths = HEAD.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const isText = (column: number): boolean => COLUMNS_OF_WORDS.has(column);
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
  return [`baseline: ${short(comparison.baselineCommitsPerSecond)} commits/s over 8 connections`, ...lines].join("\n");
}

/** All measured numbers, for RESULTS.md. */
export function toResults(comparison: Comparison, facts: Facts): string {
  return [
    "## Beside Restate and DBOS",
    "",
    ...facts.map(({ name, value }) => `- ${name}: ${value}`),
    `- Baseline: ${short(comparison.baselineCommitsPerSecond)} commits/s over 8 connections`,
    "",
    "Commits (of Postgres) and CPU time are per step. [compare/README.md](compare/README.md) describes each setup, and what is unequal.",
    "",
    ...tableOf([HEAD, ...comparison.rows.map(cellsOf)]),
    "",
    "What is committed when:",
    "",
    ...committedOf(comparison),
  ].join("\n");
}

/** The summary for the repository's README. */
export function toSummary({ rows, ...rest }: Comparison, facts: Facts): string {
  const titles = [...new Set(rows.map(({ contender }) => contender.title))];
  const head = ["steps/s", ...RUNS_AT_A_TIME.map((runs) => atATime(runs)), "one run alone, p50"];
  const lines = titles.map((title) => {
    const own = rows.filter(({ contender }) => contender.title === title);
    const alone = own.find(({ runs }) => runs === 1);
    const rates = own.map(({ median }) => (median === undefined ? "not measured" : short(median.stepsPerSecond)));
    return [title, ...rates, alone?.median === undefined ? "" : `${short(alone.median.p50Ms)} ms`];
  });
  return [
    `A run of ten steps, each a small function in a worker; everything on the same machine, measured in turn (${facts.map(({ name, value }) => `${name} ${value}`).join(", ")}):`,
    "",
    ...tableOf([head, ...lines]),
    "",
    "What is committed when:",
    "",
    ...committedOf({ rows, ...rest }),
    "",
    "All are set to survive a power cut. [How it is measured](bench/compare/README.md), and what is unequal; [all numbers](bench/RESULTS.md).",
  ].join("\n");
}

function atATime(runs: number): string {
  return runs === 1 ? "1 run at a time" : `${runs} at a time`;
}

function committedOf({ rows }: Comparison): string[] {
  const contenders = [...new Set(rows.map(({ contender }) => contender))];
  return contenders.map(({ title, committed }) => `- ${title}: ${committed}`);
}

function tableOf([head, ...rows]: readonly string[][]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head!), `|${" --- |".repeat(head!.length)}`, ...rows.map(line)];
}

function cellsOf({ contender, runs, median, trouble }: Row): string[] {
  if (median === undefined) return [contender.title, String(runs), "", "", "", "", "", "", `not measured: ${trouble}`];
  const { stepsPerSecond, p50Ms, p99Ms, cost } = median;
  const cpu = cpuOf(median);
  return [
    contender.title,
    String(runs),
    short(stepsPerSecond),
    short(p50Ms),
    short(p99Ms),
    // With more runs than cores, a step mostly waits for other runs.
    runs === 1 ? short(p50Ms / STEPS_PER_RUN) : "",
    contender.system === "restate" ? "" : short(cost.commitsPerStep),
    cpu.length === 0 ? "" : short(cpu.reduce((total, [, us]) => total + us, 0)),
    cpu.map(([role, us]) => `${CPU_NAMES[role]} ${Math.round(us)}`).join(" "),
  ];
}

function cpuOf({ cost }: Measured): [keyof typeof CPU_NAMES, number][] {
  return Object.entries(cost.cpuUsPerStep) as [keyof typeof CPU_NAMES, number][];
}

/** Three digits: three rounds are not more precise than that. */
function short(value: number | undefined): string {
  if (value === undefined) return "";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
