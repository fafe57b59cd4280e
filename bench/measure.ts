/** Measures scenarios in rounds, each scenario right after its baseline, and returns the median of each number. */
import { type Baseline, measureBaseline } from "./baseline.ts";
import type { Cost } from "./cost.ts";
import type { Measured, Scenario } from "./scenario.ts";
import { NotDurableError } from "./postgres.ts";
import { median } from "./statistics.ts";
import type { World } from "./world.ts";

export type Row = {
  scenario: Scenario;
  median: Measured;
  /** The rate of its own baseline; absent if it has none. */
  baselinePerSecond?: number;
  isMet: boolean;
  /** Why there is no measurement. */
  trouble?: string;
};

export type Results = {
  rows: Row[];
  /** The machine's own rate over 8 connections. */
  baselineCommitsPerSecond: number;
};

/** The connections of the baseline that the budgets of section 9 of the design refer to. */
const BASELINE_CONNECTIONS = 8;

export async function measureAll(
  world: World,
  scenarios: readonly Scenario[],
  onProgress: (text: string) => void,
): Promise<Results> {
  const measured = new Map<Scenario, { rounds: Measured[]; baselines: Baseline[]; trouble?: string }>();
  for (const scenario of scenarios) measured.set(scenario, { rounds: [], baselines: [] });
  const { rounds: roundCount } = world.extent;
  for (let round = 1; round <= roundCount; round++) {
    for (const [scenario, one] of measured) {
      const { rounds, baselines } = one;
      const { name, baselineConnections, isMeasuredOnce = false } = scenario;
      if (isMeasuredOnce && round > 1) continue;
      onProgress(`round ${round} of ${isMeasuredOnce ? 1 : roundCount}: ${name}`);
      const baseline = baselineConnections === 0 ? undefined : await measureBaseline(world, baselineConnections);
      if (baseline !== undefined) baselines.push(baseline);
      try {
        rounds.push(await scenario.measure(world, baseline));
      } catch (error) {
        // A Postgres that is not durable makes all numbers worthless.
        if (error instanceof NotDurableError) throw error;
        one.trouble = error instanceof Error ? error.message : String(error);
        onProgress(`${name} was not measured: ${one.trouble}`);
      }
    }
  }
  const rows = [...measured].map(([scenario, { rounds, baselines, trouble = "nothing was measured" }]): Row => {
    const middle = medianOf(rounds);
    const baselinePerSecond = baselines.length === 0 ? undefined : median(baselines.map(({ perSecond }) => perSecond));
    return {
      scenario,
      median: middle,
      ...(baselinePerSecond === undefined ? {} : { baselinePerSecond }),
      ...(rounds.length === 0 ? { isMet: false, trouble } : { isMet: scenario.isMet(middle, baselinePerSecond) }),
    };
  });
  return {
    rows,
    baselineCommitsPerSecond: await baselineOf(
      world,
      [...measured.values()].flatMap((one) => one.baselines),
    ),
  };
}

/** The median of all baselines over 8 connections; one is measured if no scenario needed it. */
async function baselineOf(world: World, baselines: readonly Baseline[]): Promise<number> {
  const matching = baselines.filter(({ connections }) => connections === BASELINE_CONNECTIONS);
  if (matching.length === 0) matching.push(await measureBaseline(world, BASELINE_CONNECTIONS));
  return median(matching.map(({ perSecond }) => perSecond));
}

/** The median of each number by itself. */
function medianOf(rounds: readonly Measured[]): Measured {
  const of = (pick: (one: Measured) => number | null): number | null => {
    const values = rounds.flatMap((one) => pick(one) ?? []);
    return values.length === 0 ? null : median(values);
  };
  const names = Object.keys(rounds[0]?.details ?? {});
  const tables = rounds.at(-1)?.tables;
  return {
    perSecond: of((one) => one.perSecond),
    ratio: of((one) => one.ratio),
    p50Ms: of((one) => one.p50Ms),
    p99Ms: of((one) => one.p99Ms),
    cost: costOf(rounds.flatMap(({ cost }) => cost ?? [])),
    details: Object.fromEntries(names.map((name) => [name, of((one) => one.details[name] ?? null) ?? 0])),
    ...(tables === undefined ? {} : { tables }),
  };
}

function costOf(costs: readonly Cost[]): Cost | null {
  if (costs.length === 0) return null;
  const of = (pick: (one: Cost) => number): number => median(costs.map(pick));
  const cpuUsPerStep: Cost["cpuUsPerStep"] = {};
  for (const role of ["server", "worker", "load", "postgres"] as const) {
    const values = costs.flatMap((one) => one.cpuUsPerStep[role] ?? []);
    if (values.length > 0) cpuUsPerStep[role] = median(values);
  }
  return {
    commitsPerStep: of((one) => one.commitsPerStep),
    transactionsPerStep: of((one) => one.transactionsPerStep),
    walBytesPerStep: of((one) => one.walBytesPerStep),
    cpuUsPerStep,
  };
}
