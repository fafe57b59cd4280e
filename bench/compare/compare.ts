/** Measures all contenders in turn, in rounds, and returns the median of each number. */
import { measureBaseline } from "../baseline.ts";
import { NotDurableError } from "../postgres.ts";
import { median } from "../statistics.ts";
import type { World } from "../world.ts";
import type { Contender } from "./contenders.ts";
import { medianOf, type Measured } from "./measurement.ts";

/** How many runs are in progress at a time. */
export const RUNS_AT_A_TIME = [1, 50, 200] as const;

/** A row without a median has the reason: a busy machine may not finish a single run in a short round. */
export type Row = { contender: Contender; runs: number } & (
  | { median: Measured; trouble?: undefined }
  | { median?: undefined; trouble: string }
);

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
  baselineOf: (world: World) => Promise<number> = async (world) =>
    (await measureBaseline(world, BASELINE_CONNECTIONS)).perSecond,
): Promise<Comparison> {
  const { rounds: roundCount } = world.extent;
  const baselines: number[] = [];
  const cells = contenders.flatMap((contender) =>
    RUNS_AT_A_TIME.map((runs) => ({ contender, runs, rounds: new Array<Measured>(), trouble: "" })),
  );
  // Contenders that are compared are measured right after each other, since the machine's state changes over time.
  const inTurn = cells.toSorted((one, other) => one.runs - other.runs);
  for (let round = 1; round <= roundCount; round++) {
    onProgress(`round ${round} of ${roundCount}: baseline`);
    baselines.push(await baselineOf(world));
    for (const [index, cell] of inTurn.entries()) {
      const { contender, runs, rounds } = cell;
      onProgress(`round ${round} of ${roundCount}: ${contender.title}, ${runs} at a time`);
      try {
        rounds.push(await contender.measure(world, `compare-${round}-${index + 1}-${contender.system}`, runs));
      } catch (error) {
        // A Postgres that is not durable makes all numbers worthless.
        if (error instanceof NotDurableError) throw error;
        cell.trouble = messageOf(error);
        onProgress(`not measured: ${cell.trouble}`);
      }
    }
  }
  return {
    rows: cells.map(({ contender, runs, rounds, trouble }) =>
      rounds.length === 0 ? { contender, runs, trouble } : { contender, runs, median: medianOf(rounds) },
    ),
    baselineCommitsPerSecond: median(baselines),
  };
}

/** The first line of what was thrown. */
function messageOf(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return line;
}
