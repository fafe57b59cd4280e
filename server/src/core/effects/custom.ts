/** Work of a type that the user's own workers define. */
import { refuseUnless, within } from "../compile/place.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { completeStep, failStep } from "../complete-step.ts";
import { canonicalJson } from "../json/json.ts";
import { startCalls } from "../start-calls.ts";
import type { TemplateValue } from "../template.ts";
import type { CallHandling, EffectKind } from "./effect.ts";

export type Custom = { type: "custom"; effectType: string; payload: TemplateValue };

const calls: CallHandling = {
  kind: "custom",
  timeoutMsDefault: 15 * 60_000,
  completed(_call, { draft, workflow, node }, output, { facts }) {
    const given = { text: canonicalJson(output), value: output };
    completeStep(draft, workflow, node, { ...facts, given, result: [{ op: "set", path: "", of: "given" }] });
    return undefined;
  },
  failed(_call, { draft, workflow, node }, error, facts) {
    failStep(draft, workflow, node, error, { facts });
  },
};

export const custom: EffectKind<Custom, NonNullable<NodeDefinition["custom"]>> = {
  key: "custom",
  type: "custom",
  rests: true,
  compile(definition, place) {
    place.at("type", () => {
      refuseUnless(Boolean(definition.type), "is required");
      const bounds = BOUNDS.custom.type;
      const message = `must be 1 to ${bounds.maxLength} characters, none of them a control character`;
      within({ ...bounds, message })(definition.type!);
    });
    const payload = place.value("payload", definition.payload ?? null);
    return payload && { type: "custom", effectType: definition.type ?? "", payload };
  },
  begin(compiled, { draft, node, names, plan }) {
    const payload = compiled.payload.evaluate(names);
    startCalls(draft, node, {
      effect: { type: "custom", payload: { type: compiled.effectType, payload } },
      calls: [{ name: compiled.effectType, payload }],
      handling: calls,
      names,
      plan,
    });
    return undefined;
  },
  calls,
  summary: ({ type }) => `effect ${type ?? ""}`,
  drawing: { shape: ["[[", "]]"] },
};
