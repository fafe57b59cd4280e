/** Reads a handler's result strictly, as the proto JSON of `StepPlan`. None of its strings is evaluated. */
import type { FieldProblem } from "./errors.ts";
import { keptCode, keptMessage } from "./failure-text.ts";
import { STEP_PLAN_SCHEMA, STEP_PLAN_VALUES } from "./graph/gen/step-plan-schema.ts";
import { compileSchema } from "./json/json-schema.ts";
import { emptyObject, isJsonObject, type Json, type JsonObject } from "./json/json.ts";
import { fieldPath, parsePointer, PatchError, type PatchOp, pointerFromDotted } from "./json/pointer.ts";
import type { StepSequel } from "./call.ts";
import { compilePlannedEffect } from "./compile/planned-effect.ts";
import { EFFECTS } from "./effects/effects.ts";
import type { CompiledKind } from "./graph/graph.ts";

export type StepPlan = {
  /** The plan as the handler returned it, with proto JSON names: this goes into the ledger. */
  given: JsonObject;
  /** The changes to vars; the values are taken from `given`. */
  patch: PatchOp[];
} & (
  | { next: "effect"; effect: CompiledKind; sequel: StepSequel }
  | { next: "node"; to: string }
  | { next: "complete" }
  | { next: "fail"; code: string; message: string }
);

const ENDS = ["nextNode", "completeOutput", "fail"] as const;

const SCHEMA = compileSchema(STEP_PLAN_SCHEMA);

/** Reads a handler's result as a step plan, or returns its problems. */
export function readStepPlan(output: Json): { plan: StepPlan } | { problems: FieldProblem[] } {
  if (!isJsonObject(output)) return { problems: [{ path: "", message: "must be an object" }] };
  const given = withJsonNames(output);
  const problems = SCHEMA.validate(given).map(({ path, message: what }) => ({
    path: fieldPath("", path).slice(1),
    message: lengthProblem(given, path) ?? what,
  }));
  if (problems.length > 0) return { problems };
  return planOf(given);
}

/** The contract's length bound of the text at `pointer`, in words. Undefined if there is no text, or no bound. */
function lengthProblem(given: JsonObject, pointer: string): string | undefined {
  let value: Json | undefined = given;
  let schema: Json | undefined = STEP_PLAN_SCHEMA;
  for (const segment of parsePointer(pointer)) {
    const parts: Json | undefined = isJsonObject(schema) ? (schema.properties ?? schema) : undefined;
    schema = isJsonObject(parts) ? (Array.isArray(value) ? parts.items : parts[segment]) : undefined;
    value = (value as JsonObject | undefined)?.[segment];
  }
  const { description } = isJsonObject(schema) ? schema : {};
  return typeof value === "string" && typeof description === "string" ? `must be ${description}` : undefined;
}

function planOf(given: JsonObject): { plan: StepPlan } | { problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const effects = EFFECTS.filter(({ key }) => given[key] !== undefined);
  const ends = ENDS.filter((name) => given[name] !== undefined);
  if (effects.length > 1)
    problems.push({
      path: "",
      message: `has ${effects.map(({ key }) => key).join(" and ")}; at most one effect is allowed`,
    });
  if (ends.length > 1)
    problems.push({ path: "", message: `has ${ends.join(" and ")}; at most one of them is allowed` });
  const patch = readPatch(given.patch as JsonObject[] | undefined, problems);
  const [effect] = effects;
  const [end] = ends;
  if (effect !== undefined) {
    if (end !== undefined && end !== "nextNode")
      problems.push({ path: end, message: "cannot be combined with an effect" });
    const { compiled, problems: found } = compilePlannedEffect(effect, given[effect.key] as JsonObject);
    const sequel = readSequel(given, problems);
    problems.push(...found);
    if (compiled === undefined || problems.length > 0) return { problems };
    return { plan: { given, patch, next: "effect", effect: compiled, sequel } };
  }
  if (given.resultKey !== undefined) problems.push({ path: "resultKey", message: "needs an effect with a result" });
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
        problems.push({ path: `${at}.op`, message: "must be set, append or unset" });
        return [];
    }
  });
}

/**
 * The plan with the contract's JSON names and full enum values: proto JSON accepts the fields' own names too, and SDKs
 * use short words for enums.
 */
function withJsonNames(output: JsonObject): JsonObject {
  const plan = normalized(output, STEP_PLAN_SCHEMA) as JsonObject;
  if (Array.isArray(plan.patch)) {
    plan.patch = plan.patch.map((op) => {
      if (!isJsonObject(op) || typeof op.op !== "string") return op;
      return { ...op, op: op.op.replace(/^PATCH_OP_KIND_/, "").toLowerCase() };
    });
  }
  if (isJsonObject(plan.fail)) plan.fail = keptFail(plan.fail);
  return plan;
}

/** A plan that fails the run keeps its code, whatever its texts are. */
function keptFail(fail: JsonObject): JsonObject {
  const { code, message } = fail;
  return {
    ...fail,
    ...(typeof code === "string" ? { code: keptCode(code) } : {}),
    ...(typeof message === "string" ? { message: keptMessage(message) } : {}),
  };
}

/** A value with the names of its schema. Members that may be any JSON are left alone. */
function normalized(value: Json, schema: Json | undefined): Json {
  if (!isJsonObject(schema)) return value;
  if (typeof value === "string" && Array.isArray(schema.enum)) return fullName(value, schema.enum);
  if (Array.isArray(value) && schema.items !== undefined) return value.map((item) => normalized(item, schema.items));
  if (!isJsonObject(value) || !isJsonObject(schema.properties)) return value;
  const result = renamed(value, schema.properties);
  for (const name of Object.keys(result)) result[name] = normalized(result[name]!, schema.properties[name]);
  return result;
}

/** The enum value that a short word means: `global` is SCOPE_GLOBAL. */
function fullName(word: string, values: readonly Json[]): Json {
  if (values.includes(word)) return word;
  return values.find((value) => typeof value === "string" && value.endsWith(`_${word.toUpperCase()}`)) ?? word;
}

/** An unknown member keeps the name that it was sent with, so that its problem names it. */
function renamed(object: JsonObject, fields: JsonObject): JsonObject {
  const result = emptyObject();
  for (const [key, value] of Object.entries(object)) {
    // Most names have no underscore, and a replacement that replaces nothing costs more than the rest.
    const jsonName = key.includes("_")
      ? key.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase())
      : key;
    // If a member is present under both of its names, the second one counts as unknown.
    const name = jsonName !== key && Object.hasOwn(object, jsonName) ? key : jsonName;
    // Empty text is proto3's default: the field counts as absent.
    if (!STEP_PLAN_VALUES.has(name) && (value === null || value === "")) continue;
    result[Object.hasOwn(fields, name) ? name : key] = value;
  }
  return result;
}
