/** A row of the benchmark: how it is measured once, and its budget. */
import type { Baseline } from "./baseline.ts";
import type { Cost } from "./cost.ts";
import type { Table } from "./table.ts";
import type { World } from "./world.ts";

/** One round of a scenario. Numbers that do not apply to it are null. */
export type Measured = {
  /** Steps per second; README.md defines a step. */
  perSecond: number | null;
  /** The ratio to the baseline of the same round; the budget says of what. */
  ratio: number | null;
  p50Ms: number | null;
  p99Ms: number | null;
  cost: Cost | null;
  /** Other numbers, by name and unit. */
  details: Readonly<Record<string, number>>;
  /** Its own tables; of several rounds, the last one's are shown. */
  tables?: readonly Table[];
};

export type Scenario = {
  name: string;
  /** What `p50Ms` and `p99Ms` measure. */
  latencyOf: string;
  budget: string;
  isMet(median: Measured, baselinePerSecond: number | undefined): boolean;
  /** The number of connections of its baseline, measured right before it in each round; 0 if it has no baseline. */
  baselineConnections: number;
  /** Whether one round is enough, because it compares within the round or takes long. Default: false. */
  isMeasuredOnce?: boolean;
  measure(world: World, baseline: Baseline | undefined): Promise<Measured>;
};
