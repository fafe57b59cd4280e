/** What a row of the benchmark is: how it is measured once, and what its budget is. */
import type { Baseline } from "./baseline.ts";
import type { Cost } from "./cost.ts";
import type { Table } from "./table.ts";
import type { World } from "./world.ts";

/** One round of a scenario. What does not apply to it is null. */
export type Measured = {
  /** Steps per second; what a step is stands in README.md. */
  perSecond: number | null;
  /** Against the baseline of the same round; of what, the budget says. */
  ratio: number | null;
  p50Ms: number | null;
  p99Ms: number | null;
  cost: Cost | null;
  /** What else was measured, by name and unit. */
  details: Readonly<Record<string, number>>;
  /** What is worth a table of its own; of several rounds the last one's are shown. */
  tables?: readonly Table[];
};

export type Scenario = {
  name: string;
  /** What one measurement of `p50Ms` and `p99Ms` spans. */
  latencyOf: string;
  budget: string;
  isMet(median: Measured, baselinePerSecond: number | undefined): boolean;
  /** Over how many connections its baseline is taken, right before it in each round; 0: it is compared with none. */
  baselineConnections: number;
  /** It compares within one round, or takes long: one round is enough. Default: false. */
  isMeasuredOnce?: boolean;
  measure(world: World, baseline: Baseline | undefined): Promise<Measured>;
};
