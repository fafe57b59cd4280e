/** The names that expressions of the graph see. */
import type { Instant } from "./duration.ts";
import type { Json } from "./json/json.ts";
import type { RunState } from "./run.ts";

export type Names = { vars: Json; run: Json; result: Json; error: Json; now: Json };

/** @param result the result of the step that ends, for its edges; elsewhere null */
export function namesOf(run: RunState, now: Instant, result: Json = null): Names {
  return { vars: run.vars, run: runName(run), result, error: (run.error as Json | undefined) ?? null, now };
}

function runName(run: RunState): Json {
  return {
    run_id: run.runId,
    workflow_id: run.workflowId,
    version: run.version,
    session_id: run.sessionId ?? null,
    actor_id: run.actorId ?? null,
    parent_run_id: run.parentRunId ?? null,
    root_run_id: run.rootRunId,
    labels: { ...run.labels },
    create_time: run.createTime,
    steps: run.steps,
  };
}
