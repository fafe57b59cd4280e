/** Rows that measure the steps per second of a constant number of runs. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Baseline } from "../baseline.ts";
import type { ManyRunsArgument, ManyRunsReply } from "../programs/many-runs.ts";
import type { Measured, Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import { STEPS_PER_RUN, type WorkflowName } from "../workflows.ts";
import type { World } from "../world.ts";

export function manyRuns(
  row: Pick<Scenario, "name" | "budget" | "isMet"> & { workflow: WorkflowName; runs: number; needsWorker: boolean },
): Scenario {
  const { name, budget, isMet } = row;
  return {
    name,
    latencyOf: "a run of ten steps",
    budget,
    isMet,
    baselineConnections: 8,
    measure: (world, baseline) => measure(world, baseline, row),
  };
}

async function measure(
  world: World,
  baseline: Baseline | undefined,
  { name, workflow, runs, needsWorker }: { name: string; workflow: WorkflowName; runs: number; needsWorker: boolean },
): Promise<Measured> {
  const { extent, postgres } = world;
  return await withSite(world, name, async (site) => {
    const worker = needsWorker ? await site.startWorker() : undefined;
    const argument: ManyRunsArgument = { url: site.server.url, workflow, runs };
    const load = await site.startLoad("many-runs", argument);
    await postgres.checkpoint();
    await load.ask("start");
    await sleep(extent.warmUpMs);
    await load.ask("begin");
    const costOf = await site.watchCost({ load: load.pid, ...(worker === undefined ? {} : { worker: worker.pid }) });
    await sleep(extent.measureMs);
    const reply = await load.ask<ManyRunsReply>("end");
    const steps = reply.runs * STEPS_PER_RUN;
    const cost = await costOf(steps);
    // A run that does not complete fails the benchmark.
    await load.ask("drain");
    await worker?.ask("drain");
    const perSecond = steps / reply.seconds;
    return {
      perSecond,
      ratio: baseline === undefined ? null : perSecond / baseline.perSecond,
      p50Ms: reply.p50Ms,
      p99Ms: reply.p99Ms,
      cost,
      details: {},
    };
  });
}
