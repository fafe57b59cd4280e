/**
 * Many lives, each from a seed. A life that fails prints its seed; `npm run sim -- --seed 7` replays it, and `--runs
 * 1000` runs more lives. (It sets SIMULATION_SEED, the first seed, and SIMULATION_SEEDS, how many.)
 */
import { expect, test } from "vitest";
import { simulate } from "./simulation.ts";

/** As many as CI has time for. */
const SEEDS_DEFAULT = 14;
const FIRST_SEED = 1;
/** The limit for one life, in real time. A second is usual; on a machine whose cores are all taken, many. */
const LIFE_MS = 300_000;

const given = process.env["SIMULATION_SEED"];
const first = Number(given ?? FIRST_SEED);
const count = Number(process.env["SIMULATION_SEEDS"] ?? (given === undefined ? SEEDS_DEFAULT : 1));
const seeds = Array.from({ length: count }, (_, index) => first + index);

test.each(seeds)(
  "seed %i: what was acknowledged is there, and everything comes to its end",
  async (seed) => {
    const outcome = await simulate(seed);
    const story = given === undefined ? [] : outcome.history;
    expect({ seed, problems: outcome.problems, story: outcome.problems.length === 0 ? [] : story }).toEqual({
      seed,
      problems: [],
      story: [],
    });
    expect(outcome.records).toBeGreaterThan(outcome.runs);
    expect(outcome.acknowledged).toBeGreaterThan(0);
  },
  LIFE_MS,
);

test(
  "a seed gives the same life again",
  async () => {
    const [first, second] = [await simulate(7), await simulate(7)];
    expect(second.history).toEqual(first.history);
    expect(first.history.length).toBeGreaterThan(100);
  },
  2 * LIFE_MS,
);
