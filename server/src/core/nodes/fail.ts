/** Ends the run with a failure. */
import { assertText } from "../begin-step.ts";
import { within } from "../compile/place.ts";
import { endRun, orFail } from "../complete-step.ts";
import { keptCode, keptMessage } from "../failure-text.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import { plainText } from "../json/json.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";
import type { NodeKind } from "./node.ts";

export type Fail = { type: "fail"; code: TemplateValue; message: TemplateValue };

export const fail: NodeKind<Fail, NonNullable<NodeDefinition["fail"]>> = {
  key: "fail",
  type: "fail",
  rests: false,
  hasResult: false,
  isEnd: true,
  choosesItsEdge: false,
  compile(definition, place) {
    const code = place.required("code", definition.code, within(BOUNDS.fail.code));
    const message = place.value("message", definition.message ?? "");
    return code && message && { type: "fail", code, message };
  },
  begin(compiled, { draft, node, names }) {
    const code = keptCode(plainText(compiled.code.evaluate(names)));
    assertText("code", code, BOUNDS.fail.code);
    const message = messageOf(compiled.message, names);
    const error = { code, message, retryable: false, node_id: node.nodeId };
    endRun(draft, error, { body: { status: "failed" } });
    return undefined;
  },
  summary: ({ code }) => `fails: ${code ?? ""}`,
  drawing: { shape: ["([", "])"], class: "fail" },
};

/** The message, or why it cannot be evaluated: the run fails with its code in any case. */
function messageOf(template: TemplateValue, names: Names): string {
  const message = orFail(() => plainText(template.evaluate(names)));
  if ("value" in message) return keptMessage(message.value);
  return keptMessage(`The message of this failure cannot be evaluated: ${message.failure.message}`);
}
