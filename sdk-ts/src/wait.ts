/** Waits of runs, as callers see them. */
import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import { type Wait as WaitMessage, WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Scope } from "./scope.ts";
import { shortNameOf } from "./enum-names.ts";
import { type Json, type JsonObject, jsonOfValue } from "./json.ts";
import { dateOf } from "./time.ts";

/** `unknown`: a reason of a later release. */
export type WaitReason = "event" | "until" | "user" | "job" | "subworkflow" | "unknown";

/** Something that a run waits for, or waited for. */
export type Wait = {
  readonly waitId: string;
  readonly runId: string;
  readonly workflowId: string;
  /** Absent if the run waits for its start. */
  readonly nodeId?: string | undefined;
  readonly sessionId?: string | undefined;
  /** The run's labels. */
  readonly labels: Readonly<Record<string, string>>;
  readonly reason: WaitReason;
  /** The question; empty unless the reason is `user`. */
  readonly prompt: string;
  /** What the person should see beside the question. */
  readonly details?: Json | undefined;
  /** The answers to choose from. Absent if any answer is possible. */
  readonly choices?: readonly Json[] | undefined;
  /** Whether, with choices, the answer may also be any other string. */
  readonly allowFreeText: boolean;
  /** The JSON Schema of the answer; present on every wait that a person can answer. */
  readonly answerSchema?: JsonObject | undefined;
  /** Who is asked. Empty: anyone. */
  readonly assignees: readonly string[];
  /** The names of the events that end the wait; empty unless the reason is `event`. */
  readonly names: readonly string[];
  readonly scope?: Scope | undefined;
  readonly key?: string | undefined;
  /** When the wait ends by itself. */
  readonly dueTime?: Date | undefined;
  readonly createTime: Date;
  /** Absent while the wait is open. */
  readonly closeTime?: Date | undefined;
  readonly answeredBy?: string | undefined;
};

export function waitOfMessage(wait: WaitMessage): Wait {
  return {
    waitId: wait.waitId,
    runId: wait.runId,
    workflowId: wait.workflowId,
    nodeId: wait.nodeId || undefined,
    sessionId: wait.sessionId || undefined,
    labels: wait.labels,
    reason: (shortNameOf(WaitReasonSchema, wait.reason) as WaitReason | undefined) ?? "unknown",
    prompt: wait.prompt,
    details: wait.details === undefined ? undefined : jsonOfValue(wait.details),
    choices: wait.choices === undefined ? undefined : (jsonOfValue(wait.choices) as Json[]),
    allowFreeText: wait.allowFreeText,
    answerSchema: wait.answerSchema,
    assignees: wait.assignees,
    names: wait.names,
    scope: shortNameOf(ScopeSchema, wait.scope) as Scope | undefined,
    key: wait.key || undefined,
    dueTime: wait.dueTime && timestampDate(wait.dueTime),
    createTime: dateOf(wait.createTime),
    closeTime: wait.closeTime && timestampDate(wait.closeTime),
    answeredBy: wait.answeredBy || undefined,
  };
}
