import { endingNode } from "./complete-step.ts";
import type { Decision } from "./decision.ts";
import { DecisionBuilder } from "./decision-builder.ts";
import type { Instant } from "./duration.ts";
import { waitHandlingOf } from "./effects/effects.ts";
import { DomainError } from "./errors.ts";
import type { Workflow } from "./graph/graph.ts";
import { canonicalJson, type Json } from "./json/json.ts";
import { openWaitOf, type RunState } from "./run.ts";
import { reasonOf } from "./wait.ts";

export type AnswerStimulus = {
  type: "answer";
  now: Instant;
  waitId: string;
  payload: Json;
  requestId?: string;
  actorId?: string;
};

/**
 * Answers the run's open wait, whose id must be the given one. A question or an approval takes `{ "answer": … }`, an
 * event wait takes the payload of the event.
 * @throws {DomainError} RUN_NOT_WAITING, WAIT_UNKNOWN, WAIT_NOT_ANSWERABLE, ANSWER_INVALID
 */
export function answerWait(run: RunState, stimulus: AnswerStimulus, workflow: Workflow): Decision {
  const { payload, waitId, requestId, actorId } = stimulus;
  const wait = openWaitOf(run);
  const metadata = { run_id: run.runId, wait_id: waitId };
  if (wait === undefined) throw new DomainError("RUN_NOT_WAITING", `Run ${run.runId} is not waiting.`, { metadata });
  if (wait.wait_id !== waitId) {
    throw new DomainError("WAIT_UNKNOWN", `Run ${run.runId} has no open wait ${waitId}.`, { metadata });
  }
  const handling = waitHandlingOf(wait);
  if (handling.answer === undefined || wait.node_id === undefined) {
    const reason = reasonOf(wait);
    const message = `A wait for ${reason === "until" ? "a time" : reason} takes no answer.`;
    throw new DomainError("WAIT_NOT_ANSWERABLE", message, { metadata: { ...metadata, reason } });
  }
  const draft = new DecisionBuilder(run, stimulus.now);
  const step = { draft, workflow, node: endingNode(run, workflow) };
  const answer = {
    given: { text: canonicalJson(payload), value: payload },
    ...(actorId === undefined ? {} : { actorId }),
    ...(requestId === undefined ? {} : { requestId }),
  };
  draft.closeWait("answer", answer);
  handling.answer(wait, step, answer);
  return draft.decision();
}
