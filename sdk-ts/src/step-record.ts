/** Ledger records, as callers see them. */
import {
  PatchOpKindSchema,
  PatchSourceSchema,
  type StepRecord as StepRecordMessage,
  StepStatusSchema,
} from "@abstractruntime/proto/step_record_pb";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { shortNameOf } from "./enum-names.ts";
import { type Json, jsonOfValue } from "./json.ts";
import { type Failure, failureOfMessage } from "./run.ts";
import { dateOf } from "./time.ts";
import { type Wait, waitOfMessage } from "./wait.ts";

export type StepStatus = "started" | "completed" | "waiting" | "failed" | "cancelled";

/** One change of vars. `path` and `at` are JSON Pointers (RFC 6901). */
export type RecordedPatchOp = {
  readonly op: "set" | "append" | "unset" | "unknown";
  readonly path: string;
  readonly value?: Json | undefined;
  readonly values?: readonly Json[] | undefined;
  /** The source from which a set or an append takes its value, instead of `value` or `values`. */
  readonly of?: "given" | "result" | "calls" | undefined;
  readonly at?: string | undefined;
};

/** One record of a run's ledger. Records are numbered without gaps, linked by hashes, and never rewritten. */
export type StepRecord = {
  readonly runId: string;
  /** From 1. */
  readonly seq: number;
  /** To the millisecond; the proof's header has microseconds. */
  readonly time: Date;
  /** What happened, such as `step.completed`. Later releases may add kinds. */
  readonly kind: string;
  /** The step's status after the record; absent if the record is not about a step. */
  readonly status?: StepStatus | undefined;
  readonly nodeId?: string | undefined;
  readonly attempt?: number | undefined;
  readonly epoch: number;
  readonly actorId?: string | undefined;
  readonly idempotencyKey?: string | undefined;
  /** The effect that the step asked for, with its payload evaluated. */
  readonly effect?: { readonly type: string; readonly payload: Json } | undefined;
  readonly result?: Json | undefined;
  readonly error?: Failure | undefined;
  readonly patch: readonly RecordedPatchOp[];
  /** The wait that the record opened. */
  readonly wait?: Wait | undefined;
  readonly nextNode?: string | undefined;
  readonly output?: Json | undefined;
  /** Why the run was cancelled or paused, in the caller's words. */
  readonly reason?: string | undefined;
  readonly requestId?: string | undefined;
  readonly callId?: string | undefined;
  readonly retryTime?: Date | undefined;
  readonly workflowDigest?: string | undefined;
  /** 64 lower-case hex digits. */
  readonly hash: string;
  /** The exact bytes behind the hash, if the caller asked for them. */
  readonly proof?:
    | {
        readonly headerJson: string;
        readonly bodyJson: string;
        readonly given?: Uint8Array | undefined;
        readonly salts: Readonly<Record<string, Uint8Array>>;
      }
    | undefined;
};

export function stepRecordOfMessage(record: StepRecordMessage): StepRecord {
  const { effect, proof } = record;
  return {
    runId: record.runId,
    seq: record.seq,
    time: dateOf(record.time),
    kind: record.kind,
    status: shortNameOf(StepStatusSchema, record.status) as StepStatus | undefined,
    nodeId: record.nodeId || undefined,
    attempt: record.attempt || undefined,
    epoch: record.epoch,
    actorId: record.actorId || undefined,
    idempotencyKey: record.idempotencyKey || undefined,
    effect: effect && { type: effect.type, payload: jsonOfValue(effect.payload) },
    result: record.result && jsonOfValue(record.result),
    error: record.error && failureOfMessage(record.error),
    patch: record.patch.map((op) => ({
      op: (shortNameOf(PatchOpKindSchema, op.op) as "set" | "append" | "unset" | undefined) ?? "unknown",
      path: op.path,
      value: op.value && jsonOfValue(op.value),
      values: op.values.length === 0 ? undefined : op.values.map(jsonOfValue),
      of: shortNameOf(PatchSourceSchema, op.of) as "given" | "result" | "calls" | undefined,
      at: op.at || undefined,
    })),
    wait: record.wait && waitOfMessage(record.wait),
    nextNode: record.nextNode || undefined,
    output: record.output && jsonOfValue(record.output),
    reason: record.reason || undefined,
    requestId: record.requestId || undefined,
    callId: record.callId || undefined,
    retryTime: record.retryTime && timestampDate(record.retryTime),
    workflowDigest: record.workflowDigest || undefined,
    hash: record.hash,
    proof: proof && {
      headerJson: proof.headerJson,
      bodyJson: proof.bodyJson,
      given: proof.given,
      salts: proof.salts,
    },
  };
}
