/**
 * Lives of simulated servers on one database, each from a seed: `npm run sim [-- --seed 7] [--runs 100]`.
 *
 * Without a seed one is drawn. The seed is printed first, and lives the same life again. `--runs` lives so many, with
 * the seeds that follow. A life that ends badly prints what it found and all that had happened in it.
 */
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readOptions } from "./read-options.ts";

/** Seeds are read well, and typed again, up to here. */
const SEED_MAX = 1_000_000;

const USAGE = "npm run sim [-- --seed 7] [--runs 100]";

const { values } = readOptions(USAGE, {
  options: { seed: { type: "string" }, runs: { type: "string", default: "1" } },
});
const seed = values.seed ?? String(randomInt(SEED_MAX));
for (const [option, value] of Object.entries({ seed, runs: values.runs })) {
  if (/^[0-9]{1,9}$/.test(value) && (option === "seed" || Number(value) > 0)) continue;
  console.error(
    `--${option} must be a whole number${option === "runs" ? " from 1" : ""}, not ${JSON.stringify(value)}.`,
  );
  process.exit(2);
}
const last = Number(seed) + Number(values.runs) - 1;
console.log(values.runs === "1" ? `Seed ${seed}` : `Seeds ${seed} to ${last}`);

const { status } = spawnSync("vitest", ["run", "--project", "memory", "tests/simulation", "-t", "^seed "], {
  stdio: "inherit",
  env: { ...process.env, SIMULATION_SEED: seed, SIMULATION_SEEDS: values.runs },
});
if (status !== 0) {
  console.error(
    `\nOne seed again: npm run sim -- --seed <seed>. All of these: npm run sim -- --seed ${seed} --runs ${values.runs}`,
  );
}
process.exitCode = status ?? 1;
