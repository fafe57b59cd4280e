// What the compiler makes of a node, and what it hands to the files that compile one kind of node.
import type { ASTNode } from "@marcbachmann/cel-js";

import type { Run } from "./evaluation.ts";
import { kindOf, type Type, type Value } from "./values.ts";

/** A compiled node. */
export type Code = {
  run: Run;
  /** Its kind where that is known before it runs. */
  type: Type;
  /** A literal's value, for checks at compile time. */
  literal?: Value;
  /** A name followed by selections only: what comes out is a part of what went in. */
  isPath?: boolean;
};

/** The state of one compilation. */
export type Compiler = {
  readonly variables: ReadonlySet<string>;
  /** Local variables so far. */
  slots: number;
  /** Regular expressions so far, in RE2 instructions. */
  regexInstructions: number;
  /** Depth of the node that is being compiled. */
  depth: number;
  /** Compiles a node inside another; passed along because that would otherwise be a circle of imports. */
  readonly compileNode: (node: ASTNode, scope: Scope | undefined) => Code;
};

/** A variable of a macro, and those around it. */
export type Scope = { name: string; slot: number; outer: Scope | undefined };

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
