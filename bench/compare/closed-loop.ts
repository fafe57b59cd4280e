/** Keeps a number of runs in progress, as `bench/programs/many-runs.ts` does: when one ends, another is started. */
import { setTimeout as sleep } from "node:timers/promises";
import { machineMs } from "../clock.ts";
import { percentile } from "../statistics.ts";
import { COUNT_AT_END } from "./ten-steps.ts";
import type { LoadReply } from "./measurement.ts";

/** The requests that drive a closed loop.
 *  @param runs how many at a time
 *  @param runOne starts a run, waits for its end and returns the number in its result */
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
      if (count !== COUNT_AT_END) throw new Error(`a run returned ${count} instead of ${COUNT_AT_END}`);
      measuring?.latencies.push(machineMs() - startedMs);
    }
  }

  return {
    /** Spreads the starts over `spreadMs`: runs that begin together end together, and a measurement would count one
     *  such group more or less. */
    start({ spreadMs }: { spreadMs: number }): void {
      loops = Promise.all(Array.from({ length: runs }, (_, index) => keepRunning((spreadMs * index) / runs)));
      loops.catch(failed.reject);
    },
    begin(): void {
      measuring = { beginMs: machineMs(), latencies: [] };
    },
    /** Returns what was measured since `begin`, and stops starting runs. */
    end(): Promise<LoadReply> {
      if (measuring === undefined) throw new Error("the measurement has not begun");
      const { beginMs, latencies } = measuring;
      measuring = undefined;
      isEnding = true;
      const reply = {
        runs: latencies.length,
        seconds: (machineMs() - beginMs) / 1_000,
        p50Ms: percentile(latencies, 0.5),
        p99Ms: percentile(latencies, 0.99),
      };
      // Rejects if a run has failed.
      return Promise.race([failed.promise, Promise.resolve(reply)]);
    },
    /** Resolves when every started run has returned its result. */
    drain: (): Promise<unknown> => loops,
  };
}
