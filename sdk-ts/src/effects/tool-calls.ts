/** Calls tools that workers serve. */
import { enumName } from "../enum-names.ts";
import type { FailureJson } from "../failure-json.ts";
import { given } from "../given.ts";
import { type Json, type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EffectSettings, type EffectTypes, type JobSettings } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { type EffectJson, type Follow, type FollowTypes, type Nothing, planOf, type StepPlan } from "../step-plan.ts";
import type { Tool } from "../tool.ts";

/** One call of a tool. `call()` makes one with checked arguments. */
export type ToolCall<Output = unknown> = {
  name: string;
  arguments?: JsonObject | string;
  /** The name of the call in the results. Default `call_1`, `call_2`, … */
  callId?: string;
  /** For the compiler only. */
  readonly types?: { readonly output: Output };
};

/** Calls tools side by side, and waits until all have settled. */
export type ToolCalls = {
  /** At most 1,000. */
  calls: readonly ToolCall[];
  /** Whether a person must approve the calls before they are made. Default false. */
  requireApproval?: boolean;
  /** Whether a failed call is part of the result (the default) or fails the node. */
  onFailure?: "as-data" | "as-error";
};

/** The same, but a CEL expression returns the calls. Only for nodes. */
export type ToolCallsFrom = Omit<ToolCalls, "calls"> & { callsFrom: string };

/** The calls' results, in the order of the calls. */
export type ToolCallsResult<Output = Json> = { results: ToolCallResult<Output>[] };
export type ToolCallResult<Output = Json> = {
  call_id: string;
  name: string;
  success: boolean;
  /** Null if the call failed. */
  output: Output | null;
  /** Null if the call succeeded. */
  error: FailureJson | null;
};

/** The result of tool calls. It is typed if `call()` made all of the calls; otherwise the outputs are not checked. */
type ToolsResultOf<C> = C extends { readonly calls: readonly (infer Call)[] }
  ? Call extends { readonly types?: { readonly output: infer Output } }
    ? unknown extends Output
      ? { results: never[] }
      : ToolCallsResult<Output>
    : { results: never[] }
  : { results: never[] };

/** A call of a tool with arguments that fit it.
 *
 *  `toolCalls({ calls: [call(readFile, { path: "README.md" })] })` */
export function call<Input, Output>(
  tool: Pick<Tool<Input, Output>, "name" | "types">,
  args: ArgumentsOf<Input>,
  callId?: string,
): ToolCall<Output> {
  return { name: tool.name, arguments: jsonOf(args) as JsonObject, ...given({ callId }) };
}

/** Arguments of a call. Any string in a node may be a template, whatever type the tool expects there. */
type ArgumentsOf<T> =
  | (T extends readonly (infer Item)[]
      ? readonly ArgumentsOf<Item>[]
      : T extends object
        ? { readonly [K in keyof T]: ArgumentsOf<T[K]> }
        : T)
  | `${string}\${${string}`;

/** Calls tools that workers serve, side by side, and waits until all have settled. */
export function toolCalls<
  const C extends ToolCalls | ToolCallsFrom,
  const S extends EffectSettings & JobSettings = Nothing,
>(calls: C, settings?: S): BuiltNode<EffectTypes<S, ToolsResultOf<C>>> {
  return built(toolCallsJson(calls), settings);
}

/** Calls tools side by side, and waits until all have settled. */
export function callTools<const C extends ToolCalls, const F extends Follow = Nothing>(
  calls: C,
  then?: F,
): StepPlan<FollowTypes<F, ToolsResultOf<C>>> {
  return planOf(toolCallsJson(calls), then);
}

function toolCallsJson(calls: ToolCalls | ToolCallsFrom): EffectJson {
  const { onFailure } = calls;
  const enums = given({ onFailure: onFailure && enumName("TOOL_FAILURE_", onFailure) });
  return { toolCalls: { ...(jsonOf(calls) as JsonObject), ...enums } };
}

interface ToolCallsKind extends KindTypes {
  readonly takes: ToolCalls | ToolCallsFrom;
  readonly types: EffectTypes<this["node"], ToolsResultOf<this["member"]>>;
}
const ToolCallsKind: NodeKind<ToolCallsKind> = { json: toolCallsJson };
export default ToolCallsKind;
