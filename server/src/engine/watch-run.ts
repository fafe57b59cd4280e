import { draftFromSealed } from "../core/ledger-format.ts";
import { hasEnded } from "../core/run.ts";
import type { RunKey } from "../store/contract.ts";
import type { Caller, RunMessage, StepRecordView } from "./api.ts";
import type { EngineContext } from "./context.ts";
import { createSignal } from "./notice-hub.ts";
import { runUnknown } from "./perform.ts";

/** Records read at once; one message may hold 1 MiB, so a page stays well within memory. */
const RECORDS_PAGE = 100;

/**
 * Gives every record of a run behind `afterSeq`, then those to come, and ends after the last one.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function* watchRun(
  context: EngineContext,
  caller: Caller,
  request: { runId: string; afterSeq: number; signal: AbortSignal },
): AsyncGenerator<RunMessage> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  const changed = createSignal();
  const unwatch = context.hub.watchRun(key, changed.raise);
  let seq = request.afterSeq;
  try {
    while (!request.signal.aborted && !context.isStopping()) {
      const run = await context.loadRun(key);
      if (run === undefined) throw runUnknown(request.runId);
      for (;;) {
        const sealed = await context.store.listStepRecords(key, seq, RECORDS_PAGE);
        for (const record of sealed) {
          seq = record.seq;
          yield { cursor: String(seq), stepRecord: { record: draftFromSealed(record), sealed: record } };
        }
        if (sealed.length < RECORDS_PAGE) break;
      }
      if (hasEnded(run.state) && seq >= run.state.seq) return;
      const isNews = await changed.wait(context.settings.heartbeatMs, request.signal);
      if (!isNews && !request.signal.aborted) yield { cursor: String(seq) };
    }
  } finally {
    unwatch();
  }
}

/** Records behind `afterSeq`; waits for up to `waitMs` where there are none yet. @throws {DomainError} RUN_UNKNOWN */
export async function listRecords(
  context: EngineContext,
  key: RunKey,
  request: { afterSeq: number; limit: number; waitMs: number; signal: AbortSignal },
): Promise<StepRecordView[]> {
  const endAt = performance.now() + request.waitMs;
  const changed = createSignal();
  const unwatch = context.hub.watchRun(key, changed.raise);
  try {
    for (;;) {
      const sealed = await context.store.listStepRecords(key, request.afterSeq, request.limit);
      if (sealed.length > 0) return sealed.map((record) => ({ record: draftFromSealed(record), sealed: record }));
      const run = await context.loadRun(key);
      if (run === undefined) throw runUnknown(key.runId);
      const leftMs = endAt - performance.now();
      const isOver = hasEnded(run.state) && run.state.seq <= request.afterSeq;
      if (isOver || leftMs <= 0 || request.signal.aborted || context.isStopping()) return [];
      if (run.state.seq <= request.afterSeq) await changed.wait(leftMs, request.signal);
    }
  } finally {
    unwatch();
  }
}
