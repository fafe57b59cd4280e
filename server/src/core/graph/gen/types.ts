// Written by `npm run generate` from the contract in proto/; do not edit.

import type { Json, JsonObject } from "../../json/json.ts";

/** How far an event reaches, and where a wait listens. */
export type ScopeJson = "SCOPE_UNSPECIFIED" | "SCOPE_RUN" | "SCOPE_SESSION" | "SCOPE_WORKFLOW" | "SCOPE_GLOBAL";

/** How a failed tool call is handled. */
export type ToolFailureJson = "TOOL_FAILURE_UNSPECIFIED" | "TOOL_FAILURE_AS_DATA" | "TOOL_FAILURE_AS_ERROR";

/** What a patch operation does. */
export type PatchOpKindJson = "PATCH_OP_KIND_UNSPECIFIED" | "PATCH_OP_KIND_SET" | "PATCH_OP_KIND_APPEND" | "PATCH_OP_KIND_UNSET";

/** The part of a record from which a patch operation takes its value. */
export type PatchSourceJson = "PATCH_SOURCE_UNSPECIFIED" | "PATCH_SOURCE_GIVEN" | "PATCH_SOURCE_RESULT" | "PATCH_SOURCE_CALLS";

/** How the pause before a retry is randomised. */
export type JitterJson = "JITTER_UNSPECIFIED" | "JITTER_FULL" | "JITTER_NONE";

/** What the runtime may assume about running a job twice. */
export type DeliveryJson = "DELIVERY_UNSPECIFIED" | "DELIVERY_AT_LEAST_ONCE" | "DELIVERY_AT_MOST_ONCE";

/** One version of a graph. */
export type WorkflowJson = {
  /** The id of the workflow, which its versions share. */
  workflowId: string;
  /** The version, from 1. */
  version?: number;
  /** The identity of the graph: SHA-256, as 64 lower-case hex digits, of the RFC 8785 form of the proto JSON, without description, labels and the fields that the server sets. */
  digest?: string;
  /** What the workflow is for. */
  description?: string;
  /** The node at which runs start. */
  entryNode: string;
  /** The nodes by id. */
  nodes: { [key: string]: NodeJson };
  /** The JSON Schema (2020-12, local `$ref` only) that the vars of a start must match, after defaults are filled in. */
  varsSchema?: JsonObject;
  /** Default vars, by top-level name, for those that a start does not set. */
  defaultVars?: JsonObject;
  /** The node to go to if a node fails that has no on_error of its own. */
  onError?: string;
  /** The node to go to, once, when the run is cancelled. */
  onCancel?: string;
  /** How much a run may use. */
  limits?: LimitsJson;
  /** Names and values to find the workflow by. */
  labels?: { [key: string]: string };
  /** Switches off run-ahead: every step is committed before the next one is computed. */
  commitEveryStep?: boolean;
  /** Whether a start without a version uses this one. */
  current?: boolean;
  /** Whether the workflow refuses starts. */
  archived?: boolean;
  /** When this version was registered. */
  createTime?: string;
  /** Why the graph is left out: what is stored cannot be read, or does not have the version's digest. */
  damage?: string;
};

/** What a handler returns: what the run does next. */
export type StepPlanJson = {
  /** Asks a person, and waits for the answer. */
  askUser?: AskUserJson;
  /** Waits for a time. */
  waitUntil?: WaitUntilJson;
  /** Waits for an event. */
  waitEvent?: WaitEventJson;
  /** Emits an event. */
  emitEvent?: EmitEventJson;
  /** Shows the person a message. */
  answerUser?: AnswerUserJson;
  /** Calls tools. */
  toolCalls?: ToolCallsJson;
  /** Runs an effect that a worker defines. */
  custom?: CustomJson;
  /** Where in vars the effect's result is written, as in Node.result_key. */
  resultKey?: string;
  /** The node to go to: one that the handler node's `next` names. */
  nextNode?: string;
  /** Completes the run with this output, any JSON. */
  completeOutput?: Json;
  /** Fails the run. */
  fail?: FailJson;
  /** The changes to vars, in order. */
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
  /** Shows the person a message. */
  answerUser?: AnswerUserJson;
  /** Calls tools. */
  toolCalls?: ToolCallsJson;
  /** Runs an effect that a worker defines. */
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
  /** The number of steps that the run may take. */
  maxSteps?: number;
  /** The number of model tokens that the run may use. */
  maxTokens?: number;
  /** The money that the run's model calls may cost, in US dollars. */
  maxCostUsd?: number;
  /** How deeply subworkflows may nest below the run. */
  maxDepth?: number;
  /** How long the run may take from its start, or its start_at, to its end, including waits: a duration such as `90s`, `15m`, `72h`, `3d`. */
  runTimeout?: string;
  /** The percentage of a limit from which clients should warn. */
  warnPercent?: number;
};

/** Asks a person, and waits for the answer. */
export type AskUserJson = {
  /** The question. */
  prompt?: string;
  /** What to show the person with the question, any JSON; strings in it may be templates. */
  details?: Json;
  /** The answers to choose from: a list of JSON values, or a template that evaluates to such a list. */
  choices?: Json;
  /** Whether a string that is not one of the choices is accepted. */
  allowFreeText?: boolean;
  /** The JSON Schema (2020-12, local `$ref` only) that an answer must match. */
  answerSchema?: JsonObject;
  /** Who is asked: names or groups, by which clients filter the inbox. */
  assignees?: string[];
  /** How long to wait for the answer: a duration such as `72h`. */
  timeout?: string;
  /** The answer after a timeout, any JSON; strings in it may be templates. */
  defaultAnswer?: Json;
};

/** Waits for a time. */
export type WaitUntilJson = {
  /** A time in RFC 3339, such as `2026-12-24T18:00:00Z`. */
  at?: string;
  /** A duration from now, such as `90s`, `15m`, `72h`, `3d`. */
  after?: string;
};

/** Waits for an event. */
export type WaitEventJson = {
  /** The names to wait for. */
  names?: string[];
  /** Where to listen: in the run, its session, its workflow, or everywhere. */
  scope?: ScopeJson;
  /** The key that an event must have, such as an order id. */
  key?: string;
  /** How long to wait: a duration such as `72h`. */
  timeout?: string;
};

/** Emits an event to the channel of the run, its session, its workflow, or the whole tenant. */
export type EmitEventJson = {
  /** The name of the event. */
  name?: string;
  /** How far the event reaches. */
  scope?: ScopeJson;
  /** The key by which waits select the event, such as an order id. */
  key?: string;
  /** The payload of the event, any JSON; strings in it may be templates. */
  payload?: Json;
  /** The id by which the channel recognises a repeated event. */
  eventId?: string;
};

/** Shows the person a message, without waiting. */
export type AnswerUserJson = {
  /** The message. */
  message?: string;
};

/** Calls tools that workers serve, in parallel, and waits until all calls have settled. */
export type ToolCallsJson = {
  /** The calls. */
  calls?: ToolCallJson[];
  /** A CEL expression, without `${ }`, that evaluates to the list of calls. */
  callsFrom?: string;
  /** Whether a person must approve the calls before they are made. */
  requireApproval?: boolean;
  /** How a failed call is handled. */
  onFailure?: ToolFailureJson;
};

/** An effect of a type that the runtime does not know; a worker that registered the type serves it. */
export type CustomJson = {
  /** The type of the effect. */
  type?: string;
  /** The payload for the worker, any JSON; strings in it may be templates. */
  payload?: Json;
};

/** Ends the run as FAILED, regardless of on_error; on the path from on_cancel, as CANCELLED. */
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
  /** Where a set or an append takes its value from, instead of `value` and `values`, so that the ledger stores it once. */
  of?: PatchSourceJson;
  /** Which part of the source to take: a JSON Pointer. */
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

/** A connection from one node to another. */
export type EdgeJson = {
  /** The node to go to. */
  to: string;
  /** A CEL expression, without `${ }`, that says whether the edge holds. */
  when?: string;
};

/** How a node's jobs are run: attempts, pauses between them, and time limits. */
export type EffectPolicyJson = {
  /** The maximum number of attempts, including the first. */
  maxAttempts?: number;
  /** The pause before the second attempt. */
  initialBackoff?: string;
  /** The factor by which the pause grows from one attempt to the next. */
  backoffMultiplier?: number;
  /** The longest pause. */
  maxBackoff?: string;
  /** How the pause is randomised. */
  jitter?: JitterJson;
  /** How long one attempt may take after a worker accepts it. */
  timeout?: string;
  /** How long a job may wait for a worker. */
  queueTimeout?: string;
  /** How long a worker may go without sending a heartbeat for an attempt before the attempt fails. */
  heartbeatTimeout?: string;
  /** What may be assumed about running a job twice. */
  delivery?: DeliveryJson;
  /** Failure codes that are not retried. */
  nonRetryableErrors?: string[];
};

/** One call of a tool. */
export type ToolCallJson = {
  /** The tool. */
  name?: string;
  /** The tool's arguments: an object, or a template that evaluates to one. */
  arguments?: Json;
  /** The name of the call in the results, such as a model's call id. */
  callId?: string;
};
