/** A constant load below the peak for a long time: nothing may grow except the stored runs. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuOf } from "../compared.ts";
import type { Cost } from "../cost.ts";
import { type Growth, growthOf, type SoakSample } from "../growth.ts";
import { readMemory } from "../inspector.ts";
import type { ProgramProcess } from "../program-process.ts";
import type { ManyRunsArgument, ManyRunsSample } from "../programs/many-runs.ts";
import type { Measured, Scenario } from "../scenario.ts";
import { type Site, withSite } from "../site.ts";
import { median, percentile } from "../statistics.ts";
import { type Table, tableOf } from "../table.ts";
import { readTableSizes } from "../tables.ts";
import { STEPS_PER_RUN } from "../workflows.ts";
import type { World } from "../world.ts";

const NAME = "soak";
const RUNS = 200;
const SHARE_OF_PEAK = 0.7;
/** The parts of the ten minutes that are compared: the third and fourth minute, and the last two. */
const EARLY = { from: 0.2, to: 0.4 };
const LATE = { from: 0.8, to: 1 };
const MEBIBYTE = 1024 ** 2;

export const soak: Scenario = {
  name: NAME,
  latencyOf: `a run of ten steps, at ${SHARE_OF_PEAK} of the peak`,
  budget: "no growth of memory, latency, CPU or tables per run",
  isMet: ({ details }) => details["grown"] === 0,
  baselineConnections: 0,
  isMeasuredOnce: true,
  measure: (world) => withSite(world, NAME, (site) => measure(world, site), { isInspected: true }),
};

async function measure(world: World, site: Site): Promise<Measured> {
  const { soakMs, soakPeakMs, soakSampleMs, soakHeapEvery, warmUpMs } = world.extent;
  const worker = await site.startWorker();
  const argument: ManyRunsArgument = { url: site.server.url, workflow: "handlers", runs: RUNS };
  const load = await site.startLoad("many-runs", argument);
  await world.postgres.checkpoint();
  await load.ask("start");
  await sleep(warmUpMs);
  await load.ask("begin");
  await sleep(soakPeakMs);
  const peak = await load.ask<ManyRunsSample>("sample");
  const peakRunsPerSecond = peak.latencies.length / peak.seconds;
  await load.ask("drain");

  await load.ask("pace", { perSecond: peakRunsPerSecond * SHARE_OF_PEAK });
  const beganAt = performance.now();
  const sampler = createSampler(site, { worker, load, beganAt });
  const costOf = await site.watchCost({ load: load.pid, worker: worker.pid });
  const samples: SoakSample[] = [];
  const latencies: number[][] = [];
  await load.ask("begin");
  while (performance.now() - beganAt < soakMs) {
    const sampled = await sampler({ ms: soakSampleMs, readsHeap: samples.length % soakHeapEvery === 0 });
    samples.push(sampled.sample);
    latencies.push(sampled.latencies);
  }
  const steps = latencies.reduce((sum, some) => sum + some.length, 0) * STEPS_PER_RUN;
  const cost = await costOf(steps);
  const seconds = (performance.now() - beganAt) / 1_000;
  await load.ask("drain");
  const spanOf = ({ from, to }: typeof EARLY) => ({ from: from * seconds, to: to * seconds });
  const growth = growthOf(samples, { early: spanOf(EARLY), late: spanOf(LATE) });
  const all = latencies.flat();
  return {
    perSecond: steps / seconds,
    ratio: steps / seconds / (peakRunsPerSecond * STEPS_PER_RUN),
    p50Ms: median(all),
    p99Ms: percentile(all, 0.99),
    cost,
    details: {
      peakPerSecond: peakRunsPerSecond * STEPS_PER_RUN,
      seconds,
      grown: growth.filter(({ hasGrown }) => hasGrown).length,
      ...Object.fromEntries(growth.map(({ name, early, late }) => [`${name}Growth`, late / early])),
    },
    tables: [growthTable(growth), tableOf(samples)],
  };
}

/** Returns a function that takes one sample: it measures for a while, and then reads the current sizes. */
function createSampler(
  site: Site,
  { worker, load, beganAt }: { worker: ProgramProcess; load: ProgramProcess; beganAt: number },
): (options: { ms: number; readsHeap: boolean }) => Promise<{ sample: SoakSample; latencies: number[] }> {
  return async ({ ms, readsHeap }) => {
    const costOf = await site.watchCost({ worker: worker.pid });
    await sleep(ms);
    const { latencies, seconds, runsInAll } = await load.ask<ManyRunsSample>("sample");
    const cost: Cost = await costOf(latencies.length * STEPS_PER_RUN);
    const tables = await readTableSizes(site.database);
    const serverMiB = residentBytesOf(site.server.pid) / MEBIBYTE;
    // Last, because it stops the server for a moment, which shows in the next sample.
    const memory = readsHeap ? await readMemory(site.server.inspectorUrl()) : undefined;
    return {
      latencies,
      sample: {
        seconds: (performance.now() - beganAt) / 1_000,
        stepsPerSecond: (latencies.length * STEPS_PER_RUN) / seconds,
        p50Ms: median(latencies),
        p99Ms: percentile(latencies, 0.99),
        cpuUs: cpuOf(cost),
        heapMiB: memory === undefined ? null : memory.heapBytes / MEBIBYTE,
        serverMiB,
        workerMiB: residentBytesOf(worker.pid) / MEBIBYTE,
        runs: runsInAll,
        databaseMiB: tables.bytes / MEBIBYTE,
        changingMiB: tables.changingBytes / MEBIBYTE,
        deadShare: tables.deadRows / Math.max(1, tables.liveRows + tables.deadRows),
      },
    };
  };
}

/** The resident memory of a process of this machine, from /proc (Linux only). */
function residentBytesOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

function growthTable(growth: readonly Growth[]): Table {
  return tableOf(
    growth.map(({ name, early, late, perMinute, lateMax, hasGrown }) => ({
      "": name,
      early,
      late,
      "a minute": perMinute,
      "late at most": lateMax,
      grown: hasGrown ? "YES" : "no",
    })),
  );
}
