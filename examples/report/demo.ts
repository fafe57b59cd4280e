/**
 * A report on a folder: a workflow lists, searches and reads its files, drafts the report, asks a person, and writes
 * it, while its tool worker and its server are killed.
 *
 *   npm run demo                     on this repository; you approve the report at the terminal
 *   npm run demo -- --yes            it is approved for you
 *   npm run demo -- --yes FOLDER     on another folder
 *
 * scenario.ts has what it does; this file has the command line, the signals and the exit code.
 */
import { rmSync } from "node:fs";
import { access, constants, mkdir, mkdtemp, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { showChecks } from "../support/checks.ts";
import { EXIT, listenForEnd, UsageError } from "../support/interruption.ts";
import { REPOSITORY } from "../support/managed-process.ts";
import { createScreen, oneLine } from "../support/screen.ts";
import { createServerProcess } from "../support/server-process.ts";
import { createTimeline, showMark } from "../support/timeline.ts";
import { createWorkerProcess } from "../support/worker-process.ts";
import { playScenario } from "./scenario.ts";
import { showTools, summarise } from "./summary.ts";

const HELP = `Usage: npm run demo -- [FOLDER] [options]

A workflow drafts a report on the files of a folder, while its tool worker and its server are killed.

Nothing in the folder is changed. The default folder is this repository.

Options:
  --yes             approve the report, instead of asking at the terminal
  --out <dir>       write report.md there, replacing an existing one (default: a temporary folder)
  --json            write one line of JSON at the end, everything else to stderr, and keep the data directory
  --keep            keep the data directory
  --data-dir <dir>  use this data directory, and keep it
  -h, --help        show this

Exit code: 0 if all checks at the end hold, 1 if not, 2 if the command line or the folder is invalid.`;

async function main(args: string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options.help) {
      process.stdout.write(`${HELP}\n`);
      return EXIT.ok;
    }
    await assertFolder(options.folder);
    return await runDemo(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
}

type Options = {
  folder: string;
  out: string | undefined;
  yes: boolean;
  json: boolean;
  keep: boolean;
  help: boolean;
  dataDir: string | undefined;
};

function readOptions(args: string[]): Options {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
  }
  const { values, positionals } = parsed;
  if (positionals.length > 1) throw new UsageError(`one folder at a time, not ${positionals.join(", ")}`);
  // npm runs scripts in the folder of package.json; INIT_CWD is the folder where it was called.
  const here = (path: string) => resolve(process.env["INIT_CWD"] ?? ".", path);
  const options: Options = {
    folder: positionals[0] === undefined ? REPOSITORY : here(positionals[0]),
    out: values.out === undefined ? undefined : here(values.out),
    yes: values.yes,
    json: values.json,
    help: values.help,
    keep: values.keep || values.json || values["data-dir"] !== undefined,
    dataDir: values["data-dir"] === undefined ? undefined : here(values["data-dir"]),
  };
  if (!options.help && !options.yes && !process.stdin.isTTY) {
    throw new UsageError("a person must approve the report, but stdin is not a terminal: run it with --yes");
  }
  return options;
}

function parse(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      yes: { type: "boolean", default: false },
      out: { type: "string" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      "data-dir": { type: "string" },
    },
  });
}

/** @throws {UsageError} */
async function assertFolder(folder: string): Promise<void> {
  const stats = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${folder} cannot be used: ${error.code === "ENOENT" ? "it does not exist" : error.message}`);
  });
  if (!stats.isDirectory()) throw new UsageError(`${folder} is a file; name the folder that it is in`);
  await access(folder, constants.R_OK | constants.X_OK).catch(() => {
    throw new UsageError(`${folder} cannot be used: it may not be read`);
  });
}

async function runDemo(options: Options): Promise<number> {
  const terminal = options.json ? process.stderr : process.stdout;
  const screen = createScreen(terminal);
  for (const folder of [options.out, options.dataDir]) {
    if (folder === undefined) continue;
    await mkdir(folder, { recursive: true }).catch((error: Error) => {
      throw new UsageError(`${folder} cannot be used: ${error.message}`);
    });
  }
  const base = await mkdtemp(join(tmpdir(), "abstractruntime-demo-"));
  const out = options.out ?? base;
  const dataDir = options.dataDir ?? join(base, "data");
  const callsLog = join(base, "calls.log");
  const server = await createServerProcess({ dataDir, logFile: join(base, "server.log") });
  const worker = await createWorkerProcess({
    server: server.url,
    root: options.folder,
    tools: join(import.meta.dirname, "tools.ts"),
    env: { REPORT_DIR: out, CALLS_LOG: callsLog },
    logFile: join(base, "worker.log"),
  });
  let reportIsInBase = false;
  const interruption = listenForEnd(() => {
    worker.kill();
    server.kill();
    if (options.keep) return;
    for (const path of reportIsInBase
      ? [dataDir, callsLog, join(base, "server.log"), join(base, "worker.log")]
      : [base]) {
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    }
  });
  const { signal } = interruption;

  const shownFolder = oneLine(options.folder);
  screen.line(
    `A workflow reports on ${screen.style("bold", shownFolder)}; its tool worker and its server are killed on the way.`,
  );
  screen.line();
  const timeline = createTimeline((mark, startTime) => showMark(screen, mark, startTime));
  try {
    const scenario = await playScenario({
      folder: basename(options.folder) || options.folder,
      server,
      worker,
      callsLog,
      automatic: options.yes,
      timeline,
      screen,
      terminal,
      signal,
    });
    reportIsInBase = scenario.reportFile !== undefined && out === base;
    showTools(screen, scenario);
    const allHold = showChecks(screen, scenario.checks);
    screen.line();
    if (scenario.reportFile !== undefined) screen.line(`The report: ${screen.style("bold", scenario.reportFile)}`);
    if (options.json) process.stdout.write(`${JSON.stringify(summarise(scenario))}\n`);
    return allHold ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (signal.aborted) {
      screen.line((signal.reason as Error).message);
      return EXIT.interrupted;
    }
    screen.line();
    screen.line(screen.style("red", error instanceof Error ? (error.stack ?? error.message) : String(error)));
    return EXIT.failed;
  } finally {
    await worker.stop();
    await server.stop();
    interruption.finish();
    if (options.keep) {
      screen.line(`The data:   npx abstractruntime server --data-dir ${dataDir}`);
      screen.line(`The logs:   ${base}`);
    }
  }
}

process.exitCode = await main(process.argv.slice(2));
