/** Measures all contenders in turn, in rounds, and returns the median of each number. */
import { measureBaseline } from "../baseline.ts";
import { median } from "../statistics.ts";
import type { World } from "../world.ts";
import type { Contender } from "./contenders.ts";
import { medianOf, type Measured } from "./measurement.ts";

/** How many runs are in progress at a time. */
export const RUNS_AT_A_TIME = [1, 50, 200] as const;

export type Row = { contender: Contender; runs: number; median: Measured };

export type Comparison = {
  /** By contender, then by runs at a time. */
  rows: Row[];
  /** The machine's own rate of one-row transactions over 8 connections, measured at the beginning of each round. */
  baselineCommitsPerSecond: number;
};

/** The connections of the baseline, as in the main benchmark. */
const BASELINE_CONNECTIONS = 8;

export async function compareAll(
  world: World,
  contenders: readonly Contender[],
  onProgress: (text: string) => void,
): Promise<Comparison> {
  const { rounds: roundCount } = world.extent;
  const baselines: number[] = [];
  const cells = contenders.flatMap((contender) =>
    RUNS_AT_A_TIME.map((runs) => ({ contender, runs, rounds: new Array<Measured>() })),
  );
  // Contenders that are compared are measured right after each other, since the machine's state changes over time.
  const inTurn = cells.toSorted((one, other) => one.runs - other.runs);
  for (let round = 1; round <= roundCount; round++) {
    onProgress(`round ${round} of ${roundCount}: baseline`);
    baselines.push((await measureBaseline(world, BASELINE_CONNECTIONS)).perSecond);
    for (const [index, { contender, runs, rounds }] of inTurn.entries()) {
      onProgress(`round ${round} of ${roundCount}: ${contender.title}, ${runs} at a time`);
      rounds.push(await contender.measure(world, `compare-${round}-${index + 1}-${contender.system}`, runs));
    }
  }
  return {
    rows: cells.map(({ contender, runs, rounds }) => ({ contender, runs, median: medianOf(rounds) })),
    baselineCommitsPerSecond: median(baselines),
  };
}
