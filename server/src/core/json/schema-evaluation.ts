/**
 * Evaluates values by schemas: a schema becomes a tree of closures, one per keyword. No code is generated, so a schema
 * takes microseconds to compile and is freed with its closures (docs/adr/0017-json-schema-interpreter.md).
 *
 * An evaluation counts its steps. Without `problems` it stops at the first failure and writes no messages.
 */
import { compiledPattern, type Pattern } from "../pattern.ts";
import { weakly } from "../weighed-cache.ts";
import { canonicalJson, deepEqual, type Json, type JsonObject } from "./json.ts";
import { isMultipleOf } from "./multiple-of.ts";
import { pointerText } from "./pointer-text.ts";
import { FORMATS } from "./schema-formats.ts";
import { pointerOfReference } from "./schema-reference.ts";

/** RE2 instructions times characters per step: the slowest patterns take 50 ns for each. */
const REGEX_WORK_PER_STEP = 4;
/** Characters that the check of a format reads per step. */
const FORMAT_CHARS_PER_STEP = 4;
/** Characters of text, and elements of the schema's lists, per step. */
const CHARS_PER_STEP = 64;
const ITEMS_PER_STEP = 8;
/** How much of a name or of the allowed values a message shows. */
const SHOWN_CHARS_MAX = 200;

/** The evaluation takes more steps than it has. */
export class StepLimit extends Error {}

export type SchemaProblem = { path: string; message: string };

/** The state of one evaluation. */
export type Evaluation = {
  stepsLeft: number;
  /** Where problems go; undefined if only the outcome matters. */
  problems: SchemaProblem[] | undefined;
  /** The place in the value. Kept only with `problems`. */
  readonly path: (string | number)[];
};

/** Whether the value fits. `seen` collects the members and elements that were evaluated, if a schema around this one
 *  asks for the others. */
export type Check = (value: Json, evaluation: Evaluation, seen: Seen | undefined) => boolean;

/** The members or elements of one value that a schema has evaluated. */
type Seen = { all: boolean; names: Set<string>; count: number; indexes: Set<number> };

/** Compiles a schema that was checked (schema-check.ts). */
export function compileCheck(schema: Json): Check {
  const compiler: Compiler = { places: new Map(), anchors: new Map(), references: [], hasUnevaluated: false };
  compiler.hasUnevaluated = JSON.stringify(schema).includes('"unevaluated');
  const check = compileSubschema(schema, "", compiler);
  for (const { reference, resolve } of compiler.references) {
    const pointer = pointerOfReference(reference);
    const target = pointer === undefined ? compiler.anchors.get(reference.slice(1)) : compiler.places.get(pointer);
    if (target === undefined) throw new Error(`the schema was not checked: there is nothing at ${reference}`);
    resolve(target);
  }
  return check;
}

type Compiler = {
  /** The subschemas by JSON Pointer, for references. */
  places: Map<string, Check>;
  anchors: Map<string, Check>;
  references: { reference: string; resolve: (target: Check) => void }[];
  /** Without `unevaluatedItems` and `unevaluatedProperties` nobody asks what was evaluated. */
  hasUnevaluated: boolean;
};

/** A keyword's check, and the kind of value that it is about. */
type Part = { of: "any" | "string" | "number" | "array" | "object"; check: Check };
/** A keyword beside others in its schema. */
type Place = { schema: JsonObject; path: string; compiler: Compiler };
type Keyword = (value: Json, place: Place) => Part | undefined;

function spend(evaluation: Evaluation, steps: number): void {
  evaluation.stepsLeft -= steps;
  if (evaluation.stepsLeft < 0) throw new StepLimit();
}

function fail(evaluation: Evaluation, message: string, detail?: Json): false {
  if (evaluation.problems !== undefined) {
    const text = detail === undefined ? message : `${message}: ${canonicalJson(detail)}`;
    const shown = text.length > SHOWN_CHARS_MAX ? text.slice(0, SHOWN_CHARS_MAX).toWellFormed() + "…" : text;
    evaluation.problems.push({ path: pointerText(evaluation.path), message: shown });
  }
  return false;
}

/** Checks a member or an element. */
function within(key: string | number, check: Check, value: Json, evaluation: Evaluation): boolean {
  if (evaluation.problems === undefined) return check(value, evaluation, undefined);
  evaluation.path.push(key);
  const fits = check(value, evaluation, undefined);
  evaluation.path.pop();
  return fits;
}

/** Checks without writing problems. */
function quietly(check: Check, value: Json, evaluation: Evaluation, seen?: Seen): boolean {
  const { problems } = evaluation;
  evaluation.problems = undefined;
  const fits = check(value, evaluation, seen);
  evaluation.problems = problems;
  return fits;
}

function compileSubschema(schema: Json | undefined, path: string, compiler: Compiler): Check {
  const check = typeof schema === "boolean" ? constant(schema) : compileObject(schema as JsonObject, path, compiler);
  compiler.places.set(path, check);
  return check;
}

function constant(accepts: boolean): Check {
  return (_value, evaluation) => accepts || fail(evaluation, "no value is allowed here");
}

function compileObject(schema: JsonObject, path: string, compiler: Compiler): Check {
  const parts = { any: [] as Check[], string: [], number: [], array: [], object: [] } as Record<Part["of"], Check[]>;
  for (const [keyword, compile] of KEYWORDS) {
    const value = schema[keyword];
    if (value === undefined || !Object.hasOwn(schema, keyword)) continue;
    const part = compile(value, { schema, path: `${path}${pointerText([keyword])}`, compiler });
    if (part !== undefined) parts[part.of].push(part.check);
  }
  const { any, string: strings, number: numbers, array: arrays, object: objects } = parts;
  const nothing: Check[] = [];
  const check: Check = (value, evaluation, seen) => {
    spend(evaluation, 1);
    let fits = true;
    for (let i = 0; i < any.length; i++) {
      if (any[i]!(value, evaluation, seen)) continue;
      if (evaluation.problems === undefined) return false;
      fits = false;
    }
    const own =
      typeof value === "string"
        ? strings
        : typeof value === "number"
          ? numbers
          : value === null || typeof value !== "object"
            ? nothing
            : Array.isArray(value)
              ? arrays
              : objects;
    for (let i = 0; i < own.length; i++) {
      if (own[i]!(value, evaluation, seen)) continue;
      if (evaluation.problems === undefined) return false;
      fits = false;
    }
    return fits;
  };
  const { $anchor, $dynamicAnchor } = schema;
  const tracked = compiler.hasUnevaluated ? tracking(check, schema) : check;
  for (const anchor of [$anchor, $dynamicAnchor]) if (typeof anchor === "string") compiler.anchors.set(anchor, tracked);
  return tracked;
}

/** A schema that fails has evaluated nothing, so what it evaluates is told at its end. */
function tracking(check: Check, schema: JsonObject): Check {
  const asks = schema["unevaluatedItems"] !== undefined || schema["unevaluatedProperties"] !== undefined;
  return (value, evaluation, outer) => {
    if (outer === undefined && !asks) return check(value, evaluation, undefined);
    const seen: Seen = { all: false, names: new Set(), count: 0, indexes: new Set() };
    if (!check(value, evaluation, seen)) return false;
    if (outer === undefined) return true;
    spend(evaluation, (seen.names.size + seen.indexes.size) / ITEMS_PER_STEP);
    outer.all ||= seen.all;
    outer.count = Math.max(outer.count, seen.count);
    for (const name of seen.names) outer.names.add(name);
    for (const index of seen.indexes) outer.indexes.add(index);
    return true;
  };
}

// ── Keywords ──

function about<Of extends Part["of"]>(
  of: Of,
  check: (
    value: { any: Json; string: string; number: number; array: Json[]; object: JsonObject }[Of],
    evaluation: Evaluation,
    seen: Seen | undefined,
  ) => boolean,
): Part {
  return { of, check: check as Check };
}

const bound =
  (of: "number", message: string, holds: (value: number, limit: number) => boolean): Keyword =>
  (limit) =>
    about(
      of,
      (value, evaluation) => holds(value, limit as number) || fail(evaluation, `${message} ${limit as number}`),
    );

/** Whether a text has at least or at most so many characters; code points count, not UTF-16 units. */
const length =
  (isMax: boolean): Keyword =>
  (limit) => {
    const max = limit as number;
    return about("string", (text, evaluation) => {
      // Most texts are decided without counting.
      const isClear = isMax ? text.length <= max : text.length >= 2 * max;
      if (isClear) return true;
      spend(evaluation, text.length / CHARS_PER_STEP);
      const characters = codePoints(text);
      if (isMax ? characters <= max : characters >= max) return true;
      return fail(evaluation, `must NOT have ${isMax ? "more" : "fewer"} than ${max} characters`);
    });
  };

function codePoints(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xdc00 || unit > 0xdfff) count++;
  }
  return count;
}

const size =
  (of: "array" | "object", isMax: boolean): Keyword =>
  (limit) => {
    const max = limit as number;
    const what = of === "array" ? "items" : "properties";
    const message = `must NOT have ${isMax ? "more" : "fewer"} than ${max} ${what}`;
    const count = (value: Json[] | JsonObject) => (Array.isArray(value) ? value.length : Object.keys(value).length);
    return about(of, (value, evaluation) => {
      const found = count(value);
      return (isMax ? found <= max : found >= max) || fail(evaluation, message);
    });
  };

/** Members whose names are required if a member is there. */
function requires(names: readonly string[], member?: string): Part {
  const condition = member === undefined ? "" : ` when property ${member} is present`;
  return about("object", (object, evaluation) => {
    if (member !== undefined && memberOf(object, member) === undefined) return true;
    spend(evaluation, names.length / ITEMS_PER_STEP);
    let fits = true;
    for (const name of names) {
      if (memberOf(object, name) !== undefined) continue;
      const message = member === undefined ? `must have required property '${name}'` : `must have property ${name}`;
      fits = fail(evaluation, message + condition);
      if (evaluation.problems === undefined) return false;
    }
    return fits;
  });
}

function all(parts: readonly Part[], of: Part["of"]): Part {
  const checks = parts.map(({ check }) => check);
  return {
    of,
    check: (value, evaluation, seen) => {
      let fits = true;
      for (const check of checks) {
        if (check(value, evaluation, seen)) continue;
        if (evaluation.problems === undefined) return false;
        fits = false;
      }
      return fits;
    },
  };
}

/** A schema that applies if a member is there. */
function appliesWith(member: string, check: Check): Part {
  return about(
    "object",
    (object, evaluation, seen) => memberOf(object, member) === undefined || check(object, evaluation, seen),
  );
}

function list(value: Json, { path, compiler }: Place): Check[] {
  return (value as Json[]).map((item, index) => compileSubschema(item, `${path}/${index}`, compiler));
}

function map(value: Json, { path, compiler }: Place): [string, Check][] {
  return Object.entries(value as JsonObject).map(([name, item]) => [
    name,
    compileSubschema(item, `${path}${pointerText([name])}`, compiler),
  ]);
}

const one = (value: Json, { path, compiler }: Place): Check => compileSubschema(value, path, compiler);

function matcher(source: string): (text: string, evaluation: Evaluation) => boolean {
  const pattern = weakly<Pattern>(() => compiledPattern(source));
  return (text, evaluation) => {
    const compiled = pattern();
    spend(evaluation, 1 + (text.length * compiled.size) / REGEX_WORK_PER_STEP);
    return compiled.test(text);
  };
}

/** A member of its own. What objects inherit are functions, which JSON has not. */
function memberOf(object: JsonObject, name: string): Json | undefined {
  const member = object[name] as Json | (() => void) | undefined;
  return typeof member === "function" ? undefined : member;
}

/** `then` and `else` without `if` apply to nothing, but others may refer to them. */
const alone: Keyword = (value, place) => {
  if (place.schema["if"] === undefined) one(value, place);
  return undefined;
};

/** Subschemas that only others refer to. */
const referred: Keyword = (value, place) => {
  map(value, place);
  return undefined;
};

const reference: Keyword = (value, { compiler }) => {
  let target: Check | undefined;
  compiler.references.push({ reference: value as string, resolve: (check) => (target = check) });
  return about("any", (item, evaluation, seen) => target!(item, evaluation, seen));
};

const typeKeyword: Keyword = (value) => {
  const types = Array.isArray(value) ? (value as string[]) : [value as string];
  const tests = types.map((type) => TYPES[type]!);
  const [only] = tests;
  const message = `must be ${types.join(",")}`;
  const isOne = tests.length === 1 ? only! : (item: Json) => tests.some((test) => test(item));
  return about("any", (item, evaluation) => isOne(item) || fail(evaluation, message));
};

const TYPES: { [type: string]: (value: Json) => boolean } = {
  null: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  array: Array.isArray,
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

const unique: Keyword = (value) =>
  value === true
    ? about("array", (items, evaluation) => {
        if (items.length < 2) return true;
        // Comparing all pairs would take quadratic time.
        const texts = new Set<string>();
        for (const item of items) {
          const text = canonicalJson(item);
          spend(evaluation, 1 + text.length / 16);
          if (texts.has(text)) return fail(evaluation, "must NOT have duplicate items");
          texts.add(text);
        }
        return true;
      })
    : undefined;

const contains: Keyword = (value, place) => {
  const check = one(value, place);
  const { minContains, maxContains } = place.schema as { minContains?: number; maxContains?: number };
  const min = minContains ?? 1;
  const max = maxContains ?? Infinity;
  const message =
    max === Infinity
      ? `must contain at least ${min} valid item(s)`
      : `must contain at least ${min} and no more than ${max} valid item(s)`;
  return about("array", (items, evaluation, seen) => {
    let found = 0;
    for (let i = 0; i < items.length; i++) {
      if (!quietly(check, items[i]!, evaluation)) continue;
      found++;
      seen?.indexes.add(i);
      if (seen === undefined && max === Infinity && found >= min) break;
    }
    if (found >= min && found <= max) return true;
    // Too few: why the others do not count.
    if (found < min && evaluation.problems !== undefined) {
      for (let i = 0; i < items.length; i++) within(i, check, items[i]!, evaluation);
    }
    return fail(evaluation, message);
  });
};

const items: Keyword = (value, place) => {
  const check = one(value, place);
  const { prefixItems } = place.schema;
  const from = Array.isArray(prefixItems) ? prefixItems.length : 0;
  return about("array", (elements, evaluation, seen) => {
    let fits = true;
    for (let i = from; i < elements.length; i++) {
      if (within(i, check, elements[i]!, evaluation)) continue;
      if (evaluation.problems === undefined) return false;
      fits = false;
    }
    if (seen !== undefined) seen.all = true;
    return fits;
  });
};

const prefixItems: Keyword = (value, place) => {
  const checks = list(value, place);
  return about("array", (elements, evaluation, seen) => {
    let fits = true;
    const count = Math.min(checks.length, elements.length);
    for (let i = 0; i < count; i++) {
      if (within(i, checks[i]!, elements[i]!, evaluation)) continue;
      if (evaluation.problems === undefined) return false;
      fits = false;
    }
    if (seen !== undefined) seen.count = Math.max(seen.count, count);
    return fits;
  });
};

/** `properties` where no other keyword is about members. */
const properties: Keyword = (value, place) => {
  const { patternProperties, additionalProperties } = place.schema;
  if (patternProperties !== undefined || additionalProperties !== undefined) return undefined;
  const members = map(value, place);
  const names = members.map(([name]) => name);
  const checks = members.map(([, check]) => check);
  return about("object", (object, evaluation, seen) => {
    spend(evaluation, names.length / ITEMS_PER_STEP);
    let fits = true;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const member = memberOf(object, name);
      if (member === undefined) continue;
      seen?.names.add(name);
      if (within(name, checks[i]!, member, evaluation)) continue;
      if (evaluation.problems === undefined) return false;
      fits = false;
    }
    return fits;
  });
};

/** `additionalProperties` or `patternProperties`, with the keywords about members beside it: one walk over them. */
const allMembers: Keyword = (_value, { schema, path, compiler }) => {
  const beside = (keyword: string): Place => ({ schema, path: path.replace(/[^/]*$/, keyword), compiler });
  const { properties: named = {}, patternProperties: patterned = {}, additionalProperties: others } = schema;
  const checks = new Map(map(named, beside("properties")));
  const patterns = map(patterned, beside("patternProperties")).map(
    ([pattern, check]) => [matcher(pattern), check] as const,
  );
  const other = others === undefined ? undefined : one(others, beside("additionalProperties"));
  return about("object", (object, evaluation, seen) => {
    let fits = true;
    const names = Object.keys(object);
    spend(evaluation, names.length / ITEMS_PER_STEP);
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const member = object[name]!;
      const check = checks.get(name);
      let isKnown = check !== undefined;
      if (check !== undefined && !within(name, check, member, evaluation)) fits = false;
      for (let j = 0; j < patterns.length; j++) {
        const [matches, ofPattern] = patterns[j]!;
        if (!matches(name, evaluation)) continue;
        isKnown = true;
        if (!within(name, ofPattern, member, evaluation)) fits = false;
      }
      if (!isKnown && other !== undefined) {
        isKnown = true;
        if (others === false) fits = fail(evaluation, "must NOT have additional properties", name);
        else if (!within(name, other, member, evaluation)) fits = false;
      }
      if (!fits && evaluation.problems === undefined) return false;
      if (isKnown) seen?.names.add(name);
    }
    return fits;
  });
};

const propertyNames: Keyword = (value, place) => {
  const check = one(value, place);
  return about("object", (object, evaluation) => {
    let fits = true;
    for (const name of Object.keys(object)) {
      if (check(name, evaluation, undefined)) continue;
      fits = fail(evaluation, "property name must be valid", name);
      if (evaluation.problems === undefined) return false;
    }
    return fits;
  });
};

const anyOf: Keyword = (value, place) => {
  const checks = list(value, place);
  return about("any", (item, evaluation, seen) => {
    const before = evaluation.problems?.length ?? 0;
    let fits = false;
    for (const check of checks) {
      if (!check(item, evaluation, seen)) continue;
      fits = true;
      // Every branch that fits has evaluated something.
      if (seen === undefined) break;
    }
    if (!fits) return fail(evaluation, "must match a schema in anyOf");
    if (evaluation.problems !== undefined) evaluation.problems.length = before;
    return true;
  });
};

const oneOf: Keyword = (value, place) => {
  const checks = list(value, place);
  return about("any", (item, evaluation, seen) => {
    const before = evaluation.problems?.length ?? 0;
    let found = 0;
    for (const check of checks) {
      if (check(item, evaluation, seen) && ++found > 1) break;
    }
    if (found > 0 && evaluation.problems !== undefined) evaluation.problems.length = before;
    if (found === 1) return true;
    return fail(evaluation, `must match exactly one schema in oneOf, and matches ${found === 0 ? "none" : "several"}`);
  });
};

const ifKeyword: Keyword = (value, place) => {
  const condition = one(value, place);
  const branch = (keyword: "then" | "else"): Check | undefined => {
    const schema = place.schema[keyword];
    if (schema === undefined) return undefined;
    return one(schema, { ...place, path: place.path.replace(/if$/, keyword) });
  };
  const whenTrue = branch("then");
  const whenFalse = branch("else");
  return about("any", (item, evaluation, seen) => {
    const holds = quietly(condition, item, evaluation, seen);
    const check = holds ? whenTrue : whenFalse;
    if (check === undefined || check(item, evaluation, seen)) return true;
    return fail(evaluation, `must match "${holds ? "then" : "else"}" schema`);
  });
};

const unevaluatedItems: Keyword = (value, place) => {
  const check = one(value, place);
  return about("array", (elements, evaluation, seen) => {
    let fits = true;
    for (let i = seen!.all ? elements.length : seen!.count; i < elements.length; i++) {
      if (seen!.indexes.has(i) || within(i, check, elements[i]!, evaluation)) continue;
      fits = value === false ? false : fail(evaluation, "must NOT have unevaluated items");
      if (evaluation.problems === undefined) return false;
    }
    seen!.all = true;
    return fits;
  });
};

const unevaluatedProperties: Keyword = (value, place) => {
  const check = one(value, place);
  return about("object", (object, evaluation, seen) => {
    if (seen!.all) return true;
    let fits = true;
    const found = Object.keys(object);
    spend(evaluation, found.length / ITEMS_PER_STEP);
    for (const name of found) {
      if (seen!.names.has(name)) continue;
      if (value === false) fits = fail(evaluation, "must NOT have unevaluated properties", name);
      else if (!within(name, check, object[name]!, evaluation)) fits = false;
      if (!fits && evaluation.problems === undefined) return false;
    }
    seen!.all = true;
    return fits;
  });
};

/** In the order of evaluation: what is cheap first, and `unevaluated…` after everything beside it. `then` and `else`
 *  belong to `if`, `minContains` and `maxContains` to `contains`. */
const KEYWORDS = new Map<string, Keyword>([
  ["type", typeKeyword],
  [
    "const",
    (constant_) =>
      about("any", (value, evaluation) => {
        return deepEqual(constant_, value) || fail(evaluation, "must be equal to constant", constant_);
      }),
  ],
  [
    "enum",
    (allowed) =>
      about("any", (value, evaluation) => {
        const values = allowed as Json[];
        spend(evaluation, values.length / ITEMS_PER_STEP);
        if (values.some((one_) => deepEqual(one_, value))) return true;
        return fail(evaluation, "must be equal to one of the allowed values", allowed);
      }),
  ],
  ["minimum", bound("number", "must be >=", (value, limit) => value >= limit)],
  ["maximum", bound("number", "must be <=", (value, limit) => value <= limit)],
  ["exclusiveMinimum", bound("number", "must be >", (value, limit) => value > limit)],
  ["exclusiveMaximum", bound("number", "must be <", (value, limit) => value < limit)],
  ["multipleOf", bound("number", "must be multiple of", isMultipleOf)],
  ["minLength", length(false)],
  ["maxLength", length(true)],
  [
    "pattern",
    (pattern) => {
      const matches = matcher(pattern as string);
      return about("string", (text, evaluation) => {
        return matches(text, evaluation) || fail(evaluation, "must match pattern", pattern);
      });
    },
  ],
  [
    "format",
    (format) => {
      const isOf = FORMATS.get(format as string);
      if (isOf === undefined) return undefined;
      return about("string", (text, evaluation) => {
        spend(evaluation, text.length / FORMAT_CHARS_PER_STEP);
        return isOf(text) || fail(evaluation, "must match format", format);
      });
    },
  ],
  ["minItems", size("array", false)],
  ["maxItems", size("array", true)],
  ["minProperties", size("object", false)],
  ["maxProperties", size("object", true)],
  ["uniqueItems", unique],
  ["required", (names) => requires(names as string[])],
  [
    "dependentRequired",
    (value) =>
      all(
        Object.entries(value as JsonObject).map(([member, names]) => requires(names as string[], member)),
        "object",
      ),
  ],
  ["$defs", referred],
  ["definitions", referred],
  ["$ref", reference],
  ["$dynamicRef", reference],
  [
    "not",
    (value, place) => {
      const check = one(value, place);
      return about("any", (item, evaluation) => {
        return !quietly(check, item, evaluation) || fail(evaluation, "must NOT be valid");
      });
    },
  ],
  [
    "allOf",
    (value, place) =>
      all(
        list(value, place).map((check) => ({ of: "any", check })),
        "any",
      ),
  ],
  ["anyOf", anyOf],
  ["oneOf", oneOf],
  ["if", ifKeyword],
  ["then", alone],
  ["else", alone],
  ["prefixItems", prefixItems],
  ["items", items],
  ["contains", contains],
  ["properties", properties],
  ["patternProperties", allMembers],
  [
    "additionalProperties",
    (value, place) => (place.schema["patternProperties"] === undefined ? allMembers(value, place) : undefined),
  ],
  ["propertyNames", propertyNames],
  [
    "dependentSchemas",
    (value, place) =>
      all(
        map(value, place).map(([member, check]) => appliesWith(member, check)),
        "object",
      ),
  ],
  [
    // Of older drafts; 2020-12 allows to support it.
    "dependencies",
    (value, place) => {
      const parts = Object.entries(value as JsonObject).map(([member, needs]) =>
        Array.isArray(needs)
          ? requires(needs as string[], member)
          : appliesWith(member, one(needs, { ...place, path: `${place.path}${pointerText([member])}` })),
      );
      return all(parts, "object");
    },
  ],
  ["unevaluatedItems", unevaluatedItems],
  ["unevaluatedProperties", unevaluatedProperties],
  // Annotations whose schema others may refer to.
  [
    "contentSchema",
    (value, place) => {
      one(value, place);
      return undefined;
    },
  ],
]);
