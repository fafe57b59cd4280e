/** Keeps so many runs going, as `bench/programs/many-runs.ts` does: as one ends, another is started. */
import { setTimeout as sleep } from "node:timers/promises";
import { machineMs } from "../clock.ts";
import { percentile } from "../statistics.ts";
import { COUNT_AT_END } from "./ten-steps.ts";
import type { LoadReply } from "./measurement.ts";

/** The requests by which a closed loop is driven.
 *  @param runs how many at a time
 *  @param runOne starts a run, waits for its end and gives the number in its result */
export function closedLoop(runs: number, runOne: (order: number) => Promise<number>) {
  let lastRun = 0;
  let isEnding = false;
  let measuring: { beginMs: number; latencies: number[] } | undefined;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  let loops: Promise<unknown> = Promise.resolve();

  async function keepRunning(delayMs: number): Promise<void> {
    await sleep(delayMs);
    while (!isEnding) {
      lastRun += 1;
      const startedMs = machineMs();
      const count = await runOne(lastRun);
      if (count !== COUNT_AT_END) throw new Error(`a run gave ${count} and not ${COUNT_AT_END}`);
      measuring?.latencies.push(machineMs() - startedMs);
    }
  }

  return {
    /** Runs that begin together end together, and a measurement would count one such crowd more or less: so their begins are
     *  spread over `spreadMs`. */
    start({ spreadMs }: { spreadMs: number }): void {
      loops = Promise.all(Array.from({ length: runs }, (_, index) => keepRunning((spreadMs * index) / runs)));
      loops.catch(failed.reject);
    },
    begin(): void {
      measuring = { beginMs: machineMs(), latencies: [] };
    },
    /** What was measured since `begin`; then no more runs are started. */
    end(): Promise<LoadReply> {
      if (measuring === undefined) throw new Error("nothing was begun");
      const { beginMs, latencies } = measuring;
      measuring = undefined;
      isEnding = true;
      const reply = {
        runs: latencies.length,
        seconds: (machineMs() - beginMs) / 1_000,
        p50Ms: percentile(latencies, 0.5),
        p99Ms: percentile(latencies, 0.99),
      };
      // Of a failure nobody was told yet.
      return Promise.race([failed.promise, Promise.resolve(reply)]);
    },
    /** Resolves when every run that was started has given its result. */
    drain: (): Promise<unknown> => loops,
  };
}
