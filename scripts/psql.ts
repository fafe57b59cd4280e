/**
 * Opens SQL on the embedded database of a data directory: `npm run psql [-- options]`, with `--data-dir folder`,
 * `--command "select …"` for one statement, `--prompt` for the small prompt even if there is psql.
 *
 * psql if it is installed, else the prompt of sql-prompt.ts. Both read only: in psql,
 * `set default_transaction_read_only = off;` lifts it. Without --data-dir the directory of `npm start` or of
 * `npm run dev`, whichever has a database that runs.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import postgres from "postgres";
import { DatabaseUnusableError, type DatabaseAddress, findDatabase } from "./embedded-database.ts";
import { readOptions } from "./read-options.ts";
import { formatTable, runPrompt, runStatement } from "./sql-prompt.ts";

const DATA_DIRS_DEFAULT = [".abstractruntime", ".abstractruntime/dev"];
const READ_ONLY = "-c default_transaction_read_only=on";

const USAGE = 'npm run psql [-- --data-dir folder] [--command "select …"] [--prompt]';

const { values } = readOptions(USAGE, {
  options: { "data-dir": { type: "string" }, command: { type: "string", short: "c" }, prompt: { type: "boolean" } },
});

try {
  const found = findRunning(values["data-dir"]);
  process.exitCode = values.prompt === true ? await promptOn(found) : (psqlOn(found) ?? (await promptOn(found)));
} catch (error) {
  if (!(error instanceof DatabaseUnusableError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function findRunning(given: string | undefined): DatabaseAddress {
  // npm runs scripts at the root; a path is meant from where the person is.
  if (given !== undefined) return findDatabase(path.resolve(process.env["INIT_CWD"] ?? ".", given));
  const named = process.env["ABSTRACTRUNTIME_DATA_DIR"];
  const dataDirs = named === undefined ? DATA_DIRS_DEFAULT : [named];
  const running = new Map<string, DatabaseAddress>();
  const problems: string[] = [];
  for (const dataDir of dataDirs) {
    try {
      running.set(dataDir, findDatabase(path.resolve(dataDir)));
    } catch (error) {
      if (!(error instanceof DatabaseUnusableError)) throw error;
      problems.push(error.message);
    }
  }
  const [first, second] = running.keys();
  if (first === undefined) throw new DatabaseUnusableError(problems.join("\n"));
  if (second !== undefined)
    throw new DatabaseUnusableError(`Databases run on ${first} and ${second}: name one with --data-dir.`);
  console.error(`The database of ${first}, read only.`);
  return running.get(first)!;
}

/** Undefined if there is no psql on this machine. */
function psqlOn({ host, port, user, password, database }: DatabaseAddress): number | undefined {
  const options = values.command === undefined ? [] : ["--command", values.command];
  const { error, status } = spawnSync("psql", ["--no-psqlrc", ...options], {
    stdio: "inherit",
    // As variables, so that no list of processes shows the password.
    env: {
      ...process.env,
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGOPTIONS: READ_ONLY,
    },
  });
  return error === undefined ? (status ?? 1) : undefined;
}

async function promptOn(address: DatabaseAddress): Promise<number> {
  const { user: username, ...rest } = address;
  const sql = postgres({ ...rest, username, max: 1, connection: { options: READ_ONLY }, onnotice: () => {} });
  try {
    if (values.command !== undefined) process.stdout.write(formatTable(await runStatement(sql, values.command)));
    else await runPrompt(sql, { input: process.stdin, output: process.stdout, isTerminal: process.stdin.isTTY });
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await sql.end();
  }
}
