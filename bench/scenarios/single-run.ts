/** One run of ten handlers alone, each step committed, against ten single commits one after the other. */
import type { OneRunArgument, OneRunReply } from "../programs/one-run.ts";
import type { Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import { median, percentile } from "../statistics.ts";
import { STEPS_PER_RUN } from "../workflows.ts";

const NAME = "single-run";
const RATIO_MAX = 1.5;

export const singleRun: Scenario = {
  name: NAME,
  latencyOf: "a run of ten steps",
  budget: `<= ${RATIO_MAX} x ten single commits`,
  isMet: ({ ratio }) => ratio !== null && ratio <= RATIO_MAX,
  baselineConnections: 1,
  measure: (world, baseline) =>
    withSite(world, NAME, async (site) => {
      const { warmUpMs, measureMs } = world.extent;
      const worker = await site.startWorker();
      const argument: OneRunArgument = { url: site.server.url, workflow: "handlers" };
      const load = await site.startLoad("one-run", argument);
      await world.postgres.checkpoint();
      await load.ask("runFor", { ms: warmUpMs });
      const costOf = await site.watchCost({ load: load.pid, worker: worker.pid });
      const { latencies } = await load.ask<OneRunReply>("runFor", { ms: measureMs });
      const cost = await costOf(latencies.length * STEPS_PER_RUN);
      const meanMs = latencies.reduce((total, ms) => total + ms, 0) / latencies.length;
      const p50Ms = median(latencies);
      return {
        perSecond: (STEPS_PER_RUN / meanMs) * 1_000,
        ratio: baseline === undefined ? null : p50Ms / (STEPS_PER_RUN * baseline.p50Ms),
        p50Ms,
        p99Ms: percentile(latencies, 0.99),
        cost,
        details: baseline === undefined ? {} : { singleCommitMs: baseline.p50Ms },
      };
    }),
};
