/** A worker with jobs is lost: measures when another worker has the jobs. */
import { machineMs } from "../clock.ts";
import { connect, register } from "../connection.ts";
import type { ProgramProcess } from "../program-process.ts";
import type { Sighting } from "../programs/worker.ts";
import type { Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import { median } from "../statistics.ts";
import { createWorkflows } from "../workflows.ts";

const JOBS = 20;

/** @param leave how the worker leaves; it is not restarted */
function workerLoss(name: string, budgetMs: number, leave: (worker: ProgramProcess) => Promise<void> | void): Scenario {
  return {
    name,
    latencyOf: "the worker's going to each of its jobs' being with another (p99: the last job)",
    budget: `<= ${budgetMs / 1_000} s`,
    isMet: ({ p99Ms }) => p99Ms !== null && p99Ms <= budgetMs,
    baselineConnections: 0,
    measure: (world) =>
      withSite(world, name, async (site) => {
        const lost = await site.startWorker("lost-worker");
        const connection = connect(site.server.url);
        const { workflowId, version } = await register(connection, createWorkflows().held);
        const requests = Array.from({ length: JOBS }, (_, index) => ({
          runId: `run-${index + 1}`,
          workflowId,
          version,
        }));
        await connection.runtime.startRuns({ requests });
        await lost.ask("sightings", { count: JOBS });
        // It starts when there are no free jobs, so that the leaving worker has all of them.
        const other = await site.startWorker("other-worker");
        const leftMs = machineMs();
        await leave(lost);
        const sightings = await other.ask<Sighting[]>("sightings", { count: JOBS });
        connection.close();
        lost.signal("SIGKILL");
        other.signal("SIGKILL");
        const tookMs = sightings.map(({ atMs }) => atMs - leftMs);
        return {
          perSecond: null,
          ratio: null,
          p50Ms: median(tookMs),
          p99Ms: Math.max(...tookMs),
          cost: null,
          details: { jobs: JOBS },
        };
      }),
  };
}

/** It is suspended, and its connection stays open. */
export const workerSilent = workerLoss("worker-silent", 35_000, (worker) => worker.signal("SIGSTOP"));
/** Its process is killed, which closes its connection. */
export const workerClosed = workerLoss("worker-closed", 7_000, (worker) => worker.signal("SIGKILL"));
/** It says goodbye, with its jobs unfinished. */
export const workerGoodbye = workerLoss("worker-goodbye", 1_000, (worker) => worker.ask("goodbye"));
