import { isOpen } from "../../core/call.ts";
import { epochMicrosOf } from "../../core/duration.ts";
import { type RunState, callsOf } from "../../core/run.ts";
import type { BlockedReason } from "../api.ts";
import type { WorkersElsewhere } from "./elsewhere.ts";
import { queueText } from "./job-queue.ts";
import { isServedHere, type WorkerPool } from "./pool.ts";

/** Why a run does not move, if its jobs are why. */
export function blockedReasonOf(
  pool: WorkerPool,
  elsewhere: WorkersElsewhere,
  run: RunState,
): BlockedReason | undefined {
  const { tenantId, version } = run;
  if (run.status !== "running") return undefined;
  const open = callsOf(run).filter(isOpen);
  if (open.length === 0) return undefined;
  const areServed = open.every(({ kind, name }) => {
    const queue = queueText({ tenantId, kind, name });
    return isServedHere(pool, queue, version) || elsewhere.serve(queue, version);
  });
  if (!areServed) return "no_worker";
  const now = pool.context.clock.nowMicros();
  const areLater = open.every((call) => call.retry_time !== undefined && epochMicrosOf(call.retry_time) > now);
  return areLater ? "retry_at" : undefined;
}
