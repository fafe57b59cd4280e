/** The context in which a value of the graph is compiled: its path, how its strings are read, and where problems go. */
import { compileExpression } from "../expression/compile.ts";
import type { Expression } from "../expression/evaluate.ts";
import type { ExpressionError } from "../expression/expression-error.ts";
import type { FieldProblem } from "../errors.ts";
import { parseDurationMs } from "../duration.ts";
import { type TextBounds, textProblem } from "../graph/text-bounds.ts";
import type { Json, JsonObject } from "../json/json.ts";
import { compileSchema, type SchemaValidator } from "../json/json-schema.ts";
import { SchemaError } from "../json/schema-check.ts";
import { parsePointer } from "../json/pointer.ts";
import type { GraphAllowances } from "./graph-allowances.ts";
import { compileTemplateValue, type TemplateValue } from "../template.ts";

/** Names that the graph's expressions may use. */
const VARIABLES = ["vars", "run", "result", "error", "now"] as const;

/** Runs `work`; an error that it throws becomes a problem at `path`. */
export type At = <T>(path: string, work: () => T) => T | undefined;

/** How strings are read: as templates of the graph, or literally. */
export type ValueSource = {
  readonly areTemplates: boolean;
  value(value: Json): TemplateValue;
  /** Reads text; `check` throws if the text is unusable. */
  text(text: string, check: (text: string) => void): TemplateValue;
};

/** Text of a registered graph: `${ … }` is evaluated. */
export function templatesWithin(allowances: GraphAllowances): ValueSource {
  return {
    areTemplates: true,
    value: (value) => compileValue(value, allowances),
    text: (text, check) => compileText(text, check, allowances),
  };
}

/** Text of a step plan, which is never evaluated. */
export const LITERALS: ValueSource = {
  areTemplates: false,
  value: literalOf,
  text(text, check) {
    check(text);
    return literalOf(text);
  },
};

/** Compiles the fields of one node kind. Every method reports problems at the field's path. */
export type KindPlace = {
  /** Whether strings are templates. */
  readonly areTemplates: boolean;
  /** Reports a problem of the kind itself, or of one field. */
  problem(field: string, message: string): void;
  /** Runs `work`; an error that it throws becomes a problem of the field. */
  at<T>(field: string, work: () => T): T | undefined;
  value(field: string, value: Json): TemplateValue | undefined;
  /** A value as an optional property. */
  optional<K extends string>(field: K, value: Json | undefined): Partial<Record<K, TemplateValue>>;
  required(field: string, value: string | undefined, check?: (text: string) => void): TemplateValue | undefined;
  /** Text as an optional property; empty text counts as absent. */
  text<K extends string>(
    field: K,
    text: string | undefined,
    check?: (text: string) => void,
  ): Partial<Record<K, TemplateValue>>;
  duration<K extends string>(field: K, text: string | undefined): Partial<Record<K, TemplateValue>>;
  texts(field: string, values: readonly string[] | undefined, check?: (text: string) => void): TemplateValue[];
  /** A bare expression. */
  expression(field: string, source: string): Expression | undefined;
  /** A JSON Schema. */
  schema(field: string, schema: Json | undefined): SchemaValidator | undefined;
};

/** @param path the path of the kind, such as `nodes.ask.askUser` */
export function createKindPlace(path: string, { at, problems, source, allowances }: PlaceFacts): KindPlace {
  const below = (field: string) => (field === "" ? path : `${path}.${field}`);
  const asProperty = <K extends string>(field: K, compiled: TemplateValue | undefined) =>
    (compiled === undefined ? {} : { [field]: compiled }) as Partial<Record<K, TemplateValue>>;
  const unchecked = () => {};
  const place: KindPlace = {
    areTemplates: source.areTemplates,
    problem: (field, message) => void problems.push({ path: below(field), message }),
    at: (field, work) => at(below(field), work),
    value: (field, value) => at(below(field), () => source.value(value)),
    optional: (field, value) => (value === undefined ? {} : asProperty(field, place.value(field, value))),
    required: (field, value, check = unchecked) =>
      at(below(field), () => {
        refuseUnless(Boolean(value), "is required");
        return source.text(value!, check);
      }),
    text: (field, text, check = unchecked) =>
      text
        ? asProperty(
            field,
            at(below(field), () => source.text(text, check)),
          )
        : {},
    duration: (field, text) => place.text(field, text, parseDurationMs),
    texts: (field, values, check = unchecked) =>
      (values ?? []).flatMap((value, index) => at(below(`${field}[${index}]`), () => source.text(value, check)) ?? []),
    expression: (field, expression) => at(below(field), () => compileBare(expression, allowances)),
    schema: (field, schema) =>
      schema === undefined ? undefined : at(below(field), () => compileSchema(schema, allowances)),
  };
  return place;
}

/** `allowances`: what everything that is compiled with this place uses together. */
export type PlaceFacts = { at: At; problems: FieldProblem[]; source: ValueSource; allowances: GraphAllowances };

/** How many problems are looked for: more than are listed, and few enough for a graph that has nothing else. */
export const PROBLEMS_COUNTED_MAX = 1_000;

/** Returns an `At` that collects errors as problems. After many of them it does no more work. */
export function collectInto(problems: FieldProblem[]): At {
  return (path, work) => {
    if (problems.length >= PROBLEMS_COUNTED_MAX) return undefined;
    try {
      return work();
    } catch (error) {
      if (error instanceof ProblemsBelow) {
        for (const problem of error.problems) problems.push({ ...problem, path: `${path}${problem.path}` });
      } else {
        const below = error instanceof SchemaError ? fieldPathOf(null, error.path) : "";
        problems.push({ path: `${path}${below}`, message: error instanceof Error ? error.message : String(error) });
      }
      return undefined;
    }
  };
}

/** Compiles an expression that is not inside a template. */
export function compileBare(source: string, shared: GraphAllowances): Expression {
  return compileExpression(source, { variables: VARIABLES, shared });
}

/** Compiles text that may be a template. A constant is checked at once. */
export function compileText(text: string, check: (text: string) => void, allowances: GraphAllowances): TemplateValue {
  const value = compileValue(text, allowances);
  if (value.isConstant) check(value.evaluate({}) as string);
  return value;
}

/** Throws `message` as a problem. */
export function refuseUnless(holds: boolean, message: string): void {
  if (!holds) throw new Error(message);
}

/** Returns a check of text against the contract's bounds. */
export function within(bounds: TextBounds): (text: string) => void {
  return (text) => {
    const problem = textProblem(text, bounds);
    if (problem !== undefined) throw new Error(problem);
  };
}

function compileValue(value: Json, shared: GraphAllowances): TemplateValue {
  const problems: FieldProblem[] = [];
  const onProblem = (problem: ExpressionError) => {
    problems.push({ path: fieldPathOf(value, problem.path), message: problem.message });
    if (problems.length >= PROBLEMS_COUNTED_MAX) throw new ProblemsBelow(problems);
  };
  const compiled = compileTemplateValue(value, { variables: VARIABLES, shared, onProblem });
  if (problems.length > 0) throw new ProblemsBelow(problems);
  return compiled;
}

function literalOf(value: Json): TemplateValue {
  return { isConstant: true, evaluate: () => value };
}

/** Several problems of one value, each at a path below the value's own. */
class ProblemsBelow extends Error {
  readonly problems: readonly FieldProblem[];
  constructor(problems: readonly FieldProblem[]) {
    super("the value has problems");
    this.problems = problems;
  }
}

/** A JSON Pointer into `value` as the end of a field path: `.a[0]["odd name"]`. */
function fieldPathOf(value: Json, pointer: string): string {
  let text = "";
  let at: Json | undefined = value;
  for (const segment of parsePointer(pointer)) {
    if (Array.isArray(at)) text += `[${segment}]`;
    else text += /^[A-Za-z0-9_$-]+$/.test(segment) ? `.${segment}` : `[${JSON.stringify(segment)}]`;
    at = at !== null && typeof at === "object" ? (at as JsonObject)[segment] : undefined;
  }
  return text;
}
