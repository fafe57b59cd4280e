/** The list of the kinds of node that are not effects, kept like `effects/effects.ts`. A handler has no place in the
 *  table, because a plain object cannot state one. */
import AssignKind from "./assign.ts";
import CompleteKind from "./complete.ts";
import FailKind from "./fail.ts";

export * from "./assign.ts";
export * from "./complete.ts";
export * from "./fail.ts";
export * from "./handler.ts";

/** By the name of the member that states the kind in a node. */
export default {
  assign: AssignKind,
  complete: CompleteKind,
  fail: FailKind,
};
