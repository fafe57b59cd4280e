/** Cancel, pause and unpause: the operations that control a run from outside. */
import { isOpen } from "./call.ts";
import { endRun } from "./complete-step.ts";
import type { Decision } from "./decision.ts";
import { DecisionBuilder } from "./decision-builder.ts";
import { addMs, type Instant, parseDurationMs } from "./duration.ts";
import { DomainError } from "./errors.ts";
import type { Failure } from "./failure.ts";
import type { Workflow } from "./graph/graph.ts";
import { callsOf, hasEnded, type RunState } from "./run.ts";

/** How long `on_cancel` may take if the workflow has no run_timeout. */
const CANCEL_TIMEOUT_DEFAULT_MS = 15 * 60_000;

export type ControlStimulus = {
  type: "cancel" | "pause" | "unpause";
  now: Instant;
  actorId?: string;
  reason?: string;
};

/**
 * Cancels a run: `on_cancel` runs once, then the run is CANCELLED. Changes nothing if the run has ended or is already
 * being cancelled.
 */
export function cancelRun(run: RunState, stimulus: ControlStimulus, workflow: Workflow): Decision {
  const draft = new DecisionBuilder(run, stimulus.now);
  if (hasEnded(run) || run.cancelling) return draft.decision();
  const actor = stimulus.actorId === undefined ? {} : { actorId: stimulus.actorId };
  const reason = stimulus.reason ? { reason: stimulus.reason } : {};
  draft.giveUp("cancel");
  if (workflow.onCancel === undefined) {
    draft.notice("cancelled");
    draft.record("run.cancelled", reason, actor);
  } else {
    const timeout = run.limits.runTimeout;
    const timeoutMs = timeout === undefined ? CANCEL_TIMEOUT_DEFAULT_MS : parseDurationMs(timeout);
    const deadline = addMs(draft.now, timeoutMs);
    const body = { ...reason, to: workflow.onCancel, deadline_time: deadline };
    draft.record("run.cancel_requested", body, actor);
  }
  return draft.decision();
}

/**
 * Pauses a run: until it is unpaused, it takes no step and none of its timers fires; events are kept for it.
 * @throws {DomainError} RUN_ENDED
 */
export function pauseRun(run: RunState, stimulus: ControlStimulus): Decision {
  const draft = new DecisionBuilder(run, stimulus.now);
  if (hasEnded(run)) {
    throw runEnded(run.runId);
  }
  if (!run.paused) {
    const actor = stimulus.actorId === undefined ? {} : { actorId: stimulus.actorId };
    holdJobs(draft, true);
    draft.notice("paused");
    draft.record("run.paused", stimulus.reason ? { reason: stimulus.reason } : {}, actor);
  }
  return draft.decision();
}

/**
 * Lets a paused run continue. Timers that became due in the meantime fire now.
 * @throws {DomainError} RUN_NOT_PAUSED
 */
export function unpauseRun(run: RunState, stimulus: ControlStimulus): Decision {
  if (!run.paused) {
    throw new DomainError("RUN_NOT_PAUSED", `Run ${run.runId} is not paused.`, { metadata: { run_id: run.runId } });
  }
  const draft = new DecisionBuilder(run, stimulus.now);
  const actor = stimulus.actorId === undefined ? {} : { actorId: stimulus.actorId };
  holdJobs(draft, false);
  draft.notice("unpaused");
  draft.record("run.unpaused", {}, actor);
  return draft.decision();
}

/** Holds a paused run's jobs back in the queue, or releases them. */
function holdJobs(draft: DecisionBuilder, held: boolean): void {
  if (callsOf(draft.run).some(isOpen)) draft.commands.push({ type: "hold_jobs", held });
}

export type FailStimulus = { type: "fail"; now: Instant; failure: Failure };

/** Fails a run whose next transition cannot be stored; otherwise it would be stuck. */
export function failRun(run: RunState, stimulus: FailStimulus): Decision {
  const draft = new DecisionBuilder(run, stimulus.now);
  if (!hasEnded(run)) {
    draft.giveUp(run.cancelling ? "cancel" : "end");
    endRun(draft, { ...stimulus.failure, node_id: run.node });
  }
  return draft.decision();
}

export function runEnded(runId: string): DomainError {
  return new DomainError("RUN_ENDED", `Run ${runId} has ended.`, { metadata: { run_id: runId } });
}
