import {
  type PatchOp,
  PatchOpSchema,
  type StepProof,
  StepProofSchema,
  type StepRecord,
  StepRecordSchema,
  StepStatus,
} from "@abstractruntime/proto/step_record_pb";
import { create } from "@bufbuild/protobuf";
import { resultOf } from "../core/fold/step-end.ts";
import { type Json, parseOwnJson } from "../core/json/json.ts";
import { partOf, type SealedRecord } from "../core/ledger-format.ts";
import type { PatchOp as CorePatchOp } from "../core/json/pointer.ts";
import type { RecordBody } from "../core/records.ts";
import type { StepRecordView } from "../engine/api.ts";
import { PATCH_OP_KIND, PATCH_SOURCE, STEP_STATUS } from "./enum-conversion.ts";
import { optionalValue, valueFromJson } from "./json-conversion.ts";
import { failureToProto } from "./run-conversion.ts";
import { timestampFromInstant } from "./time-conversion.ts";
import { waitToProto } from "./wait-conversion.ts";

/** Names a record: its hash covers its content. */
export function recordText({ record, sealed }: StepRecordView): string {
  return [record.tenant_id, record.run_id, record.seq, sealed.hash].join("/");
}

export function stepRecordToProto({ record, sealed }: StepRecordView, options: { withProof: boolean }): StepRecord {
  const body: RecordBody = record.body;
  const given = record.given === undefined ? undefined : parseOwnJson(record.given);
  // A call's output is the result of its own record. No record repeats the results of all calls together.
  const result = record.kind === "call.completed" ? given : resultOf(body, given);
  return create(StepRecordSchema, {
    runId: record.run_id,
    seq: record.seq,
    time: timestampFromInstant(record.time),
    kind: record.kind,
    status: body.status === undefined ? StepStatus.UNSPECIFIED : STEP_STATUS[body.status],
    nodeId: record.node_id ?? "",
    attempt: record.attempt ?? 0,
    epoch: record.epoch,
    actorId: record.actor_id ?? "",
    idempotencyKey: record.idempotency_key ?? "",
    effect: body.effect && { type: body.effect.type, payload: valueFromJson(body.effect.payload) },
    result: optionalValue(result),
    error: body.error && failureToProto(body.error),
    patch: (body.patch ?? []).map(patchOpToProto),
    wait: body.wait && waitToProto({ runId: record.run_id, wait: body.wait }),
    nextNode: body.to ?? "",
    output: optionalValue(outputOf(body, result)),
    reason: body.reason ?? "",
    requestId: body.request_id ?? "",
    callId: body.call?.call_id ?? "",
    retryTime: body.call?.retry_time && timestampFromInstant(body.call.retry_time),
    workflowDigest: record.workflow ?? "",
    hash: sealed.hash,
    proof: options.withProof ? proofToProto(sealed) : undefined,
  });
}

function outputOf(body: RecordBody, result: Json | undefined): Json | undefined {
  if (body.output === undefined) return undefined;
  return "of" in body.output ? result : body.output.value;
}

function patchOpToProto(op: CorePatchOp): PatchOp {
  const message = create(PatchOpSchema, { op: PATCH_OP_KIND[op.op], path: op.path });
  if ("of" in op) {
    message.of = PATCH_SOURCE[op.of];
    message.at = op.at ?? "";
  } else if (op.op === "set") {
    message.value = valueFromJson(op.value);
  } else if (op.op === "append") {
    message.values = op.values.map(valueFromJson);
  }
  return message;
}

function proofToProto(sealed: SealedRecord): StepProof {
  const given = partOf(sealed, "given");
  return create(StepProofSchema, {
    headerJson: sealed.header,
    bodyJson: partOf(sealed, "body")?.text ?? "",
    given: given === undefined ? undefined : new TextEncoder().encode(given.text),
    salts: Object.fromEntries(sealed.parts.map(({ name, salt }) => [name, Uint8Array.from(salt)])),
  });
}
