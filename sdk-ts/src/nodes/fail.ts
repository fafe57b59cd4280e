/** Ends a run as FAILED. */
import { keptCode, keptMessage } from "../failure-text.ts";
import { type JsonObject, jsonOf } from "../json.ts";
import { type BuiltNode, built, type EndTypes, type NodeJson, type NodeSettings } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import type { ChangeTypes, Nothing, StepPlan } from "../step-plan.ts";

/** Ends the run as FAILED. Code and message may be templates. */
export function fail(
  code: string,
  message = "",
  settings?: Pick<NodeSettings, "description">,
): BuiltNode<EndTypes<never>> {
  return built(failJson({ code, message }), settings);
}

/** Fails the run, whatever `onError` says. To fail the node instead, throw.
 *  @param code for programs: any text that is not empty; cut to 128 characters
 *  @param message for people; cut to 64 KiB. In both, U+0000 and lone surrogates become U+FFFD */
export function failRun(code: string, message = ""): StepPlan<ChangeTypes<Nothing> & { to: never; end: never }> {
  return { fail: { code: keptCode(code), message: keptMessage(message) } };
}

type Fail = { readonly code: string; readonly message?: string };

function failJson(failure: Fail): NodeJson {
  return { fail: jsonOf(failure) as JsonObject };
}

interface FailKind extends KindTypes {
  readonly takes: Fail;
  readonly types: EndTypes<never>;
}
const FailKind: NodeKind<FailKind> = { json: failJson };
export default FailKind;
