/**
 * Fuzzes for as long as there is time: `npm run fuzz -- --seconds 60 [--seed 7] [target…]`.
 *
 * Without targets, all of them, each for so many seconds. Without a seed one is drawn. The seed is printed first, and
 * tries the same inputs again. A failing input prints its own seed, which `--inputs 1` tries alone.
 */
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { FUZZ_NAMES } from "../tests/support/fuzz-names.ts";
import { readOptions } from "./read-options.ts";

/** Seeds are read well, and typed again, up to here. */
const SEED_MAX = 1_000_000_000;

const USAGE = "npm run fuzz [-- [--seconds 60 | --inputs 1000] [--seed 7] [target…]]";

const { values, positionals } = readOptions(USAGE, {
  options: {
    seconds: { type: "string", default: "60" },
    inputs: { type: "string" },
    seed: { type: "string" },
  },
  allowPositionals: true,
});
const seed = values.seed ?? String(randomInt(SEED_MAX));
for (const [option, value] of Object.entries({ seed, seconds: values.seconds, inputs: values.inputs ?? "1" })) {
  if (/^[0-9]{1,10}$/.test(value) && (option === "seed" || Number(value) > 0)) continue;
  const from = option === "seed" ? "" : " from 1";
  console.error(`--${option} must be a whole number${from}, not ${JSON.stringify(value)}.`);
  process.exit(2);
}
const names: readonly string[] = FUZZ_NAMES;
const wrong = positionals.find((target) => !names.includes(target));
if (wrong !== undefined) {
  console.error(`There is no target ${JSON.stringify(wrong)}. Targets: ${names.join(", ")}.`);
  process.exit(2);
}
console.log(`Seed ${seed}`);

const pattern = `^fuzz (${(positionals.length === 0 ? names : positionals).join("|")})$`;
const { status } = spawnSync("vitest", ["run", "--project", "system", "tests/fuzz", "-t", pattern], {
  stdio: "inherit",
  env: {
    ...process.env,
    FUZZ_SEED: seed,
    ...(values.inputs === undefined ? { FUZZ_SECONDS: values.seconds } : { FUZZ_INPUTS: values.inputs }),
  },
});
process.exitCode = status ?? 1;
