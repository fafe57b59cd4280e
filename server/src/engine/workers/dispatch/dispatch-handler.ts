import type { HandlerRun } from "../handler-runs.ts";
import { takeCredit } from "../session.ts";
import { pump } from "./backlog.ts";
import { findSession } from "./eligible-sessions.ts";
import { offerHandler } from "./offers.ts";
import type { DispatchState } from "./state.ts";
import { addWaitingHandler } from "./waiting-handlers.ts";

/** Offers the handler to a worker, or lets it wait for one: jobs that wait in its queue come first. */
export function dispatchHandler(state: DispatchState, handlerRun: HandlerRun): void {
  const { queue, request } = handlerRun;
  const hasBacklog = state.backlog.has(queue);
  const session = hasBacklog ? undefined : findSession(state, queue, request.version);
  if (session !== undefined) {
    takeCredit(session, queue);
    offerHandler(state, session, handlerRun);
    return;
  }
  addWaitingHandler(state, handlerRun);
  if (hasBacklog) pump(state);
}
