/**
 * One entry of a run's ledger, before and after it is sealed. The keys of `RecordBody` are the ledger's own
 * (docs/ledger-format.md), so they are snake_case and never change their meaning.
 */
import type { EventCursor, Scope } from "./event.ts";
import type { Failure } from "./failure.ts";
import type { Instant } from "./duration.ts";
import type { Json, JsonObject } from "./json.ts";
import type { PatchOp } from "./pointer.ts";
import type { Wait } from "./wait.ts";
import type { Limits } from "./workflow.ts";

export type RecordKind =
  | "run.started"
  | "run.resumed"
  | "run.paused"
  | "run.unpaused"
  | "run.cancel_requested"
  | "run.completed"
  | "run.failed"
  | "run.cancelled"
  | "step.started"
  | "step.waiting"
  | "step.completed"
  | "step.failed"
  | "call.completed"
  | "call.failed"
  | "call.retrying";

export type StepStatus = "started" | "waiting" | "completed" | "failed" | "cancelled";

/** A request for something outside the graph, its payload evaluated. */
export type Effect = { type: string; payload: JsonObject };

/** One piece of remote work that an effect asked for. It stays in the state until all calls of its effect have come back. */
export type Call = {
  /** Which call of the effect, from 0. */
  ordinal: number;
  kind: "tool" | "handler" | "custom";
  /** The tool, the workflow (handler) or the custom effect type. */
  name: string;
  call_id?: string;
  idempotency_key: string;
  /** The attempt that is under way or comes next; absent: the first. */
  attempt?: number;
  /** When that attempt may begin, after one that failed. */
  retry_time?: Instant;
  /** How the call ended; absent while it is in flight. */
  outcome?: CallOutcome;
};

/** How a call ended: with an output, or with the failure of its last attempt. */
export type CallOutcome = { output: Json } | { error: Failure };

/** What a `call.*` record says of its call. */
export type CallChange = {
  ordinal: number;
  call_id?: string;
  /** Of `call.retrying`: the attempt to come, and when it may begin. */
  next_attempt?: number;
  retry_time?: Instant;
};

/** What follows an effect that a handler's step plan asked for, in place of the node's own `result_key` and `next`. */
export type StepSequel = {
  /** JSON Pointer into vars. */
  result_path?: string;
  /** Absent: the run is completed with the result. */
  to?: string;
  /** A tool call that fails, or is not approved, fails the node. */
  failure_is_error?: true;
};

/** What a run was started with. */
export type RunStart = {
  workflow_id: string;
  version: number;
  entry_node: string;
  session_id?: string;
  parent_run_id?: string;
  root_run_id: string;
  labels: Record<string, string>;
  limits: Limits;
  /** The last number of each of the run's channels when it started: its first cursors. */
  channels: Record<Scope, number>;
};

/** What the server decided: everything that `apply` needs, and what readers want to see. */
export type RecordBody = {
  /** The step's status after this record; absent on records that are not about a step. */
  status?: StepStatus;
  start?: RunStart;
  effect?: Effect;
  /** The effect's result, built by applying these operations to null, so that a part of `given` is stored once. */
  result?: PatchOp[];
  error?: Failure;
  /** What changes in vars. */
  patch?: PatchOp[];
  /** The wait that this record opens. */
  wait?: Wait;
  /** The calls that this record puts in flight. */
  calls?: Call[];
  /** The call that a `call.*` record is about; its output is the record's `given`, its failure the record's `error`. */
  call?: CallChange;
  /** What follows the effect that this record began, where a handler's step plan says so. */
  sequel?: StepSequel;
  /** The node that the run moves to. */
  to?: string;
  /** Whose `on_error` took the failure; absent where it was the node's own, or nobody's. */
  handled_by?: "workflow";
  /** Event cursors that this record sets. */
  cursors?: EventCursor[];
  /** The run's output: a value, or the whole result. */
  output?: { value: Json } | { of: "result" };
  /** The pause flag after this record; absent: unchanged. */
  paused?: boolean;
  /** When the run is ended by its run_timeout; absent: unchanged. */
  deadline_time?: Instant;
  /** The caller's words for a cancel or a pause. */
  reason?: string;
  /** The caller's id of an answer. */
  request_id?: string;
};

/** A record as core decides it: not yet numbered in time, salted or hashed. */
export type StepRecordDraft = {
  tenant_id: string;
  run_id: string;
  kind: RecordKind;
  seq: number;
  time: Instant;
  epoch: number;
  node_id?: string;
  attempt?: number;
  actor_id?: string;
  idempotency_key?: string;
  /** The workflow's digest; seq 1 only. */
  workflow?: string;
  body: RecordBody;
  /** What an actor sent, as RFC 8785 text: payloads come as protobuf or JSON, and this form is the same for both. */
  given?: string;
};
