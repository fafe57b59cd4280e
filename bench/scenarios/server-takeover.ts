/** A server is lost while its runs take steps: measures when each of them continues on another server. */
import { machineMs } from "../clock.ts";
import { connect, register } from "../connection.ts";
import { startProgram } from "../program-process.ts";
import type { Sighting, WorkerArgument } from "../programs/worker.ts";
import type { Scenario } from "../scenario.ts";
import { type ServerProcess, startServer } from "../server-process.ts";
import { type Site, withSite } from "../site.ts";
import { median } from "../statistics.ts";
import { createWorkflows } from "../workflows.ts";
import type { World } from "../world.ts";

const NAME = "server-takeover";
const TAKEOVER_MS_MAX = 15_000;
/** Few runs, each with a step every 50 ms: the machine is idle except for the take-over. */
const RUNS = 20;

export const serverTakeover: Scenario = {
  name: NAME,
  latencyOf: "the server's falling silent to each run's next step elsewhere (p99: the last run)",
  budget: `<= ${TAKEOVER_MS_MAX / 1_000} s`,
  isMet: ({ p99Ms }) => p99Ms !== null && p99Ms <= TAKEOVER_MS_MAX,
  baselineConnections: 0,
  async measure(world) {
    // Servers on one machine see each other's processes end. A suspended server looks like a lost machine: its
    // connections to the database stay open too.
    const silent = await takeOver(world, "SIGSTOP");
    const killed = await takeOver(world, "SIGKILL");
    return {
      perSecond: null,
      ratio: null,
      p50Ms: median(silent),
      p99Ms: Math.max(...silent),
      cost: null,
      details: { runs: RUNS, killedOnTheSameMachineMs: Math.max(...killed) },
    };
  },
};

/** Returns how long each run stood still. */
async function takeOver(world: World, signal: NodeJS.Signals): Promise<number[]> {
  return await withSite(world, NAME, async (site) => {
    const other = await startServer(world, { name: `${NAME}-other-server`, database: site.database });
    try {
      return await moveRuns(world, { site, other, signal });
    } finally {
      // Killed: a server that is told to stop would wait for the runs.
      site.server.signal("SIGKILL");
      await other.stop();
    }
  });
}

async function moveRuns(
  world: World,
  { site, other, signal }: { site: Site; other: ServerProcess; signal: NodeJS.Signals },
): Promise<number[]> {
  // Each server has its own worker, which knows only that server.
  const own = await site.startWorker();
  const argument: WorkerArgument = { url: other.url };
  const otherWorker = await startProgram(world, { name: `${NAME}-other-worker`, program: "worker", argument });
  const connection = connect(site.server.url);
  const { workflowId, version } = await register(connection, createWorkflows().ticking);
  const requests = Array.from({ length: RUNS }, (_, index) => ({ runId: `run-${index + 1}`, workflowId, version }));
  await connection.runtime.startRuns({ requests });
  await own.ask("sightings", { count: RUNS });
  await otherWorker.ask("forget");
  const goneMs = machineMs();
  site.server.signal(signal);
  connection.close();
  const sightings = await otherWorker.ask<Sighting[]>("sightings", { count: RUNS });
  await otherWorker.stop();
  return sightings.map(({ atMs }) => atMs - goneMs);
}
