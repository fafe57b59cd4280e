import { Scope } from "@abstractruntime/proto/event_pb";
import { type Wait, type WaitFilter, WaitSchema } from "@abstractruntime/proto/wait_pb";
import { create } from "@bufbuild/protobuf";
import type { WaitFilter as EngineWaitFilter, WaitView } from "../engine/api.ts";
import { SCOPE, WAIT_REASON, waitReasonsFromProto } from "./enum-conversion.ts";
import { optionalValue, structFromJson } from "./json-conversion.ts";
import { optionalField, optionalMembers } from "./optional-field.ts";
import { optionalTimestamp, timestampFromInstant } from "./time-conversion.ts";

/** What a wait shows of its run. A ledger's record names the run only: the rest is not in it. */
type WaitOfRun = Pick<WaitView, "runId" | "wait"> & Partial<WaitView>;

export function waitToProto({ runId, wait, workflowId, sessionId, labels, closeTime, answeredBy }: WaitOfRun): Wait {
  return create(WaitSchema, {
    waitId: wait.wait_id,
    runId,
    workflowId: workflowId ?? "",
    nodeId: wait.node_id ?? "",
    sessionId: sessionId ?? "",
    labels: { ...labels },
    reason: WAIT_REASON[wait.reason],
    prompt: wait.prompt ?? "",
    details: optionalValue(wait.details),
    choices: optionalValue(wait.choices),
    allowFreeText: wait.allow_free_text ?? false,
    answerSchema: structFromJson(wait.answer_schema),
    assignees: [...(wait.assignees ?? [])],
    names: [...(wait.names ?? [])],
    scope: wait.scope === undefined ? Scope.UNSPECIFIED : SCOPE[wait.scope],
    key: wait.key ?? "",
    dueTime: optionalTimestamp(wait.due_time),
    createTime: timestampFromInstant(wait.create_time),
    closeTime: optionalTimestamp(closeTime),
    answeredBy: answeredBy ?? "",
  });
}

export function waitFilterFromProto(filter: WaitFilter | undefined): EngineWaitFilter {
  if (filter === undefined) return { reasons: [] };
  return {
    reasons: waitReasonsFromProto(filter.reasons),
    ...optionalField("workflowId", filter.workflowId),
    ...optionalField("sessionId", filter.sessionId),
    ...optionalField("runId", filter.runId),
    ...optionalField("assignee", filter.assignee),
    ...optionalMembers("labels", { ...filter.labels }),
  };
}
