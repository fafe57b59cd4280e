import { hasEnded } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Caller, PageRequest, StepRecordView } from "../api.ts";
import type { Deadline } from "../deadline.ts";
import type { Essentials } from "../essentials.ts";
import { pageLimit, pagePurpose, readPage, readPageToken, writePageToken } from "../lists.ts";
import { createSignal, type NoticeHub } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import { stepRecordView } from "../step-record-view.ts";

/** Records of the first read of a page; each may have payloads of 1 MiB. */
const RECORDS_CHUNK = 2;

type Parts = Pick<Essentials, "store"> & {
  reads: Pick<Reads, "loadRunHead" | "listRecords">;
  hub: Pick<NoticeHub, "watchRun">;
  isStopping: () => boolean;
};

/**
 * Lists a page of a run's records, ordered by seq. If there are none yet, waits for up to `waitMs`.
 * @throws {DomainError} RUN_UNKNOWN, PAGE_TOKEN_INVALID
 */
export async function listStepRecords(
  parts: Parts,
  caller: Caller,
  request: PageRequest & { runId: string; afterSeq: number; waitMs: number; signal: AbortSignal },
): Promise<{ records: StepRecordView[]; nextPageToken: string }> {
  const { store } = parts;
  const { runId, signal, waitMs } = request;
  const purpose = pagePurpose("step-records", caller.tenantId, { runId });
  const afterSeq = (readPageToken(store, purpose, request) as number | undefined) ?? request.afterSeq;
  const key = { tenantId: caller.tenantId, runId };
  const limit = pageLimit(request.pageSize);
  const { records, next } = await readRecords(parts, key, {
    afterSeq,
    limit,
    waitMs,
    signal,
    deadline: caller.deadline,
  });
  return { records, nextPageToken: writePageToken(store, purpose, next) };
}

/** Reads records after `afterSeq`; waits for up to `waitMs` if there are none yet. */
async function readRecords(
  { reads, hub, isStopping }: Parts,
  key: RunKey,
  request: { afterSeq: number; limit: number; waitMs: number; signal: AbortSignal; deadline: Deadline | undefined },
): Promise<{ records: StepRecordView[]; next?: number }> {
  const endAt = performance.now() + request.waitMs;
  const changed = createSignal();
  const unwatch = hub.watchRun(key, changed.raise);
  try {
    for (;;) {
      const { entries, next } = await readPage({
        start: request.afterSeq,
        limit: request.limit,
        read: (start, limit) => reads.listRecords({ key, afterSeq: start ?? 0, limit }),
        chunk: RECORDS_CHUNK,
        startOf: ({ seq }) => seq,
        bytesOf: ({ header, parts }) => parts.reduce((bytes, { text }) => bytes + text.length, header.length),
      });
      if (entries.length > 0) {
        const records = entries.map((sealed) => stepRecordView(key, sealed));
        return { records, ...(next === undefined ? {} : { next }) };
      }
      const run = await reads.loadRunHead(key);
      if (run === undefined) throw runUnknown(key.runId);
      const leftMs = endAt - performance.now();
      const isOver = hasEnded(run.state) && run.state.seq <= request.afterSeq;
      if (isOver || leftMs <= 0 || request.signal.aborted || isStopping()) return { records: [] };
      if (run.state.seq > request.afterSeq) continue;
      const change = changed.wait(leftMs, request.signal);
      await (request.deadline?.resting(change) ?? change);
    }
  } finally {
    unwatch();
  }
}
