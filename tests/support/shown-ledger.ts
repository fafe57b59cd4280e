/** Ledgers and runs as clients get them: through the server's own conversion, as JSON of the Connect protocol. */
import { RunSchema } from "@abstractruntime/proto/run_pb";
import { StepRecordSchema } from "@abstractruntime/proto/step_record_pb";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { openRecord, NO_PREVIOUS_HASH, type SealedRecord } from "../../server/src/core/ledger-format.ts";
import type { RunState } from "../../server/src/core/run.ts";
import type { AnyRecord, StepRecordDraft } from "../../server/src/core/records.ts";
import { sealRecords } from "../../server/src/engine/transition/seal.ts";
import { runToProto } from "../../server/src/rpc/run-conversion.ts";
import { stepRecordToProto } from "../../server/src/rpc/step-record-conversion.ts";

/** What ListStepRecords returns with include_proof. */
export function showLedger(sealed: readonly SealedRecord[]): JsonValue[] {
  return sealed.map((record) => {
    const opened = openRecord(record);
    const view = { runId: opened.header?.run_id ?? "", opened, sealed: record };
    return toJson(StepRecordSchema, stepRecordToProto(view, { withProof: true }));
  });
}

export function sealAndShow(records: readonly AnyRecord[]): JsonValue[] {
  return showLedger(sealRecords(records as readonly StepRecordDraft[], NO_PREVIOUS_HASH).sealed);
}

/** What GetRun returns. */
export function showRun(state: RunState): JsonValue {
  return toJson(RunSchema, runToProto({ state, view: "full" }));
}
