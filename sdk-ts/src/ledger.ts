/** `client.ledger`: the history of runs, record by record. */
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import type { CallOptions } from "./connection.ts";
import type { ClientContext } from "./context.ts";
import { itemsOf, type ListOptions } from "./pages.ts";
import type { RunReference } from "./run.ts";
import { runIdOf } from "./runs.ts";
import { type StepRecord, stepRecordOfMessage } from "./step-record.ts";
import { createWatch, type Watch } from "./watch.ts";

export type Ledger = {
  /** The records that a run has now, in ascending order.
   *  @param options.afterSeq default 0: from the first record
   *  @param options.includeProof whether to return the exact bytes behind each hash */
  list(
    run: string | RunReference,
    options?: ListOptions & { afterSeq?: number; includeProof?: boolean },
  ): AsyncIterable<StepRecord>;
  /** @throws {RefusedError} RUN_UNKNOWN, STEP_RECORD_UNKNOWN */
  get(run: string | RunReference, seq: number, options?: CallOptions & { includeProof?: boolean }): Promise<StepRecord>;
  /** The records of a run: the existing ones, then new ones as they are committed. Ends after the record that ended the
   *  run. */
  watch(run: string | RunReference, options?: { afterSeq?: number; signal?: AbortSignal }): Watch<StepRecord>;
};

export function createLedger({ connection }: ClientContext): Ledger {
  return {
    list(run, { afterSeq = 0, includeProof = false, pageSize = 0, ...options } = {}) {
      const request = { runId: runIdOf(run), afterSeq, includeProof, pageSize };
      return itemsOf(async (pageToken) => {
        const list = LedgerService.method.listStepRecords;
        const reply = await connection.unary(list, { ...request, pageToken }, { ...options, retry: true });
        return { items: reply.stepRecords.map(stepRecordOfMessage), nextPageToken: reply.nextPageToken };
      });
    },

    async get(run, seq, { includeProof = false, ...options } = {}) {
      const request = { runId: runIdOf(run), seq, includeProof };
      const call = { ...options, retry: true };
      const { stepRecord } = await connection.unary(LedgerService.method.getStepRecord, request, call);
      if (stepRecord === undefined) throw new Error("the server sent a reply without the record");
      return stepRecordOfMessage(stepRecord);
    },

    watch(run, { afterSeq = 0, signal } = {}) {
      let position = afterSeq;
      return createWatch<StepRecord>(
        async function* records(leaving, onOpen) {
          const request = () => ({ runId: runIdOf(run), afterSeq: position });
          for await (const message of connection.follow(RuntimeService.method.watchRun, request, {
            signal: leaving,
            endless: false,
          })) {
            onOpen();
            if (message.event.case !== "stepRecord") continue;
            position = message.event.value.seq;
            yield stepRecordOfMessage(message.event.value);
          }
        },
        { signal, isClosed: connection.isClosed },
      );
    },
  };
}
