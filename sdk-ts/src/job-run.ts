/** One job that the worker has accepted: its code, its time limits, and its one result.
 *
 *  ```
 *  held ── start() ──> running ── the code returns or throws ──> ended, with a result
 *    └──────────────────────┴──── timeout ─────────────────────> ended, with the failure TIMEOUT
 *    └──────────────────────┴──── abort() ─────────────────────> ended, without a result
 *  ```
 *  What the code does after the end is ignored. */
import type { Job, JobResult } from "@abstractruntime/proto/worker_service_pb";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";

import { ownFailure, resultOfError, resultOfFailure, resultOfOutput } from "./job-result.ts";
import { type AbortCause, JobAbortedError, type JobContext } from "./tool.ts";

/** Does the work of a job: returns its output, or throws. */
export type JobWork = (job: Job, context: JobContext) => unknown;

export type HeldJob = {
  readonly job: Job;
  /** Whether the code was started. */
  readonly isStarted: boolean;
  /** Starts the code: once, and not after the end. */
  start(): void;
  /** Ends the job without a result, and tells the code. */
  abort(cause: Exclude<AbortCause, "TIMEOUT">): void;
  setPaused(paused: boolean): void;
};

export type JobEvents = {
  /** The job has ended, without a result if it was aborted. Called once. */
  onEnd(held: HeldJob, result?: JobResult): void;
  /** The code reports progress; called at most about three times per heartbeat timeout. */
  onHeartbeat(token: string): void;
};

/** Node fires longer timers at once, so they are not set; the server ends such a job itself. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** So that a heartbeat has three chances to arrive. */
const HEARTBEATS_PER_TIMEOUT = 3;

const ABORT_MESSAGES: Record<AbortCause, string> = {
  CANCELLED: "the job's result is no longer wanted",
  LEASE_LOST: "the server took the job back, and may have given it to another worker",
  TIMEOUT: "the job took longer than its timeout",
  SHUTDOWN: "the worker is stopping",
};

/** Takes a job and starts its timeout. */
export function holdJob(job: Job, work: JobWork, { onEnd, onHeartbeat }: JobEvents): HeldJob {
  const abortion = new AbortController();
  const heartbeat = createHeartbeat(job.heartbeatTimeout, () => onHeartbeat(job.token));
  let isStarted = false;
  let isEnded = false;
  let paused = false;

  const timeoutMs = job.timeout === undefined ? 0 : durationMs(job.timeout);
  const timer =
    timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX
      ? setTimeout(() => {
          const failure = ownFailure("TIMEOUT", `the attempt took longer than ${timeoutMs} ms`);
          end(resultOfFailure(job.token, failure), "TIMEOUT");
        }, timeoutMs)
      : undefined;

  const held: HeldJob = {
    job,
    get isStarted() {
      return isStarted;
    },
    start() {
      if (isStarted || isEnded) return;
      isStarted = true;
      run().catch(() => {});
    },
    abort: (cause) => end(undefined, cause),
    setPaused: (value) => {
      paused = value;
    },
  };

  const context: JobContext = {
    idempotencyKey: job.idempotencyKey,
    attempt: job.attempt,
    runId: job.runId,
    workflowId: job.workflowId,
    version: job.version,
    nodeId: job.nodeId,
    callId: job.callId,
    sessionId: job.sessionId,
    signal: abortion.signal,
    get paused() {
      return paused;
    },
    heartbeat: () => {
      if (!isEnded) heartbeat.beat();
    },
  };

  /** Never rejects. */
  async function run(): Promise<void> {
    let result: JobResult;
    try {
      const output: unknown = await work(job, context);
      result = resultOfOutput(job.token, output);
    } catch (error) {
      result = resultOfError(job.token, error);
    }
    end(result);
  }

  function end(result: JobResult | undefined, cause?: AbortCause): void {
    if (isEnded) return;
    isEnded = true;
    clearTimeout(timer);
    heartbeat.stop();
    onEnd(held, result);
    if (cause !== undefined) abortion.abort(new JobAbortedError(cause, ABORT_MESSAGES[cause]));
  }

  return held;
}

/** Passes on the first beat at once, and the last beat of each interval at the end of the interval. */
function createHeartbeat(timeout: Duration | undefined, send: () => void) {
  const timeoutMs = timeout === undefined ? 0 : durationMs(timeout);
  const intervalMs = Math.min(timeoutMs / HEARTBEATS_PER_TIMEOUT, TIMER_MS_MAX);
  let timer: NodeJS.Timeout | undefined;
  let isDue = false;

  function sendNow(): void {
    isDue = false;
    send();
    timer = setTimeout(() => {
      timer = undefined;
      if (isDue) sendNow();
    }, intervalMs);
  }

  return {
    beat(): void {
      // Without a heartbeat timeout, nobody waits for heartbeats.
      if (timeoutMs <= 0) return;
      if (timer === undefined) sendNow();
      else isDue = true;
    },
    stop: () => clearTimeout(timer),
  };
}
