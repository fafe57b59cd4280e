/** Checks the names, keys and scopes of events in graphs, step plans and templates. */
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
  refuseUnless(
    name !== "" && !name.slice(0, -1).includes("*"),
    "must not be empty, and may contain `*` only at its end",
  );
  within(BOUNDS.waitEvent.names.items)(name);
}

/** Evaluates the name of an event to emit, or a pattern of names to wait for. @throws {NodeFailure} */
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
  // Keys of waits have the same bound.
  assertText("event key", key, BOUNDS.emitEvent.key);
  return key;
}
