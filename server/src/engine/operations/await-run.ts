import { hasEnded } from "../../core/run.ts";
import type { WaitReason } from "../../core/wait.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Caller, RunView } from "../api.ts";
import { type EngineContext, viewOf } from "../context.ts";
import { createSignal, type RunNews } from "../notice-hub.ts";
import { runUnknown } from "../transition/perform.ts";

/** Waits at which a client has something to do (CONTRACT.md, rule 6). */
const REASONS_DEFAULT: readonly WaitReason[] = ["user", "event", "job"];

/**
 * Waits until a run ends or comes to a wait that is asked for; gives the run as it is after `timeoutMs` at the latest.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function awaitRun(
  context: EngineContext,
  caller: Caller,
  request: { runId: string; reasons: readonly WaitReason[]; timeoutMs: number; signal: AbortSignal },
): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId };
  const reasons = request.reasons.length > 0 ? request.reasons : REASONS_DEFAULT;
  const isReached = ({ state }: StoredRun) =>
    hasEnded(state) || (state.wait !== undefined && reasons.includes(state.wait.reason));
  const endAt = performance.now() + request.timeoutMs;
  const changed = createSignal();
  let news: RunNews;
  const unwatch = context.hub.watchRun(key, (latest) => {
    news = latest;
    changed.raise();
  });
  try {
    let run = await context.loadRun(key);
    for (;;) {
      if (run === undefined) throw runUnknown(request.runId);
      const leftMs = endAt - performance.now();
      if (isReached(run) || leftMs <= 0 || request.signal.aborted || context.isStopping()) return viewOf(context, run);
      await changed.wait(leftMs, request.signal);
      run = news ?? (await context.loadRun(key));
      news = undefined;
    }
  } finally {
    unwatch();
  }
}
