/** The channels of a run: which one each scope means for it, and what it looks for there. */
import type { Channel, EventQuery, Scope } from "./event.ts";
import type { RunState } from "./run.ts";

type RunIds = { tenantId: string; runId: string; sessionId?: string; workflowId: string };

/** The scope ids of a run's channels. A run without a session is a session of its own. */
export function scopeIdsOf(run: Omit<RunIds, "tenantId">): Record<Scope, string> {
  return { run: run.runId, session: run.sessionId ?? run.runId, workflow: run.workflowId, global: "" };
}

/** The channel that a scope means for a run. */
export function channelOf(run: RunIds, scope: Scope): Channel {
  return { tenantId: run.tenantId, scope, scopeId: scopeIdsOf(run)[scope] };
}

/** What a run that listens to events looks for in their channel. */
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
