/**
 * A job that a session of this server has: it was offered, and has not ended. Only jobs with a row are leased in the
 * database.
 */
import type { JobLease } from "../../store/contract/jobs.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { HandlerRun } from "./handler-runs.ts";

export type AssignedJob = {
  readonly token: string;
  readonly run: RunKey;
  /** By `queueText`. */
  readonly queue: string;
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly isAtMostOnce: boolean;
  /** Exactly one of the two is set: `handlerRun` if the job is a handler that has no job row. */
  readonly lease?: JobLease;
  readonly handlerRun?: HandlerRun;
  readonly timeoutMs: number;
  readonly heartbeatTimeoutMs?: number;
  state: "offered" | "accepted" | "running";
  /** On the pool's clock: when the worker must have accepted the job. Counts only while it is offered. */
  acceptBy: number;
  /** On the pool's clock: when the attempt must have ended. Infinity until the job is accepted. */
  endBy: number;
  /** On the pool's clock: when the worker must have mentioned the attempt. Infinity unless heartbeats are due. */
  beatBy: number;
  /** Whether the worker was last told that the job's run is paused. */
  isPaused: boolean;
};
