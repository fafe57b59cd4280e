/** An effect of a type that a worker registered. */
import { type Json, type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes, type JobSettings } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";

/** An effect of a type that a worker registered. */
export type Custom = {
  type: string;
  /** Default null. */
  payload?: Json;
};

/** Carries out an effect of a type that a worker registered. The compiler does not check its result. */
export function custom<const S extends EffectSettings & JobSettings = Nothing>(
  effect: Custom,
  settings?: S,
): BuiltNode<EffectTypes<S, never>> {
  return built(customJson(effect), settings);
}

/** Carries out an effect of a type that a worker registered. */
export function perform<const F extends Follow = Nothing>(custom: Custom, then?: F): StepPlan<FollowTypes<F, never>> {
  return planOf(customJson(custom), then);
}

function customJson(custom: Custom): EffectJson {
  return { custom: jsonOf(custom) as JsonObject };
}

interface CustomKind extends KindTypes {
  readonly takes: Custom;
  readonly types: EffectTypes<this["node"], never>;
}
const CustomKind: NodeKind<CustomKind> = { json: customJson };
export default CustomKind;
