/** A server starts its existing embedded Postgres and answers its first request. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../connection.ts";
import type { Scenario } from "../scenario.ts";
import { startServer } from "../server-process.ts";
import type { World } from "../world.ts";

const NAME = "server-start";
const START_MS_MAX = 2_000;

export const serverStart: Scenario = {
  name: NAME,
  latencyOf: "the process's start to its first reply",
  budget: `<= ${START_MS_MAX / 1_000} s`,
  isMet: ({ p99Ms }) => p99Ms !== null && p99Ms <= START_MS_MAX,
  baselineConnections: 0,
  async measure(world) {
    const dataDir = join(world.folder, "start-data");
    // The first start creates the database and its tables.
    if (!existsSync(dataDir)) await startOnce(world, dataDir);
    const tookMs = await startOnce(world, dataDir);
    return { perSecond: null, ratio: null, p50Ms: tookMs, p99Ms: tookMs, cost: null, details: {} };
  },
};

async function startOnce(world: World, dataDir: string): Promise<number> {
  const startedAt = performance.now();
  const server = await startServer(world, { name: NAME, database: { dataDir } });
  const connection = connect(server.url);
  try {
    await connection.runtime.listRuns({});
    return performance.now() - startedAt;
  } finally {
    connection.close();
    await server.stop();
  }
}
