// The syntax tree of an expression. The parser creates it, and the compiler reads it once.
import type { Value } from "./values.ts";

/** A node of the tree. `start` is the offset of its first character in the source, in UTF-16 units. */
export type Node =
  | { op: "literal"; start: number; value: Value }
  /** A name. With a leading dot it is absolute: variables of macros do not hide what it names. */
  | { op: "name"; start: number; name: string; isAbsolute: boolean }
  /** `a.b`, `a.?b`, and quoted fields such as `` a.`b-c` ``. */
  | { op: "select"; start: number; operand: Node; field: string; isOptional: boolean; fieldStart: number }
  /** `a[b]` and `a[?b]`. */
  | { op: "index"; start: number; operand: Node; index: Node; isOptional: boolean }
  /** `f(a, b)`. */
  | { op: "call"; start: number; name: string; args: readonly Node[] }
  /** `a.f(b)`. */
  | { op: "method"; start: number; target: Node; name: string; args: readonly Node[] }
  | { op: "list"; start: number; items: readonly ListItem[] }
  | { op: "map"; start: number; entries: readonly MapEntry[] }
  | { op: "conditional"; start: number; condition: Node; yes: Node; no: Node }
  | { op: "logical"; start: number; operator: "&&" | "||"; left: Node; right: Node }
  | { op: "unary"; start: number; operator: "!" | "-"; operand: Node }
  | { op: "binary"; start: number; operator: string; left: Node; right: Node };

/** An element of a list literal. An optional one, `[?x]`, is there only if its optional has a value. */
export type ListItem = { value: Node; isOptional: boolean };

/** An entry of a map literal. An optional one, `{?k: v}`, is there only if its optional has a value. */
export type MapEntry = { key: Node; value: Node; isOptional: boolean };
