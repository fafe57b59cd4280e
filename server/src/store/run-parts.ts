/**
 * Parts of a run's state that may be large. Each has a row of its own and is written only when it changes, so that the
 * size of what a step writes does not depend on what it leaves unchanged.
 *
 * - "vars": vars, with null in place of each member that is kept apart.
 * - "member": such a member of vars, by its name. core/json/large-members.ts decides which members are kept apart. Its
 *   bounds suit Postgres, which moves texts of more than about 2 KB out of their row anyway, and accepts no longer name
 *   as part of an index key. Different bounds would be a different format of runs (run-format.ts).
 * - "calls": the calls in flight, written once when the calls are made (in-flight.ts).
 * - "attempt": a further attempt of a call, by the call's ordinal.
 * - "outcome": how a call ended, by its ordinal: the failure, or the seq of the record that holds the output. Reading a
 *   run puts the output in its place.
 * - "output": the run's output.
 */
import { emptyObject, type Json, type JsonObject } from "../core/json/json.ts";
import { type LargeMember, type LargeMembers, largeMembersOf } from "../core/json/large-members.ts";
import type { RunState } from "../core/run.ts";
import type { StoredRun } from "./contract/runs.ts";
import { addCallChanges, inFlightFromRow, inFlightToRow, type StoredInFlight } from "./in-flight.ts";
import type { PartChanges, PartsWrite, RunPart, StoredParts } from "./part.ts";
import { rowVarsOf } from "./row-behind.ts";

/** A state as a run's row has it, without what is kept in parts. */
export type RowState = Omit<RunState, "vars" | "output" | "inFlight"> & { inFlight?: StoredInFlight };

/** The parts of a run that is read without payloads, unless its row says otherwise. */
export const NO_PARTS: StoredParts = new Map();

/** The name of parts that a run has at most once. */
const ONLY = "";

const NONE: LargeMembers = new Map();

/**
 * Returns how the parts are written with a run's row; undefined if they do not change.
 * @param before undefined if nothing of the run is stored
 */
export function partsWriteOf(before: StoredRun | undefined, after: RunState): PartsWrite | undefined {
  const changes: PartChanges = { set: [], drop: [], dropAll: [] };
  const { set, drop } = changes;
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
  // A row that is behind its ledger belongs to an active run, which had nothing in flight.
  addCallChanges(before === undefined || before.behind !== undefined ? {} : before.state, after, changes);
  return set.length === 0 && drop.length === 0 && changes.dropAll.length === 0 ? undefined : changes;
}

function withoutMembers(vars: Json, large: LargeMembers): Json {
  if (large.size === 0) return vars;
  const rest = Object.assign(emptyObject(), vars);
  // Each stays in its place, so the order of members is kept.
  for (const name of large.keys()) rest[name] = null;
  return rest;
}

function isSame(stored: LargeMember | undefined, member: LargeMember): boolean {
  return stored !== undefined && stored.value === member.value;
}

/** @param rows the values must not be used elsewhere: they become part of the state */
export function partsByKind(rows: Iterable<readonly [RunPart, string, Json]>): StoredParts {
  const parts = new Map<RunPart, Map<string, Json>>();
  for (const [part, name, value] of rows) {
    const ofKind = parts.get(part);
    if (ofKind === undefined) parts.set(part, new Map([[name, value]]));
    else ofKind.set(name, value);
  }
  return parts;
}

/** Returns a state without what is kept in parts. */
export function stateToRow({ vars: _vars, output: _output, inFlight, ...rest }: RunState): RowState {
  return { ...rest, ...(inFlight === undefined ? {} : { inFlight: inFlightToRow(inFlight) }) };
}

/**
 * Rebuilds a state from a row and its parts.
 * @param parts without "vars" for a run that is read without payloads: its vars are null
 */
export function stateFromRow({ inFlight, ...rest }: RowState, parts: StoredParts): RunState {
  const output = parts.get("output")?.get(ONLY);
  return {
    ...rest,
    vars: varsFromParts(parts),
    ...(inFlight === undefined ? {} : { inFlight: inFlightFromRow(inFlight, parts) }),
    ...(output === undefined ? {} : { output }),
  };
}

function varsFromParts(parts: StoredParts): Json {
  const vars = parts.get("vars")?.get(ONLY);
  if (vars === undefined) return null;
  const members = parts.get("member");
  // Only an object has members that are kept apart.
  if (members !== undefined) for (const [name, value] of members) (vars as JsonObject)[name] = value;
  return vars;
}
