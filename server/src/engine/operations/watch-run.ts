import { hasEnded } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, RunMessage } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { stepRecordView } from "../step-record-view.ts";

/** Records read at once; each may have payloads of 1 MiB. */
const RECORDS_PAGE = 25;

type Parts = Pick<Essentials, "store" | "settings"> & {
  reads: Pick<Reads, "loadRunHead">;
  hub: Pick<NoticeHub, "watchRun">;
  isStopping: () => boolean;
};

/**
 * Yields every record of a run after `afterSeq`, then new ones as they come. Ends after the last record of a run that
 * has ended.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function* watchRun(
  { store, settings, reads, hub, isStopping }: Parts,
  caller: Caller,
  request: { runId: string; afterSeq: number; signal: AbortSignal },
): AsyncGenerator<RunMessage> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  const changed = createSignal();
  const unwatch = hub.watchRun(key, changed.raise);
  let seq = request.afterSeq;
  try {
    while (!request.signal.aborted && !isStopping()) {
      const run = await reads.loadRunHead(key);
      if (run === undefined) throw runUnknown(request.runId);
      for (;;) {
        const sealed = await store.ledger.list(key, seq, RECORDS_PAGE);
        for (const record of sealed) {
          seq = record.seq;
          yield { cursor: String(seq), stepRecord: stepRecordView(key, record) };
        }
        if (sealed.length < RECORDS_PAGE) break;
      }
      if (hasEnded(run.state) && seq >= run.state.seq) return;
      const isNews = await changed.wait(settings.heartbeatMs, request.signal);
      if (!isNews && !request.signal.aborted) yield { cursor: String(seq) };
    }
  } finally {
    unwatch();
  }
}
