/** What nodes and step plans ask for, and the results that come of it: the contract's effects with short enum names. */
import { type Json, jsonOf, type JsonObject } from "./json.ts";
import { type JsonOf, type Schema, toJsonSchema } from "./schema.ts";
import type { Tool } from "./tool.ts";

/** Asks a person. In a node, strings may be templates. */
export type AskUser = {
  /** The question: 1 byte to 16 KiB. */
  prompt: string;
  /** What the person should see beside the question. */
  details?: Json;
  /** The answers to choose from, 1 to 1,000; in a node also a template that gives them. Default: the answer is free. */
  choices?: readonly Json[] | string;
  /** Whether, with choices, a string that is none of them is accepted. Default false. */
  allowFreeText?: boolean;
  /** What an answer must meet. Default: any JSON. */
  answerSchema?: Schema;
  /** Who is asked: names or groups, at most 64. Default: anyone. */
  assignees?: readonly string[];
  /** How long to wait, such as `72h`. Then the result has `timed_out: true`. Default: for ever. */
  timeout?: string;
  /** The answer that a timeout gives. Default null. */
  defaultAnswer?: Json;
};

/** Waits for an instant (RFC 3339), or for a duration such as `90s`, `15m`, `72h`, `3d`. */
export type WaitUntil = { at: string; after?: never } | { after: string; at?: never };

/** How far an event reaches. */
export type Scope = "run" | "session" | "workflow" | "global";

/** Waits for an event. */
export type WaitEvent = {
  /** The names to wait for, 1 to 16; one may end in `*`. */
  names: readonly string[];
  /** Default `run`. */
  scope?: Scope;
  /** The key that the event must have. Default: any. */
  key?: string;
  /** How long to wait. Then the result has `timed_out: true`. Default: for ever. */
  timeout?: string;
};

/** Emits an event; it is committed with the step. */
export type EmitEvent = {
  name: string;
  /** Default `run`. */
  scope?: Scope;
  /** The key by which waits select the event. Default: none. */
  key?: string;
  /** Default null. */
  payload?: Json;
  /** By which the channel recognises the event when it comes again. Default: one for each visit of the node. */
  eventId?: string;
};

/** One call of a tool. `call()` makes one with checked arguments. */
export type ToolCall<Output = unknown> = {
  name: string;
  arguments?: JsonObject | string;
  /** The name of the call in the results. Default `call_1`, `call_2`, … */
  callId?: string;
  /** For the compiler only. */
  readonly types?: { readonly output: Output };
};

/** Calls tools side by side, and waits until all have settled. */
export type ToolCalls = {
  /** At most 1,000. */
  calls: readonly ToolCall[];
  /** Whether a person must approve the calls before they are made. Default false. */
  requireApproval?: boolean;
  /** What becomes of a call that failed: part of the result (the default), or the node's failure. */
  onFailure?: "as-data" | "as-error";
};

/** The same with calls that a CEL expression gives; in nodes only. */
export type ToolCallsFrom = Omit<ToolCalls, "calls"> & { callsFrom: string };

/** An effect of a type that a worker registered. */
export type Custom = {
  type: string;
  /** Default null. */
  payload?: Json;
};

export type AskUserResult<Answer = Json> = {
  answer: Answer;
  timed_out: boolean;
  answered_by: string | null;
  answer_time: string | null;
};
export type WaitUntilResult = { due_time: string; fire_time: string };
export type WaitEventResult<Payload = Json> = {
  name: string | null;
  payload: Payload;
  event_id: string | null;
  emit_time: string | null;
  timed_out: boolean;
};
export type EmitEventResult = { event_id: string };
export type AnswerUserResult = { message: string };
/** The calls' results, in the order of the calls. */
export type ToolCallsResult<Output = Json> = { results: ToolCallResult<Output>[] };
export type ToolCallResult<Output = Json> = {
  call_id: string;
  name: string;
  success: boolean;
  /** Null if the call failed. */
  output: Output | null;
  /** Null if it did not. */
  error: FailureJson | null;
};
/** A failure as expressions, handlers and results see it. */
export type FailureJson = {
  code: string;
  message: string;
  retryable: boolean;
  node_id?: string;
  attempt?: number;
  details?: Json;
};

/** What the answer of a question can be. */
export type AnswerOf<Q> =
  | (Q extends { readonly choices: readonly (infer Choice)[] }
      ? Choice | (Q extends { readonly allowFreeText: true } ? string : never)
      : Q extends { readonly answerSchema: infer S }
        ? JsonOf<S>
        : Json)
  | (Q extends { readonly timeout: string }
      ? Q extends { readonly defaultAnswer: infer Answer }
        ? Answer
        : null
      : never);

/** The result of tool calls: typed if all calls were made by `call()`; otherwise nobody checks the outputs. */
export type ToolsResultOf<C> = C extends { readonly calls: readonly (infer Call)[] }
  ? Call extends { readonly types?: { readonly output: infer Output } }
    ? unknown extends Output
      ? { results: never[] }
      : ToolCallsResult<Output>
    : { results: never[] }
  : { results: never[] };

/** A call of a tool with arguments that fit it.
 *
 *  `toolCalls({ calls: [call(readFile, { path: "README.md" })] })` */
export function call<Input, Output>(
  tool: Pick<Tool<Input, Output>, "name" | "types">,
  args: ArgumentsOf<Input>,
  callId?: string,
): ToolCall<Output> {
  return {
    name: tool.name,
    arguments: jsonOf(args) as JsonObject,
    ...(callId === undefined ? {} : { callId }),
  };
}

/** Arguments, in which strings of a node may be templates for anything. */
type ArgumentsOf<T> =
  | (T extends readonly (infer Item)[]
      ? readonly ArgumentsOf<Item>[]
      : T extends object
        ? { readonly [K in keyof T]: ArgumentsOf<T[K]> }
        : T)
  | `${string}\${${string}`;

/** One effect in proto JSON, as nodes and step plans hold it. */
export type EffectJson = {
  askUser?: JsonObject;
  waitUntil?: JsonObject;
  waitEvent?: JsonObject;
  emitEvent?: JsonObject;
  answerUser?: JsonObject;
  toolCalls?: JsonObject;
  custom?: JsonObject;
};

export function askUserJson(question: AskUser): EffectJson {
  const { answerSchema, ...rest } = question;
  const schema = answerSchema === undefined ? {} : { answerSchema: toJsonSchema(answerSchema, "answerSchema") };
  return { askUser: { ...(jsonOf(rest) as JsonObject), ...schema } };
}

export function waitUntilJson(time: WaitUntil): EffectJson {
  return { waitUntil: jsonOf(time) as JsonObject };
}

export function waitEventJson(wait: WaitEvent): EffectJson {
  return { waitEvent: withScope(jsonOf(wait) as JsonObject) };
}

export function emitEventJson(event: EmitEvent): EffectJson {
  return { emitEvent: withScope(jsonOf(event) as JsonObject) };
}

export function answerUserJson(message: string): EffectJson {
  return { answerUser: { message } };
}

export function toolCallsJson(calls: ToolCalls | ToolCallsFrom): EffectJson {
  const json = jsonOf(calls) as JsonObject;
  const { onFailure } = calls;
  return {
    toolCalls: onFailure === undefined ? json : { ...json, onFailure: enumName("TOOL_FAILURE_", onFailure) },
  };
}

export function customJson(custom: Custom): EffectJson {
  return { custom: jsonOf(custom) as JsonObject };
}

function withScope(json: JsonObject): JsonObject {
  return typeof json["scope"] === "string" ? { ...json, scope: enumName("SCOPE_", json["scope"]) } : json;
}

/** The contract's name of an enum value: `at-least-once` is `DELIVERY_AT_LEAST_ONCE`. */
export function enumName(prefix: string, short: string): string {
  return prefix + short.toUpperCase().replaceAll("-", "_");
}
