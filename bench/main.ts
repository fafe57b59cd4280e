/** `npm run bench`: measures the rows of section 9 of the design, or the named ones. README.md describes them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { REPOSITORY } from "./environment.ts";
import { describeMachine } from "./machine.ts";
import { measureAll } from "./measure.ts";
import { NotDurableError } from "./postgres.ts";
import { intoMarkdown, toJson, toText } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { LASTING_SCENARIOS, SCENARIOS } from "./scenarios.ts";
import { openWorld } from "./world.ts";

const USAGE = `npm run bench [-- options]

  --quick          one short round: whether everything works, not numbers to quote
  --only NAME      only this row; may be given more than once
  --json           the results as one object, on the last line
  --rounds N       so many rounds instead of three
  --profile        CPU profiles of server, worker and load generator, of the measurement only, into bench/profiles/
  --write          the results into bench/RESULTS.md
  --database-url   a Postgres to measure on instead of an embedded one: a superuser, in the database postgres

Rows: ${namesOf(SCENARIOS)}
Only where they are named: ${namesOf(LASTING_SCENARIOS)}`;
const RESULTS = join(import.meta.dirname, "RESULTS.md");

const ROUNDS_MAX = 99;

class UsageError extends Error {}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof NotDurableError)) throw error;
  console.error(error.message);
  return error instanceof UsageError ? 2 : 1;
});

async function main(): Promise<number> {
  const options = readOptions();
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const { quick: isQuick, profile: isProfiled } = options;
  const scenarios = chosen(options.only);
  const isPart = scenarios.some((scenario) => SCENARIOS.includes(scenario)) && options.only !== undefined;
  if (options.write && (isQuick || isPart || options.rounds !== undefined)) {
    const lasting = namesOf(LASTING_SCENARIOS);
    throw new UsageError(
      `--write is for full measurements: without --quick and --rounds, and with --only just of ${lasting}`,
    );
  }
  const rounds = options.rounds === undefined ? undefined : roundsOf(options.rounds);
  const world = await openWorld({ isQuick, isProfiled, rounds, databaseUrl: options["database-url"] });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  }
  try {
    const results = await measureAll(world, scenarios, (text) => console.error(text));
    console.log(toText(results));
    const isWhole = results.rows.every(({ trouble }) => trouble === undefined);
    if (options.write && isWhole) {
      const markdown = existsSync(RESULTS) ? readFileSync(RESULTS, "utf8") : "# Results\n";
      writeFileSync(RESULTS, intoMarkdown(markdown, results, describeMachine(world.postgres.version)));
      execFileSync(join(REPOSITORY, "node_modules/.bin/oxfmt"), [RESULTS]);
    }
    if (options.json) console.log(toJson(results));
    if (!isWhole) {
      console.error(`some rows were not measured${options.write ? "; nothing was written" : ""}`);
      return 1;
    }
  } finally {
    await world.close();
  }
  return 0;
}

function readOptions() {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({
      options: {
        quick: flag,
        only: { type: "string", multiple: true },
        json: flag,
        rounds: { type: "string" },
        profile: flag,
        write: flag,
        "database-url": { type: "string" },
        help: flag,
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function namesOf(scenarios: readonly Scenario[]): string {
  return scenarios.map(({ name }) => name).join(", ");
}

function roundsOf(text: string): number {
  const rounds = Number(text);
  if (Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX) return rounds;
  throw new UsageError(`--rounds must be a whole number from 1 to ${ROUNDS_MAX}\n\n${USAGE}`);
}

function chosen(names: readonly string[] | undefined): readonly Scenario[] {
  if (names === undefined) return SCENARIOS;
  const all = [...SCENARIOS, ...LASTING_SCENARIOS];
  const unknown = names.find((name) => !all.some((scenario) => scenario.name === name));
  if (unknown !== undefined) throw new UsageError(`unknown row ${unknown}\n\n${USAGE}`);
  return all.filter(({ name }) => names.includes(name));
}
