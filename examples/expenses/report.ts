/** The demo's final output: the timeline, one run's story, the summary, and one line of JSON. */
import { oneLine, type Screen, tableLines } from "../support/screen.ts";
import { showMark, type Timeline } from "../support/timeline.ts";
import type { Crash } from "./crashes.ts";
import type { Expense } from "./expense-file.ts";
import type { CheckedRun, CheckName, Outcome } from "./ledgers.ts";
import { mostEventful, storyOf } from "./story.ts";

/** The last line of `--json`. */
export type Summary = {
  /** The number of runs, one for each row. */
  runs: number;
  /** Runs that ended exactly once. */
  completed: number;
  /** Runs that asked a person. */
  asked: number;
  serverKills: number;
  /** Step records in all ledgers. */
  records: number;
  /** `ok`, or the first problem of a ledger. */
  chain: string;
};

/** The column after the time and a gap. */
const TEXT_COLUMN = 11;

export function summarise(runs: readonly CheckedRun[], crashes: readonly Crash[]): Summary {
  const broken = runs.find(({ problems }) => problems.chain.length > 0);
  return {
    runs: runs.length,
    completed: runs.filter(({ completed }) => completed).length,
    asked: runs.filter(({ asked }) => asked).length,
    serverKills: crashes.length,
    records: runs.reduce((sum, { records }) => sum + records.length, 0),
    chain: broken === undefined ? "ok" : `${broken.runId}: ${broken.problems.chain[0]}`,
  };
}

/** The problems of all runs in one check. */
export function problemsOf(runs: readonly CheckedRun[], check: CheckName): string[] {
  return runs.flatMap(({ runId, problems }) => problems[check].map((problem) => `${runId} ${problem}`));
}

export function showTimeline(screen: Screen, timeline: Timeline): void {
  if (timeline.marks.length === 0) return;
  screen.title("Timeline");
  for (const mark of timeline.marks) showMark(screen, mark, timeline.startTime);
}

export function showStory(
  screen: Screen,
  runs: readonly CheckedRun[],
  crashes: readonly Crash[],
  timeline: Timeline,
): void {
  const run = mostEventful(runs, crashes);
  if (run === undefined) return;
  screen.title(`The story of one run, from its ledger: ${describeExpense(run.expense)}`);
  for (const { at, text, crash } of storyOf(run, crashes, timeline.startTime)) {
    const line = `${at}   ${oneLine(text)}`;
    screen.line(crash ? screen.style("red", line) : line);
  }
  screen.line(
    screen.style("dim", `${" ".repeat(TEXT_COLUMN)}${run.records.length} records, the hashes of which form a chain`),
  );
}

function describeExpense({ id, employee, amount, currency, category, merchant }: Expense): string {
  return oneLine(`${id}, ${employee}, ${amount.toFixed(2)} ${currency} for ${category} at ${merchant}`);
}

const OUTCOMES: readonly Outcome["outcome"][] = ["approved", "reduced", "refused", "held"];
const DECIDERS: readonly Outcome["by"][] = ["rule", "person", "manager"];

export function showSummary(screen: Screen, runs: readonly CheckedRun[]): void {
  screen.title("Summary");
  const ended = runs.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome]));
  const rows = OUTCOMES.flatMap((outcome) =>
    DECIDERS.flatMap((by) => {
      const group = ended.filter((one) => one.outcome === outcome && one.by === by);
      return group.length === 0 ? [] : [[outcome, by, ...totals(group)]];
    }),
  );
  const lines = tableLines(
    ["decision", "by", "expenses>", "paid EUR>", "reminders>"],
    [...rows, ["total", "", ...totals(ended)]],
  );
  for (const [index, line] of lines.entries()) {
    const isTotal = index === lines.length - 1;
    screen.line(index === 0 ? screen.style("dim", line) : isTotal ? screen.style("bold", line) : line);
  }
}

function totals(outcomes: readonly Outcome[]): string[] {
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  return [
    String(outcomes.length),
    sum(({ amount_eur: amount }) => amount).toFixed(2),
    String(sum(({ reminders }) => reminders)),
  ];
}
