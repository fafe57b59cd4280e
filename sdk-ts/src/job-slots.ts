/** The concurrency of one tool or custom effect: so many jobs run, others wait in order. */
import type { HeldJob } from "./job-run.ts";

export type JobSlots = {
  /** Starts the job now, or when one that runs has ended. */
  begin(job: HeldJob): void;
  /** The job has ended, begun or not. */
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
