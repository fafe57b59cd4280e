/** One step of an active run: execute the node that it stands at. */
import assert from "node:assert/strict";
import { DecisionBuilder, type Decision, type JobDraft, type LookUpNeeded } from "./decision.ts";
import { addMs, type Instant, parseDurationMs, parseInstant } from "./duration.ts";
import type { EventLookup, EventQuery } from "./event.ts";
import { channelOf, consumeEvent, eventQuery } from "./event-wait.ts";
import { evaluate, type Expression } from "./expression.ts";
import { NodeFailure } from "./failure.ts";
import { idempotencyKey, waitIdOf } from "./identifiers.ts";
import { canonicalJson, type Json, JSON_DEPTH_MAX, type JsonObject } from "./json.ts";
import { namesOf, type Names } from "./names.ts";
import type { PatchOp } from "./pointer.ts";
import { hasNextStep, type RunState } from "./run.ts";
import { assertFits, completeStep, failStep, orFail, valueResult } from "./settle-step.ts";
import type { TemplateValue } from "./template.ts";
import type { Wait } from "./wait.ts";
import { MAX_STEPS_DEFAULT, type NodeKind, type Workflow, type WorkflowNode } from "./workflow.ts";

/** Different (name, key) pairs that one run may listen to in its life: its state holds a cursor for each. */
export const EVENT_CURSORS_MAX = 1_000;
/** Calls of one tool_calls effect. */
export const CALLS_MAX = 1_000;
/** Bytes of an evaluated prompt, message or name that a person reads. */
const TEXT_BYTES_MAX = 64 * 1024;
/** Bytes of a whole question: it is shown with its run's vars and output, and the message stays below 3 MiB. */
const WAIT_BYTES_MAX = 256 * 1024;
const CHOICES_MAX = 1_000;
const ASSIGNEES_MAX = 64;
const EVENT_NAME_LENGTH_MAX = 200;
const EVENT_KEY_LENGTH_MAX = 256;

export type AdvanceStimulus = { type: "advance"; now: Instant; lookup?: EventLookup };

/** Executes the current node of a run that has a next step; whether it should, paused as it may be, is the caller's business. */
export function advanceRun(run: RunState, stimulus: AdvanceStimulus, workflow: Workflow): Decision | LookUpNeeded {
  assert(hasNextStep(run), "only a running run without calls in flight advances");
  const draft = new DecisionBuilder(run, stimulus.now);
  const stepsMax = run.limits.maxSteps ?? MAX_STEPS_DEFAULT;
  if (run.steps >= stepsMax) {
    const message = `The run has taken ${run.steps} steps, as many as its limit max_steps allows.`;
    const error = { code: "LIMIT_MAX_STEPS", message, retryable: false, node_id: run.node };
    draft.record(run.cancelling ? "run.cancelled" : "run.failed", { error }, { nodeId: run.node });
    return draft.decision();
  }
  const node = workflow.nodes.get(run.node);
  assert(node !== undefined, `workflow ${workflow.workflowId} has no node ${run.node}`);
  const done = orFail(() => executeNode(draft, workflow, node, stimulus.lookup));
  if ("failure" in done) failStep(draft, workflow, node, done.failure);
  else if (done.value !== undefined) return { lookUp: done.value };
  return draft.decision();
}

/** Executes `node`, or says what has to be looked up first. Records are made only after everything is evaluated. */
function executeNode(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  lookup: EventLookup | undefined,
): EventQuery | undefined {
  const names = namesOf(draft.run, draft.now);
  const { kind } = node;
  switch (kind.type) {
    case "assign":
      completeStep(draft, workflow, node, { patch: assignPatch(kind, names) });
      return undefined;
    case "complete": {
      const output = kind.output === undefined ? null : kind.output.evaluate(names);
      const body = { status: "completed" } as const;
      if (draft.run.cancelling) draft.record("run.cancelled", body, { nodeId: node.nodeId });
      else draft.record("run.completed", { ...body, output: { value: output } }, { nodeId: node.nodeId });
      return undefined;
    }
    case "fail": {
      const code = textOf(kind.code, names, "code");
      const message = textOf(kind.message, names, "message");
      const error = { code, message, retryable: false, node_id: node.nodeId };
      const end = draft.run.cancelling ? "run.cancelled" : "run.failed";
      draft.record(end, { status: "failed", error }, { nodeId: node.nodeId });
      return undefined;
    }
    case "answer_user": {
      const message = textOf(kind.message, names, "message");
      completeStep(draft, workflow, node, {
        effect: { type: "answer_user", payload: { message } },
        result: valueResult({ message }),
        idempotencyKey: effectKey(draft, node),
      });
      return undefined;
    }
    case "emit_event":
      emitEvent(draft, workflow, node, kind, names);
      return undefined;
    case "ask_user":
      openWait(draft, node, "ask_user", questionOf(draft, kind, names));
      return undefined;
    case "wait_until":
      openWait(draft, node, "wait_until", { reason: "until", due_time: dueTimeOf(draft.now, kind, names) });
      return undefined;
    case "wait_event":
      return waitForEvent(draft, workflow, node, kind, names, lookup);
    case "tool_calls": {
      const calls = toolCallsOf(kind, names);
      if (calls.length > 0) startCalls(draft, node, "tool_calls", calls);
      else {
        // Nothing would ever come back: no calls are done at once.
        const effect = { type: "tool_calls", payload: { calls: [] } };
        completeStep(draft, workflow, node, { effect, result: valueResult({ results: [] }) });
      }
      return undefined;
    }
    case "custom": {
      const payload = kind.payload.evaluate(names);
      startCalls(draft, node, "custom", [{ kind: "custom", name: kind.effectType, payload }]);
      return undefined;
    }
    case "handler":
      startCalls(draft, node, "handler", [{ kind: "handler", name: workflow.workflowId, payload: {} }]);
      return undefined;
  }
}

/** The key of an effect whose intent is the next record. */
function effectKey(draft: DecisionBuilder, node: WorkflowNode, ordinal = 0): string {
  const { tenantId, runId, epoch } = draft.run;
  return idempotencyKey({ tenantId, runId, epoch, nodeId: node.nodeId, seq: draft.nextSeq, ordinal });
}

function assignPatch(kind: Extract<NodeKind, { type: "assign" }>, names: Names): PatchOp[] {
  // All right-hand sides see vars as they were on entry, so everything is evaluated before anything is written.
  return [
    ...kind.values.map(({ pointer, value }): PatchOp => ({ op: "set", path: pointer, value: value.evaluate(names) })),
    ...kind.append.map(({ pointer, value }): PatchOp => ({
      op: "append",
      path: pointer,
      values: [value.evaluate(names)],
    })),
    ...kind.unset.map((pointer): PatchOp => ({ op: "unset", path: pointer })),
  ];
}

function emitEvent(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  kind: Extract<NodeKind, { type: "emit_event" }>,
  names: Names,
): void {
  const name = textOf(kind.name, names, "event name");
  assertEventName(name, false);
  const key = kind.key === undefined ? "" : eventKeyOf(kind.key, names);
  const payload = kind.payload?.evaluate(names) ?? null;
  const effectId = effectKey(draft, node);
  const eventId = kind.eventId === undefined ? effectId : textOf(kind.eventId, names, "event id");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(eventId)) {
    throw new NodeFailure("EVALUATION_FAILED", `The event id ${JSON.stringify(eventId)} is not an id.`);
  }
  const channel = channelOf(draft.run, kind.scope);
  completeStep(draft, workflow, node, {
    effect: {
      type: "emit_event",
      payload: { name, scope: kind.scope, scope_id: channel.scopeId, key, payload, event_id: eventId },
    },
    result: valueResult({ event_id: eventId }),
    idempotencyKey: effectId,
  });
  const actor = draft.run.actorId === undefined ? {} : { actorId: draft.run.actorId };
  const event = { ...channel, eventId, name, key, payload, emitTime: draft.now, ...actor };
  draft.commands.push({ type: "emit", event });
}

function questionOf(
  draft: DecisionBuilder,
  kind: Extract<NodeKind, { type: "ask_user" }>,
  names: Names,
): Omit<Wait, "wait_id" | "node_id" | "create_time"> {
  const choices = kind.choices?.evaluate(names);
  if (choices !== undefined && (!Array.isArray(choices) || choices.length === 0 || choices.length > CHOICES_MAX)) {
    throw new NodeFailure("EVALUATION_FAILED", `choices must be a list of 1 to ${CHOICES_MAX} values.`);
  }
  const assignees = kind.assignees.flatMap((template) => {
    const value = template.evaluate(names);
    return Array.isArray(value) ? value : [value];
  });
  if (!assignees.every((assignee) => typeof assignee === "string") || assignees.length > ASSIGNEES_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `assignees must be at most ${ASSIGNEES_MAX} strings.`);
  }
  const details = kind.details?.evaluate(names);
  const defaultAnswer = kind.defaultAnswer?.evaluate(names);
  return {
    reason: "user",
    prompt: textOf(kind.prompt, names, "prompt"),
    ...(details === undefined ? {} : { details }),
    ...(choices === undefined ? {} : { choices }),
    ...(kind.allowFreeText ? { allow_free_text: true } : {}),
    answer_schema: kind.answerSchema ?? schemaOfChoices(choices, kind.allowFreeText),
    ...(assignees.length === 0 ? {} : { assignees }),
    ...(kind.timeout === undefined ? {} : { due_time: afterDuration(draft.now, kind.timeout, names) }),
    ...(defaultAnswer === undefined ? {} : { default_answer: defaultAnswer }),
  };
}

/** The schema of `answer` where the graph gives none, so that one form renders every question. */
function schemaOfChoices(choices: Json[] | undefined, allowFreeText: boolean): JsonObject {
  if (choices === undefined) return {};
  return allowFreeText ? { anyOf: [{ enum: choices }, { type: "string" }] } : { enum: choices };
}

function dueTimeOf(now: Instant, kind: Extract<NodeKind, { type: "wait_until" }>, names: Names): Instant {
  if (kind.after !== undefined) return afterDuration(now, kind.after, names);
  const at = kind.at!.evaluate(names);
  return orEvaluationFailure("at", () => parseInstant(typeof at === "string" ? at : canonicalJson(at)));
}

function afterDuration(now: Instant, duration: TemplateValue, names: Names): Instant {
  const value = duration.evaluate(names);
  const text = typeof value === "string" ? value : canonicalJson(value);
  return orEvaluationFailure("duration", () => addMs(now, parseDurationMs(text)));
}

function orEvaluationFailure<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new NodeFailure("EVALUATION_FAILED", `${what}: ${(error as Error).message}`);
  }
}

function openWait(
  draft: DecisionBuilder,
  node: WorkflowNode,
  effectType: string,
  question: Omit<Wait, "wait_id" | "node_id" | "create_time">,
): void {
  const { tenantId, runId, epoch } = draft.run;
  const wait: Wait = {
    wait_id: waitIdOf(tenantId, runId, epoch, draft.nextSeq),
    node_id: node.nodeId,
    create_time: draft.now,
    ...question,
  };
  if (Buffer.byteLength(JSON.stringify(wait)) > WAIT_BYTES_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `A question takes at most ${WAIT_BYTES_MAX} bytes with its details.`);
  }
  // The wait holds the effect's evaluated payload; a copy beside it would store everything twice.
  const effect = { type: effectType, payload: {} };
  draft.record(
    "step.waiting",
    { status: "waiting", effect, wait },
    { nodeId: node.nodeId, idempotencyKey: effectKey(draft, node) },
  );
}

function waitForEvent(
  draft: DecisionBuilder,
  workflow: Workflow,
  node: WorkflowNode,
  kind: Extract<NodeKind, { type: "wait_event" }>,
  names: Names,
  lookup: EventLookup | undefined,
): EventQuery | undefined {
  const eventNames = [...new Set(kind.names.map((template) => textOf(template, names, "event name")))];
  for (const name of eventNames) assertEventName(name, true);
  const key = kind.key === undefined ? undefined : eventKeyOf(kind.key, names);
  const dueTime = kind.timeout === undefined ? undefined : afterDuration(draft.now, kind.timeout, names);
  const channel = channelOf(draft.run, kind.scope);
  const query = eventQuery(draft.run, channel, eventNames, key);
  if (lookup === undefined) return query;
  const isNew = (name: string) =>
    !draft.run.cursors.some((c) => c.scope === kind.scope && c.name === name && c.key === key);
  if (draft.run.cursors.length + eventNames.filter(isNew).length > EVENT_CURSORS_MAX) {
    const message = `A run listens to at most ${EVENT_CURSORS_MAX} different event names and keys.`;
    throw new NodeFailure("LIMIT_EVENT_CURSORS", message);
  }
  if (lookup.event !== undefined) {
    const wait = { names: eventNames, scope: kind.scope, ...(key === undefined ? {} : { key }) };
    consumeEvent(draft, workflow, node, wait, lookup.event, effectKey(draft, node));
    return undefined;
  }
  openWait(draft, node, "wait_event", {
    reason: "event",
    names: eventNames,
    scope: kind.scope,
    scope_id: channel.scopeId,
    ...(key === undefined ? {} : { key }),
    ...(dueTime === undefined ? {} : { due_time: dueTime }),
  });
  draft.commands.push({ type: "expect_channel", channel, upTo: lookup.upTo });
  return undefined;
}

type CallDraft = { kind: "tool" | "handler" | "custom"; name: string; callId?: string; payload: Json };

function toolCallsOf(kind: Extract<NodeKind, { type: "tool_calls" }>, names: Names): CallDraft[] {
  const calls =
    "source" in kind.calls
      ? callsFromExpression(kind.calls, names)
      : kind.calls.map((call) => ({
          name: call.name.evaluate(names),
          arguments: call.arguments?.evaluate(names) ?? {},
          callId: call.callId?.evaluate(names),
        }));
  if (calls.length > CALLS_MAX) {
    throw new NodeFailure(
      "EVALUATION_FAILED",
      `An effect makes at most ${CALLS_MAX} calls; this one has ${calls.length}.`,
    );
  }
  return calls.map((call, ordinal) => {
    if (typeof call.name !== "string" || call.name === "") {
      throw new NodeFailure("EVALUATION_FAILED", `Call ${ordinal} has no tool name.`);
    }
    const callId = call.callId ?? `call_${ordinal + 1}`;
    if (typeof callId !== "string" || callId === "") {
      throw new NodeFailure("EVALUATION_FAILED", `The call_id of call ${ordinal} is not a string.`);
    }
    return { kind: "tool", name: call.name, callId, payload: call.arguments };
  });
}

function callsFromExpression(expression: Expression, names: Names) {
  const list = evaluate(expression, names);
  if (!Array.isArray(list)) throw new NodeFailure("EVALUATION_FAILED", "calls_from gave no list.");
  return list.map((item, ordinal) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) {
      throw new NodeFailure("EVALUATION_FAILED", `Call ${ordinal} of calls_from is not an object.`);
    }
    return { name: item.name ?? null, arguments: item.arguments ?? {}, callId: item.call_id ?? undefined };
  });
}

/** Puts calls in flight: their intent is committed here, before any worker sees them. */
function startCalls(draft: DecisionBuilder, node: WorkflowNode, effectType: string, drafts: CallDraft[]): void {
  const seq = draft.nextSeq;
  const calls = drafts.map((call, ordinal) => ({
    ordinal,
    kind: call.kind,
    name: call.name,
    ...(call.callId === undefined ? {} : { call_id: call.callId }),
    idempotency_key: effectKey(draft, node, ordinal),
  }));
  const jobs = calls.map((call, ordinal): JobDraft => ({
    ...call,
    nodeId: node.nodeId,
    seq,
    payload: drafts[ordinal]!.payload,
  }));
  const calling = drafts.map(({ name, callId, payload }): Json => ({ name, call_id: callId ?? null, payload }));
  // A list of objects around the payloads, which are bounded themselves.
  assertFits("calls", calling, JSON_DEPTH_MAX + 2);
  const payload: JsonObject =
    effectType === "tool_calls"
      ? { calls: drafts.map((call) => ({ name: call.name, arguments: call.payload, call_id: call.callId! })) }
      : effectType === "custom"
        ? { type: drafts[0]!.name, payload: drafts[0]!.payload }
        : {};
  draft.record(
    "step.started",
    { status: "started", effect: { type: effectType, payload }, calls },
    { nodeId: node.nodeId },
  );
  draft.commands.push({ type: "create_jobs", jobs });
}

/** Text that people read: a string as it is, any other value as JSON. */
function textOf(template: TemplateValue, names: Names, what: string): string {
  const value = template.evaluate(names);
  const text = typeof value === "string" ? value : canonicalJson(value);
  if (Buffer.byteLength(text) > TEXT_BYTES_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `The ${what} is longer than ${TEXT_BYTES_MAX} bytes.`);
  }
  return text;
}

function eventKeyOf(template: TemplateValue, names: Names): string {
  const key = textOf(template, names, "event key");
  if (key.length > EVENT_KEY_LENGTH_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `An event key has at most ${EVENT_KEY_LENGTH_MAX} characters.`);
  }
  return key;
}

function assertEventName(name: string, mayBePattern: boolean): void {
  const body = mayBePattern && name.endsWith("*") ? name.slice(0, -1) : name;
  if (name === "" || body.includes("*") || name.length > EVENT_NAME_LENGTH_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `${JSON.stringify(name.slice(0, 50))} is not an event name.`);
  }
}
