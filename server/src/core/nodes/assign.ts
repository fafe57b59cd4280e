/** Writes vars: a pure transformation. */
import type { KindPlace } from "../compile/place.ts";
import { completeStep } from "../complete-step.ts";
import type { NodeDefinition } from "../graph/definition.ts";
import type { JsonObject } from "../json/json.ts";
import type { Names } from "../names.ts";
import { type PatchOp, pointerFromDotted } from "../json/pointer.ts";
import type { TemplateValue } from "../template.ts";
import type { NodeKind } from "./node.ts";

/** A value to write at a place in vars. */
export type PathValue = { pointer: string; value: TemplateValue };

export type Assign = {
  type: "assign";
  values: readonly PathValue[];
  append: readonly PathValue[];
  unset: readonly string[];
};

export const assign: NodeKind<Assign, NonNullable<NodeDefinition["assign"]>> = {
  key: "assign",
  type: "assign",
  rests: false,
  hasResult: false,
  isEnd: false,
  choosesItsEdge: false,
  compile(definition, place) {
    const values = compilePaths("values", definition.values, place);
    const append = compilePaths("append", definition.append, place);
    const unset = (definition.unset ?? []).flatMap(
      (dotted, index) => place.at(`unset[${index}]`, () => pointerFromDotted(dotted)) ?? [],
    );
    const written = [...values.map((value) => value.pointer), ...append.map((value) => value.pointer), ...unset];
    const clash = writtenTwice(written);
    if (clash !== undefined) place.problem("", `writes ${clash} twice, or it and a part of it`);
    return { type: "assign", values, append, unset };
  },
  begin(compiled, { draft, workflow, node, names }) {
    completeStep(draft, workflow, node, { patch: patchOf(compiled, names) });
    return undefined;
  },
  summary({ values, append, unset }) {
    const paths = [...Object.keys(values ?? {}), ...Object.keys(append ?? {}), ...(unset ?? [])];
    return `sets ${paths.length === 0 ? "nothing" : paths.join(", ")}`;
  },
  drawing: { shape: ["[", "]"] },
};

/** Returns a place that is written twice, or with a part of it. */
function writtenTwice(pointers: readonly string[]): string | undefined {
  const places = new Set<string>();
  for (const pointer of pointers) {
    if (places.has(pointer)) return pointer;
    places.add(pointer);
  }
  for (const pointer of pointers) {
    for (let end = pointer.lastIndexOf("/"); end > 0; end = pointer.lastIndexOf("/", end - 1)) {
      const around = pointer.slice(0, end);
      if (places.has(around)) return around;
    }
  }
  return undefined;
}

function compilePaths(field: string, values: JsonObject | undefined, place: KindPlace): PathValue[] {
  return Object.entries(values ?? {}).flatMap(([dotted, value]) => {
    const entry = `${field}.${dotted}`;
    const pointer = place.at(entry, () => pointerFromDotted(dotted));
    const compiled = place.value(entry, value);
    return pointer === undefined || compiled === undefined ? [] : [{ pointer, value: compiled }];
  });
}

/** All right-hand sides see vars as they were on entry, so all are evaluated before anything is written. */
function patchOf({ values, append, unset }: Assign, names: Names): PatchOp[] {
  return [
    ...values.map(({ pointer, value }): PatchOp => ({ op: "set", path: pointer, value: value.evaluate(names) })),
    ...append.map(({ pointer, value }): PatchOp => ({ op: "append", path: pointer, values: [value.evaluate(names)] })),
    ...unset.map((pointer): PatchOp => ({ op: "unset", path: pointer })),
  ];
}
