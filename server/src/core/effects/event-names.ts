/** What graphs, step plans and their templates may say about events: names, keys and scopes. */
import { assertText, textOf } from "../begin-step.ts";
import { refuseUnless, within } from "../compile/place.ts";
import type { Scope } from "../event.ts";
import { BOUNDS } from "../graph/gen/bounds.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";

const SCOPE_BY_NAME: Record<string, Scope> = {
  SCOPE_RUN: "run",
  SCOPE_SESSION: "session",
  SCOPE_WORKFLOW: "workflow",
  SCOPE_GLOBAL: "global",
};

export function scopeOf(name: string | undefined): Scope {
  return SCOPE_BY_NAME[name ?? "SCOPE_RUN"] ?? "run";
}

/** Checks text of a graph or step plan that names an event to emit. */
export function checkName(name: string): void {
  refuseUnless(!name.includes("*"), "may not contain `*`");
  within(BOUNDS.emitEvent.name)(name);
}

/** Checks text of a graph or step plan that names events to wait for. */
export function checkPattern(name: string): void {
  refuseUnless(name !== "" && !name.slice(0, -1).includes("*"), "a name is not empty and has `*` at its end only");
  within(BOUNDS.waitEvent.names.items)(name);
}

/** The evaluated name of events: of one that is emitted, or a pattern to wait for. @throws {NodeFailure} */
export function eventNameOf(
  template: TemplateValue,
  names: Names,
  { mayBePattern }: { mayBePattern: boolean },
): string {
  const name = textOf(template, names, "event name");
  assertText("event name", name, mayBePattern ? BOUNDS.waitEvent.names.items : BOUNDS.emitEvent.name);
  return name;
}

/** @throws {NodeFailure} */
export function eventKeyOf(template: TemplateValue, names: Names): string {
  const key = textOf(template, names, "event key");
  // Waits and emitters have the same bound.
  assertText("event key", key, BOUNDS.emitEvent.key);
  return key;
}
