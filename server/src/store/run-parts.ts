/**
 * Parts of a run's state that may be large: each has a row of its own and is written only when it changes, so that what
 * a step writes does not depend on what it leaves alone.
 *
 * - "vars": vars, with null in place of each member that is apart.
 * - "member": such a member of vars, by its name (core/large-members.ts says which those are).
 * - "calls": the calls in flight, written once when they are asked for.
 * - "outcome": what came of one of them, by its ordinal.
 * - "output": the run's output.
 */
import assert from "node:assert/strict";
import { emptyObject, type Json, type JsonObject } from "../core/json.ts";
import { type LargeMember, type LargeMembers, largeMembersOf } from "../core/large-members.ts";
import type { RunState } from "../core/run.ts";
import type { StoredRun } from "./contract/runs.ts";
import { rowVarsOf } from "./row-behind.ts";

export type RunPart = "vars" | "member" | "calls" | "outcome" | "output";

/** How parts change: first what is dropped, then what is set. */
export type PartsWrite = {
  /** JSON texts. */
  readonly set: readonly { part: RunPart; name: string; text: string }[];
  readonly drop: readonly { part: RunPart; name: string }[];
  /** Parts of which every row is dropped. */
  readonly dropAll: readonly RunPart[];
};

/** The parts of one run as they are stored: by kind, then by name. */
export type StoredParts = ReadonlyMap<RunPart, ReadonlyMap<string, Json>>;

/** What of a state is in parts. */
export type StatePayloads = Pick<RunState, "vars" | "output">;

/** Of a run that is read without its parts. */
export const NO_PAYLOADS: StatePayloads = { vars: null };

/** The name of what a run has at most once. */
const ONLY = "";

const NONE: LargeMembers = new Map();

/**
 * How the parts are written with a run's row; undefined: they stay as they are. @param before undefined: nothing of the
 * run is stored
 */
export function partsWriteOf(before: StoredRun | undefined, after: RunState): PartsWrite | undefined {
  const set: { part: RunPart; name: string; text: string }[] = [];
  const drop: { part: RunPart; name: string }[] = [];
  if (before === undefined || rowVarsOf(before) !== after.vars) {
    const large = largeMembersOf(after.vars, before?.state.vars);
    const stored = before === undefined ? NONE : largeMembersOf(rowVarsOf(before));
    set.push({ part: "vars", name: ONLY, text: JSON.stringify(withoutMembers(after.vars, large)) });
    for (const [name, member] of large) {
      if (!isSame(stored.get(name), member)) set.push({ part: "member", name, text: member.text });
    }
    for (const name of stored.keys()) if (!large.has(name)) drop.push({ part: "member", name });
  }
  if (after.output !== before?.state.output) {
    if (after.output === undefined) drop.push({ part: "output", name: ONLY });
    else set.push({ part: "output", name: ONLY, text: JSON.stringify(after.output) });
  }
  return set.length === 0 && drop.length === 0 ? undefined : { set, drop, dropAll: [] };
}

function withoutMembers(vars: Json, large: LargeMembers): Json {
  if (large.size === 0) return vars;
  const rest = Object.assign(emptyObject(), vars);
  // Each stays at its place: the order of members is kept.
  for (const name of large.keys()) rest[name] = null;
  return rest;
}

function isSame(stored: LargeMember | undefined, member: LargeMember): boolean {
  return stored !== undefined && stored.value === member.value;
}

/** @param rows values are not used by anybody else: they become part of the state */
export function partsByKind(rows: Iterable<readonly [RunPart, string, Json]>): StoredParts {
  const parts = new Map<RunPart, Map<string, Json>>();
  for (const [part, name, value] of rows) {
    const ofKind = parts.get(part);
    if (ofKind === undefined) parts.set(part, new Map([[name, value]]));
    else ofKind.set(name, value);
  }
  return parts;
}

/** What the parts say of a run's state. */
export function payloadsFromParts(parts: StoredParts): StatePayloads {
  const vars = parts.get("vars")?.get(ONLY);
  assert(vars !== undefined, "every run has vars");
  const members = parts.get("member");
  // Only an object has members that are apart.
  if (members !== undefined) for (const [name, value] of members) (vars as JsonObject)[name] = value;
  const output = parts.get("output")?.get(ONLY);
  return { vars, ...(output === undefined ? {} : { output }) };
}
