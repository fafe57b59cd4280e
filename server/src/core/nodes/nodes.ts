/** The kinds of nodes: all effects, and the kinds that are not effects. */
import type { CallKind } from "../call.ts";
import type { CallHandling, EffectKind } from "../effects/effect.ts";
import { EFFECTS } from "../effects/effects.ts";
import { assign } from "./assign.ts";
import { complete } from "./complete.ts";
import { fail } from "./fail.ts";
import { handler } from "./handler.ts";
import type { NodeKind } from "./node.ts";

export const NODES: readonly NodeKind[] = [...EFFECTS.map(nodeOf), assign, handler, complete, fail];

const byType = new Map(NODES.map((node) => [node.type, node]));
const callHandlings = new Map(NODES.flatMap(({ calls }) => (calls === undefined ? [] : [[calls.kind, calls]])));

/** The kind of a compiled node. */
export function nodeKindOf({ type }: { type: string }): NodeKind {
  return byType.get(type)!;
}

/** How calls of a kind settle. */
export function callHandlingOf(kind: CallKind): CallHandling {
  return callHandlings.get(kind)!;
}

/** An effect as a node kind. */
function nodeOf(effect: EffectKind): NodeKind {
  return {
    ...effect,
    hasResult: true,
    isEnd: false,
    choosesItsEdge: false,
    begin(compiled, step) {
      const lookUp = effect.begin(compiled, step);
      return lookUp && { lookUp };
    },
  };
}
