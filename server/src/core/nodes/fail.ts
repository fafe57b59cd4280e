/** Ends the run with a failure. */
import { assertText, textOf } from "../begin-step.ts";
import { within } from "../compile/place.ts";
import { endRun } from "../complete-step.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
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
    const code = textOf(compiled.code, names, "code");
    assertText("code", code, BOUNDS.fail.code);
    const message = textOf(compiled.message, names, "message");
    const error = { code, message, retryable: false, node_id: node.nodeId };
    endRun(draft, error, { body: { status: "failed" } });
    return undefined;
  },
  summary: ({ code }) => `fails: ${code ?? ""}`,
  drawing: { shape: ["([", "])"], class: "fail" },
};
