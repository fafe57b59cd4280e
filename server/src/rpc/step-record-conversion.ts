import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type PatchOp,
  PatchOpSchema,
  type StepProof,
  StepProofSchema,
  type StepRecord,
  StepRecordSchema,
  StepStatus,
} from "@abstractruntime/proto/step_record_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { resultOf } from "../core/fold/step-end.ts";
import { type Json, parseOwnJson } from "../core/json/json.ts";
import { type OpenedRecord, partOf, type SealedRecord } from "../core/ledger-format.ts";
import type { PatchOp as CorePatchOp } from "../core/json/pointer.ts";
import type { RecordBody } from "../core/records.ts";
import type { StepRecordView } from "../engine/api.ts";
import { PATCH_OP_KIND, PATCH_SOURCE, STEP_STATUS } from "./enum-conversion.ts";
import { optionalValue, valueFromJson } from "./json-conversion.ts";
import { failureToProto } from "./run-conversion.ts";
import { timestampFromInstant } from "./time-conversion.ts";
import { readWait } from "../core/wait.ts";
import { waitToProto } from "./wait-conversion.ts";

/**
 * Names the content of records: the hash of a record covers it. Damaged records have no name, since their content is
 * not what their hash covers.
 */
export function recordsText(records: readonly StepRecordView[]): string | undefined {
  if (records.some(({ opened }) => opened.damaged.length > 0)) return undefined;
  const hash = createHash("sha256");
  for (const { sealed } of records) {
    hash.update(sealed.hash);
    // Erased parts are not covered by what is left of them.
    for (const { name, salt } of sealed.parts) hash.update(`${name}/${salt === undefined ? "erased" : "kept"}/`);
  }
  return hash.digest("hex");
}

/** The names of parts that a release after this one may store are not bounded here. */
const DAMAGE_CHARS_MAX = 1_024;

/**
 * Converts a record as far as it can be read. What cannot be read is left out and named in `damage`: one damaged record
 * must hide neither its own proof nor the records beside it.
 */
export function stepRecordToProto(view: StepRecordView, options: { withProof: boolean }): StepRecord {
  const { runId, opened, sealed } = view;
  const damaged = new Set(opened.damaged);
  const partial: MessageInitShape<typeof StepRecordSchema> = {};
  const read = (part: string, fields: () => MessageInitShape<typeof StepRecordSchema>): void => {
    try {
      Object.assign(partial, fields());
    } catch {
      damaged.add(part);
    }
  };
  if (opened.header !== undefined) read("header", () => headerFields(opened.header!));
  if (opened.body !== undefined) read("body", () => bodyFields(runId, opened.body!));
  // The body takes from what was given: without it, nothing is known of the result.
  if (damaged.size === 0) read("given", () => resultFields(opened));
  return create(StepRecordSchema, {
    ...partial,
    runId,
    seq: sealed.seq,
    hash: sealed.hash,
    damage: damaged.size === 0 ? "" : damageText([...damaged]),
    proof: options.withProof ? proofToProto(sealed) : undefined,
  });
}

function damageText(damaged: readonly string[]): string {
  return `The record's ${damaged.join(" and ")} cannot be read, or is not what was recorded.`.slice(
    0,
    DAMAGE_CHARS_MAX,
  );
}

function headerFields(header: NonNullable<OpenedRecord["header"]>): MessageInitShape<typeof StepRecordSchema> {
  return {
    time: timestampFromInstant(header.time),
    kind: header.kind,
    nodeId: header.node_id ?? "",
    attempt: header.attempt ?? 0,
    epoch: header.epoch,
    actorId: header.actor_id ?? "",
    idempotencyKey: header.idempotency_key ?? "",
    workflowDigest: header.workflow ?? "",
  };
}

function bodyFields(runId: string, body: RecordBody): MessageInitShape<typeof StepRecordSchema> {
  const { effect, error, wait, call } = body;
  const texts = [body.to, body.reason, body.request_id, call?.call_id, effect?.type, error?.code, error?.message];
  assert(
    texts.every((text) => text === undefined || typeof text === "string"),
    "names and messages are texts",
  );
  return {
    status: body.status === undefined ? StepStatus.UNSPECIFIED : known(STEP_STATUS[body.status]),
    effect: effect && { type: effect.type, payload: valueFromJson(effect.payload) },
    error: error && failureToProto(error),
    patch: (body.patch ?? []).map(patchOpToProto),
    wait: wait && waitToProto({ runId, wait: readWait(wait) }),
    nextNode: body.to ?? "",
    reason: body.reason ?? "",
    requestId: body.request_id ?? "",
    callId: call?.call_id ?? "",
    retryTime: call?.retry_time && timestampFromInstant(call.retry_time),
  };
}

function resultFields({ header, body = {}, given: text }: OpenedRecord): MessageInitShape<typeof StepRecordSchema> {
  const given = text === undefined ? undefined : parseOwnJson(text);
  // A call's output is the result of its own record. No record repeats the results of all calls together.
  const result = header?.kind === "call.completed" ? given : resultOf(body, given);
  return { result: optionalValue(result), output: optionalValue(outputOf(body, result)) };
}

function known<T>(value: T | undefined): T {
  assert(value !== undefined, "a value of this release");
  return value;
}

function outputOf(body: RecordBody, result: Json | undefined): Json | undefined {
  if (body.output === undefined) return undefined;
  return "of" in body.output ? result : body.output.value;
}

function patchOpToProto(op: CorePatchOp): PatchOp {
  const message = create(PatchOpSchema, { op: known(PATCH_OP_KIND[op.op]), path: op.path });
  if ("of" in op) {
    message.of = known(PATCH_SOURCE[op.of]);
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
