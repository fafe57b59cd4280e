/** What a waiting run does when its time, or an event, may have come. */
import { type Decision, DecisionBuilder, type LookUpNeeded } from "./decision.ts";
import type { Instant } from "./duration.ts";
import type { EventLookup } from "./event.ts";
import { channelOf, consumeEvent, eventQuery, keyOf } from "./event-wait.ts";
import { hasEnded, type RunState } from "./run.ts";
import { completeStep, settlingNode, valueResult } from "./settle-step.ts";
import type { Workflow } from "./workflow.ts";

export type WakeStimulus = { type: "wake"; now: Instant; lookup?: EventLookup };

/**
 * Settles what is due at `now`: the run's deadline, the due time of its wait, or the next event it waits for. Decides
 * nothing when nothing is due. An event that was emitted by the due time wins over the timeout.
 */
export function wakeRun(run: RunState, stimulus: WakeStimulus, workflow: Workflow): Decision | LookUpNeeded {
  const draft = new DecisionBuilder(run, stimulus.now);
  if (hasEnded(run) || run.paused) return draft.decision();
  if (run.deadlineTime !== undefined && run.deadlineTime <= draft.now) {
    const error = {
      code: "RUN_TIMEOUT",
      message: "The run's run_timeout has passed.",
      retryable: false,
      node_id: run.node,
    };
    draft.record(run.cancelling ? "run.cancelled" : "run.failed", { error }, { nodeId: run.node });
    return draft.decision();
  }
  const { wait } = run;
  if (wait === undefined) return draft.decision();
  const isDue = wait.due_time !== undefined && wait.due_time <= draft.now;
  if (wait.node_id === undefined) {
    if (isDue) draft.record("run.resumed", {});
    return draft.decision();
  }
  const node = settlingNode(run, workflow.nodes.get(wait.node_id)!);
  switch (wait.reason) {
    case "until":
      if (isDue) {
        const result = valueResult({ due_time: wait.due_time!, fire_time: draft.now });
        completeStep(draft, workflow, node, { result });
      }
      break;
    case "user":
      if (isDue) {
        const answer = wait.default_answer ?? null;
        const result = valueResult({ answer, timed_out: true, answered_by: null, answer_time: null });
        completeStep(draft, workflow, node, { result });
      }
      break;
    case "event": {
      if (stimulus.lookup === undefined) {
        return { lookUp: eventQuery(run, channelOf(run, wait.scope!), wait.names!, wait.key) };
      }
      const { event, upTo } = stimulus.lookup;
      if (event !== undefined && (wait.due_time === undefined || event.emitTime <= wait.due_time)) {
        consumeEvent(draft, workflow, node, { names: wait.names!, scope: wait.scope!, ...keyOf(wait) }, event);
      } else {
        // Whatever is decided from "no event yet" must not be committed over an event.
        draft.commands.push({ type: "expect_channel", channel: channelOf(run, wait.scope!), upTo });
        if (!isDue) break;
        const result = { name: null, payload: null, event_id: null, emit_time: null, timed_out: true };
        completeStep(draft, workflow, node, { result: valueResult(result) });
      }
      break;
    }
    case "job":
    case "subworkflow":
      break;
  }
  return draft.decision();
}
