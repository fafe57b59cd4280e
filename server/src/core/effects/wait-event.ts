/** Waits for an event of a channel. An event that was emitted since the run began counts too. */
import { afterDuration, effectKey, openWait, type PlanFacts } from "../begin-step.ts";
import { channelOf, eventQuery } from "../channel.ts";
import { completeStep, valueResult } from "../complete-step.ts";
import { type Channel, type ChannelEvent, type EventQuery, nameMatches, type Scope } from "../event.ts";
import { NodeFailure } from "../failure.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { openWaitOf } from "../run.ts";
import type { TemplateValue } from "../template.ts";
import type { EventWait } from "../wait.ts";
import type { BeginningStep, EffectKind, Step, WaitHandling } from "./effect.ts";
import { checkPattern, eventKeyOf, eventNameOf, scopeOf } from "./event-names.ts";

/** The most (name, key) pairs that one run may listen to in its life: its state holds a cursor for each. */
export const EVENT_CURSORS_MAX = 1_000;

export type WaitEvent = {
  type: "wait_event";
  names: readonly TemplateValue[];
  scope: Scope;
  key?: TemplateValue;
  timeout?: TemplateValue;
};

/** Which events a wait listens to. */
type Listening = Pick<EventWait, "names" | "scope" | "key">;

const event: WaitHandling<EventWait> = {
  /** The answer is the payload of an event. */
  answer(wait, { draft, workflow, node }, answer) {
    const name = wait.names.find((one) => !one.endsWith("*")) ?? null;
    const rest = { name, event_id: null, emit_time: draft.time, timed_out: false };
    completeStep(draft, workflow, node, {
      ...answer,
      result: [
        { op: "set", path: "", value: rest },
        { op: "set", path: "/payload", of: "given" },
      ],
    });
  },
  /** An event that was emitted by the due time wins over the timeout. */
  wake(wait, step, { isDue, lookup }) {
    const { draft, workflow, node } = step;
    const channel = channelOf(draft.run, wait.scope);
    if (lookup === undefined) return eventQuery(draft.run, wait);
    const { event: found, upTo } = lookup;
    // Before the due time every event counts, also one whose emit time is of a clock that was set back since.
    if (found !== undefined && (!isDue || wait.due_time === undefined || found.emitTime <= wait.due_time)) {
      draft.closeWait("event");
      consumeEvent(step, channel, wait, found);
      return undefined;
    }
    // This decision holds only if there is no event yet: the commit must be refused if one has arrived.
    draft.commands.push({ type: "expect_channel", channel, upTo });
    if (!isDue) return undefined;
    const result = { name: null, payload: null, event_id: null, emit_time: null, timed_out: true };
    draft.closeWait("time");
    completeStep(draft, workflow, node, { result: valueResult(result) });
    return undefined;
  },
};

export const waitEvent: EffectKind<WaitEvent, NonNullable<NodeDefinition["waitEvent"]>> = {
  key: "waitEvent",
  type: "wait_event",
  rests: true,
  compile(definition, place) {
    if ((definition.names ?? []).length === 0) place.problem("names", "needs at least one name");
    return {
      type: "wait_event",
      names: place.texts("names", definition.names, checkPattern),
      scope: scopeOf(definition.scope),
      ...place.text("key", definition.key),
      ...place.duration("timeout", definition.timeout),
    };
  },
  begin: waitForEvent,
  waits: { event },
  summary: ({ names = [], scope }) =>
    `waits for ${names.join(" or ")}${scope === undefined ? "" : ` (${scopeOf(scope)})`}`,
  drawing: { shape: [">", "]"], class: "wait" },
};

function waitForEvent(compiled: WaitEvent, step: BeginningStep): EventQuery | undefined {
  const { draft, node, names, lookup, plan } = step;
  const { scope } = compiled;
  const patterns = new Set(compiled.names.map((template) => eventNameOf(template, names, { mayBePattern: true })));
  const eventNames = [...patterns];
  const key = compiled.key === undefined ? undefined : eventKeyOf(compiled.key, names);
  const dueTime = compiled.timeout === undefined ? undefined : afterDuration(draft.now, compiled.timeout, names);
  const channel = channelOf(draft.run, scope);
  const listening = { names: eventNames, scope, ...keyOf(key) };
  if (lookup === undefined) return eventQuery(draft.run, listening);
  const isNew = (name: string) => !draft.run.cursors.some((c) => c.scope === scope && c.name === name && c.key === key);
  if (draft.run.cursors.length + eventNames.filter(isNew).length > EVENT_CURSORS_MAX) {
    const message = `A run can listen to at most ${EVENT_CURSORS_MAX} different event names and keys.`;
    throw new NodeFailure("LIMIT_EVENT_CURSORS", message);
  }
  if (lookup.event !== undefined) {
    consumeEvent(step, channel, listening, lookup.event, { ...plan, idempotencyKey: effectKey(draft, node) });
    return undefined;
  }
  const waitDraft = {
    asks: "event",
    ...listening,
    scope_id: channel.scopeId,
    ...(dueTime === undefined ? {} : { due_time: dueTime }),
  } as const;
  openWait(draft, node, "wait_event", waitDraft, plan);
  draft.commands.push({ type: "expect_channel", channel, upTo: lookup.upTo });
  return undefined;
}

function keyOf(key: string | undefined): { key?: string } {
  return key === undefined ? {} : { key };
}

/** Gives an event to the run: it becomes the node's result, and the cursors that cover it move to it. */
function consumeEvent(
  { draft, workflow, node }: Step,
  channel: Channel,
  { names, scope, key }: Listening,
  { name, payload, eventId, emitTime, number, actorId }: ChannelEvent,
  facts: PlanFacts & { idempotencyKey?: string } = {},
): void {
  const cursors = names
    .filter((pattern) => nameMatches(pattern, name))
    .map((pattern) => ({ scope, name: pattern, ...keyOf(key), number }));
  draft.commands.push({ type: "consume_event", channel, eventId });
  completeStep(draft, workflow, node, {
    ...facts,
    ...(openWaitOf(draft.run) === undefined ? { effect: { type: "wait_event", payload: {} } } : {}),
    ...(actorId === undefined ? {} : { actorId }),
    result: valueResult({ name, payload, event_id: eventId, emit_time: emitTime, timed_out: false }),
    cursors,
  });
}
