/**
 * Two loads that should cost the same: a light one, and a heavy one with more data. They are measured alternately in
 * short slices, so that both see the machine and its database in the same state.
 */
import type { Cost, Role } from "./cost.ts";
import type { Measured } from "./scenario.ts";
import { median, percentile } from "./statistics.ts";
import { type Table, tableOf } from "./table.ts";

export type Slice = { steps: number; seconds: number; latencies: readonly number[]; cost: Cost };

export type Side = { name: string; measureSlice: () => Promise<Slice> };

/** How much more a step costs on the heavy side: 1 is the same, 2 is twice as much. */
export type Ratios = { time: number; cpu: number; wal: number };

/** The load generator's CPU time does not count. */
const COUNTED_ROLES: readonly Role[] = ["server", "worker", "postgres"];

/** Measures slices alternately, with the order of the sides swapped each time, and compares them. */
export async function compareSides(sides: { light: Side; heavy: Side; slices: number }): Promise<Measured> {
  const { light, heavy } = sides;
  const measured = { light: [] as Slice[], heavy: [] as Slice[] };
  for (let slice = 0; slice < sides.slices; slice++) {
    const order = slice % 2 === 0 ? (["light", "heavy"] as const) : (["heavy", "light"] as const);
    for (const side of order) measured[side].push(await sides[side].measureSlice());
  }
  const totals = { light: sumOf(measured.light), heavy: sumOf(measured.heavy) };
  const ratios = ratiosOf(measured);
  return {
    perSecond: totals.heavy.perSecond,
    ratio: ratios.time,
    p50Ms: totals.heavy.p50Ms,
    p99Ms: totals.heavy.p99Ms,
    cost: totals.heavy.cost,
    details: {
      slices: sides.slices,
      lightPerSecond: totals.light.perSecond,
      lightP50Ms: totals.light.p50Ms,
      lightP99Ms: totals.light.p99Ms,
      cpuRatio: ratios.cpu,
      walRatio: ratios.wal,
    },
    tables: [
      sidesTable([
        { name: light.name, ...totals.light },
        { name: heavy.name, ...totals.heavy },
      ]),
    ],
  };
}

/** Whether no cost of a step is more than `max` times its cost on the light side. */
export function isFlat({ ratio, details }: Measured, max: number): boolean {
  return [ratio, details["cpuRatio"], details["walRatio"]].every((value) => (value ?? Infinity) <= max);
}

/** The time is of the median pair of slices, which a checkpoint in one slice does not move; CPU and WAL are of all. */
export function ratiosOf(measured: { light: readonly Slice[]; heavy: readonly Slice[] }): Ratios {
  const secondsPerStep = ({ seconds, steps }: Slice): number => seconds / steps;
  const pairs = measured.light.map((light, index) => secondsPerStep(measured.heavy[index]!) / secondsPerStep(light));
  const { light, heavy } = { light: sumOf(measured.light), heavy: sumOf(measured.heavy) };
  return {
    time: median(pairs),
    cpu: cpuOf(heavy.cost) / cpuOf(light.cost),
    wal: heavy.cost.walBytesPerStep / light.cost.walBytesPerStep,
  };
}

/** CPU time of a step, in microseconds. */
export function cpuOf({ cpuUsPerStep }: Cost): number {
  return COUNTED_ROLES.reduce((sum, role) => sum + (cpuUsPerStep[role] ?? 0), 0);
}

type SideTotal = { perSecond: number; p50Ms: number; p99Ms: number; cost: Cost };

function sumOf(slices: readonly Slice[]): SideTotal {
  const steps = slices.reduce((sum, slice) => sum + slice.steps, 0);
  const seconds = slices.reduce((sum, slice) => sum + slice.seconds, 0);
  const latencies = slices.flatMap((slice) => slice.latencies);
  const perStep = (pick: (cost: Cost) => number): number =>
    slices.reduce((sum, slice) => sum + pick(slice.cost) * slice.steps, 0) / steps;
  const roles = Object.keys(slices[0]?.cost.cpuUsPerStep ?? {}) as Role[];
  return {
    perSecond: steps / seconds,
    p50Ms: median(latencies),
    p99Ms: percentile(latencies, 0.99),
    cost: {
      commitsPerStep: perStep((cost) => cost.commitsPerStep),
      transactionsPerStep: perStep((cost) => cost.transactionsPerStep),
      walBytesPerStep: perStep((cost) => cost.walBytesPerStep),
      cpuUsPerStep: Object.fromEntries(
        roles.map((role) => [role, perStep(({ cpuUsPerStep }) => cpuUsPerStep[role] ?? 0)]),
      ),
    },
  };
}

function sidesTable(sides: readonly (SideTotal & { name: string })[]): Table {
  return tableOf(
    sides.map(({ name, perSecond, p50Ms, p99Ms, cost }) => ({
      side: name,
      "steps/s": perSecond,
      "p50 ms": p50Ms,
      "p99 ms": p99Ms,
      commits: cost.commitsPerStep,
      "WAL B": cost.walBytesPerStep,
      "CPU us": cpuOf(cost),
      server: cost.cpuUsPerStep.server ?? null,
      worker: cost.cpuUsPerStep.worker ?? null,
      postgres: cost.cpuUsPerStep.postgres ?? null,
    })),
  );
}
