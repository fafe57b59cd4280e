/** Emits an event into a channel. Completes at once; the event becomes visible with the commit. */
import { effectKey, textOf } from "../begin-step.ts";
import { channelOf } from "../channel.ts";
import { refuseUnless } from "../compile/place.ts";
import { completeStep, valueResult } from "../complete-step.ts";
import type { Scope } from "../event.ts";
import { NodeFailure } from "../failure.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { ID_PATTERN } from "../identifiers.ts";
import type { TemplateValue } from "../template.ts";
import type { EffectKind } from "./effect.ts";
import { checkName, eventKeyOf, eventNameOf, scopeOf } from "./event-names.ts";

export type EmitEvent = {
  type: "emit_event";
  name: TemplateValue;
  scope: Scope;
  key?: TemplateValue;
  payload?: TemplateValue;
  eventId?: TemplateValue;
};

export const emitEvent: EffectKind<EmitEvent, NonNullable<NodeDefinition["emitEvent"]>> = {
  key: "emitEvent",
  type: "emit_event",
  rests: false,
  compile(definition, place) {
    const name = place.required("name", definition.name, checkName);
    const checkId = (text: string) => refuseUnless(ID_PATTERN.test(text), `${JSON.stringify(text)} is not an id`);
    return (
      name && {
        type: "emit_event",
        name,
        scope: scopeOf(definition.scope),
        ...place.text("key", definition.key),
        ...place.optional("payload", definition.payload),
        ...place.text("eventId", definition.eventId, checkId),
      }
    );
  },
  begin(compiled, { draft, workflow, node, names, plan }) {
    const { scope } = compiled;
    const name = eventNameOf(compiled.name, names, { mayBePattern: false });
    const key = compiled.key === undefined ? "" : eventKeyOf(compiled.key, names);
    const payload = compiled.payload?.evaluate(names) ?? null;
    const effectId = effectKey(draft, node);
    const eventId = compiled.eventId === undefined ? effectId : textOf(compiled.eventId, names, "event id");
    if (!ID_PATTERN.test(eventId)) {
      throw new NodeFailure("EVALUATION_FAILED", `The event id ${JSON.stringify(eventId)} is not an id.`);
    }
    const channel = channelOf(draft.run, scope);
    completeStep(draft, workflow, node, {
      ...plan,
      effect: {
        type: "emit_event",
        payload: { name, scope, scope_id: channel.scopeId, key, payload, event_id: eventId },
      },
      result: valueResult({ event_id: eventId }),
      idempotencyKey: effectId,
    });
    const actor = draft.run.actorId === undefined ? {} : { actorId: draft.run.actorId };
    const event = { ...channel, eventId, name, key, payload, emitTime: draft.now, ...actor };
    draft.commands.push({ type: "emit", event });
    return undefined;
  },
  summary: ({ name, scope }) => `emits ${name ?? ""}${scope === undefined ? "" : ` (${scopeOf(scope)})`}`,
  drawing: { shape: ["[/", "\\]"] },
};
