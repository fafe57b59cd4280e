/** Ends a run as COMPLETED. */
import { type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EndTypes, type NodeJson, type NodeSettings } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import {
  type Changes,
  type ChangeTypes,
  type Nothing,
  patchJson,
  type StepPlan,
  type StepPlanJson,
} from "../step-plan.ts";

/** Ends the run as COMPLETED, with null if no output is given. Strings in the output may be templates. */
export function complete(): BuiltNode<EndTypes<null>>;
export function complete<const Output>(
  output: Output,
  settings?: Pick<NodeSettings, "description">,
): BuiltNode<EndTypes<Output>>;
export function complete(output?: unknown, settings?: Pick<NodeSettings, "description">): BuiltNode {
  return built({ complete: output === undefined ? {} : { output: jsonOf(output) } }, settings);
}

/** Completes the run with an output, null if no output is given.
 *  @throws {TypeError} if the output is not JSON */
export function completeRun(): StepPlan<ChangeTypes<Nothing> & { to: never; end: null }>;
export function completeRun<const Output, const C extends Changes = Nothing>(
  output: Output,
  changes?: C,
): StepPlan<ChangeTypes<C> & { to: never; end: Output }>;
export function completeRun(output?: unknown, changes?: Changes): StepPlanJson {
  return { completeOutput: output === undefined ? null : jsonOf(output), ...patchJson(changes) };
}

type Complete = { readonly output?: unknown };

function completeJson(complete: Complete): NodeJson {
  return { complete: jsonOf(complete) as JsonObject };
}

interface CompleteKind extends KindTypes {
  readonly takes: Complete;
  readonly types: EndTypes<this["member"] extends { readonly output: infer Output } ? Output : null>;
}
const CompleteKind: NodeKind<CompleteKind> = { json: completeJson };
export default CompleteKind;
