// What compiling a node returns, and what the files that compile one kind of node share.
import type { Allowance } from "../allowance.ts";
import type { Run } from "./evaluation.ts";
import type { Node } from "./syntax.ts";
import { kindOf, type Type, type Value } from "./values.ts";

/** A compiled node. */
export type Code = {
  run: Run;
  /** The kind of its value, if it is known before it runs. */
  type: Type;
  /** The value of a literal, for checks at compile time. */
  literal?: Value;
  /** The node is a name followed by selections only, so its value is a part of a value that was passed in. */
  isPath?: boolean;
};

/** The state of one compilation. */
export type Compiler = {
  readonly variables: ReadonlySet<string>;
  /** How many local variables there are so far. */
  slots: number;
  /** What its regular expressions take their size from. */
  readonly patterns: readonly Allowance[];
  /** Depth of the node that is being compiled. */
  depth: number;
  /** Compiles a node inside another. It is passed along because importing it would be a circular import. */
  readonly compileNode: (node: Node, scope: Scope | undefined) => Code;
};

/** The variable of a macro, and the scope around it. */
export type Scope = { name: string; slot: number; outer: Scope | undefined };

/** The code of a value that is known at compile time. */
export function literalCode(value: Value): Code {
  return {
    type: kindOf(value),
    literal: value,
    run: (evaluation) => {
      evaluation.step();
      return value;
    },
  };
}
