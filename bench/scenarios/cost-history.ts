/** Handler steps in a database with many past runs, against a database without past runs. */
import { setTimeout as sleep } from "node:timers/promises";
import { compareSides, isFlat, type Slice } from "../compared.ts";
import { copyRun } from "../history.ts";
import type { ProgramProcess } from "../program-process.ts";
import type { ManyRunsArgument, ManyRunsSample } from "../programs/many-runs.ts";
import type { Scenario } from "../scenario.ts";
import { type Site, withSite } from "../site.ts";
import { STEPS_PER_RUN } from "../workflows.ts";
import type { World } from "../world.ts";

const NAME = "cost-history";
const RATIO_MAX = 1.15;
const RUNS = 200;
/** Long enough that the runs in progress are spread evenly over their steps. */
const SLICE_WARM_UP_MS = 1_000;
const WARM_UP_SLICES = 2;

export const costHistory: Scenario = {
  name: NAME,
  latencyOf: "a run of ten steps, with the past",
  budget: `time, CPU and WAL of a step <= ${RATIO_MAX} x those without past runs`,
  isMet: (measured) => isFlat(measured, RATIO_MAX),
  baselineConnections: 0,
  isMeasuredOnce: true,
  measure: (world) =>
    withSite(world, `${NAME}-none`, (empty) => withSite(world, `${NAME}-past`, (full) => measure(world, empty, full))),
};

async function measure(world: World, empty: Site, full: Site) {
  const { pastRuns, historySlices: slices } = world.extent;
  const light = await startLoad(world, empty);
  const heavy = await startLoad(world, full);
  // Both sides begin with what these runs leave.
  for (let slice = 0; slice < WARM_UP_SLICES; slice++) for (const side of [light, heavy]) await side.measureSlice();
  const beganAt = performance.now();
  const recordsPerRun = await copyRun(full.database, "run-1", pastRuns);
  const buildSeconds = (performance.now() - beganAt) / 1_000;
  await empty.database.vacuum();
  await world.postgres.checkpoint();
  // This brings the tables into their lasting state.
  for (const side of [light, heavy]) await side.measureSlice();
  const measured = await compareSides({
    light: { name: "no past runs", ...light },
    heavy: { name: `${pastRuns} past runs`, ...heavy },
    slices,
  });
  const mebibytes = await full.database.withSql(async (sql) => {
    const [row] = await sql<[{ size: string }]>`select pg_database_size(current_database()) as size`;
    return Number(row.size) / 1024 ** 2;
  });
  return {
    ...measured,
    details: { ...measured.details, runs: RUNS, pastRuns, recordsPerRun, buildSeconds, databaseMiB: mebibytes },
  };
}

async function startLoad(world: World, site: Site): Promise<{ measureSlice: () => Promise<Slice> }> {
  const worker = await site.startWorker();
  const argument: ManyRunsArgument = { url: site.server.url, workflow: "handlers", runs: RUNS };
  const load = await site.startLoad("many-runs", argument);
  return { measureSlice: () => measureSlice(world, site, { worker, load }) };
}

async function measureSlice(
  world: World,
  site: Site,
  { worker, load }: { worker: ProgramProcess; load: ProgramProcess },
): Promise<Slice> {
  await load.ask("start");
  await sleep(SLICE_WARM_UP_MS);
  await load.ask("begin");
  const costOf = await site.watchCost({ load: load.pid, worker: worker.pid });
  await sleep(world.extent.historySliceMs);
  const { latencies, seconds } = await load.ask<ManyRunsSample>("sample");
  const steps = latencies.length * STEPS_PER_RUN;
  const cost = await costOf(steps);
  await load.ask("drain");
  return { steps, seconds, latencies, cost };
}
