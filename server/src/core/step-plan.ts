/** What a handler returns, read strictly: the proto JSON of `StepPlan`, none of whose strings is evaluated. */
import type { FieldProblem } from "./errors.ts";
import { compileSchema } from "./json-schema.ts";
import { emptyObject, type Json, type JsonObject } from "./json.ts";
import { fieldPath, parsePointer, PatchError, type PatchOp, pointerFromDotted } from "./pointer.ts";
import type { StepSequel } from "./call.ts";
import { compilePlannedEffect } from "./compile/planned-effect.ts";
import { EFFECTS } from "./effects/effects.ts";
import type { CompiledKind } from "./graph/graph.ts";

/** Changes of vars that one plan may make. */
const PATCH_OPS_MAX = 1_000;
// The bounds that the contract sets for the same fields of a graph.
const EVENT_NAMES_MAX = 16;
const RESULT_KEY_LENGTH_MAX = 256;
const CUSTOM_TYPE_LENGTH_MAX = 128;
const FAILURE_CODE_LENGTH_MAX = 128;
const FAILURE_MESSAGE_LENGTH_MAX = 64 * 1024;

export type StepPlan = {
  /** The plan as it was given, under its proto JSON names: what stands in the ledger. */
  given: JsonObject;
  /** What changes in vars; the values are taken from `given`. */
  patch: PatchOp[];
} & (
  | { next: "effect"; effect: CompiledKind; sequel: StepSequel }
  | { next: "node"; to: string }
  | { next: "complete" }
  | { next: "fail"; code: string; message: string }
);

const ENDS = ["nextNode", "completeOutput", "fail"] as const;

const text = { type: "string" } as const;
const texts = { type: "array", items: text } as const;
const flag = { type: "boolean" } as const;
const scope = { enum: ["SCOPE_UNSPECIFIED", "SCOPE_RUN", "SCOPE_SESSION", "SCOPE_WORKFLOW", "SCOPE_GLOBAL"] };
const toolFailure = { enum: ["TOOL_FAILURE_UNSPECIFIED", "TOOL_FAILURE_AS_DATA", "TOOL_FAILURE_AS_ERROR"] };
const any = true;

function textUpTo(maxLength: number): JsonObject {
  return { type: "string", maxLength };
}

function message(properties: JsonObject): JsonObject {
  return { type: "object", properties, additionalProperties: false };
}

const SCHEMA = compileSchema({
  ...message({
    askUser: message({
      prompt: text,
      details: any,
      choices: any,
      allowFreeText: flag,
      answerSchema: { type: "object" },
      assignees: texts,
      timeout: text,
      defaultAnswer: any,
    }),
    waitUntil: message({ at: text, after: text }),
    waitEvent: message({ names: { ...texts, maxItems: EVENT_NAMES_MAX }, scope, key: text, timeout: text }),
    emitEvent: message({ name: text, scope, key: text, payload: any, eventId: text }),
    answerUser: message({ message: text }),
    toolCalls: message({
      calls: { type: "array", items: message({ name: text, arguments: { type: "object" }, callId: text }) },
      requireApproval: flag,
      onFailure: toolFailure,
    }),
    custom: message({ type: textUpTo(CUSTOM_TYPE_LENGTH_MAX), payload: any }),
    resultKey: textUpTo(RESULT_KEY_LENGTH_MAX),
    nextNode: text,
    completeOutput: any,
    fail: message({
      code: textUpTo(FAILURE_CODE_LENGTH_MAX),
      message: textUpTo(FAILURE_MESSAGE_LENGTH_MAX),
    }),
    patch: {
      type: "array",
      maxItems: PATCH_OPS_MAX,
      items: message({ op: text, path: text, value: any, values: { type: "array" } }),
    },
  }),
});

/** Members whose null is a value; everywhere else proto JSON's null means that nothing is given. */
const VALUES = new Set(["details", "choices", "defaultAnswer", "payload", "completeOutput", "value"]);

/** Reads a handler's result as a step plan, or says what is wrong with it. */
export function readStepPlan(output: Json): { plan: StepPlan } | { problems: FieldProblem[] } {
  if (!isObject(output)) return { problems: [{ path: "", message: "a step plan is an object" }] };
  const given = withJsonNames(output);
  const problems = SCHEMA.validate(given).map(({ path, message: what }) => ({
    path: fieldPath("", path).slice(1),
    message: what,
  }));
  if (problems.length > 0) return { problems };
  return planOf(given);
}

function planOf(given: JsonObject): { plan: StepPlan } | { problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const effects = EFFECTS.filter(({ key }) => given[key] !== undefined);
  const ends = ENDS.filter((name) => given[name] !== undefined);
  if (effects.length > 1) problems.push({ path: "", message: `has ${effects.map(({ key }) => key).join(" and ")}: one effect at most` });
  if (ends.length > 1) problems.push({ path: "", message: `has ${ends.join(" and ")}: one of them at most` });
  const patch = readPatch(given.patch as JsonObject[] | undefined, problems);
  const [effect] = effects;
  const [end] = ends;
  if (effect !== undefined) {
    if (end !== undefined && end !== "nextNode") problems.push({ path: end, message: "has no place beside an effect" });
    const { compiled, problems: found } = compilePlannedEffect(effect, given[effect.key] as JsonObject);
    const sequel = readSequel(given, problems);
    problems.push(...found);
    if (compiled === undefined || problems.length > 0) return { problems };
    return { plan: { given, patch, next: "effect", effect: compiled, sequel } };
  }
  if (given.resultKey !== undefined) problems.push({ path: "resultKey", message: "needs an effect that has a result" });
  if (end === undefined) {
    problems.push({ path: "", message: `must set one of ${ENDS.join(", ")}, or an effect` });
  }
  if (problems.length > 0) return { problems };
  switch (end!) {
    case "nextNode":
      return { plan: { given, patch, next: "node", to: given.nextNode as string } };
    case "completeOutput":
      return { plan: { given, patch, next: "complete" } };
    case "fail": {
      const { code, message: what } = given.fail as { code?: string; message?: string };
      if (!code) return { problems: [{ path: "fail.code", message: "is required" }] };
      return { plan: { given, patch, next: "fail", code, message: what ?? "" } };
    }
  }
}

function readSequel(given: JsonObject, problems: FieldProblem[]): StepSequel {
  const { resultKey, nextNode } = given as { resultKey?: string; nextNode?: string };
  const sequel: StepSequel = nextNode === undefined ? {} : { to: nextNode };
  if (resultKey === undefined) return sequel;
  try {
    return { ...sequel, result_path: pointerFromDotted(resultKey) };
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    problems.push({ path: "resultKey", message: error.message });
    return sequel;
  }
}

function readPatch(ops: JsonObject[] | undefined, problems: FieldProblem[]): PatchOp[] {
  return (ops ?? []).flatMap((op, index): PatchOp[] => {
    const at = `patch[${index}]`;
    const path = (op.path as string | undefined) ?? "";
    try {
      parsePointer(path);
    } catch (error) {
      if (!(error instanceof PatchError)) throw error;
      problems.push({ path: `${at}.path`, message: error.message });
    }
    switch (op.op) {
      case "set":
        if (op.value === undefined) problems.push({ path: `${at}.value`, message: "is required" });
        return [{ op: "set", path, of: "given", at: `/patch/${index}/value` }];
      case "append":
        if (op.values === undefined) problems.push({ path: `${at}.values`, message: "is required" });
        return [{ op: "append", path, of: "given", at: `/patch/${index}/values` }];
      case "unset":
        return [{ op: "unset", path }];
      default:
        problems.push({ path: `${at}.op`, message: "is not one of set, append, unset" });
        return [];
    }
  });
}

/** The plan under the contract's JSON names and full enum values: proto JSON lets a writer use the fields' own names too. */
function withJsonNames(output: JsonObject): JsonObject {
  const plan = renamed(output);
  if (isObject(plan.fail)) plan.fail = renamed(plan.fail);
  for (const { key, withFullNames } of EFFECTS) {
    const definition = plan[key];
    if (isObject(definition)) plan[key] = withFullNames?.(renamed(definition)) ?? renamed(definition);
  }
  if (Array.isArray(plan.patch)) {
    plan.patch = plan.patch.map((op) => {
      if (!isObject(op)) return op;
      const { op: kind, ...rest } = renamed(op);
      const name = typeof kind === "string" ? kind.replace(/^PATCH_OP_KIND_/, "").toLowerCase() : kind;
      return name === undefined ? rest : { op: name, ...rest };
    });
  }
  return plan;
}

function renamed(object: JsonObject): JsonObject {
  const result = emptyObject();
  for (const [key, value] of Object.entries(object)) {
    // Most names have none, and a replacement that replaces nothing costs more than the rest.
    const jsonName = key.includes("_")
      ? key.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase())
      : key;
    // A member that is there under both of its names is not known under the second one.
    const name = jsonName !== key && Object.hasOwn(object, jsonName) ? key : jsonName;
    // Empty text is proto3's default: nothing was said.
    if (!VALUES.has(name) && (value === null || value === "")) continue;
    result[name] = value;
  }
  return result;
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
