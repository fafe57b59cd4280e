/**
 * Hundreds of expenses go through a workflow while its server and database are killed.
 *
 *   npm run demo:expenses                    answer the questions at the terminal
 *   npm run demo:expenses -- --yes           have them answered
 *   npm run demo:expenses -- --yes my.csv    with another file
 *
 * scenario.ts has what it does; this file has the command line, the signals and the exit code.
 */
import { rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { showChecks } from "../support/checks.ts";
import { EXIT, listenForEnd, UsageError } from "../support/interruption.ts";
import { createScreen } from "../support/screen.ts";
import { createServerProcess } from "../support/server-process.ts";
import { createTimeline } from "../support/timeline.ts";
import { type Expense, ExpenseFileError, readExpenses } from "./expense-file.ts";
import { showStory, showSummary, showTimeline, summarise } from "./report.ts";
import { playScenario } from "./scenario.ts";

const HELP = `Usage: npm run demo:expenses -- [FILE.csv] [options]

Runs one workflow per row of a CSV of expenses, on a server that is killed twice on the way.

The file needs the columns id, employee, department, date, category, merchant, amount, currency, description;
without one, 300 expenses that ship with the demo are used.

Options:
  --yes             answer the questions with a rule of thumb, instead of asking at the terminal
  --json            write one line of JSON at the end, and everything else to stderr
  --keep            keep the data directory
  --data-dir <dir>  use this data directory, and keep it
  --seed <text>     the seed of all random choices, such as when to kill (default: random)
  -h, --help        show this

Exit code: 0 if every row ended exactly once and every ledger verifies, 1 if not, 2 if the command line or the file is
invalid.`;

async function main(args: string[]): Promise<number> {
  let options: Options;
  let expenses: Expense[];
  try {
    options = readOptions(args);
    if (options.help) {
      process.stdout.write(`${HELP}\n`);
      return EXIT.ok;
    }
    expenses = await readExpenses(options.file);
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof ExpenseFileError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
  return runDemo(options, expenses);
}

type Options = {
  file: string;
  yes: boolean;
  json: boolean;
  keep: boolean;
  help: boolean;
  dataDir: string | undefined;
  seed: string;
};

function readOptions(args: string[]): Options {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
  }
  const { values, positionals } = parsed;
  if (positionals.length > 1) throw new UsageError(`one file at a time, not ${positionals.join(", ")}`);
  const options: Options = {
    // npm runs scripts in the folder of package.json; INIT_CWD is the folder where it was called.
    file: resolve(process.env["INIT_CWD"] ?? ".", positionals[0] ?? join(import.meta.dirname, "expenses.csv")),
    yes: values.yes,
    json: values.json,
    help: values.help,
    keep: values.keep || values["data-dir"] !== undefined,
    dataDir: values["data-dir"] === undefined ? undefined : resolve(process.env["INIT_CWD"] ?? ".", values["data-dir"]),
    seed: values.seed ?? Math.random().toString(36).slice(2, 10),
  };
  if (!options.help && !options.yes && !process.stdin.isTTY) {
    throw new UsageError("some expenses ask a person, but stdin is not a terminal: run it with --yes");
  }
  return options;
}

function parse(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      yes: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      "data-dir": { type: "string" },
      seed: { type: "string" },
    },
  });
}

async function runDemo(options: Options, expenses: readonly Expense[]): Promise<number> {
  const terminal = options.json ? process.stderr : process.stdout;
  const screen = createScreen(terminal, !options.yes);
  const timeline = createTimeline();
  const base = options.dataDir ?? (await mkdtemp(join(tmpdir(), "abstractruntime-demo-")));
  const dataDir = options.dataDir ?? join(base, "data");
  await mkdir(dataDir, { recursive: true });
  const server = await createServerProcess({ dataDir, logFile: join(base, "server.log") });

  const interruption = listenForEnd(() => {
    server.kill();
    if (!options.keep) rmSync(base, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  const { signal } = interruption;

  screen.line(`${expenses.length} expenses, a run for each; the server and its database are killed twice on the way.`);
  screen.line(
    screen.style("dim", `seed ${options.seed}; log ${options.keep ? join(base, "server.log") : "is not kept"}`),
  );
  try {
    const { runs, crashes, checks } = await playScenario({
      expenses,
      server,
      automatic: options.yes,
      seed: options.seed,
      timeline,
      screen,
      terminal,
      signal,
    });
    showTimeline(screen, timeline);
    showStory(screen, runs, crashes, timeline);
    showSummary(screen, runs);
    const allHold = showChecks(screen, checks);
    if (options.json) process.stdout.write(`${JSON.stringify(summarise(runs, crashes))}\n`);
    return allHold ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (signal.aborted) {
      screen.line((signal.reason as Error).message);
      return EXIT.interrupted;
    }
    showTimeline(screen, timeline);
    screen.line();
    screen.line(screen.style("red", error instanceof Error ? (error.stack ?? error.message) : String(error)));
    return EXIT.failed;
  } finally {
    await server.stop();
    interruption.finish();
    if (options.keep) screen.line(`\nkept: npx abstractruntime server --data-dir ${dataDir}`);
  }
}

process.exitCode = await main(process.argv.slice(2));
