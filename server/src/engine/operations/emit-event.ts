import { v7 as uuidv7 } from "uuid";
import { runEnded } from "../../core/control-run.ts";
import { DomainError } from "../../core/errors.ts";
import type { Channel } from "../../core/event.ts";
import { hasEnded } from "../../core/run.ts";
import type { Caller, EmitRequest } from "../api.ts";
import type { EngineContext } from "../context.ts";
import { runUnknown } from "../transition/perform.ts";
import { workflowUnknown } from "../workflow-cache.ts";

/** How long the reply waits for listeners that are being woken; they are woken anyway. */
const DELIVERY_WAIT_MS = 1_000;
const EVENTS_PAGE = 500;

/**
 * Puts an event into its channel and wakes who waits for it. A second event with the same id in the channel is the first.
 * @returns the runs that took the event before this reply
 * @throws {DomainError} RUN_UNKNOWN, RUN_ENDED where the scope is a run, WORKFLOW_UNKNOWN where it is a workflow, OVERLOADED
 */
export async function emitEvent(
  context: EngineContext,
  caller: Caller,
  request: EmitRequest,
): Promise<{ eventId: string; delivered: number }> {
  const { tenantId } = caller;
  const { scope, scopeId } = request;
  if (context.pending() >= 2 * context.settings.pendingMax) {
    throw new DomainError("OVERLOADED", "The server has more to commit than it can.", { retryAfterMs: 1_000 });
  }
  const channel = { tenantId, scope, scopeId };
  if (scope === "run") {
    const run = await context.loadRunHead({ tenantId, runId: scopeId });
    if (run === undefined) throw runUnknown(scopeId);
    if (hasEnded(run.state)) {
      // The first try may be what ended the run: asked again, it has the same answer.
      if (await wasEmitted(context, channel, request.eventId)) return { eventId: request.eventId!, delivered: 0 };
      throw runEnded(scopeId);
    }
  }
  if (scope === "workflow" && (await context.store.workflows.get(tenantId, scopeId, 0)) === undefined) {
    throw workflowUnknown(scopeId);
  }
  const eventId = request.eventId ?? uuidv7();
  const event = {
    ...channel,
    eventId,
    name: request.name,
    key: request.key,
    payload: request.payload,
    emitTime: context.clock.next(),
    ...(request.actorId === undefined ? {} : { actorId: request.actorId }),
  };
  const lane = context.laneOf({ tenantId, runId: `${scope}/${scopeId}` });
  const bytes = JSON.stringify(request.payload).length + 500;
  // A duplicate wakes listeners too: whoever committed the first may have died before it came to that.
  await lane.submit({ type: "delivery", delivery: { type: "event", event } }, bytes);
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<number>((resolve) => {
    timer = setTimeout(resolve, DELIVERY_WAIT_MS, 0);
  });
  const delivered = await Promise.race([context.wakeListeners(channel, eventId), patience]);
  clearTimeout(timer);
  return { eventId, delivered };
}

async function wasEmitted(context: EngineContext, channel: Channel, eventId: string | undefined): Promise<boolean> {
  if (eventId === undefined) return false;
  for (let after = 0; ;) {
    const events = await context.store.events.list(channel, after, EVENTS_PAGE);
    if (events.some((event) => event.eventId === eventId)) return true;
    if (events.length < EVENTS_PAGE) return false;
    after = events.at(-1)!.number;
  }
}
