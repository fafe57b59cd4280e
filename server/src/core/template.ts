// Strings of a registered graph with `${ expression }` inside. Text from elsewhere (vars, results) is never a template.
import { DomainError } from "./errors.ts";
import { compileExpression, type ExpressionOptions } from "./expression/compile.ts";
import { evaluate, type Expression } from "./expression/evaluate.ts";
import { type Budget, createBudget, type ExpressionNames } from "./expression/evaluation.ts";
import { ExpressionError } from "./expression/expression-error.ts";
import { findClosingBrace } from "./expression/tokens.ts";
import { assertJson, emptyObject, JSON_BYTES_MAX, type Json, type JsonObject, plainText } from "./json/json.ts";
import { pointerText } from "./json/pointer-text.ts";

/** Expressions in one string, and in one value: each is parsed when the graph is registered. */
const TEMPLATE_EXPRESSIONS_MAX = 64;
const VALUE_EXPRESSIONS_MAX = 1_000;
/** How deep a value of templates may be; payloads are checked against the same bound before they come here. */
const VALUE_DEPTH_MAX = 32;

export type TemplateOptions = ExpressionOptions;

/** A compiled string. Immutable. */
export type Template = {
  /** It has no expression, so its value is always the same. */
  readonly isConstant: boolean;
  /** Texts, already unescaped, and expressions, in order. */
  readonly parts: readonly (string | Expression)[];
  /** The whole string is one expression, whose value keeps its type. */
  readonly isWhole: boolean;
};

/** Parses and checks a string: `${ expr }` is an expression, `$${` stands for `${`.
 *  @throws {ExpressionError} EXPRESSION_INVALID, with the position in `text` */
export function compileTemplate(text: string, options: TemplateOptions): Template {
  const parts: (string | Expression)[] = [];
  let expressions = 0;
  let literal = "";
  let from = 0;
  for (let at = text.indexOf("${"); at !== -1; at = text.indexOf("${", from)) {
    if (at > from && text[at - 1] === "$") {
      literal += text.slice(from, at - 1) + "${";
      from = at + 2;
      continue;
    }
    if (++expressions > TEMPLATE_EXPRESSIONS_MAX) {
      throw new ExpressionError(
        "EXPRESSION_INVALID",
        `a template has at most ${TEMPLATE_EXPRESSIONS_MAX} expressions`,
        at,
      );
    }
    literal += text.slice(from, at);
    if (literal !== "") parts.push(literal);
    literal = "";
    const end = findClosingBrace(text, at + 2);
    if (end === undefined) {
      throw new ExpressionError("EXPRESSION_INVALID", "the expression is not closed with }", at);
    }
    parts.push(compileAt(text.slice(at + 2, end), at + 2, options));
    from = end + 1;
  }
  literal += text.slice(from);
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return { isConstant: expressions === 0, parts, isWhole: expressions === 1 && parts.length === 1 };
}

/** Evaluates a template: returns the value of its only expression, or a string with the values of its expressions
 *  inserted, strings as they are and everything else as JSON text.
 *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT */
export function evaluateTemplate(template: Template, names: ExpressionNames, budget: Budget = createBudget()): Json {
  if (template.isWhole) return evaluate(template.parts[0] as Expression, names, budget);
  let text = "";
  for (const part of template.parts) {
    if (typeof part === "string") text += part;
    else {
      const value = evaluate(part, names, budget);
      text += plainText(value);
    }
    // Counted in UTF-16 units, each at most three bytes; the payload that the text goes into has the exact bound.
    if (text.length > JSON_BYTES_MAX) {
      throw new ExpressionError("EXPRESSION_LIMIT", `the text has more than ${JSON_BYTES_MAX} characters`);
    }
  }
  return text;
}

/** A JSON value whose strings, but not the names of its members, are templates. */
export type TemplateValue = {
  readonly isConstant: boolean;
  /** The value for these names; always the same object if the value is constant. All its expressions together have the
   *  step budget of one.
   *  @throws {ExpressionError} EVALUATION_FAILED, EXPRESSION_LIMIT; `path` says which string */
  evaluate(names: ExpressionNames): Json;
};

/** Parses and checks every string of a value.
 *  Every problem is passed to `onProblem`; without it the first is thrown.
 *  @throws {ExpressionError} EXPRESSION_INVALID, with `path` and the position in the string there */
export function compileTemplateValue(
  value: Json,
  options: TemplateOptions & { onProblem?: (problem: ExpressionError) => void },
): TemplateValue {
  const compiled = compileValue(value, { options, counter: { expressions: 0 }, path: "", depth: 0 });
  if ("constant" in compiled) return { isConstant: true, evaluate: () => compiled.constant };
  return {
    isConstant: false,
    // Each part is within bounds, but their sum may not be.
    evaluate: (names) => checked(compiled.evaluate(names, createBudget())),
  };
}

/** A part of a value: the same for all names, or to be evaluated. */
type Compiled = { constant: Json } | { evaluate: (names: ExpressionNames, budget: Budget) => Json };
type Place = {
  options: TemplateOptions & { onProblem?: (problem: ExpressionError) => void };
  counter: { expressions: number };
  path: string;
  depth: number;
};

function compileValue(value: Json, place: Place): Compiled {
  if (typeof value === "string") return compileString(value, place);
  if (value === null || typeof value !== "object") return { constant: value };
  if (place.depth >= VALUE_DEPTH_MAX) {
    throw new ExpressionError("EXPRESSION_INVALID", `more than ${VALUE_DEPTH_MAX} levels deep`, undefined, place.path);
  }
  const at = (key: string | number): Place => ({
    ...place,
    path: place.path + pointerText([key]),
    depth: place.depth + 1,
  });
  if (Array.isArray(value)) {
    const items = value.map((item, i) => compileValue(item, at(i)));
    if (items.every((item) => "constant" in item))
      return {
        constant: kept(
          value,
          items.map((item) => item.constant),
        ),
      };
    return { evaluate: (names, budget) => items.map((item) => valueOf(item, names, budget)) };
  }
  const members = Object.keys(value).map((key) => [key, compileValue(value[key]!, at(key))] as const);
  const build = (valueOfMember: (member: Compiled) => Json): JsonObject => {
    const object = emptyObject();
    for (const [key, member] of members) object[key] = valueOfMember(member);
    return object;
  };
  if (members.every(([, member]) => "constant" in member)) {
    const constants = members.map(([, member]) => (member as { constant: Json }).constant);
    const isSame = members.every(([key], i) => value[key] === constants[i]);
    return { constant: isSame ? value : build((member) => (member as { constant: Json }).constant) };
  }
  return { evaluate: (names, budget) => build((member) => valueOf(member, names, budget)) };
}

function valueOf(compiled: Compiled, names: ExpressionNames, budget: Budget): Json {
  return "constant" in compiled ? compiled.constant : compiled.evaluate(names, budget);
}

/** The list itself if unescaping changed nothing. */
function kept(list: Json[], constants: Json[]): Json[] {
  return constants.every((constant, i) => constant === list[i]) ? list : constants;
}

function compileString(text: string, place: Place): Compiled {
  try {
    const template = compileTemplate(text, place.options);
    if (template.isConstant) return { constant: template.parts[0] as string };
    place.counter.expressions += template.parts.filter((part) => typeof part !== "string").length;
    if (place.counter.expressions > VALUE_EXPRESSIONS_MAX) {
      throw new ExpressionError("EXPRESSION_INVALID", `more than ${VALUE_EXPRESSIONS_MAX} expressions in one value`);
    }
    return {
      evaluate: (names, budget) => {
        try {
          return evaluateTemplate(template, names, budget);
        } catch (error) {
          throw error instanceof ExpressionError ? atPath(error, place.path) : error;
        }
      },
    };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const problem = atPath(error, place.path);
    if (place.options.onProblem === undefined) throw problem;
    place.options.onProblem(problem);
    return { constant: text };
  }
}

function atPath(error: ExpressionError, path: string): ExpressionError {
  return new ExpressionError(error.code, error.message, error.position, path);
}

function checked(value: Json): Json {
  try {
    assertJson(value);
    return value;
  } catch (error) {
    if (error instanceof DomainError) throw new ExpressionError("EXPRESSION_LIMIT", `the result has ${error.message}`);
    throw error;
  }
}

function compileAt(source: string, offset: number, options: TemplateOptions): Expression {
  try {
    return compileExpression(source, options);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new ExpressionError(error.code, error.message, (error.position ?? 0) + offset);
  }
}
