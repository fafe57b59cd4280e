/** One measurement of one row, the same for all contenders, and the median of several. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Cost, type Role, watchCost } from "../cost.ts";
import type { ProgramProcess } from "../program-process.ts";
import { median } from "../statistics.ts";
import type { World } from "../world.ts";
import { STEPS_PER_RUN } from "./ten-steps.ts";

/** What a load generator reports at the end. Latencies are of whole runs, from requesting the start to the result. */
export type LoadReply = { runs: number; seconds: number; p50Ms: number; p99Ms: number };

export type Measured = {
  stepsPerSecond: number;
  /** Of whole runs. */
  p50Ms: number;
  p99Ms: number;
  /** Commits and WAL are those of Postgres. */
  cost: Cost;
};

/** Warms up, measures, and waits until every run has ended.
 *  @param options.database the database whose transactions are counted
 *  @param options.pids the processes whose CPU time is measured */
export async function measureLoad(
  { extent, postgres }: World,
  options: {
    load: ProgramProcess;
    database: string;
    pids: Partial<Record<Exclude<Role, "postgres">, number>>;
  },
): Promise<Measured> {
  const { load, database, pids } = options;
  await postgres.checkpoint();
  await load.ask("start", { spreadMs: extent.warmUpMs / 2 });
  await sleep(extent.warmUpMs);
  await load.ask("begin");
  const costOf = await watchCost({ postgres, database, pids });
  await sleep(extent.measureMs);
  const { runs, seconds, p50Ms, p99Ms } = await load.ask<LoadReply>("end");
  const steps = runs * STEPS_PER_RUN;
  const cost = await costOf(steps);
  // A run with a wrong result fails the comparison.
  await load.ask("drain");
  return { stepsPerSecond: steps / seconds, p50Ms, p99Ms, cost };
}

/** The median of each number by itself. */
export function medianOf(rounds: readonly Measured[]): Measured {
  const of = (pick: (one: Measured) => number): number => median(rounds.map(pick));
  const cpuUsPerStep: Cost["cpuUsPerStep"] = {};
  for (const role of ["server", "worker", "load", "postgres"] as const) {
    const values = rounds.flatMap(({ cost }) => cost.cpuUsPerStep[role] ?? []);
    if (values.length > 0) cpuUsPerStep[role] = median(values);
  }
  return {
    stepsPerSecond: of((one) => one.stepsPerSecond),
    p50Ms: of((one) => one.p50Ms),
    p99Ms: of((one) => one.p99Ms),
    cost: {
      commitsPerStep: of(({ cost }) => cost.commitsPerStep),
      transactionsPerStep: of(({ cost }) => cost.transactionsPerStep),
      walBytesPerStep: of(({ cost }) => cost.walBytesPerStep),
      cpuUsPerStep,
    },
  };
}
