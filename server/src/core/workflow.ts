/**
 * A workflow: a versioned, immutable graph. `WorkflowDefinition` is its proto JSON, as it is stored and digested;
 * `Workflow` is the same with every expression, template and schema compiled.
 */
import { createHash } from "node:crypto";
import { parseDurationMs, parseInstant } from "./duration.ts";
import { type EffectPolicy, POLICY_DEFAULT } from "./effect-policy.ts";
import { DomainError, type FieldProblem } from "./errors.ts";
import type { Scope } from "./event.ts";
import { compileExpression, type Expression, type ExpressionError } from "./expression.ts";
import { BOUNDS } from "./graph/gen/bounds.ts";
import type { EffectPolicyJson, LimitsJson, NodeJson, ToolCallJson, WorkflowJson } from "./graph/gen/types.ts";
import { type TextBounds, textProblem } from "./graph/text-bounds.ts";
import { ID_PATTERN } from "./identifiers.ts";
import { canonicalJson, type Json, type JsonObject } from "./json.ts";
import { compileSchema, SchemaError, type SchemaValidator } from "./json-schema.ts";
import { parsePointer, pointerFromDotted } from "./pointer.ts";
import type { StepSequel } from "./step-record.ts";
import { compileTemplateValue, type TemplateValue } from "./template.ts";

/** Steps a run may take where no limit says otherwise (CONTRACT.md, rule 13). */
export const MAX_STEPS_DEFAULT = 100_000;

/** Problems that are reported at once; a graph with more is told so. */
const PROBLEMS_MAX = 100;

/** Bounds of what runs may use. As in the graph: durations are text. */
export type Limits = LimitsJson;
export type NodeDefinition = NodeJson;
export type PolicyDefinition = EffectPolicyJson;
/** Without what the server sets. */
export type WorkflowDefinition = Omit<WorkflowJson, "version" | "digest" | "current" | "archived" | "createTime">;

/** A value to write at a place in vars. */
export type PathValue = { pointer: string; value: TemplateValue };

export type NodeKind =
  | {
      type: "ask_user";
      prompt: TemplateValue;
      details?: TemplateValue;
      choices?: TemplateValue;
      allowFreeText: boolean;
      answerSchema?: JsonObject;
      answerValidator?: SchemaValidator;
      assignees: readonly TemplateValue[];
      timeout?: TemplateValue;
      defaultAnswer?: TemplateValue;
    }
  | { type: "wait_until"; at?: TemplateValue; after?: TemplateValue }
  | { type: "wait_event"; names: readonly TemplateValue[]; scope: Scope; key?: TemplateValue; timeout?: TemplateValue }
  | {
      type: "emit_event";
      name: TemplateValue;
      scope: Scope;
      key?: TemplateValue;
      payload?: TemplateValue;
      eventId?: TemplateValue;
    }
  | { type: "answer_user"; message: TemplateValue }
  | { type: "tool_calls"; calls: readonly ToolCall[] | Expression; requireApproval: boolean; failureIsError: boolean }
  | { type: "custom"; effectType: string; payload: TemplateValue }
  | { type: "assign"; values: readonly PathValue[]; append: readonly PathValue[]; unset: readonly string[] }
  | { type: "handler" }
  | { type: "complete"; output?: TemplateValue }
  | { type: "fail"; code: TemplateValue; message: TemplateValue };

/** The kinds that ask for something outside of the graph; a step plan may ask for them too. */
export type EffectKind = Exclude<NodeKind, { type: "assign" | "handler" | "complete" | "fail" }>;

export type ToolCall = { name: TemplateValue; arguments?: TemplateValue; callId?: TemplateValue };
export type Edge = { to: string; when?: Expression };

export type WorkflowNode = {
  nodeId: string;
  kind: NodeKind;
  /** JSON Pointer into vars. */
  resultPointer?: string;
  next: readonly Edge[];
  onError?: string;
  policy: EffectPolicy;
  /** Of a handler node that is at the effect of a step plan: what the plan puts in place of `resultPointer` and `next`. */
  sequel?: StepSequel;
};

/** A handler's node while it is at the effect of a step plan. */
export function nodeWithSequel(node: WorkflowNode, sequel: StepSequel): WorkflowNode {
  const { resultPointer: _resultPointer, ...rest } = node;
  return {
    ...rest,
    sequel,
    ...(sequel.result_path === undefined ? {} : { resultPointer: sequel.result_path }),
    next: sequel.to === undefined ? [] : [{ to: sequel.to }],
  };
}

export type Workflow = {
  workflowId: string;
  /** Given by the store; 0 before it is registered. */
  version: number;
  digest: string;
  definition: WorkflowDefinition;
  entryNode: string;
  nodes: ReadonlyMap<string, WorkflowNode>;
  defaultVars?: JsonObject;
  varsValidator?: SchemaValidator;
  onError?: string;
  onCancel?: string;
  limits: Limits;
  commitEveryStep: boolean;
};

/** Names that the graph's expressions may use (CONTRACT.md, rule 5). */
const VARIABLES = ["vars", "run", "result", "error", "now"] as const;

const KIND_KEYS = [
  "askUser",
  "waitUntil",
  "waitEvent",
  "emitEvent",
  "answerUser",
  "toolCalls",
  "custom",
  "assign",
  "handler",
  "complete",
  "fail",
] as const;

const SCOPE_BY_NAME: Record<string, Scope> = {
  SCOPE_RUN: "run",
  SCOPE_SESSION: "session",
  SCOPE_WORKFLOW: "workflow",
  SCOPE_GLOBAL: "global",
};

/** The digest that names a version: SHA-256, lower-case hex, of the RFC 8785 form of what decides how runs behave. */
export function workflowDigest(definition: WorkflowDefinition): string {
  const { description: _description, labels: _labels, nodes, ...rest } = definition;
  return createHash("sha256")
    .update(canonicalJson({ ...rest, nodes }))
    .digest("hex");
}

/**
 * Parses and checks a whole graph.
 * @throws {DomainError} WORKFLOW_INVALID with every problem and its path
 */
export function compileWorkflow(definition: WorkflowDefinition, version = 0): Workflow {
  const problems: FieldProblem[] = [];
  /** Runs `work`; what it throws becomes a problem at `path`. */
  const at = <T>(path: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (error instanceof ProblemsBelow) {
        problems.push(...error.problems.map((problem) => ({ ...problem, path: `${path}${problem.path}` })));
      } else {
        const below = error instanceof SchemaError ? fieldPathOf(null, error.path) : "";
        problems.push({ path: `${path}${below}`, message: error instanceof Error ? error.message : String(error) });
      }
      return undefined;
    }
  };
  const nodes = new Map<string, WorkflowNode>();
  for (const [nodeId, node] of Object.entries(definition.nodes ?? {})) {
    const compiled = compileNode(nodeId, node, at, problems);
    if (compiled !== undefined) nodes.set(nodeId, compiled);
  }
  checkTargets(definition, problems);
  checkPaths(definition, problems);
  const varsSchema = definition.varsSchema;
  const varsValidator = varsSchema && at("varsSchema", () => compileSchema(varsSchema));
  checkLimits(definition.limits, "limits", problems);
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_MAX);
    throw new DomainError("WORKFLOW_INVALID", `The workflow has ${problems.length} problem(s).`, {
      metadata: { workflow_id: definition.workflowId, problems: String(problems.length) },
      problems: shown,
    });
  }
  return {
    workflowId: definition.workflowId,
    version,
    digest: workflowDigest(definition),
    definition,
    entryNode: definition.entryNode,
    nodes,
    ...(definition.defaultVars === undefined ? {} : { defaultVars: definition.defaultVars }),
    ...(varsValidator === undefined ? {} : { varsValidator }),
    ...(definition.onError ? { onError: definition.onError } : {}),
    ...(definition.onCancel ? { onCancel: definition.onCancel } : {}),
    limits: definition.limits ?? {},
    commitEveryStep: definition.commitEveryStep ?? false,
  };
}

/** Reports limits whose values mean nothing, at paths below `path`. */
export function checkLimits(limits: Limits | undefined, path: string, problems: FieldProblem[]): void {
  if (limits?.runTimeout === undefined) return;
  try {
    parseDurationMs(limits.runTimeout);
  } catch (error) {
    problems.push({ path: `${path}.runTimeout`, message: (error as Error).message });
  }
}

type At = <T>(path: string, work: () => T) => T | undefined;

function compileNode(nodeId: string, node: NodeDefinition, at: At, problems: FieldProblem[]): WorkflowNode | undefined {
  const path = `nodes.${nodeId}`;
  const present = kindsOf(node);
  if (present.length !== 1) {
    const found = present.length === 0 ? "none" : present.join(", ");
    problems.push({ path, message: `a node has exactly one kind (${KIND_KEYS.join(", ")}); found ${found}` });
    return undefined;
  }
  const kind = compileKind(present[0]!, node, { path, at, problems, source: TEMPLATES });
  const resultKey = node.resultKey;
  if (resultKey && (node.assign ?? node.complete ?? node.fail) !== undefined) {
    problems.push({ path: `${path}.resultKey`, message: `${present[0]} has no result` });
  }
  const resultPointer = resultKey && at(`${path}.resultKey`, () => pointerFromDotted(resultKey));
  const next = (node.next ?? []).map((edge, index) => {
    const source = edge.when;
    const when = source ? at(`${path}.next[${index}].when`, () => compileBare(source)) : undefined;
    return { to: edge.to, ...(when ? { when } : {}) };
  });
  if (node.policy !== undefined && (node.toolCalls ?? node.custom ?? node.handler) === undefined) {
    problems.push({ path: `${path}.policy`, message: `${present[0]} has no jobs that a policy could be for` });
  }
  const policy = compilePolicy(node.policy, `${path}.policy`, at);
  if (kind === undefined) return undefined;
  return {
    nodeId,
    kind,
    ...(resultPointer ? { resultPointer } : {}),
    next,
    ...(node.onError ? { onError: node.onError } : {}),
    policy,
  };
}

/**
 * Compiles the effect of a step plan. None of its strings is a template: text from handlers is never evaluated.
 * @param definition a node with exactly one kind, an effect
 */
export function compilePlannedEffect(definition: NodeDefinition): { kind?: EffectKind; problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const at: At = (path, work) => {
    try {
      return work();
    } catch (error) {
      problems.push({ path, message: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  };
  const kind = compileKind(kindsOf(definition)[0]!, definition, { path: "", at, problems, source: LITERALS });
  // Paths below "" begin with a dot.
  const shown = problems.map(({ path, message }) => ({ path: path.slice(1), message }));
  return { ...(kind === undefined ? {} : { kind: kind as EffectKind }), problems: shown };
}

function kindsOf(node: NodeDefinition): (typeof KIND_KEYS)[number][] {
  return KIND_KEYS.filter((key) => node[key] !== undefined);
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

function compileBare(source: string): Expression {
  return compileExpression(source, { variables: VARIABLES });
}

/** Several problems of one value, each at a path below the value's own. */
class ProblemsBelow extends Error {
  readonly problems: readonly FieldProblem[];
  constructor(problems: readonly FieldProblem[]) {
    super("the value has problems");
    this.problems = problems;
  }
}

function compileValue(value: Json): TemplateValue {
  const problems: FieldProblem[] = [];
  const onProblem = (problem: ExpressionError) => {
    problems.push({ path: fieldPathOf(value, problem.path), message: problem.message });
  };
  const compiled = compileTemplateValue(value, { variables: VARIABLES, onProblem });
  if (problems.length > 0) throw new ProblemsBelow(problems);
  return compiled;
}

/** Compiles text that may be a template; a constant that no run could use is refused at once. */
function compileText(text: string, check: (text: string) => void): TemplateValue {
  const value = compileValue(text);
  if (value.isConstant) check(value.evaluate({}) as string);
  return value;
}

/** A check of text by the contract's bounds. */
function within(bounds: TextBounds): (text: string) => void {
  return (text) => {
    const problem = textProblem(text, bounds);
    if (problem !== undefined) throw new Error(problem);
  };
}

function refuseUnless(holds: boolean, message: string): void {
  if (!holds) throw new Error(message);
}

const DURATION_FIELDS = ["initialBackoff", "maxBackoff", "timeout", "queueTimeout", "heartbeatTimeout"] as const;

const DELIVERY_BY_NAME: Record<string, EffectPolicy["delivery"]> = {
  DELIVERY_AT_LEAST_ONCE: "at_least_once",
  DELIVERY_AT_MOST_ONCE: "at_most_once",
};

function compilePolicy(policy: PolicyDefinition | undefined, path: string, at: At): EffectPolicy {
  if (policy === undefined) return POLICY_DEFAULT;
  const durations = DURATION_FIELDS.flatMap((field) => {
    const text = policy[field];
    const compiled = text && at(`${path}.${field}`, () => compileText(text, parseDurationMs));
    return compiled ? [[field, compiled] as const] : [];
  });
  const delivery = DELIVERY_BY_NAME[policy.delivery ?? ""];
  return {
    ...Object.fromEntries(durations),
    ...(policy.maxAttempts ? { maxAttempts: policy.maxAttempts } : {}),
    ...(policy.backoffMultiplier ? { backoffMultiplier: policy.backoffMultiplier } : {}),
    hasJitter: policy.jitter !== "JITTER_NONE",
    ...(delivery === undefined ? {} : { delivery }),
    nonRetryableErrors: new Set(policy.nonRetryableErrors ?? []),
  };
}

/** How the values of a kind are read: as templates of the graph, or as what they say. */
type ValueSource = {
  value(value: Json): TemplateValue;
  /** Text; `check` throws for what no run could use. */
  text(text: string, check: (text: string) => void): TemplateValue;
};

const TEMPLATES: ValueSource = { value: compileValue, text: compileText };

const LITERALS: ValueSource = {
  value: literalOf,
  text(text, check) {
    check(text);
    return literalOf(text);
  },
};

function literalOf(value: Json): TemplateValue {
  return { isConstant: true, evaluate: () => value };
}

type KindPlace = { path: string; at: At; problems: FieldProblem[]; source: ValueSource };

function compileKind(
  key: (typeof KIND_KEYS)[number],
  node: NodeDefinition,
  { path, at, problems, source }: KindPlace,
): NodeKind | undefined {
  const required = (
    value: string | undefined,
    field: string,
    check: (text: string) => void = () => {},
  ): TemplateValue | undefined =>
    at(`${path}.${key}.${field}`, () => {
      refuseUnless(Boolean(value), "is required");
      return source.text(value!, check);
    });
  const checked = <K extends string>(field: K, text: string, check: (text: string) => void) => {
    const compiled = at(`${path}.${key}.${field}`, () => source.text(text, check));
    return (compiled === undefined ? {} : { [field]: compiled }) as Partial<Record<K, TemplateValue>>;
  };
  const optional = <K extends string>(field: K, value: Json | undefined): Partial<Record<K, TemplateValue>> => {
    if (value === undefined) return {};
    const compiled = at(`${path}.${key}.${field}`, () => source.value(value));
    return (compiled === undefined ? {} : { [field]: compiled }) as Partial<Record<K, TemplateValue>>;
  };
  const duration = <K extends string>(field: K, text: string | undefined): Partial<Record<K, TemplateValue>> => {
    if (!text) return {};
    return checked(field, text, parseDurationMs);
  };
  const scope = (name: string | undefined): Scope => SCOPE_BY_NAME[name ?? "SCOPE_RUN"] ?? "run";
  const list = (field: string, values: readonly string[] | undefined, check: (text: string) => void = () => {}) =>
    (values ?? []).flatMap(
      (value, index) => at(`${path}.${key}.${field}[${index}]`, () => source.text(value, check)) ?? [],
    );

  switch (key) {
    case "askUser": {
      const ask = node.askUser!;
      const prompt = required(ask.prompt, "prompt", within(BOUNDS.askUser.prompt));
      const schema = ask.answerSchema;
      const validator = schema && at(`${path}.askUser.answerSchema`, () => compileSchema(schema));
      if (Array.isArray(ask.choices) && ask.choices.length === 0) {
        problems.push({ path: `${path}.askUser.choices`, message: "has no choice" });
      } else if (ask.choices !== undefined && !Array.isArray(ask.choices) && !isTemplateText(ask.choices, source)) {
        problems.push({ path: `${path}.askUser.choices`, message: "must be a list, or a template that gives one" });
      }
      return (
        prompt && {
          type: "ask_user",
          prompt,
          ...optional("details", ask.details),
          ...optional("choices", ask.choices),
          allowFreeText: ask.allowFreeText ?? false,
          ...(schema === undefined ? {} : { answerSchema: schema }),
          ...(validator === undefined ? {} : { answerValidator: validator }),
          assignees: list("assignees", ask.assignees, within(BOUNDS.askUser.assignees.items)),
          ...duration("timeout", ask.timeout),
          ...optional("defaultAnswer", ask.defaultAnswer),
        }
      );
    }
    case "waitUntil": {
      const wait = node.waitUntil!;
      if ((wait.at === undefined) === (wait.after === undefined)) {
        problems.push({ path: `${path}.waitUntil`, message: "needs exactly one of at, after" });
      }
      return {
        type: "wait_until",
        ...(wait.at === undefined ? {} : checked("at", wait.at, parseInstant)),
        ...duration("after", wait.after),
      };
    }
    case "waitEvent": {
      const wait = node.waitEvent!;
      if ((wait.names ?? []).length === 0) {
        problems.push({ path: `${path}.waitEvent.names`, message: "needs at least one name" });
      }
      const checkName = (name: string) => {
        refuseUnless(
          name !== "" && !name.slice(0, -1).includes("*"),
          "a name is not empty and has `*` at its end only",
        );
        within(BOUNDS.waitEvent.names.items)(name);
      };
      return {
        type: "wait_event",
        names: list("names", wait.names, checkName),
        scope: scope(wait.scope),
        ...(wait.key ? optional("key", wait.key) : {}),
        ...duration("timeout", wait.timeout),
      };
    }
    case "emitEvent": {
      const emit = node.emitEvent!;
      const name = required(emit.name, "name", (text) => {
        refuseUnless(!text.includes("*"), "may not hold `*`");
        within(BOUNDS.emitEvent.name)(text);
      });
      const checkId = (text: string) => refuseUnless(ID_PATTERN.test(text), `${JSON.stringify(text)} is not an id`);
      return (
        name && {
          type: "emit_event",
          name,
          scope: scope(emit.scope),
          ...(emit.key ? optional("key", emit.key) : {}),
          ...optional("payload", emit.payload),
          ...(emit.eventId ? checked("eventId", emit.eventId, checkId) : {}),
        }
      );
    }
    case "answerUser": {
      const message = required(node.answerUser!.message, "message", within(BOUNDS.answerUser.message));
      return message && { type: "answer_user", message };
    }
    case "toolCalls": {
      const tools = node.toolCalls!;
      if ((tools.calls ?? []).length > 0 === Boolean(tools.callsFrom)) {
        problems.push({ path: `${path}.toolCalls`, message: "needs exactly one of calls, callsFrom" });
      }
      const callsFrom = tools.callsFrom;
      const calls = callsFrom
        ? at(`${path}.toolCalls.callsFrom`, () => compileBare(callsFrom))
        : (tools.calls ?? []).flatMap((call, index) =>
            compileCall(call, `${path}.toolCalls.calls[${index}]`, at, source),
          );
      return (
        calls && {
          type: "tool_calls",
          calls,
          requireApproval: tools.requireApproval ?? false,
          failureIsError: tools.onFailure === "TOOL_FAILURE_AS_ERROR",
        }
      );
    }
    case "custom": {
      const custom = node.custom!;
      at(`${path}.custom.type`, () => {
        refuseUnless(Boolean(custom.type), "is required");
        const bounds = BOUNDS.custom.type;
        const message = `must be 1 to ${bounds.maxLength} characters, none of them a control character`;
        within({ ...bounds, message })(custom.type!);
      });
      const payload = at(`${path}.custom.payload`, () => source.value(custom.payload ?? null));
      return payload && { type: "custom", effectType: custom.type ?? "", payload };
    }
    case "assign":
      return compileAssign(node.assign!, path, at, problems);
    case "handler":
      return { type: "handler" };
    case "complete":
      return { type: "complete", ...optional("output", node.complete!.output) };
    case "fail": {
      const code = required(node.fail!.code, "code", within(BOUNDS.fail.code));
      const message = at(`${path}.fail.message`, () => source.value(node.fail!.message ?? ""));
      return code && message && { type: "fail", code, message };
    }
  }
}

function isTemplateText(value: Json, source: ValueSource): boolean {
  return source === TEMPLATES && typeof value === "string" && value.includes("${");
}

function compileCall(call: ToolCallJson, path: string, at: At, source: ValueSource): ToolCall[] {
  const compile = (field: string, value: Json) => at(`${path}.${field}`, () => source.value(value));
  const name = at(`${path}.name`, () => {
    refuseUnless(Boolean(call.name), "is required");
    return source.value(call.name!);
  });
  const argumentsValue = call.arguments === undefined ? undefined : compile("arguments", call.arguments);
  const callId = call.callId ? compile("callId", call.callId) : undefined;
  if (name === undefined) return [];
  return [{ name, ...(argumentsValue ? { arguments: argumentsValue } : {}), ...(callId ? { callId } : {}) }];
}

function compileAssign(
  assign: NonNullable<NodeDefinition["assign"]>,
  path: string,
  at: At,
  problems: FieldProblem[],
): NodeKind {
  const compilePaths = (field: string, values: JsonObject | undefined): PathValue[] =>
    Object.entries(values ?? {}).flatMap(([dotted, value]) => {
      const entryPath = `${path}.assign.${field}.${dotted}`;
      const pointer = at(entryPath, () => pointerFromDotted(dotted));
      const compiled = at(entryPath, () => compileValue(value));
      return pointer === undefined || compiled === undefined ? [] : [{ pointer, value: compiled }];
    });
  const values = compilePaths("values", assign.values);
  const append = compilePaths("append", assign.append);
  const unset = (assign.unset ?? []).flatMap(
    (dotted, index) => at(`${path}.assign.unset[${index}]`, () => pointerFromDotted(dotted)) ?? [],
  );
  const written = [...values.map((value) => value.pointer), ...append.map((value) => value.pointer), ...unset];
  for (const pointer of written) {
    const clash = written.find((other) => other !== pointer && other.startsWith(`${pointer}/`));
    if (clash || written.indexOf(pointer) !== written.lastIndexOf(pointer)) {
      problems.push({ path: `${path}.assign`, message: `writes ${pointer} twice, or it and a part of it` });
      break;
    }
  }
  return { type: "assign", values, append, unset };
}

function checkTargets(definition: WorkflowDefinition, problems: FieldProblem[]): void {
  const known = (nodeId: string) => Object.hasOwn(definition.nodes ?? {}, nodeId);
  const check = (path: string, target: string | undefined) => {
    if (target && !known(target)) problems.push({ path, message: `there is no node "${target}"` });
  };
  if (!definition.entryNode) problems.push({ path: "entryNode", message: "is required" });
  check("entryNode", definition.entryNode);
  check("onError", definition.onError);
  check("onCancel", definition.onCancel);
  for (const [nodeId, node] of Object.entries(definition.nodes ?? {})) {
    check(`nodes.${nodeId}.onError`, node.onError);
    for (const [index, edge] of (node.next ?? []).entries()) {
      if (!edge.to) problems.push({ path: `nodes.${nodeId}.next[${index}].to`, message: "is required" });
      check(`nodes.${nodeId}.next[${index}].to`, edge.to);
    }
    const path = `nodes.${nodeId}.next`;
    const isEnd = node.complete !== undefined || node.fail !== undefined;
    if (isEnd && (node.next ?? []).length > 0) problems.push({ path, message: "an end has no next node" });
    if (node.assign !== undefined && (node.next ?? []).length === 0) {
      problems.push({ path, message: "assign has no result that could end the run: it needs a next node" });
    }
    // The edges of a handler's node are the places that its step plans may name.
    const open = node.handler === undefined ? (node.next ?? []).findIndex((edge) => !edge.when) : -1;
    if (open !== -1 && open < (node.next ?? []).length - 1) {
      problems.push({ path: `${path}[${open + 1}]`, message: "stands behind an edge that always holds" });
    }
  }
}

/** Kinds at which a run rests, so that a loop through one is a loop that waits, which is allowed never to end. */
function rests(node: NodeDefinition): boolean {
  const { askUser, waitUntil, waitEvent, toolCalls, custom, handler } = node;
  return [askUser, waitUntil, waitEvent, toolCalls, custom, handler].some((kind) => kind !== undefined);
}

/** Finds nodes that nothing leads to, and nodes from which a run neither ends nor ever rests. */
function checkPaths(definition: WorkflowDefinition, problems: FieldProblem[]): void {
  const nodes = definition.nodes ?? {};
  // Targets that do not exist are problems of their own.
  const isNode = (nodeId: string | undefined): nodeId is string => nodeId !== undefined && Object.hasOwn(nodes, nodeId);
  const successors = (nodeId: string): string[] => {
    const node = nodes[nodeId]!;
    const targets = [...(node.next ?? []).map((edge) => edge.to), ...(node.onError ? [node.onError] : [])];
    return targets.filter(isNode);
  };
  const reached = new Set<string>();
  const pending = [definition.entryNode, definition.onError, definition.onCancel].filter(isNode);
  for (let nodeId = pending.pop(); nodeId !== undefined; nodeId = pending.pop()) {
    if (reached.has(nodeId)) continue;
    reached.add(nodeId);
    pending.push(...successors(nodeId));
  }
  const predecessors = new Map<string, string[]>();
  for (const nodeId of Object.keys(nodes)) {
    for (const target of successors(nodeId)) {
      const list = predecessors.get(target);
      if (list) list.push(nodeId);
      else predecessors.set(target, [nodeId]);
    }
  }
  const settling = new Set<string>();
  // A node with an edge to nowhere has that problem, not this one.
  const mayEnd = (node: NodeDefinition) =>
    rests(node) || !(node.next ?? []).every((edge) => isNode(edge.to)) || !node.next?.length;
  const ends = Object.keys(nodes).filter((nodeId) => mayEnd(nodes[nodeId]!));
  for (let nodeId = ends.pop(); nodeId !== undefined; nodeId = ends.pop()) {
    if (settling.has(nodeId)) continue;
    settling.add(nodeId);
    ends.push(...(predecessors.get(nodeId) ?? []));
  }
  for (const nodeId of Object.keys(nodes)) {
    // Without an entry nothing leads anywhere, which is one problem.
    if (isNode(definition.entryNode) && !reached.has(nodeId)) {
      problems.push({ path: `nodes.${nodeId}`, message: "nothing leads to this node" });
    }
    if (!settling.has(nodeId)) {
      problems.push({
        path: `nodes.${nodeId}`,
        message: "nothing ends a run that comes here: it would turn in circles",
      });
    }
  }
}
