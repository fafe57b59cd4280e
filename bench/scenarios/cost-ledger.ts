/** Steps of runs with many records in their ledgers, against steps of runs that have just begun. */
import { compareSides, isFlat } from "../compared.ts";
import type { Scenario } from "../scenario.ts";
import { withSite } from "../site.ts";
import { withLoopingRuns } from "./looping-runs.ts";

const NAME = "cost-ledger";
const RATIO_MAX = 1.1;
/** Runs at a time, and in a slice. */
const RUNS = 50;
/** Records of a run before it is measured, including run.started. The default of max_steps is 100,000. */
const SHORT_RECORDS = 10;
/** Turns of each run in a slice: few, so that the short ledgers stay short. */
const STEPS_PER_SLICE = 20;

export const costLedger: Scenario = {
  name: NAME,
  latencyOf: "a handler's result to the run's next handler at the worker, of the long ledgers",
  budget: `time, CPU and WAL of a step <= ${RATIO_MAX} x those of short ledgers`,
  isMet: (measured) => isFlat(measured, RATIO_MAX),
  baselineConnections: 0,
  isMeasuredOnce: true,
  measure: (world) =>
    withSite(world, NAME, (site) =>
      withLoopingRuns(site, "looping", async (loops) => {
        const { ledgerRecords, ledgerSlices: slices } = world.extent;
        const long = { group: "long", runs: RUNS };
        await loops.start(long);
        await loops.advance({ ...long, turns: ledgerRecords - 1 });
        await site.database.vacuum();
        await world.postgres.checkpoint();
        let lastGroup = 0;
        const measureShort = async () => {
          lastGroup += 1;
          const short = { group: `short-${lastGroup}`, runs: RUNS };
          await loops.start(short);
          await loops.advance({ ...short, turns: SHORT_RECORDS - 1 });
          const slice = await loops.measure({ ...short, turns: STEPS_PER_SLICE });
          await loops.release(short);
          return slice;
        };
        const measureLong = () => loops.measure({ ...long, turns: STEPS_PER_SLICE });
        // Both sides share compiled code and caches.
        await measureShort();
        await measureLong();
        const measured = await compareSides({
          light: { name: `${SHORT_RECORDS} records`, measureSlice: measureShort },
          heavy: { name: `${ledgerRecords} records`, measureSlice: measureLong },
          slices,
        });
        await loops.release(long);
        return { ...measured, details: { ...measured.details, runs: RUNS, ledgerRecords } };
      }),
    ),
};
