import { type Decision, DecisionBuilder } from "./decision.ts";
import type { Instant } from "./duration.ts";
import { DomainError, type FieldProblem } from "./errors.ts";
import { canonicalJson, deepEqual, type Json, type JsonObject } from "./json.ts";
import { schemaOfChoices } from "./execute-effect.ts";
import { compileSchema, type SchemaValidator } from "./json-schema.ts";
import { namesOf } from "./names.ts";
import { fieldPath, type PatchOp } from "./pointer.ts";
import type { RunState } from "./run.ts";
import { completeStep, failStep, orFail, settlingNode, valueResult } from "./settle-step.ts";
import { APPROVAL_CHOICES, deniedResults, failureIsError, startApprovedCalls } from "./start-calls.ts";
import type { Wait } from "./wait.ts";
import type { Workflow, WorkflowNode } from "./workflow.ts";

export type AnswerStimulus = {
  type: "answer";
  now: Instant;
  waitId: string;
  payload: Json;
  requestId?: string;
  actorId?: string;
};

/**
 * Answers the run's open wait, which must be the one the caller means: a question, or one for approval, with
 * `{ "answer": … }`, an event wait with the payload of the event.
 * @throws {DomainError} RUN_NOT_WAITING, WAIT_UNKNOWN, WAIT_NOT_ANSWERABLE, ANSWER_INVALID
 */
export function answerWait(run: RunState, stimulus: AnswerStimulus, workflow: Workflow): Decision {
  const { payload, waitId } = stimulus;
  const { wait } = run;
  const metadata = { run_id: run.runId, wait_id: waitId };
  if (wait === undefined) throw new DomainError("RUN_NOT_WAITING", `Run ${run.runId} is not waiting.`, { metadata });
  if (wait.wait_id !== waitId) {
    throw new DomainError("WAIT_UNKNOWN", `Run ${run.runId} has no wait ${waitId}.`, { metadata });
  }
  const node = wait.node_id === undefined ? undefined : workflow.nodes.get(wait.node_id);
  if (node === undefined || (wait.reason !== "user" && wait.reason !== "event")) {
    const message = `A wait for ${wait.reason === "until" ? "a time" : wait.reason} takes no answer.`;
    throw new DomainError("WAIT_NOT_ANSWERABLE", message, { metadata: { ...metadata, reason: wait.reason } });
  }
  const draft = new DecisionBuilder(run, stimulus.now);
  const settling = settlingNode(run, node);
  const given = { text: canonicalJson(payload), value: payload };
  const facts = {
    given,
    ...(stimulus.actorId === undefined ? {} : { actorId: stimulus.actorId }),
    ...(stimulus.requestId === undefined ? {} : { requestId: stimulus.requestId }),
  };
  if (wait.reason === "user") assertFitting(wait, node, payload);
  draft.commands.push({ type: "answered", waitId, ...facts });
  if (wait.reason === "user" && wait.approves) takeApproval(draft, workflow, settling, wait, facts);
  else {
    const result = wait.reason === "user" ? answerResult(draft, stimulus) : eventResult(draft, wait);
    completeStep(draft, workflow, settling, { ...facts, result });
  }
  return draft.decision();
}

type AnswerFacts = { given: { text: string; value: Json }; actorId?: string; requestId?: string };

/** Makes the calls that a person approved, or gives their results as those of calls that were not made. */
function takeApproval(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  wait: Wait,
  facts: AnswerFacts,
): void {
  const details = wait.details ?? null;
  const answered = { facts, body: facts.requestId === undefined ? {} : { request_id: facts.requestId } };
  const isApproved = (facts.given.value as JsonObject).answer === APPROVAL_CHOICES[0];
  if (isApproved) {
    const done = orFail(() => {
      startApprovedCalls(draft, node, details, { names: namesOf(draft.run, draft.now), plan: facts });
    });
    if ("failure" in done) failStep(draft, workflow, node, done.failure, answered);
  } else if (failureIsError(node)) {
    const failure = { code: "APPROVAL_DENIED", message: "The calls were not approved.", retryable: false };
    failStep(draft, workflow, node, failure, answered);
  } else {
    completeStep(draft, workflow, node, { ...facts, result: valueResult({ results: deniedResults(details) }) });
  }
}

function assertFitting(wait: Wait, node: WorkflowNode, payload: Json): void {
  const problems = answerProblems(wait, node, payload);
  if (problems.length === 0) return;
  throw new DomainError("ANSWER_INVALID", "The answer does not fit the question.", {
    metadata: { wait_id: wait.wait_id },
    problems,
  });
}

function answerResult(draft: DecisionBuilder, stimulus: AnswerStimulus): PatchOp[] {
  const rest: JsonObject = { timed_out: false, answered_by: stimulus.actorId ?? null, answer_time: draft.now };
  return [
    { op: "set", path: "", value: rest },
    { op: "set", path: "/answer", of: "given", at: "/answer" },
  ];
}

function answerProblems(wait: Wait, node: WorkflowNode, payload: Json): FieldProblem[] {
  if (payload === null || typeof payload !== "object" || Array.isArray(payload)) {
    return [{ path: "payload", message: 'must be an object: { "answer": … }' }];
  }
  const extra = Object.keys(payload).filter((name) => name !== "answer");
  if (extra.length > 0) return [{ path: `payload.${extra[0]}`, message: "is not known; an answer has `answer` only" }];
  const answer = payload.answer;
  if (answer === undefined) return [{ path: "payload.answer", message: "is required" }];
  const isChoice = wait.choices === undefined || wait.choices.some((choice) => deepEqual(choice, answer));
  const isFreeText = wait.allow_free_text === true && typeof answer === "string";
  if (!isChoice && !isFreeText) return [{ path: "payload.answer", message: "is not one of the choices" }];
  const validator = validatorOf(wait, node);
  return (validator?.validate(answer) ?? []).map(({ path, message }) => ({
    path: fieldPath("payload.answer", path),
    message,
  }));
}

/** That of the graph is compiled already; the question of a step plan brings its own, unless it is only that of its choices, which
 *  have been looked at and may be more than a schema can hold. */
function validatorOf(wait: Wait, { kind }: WorkflowNode): SchemaValidator | undefined {
  if (kind.type === "ask_user") return kind.answerValidator;
  const { choices, allow_free_text, answer_schema } = wait;
  if (kind.type !== "handler" || wait.approves || answer_schema === undefined) return undefined;
  const isOfChoices = deepEqual(answer_schema, schemaOfChoices(choices, allow_free_text === true));
  return isOfChoices ? undefined : compileSchema(answer_schema);
}

function eventResult(draft: DecisionBuilder, wait: Wait): PatchOp[] {
  const name = wait.names!.find((one) => !one.endsWith("*")) ?? null;
  const rest = { name, event_id: null, emit_time: draft.now, timed_out: false };
  return [
    { op: "set", path: "", value: rest },
    { op: "set", path: "/payload", of: "given" },
  ];
}
