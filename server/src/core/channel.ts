/** The channels of a run: the channel of each scope, and the query for the events that the run waits for. */
import type { Channel, EventQuery, Scope } from "./event.ts";
import type { RunState } from "./run.ts";

type RunIds = { tenantId: string; runId: string; sessionId?: string; workflowId: string };

/** The scope ids of a run's channels. A run without a session is its own session. */
export function scopeIdsOf(run: Omit<RunIds, "tenantId">): Record<Scope, string> {
  return { run: run.runId, session: run.sessionId ?? run.runId, workflow: run.workflowId, global: "" };
}

/** The run's channel of a scope. */
export function channelOf(run: RunIds, scope: Scope): Channel {
  return { tenantId: run.tenantId, scope, scopeId: scopeIdsOf(run)[scope] };
}

/** The query for the next event that a run waits for. */
export function eventQuery(
  run: RunState,
  { scope, names, key }: { scope: Scope; names: readonly string[]; key?: string },
): EventQuery {
  return {
    channel: channelOf(run, scope),
    names,
    ...(key === undefined ? {} : { key }),
    startNumber: run.channels[scope],
    cursors: run.cursors.filter((cursor) => cursor.scope === scope),
  };
}
