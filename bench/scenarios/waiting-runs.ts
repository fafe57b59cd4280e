/** Runs that wait for a person: measures the server's memory for them, and the server's statements to the database. */
import { setTimeout as sleep } from "node:timers/promises";
import { readMemory } from "../inspector.ts";
import type { WaitingRunsArgument } from "../programs/waiting-runs.ts";
import type { Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";

const NAME = "waiting-runs";
/** Less than an entry of the smallest table would take, but more than the heap varies between two measurements. */
const HEAP_BYTES_PER_RUN_MAX = 64;
const STATEMENTS_PER_SECOND_MAX = 1;
/** Caches and compiled code grow with the first runs, not with their number. */
const WARM_UP_SHARE = 0.2;
/** Time for the server to finish its work after the last start. */
const SETTLE_MS = 3_000;

export const waitingRuns: Scenario = {
  name: NAME,
  latencyOf: "",
  budget: `no memory per run (heap < ${HEAP_BYTES_PER_RUN_MAX} B), <= ${STATEMENTS_PER_SECOND_MAX} statement/s when idle`,
  isMet: ({ perSecond, details }) =>
    perSecond !== null &&
    perSecond <= STATEMENTS_PER_SECOND_MAX &&
    (details["heapBytesPerRun"] ?? Infinity) < HEAP_BYTES_PER_RUN_MAX,
  baselineConnections: 0,
  measure: (world) =>
    withSite(
      world,
      NAME,
      async ({ server, startLoad, watchCost }) => {
        const { waitingRuns: total, idleMs } = world.extent;
        const first = Math.ceil(total * WARM_UP_SHARE);
        const argument: WaitingRunsArgument = { url: server.url };
        const load = await startLoad("waiting-runs", argument);
        await load.ask("fill", { count: first });
        await sleep(SETTLE_MS);
        const before = await readMemory(server.inspectorUrl());
        const costOf = await watchCost({ load: load.pid });
        const startedAt = performance.now();
        await load.ask("fill", { count: total - first });
        const fillSeconds = (performance.now() - startedAt) / 1_000;
        // Per start.
        const cost = await costOf(total - first);
        await load.stop();
        await sleep(SETTLE_MS);
        const after = await readMemory(server.inspectorUrl());
        const statements = await world.postgres.statementsDuring(() => sleep(idleMs));
        const perRun = (bytes: number): number => bytes / (total - first);
        return {
          perSecond: (statements.length / idleMs) * 1_000,
          ratio: null,
          p50Ms: null,
          p99Ms: null,
          cost,
          details: {
            runs: total,
            heapBytesPerRun: perRun(after.heapBytes - before.heapBytes),
            residentBytesPerRun: perRun(after.residentBytes - before.residentBytes),
            residentMiB: after.residentBytes / 1024 / 1024,
            startsPerSecond: (total - first) / fillSeconds,
          },
        };
      },
      { isInspected: true },
    ),
};
