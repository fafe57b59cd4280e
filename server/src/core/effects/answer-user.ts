/** Sends a message to anyone who watches the run. Completes at once. */
import { effectKey, textOf } from "../begin-step.ts";
import { within } from "../compile/place.ts";
import { completeStep, valueResult } from "../complete-step.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { TemplateValue } from "../template.ts";
import type { EffectKind } from "./effect.ts";

export type AnswerUser = { type: "answer_user"; message: TemplateValue };

export const answerUser: EffectKind<AnswerUser, NonNullable<NodeDefinition["answerUser"]>> = {
  key: "answerUser",
  type: "answer_user",
  rests: false,
  compile(definition, place) {
    const message = place.required("message", definition.message, within(BOUNDS.answerUser.message));
    return message && { type: "answer_user", message };
  },
  begin(compiled, { draft, workflow, node, names, plan }) {
    const message = textOf(compiled.message, names, "message");
    completeStep(draft, workflow, node, {
      ...plan,
      effect: { type: "answer_user", payload: { message } },
      result: valueResult({ message }),
      idempotencyKey: effectKey(draft, node),
    });
    return undefined;
  },
  summary: ({ message }) => `says: ${message ?? ""}`,
  drawing: { shape: ["[\\", "\\]"] },
};
