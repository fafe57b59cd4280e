import type { FieldProblem } from "../errors.ts";
import type { EffectKind } from "../effects/effect.ts";
import type { CompiledKind } from "../graph/graph.ts";
import type { JsonObject } from "../json/json.ts";
import { createGraphAllowances } from "./graph-allowances.ts";
import { collectInto, createKindPlace, LITERALS } from "./place.ts";

/** Compiles the effect of a step plan. None of its strings is a template: text from handlers is never evaluated. */
export function compilePlannedEffect(
  effect: EffectKind,
  definition: JsonObject,
): { compiled?: CompiledKind; problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const place = createKindPlace(effect.key, {
    at: collectInto(problems),
    problems,
    source: LITERALS,
    allowances: createGraphAllowances(),
  });
  const compiled = effect.compile(definition as never, place);
  return { problems, ...(compiled === undefined ? {} : { compiled }) };
}
