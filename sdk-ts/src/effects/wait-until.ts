/** Waits for an instant or a duration. */
import { type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

/** Waits for an instant (RFC 3339), or for a duration such as `90s`, `15m`, `72h`, `3d`. */
export type WaitUntil = { at: string; after?: never } | { after: string; at?: never };

export type WaitUntilResult = { due_time: string; fire_time: string };

/** Waits for an instant (`{ at }`) or a duration (`{ after }`). */
export function waitUntil<const S extends EffectSettings = Nothing>(
  time: WaitUntil,
  settings?: S,
): BuiltNode<EffectTypes<S, WaitUntilResult>> {
  return built(waitUntilJson(time), settings);
}

/** Waits for an instant (`{ at }`) or a duration (`{ after }`). */
export function waitForTime<const F extends Follow = Nothing>(
  time: WaitUntil,
  then?: F,
): StepPlan<FollowTypes<F, WaitUntilResult>> {
  return planOf(waitUntilJson(time), then);
}

function waitUntilJson(time: WaitUntil): EffectJson {
  return { waitUntil: jsonOf(time) as JsonObject };
}

interface WaitUntilKind extends KindTypes {
  readonly takes: WaitUntil;
  readonly types: EffectTypes<this["node"], WaitUntilResult>;
}
const WaitUntilKind: NodeKind<WaitUntilKind> = { json: waitUntilJson };
export default WaitUntilKind;
