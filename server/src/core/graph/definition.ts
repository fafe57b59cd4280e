/** A workflow as its proto JSON says it: as it is stored and digested. */
import type { Json, JsonObject } from "../json.ts";
import type { Limits } from "./limits.ts";

export type EdgeDefinition = { to: string; when?: string };
export type ToolCallDefinition = { name?: string; arguments?: Json; callId?: string };
export type PolicyDefinition = { [key: string]: Json } & {
  maxAttempts?: number;
  initialBackoff?: string;
  backoffMultiplier?: number;
  maxBackoff?: string;
  jitter?: string;
  timeout?: string;
  queueTimeout?: string;
  heartbeatTimeout?: string;
  delivery?: string;
  nonRetryableErrors?: string[];
};

export type NodeDefinition = {
  description?: string;
  resultKey?: string;
  next?: EdgeDefinition[];
  onError?: string;
  policy?: PolicyDefinition;
  // Exactly one of:
  askUser?: {
    prompt?: string;
    details?: Json;
    choices?: Json;
    allowFreeText?: boolean;
    answerSchema?: JsonObject;
    assignees?: string[];
    timeout?: string;
    defaultAnswer?: Json;
  };
  waitUntil?: { at?: string; after?: string };
  waitEvent?: { names?: string[]; scope?: string; key?: string; timeout?: string };
  emitEvent?: { name?: string; scope?: string; key?: string; payload?: Json; eventId?: string };
  answerUser?: { message?: string };
  toolCalls?: { calls?: ToolCallDefinition[]; callsFrom?: string; requireApproval?: boolean; onFailure?: string };
  custom?: { type?: string; payload?: Json };
  assign?: { values?: JsonObject; append?: JsonObject; unset?: string[] };
  handler?: JsonObject;
  complete?: { output?: Json };
  fail?: { code?: string; message?: string };
};

export type WorkflowDefinition = {
  workflowId: string;
  description?: string;
  entryNode: string;
  nodes: { [nodeId: string]: NodeDefinition };
  varsSchema?: JsonObject;
  defaultVars?: JsonObject;
  onError?: string;
  onCancel?: string;
  limits?: Limits;
  labels?: { [key: string]: string };
  commitEveryStep?: boolean;
};
