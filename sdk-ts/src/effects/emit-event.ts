/** Emits an event. */
import { type Json, type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type Scope, withScopeName } from "../scope.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

/** Emits an event; it is committed with the step. */
export type EmitEvent = {
  name: string;
  /** Default `run`. */
  scope?: Scope;
  /** The key by which waits select the event. Default: no key. */
  key?: string;
  /** Default null. */
  payload?: Json;
  /** The id by which the channel recognises a repeated event. Default: one id for each visit of the node. */
  eventId?: string;
};

export type EmitEventResult = { event_id: string };

/** Emits an event. */
export function emitEvent<const S extends EffectSettings = Nothing>(
  event: EmitEvent,
  settings?: S,
): BuiltNode<EffectTypes<S, EmitEventResult>> {
  return built(emitEventJson(event), settings);
}

/** Emits an event. */
export function emit<const F extends Follow = Nothing>(
  event: EmitEvent,
  then?: F,
): StepPlan<FollowTypes<F, EmitEventResult>> {
  return planOf(emitEventJson(event), then);
}

function emitEventJson(event: EmitEvent): EffectJson {
  return { emitEvent: withScopeName(jsonOf(event) as JsonObject) };
}

interface EmitEventKind extends KindTypes {
  readonly takes: EmitEvent;
  readonly types: EffectTypes<this["node"], EmitEventResult>;
}
const EmitEventKind: NodeKind<EmitEventKind> = { json: emitEventJson };
export default EmitEventKind;
