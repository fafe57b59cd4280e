/**
 * Which release's rules the rows of a run follow. A server changes no run that is newer than itself, but may show it, or claim it and let it
 * stand still. So a run has no higher format than it needs, and none that a server which is there does not know.
 */
import type { StoredRun } from "./contract.ts";
import type { VarsWrite } from "./vars-write.ts";

/** The newest that this release knows. */
export const RUN_FORMAT = 3;
/** Large members of vars are kept apart (core/large-members.ts says which those are). */
const APART_FORMAT = 3;
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

/** The format of a run after vars were written, or left as they are. */
export function formatAfter(before: StoredRun | undefined, vars: VarsWrite | undefined): number {
  if (vars !== undefined) return "rest" in vars ? APART_FORMAT : BASIC_FORMAT;
  return Math.max(before?.format ?? BASIC_FORMAT, BASIC_FORMAT);
}
