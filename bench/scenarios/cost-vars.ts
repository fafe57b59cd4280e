/** Steps of runs with large vars that they do not touch, against steps of runs with small vars. */
import { compareSides, isFlat } from "../compared.ts";
import { documentsOf } from "../documents.ts";
import type { Measured, Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import type { World } from "../world.ts";
import { type LoopingWorkflow, withLoopingRuns } from "./looping-runs.ts";

const NAME = "cost-vars";
const RATIO_MAX = 3;
const RUNS = 8;
const LIGHT_BYTES = 1_000;
/** Vars may take 1 MiB, including the number next to the documents. */
const HEAVY_BYTES = 1_000_000;

type Kind = {
  name: string;
  workflow: LoopingWorkflow;
  /** Turns of each run in a slice: enough for the clock of CPU times, which counts hundredths of a second. */
  turns: number;
};

const HANDLER: Kind = { name: "handler", workflow: "looping", turns: 250 };
/** The step changes no vars at all: they are read for the handler, but not written. */
const IDLE_HANDLER: Kind = { name: "idle-handler", workflow: "loopingIdly", turns: 250 };
/** No worker receives the vars. */
const GRAPH: Kind = { name: "graph", workflow: "loopingByGraph", turns: 40 };

export const costVars: Scenario = {
  name: NAME,
  latencyOf: "a handler's result to the run's next handler at the worker, with large vars",
  budget: `time, CPU and WAL of a step <= ${RATIO_MAX} x those with small vars`,
  isMet: (measured) => isFlat(measured, RATIO_MAX),
  baselineConnections: 0,
  isMeasuredOnce: true,
  async measure(world) {
    const handler = await measureVars(world, HANDLER);
    const idleHandler = await measureVars(world, IDLE_HANDLER);
    const graph = await measureVars(world, GRAPH);
    return {
      ...handler,
      details: {
        ...handler.details,
        runs: RUNS,
        lightBytes: LIGHT_BYTES,
        heavyBytes: HEAVY_BYTES,
        ...ratiosOf("idle", idleHandler),
        ...ratiosOf("graph", graph),
      },
      tables: [handler, idleHandler, graph].flatMap(({ tables = [] }) => tables),
    };
  },
};

function ratiosOf(prefix: string, { ratio, details }: Measured): Record<string, number> {
  return {
    [`${prefix}Ratio`]: ratio ?? 0,
    [`${prefix}CpuRatio`]: details["cpuRatio"] ?? 0,
    [`${prefix}WalRatio`]: details["walRatio"] ?? 0,
  };
}

async function measureVars(world: World, { name, workflow, turns }: Kind): Promise<Measured> {
  return await withSite(world, `${NAME}-${name}`, (site) =>
    withLoopingRuns(site, workflow, async (loops) => {
      const light = { group: "light", runs: RUNS, documents: documentsOf(LIGHT_BYTES) };
      const heavy = { group: "heavy", runs: RUNS, documents: documentsOf(HEAVY_BYTES) };
      await loops.start(light);
      await loops.start(heavy);
      const measureLight = () => loops.measure({ group: light.group, runs: RUNS, turns });
      const measureHeavy = () => loops.measure({ group: heavy.group, runs: RUNS, turns });
      await measureLight();
      await measureHeavy();
      await world.postgres.checkpoint();
      const measured = await compareSides({
        light: { name: `${name}, ${LIGHT_BYTES} B`, measureSlice: measureLight },
        heavy: { name: `${name}, ${HEAVY_BYTES} B`, measureSlice: measureHeavy },
        slices: world.extent.varsSlices,
      });
      await loops.release(light);
      await loops.release(heavy);
      return measured;
    }),
  );
}
