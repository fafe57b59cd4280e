/** Delayed jobs become open when they are due, and open ones fail that have waited too long. The next due time is in memory. */
import { epochMicrosOf, type Instant } from "../../core/duration.ts";
import { StoreUnavailableError } from "../../store/contract.ts";
import type { EngineContext } from "../context.ts";
import { queueText } from "./session.ts";
import type { JobSettler } from "./settle-jobs.ts";

const CLAIM_MAX = 500;
const CLAIM_RETRY_MS = 10_000;
/** setTimeout takes 32 bits; looking again once a day costs nothing. */
const SLEEP_MS_MAX = 24 * 3_600_000;
const UNAVAILABLE_PAUSE_MS = 500;

export type JobTimers = {
  /** Notes that a job is due at this time. */
  arm(dueTime: Instant): void;
  stop(): Promise<void>;
};

export function createJobTimers(
  context: EngineContext,
  parts: { settler: JobSettler; onOpen: (queue: string) => void },
): JobTimers {
  let dueMicros = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let isStopped = false;

  function schedule(): void {
    clearTimeout(timer);
    if (isStopped || looking !== undefined || dueMicros === Number.POSITIVE_INFINITY) return;
    const inMs = Math.ceil((dueMicros - context.clock.nowMicros()) / 1000);
    timer = setTimeout(fire, Math.min(Math.max(inMs, 0), SLEEP_MS_MAX));
  }

  function fire(): void {
    if (isStopped || looking !== undefined) return;
    looking = look().finally(() => {
      looking = undefined;
      schedule();
    });
  }

  async function look(): Promise<void> {
    dueMicros = Number.POSITIVE_INFINITY;
    try {
      for (;;) {
        const { queues, expired, nextJobTime } = await context.store.claimDueJobs(CLAIM_MAX, CLAIM_RETRY_MS);
        for (const queue of queues) parts.onOpen(queueText(queue));
        for (const { tenantId, runId, idempotencyKey, attempt, leaseNo } of expired) {
          const failure = {
            code: "QUEUE_TIMEOUT",
            message: "No worker has taken the job in time.",
            nonRetryable: true,
          };
          const end = { idempotencyKey, attempt, isAtMostOnce: false, outcome: { failure }, random: Math.random() };
          parts.settler.settle({ tenantId, runId }, { end, leaseNo, onlyOpen: true, onSettled: () => undefined });
        }
        if (nextJobTime !== undefined) dueMicros = Math.min(dueMicros, epochMicrosOf(nextJobTime));
        if (queues.length + expired.length === 0 || dueMicros > context.clock.nowMicros() || isStopped) return;
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) context.log.error({ err: error }, "looking after due jobs failed");
      dueMicros = context.clock.nowMicros() + UNAVAILABLE_PAUSE_MS * 1000;
    }
  }

  return {
    arm(dueTime) {
      const micros = epochMicrosOf(dueTime);
      if (micros >= dueMicros) return;
      dueMicros = micros;
      schedule();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}
