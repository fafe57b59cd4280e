import { draftFromSealed } from "../../core/ledger-format.ts";
import { hasEnded } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, RunMessage, StepRecordView } from "../api.ts";
import type { EngineContext } from "../context.ts";
import { readPage } from "../lists.ts";
import { createSignal } from "../notice-hub.ts";
import { runUnknown } from "../transition/perform.ts";

/** Records read at once: each may hold payloads of 1 MiB. */
const RECORDS_PAGE = 25;

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
      const run = await context.loadRunHead(key);
      if (run === undefined) throw runUnknown(request.runId);
      for (;;) {
        const sealed = await context.store.ledger.list(key, seq, RECORDS_PAGE);
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
): Promise<{ records: StepRecordView[]; next?: number }> {
  const endAt = performance.now() + request.waitMs;
  const changed = createSignal();
  const unwatch = context.hub.watchRun(key, changed.raise);
  try {
    for (;;) {
      const { entries, next } = await readPage({
        start: request.afterSeq,
        limit: request.limit,
        read: (start, limit) => context.store.ledger.list(key, start ?? 0, limit),
        startOf: ({ seq }) => seq,
        bytesOf: ({ header, body, given }) => header.length + body.length + (given?.length ?? 0),
      });
      if (entries.length > 0) {
        const records = entries.map((sealed) => ({ record: draftFromSealed(sealed), sealed }));
        return { records, ...(next === undefined ? {} : { next }) };
      }
      const run = await context.loadRunHead(key);
      if (run === undefined) throw runUnknown(key.runId);
      const leftMs = endAt - performance.now();
      const isOver = hasEnded(run.state) && run.state.seq <= request.afterSeq;
      if (isOver || leftMs <= 0 || request.signal.aborted || context.isStopping()) return { records: [] };
      if (run.state.seq <= request.afterSeq) await changed.wait(leftMs, request.signal);
    }
  } finally {
    unwatch();
  }
}
