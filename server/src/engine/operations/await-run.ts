import { hasEnded, openWaitOf, waitReasonOf } from "../../core/run.ts";
import type { WaitReason } from "../../core/wait.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { AwaitRequest, Caller, RunView } from "../api.ts";
import { createSignal, type NoticeHub, type RunNews } from "../notice-hub.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import type { RunViewer } from "../run-view.ts";

/** Waits at which a client has something to do; `AwaitRunRequest.reasons` promises them. */
const REASONS_DEFAULT: readonly WaitReason[] = ["user", "event", "job"];

type Parts = {
  reads: Pick<Reads, "viewRun" | "loadRunHead">;
  hub: Pick<NoticeHub, "watchRun">;
  viewOf: RunViewer;
  isStopping: () => boolean;
};

/**
 * Waits until a run ends or reaches a wait with one of the reasons, and returns the run. After `timeoutMs` it returns
 * the run as it is.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function awaitRun(
  { reads, hub, viewOf, isStopping }: Parts,
  caller: Caller,
  request: AwaitRequest,
): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  const reasons = request.reasons.length > 0 ? request.reasons : REASONS_DEFAULT;
  const isReached = ({ state }: StoredRun) =>
    hasEnded(state) || (openWaitOf(state) !== undefined && reasons.includes(waitReasonOf(state)!));
  const endAt = performance.now() + request.timeoutMs;
  const changed = createSignal();
  let news: RunNews;
  const unwatch = hub.watchRun(key, (latest) => {
    news = latest;
    changed.raise();
  });
  try {
    // A run with its vars may be megabytes, so it is read last and never held while waiting.
    for (;;) {
      const known = news;
      news = undefined;
      const leftMs = endAt - performance.now();
      const isOver = leftMs <= 0 || request.signal.aborted || isStopping();
      if (isReached(known ?? (await loadExisting(reads.loadRunHead, key))) || isOver) {
        const leaveRoom = known === undefined ? await request.roomForRun?.() : undefined;
        const run = known ?? (await loadExisting(reads.viewRun, key));
        if (isReached(run) || isOver) return viewOf(run);
        // It has moved between the two reads.
        leaveRoom?.();
      }
      const change = changed.wait(leftMs, request.signal);
      await (caller.deadline?.resting(change) ?? change);
    }
  } finally {
    unwatch();
  }
}

/** @throws {DomainError} RUN_UNKNOWN */
async function loadExisting(load: Reads["viewRun"], key: RunKey): Promise<StoredRun> {
  const run = await load(key);
  if (run === undefined) throw runUnknown(key.runId);
  return run;
}
