/** LedgerService: decode, ask the engine, encode. */
import {
  GetStepRecordResponseSchema,
  type LedgerService,
  ListStepRecordsResponseSchema,
} from "@abstractruntime/proto/ledger_service_pb";
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/api.ts";
import { callerOf } from "./auth.ts";
import type { ReplyEncoder } from "./reply-encoding.ts";
import { recordsText, stepRecordToProto } from "./step-record-conversion.ts";
import { msFromDuration } from "./time-conversion.ts";

export function createLedgerService(
  engine: Engine,
  replies: Pick<ReplyEncoder, "share">,
): ServiceImpl<typeof LedgerService> {
  return {
    async listStepRecords({ runId, afterSeq, wait, pageSize, pageToken, includeProof }, context) {
      const waitMs = wait === undefined ? 0 : msFromDuration(wait);
      const request = { runId, afterSeq, waitMs, pageSize, pageToken, signal: context.signal };
      const { records, nextPageToken } = await engine.listStepRecords(callerOf(context), request);
      const toProto = () =>
        create(ListStepRecordsResponseSchema, {
          stepRecords: records.map((record) => stepRecordToProto(record, { withProof: includeProof })),
          nextPageToken,
        });
      if (records.length === 0) return toProto();
      const text = recordsText(records);
      const name = text && `ListStepRecords/${text}/${includeProof}/${nextPageToken}`;
      return await replies.share(name, toProto);
    },

    async getStepRecord({ runId, seq, includeProof }, context) {
      const record = await engine.getStepRecord(callerOf(context), runId, seq);
      const text = recordsText([record]);
      return await replies.share(text && `GetStepRecord/${text}/${includeProof}`, () =>
        create(GetStepRecordResponseSchema, { stepRecord: stepRecordToProto(record, { withProof: includeProof }) }),
      );
    },
  };
}
