import type { SealedRecord } from "../../core/ledger-format.ts";
import { hasEnded } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, RunMessage } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { stepRecordView } from "../step-record-view.ts";

/** Records read at once. */
const RECORDS_PAGE = 25;
/** Characters read at once. A record may have payloads of 1 MiB, so the next page is judged by the last one. */
const PAGE_CHARS = 256 * 1024;

type Parts = Pick<Essentials, "settings"> & {
  reads: Pick<Reads, "loadRunHead" | "listRecords">;
  hub: Pick<NoticeHub, "watchRun">;
  isStopping: () => boolean;
};

/**
 * Yields every record of a run after `afterSeq`, then new ones as they come. Ends after the last record of a run that
 * has ended.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function* watchRun(
  { settings, reads, hub, isStopping }: Parts,
  caller: Caller,
  request: { runId: string; afterSeq: number; signal: AbortSignal },
): AsyncGenerator<RunMessage> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  const changed = createSignal();
  const unwatch = hub.watchRun(key, changed.raise);
  let seq = request.afterSeq;
  let limit = 1;
  let isSilent = true;
  try {
    while (!request.signal.aborted && !isStopping()) {
      const run = await reads.loadRunHead(key);
      if (run === undefined) throw runUnknown(request.runId);
      for (;;) {
        const sealed = await reads.listRecords({ key, afterSeq: seq, limit });
        const isLast = sealed.length < limit;
        limit = nextLimit(sealed, limit);
        for (const record of sealed) {
          seq = record.seq;
          isSilent = false;
          yield { cursor: String(seq), stepRecord: stepRecordView(key, record) };
        }
        if (isLast) break;
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

/** The records of the next page, if they are as large as these. */
function nextLimit(records: readonly SealedRecord[], limit: number): number {
  if (records.length === 0) return limit;
  const chars = records.reduce((sum, { header, parts }) => sum + charsOf(parts) + header.length, 0);
  return Math.max(1, Math.min(RECORDS_PAGE, Math.floor((PAGE_CHARS * records.length) / chars)));
}

function charsOf(parts: SealedRecord["parts"]): number {
  return parts.reduce((sum, { text }) => sum + text.length, 0);
}
