/** Effects: what a node, or a handler's step plan, asks for outside of the graph. Records are made only after everything is evaluated. */
import { assertText, effectKey, openWait, type PlanFacts, textOf, type WaitQuestion } from "./begin-step.ts";
import type { DecisionBuilder } from "./decision.ts";
import { addMs, type Instant, parseDurationMs, parseInstant } from "./duration.ts";
import type { EventLookup, EventQuery } from "./event.ts";
import { channelOf, consumeEvent, eventQuery } from "./event-wait.ts";
import { NodeFailure, orEvaluationFailure } from "./failure.ts";
import { BOUNDS } from "./graph/gen/bounds.ts";
import { type Json, type JsonObject, plainText } from "./json.ts";
import type { Names } from "./names.ts";
import { completeStep, valueResult } from "./settle-step.ts";
import { beginCalls } from "./start-calls.ts";
import type { TemplateValue } from "./template.ts";
import type { EffectKind, NodeKind, Workflow, WorkflowNode } from "./workflow.ts";

/** Different (name, key) pairs that one run may listen to in its life: its state holds a cursor for each. */
export const EVENT_CURSORS_MAX = 1_000;

export type EffectContext = {
  draft: DecisionBuilder;
  workflow: Workflow;
  /** Where the effect's result goes, and what follows it. */
  node: WorkflowNode;
  names: Names;
  lookup: EventLookup | undefined;
  plan: PlanFacts;
};

/** Carries out an effect as far as a decision can, or says what has to be looked up first. */
export function executeEffect(kind: EffectKind, context: EffectContext): EventQuery | undefined {
  const { draft, workflow, node, names, plan } = context;
  switch (kind.type) {
    case "answer_user": {
      const message = textOf(kind.message, names, "message");
      completeStep(draft, workflow, node, {
        ...plan,
        effect: { type: "answer_user", payload: { message } },
        result: valueResult({ message }),
        idempotencyKey: effectKey(draft, node),
      });
      return undefined;
    }
    case "emit_event":
      emitEvent(kind, context);
      return undefined;
    case "ask_user":
      openWait(draft, node, "ask_user", questionOf(draft, kind, names), plan);
      return undefined;
    case "wait_until":
      openWait(draft, node, "wait_until", { reason: "until", due_time: dueTimeOf(draft.now, kind, names) }, plan);
      return undefined;
    case "wait_event":
      return waitForEvent(kind, context);
    case "tool_calls":
    case "custom":
      beginCalls(draft, workflow, node, kind, { names, plan });
      return undefined;
  }
}

function emitEvent(kind: Extract<NodeKind, { type: "emit_event" }>, context: EffectContext): void {
  const { draft, workflow, node, names, plan } = context;
  const name = textOf(kind.name, names, "event name");
  assertText("event name", name, BOUNDS.emitEvent.name);
  const key = kind.key === undefined ? "" : eventKeyOf(kind.key, names);
  const payload = kind.payload?.evaluate(names) ?? null;
  const effectId = effectKey(draft, node);
  const eventId = kind.eventId === undefined ? effectId : textOf(kind.eventId, names, "event id");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(eventId)) {
    throw new NodeFailure("EVALUATION_FAILED", `The event id ${JSON.stringify(eventId)} is not an id.`);
  }
  const channel = channelOf(draft.run, kind.scope);
  completeStep(draft, workflow, node, {
    ...plan,
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

function questionOf(draft: DecisionBuilder, kind: Extract<NodeKind, { type: "ask_user" }>, names: Names): WaitQuestion {
  const choices = kind.choices?.evaluate(names);
  const { minItems, maxItems } = BOUNDS.askUser.choices;
  if (choices !== undefined && (!Array.isArray(choices) || choices.length < minItems || choices.length > maxItems)) {
    throw new NodeFailure("EVALUATION_FAILED", `choices must be a list of ${minItems} to ${maxItems} values.`);
  }
  const assignees = kind.assignees.flatMap((template) => {
    const value = template.evaluate(names);
    return Array.isArray(value) ? value : [value];
  });
  const { maxItems: assigneesMax, items: assigneeBounds } = BOUNDS.askUser.assignees;
  if (!assignees.every((assignee) => typeof assignee === "string") || assignees.length > assigneesMax) {
    throw new NodeFailure("EVALUATION_FAILED", `assignees must be at most ${assigneesMax} strings.`);
  }
  for (const assignee of assignees) assertText("assignee", assignee, assigneeBounds);
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
export function schemaOfChoices(choices: Json[] | undefined, allowFreeText: boolean): JsonObject {
  if (choices === undefined) return {};
  return allowFreeText ? { anyOf: [{ enum: choices }, { type: "string" }] } : { enum: choices };
}

function dueTimeOf(now: Instant, kind: Extract<NodeKind, { type: "wait_until" }>, names: Names): Instant {
  if (kind.after !== undefined) return afterDuration(now, kind.after, names);
  const at = plainText(kind.at!.evaluate(names));
  return orEvaluationFailure("at", () => parseInstant(at));
}

function afterDuration(now: Instant, duration: TemplateValue, names: Names): Instant {
  const text = plainText(duration.evaluate(names));
  return orEvaluationFailure("duration", () => addMs(now, parseDurationMs(text)));
}

function waitForEvent(kind: Extract<NodeKind, { type: "wait_event" }>, context: EffectContext): EventQuery | undefined {
  const { draft, workflow, node, names, lookup, plan } = context;
  const eventNames = [...new Set(kind.names.map((template) => textOf(template, names, "event name")))];
  for (const name of eventNames) assertText("event name", name, BOUNDS.waitEvent.names.items);
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
    consumeEvent(draft, workflow, node, wait, lookup.event, { ...plan, idempotencyKey: effectKey(draft, node) });
    return undefined;
  }
  openWait(
    draft,
    node,
    "wait_event",
    {
      reason: "event",
      names: eventNames,
      scope: kind.scope,
      scope_id: channel.scopeId,
      ...(key === undefined ? {} : { key }),
      ...(dueTime === undefined ? {} : { due_time: dueTime }),
    },
    plan,
  );
  draft.commands.push({ type: "expect_channel", channel, upTo: lookup.upTo });
  return undefined;
}

function eventKeyOf(template: TemplateValue, names: Names): string {
  const key = textOf(template, names, "event key");
  // Waits and emitters have the same bound.
  assertText("event key", key, BOUNDS.emitEvent.key);
  return key;
}
