/** Event waits: which channel, what to look for, and how an event becomes a step's result. */
import type { PlanFacts } from "./begin-step.ts";
import type { DecisionBuilder } from "./decision.ts";
import { type Channel, type ChannelEvent, type EventQuery, nameMatches, type Scope } from "./event.ts";
import type { RunState } from "./run.ts";
import { completeStep, valueResult } from "./settle-step.ts";
import type { Wait } from "./wait.ts";
import type { Workflow, WorkflowNode } from "./workflow.ts";

/** The scope ids of a run's channels. A run without a session is a session of its own. */
export function scopeIdsOf(run: Pick<RunState, "runId" | "sessionId" | "workflowId">): Record<Scope, string> {
  return { run: run.runId, session: run.sessionId ?? run.runId, workflow: run.workflowId, global: "" };
}

/** The channel that a scope means for a run. */
export function channelOf(run: RunState, scope: Scope): Channel {
  return { tenantId: run.tenantId, scope, scopeId: scopeIdsOf(run)[scope] };
}

export function eventQuery(run: RunState, channel: Channel, names: readonly string[], key?: string): EventQuery {
  return {
    channel,
    names,
    ...(key === undefined ? {} : { key }),
    startNumber: run.channels[channel.scope],
    cursors: run.cursors.filter((cursor) => cursor.scope === channel.scope),
  };
}

/** The key of a wait as an optional property. */
export function keyOf(wait: Pick<Wait, "key">): { key?: string } {
  return wait.key === undefined ? {} : { key: wait.key };
}

/** Gives `event` to the run: it becomes the node's result, and the cursors that cover it move to it. */
export function consumeEvent(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  wait: Required<Pick<Wait, "names" | "scope">> & Pick<Wait, "key">,
  event: ChannelEvent,
  facts: PlanFacts & { idempotencyKey?: string } = {},
): void {
  const { name, payload, eventId, emitTime, number } = event;
  const cursors = wait.names
    .filter((pattern) => nameMatches(pattern, name))
    .map((pattern) => ({ scope: wait.scope, name: pattern, ...keyOf(wait), number }));
  completeStep(draft, workflow, node, {
    ...facts,
    ...(draft.run.wait === undefined ? { effect: { type: "wait_event", payload: {} } } : {}),
    ...(event.actorId === undefined ? {} : { actorId: event.actorId }),
    result: valueResult({ name, payload, event_id: eventId, emit_time: emitTime, timed_out: false }),
    cursors,
  });
}
