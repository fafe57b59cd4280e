/**
 * Which release's rules the rows of a run follow. A server changes no run that is newer than itself, but may show it, or claim it and let it
 * stand still. So a run has no higher format than it needs, and none that a server which is there does not know.
 */
import type { Json } from "../core/json.ts";
import { largeMembersOf } from "../core/large-members.ts";
import { isActive, type RunState } from "../core/run.ts";
import type { StoredRun } from "./contract/runs.ts";
import { rowVarsOf } from "./row-behind.ts";

/** The newest that this release knows. */
export const RUN_FORMAT = 3;
/** Large members of vars are kept apart (core/large-members.ts says which those are). */
const APART_FORMAT = 3;
/** The row of an active run may be behind its ledger (row-behind.ts). */
const BEHIND_FORMAT = 3;
/** Calls that come back, and handlers. */
export const BASIC_FORMAT = 2;

/** Whether the large members of a run's vars are stored apart from the rest; else all of its vars are one text. */
export function keepsMembersApart({ format }: StoredRun): boolean {
  return format >= APART_FORMAT;
}

/** Whether large members may be stored apart: not while there is a server that would read such a run as one without vars.
 *  @param formatMax the newest format that every server knows */
export function mayKeepMembersApart(formatMax: number): boolean {
  return formatMax >= APART_FORMAT;
}

/** Whether the row of a run may be left behind its ledger: not while there is a server that would take it for the run.
 *  @param formatMax the newest format that every server knows */
export function mayStayBehind({ format }: StoredRun, formatMax: number): boolean {
  return Math.min(format, formatMax) >= BEHIND_FORMAT;
}

/** The format of a run whose row is written. @param formatMax the newest format that every server knows */
export function formatAfter(before: StoredRun | undefined, after: RunState, formatMax: number): number {
  if (isActive(after) && formatMax >= BEHIND_FORMAT) return BEHIND_FORMAT;
  if (!hasLarge(after.vars)) return BASIC_FORMAT;
  if (mayKeepMembersApart(formatMax)) return APART_FORMAT;
  // Vars that are not written anew stay as they are.
  return before !== undefined && keepsMembersApart(before) && rowVarsOf(before) === after.vars
    ? APART_FORMAT
    : BASIC_FORMAT;
}

function hasLarge(vars: Json): boolean {
  return largeMembersOf(vars).size > 0;
}
