/** What graphs, step plans and their templates may say about events: names, keys and scopes. */
import { textOf } from "../begin-step.ts";
import { refuseUnless } from "../compile/place.ts";
import type { Scope } from "../event.ts";
import { NodeFailure } from "../failure.ts";
import type { Names } from "../names.ts";
import type { TemplateValue } from "../template.ts";

const EVENT_NAME_LENGTH_MAX = 200;
const EVENT_KEY_LENGTH_MAX = 256;

const SCOPE_BY_NAME: Record<string, Scope> = {
  SCOPE_RUN: "run",
  SCOPE_SESSION: "session",
  SCOPE_WORKFLOW: "workflow",
  SCOPE_GLOBAL: "global",
};

export function scopeOf(name: string | undefined): Scope {
  return SCOPE_BY_NAME[name ?? "SCOPE_RUN"] ?? "run";
}

/** Checks text of a graph or step plan that names events to wait for. */
export function checkPattern(name: string): void {
  refuseUnless(name !== "" && !name.slice(0, -1).includes("*"), "a name is not empty and has `*` at its end only");
}

/** The evaluated name of events: of one that is emitted, or a pattern to wait for. @throws {NodeFailure} */
export function eventNameOf(template: TemplateValue, names: Names, { mayBePattern }: { mayBePattern: boolean }): string {
  const name = textOf(template, names, "event name");
  const body = mayBePattern && name.endsWith("*") ? name.slice(0, -1) : name;
  if (name === "" || body.includes("*") || name.length > EVENT_NAME_LENGTH_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `${JSON.stringify(name.slice(0, 50))} is not an event name.`);
  }
  return name;
}

/** @throws {NodeFailure} */
export function eventKeyOf(template: TemplateValue, names: Names): string {
  const key = textOf(template, names, "event key");
  if (key.length > EVENT_KEY_LENGTH_MAX) {
    throw new NodeFailure("EVALUATION_FAILED", `An event key has at most ${EVENT_KEY_LENGTH_MAX} characters.`);
  }
  return key;
}
