/**
 * A run's state: the fold of its ledger, and nothing else. Owner, lane and `wake_at` are not state.
 *
 *   RUNNING ──wait──> WAITING ──answer, event, time──> RUNNING ──> COMPLETED | FAILED | CANCELLED
 *
 * `paused` is a separate flag. A RUNNING run with calls in flight is parked until they have settled.
 */
import type { Call, StepSequel } from "./call.ts";
import type { EventCursor, Scope } from "./event.ts";
import type { Failure } from "./failure.ts";
import type { Instant } from "./duration.ts";
import type { Limits } from "./graph/limits.ts";
import type { Json } from "./json/json.ts";
import { reasonOf, type Wait, type WaitReason } from "./wait.ts";

export type RunStatus = "running" | "waiting" | "completed" | "failed" | "cancelled";

/** What the run's current step has asked for and has not received yet. */
export type InFlight =
  | {
      at: "wait";
      wait: Wait;
      /** What follows, if a handler's step plan asked for it. */
      sequel?: StepSequel;
    }
  | {
      at: "calls";
      /** All calls of the effect, including settled ones. Invariant: at least one is open, or `wait` is present. */
      calls: readonly Call[];
      /** The wait that the calls share: they need a person. */
      wait?: Wait;
      sequel?: StepSequel;
    }
  | {
      at: "function";
      /** The seq of the record that entered the node. */
      entrySeq: number;
      /** The ranges of seqs whose records make up the journal. */
      journal: readonly { from: number; to: number }[];
      /** What was begun and has no outcome yet, in order. */
      open: readonly { ordinal: number; kind: string; name: string }[];
      wait?: Wait;
    };

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
  /** Invariant: "waiting" exactly while a wait is open, "running" if nothing is in flight and the run has not ended. */
  readonly status: RunStatus;
  readonly paused: boolean;
  /** A cancel was requested and `on_cancel` is running: however the run ends now, it ends as cancelled. */
  readonly cancelling: boolean;
  /** The workflow's `on_error` was taken, and the run has not waited for anything since. */
  readonly handlingError?: true;
  readonly node: string;
  readonly vars: Json;
  /** Absent if the run can take its next step, or has ended. */
  readonly inFlight?: InFlight;
  /** Steps taken. A step that waits counts when it ends. A step that completes but finds no edge counts twice. */
  readonly steps: number;
  /** Which history this is: a restore begins a new one, so that new effects get new keys. */
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

const NO_CALLS: readonly Call[] = [];

/** The run's open wait. A run has at most one. */
export function openWaitOf({ inFlight }: Pick<RunState, "inFlight">): Wait | undefined {
  return inFlight?.wait;
}

/** The reason of the run's open wait. */
export function waitReasonOf(run: Pick<RunState, "inFlight">): WaitReason | undefined {
  const wait = openWaitOf(run);
  return wait === undefined ? undefined : reasonOf(wait);
}

/** The calls of the run's current effect, including settled ones. Empty if it has none. */
export function callsOf({ inFlight }: Pick<RunState, "inFlight">): readonly Call[] {
  return inFlight?.at === "calls" ? inFlight.calls : NO_CALLS;
}

/** What follows the run's current effect, if a handler's step plan asked for it. */
export function sequelOf({ inFlight }: Pick<RunState, "inFlight">): StepSequel | undefined {
  return inFlight === undefined || inFlight.at === "function" ? undefined : inFlight.sequel;
}

/** Whether the run has ended. */
export function hasEnded(run: Pick<RunState, "status">): boolean {
  return run.status === "completed" || run.status === "failed" || run.status === "cancelled";
}

/** Whether the run can take a next step. A paused run can too: an operator takes it with TickRun. */
export function hasNextStep(run: RunState): boolean {
  return run.status === "running" && run.inFlight === undefined;
}

/** Whether a server must execute the run now; otherwise it is parked. */
export function isActive(run: RunState): boolean {
  return hasNextStep(run) && !run.paused;
}

/** The run's next timer: its wait's due time or its deadline. Undefined while it is paused or has ended. */
export function wakeTimeOf(run: RunState): Instant | undefined {
  if (run.paused || hasEnded(run)) return undefined;
  const due = openWaitOf(run)?.due_time;
  if (due === undefined) return run.deadlineTime;
  return run.deadlineTime === undefined || due < run.deadlineTime ? due : run.deadlineTime;
}
