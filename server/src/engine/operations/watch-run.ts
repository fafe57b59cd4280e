import { draftFromSealed } from "../../core/ledger-format.ts";
import { hasEnded } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, RunMessage } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";

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
  let isSilent = true;
  try {
    while (!request.signal.aborted && !isStopping()) {
      const run = await reads.loadRunHead(key);
      if (run === undefined) throw runUnknown(request.runId);
      for (;;) {
        const sealed = await store.ledger.list(key, seq, RECORDS_PAGE);
        for (const record of sealed) {
          seq = record.seq;
          isSilent = false;
          yield { cursor: String(seq), stepRecord: { record: draftFromSealed(record), sealed: record } };
        }
        if (sealed.length < RECORDS_PAGE) break;
      }
      if (hasEnded(run.state) && seq >= run.state.seq) return;
      // The first message comes at once: a proxy may cut a stream before its first heartbeat is due.
      if (isSilent) yield { cursor: String(seq) };
      isSilent = false;
      const isNews = await changed.wait(settings.heartbeatMs, request.signal);
      if (!isNews && !request.signal.aborted) yield { cursor: String(seq) };
    }
  } finally {
    unwatch();
  }
}
