import { emptyObject, type Json, type JsonObject } from "./json.ts";

/** One change of a JSON value. `path` is a JSON Pointer (RFC 6901).
 *
 *  `of` takes what to write from a value that the ledger holds anyway (what an actor gave, the step's result, or the results of
 *  its calls), at the pointer `at` in it (absent: the whole), so that it is stored once. */
export type PatchOp =
  | { op: "set"; path: string; value: Json }
  | { op: "set"; path: string; of: PatchSource; at?: string }
  | { op: "append"; path: string; values: Json[] }
  | { op: "append"; path: string; of: PatchSource; at?: string }
  | { op: "unset"; path: string };

export type PatchSource = "given" | "result" | "calls";

/** The values that operations with `of` take from. */
export type PatchSources = { readonly given?: Json; readonly result?: Json; readonly calls?: Json };

/** A path that cannot be read, or a patch that does not fit the value: data, not a refusal. */
export class PatchError extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(`${message} (path ${JSON.stringify(path)})`);
    this.name = "PatchError";
    this.path = path;
  }
}

/** The deepest a path may reach: that of a payload, since nothing deeper can exist. */
const SEGMENTS_MAX = 32;
/** Room for 32 long names. Paths come from graphs and step plans and are parsed on every fold. */
const PATH_CHARS_MAX = 8192;

/** The reference tokens of a JSON Pointer; none for the whole value.
 *  @throws {PatchError} not a pointer, more than 32 tokens, or a token `__proto__` */
export function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (pointer.length > PATH_CHARS_MAX) {
    throw new PatchError(pointer.slice(0, 64) + "…", `a path has at most ${PATH_CHARS_MAX} characters`);
  }
  if (pointer[0] !== "/") throw new PatchError(pointer, "a JSON Pointer begins with /");
  const segments = pointer.slice(1).split("/");
  if (segments.length > SEGMENTS_MAX) throw new PatchError(pointer, `a path has at most ${SEGMENTS_MAX} segments`);
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

/** The JSON Pointer of a path as graphs write it: `a.b.0` is `/a/b/0`.
 *
 *  Segments are 1 to 128 of `A-Z a-z 0-9 _ -`; names with other characters are out of reach of dotted paths on purpose, since
 *  they could not be read back with `vars.a.b` either.
 *  @throws {PatchError} an empty or foreign segment, more than 32 of them, or `__proto__` */
export function pointerFromDotted(dotted: string): string {
  const segments = dotted.slice(0, PATH_CHARS_MAX + 1).split(".");
  if (segments.length > SEGMENTS_MAX) {
    throw new PatchError(dotted.slice(0, PATH_CHARS_MAX), `a path has at most ${SEGMENTS_MAX} segments`);
  }
  for (const segment of segments) {
    if (segment === "") throw new PatchError(dotted, "a segment is empty");
    if (!DOTTED_SEGMENT.test(segment)) {
      throw new PatchError(dotted.slice(0, PATH_CHARS_MAX), "segments are 1 to 128 letters, digits, _ or -");
    }
    if (segment === "__proto__") throw new PatchError(dotted, "the name __proto__ is not allowed");
  }
  return "/" + segments.join("/");
}

/** The value at a pointer, or undefined where there is none.
 *  @throws {PatchError} the pointer cannot be read */
export function valueAt(root: Json, pointer: string): Json | undefined {
  let value: Json | undefined = root;
  for (const segment of parsePointer(pointer)) {
    if (typeof value !== "object" || value === null) return undefined;
    if (Array.isArray(value)) value = isIndex(segment) ? value[Number(segment)] : undefined;
    else value = Object.hasOwn(value, segment) ? value[segment] : undefined;
  }
  return value;
}

/** `root` with `ops` applied in order. Never changes `root`: what no operation touches is shared with the result.
 *
 *  `set` makes missing objects on the way; the path "" is the whole value. In a list it replaces an element that exists.
 *  `append` adds to a list and makes a missing one. `unset` of what is missing changes nothing; of an element, closes the gap.
 *  Sizes and depths are not checked here.
 *  @throws {PatchError} the way leads through a scalar, an index is none or beyond the end, or what is appended to or taken
 *  from `given` is missing or not a list */
export function applyPatch(root: Json, ops: readonly PatchOp[], sources: PatchSources = {}): Json {
  // Containers made by this call may be changed in place by its later operations; all others are copied first.
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
        if (!Array.isArray(values)) throw new PatchError(op.path, "what is appended is not a list");
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
  if (!Array.isArray(list)) throw new PatchError(path, "only a list can be appended to");
  if (!own.has(list)) return owned(list.concat(values), own);
  for (const value of values) list.push(value);
  return list;
}

/** `value` with `replace` applied to what is at segments[at..]; missing objects on the way are made. */
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
    throw new PatchError(path, `the way leads through a scalar at ${segment}`);
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

/** The field path of what a JSON Pointer points to in the field `field`: `/a/0/b` in `vars` is `vars.a[0].b`. */
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
