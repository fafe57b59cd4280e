/** Wakes a run whose timer is due, or for which an event may have arrived. */
import { endingNode, endRun } from "./complete-step.ts";
import type { Decision, LookUpNeeded } from "./decision.ts";
import { DecisionBuilder } from "./decision-builder.ts";
import type { Instant } from "./duration.ts";
import { waitHandlingOf } from "./effects/effects.ts";
import type { EventLookup } from "./event.ts";
import type { Workflow } from "./graph/graph.ts";
import { hasEnded, openWaitOf, type RunState } from "./run.ts";

export type WakeStimulus = { type: "wake"; now: Instant; lookup?: EventLookup };

/**
 * Does what is due at `now`: the run's deadline, the due time of its wait, or the next event that it waits for. Changes
 * nothing if nothing is due. An event that was emitted by the due time wins over the timeout.
 */
export function wakeRun(run: RunState, stimulus: WakeStimulus, workflow: Workflow): Decision | LookUpNeeded {
  const draft = new DecisionBuilder(run, stimulus.now);
  if (hasEnded(run) || run.paused) return draft.decision();
  if (run.deadlineTime !== undefined && run.deadlineTime <= draft.now) {
    const message = "The run's run_timeout has passed.";
    draft.giveUp(run.cancelling ? "cancel" : "end");
    endRun(draft, { code: "RUN_TIMEOUT", message, retryable: false, node_id: run.node });
    return draft.decision();
  }
  const wait = openWaitOf(run);
  if (wait === undefined) return draft.decision();
  const isDue = wait.due_time !== undefined && wait.due_time <= draft.now;
  if (wait.node_id === undefined) {
    if (isDue) {
      draft.closeWait("time");
      draft.record("run.resumed", {});
    }
    return draft.decision();
  }
  const step = { draft, workflow, node: endingNode(run, workflow) };
  const lookUp = waitHandlingOf(wait).wake(wait, step, { isDue, lookup: stimulus.lookup });
  return lookUp === undefined ? draft.decision() : { lookUp };
}
