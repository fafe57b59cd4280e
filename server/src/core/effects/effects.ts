/** The effects. Everything that enumerates them is derived from this list. */
import type { Wait } from "../wait.ts";
import { answerUser } from "./answer-user.ts";
import { askUser } from "./ask-user.ts";
import { custom } from "./custom.ts";
import type { EffectKind, WaitHandling } from "./effect.ts";
import { emitEvent } from "./emit-event.ts";
import { toolCalls } from "./tool-calls.ts";
import { waitEvent } from "./wait-event.ts";
import { waitUntil } from "./wait-until.ts";

export const EFFECTS: readonly EffectKind[] = [askUser, waitUntil, waitEvent, emitEvent, answerUser, toolCalls, custom];

const byType = new Map(EFFECTS.map((effect) => [effect.type, effect]));
const waitHandlings = new Map(EFFECTS.flatMap(({ waits = {} }) => Object.entries(waits)));

/** The effect of a compiled kind. Undefined if the kind is not an effect. */
export function effectOf({ type }: { type: string }): EffectKind | undefined {
  return byType.get(type);
}

/** How the wait ends. */
export function waitHandlingOf({ asks }: Wait): WaitHandling {
  return waitHandlings.get(asks)!;
}
