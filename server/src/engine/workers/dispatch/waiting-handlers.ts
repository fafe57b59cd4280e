/** Handlers without a job row that wait until a worker of this server has time for them, or for as long as they may. */
import { createFairQueue } from "../fair-queue.ts";
import type { HandlerRun } from "../handler-runs.ts";
import { isServedHere } from "../pool.ts";
import { type Session, takeCredit } from "../session.ts";
import { findSession } from "./eligible-sessions.ts";
import { offerHandler } from "./offers.ts";
import type { DispatchState } from "./state.ts";

/**
 * How long a handler waits for a busy worker of this server before it becomes a job that any server's worker may take.
 */
const HANDLER_QUEUE_MS = 2_000;

/** Lets the handler wait for a worker. It is unserved if no worker takes it in time. */
export function addWaitingHandler(state: DispatchState, handlerRun: HandlerRun): void {
  const { pool, waitingHandlers } = state;
  const { queue, request } = handlerRun;
  const waiting = waitingHandlers.get(queue) ?? createFairQueue<HandlerRun>();
  waitingHandlers.set(queue, waiting);
  waiting.push(request.fairnessKey, handlerRun);
  const { handlerParkMs } = pool.context.settings;
  const waitMs = isServedHere(pool, queue, request.version) ? HANDLER_QUEUE_MS : handlerParkMs;
  const timer = setTimeout(() => {
    forgetHandler(state, handlerRun);
    state.handlerRuns.finish(handlerRun, { type: "unserved" });
  }, waitMs);
  state.handlerTimers.set(handlerRun, timer);
}

/** Lets the handler wait no longer. */
export function forgetHandler({ handlerTimers, waitingHandlers }: DispatchState, handlerRun: HandlerRun): void {
  clearTimeout(handlerTimers.get(handlerRun));
  handlerTimers.delete(handlerRun);
  const waiting = waitingHandlers.get(handlerRun.queue);
  waiting?.remove(handlerRun.request.fairnessKey, handlerRun);
  if (waiting?.size === 0) waitingHandlers.delete(handlerRun.queue);
}

/** Offers waiting handlers to sessions that have time, after all jobs that wait in the same queue. */
export function serveWaitingHandlers(state: DispatchState): void {
  for (const [queue, waiting] of state.waitingHandlers) {
    if (state.backlog.has(queue)) continue;
    for (;;) {
      let session: Session | undefined;
      const handlerRun = waiting.take(({ request }) => {
        session = findSession(state, queue, request.version);
        return session !== undefined;
      });
      if (handlerRun === undefined || session === undefined) break;
      forgetHandler(state, handlerRun);
      takeCredit(session, queue);
      offerHandler(state, session, handlerRun);
    }
  }
}
