/** Paths in vars, as the graph writes them: names separated by dots, such as `order.payment`. */
import { type Json, pointerOfSegments } from "./json.ts";

/** The paths in a type of vars, to a depth of five names; any string where the type does not list its names. */
export type PathOf<T> = PathWithin<T, []>;

type PathWithin<T, Depth extends unknown[]> = Depth["length"] extends 5
  ? never
  : unknown extends T
    ? string
    : T extends readonly unknown[]
      ? never
      : T extends object
        ? string extends keyof T
          ? string
          : {
              [K in keyof T & string]-?: K | `${K}.${PathWithin<NonNullable<T[K]>, [...Depth, unknown]>}`;
            }[keyof T & string]
        : never;

/** The type of the value at a path, without `undefined`; JSON where the type does not list its names. */
export type ValueAt<T, Path extends string> = unknown extends T
  ? Json
  : Path extends keyof T
    ? Exclude<T[Path], undefined>
    : Path extends `${infer Name}.${infer Rest}`
      ? Name extends keyof T
        ? ValueAt<NonNullable<T[Name]>, Rest>
        : Json
      : Json;

/** The same type with read-only lists and members, as in literals. */
export type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K]> }
    : T;

/** The value, or a template that evaluates to it. The compiler does not look into templates. */
export type Templated<T> =
  | `${string}\${${string}`
  | (T extends readonly (infer Item)[]
      ? readonly Templated<Item>[]
      : T extends object
        ? { readonly [K in keyof T]: Templated<T[K]> }
        : T);

/** By the contract: 1 to 32 names of letters, digits, `_` and `-`. */
const PATH = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,31}$/;

/** The JSON Pointer of a dotted path.
 *  @throws {TypeError} if the text is not a path */
export function pointerOf(path: string): string {
  if (!PATH.test(path)) {
    throw new TypeError(
      `${JSON.stringify(path)} is not a path in vars; a path is names of letters, digits, _ and -, separated by dots`,
    );
  }
  return pointerOfSegments(path.split("."));
}
