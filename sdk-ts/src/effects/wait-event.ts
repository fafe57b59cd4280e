/** Waits for an event. */
import { type Json, type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type Scope, withScopeName } from "../scope.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

/** Waits for an event. */
export type WaitEvent = {
  /** The names to wait for, 1 to 16; one may end in `*`. */
  names: readonly string[];
  /** Default `run`. */
  scope?: Scope;
  /** The key that the event must have. Default: any. */
  key?: string;
  /** How long to wait. After that the result has `timed_out: true`. Default: no limit. */
  timeout?: string;
};

export type WaitEventResult<Payload = Json> = {
  name: string | null;
  payload: Payload;
  event_id: string | null;
  emit_time: string | null;
  timed_out: boolean;
};

/** Waits for an event. An event that was emitted after the run started counts too, unless the run has consumed it. */
export function waitEvent<const S extends EffectSettings = Nothing>(
  wait: WaitEvent,
  settings?: S,
): BuiltNode<EffectTypes<S, WaitEventResult<never>>> {
  return built(waitEventJson(wait), settings);
}

/** Waits for an event. */
export function waitForEvent<const F extends Follow = Nothing>(
  wait: WaitEvent,
  then?: F,
): StepPlan<FollowTypes<F, WaitEventResult<never>>> {
  return planOf(waitEventJson(wait), then);
}

function waitEventJson(wait: WaitEvent): EffectJson {
  return { waitEvent: withScopeName(jsonOf(wait) as JsonObject) };
}

interface WaitEventKind extends KindTypes {
  readonly takes: WaitEvent;
  readonly types: EffectTypes<this["node"], WaitEventResult<never>>;
}
const WaitEventKind: NodeKind<WaitEventKind> = { json: waitEventJson };
export default WaitEventKind;
