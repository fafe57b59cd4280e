/**
 * The records of a run's ledger before they are sealed: a union by kind. The keys of a body are the ledger's own
 * (docs/ledger-format.md), so they are snake_case and their meaning never changes.
 */
import type { Call, CallChange, Effect, StepSequel } from "./call.ts";
import type { EventCursor, Scope } from "./event.ts";
import type { Failure } from "./failure.ts";
import type { Instant } from "./duration.ts";
import type { Limits } from "./graph/limits.ts";
import type { Json } from "./json/json.ts";
import type { PatchOp } from "./json/pointer.ts";
import type { Wait } from "./wait.ts";

export type StepStatus = "started" | "waiting" | "completed" | "failed" | "cancelled";

/** The parameters that a run was started with. */
export type RunStart = {
  workflow_id: string;
  version: number;
  entry_node: string;
  session_id?: string;
  parent_run_id?: string;
  root_run_id: string;
  labels: Record<string, string>;
  limits: Limits;
  /** The last number of each of the run's channels when it started; the run ignores events up to it. */
  channels: Record<Scope, number>;
};

/** Every key that a body may have. `RecordBodies` has the keys of each kind. */
type Fields = {
  /** The step's status after this record. Absent from records that are not about a step. */
  status: StepStatus;
  start: RunStart;
  effect: Effect;
  /** Builds the effect's result from null. A part of `given` is referred to, so that it is stored once. */
  result: PatchOp[];
  error: Failure;
  /** The changes to vars. */
  patch: PatchOp[];
  /** The wait that this record opens. */
  wait: Wait;
  /** The calls that this record puts in flight. */
  calls: Call[];
  /** The call that a `call.*` record is about. Its output is the record's `given`, its failure the record's `error`. */
  call: CallChange;
  /** What follows the effect that this record began, if it came from a handler's step plan. */
  sequel: StepSequel;
  /** The node that the run moves to. */
  to: string;
  /** Whose `on_error` took the failure. Absent if it was the node's own, or if there was none. */
  handled_by: "workflow";
  /** Event cursors that this record sets. */
  cursors: EventCursor[];
  /** The run's output: a value, or the whole result. */
  output: { value: Json } | { of: "result" };
  /** The run is paused from its start. */
  paused: boolean;
  /** When run_timeout ends the run. If absent, unchanged. */
  deadline_time: Instant;
  /** The caller's words for a cancel or a pause. */
  reason: string;
  /** The caller's id of an answer. */
  request_id: string;
};

type Body<Required extends keyof Fields, Optional extends keyof Fields = never> = Pick<Fields, Required> &
  Partial<Pick<Fields, Optional>>;

/** The keys that any record that ends a step may have. */
type StepEnd = "effect" | "result" | "patch" | "cursors" | "request_id";

/** What the server decided, by the record's kind: everything that `apply` needs, and what readers need. */
export type RecordBodies = {
  "run.started": Body<"start" | "patch", "paused" | "wait" | "deadline_time">;
  /** The start time has come. */
  "run.resumed": Body<never>;
  "run.paused": Body<never, "reason">;
  "run.unpaused": Body<never>;
  /** `on_cancel` begins. */
  "run.cancel_requested": Body<"to" | "deadline_time", "reason">;
  /** With a status, this is also the end of a step. */
  "run.completed": Body<"status" | "output", StepEnd>;
  "run.failed": Body<"error", "status" | StepEnd>;
  "run.cancelled": Body<never, "status" | "error" | "reason" | StepEnd>;
  /** Calls are in flight. */
  "step.started": Body<"status" | "effect" | "calls", "patch" | "sequel" | "request_id">;
  "step.waiting": Body<"status" | "effect" | "wait", "patch" | "sequel" | "request_id">;
  /** Without `to`, no edge held: the failure follows in the next record. */
  "step.completed": Body<"status", StepEnd | "to">;
  "step.failed": Body<"status" | "error" | "to", StepEnd | "handled_by">;
  "call.completed": Body<"status" | "call">;
  "call.failed": Body<"status" | "call" | "error">;
  "call.retrying": Body<"status" | "call" | "error">;
};

export type RecordKind = keyof RecordBodies;

/** A body of any kind, for readers that do not distinguish kinds. */
export type RecordBody = Partial<Fields>;

type RecordBase = {
  tenant_id: string;
  run_id: string;
  seq: number;
  time: Instant;
  epoch: number;
  node_id?: string;
  attempt?: number;
  actor_id?: string;
  idempotency_key?: string;
  /** The workflow's digest; seq 1 only. */
  workflow?: string;
  /** What an actor sent, as RFC 8785 text: payloads come as protobuf or JSON, and this form is the same for both. */
  given?: string;
};

/** A record of one kind, as core decides it: not yet salted or hashed. */
export type RecordOf<K extends RecordKind> = RecordBase & { kind: K; body: RecordBodies[K] };

/** A record of any kind, for readers that do not distinguish kinds. */
export type AnyRecord = RecordBase & { kind: RecordKind; body: RecordBody };

/** A record as core decides it: not yet salted or hashed. */
export type StepRecordDraft = { [K in RecordKind]: RecordOf<K> }[RecordKind];
