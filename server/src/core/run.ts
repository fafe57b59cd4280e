/**
 * A run's state: what the fold of its ledger gives, and nothing else. Owner, lane and `wake_at` are not state.
 *
 *   RUNNING ──wait──> WAITING ──answer, event, time──> RUNNING ──> COMPLETED | FAILED | CANCELLED
 *
 * `paused` is a flag beside the status. A RUNNING run with calls in flight is parked until they come back.
 */
import type { EventCursor, Scope } from "./event.ts";
import type { Failure } from "./failure.ts";
import type { Instant } from "./duration.ts";
import type { Json } from "./json.ts";
import type { Call, StepSequel } from "./step-record.ts";
import type { Wait } from "./wait.ts";
import type { Limits } from "./workflow.ts";

export type RunStatus = "running" | "waiting" | "completed" | "failed" | "cancelled";

export type RunState = {
  // Identity: set by run.started, never changed.
  readonly tenantId: string;
  readonly runId: string;
  readonly workflowId: string;
  readonly version: number;
  readonly digest: string;
  readonly sessionId?: string;
  readonly actorId?: string;
  readonly parentRunId?: string;
  readonly rootRunId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly limits: Limits;
  readonly channels: Readonly<Record<Scope, number>>;
  readonly createTime: Instant;
  // State.
  readonly status: RunStatus;
  readonly paused: boolean;
  /** A cancel was asked for and `on_cancel` is running: whatever ends the run now ends it as cancelled. */
  readonly cancelling: boolean;
  /** The workflow's `on_error` was taken, and the run has not waited for anything since. */
  readonly handlingError?: true;
  readonly node: string;
  readonly vars: Json;
  /** Invariant: present exactly when status is "waiting". */
  readonly wait?: Wait;
  /** The calls of the effect that the run is at, those that have come back included. Invariant: empty unless status is "running". */
  readonly calls: readonly Call[];
  /** What follows the effect that the run is at, where a handler's step plan asked for it. Invariant: only beside `wait` or `calls`. */
  readonly sequel?: StepSequel;
  /** Steps taken. One that waits counts when it is done; one that is done but finds no edge counts for both. */
  readonly steps: number;
  /** Which history this is: a restore begins a new one, so that its effects get new keys. */
  readonly epoch: number;
  readonly cursors: readonly EventCursor[];
  /** When run_timeout ends the run. */
  readonly deadlineTime?: Instant;
  readonly output?: Json;
  readonly error?: Failure;
  readonly updateTime: Instant;
  readonly endTime?: Instant;
  /** The seq of the last record. */
  readonly seq: number;
};

/** Whether the run has come to its end. */
export function hasEnded(run: RunState): boolean {
  return run.status === "completed" || run.status === "failed" || run.status === "cancelled";
}

/** Whether the run has a next step to take. A paused run has one too: an operator may take it with TickRun. */
export function hasNextStep(run: RunState): boolean {
  return run.status === "running" && run.calls.length === 0;
}

/** Whether a server must compute on the run now; otherwise it is parked. */
export function isActive(run: RunState): boolean {
  return hasNextStep(run) && !run.paused;
}

/** The earliest time at which something happens to the run by itself; none while it is paused or has ended. */
export function wakeTimeOf(run: RunState): Instant | undefined {
  if (run.paused || hasEnded(run)) return undefined;
  const due = run.wait?.due_time;
  if (due === undefined) return run.deadlineTime;
  return run.deadlineTime === undefined || due < run.deadlineTime ? due : run.deadlineTime;
}
