/** `npm run bench:compare`: the same ten steps in AbstractRuntime, Restate and DBOS. README.md says what is
 *  compared. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { REPOSITORY } from "../environment.ts";
import { describeMachine } from "../machine.ts";
import { NotDurableError } from "../postgres.ts";
import { withSection } from "../sections.ts";
import { openWorld } from "../world.ts";
import { compareAll } from "./compare.ts";
import { CONTENDERS, SYSTEMS, type Contender } from "./contenders.ts";
import { describeInstalled, ensureInstalled } from "./installation.ts";
import { toJson, toResults, toSummary, toText } from "./report.ts";

const USAGE = `npm run bench:compare [-- options]

  --quick        one short round: whether everything works, not numbers to quote
  --only SYSTEM  only this system: ${SYSTEMS.join(", ")}; may be given more than once
  --json         the results as one object, on the last line
  --write        the results into bench/RESULTS.md and README.md`;
/** The section of each file that is written. */
const SECTION = "compare";
const RESULTS = join(REPOSITORY, "bench/RESULTS.md");
const README = join(REPOSITORY, "README.md");

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
  if (options.write && (options.quick || options.only !== undefined)) {
    throw new UsageError("--write needs a full measurement: it cannot be combined with --quick or --only");
  }
  const contenders = chosen(options.only);
  if (contenders.some(({ system }) => system !== "ours")) ensureInstalled();
  const world = await openWorld({ isQuick: options.quick, isProfiled: false });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  }
  try {
    const comparison = await compareAll(world, contenders, (text) => console.error(text));
    console.log(toText(comparison));
    const isWhole = comparison.rows.every(({ median }) => median !== undefined);
    if (options.write && isWhole) {
      const facts = [...describeMachine(world.postgres.version), ...describeInstalled()];
      const results = existsSync(RESULTS) ? readFileSync(RESULTS, "utf8") : "# Results\n";
      writeFileSync(RESULTS, withSection(results, SECTION, [toResults(comparison, facts)]));
      writeFileSync(README, withSection(readFileSync(README, "utf8"), SECTION, [toSummary(comparison, facts)]));
      execFileSync(join(REPOSITORY, "node_modules/.bin/oxfmt"), [RESULTS, README]);
    }
    if (options.json) console.log(toJson(comparison));
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
        write: flag,
        help: flag,
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function chosen(names: readonly string[] | undefined): readonly Contender[] {
  if (names === undefined) return CONTENDERS;
  const systems: readonly string[] = SYSTEMS;
  const unknown = names.find((name) => !systems.includes(name));
  if (unknown !== undefined) throw new UsageError(`unknown system ${unknown}\n\n${USAGE}`);
  return CONTENDERS.filter(({ system }) => names.includes(system));
}
