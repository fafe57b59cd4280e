import { Scope } from "@abstractruntime/proto/event_pb";
import { type Wait, type WaitFilter, WaitSchema } from "@abstractruntime/proto/wait_pb";
import { create } from "@bufbuild/protobuf";
import { reasonOf, shownWait } from "../core/wait.ts";
import type { WaitFilter as EngineWaitFilter, WaitView } from "../engine/api.ts";
import { SCOPE, WAIT_REASON, waitReasonsFromProto } from "./enum-conversion.ts";
import { optionalValue, structFromJson } from "./json-conversion.ts";
import { optionalFields, optionalMembers } from "./optional-fields.ts";
import { optionalTimestamp, timestampFromInstant } from "./time-conversion.ts";

/** What a wait shows of its run. A record of the ledger has only the run's id. */
type WaitOfRun = Pick<WaitView, "runId" | "wait"> & Partial<WaitView>;

export function waitToProto({
  runId,
  wait,
  workflowId,
  sessionId,
  labels,
  closeTime,
  answeredBy,
  damage,
}: WaitOfRun): Wait {
  const { prompt, details, choices, allowFreeText, answerSchema, assignees } = shownWait(wait);
  const event = wait.asks === "event" ? wait : undefined;
  return create(WaitSchema, {
    waitId: wait.wait_id,
    runId,
    workflowId: workflowId ?? "",
    nodeId: wait.node_id ?? "",
    sessionId: sessionId ?? "",
    labels: { ...labels },
    reason: WAIT_REASON[reasonOf(wait)],
    prompt: prompt ?? "",
    details: optionalValue(details),
    choices: optionalValue(choices),
    allowFreeText: allowFreeText ?? false,
    answerSchema: structFromJson(answerSchema),
    assignees: [...(assignees ?? [])],
    names: [...(event?.names ?? [])],
    scope: event === undefined ? Scope.UNSPECIFIED : SCOPE[event.scope],
    key: event?.key ?? "",
    dueTime: optionalTimestamp(wait.due_time),
    createTime: timestampFromInstant(wait.create_time),
    closeTime: optionalTimestamp(closeTime),
    answeredBy: answeredBy ?? "",
    damage: damage ?? "",
  });
}

export function waitFilterFromProto(filter: WaitFilter | undefined): EngineWaitFilter {
  if (filter === undefined) return { reasons: [] };
  return {
    reasons: waitReasonsFromProto(filter.reasons),
    ...optionalFields({
      workflowId: filter.workflowId,
      sessionId: filter.sessionId,
      runId: filter.runId,
      assignee: filter.assignee,
    }),
    ...optionalMembers({ labels: { ...filter.labels } }),
  };
}
