/** How changed vars are written: the large members apart from the rest, so that a change writes what it touched. */
import { emptyObject, type Json } from "../core/json.ts";
import { type LargeMember, type LargeMembers, largeMembersOf } from "../core/large-members.ts";
import type { StoredRun } from "./contract/runs.ts";
import { rowVarsOf } from "./row-behind.ts";
import { keepsMembersApart, mayKeepMembersApart } from "./run-format.ts";

export type VarsWrite =
  | {
      /** JSON of vars as a whole. */
      whole: string;
      /** Members that were kept apart. */
      dropped: readonly string[];
    }
  | {
      /** JSON `[vars, names]`: vars with null in place of each member that is kept apart, and the names of those. */
      rest: string;
      /** JSON of members that are kept apart and are not stored yet, by name. */
      changed: ReadonlyMap<string, string>;
      /** Members that were kept apart and are not any more. */
      dropped: readonly string[];
    };

const NONE: LargeMembers = new Map();

/** How vars are written with a run's row; undefined: the row has them already.
 *  @param before the run as it is stored; undefined: nothing of it is
 *  @param formatMax the newest format that may be written */
export function varsWriteOf(before: StoredRun | undefined, vars: Json, formatMax: number): VarsWrite | undefined {
  const isApart = before !== undefined && keepsMembersApart(before);
  const large = mayKeepMembersApart(formatMax) ? largeMembersOf(vars, before?.state.vars) : NONE;
  // What a release before has stored whole is taken apart, though nothing has changed.
  const isAsBefore = before !== undefined && rowVarsOf(before) === vars && (isApart || large.size === 0);
  if (isAsBefore) return undefined;
  const stored = isApart ? largeMembersOf(rowVarsOf(before)) : NONE;
  const dropped = [...stored.keys()].filter((name) => !large.has(name));
  if (large.size === 0) return { whole: JSON.stringify(vars), dropped };
  const rest = Object.assign(emptyObject(), vars);
  const changed = new Map<string, string>();
  for (const [name, member] of large) {
    // Stays at its place: the order of members is kept.
    rest[name] = null;
    if (!isSame(stored.get(name), member)) changed.set(name, member.text);
  }
  return { rest: JSON.stringify([rest, [...large.keys()]]), changed, dropped };
}

function isSame(stored: LargeMember | undefined, member: LargeMember): boolean {
  return stored !== undefined && stored.value === member.value;
}
