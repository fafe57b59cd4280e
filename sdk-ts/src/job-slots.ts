/** The concurrency of one tool or custom effect: that many jobs run, the others wait in order. */
import type { HeldJob } from "./job-run.ts";

export type JobSlots = {
  /** Starts the job now, or after a running job has ended. */
  begin(job: HeldJob): void;
  /** The job has ended, started or not. */
  end(job: HeldJob): void;
};

export function createJobSlots(runningMax: number): JobSlots {
  const running = new Set<HeldJob>();
  // Bounded by the jobs that a worker holds.
  const waiting = new Set<HeldJob>();
  return {
    begin(job) {
      if (job.isStarted) return;
      if (running.size >= runningMax) {
        waiting.add(job);
        return;
      }
      running.add(job);
      job.start();
    },
    end(job) {
      waiting.delete(job);
      if (!running.delete(job)) return;
      const [next] = waiting;
      if (next !== undefined && waiting.delete(next)) this.begin(next);
    },
  };
}
