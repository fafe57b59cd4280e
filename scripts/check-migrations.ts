/**
 * The migrations gate: the migrations build exactly what the schema declares.
 *
 * Generates into a copy of the migrations. If drizzle-kit adds or changes anything there, a migration is missing here.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import config from "../drizzle.config.ts";
import { compareTrees } from "./compare-trees.ts";

function drizzleKit(...args: string[]): { succeeded: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync("drizzle-kit", args, {
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  return { succeeded: status === 0, output: `${stdout}${stderr}` };
}

function refuse(reason: string): void {
  console.error(reason);
  process.exitCode = 1;
}

/** Compares the migrations with the journal. Servers apply what the journal lists; drizzle-kit checks only
 *  snapshots. */
function compareWithJournal(): string[] {
  const journalPath = join(config.out, "meta/_journal.json");
  if (!existsSync(journalPath)) return [`missing: ${journalPath}`];
  const journal = JSON.parse(readFileSync(journalPath, "utf8")) as { entries: { tag: string }[] };
  const listed = journal.entries.map((entry) => `${entry.tag}.sql`);
  const present = readdirSync(config.out).filter((name) => name.endsWith(".sql"));
  return [
    ...present.filter((name) => !listed.includes(name)).map((name) => `not in the journal: ${name}`),
    ...listed.filter((name) => !present.includes(name)).map((name) => `in the journal, but missing: ${name}`),
  ];
}

const journalProblems = compareWithJournal();
if (journalProblems.length > 0) refuse(`${config.out} contradicts its journal:\n  ${journalProblems.join("\n  ")}`);

// drizzle-kit resolves `out` against the working directory, so the copy cannot be in the system's temporary folder.
mkdirSync("node_modules/.cache", { recursive: true });
const scratch = mkdtempSync("node_modules/.cache/migrations-");
try {
  const copy = join(scratch, "migrations");
  if (existsSync(config.out)) cpSync(config.out, copy, { recursive: true });
  const scratchConfig = join(scratch, "drizzle.config.json");
  writeFileSync(scratchConfig, JSON.stringify({ ...config, out: copy }));
  const check = drizzleKit("check", `--config=${scratchConfig}`);
  if (!check.succeeded) refuse(`${check.output}\n${config.out} contradicts itself.`);
  const generate = drizzleKit("generate", `--config=${scratchConfig}`);
  const differences = compareTrees({ expected: copy, actual: config.out });
  // If drizzle-kit would have to ask whether a column was renamed, it fails with exit code 0. So only its message
  // counts.
  if (!generate.succeeded || differences.length > 0 || !generate.output.includes("No schema changes")) {
    refuse(
      `${generate.output}\n${config.out} does not match ${config.schema}; run npm run generate:` +
        differences.map((difference) => `\n  ${difference}`).join(""),
    );
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
