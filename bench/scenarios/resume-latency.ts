/** The time from sending an answer until a worker has the next node, on an idle machine, one answer at a time. */
import type { AnswersArgument, AnswersReply } from "../programs/answers.ts";
import type { Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import { median, percentile } from "../statistics.ts";

const NAME = "resume-latency";
const RATIO_MAX = 3;
/** Warm-up: enough to compile code and fill caches. */
const WARM_UP_ANSWERS = 100;

export const resumeLatency: Scenario = {
  name: NAME,
  latencyOf: "an answer to the next node, a handler, at the worker",
  budget: `p99 <= ${RATIO_MAX} single commits`,
  isMet: ({ ratio }) => ratio !== null && ratio <= RATIO_MAX,
  baselineConnections: 1,
  measure: (world, baseline) =>
    withSite(world, NAME, async (site) => {
      const count = world.extent.answers;
      const worker = await site.startWorker();
      const argument: AnswersArgument = { url: site.server.url };
      const load = await site.startLoad("answers", argument);
      await world.postgres.checkpoint();
      for (const workflow of ["answeredToTool", "answeredToHandler"]) {
        await load.ask("answer", { workflow, count: WARM_UP_ANSWERS });
      }
      const tool = await load.ask<AnswersReply>("answer", { workflow: "answeredToTool", count });
      const costOf = await site.watchCost({ load: load.pid, worker: worker.pid });
      const { latencies } = await load.ask<AnswersReply>("answer", { workflow: "answeredToHandler", count });
      const p99Ms = percentile(latencies, 0.99);
      return {
        perSecond: null,
        ratio: baseline === undefined ? null : p99Ms / baseline.p50Ms,
        p50Ms: median(latencies),
        p99Ms,
        // Per answered run: its start, its answer, its end.
        cost: await costOf(count),
        details: {
          toolP50Ms: median(tool.latencies),
          toolP99Ms: percentile(tool.latencies, 0.99),
          ...(baseline === undefined ? {} : { singleCommitMs: baseline.p50Ms, singleCommitP99Ms: baseline.p99Ms }),
        },
      };
    }),
};
