/**
 * Which release's rules the rows of a run follow. A server leaves alone what is newer than itself, so during an upgrade it matters that
 * a run has no higher format than it needs.
 */
import type { StoredRun } from "./contract.ts";
import type { VarsWrite } from "./vars-write.ts";

/** The newest that this release knows. */
export const RUN_FORMAT = 3;
/** Large members of vars are kept apart (core/large-members.ts says which those are). */
const APART_FORMAT = 3;
/** Calls that come back, and handlers. */
const BASIC_FORMAT = 2;

/** Whether the large members of a run's vars are stored apart from the rest; else all of its vars are one text. */
export function keepsMembersApart({ format }: StoredRun): boolean {
  return format >= APART_FORMAT;
}

/** The format of a run after vars were written, or left as they are. */
export function formatAfter(before: StoredRun | undefined, vars: VarsWrite | undefined): number {
  if (vars !== undefined) return "rest" in vars ? APART_FORMAT : BASIC_FORMAT;
  return Math.max(before?.format ?? BASIC_FORMAT, BASIC_FORMAT);
}
