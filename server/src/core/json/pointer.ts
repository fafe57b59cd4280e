import { emptyObject, type Json, type JsonObject } from "./json.ts";

/** One change of a JSON value. `path` is a JSON Pointer (RFC 6901).
 *
 *  `of` names the source of the value: `given`, the step's result, or the results of its calls. The ledger holds those
 *  anyway, so the value is stored once. `at` is a pointer into the source; if absent, the whole source is taken. */
export type PatchOp =
  | { op: "set"; path: string; value: Json }
  | { op: "set"; path: string; of: PatchSource; at?: string }
  | { op: "append"; path: string; values: Json[] }
  | { op: "append"; path: string; of: PatchSource; at?: string }
  | { op: "unset"; path: string };

export type PatchSource = "given" | "result" | "calls";

/** The sources of operations with `of`. */
export type PatchSources = { readonly given?: Json; readonly result?: Json; readonly calls?: Json };

/** A path that cannot be parsed, or a patch that does not fit the value. Becomes a failure of the node, not a
 *  refusal. */
export class PatchError extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(`${message} (path ${JSON.stringify(path)})`);
    this.name = "PatchError";
    this.path = path;
  }
}

/** How deep a path may reach: as deep as a payload may nest. */
const SEGMENTS_MAX = 32;
/** Room for 32 long names. Paths come from graphs and step plans and are parsed on every fold. */
const PATH_CHARS_MAX = 8192;

/** Returns the reference tokens of a JSON Pointer; an empty list for the whole value.
 *  @throws {PatchError} if it is not a pointer, has more than 32 tokens, or has a token `__proto__` */
export function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (pointer.length > PATH_CHARS_MAX) {
    throw new PatchError(pointer.slice(0, 64) + "…", `a path must have at most ${PATH_CHARS_MAX} characters`);
  }
  if (pointer[0] !== "/") throw new PatchError(pointer, "a JSON Pointer must begin with /");
  const segments = pointer.slice(1).split("/");
  if (segments.length > SEGMENTS_MAX)
    throw new PatchError(pointer, `a path must have at most ${SEGMENTS_MAX} segments`);
  for (let i = 0; i < segments.length; i++) {
    let segment = segments[i]!;
    if (segment.includes("~")) {
      if (/~(?![01])/.test(segment)) throw new PatchError(pointer, "~ must be written ~0");
      segment = unescapeSegment(segment);
      segments[i] = segment;
    }
    if (segment === "__proto__") throw new PatchError(pointer, "the name __proto__ is not allowed");
  }
  return segments;
}

const DOTTED_SEGMENT = /^[A-Za-z0-9_-]{1,128}$/;

/** The JSON Pointer of a dotted path of a graph: `a.b.0` becomes `/a/b/0`.
 *
 *  Segments are 1 to 128 of `A-Z a-z 0-9 _ -`. Dotted paths cannot reach names with other characters on purpose:
 *  `vars.a.b` could not read them back either.
 *  @throws {PatchError} if a segment is empty, invalid or `__proto__`, or there are more than 32 */
export function pointerFromDotted(dotted: string): string {
  const segments = dotted.slice(0, PATH_CHARS_MAX + 1).split(".");
  if (segments.length > SEGMENTS_MAX) {
    throw new PatchError(dotted.slice(0, PATH_CHARS_MAX), `a path must have at most ${SEGMENTS_MAX} segments`);
  }
  for (const segment of segments) {
    if (segment === "") throw new PatchError(dotted, "a segment is empty");
    if (!DOTTED_SEGMENT.test(segment)) {
      throw new PatchError(dotted.slice(0, PATH_CHARS_MAX), "segments must be 1 to 128 letters, digits, _ or -");
    }
    if (segment === "__proto__") throw new PatchError(dotted, "the name __proto__ is not allowed");
  }
  return "/" + segments.join("/");
}

/** Returns the value at a pointer, or undefined if there is no such value.
 *  @throws {PatchError} if the pointer cannot be parsed */
export function valueAt(root: Json, pointer: string): Json | undefined {
  let value: Json | undefined = root;
  for (const segment of parsePointer(pointer)) {
    if (typeof value !== "object" || value === null) return undefined;
    if (Array.isArray(value)) value = isIndex(segment) ? value[Number(segment)] : undefined;
    else value = Object.hasOwn(value, segment) ? value[segment] : undefined;
  }
  return value;
}

/** Returns `root` with `ops` applied in order. `root` itself is not changed; the result shares its unchanged parts.
 *
 *  `set` creates missing objects along the path; the path "" is the whole value. In a list it replaces an existing
 *  element. `append` adds to a list, which it creates if missing. `unset` of a missing value changes nothing; `unset`
 *  of a list's element closes the gap. Sizes and depths are not checked here.
 *  @throws {PatchError} if the path crosses a scalar, an index is malformed or out of range, a source is missing, or
 *  `append` meets something that is not a list */
export function applyPatch(root: Json, ops: readonly PatchOp[], sources: PatchSources = {}): Json {
  // Containers that this call created may be changed in place; all others are copied first.
  const own = new Set<Json>();
  let result = root;
  for (const op of ops) {
    const segments = parsePointer(op.path);
    switch (op.op) {
      case "set": {
        const value = "of" in op ? take(op, sources) : op.value;
        result = change(result, segments, 0, op.path, own, () => value);
        break;
      }
      case "append": {
        const values = "of" in op ? take(op, sources) : op.values;
        if (!Array.isArray(values)) throw new PatchError(op.path, "the values to append are not a list");
        result = change(result, segments, 0, op.path, own, (list) => append(list, values, op.path, own));
        break;
      }
      case "unset": {
        if (segments.length === 0) throw new PatchError(op.path, "the whole value cannot be unset");
        result = unset(result, segments, 0, op.path, own);
        break;
      }
    }
  }
  return result;
}

function take(op: { path: string; of: PatchSource; at?: string }, sources: PatchSources): Json {
  const source = sources[op.of];
  const value = source === undefined ? undefined : valueAt(source, op.at ?? "");
  if (value === undefined) throw new PatchError(op.path, `there is no ${op.of} at ${JSON.stringify(op.at ?? "")}`);
  return value;
}

function append(list: Json | undefined, values: readonly Json[], path: string, own: Set<Json>): Json {
  if (list === undefined) return owned([...values], own);
  if (!Array.isArray(list)) throw new PatchError(path, "values can only be appended to a list");
  if (!own.has(list)) return owned(list.concat(values), own);
  for (const value of values) list.push(value);
  return list;
}

/** Returns `value` with `replace` applied at segments[at..]; missing objects along the path are created. */
function change(
  value: Json | undefined,
  segments: readonly string[],
  at: number,
  path: string,
  own: Set<Json>,
  replace: (old: Json | undefined) => Json,
): Json {
  if (at === segments.length) return replace(value);
  const segment = segments[at]!;
  if (Array.isArray(value)) {
    const index = elementIndex(value, segment, path);
    const list = writable(value, own);
    list[index] = change(value[index], segments, at + 1, path, own, replace);
    return list;
  }
  if (value === undefined) value = owned(emptyObject(), own);
  if (value === null || typeof value !== "object")
    throw new PatchError(path, `the path crosses a scalar at ${segment}`);
  const old = Object.hasOwn(value, segment) ? value[segment] : undefined;
  const changed = change(old, segments, at + 1, path, own, replace);
  const object = writable(value, own);
  object[segment] = changed;
  return object;
}

function unset(value: Json, segments: readonly string[], at: number, path: string, own: Set<Json>): Json {
  if (value === null || typeof value !== "object") return value;
  const segment = segments[at]!;
  const last = at === segments.length - 1;
  if (Array.isArray(value)) {
    if (!isIndex(segment)) throw new PatchError(path, `${JSON.stringify(segment)} is not an index of a list`);
    const index = Number(segment);
    if (index >= value.length) return value;
    const list = writable(value, own);
    if (last) list.splice(index, 1);
    else list[index] = unset(value[index]!, segments, at + 1, path, own);
    return list;
  }
  if (!Object.hasOwn(value, segment)) return value;
  if (last) {
    const object = writable(value, own);
    delete object[segment];
    return object;
  }
  const old = value[segment]!;
  const changed = unset(old, segments, at + 1, path, own);
  if (changed === old) return value;
  const object = writable(value, own);
  object[segment] = changed;
  return object;
}

function isIndex(segment: string): boolean {
  return /^(0|[1-9][0-9]{0,9})$/.test(segment);
}

function elementIndex(list: readonly Json[], segment: string, path: string): number {
  if (!isIndex(segment)) throw new PatchError(path, `${JSON.stringify(segment)} is not an index of a list`);
  const index = Number(segment);
  if (index >= list.length) throw new PatchError(path, `index ${index} is beyond the end of a list of ${list.length}`);
  return index;
}

function writable<T extends Json[] | JsonObject>(container: T, own: Set<Json>): T {
  if (own.has(container)) return container;
  if (Array.isArray(container)) return owned(container.slice() as T, own);
  return owned(Object.assign(emptyObject(), container) as T, own);
}

function owned<T extends Json>(container: T, own: Set<Json>): T {
  own.add(container);
  return container;
}

/** The field path of a JSON Pointer into the field `field`: `/a/0/b` in `vars` becomes `vars.a[0].b`. */
export function fieldPath(field: string, pointer: string): string {
  const segments = pointer.split("/").slice(1);
  const names = segments.map((segment) => {
    const name = unescapeSegment(segment);
    return isIndex(name) ? `[${name}]` : `.${name}`;
  });
  return field + names.join("");
}

function unescapeSegment(segment: string): string {
  return segment.replaceAll("~1", "/").replaceAll("~0", "~");
}
