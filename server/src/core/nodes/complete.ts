/** Ends the run with an output. */
import type { NodeDefinition } from "../graph/definition.ts";
import type { TemplateValue } from "../template.ts";
import type { NodeKind } from "./node.ts";

export type Complete = { type: "complete"; output?: TemplateValue };

export const complete: NodeKind<Complete, NonNullable<NodeDefinition["complete"]>> = {
  key: "complete",
  type: "complete",
  rests: false,
  hasResult: false,
  isEnd: true,
  choosesItsEdge: false,
  compile: (definition, place) => ({ type: "complete", ...place.optional("output", definition.output) }),
  begin(compiled, { draft, node, names }) {
    const output = compiled.output === undefined ? null : compiled.output.evaluate(names);
    const { nodeId } = node;
    if (draft.run.cancelling) {
      draft.notice("cancelled");
      draft.record("run.cancelled", { status: "completed" }, { nodeId });
    } else {
      draft.notice("completed");
      draft.record("run.completed", { status: "completed", output: { value: output } }, { nodeId });
    }
    return undefined;
  },
  summary: () => "completes",
  drawing: { shape: ["([", "])"], class: "done" },
};
