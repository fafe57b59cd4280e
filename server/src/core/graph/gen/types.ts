// Written by `npm run generate` from the contract in proto/; do not edit.

import type { Json, JsonObject } from "../../json/json.ts";

/** How far an event reaches, and where a wait listens. */
export type ScopeJson = "SCOPE_UNSPECIFIED" | "SCOPE_RUN" | "SCOPE_SESSION" | "SCOPE_WORKFLOW" | "SCOPE_GLOBAL";

/** What becomes of a tool call that failed. */
export type ToolFailureJson = "TOOL_FAILURE_UNSPECIFIED" | "TOOL_FAILURE_AS_DATA" | "TOOL_FAILURE_AS_ERROR";

/** What a patch operation does. */
export type PatchOpKindJson = "PATCH_OP_KIND_UNSPECIFIED" | "PATCH_OP_KIND_SET" | "PATCH_OP_KIND_APPEND" | "PATCH_OP_KIND_UNSET";

/** What a record holds that a patch operation takes from. */
export type PatchSourceJson = "PATCH_SOURCE_UNSPECIFIED" | "PATCH_SOURCE_GIVEN" | "PATCH_SOURCE_RESULT" | "PATCH_SOURCE_CALLS";

/** How the pause before a retry is spread. */
export type JitterJson = "JITTER_UNSPECIFIED" | "JITTER_FULL" | "JITTER_NONE";

/** What the runtime may assume about running a job twice. */
export type DeliveryJson = "DELIVERY_UNSPECIFIED" | "DELIVERY_AT_LEAST_ONCE" | "DELIVERY_AT_MOST_ONCE";

/** A graph in one version. */
export type WorkflowJson = {
  /** The id of the workflow, which its versions share. */
  workflowId: string;
  /** The version, from 1. */
  version?: number;
  /** The identity of the graph: SHA-256, as 64 lower-case hex digits, of the RFC 8785 form of the proto JSON without the fields that the server sets, description and labels. */
  digest?: string;
  /** What the workflow is for. */
  description?: string;
  /** The node at which runs start. */
  entryNode: string;
  /** The nodes by id. */
  nodes: { [key: string]: NodeJson };
  /** The JSON Schema (2020-12, local `$ref` only) that the vars of a start must meet, defaults filled in. */
  varsSchema?: JsonObject;
  /** The vars that a start does not give, by top-level name. */
  defaultVars?: JsonObject;
  /** The node to go to if a node without an on_error of its own fails. */
  onError?: string;
  /** The node to go to, once, when a cancel is asked for; what is reached from there runs before the run ends CANCELLED. */
  onCancel?: string;
  /** How much a run may use. */
  limits?: LimitsJson;
  /** Names and values to find the workflow by. */
  labels?: { [key: string]: string };
  /** Switches run-ahead off: every step is committed before the next one is computed. */
  commitEveryStep?: boolean;
  /** Whether starts without a version start this one. */
  current?: boolean;
  /** Whether the workflow refuses starts. */
  archived?: boolean;
  /** When this version was registered. */
  createTime?: string;
};

/** What a handler returns: what the run is to do now. */
export type StepPlanJson = {
  /** Asks a person, and waits for the answer. */
  askUser?: AskUserJson;
  /** Waits for a time. */
  waitUntil?: WaitUntilJson;
  /** Waits for an event. */
  waitEvent?: WaitEventJson;
  /** Emits an event. */
  emitEvent?: EmitEventJson;
  /** Tells the person something. */
  answerUser?: AnswerUserJson;
  /** Calls tools. */
  toolCalls?: ToolCallsJson;
  /** Does something that a worker defines. */
  custom?: CustomJson;
  /** Where in vars the effect's result is written, as in Node.result_key. */
  resultKey?: string;
  /** The node to go to, one of those that the handler node's `next` names. */
  nextNode?: string;
  /** Completes the run with this output, any JSON. */
  completeOutput?: Json;
  /** Fails the run. */
  fail?: FailJson;
  /** What changes in vars, in this order. */
  patch?: PatchOpJson[];
};

/** A vertex of a workflow: one effect, one pure transformation, one handler, or an end. */
export type NodeJson = {
  /** What the node is for. */
  description?: string;
  /** Asks a person, and waits for the answer. */
  askUser?: AskUserJson;
  /** Waits for a time. */
  waitUntil?: WaitUntilJson;
  /** Waits for an event. */
  waitEvent?: WaitEventJson;
  /** Emits an event. */
  emitEvent?: EmitEventJson;
  /** Tells the person something. */
  answerUser?: AnswerUserJson;
  /** Calls tools. */
  toolCalls?: ToolCallsJson;
  /** Does something that a worker defines. */
  custom?: CustomJson;
  /** Changes vars. */
  assign?: AssignJson;
  /** Runs the code that a worker registered for this node. */
  handler?: HandlerJson;
  /** Ends the run as COMPLETED. */
  complete?: CompleteJson;
  /** Ends the run as FAILED. */
  fail?: FailJson;
  /** Where in vars the result is written: names separated by dots, such as `order.payment`. */
  resultKey?: string;
  /** Where the run goes next: the first edge that holds. */
  next?: EdgeJson[];
  /** The node to go to if this one fails. */
  onError?: string;
  /** How the node's jobs are run. */
  policy?: EffectPolicyJson;
};

/** How much a run may use. */
export type LimitsJson = {
  /** The steps that the run may take. */
  maxSteps?: number;
  /** The model tokens that the run may spend. */
  maxTokens?: number;
  /** The money that the run's model calls may cost, in US dollars. */
  maxCostUsd?: number;
  /** How deep subworkflows may nest below the run. */
  maxDepth?: number;
  /** How long the run may take from its start, or its start_at, to its end, waits included: a duration such as `90s`, `15m`, `72h`, `3d`. */
  runTimeout?: string;
  /** The share of a limit, in percent, from which clients should warn. */
  warnPercent?: number;
};

/** Asks a person, and waits for the answer. */
export type AskUserJson = {
  /** The question. */
  prompt?: string;
  /** What the person should see beside the question, any JSON; strings in it may be templates. */
  details?: Json;
  /** The answers to choose from: a list of JSON values, or a template that gives one. */
  choices?: Json;
  /** Whether, with choices, a string that is none of them is accepted. */
  allowFreeText?: boolean;
  /** The JSON Schema (2020-12, local `$ref` only) that an answer must meet. */
  answerSchema?: JsonObject;
  /** Who is asked; names or groups, which clients filter the inbox by. */
  assignees?: string[];
  /** How long to wait for the answer: a duration such as `72h`. */
  timeout?: string;
  /** The answer that a timeout gives, any JSON; strings in it may be templates. */
  defaultAnswer?: Json;
};

/** Waits for a time. */
export type WaitUntilJson = {
  /** An instant in RFC 3339, such as `2026-12-24T18:00:00Z`. */
  at?: string;
  /** A duration from now, such as `90s`, `15m`, `72h`, `3d`. */
  after?: string;
};

/** Waits for an event, also one that was emitted since the run started and that the run has not consumed. */
export type WaitEventJson = {
  /** The names to wait for; the first event that has any of them is taken. */
  names?: string[];
  /** Where to listen: in the run, in its session, in its workflow, or everywhere. */
  scope?: ScopeJson;
  /** The key that an event must have: an order id, say. */
  key?: string;
  /** How long to wait: a duration such as `72h`. */
  timeout?: string;
};

/** Emits an event to the channel of the run itself, its session, its workflow, or everyone. */
export type EmitEventJson = {
  /** The name of the event. */
  name?: string;
  /** How far the event reaches. */
  scope?: ScopeJson;
  /** The key by which waits select the event: an order id, say. */
  key?: string;
  /** What the event carries, any JSON; strings in it may be templates. */
  payload?: Json;
  /** The id by which the channel recognises the event when it comes again. */
  eventId?: string;
};

/** Tells the person something, without waiting. */
export type AnswerUserJson = {
  /** The message. */
  message?: string;
};

/** Calls tools that workers serve, side by side, and waits until all have settled. */
export type ToolCallsJson = {
  /** The calls. */
  calls?: ToolCallJson[];
  /** A CEL expression, without `${ }`, that gives the list of calls, each an object like ToolCall. */
  callsFrom?: string;
  /** Whether a person must approve the calls before they are made. */
  requireApproval?: boolean;
  /** What becomes of a call that failed. */
  onFailure?: ToolFailureJson;
};

/** An effect of a type that the runtime does not know; a worker that registered the type serves it. */
export type CustomJson = {
  /** The type of the effect. */
  type?: string;
  /** What the worker is given, any JSON; strings in it may be templates. */
  payload?: Json;
};

/** Ends the run as FAILED, whatever on_error says; as CANCELLED on the way from on_cancel. */
export type FailJson = {
  /** What failed, for programs. */
  code?: string;
  /** What failed, for people. */
  message?: string;
};

/** One change of a JSON document. */
export type PatchOpJson = {
  /** What the operation does. */
  op?: PatchOpKindJson;
  /** Where: a JSON Pointer (RFC 6901). */
  path?: string;
  /** The value that a set writes, any JSON. */
  value?: Json;
  /** The elements that an append adds, in this order. */
  values?: Json[];
  /** What a set or an append takes from, instead of `value` and `values`, so that the ledger holds it once. */
  of?: PatchSourceJson;
  /** The part of it: a JSON Pointer. */
  at?: string;
};

/** Changes vars. */
export type AssignJson = {
  /** The values to set, by path; strings in them may be templates. */
  values?: JsonObject;
  /** The element to append to the list at each path; strings in it may be templates. */
  append?: JsonObject;
  /** The paths to remove. */
  unset?: string[];
};

/** Runs the code that a worker registered for this workflow and node. */
export type HandlerJson = { [key: string]: never };

/** Ends the run as COMPLETED. */
export type CompleteJson = {
  /** The run's output, any JSON; strings in it may be templates. */
  output?: Json;
};

/** A way from one node to another. */
export type EdgeJson = {
  /** The node to go to. */
  to: string;
  /** A CEL expression, without `${ }`, that says whether the edge holds. */
  when?: string;
};

/** How the jobs of a node are run: attempts, pauses between them, and time limits. */
export type EffectPolicyJson = {
  /** How often a job is tried, the first time included. */
  maxAttempts?: number;
  /** The pause before the second attempt. */
  initialBackoff?: string;
  /** By what the pause grows from one attempt to the next. */
  backoffMultiplier?: number;
  /** The longest pause. */
  maxBackoff?: string;
  /** How the pause is spread. */
  jitter?: JitterJson;
  /** How long one attempt may take, from its acceptance by a worker. */
  timeout?: string;
  /** How long a job may wait for a worker. */
  queueTimeout?: string;
  /** How long a worker may say nothing about an attempt before the attempt is given up. */
  heartbeatTimeout?: string;
  /** What may be assumed about running a job twice. */
  delivery?: DeliveryJson;
  /** Failure codes after which there is no further attempt. */
  nonRetryableErrors?: string[];
};

/** One call of a tool. */
export type ToolCallJson = {
  /** The tool. */
  name?: string;
  /** What the tool is given: an object, or a template that gives one; strings in it may be templates. */
  arguments?: Json;
  /** The name of the call in the results; a model's own call id, say. */
  callId?: string;
};
