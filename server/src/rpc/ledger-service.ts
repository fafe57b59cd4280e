/** LedgerService: decode, ask the engine, encode. */
import type { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/api.ts";
import { callerOf } from "./auth.ts";
import { stepRecordToProto } from "./step-record-conversion.ts";
import { msFromDuration } from "./time-conversion.ts";

export function createLedgerService(engine: Engine): ServiceImpl<typeof LedgerService> {
  return {
    async listStepRecords({ runId, afterSeq, wait, pageSize, pageToken, includeProof }, context) {
      const waitMs = wait === undefined ? 0 : msFromDuration(wait);
      const request = { runId, afterSeq, waitMs, pageSize, pageToken, signal: context.signal };
      const { records, nextPageToken } = await engine.listStepRecords(callerOf(context), request);
      return {
        stepRecords: records.map((record) => stepRecordToProto(record, { withProof: includeProof })),
        nextPageToken,
      };
    },

    async getStepRecord({ runId, seq, includeProof }, context) {
      const record = await engine.getStepRecord(callerOf(context), runId, seq);
      return { stepRecord: stepRecordToProto(record, { withProof: includeProof }) };
    },
  };
}
