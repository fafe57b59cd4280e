/** Changes vars. */
import { given } from "../given.ts";
import { jsonObjectOf } from "../json.ts";
import { type BuiltNode, built, type Next, type NodeJson, type NodeSettings, type TargetsOf } from "../node.ts";
import type { KindTypes, NodeKind } from "../node-kind.ts";
import { pointerOf } from "../path.ts";
import type { Nothing } from "../step-plan.ts";

/** Changes vars; strings may be templates. All right-hand sides see vars as they were on entry. */
export type Assign = {
  /** The values to set, by path. */
  readonly values?: object;
  /** The element to append to the list at each path. */
  readonly append?: object;
  /** The paths to remove. */
  readonly unset?: readonly string[];
};

type MemberOf<T, Name extends string> = T extends { readonly [K in Name]: infer Member extends object }
  ? Member
  : Nothing;
type UnsetOf<A> = A extends { readonly unset: readonly (infer Path)[] } ? Path & string : never;
type AssignTypes<A, S> = {
  to: TargetsOf<S>;
  sets: Nothing;
  values: MemberOf<A, "values">;
  paths: ((keyof MemberOf<A, "values"> | keyof MemberOf<A, "append">) & string) | UnsetOf<A>;
  end: never;
};

/** Changes vars. Needs a `next`. */
export function assign<const A extends Assign, const S extends NodeSettings & { readonly next: Next }>(
  changes: A,
  settings: S,
): BuiltNode<AssignTypes<A, S>> {
  return built(assignJson(changes), settings);
}

function assignJson({ values, append, unset }: Assign): NodeJson {
  for (const path of [...Object.keys(values ?? {}), ...Object.keys(append ?? {}), ...(unset ?? [])]) pointerOf(path);
  return {
    assign: given({
      values: values && jsonObjectOf(values, "values"),
      append: append && jsonObjectOf(append, "append"),
      unset: unset && [...unset],
    }),
  };
}

interface AssignKind extends KindTypes {
  readonly takes: Assign;
  readonly types: AssignTypes<this["member"], this["node"]>;
}
const AssignKind: NodeKind<AssignKind> = { json: assignJson };
export default AssignKind;
