import { channelKey } from "../../core/event.ts";
import { v7 as uuidv7 } from "uuid";
import { runEnded } from "../../core/control-run.ts";
import { DomainError } from "../../core/errors.ts";
import { hasEnded } from "../../core/run.ts";
import type { Caller, EmitRequest } from "../api.ts";
import { actorOf } from "../caller.ts";
import { until } from "../deadline.ts";
import type { Essentials } from "../essentials.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import type { Reads } from "../reads.ts";
import { runUnknown, workflowUnknown } from "../refusals.ts";
import type { ListenerWaker } from "../stimuli/wake-listeners.ts";
import { jsonText } from "../../core/json/json-text.ts";

/** How long the reply waits for listeners to be woken; they are woken in any case. */
const DELIVERY_WAIT_MS = 1_000;

type Parts = Essentials & {
  lanes: Lanes;
  reads: Pick<Reads, "loadRunHead">;
  listeners: Pick<ListenerWaker, "wakeListeners">;
};

/**
 * Puts an event into its channel and wakes the runs that wait for it. An event whose id is already in the channel is a
 * duplicate and has no further effect.
 * @returns how many runs took the event before this reply
 * @throws {DomainError} RUN_UNKNOWN and RUN_ENDED if the scope is a run, WORKFLOW_UNKNOWN if it is a workflow,
 * OVERLOADED
 */
export async function emitEvent(
  { store, clock, settings, lanes, reads, listeners }: Parts,
  caller: Caller,
  request: EmitRequest,
): Promise<{ eventId: string; delivered: number }> {
  const { tenantId } = caller;
  const { scope, scopeId } = request;
  if (lanes.pending() >= 2 * settings.pendingMax) {
    throw new DomainError("OVERLOADED", "The server has too much to commit; try again later.", { retryAfterMs: 1_000 });
  }
  const channel = { tenantId, scope, scopeId };
  if (scope === "run") {
    const run = await until(caller.deadline, reads.loadRunHead({ tenantId, runId: scopeId }));
    if (run === undefined) throw runUnknown(scopeId);
    if (hasEnded(run.state)) {
      // The first attempt may itself have ended the run: a repeat gets the same answer.
      const { eventId } = request;
      if (eventId !== undefined && (await store.events.wasEmitted(channel, eventId))) return { eventId, delivered: 0 };
      throw runEnded(scopeId);
    }
  }
  if (scope === "workflow" && (await store.workflows.get(tenantId, scopeId, 0)) === undefined) {
    throw workflowUnknown(scopeId);
  }
  const eventId = request.eventId ?? uuidv7();
  const event = {
    ...channel,
    eventId,
    name: request.name,
    key: request.key,
    payload: request.payload,
    emitTime: clock.now(),
    ...actorOf(caller),
  };
  const lane = lanes.laneFor(channelKey(channel));
  const bytes = jsonText(request.payload).length + 500;
  // A duplicate wakes listeners too: the server that committed the first may have died before it woke them.
  await lane.submit({ type: "delivery", delivery: { type: "event", event } }, bytes, caller.deadline);
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<number>((resolve) => {
    timer = setTimeout(resolve, DELIVERY_WAIT_MS, 0);
  });
  const delivered = await Promise.race([listeners.wakeListeners(channel, eventId), patience]);
  clearTimeout(timer);
  return { eventId, delivered };
}
