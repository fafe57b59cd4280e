/** Waits until a time, or for a duration. */
import { afterDuration, openWait } from "../begin-step.ts";
import { completeStep, valueResult } from "../complete-step.ts";
import { type Instant, parseInstant } from "../duration.ts";
import { orEvaluationFailure } from "../failure.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import { plainText } from "../json/json.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";
import type { EffectKind, WaitHandling } from "./effect.ts";
import type { TimeWait } from "../wait.ts";

export type WaitUntil = { type: "wait_until"; at?: TemplateValue; after?: TemplateValue };

const time: WaitHandling<TimeWait> = {
  wake(wait, { draft, workflow, node }, { isDue }) {
    if (isDue) {
      draft.closeWait("time");
      completeStep(draft, workflow, node, {
        result: valueResult({ due_time: wait.due_time, fire_time: draft.time }),
      });
    }
    return undefined;
  },
};

export const waitUntil: EffectKind<WaitUntil, NonNullable<NodeDefinition["waitUntil"]>> = {
  key: "waitUntil",
  type: "wait_until",
  rests: true,
  compile(definition, place) {
    const { at, after } = definition;
    if ((at === undefined) === (after === undefined)) place.problem("", "needs exactly one of at, after");
    const compiledAt = at === undefined ? undefined : place.required("at", at, parseInstant);
    return {
      type: "wait_until",
      ...(compiledAt === undefined ? {} : { at: compiledAt }),
      ...place.duration("after", after),
    };
  },
  begin(compiled, { draft, node, names, plan }) {
    openWait(draft, node, "wait_until", { asks: "time", due_time: dueTimeOf(draft.now, compiled, names) }, plan);
    return undefined;
  },
  waits: { time },
  summary: ({ at, after }) => (after ? `waits ${after}` : `waits until ${at ?? "?"}`),
  drawing: { shape: ["{{", "}}"], class: "wait" },
};

function dueTimeOf(now: Instant, { at, after }: WaitUntil, names: Names): Instant {
  if (after !== undefined) return afterDuration(now, after, names);
  const text = plainText(at!.evaluate(names));
  return orEvaluationFailure("at", () => parseInstant(text));
}
