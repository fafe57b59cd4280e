import { type Failure, FailureSchema } from "@abstractruntime/proto/failure_pb";
import { type Limits, LimitsSchema } from "@abstractruntime/proto/limits_pb";
import { BlockedReason, type Run, type RunFilter, RunSchema } from "@abstractruntime/proto/run_pb";
import type { StartRunRequest } from "@abstractruntime/proto/runtime_service_pb";
import { create } from "@bufbuild/protobuf";
import type { Failure as CoreFailure } from "../core/failure.ts";
import { openWaitOf } from "../core/run.ts";
import type { Limits as CoreLimits } from "../core/graph/limits.ts";
import type { RunFilter as EngineRunFilter, RunView, StartRequest } from "../engine/api.ts";
import { BLOCKED_REASON, RUN_STATUS, runStatusesFromProto, waitReasonsFromProto } from "./enum-conversion.ts";
import { jsonObjectFromStruct, optionalValue, structFromJson } from "./json-conversion.ts";
import { optionalFields, optionalMembers } from "./optional-fields.ts";
import { instantFromTimestamp, optionalTimestamp, timestampFromInstant } from "./time-conversion.ts";
import { waitToProto } from "./wait-conversion.ts";

/** Converts a run, in the view in which it was read. */
export function runToProto({ state, view, blockedReason, damage }: RunView): Run {
  const isFull = view === "full";
  const wait = openWaitOf(state);
  return create(RunSchema, {
    runId: state.runId,
    workflowId: state.workflowId,
    version: state.version,
    status: RUN_STATUS[state.status],
    paused: state.paused,
    currentNode: state.node,
    vars: isFull ? structFromJson(state.vars) : undefined,
    output: isFull ? optionalValue(state.output) : undefined,
    error: state.error && failureToProto(state.error),
    waiting: wait && waitToProto({ ...ofRun(state), wait }),
    blockedReason: blockedReason === undefined ? BlockedReason.UNSPECIFIED : BLOCKED_REASON[blockedReason],
    sessionId: state.sessionId ?? "",
    actorId: state.actorId ?? "",
    parentRunId: state.parentRunId ?? "",
    rootRunId: state.rootRunId,
    labels: { ...state.labels },
    seq: state.seq,
    usage: { steps: state.steps },
    createTime: timestampFromInstant(state.createTime),
    updateTime: timestampFromInstant(state.updateTime),
    endTime: optionalTimestamp(state.endTime),
    damage: damage ?? "",
  });
}

/** The fields of a run that its wait shows. */
function ofRun({ runId, workflowId, labels, sessionId }: RunView["state"]) {
  return { runId, workflowId, labels, ...optionalFields({ sessionId }) };
}

/** Converts a run without vars and output, whatever view it was read in: for lists, batches and notices. */
export function runToProtoBasic(run: RunView): Run {
  return runToProto({ ...run, view: "basic" });
}

export function failureToProto(failure: CoreFailure): Failure {
  return create(FailureSchema, {
    code: failure.code,
    message: failure.message,
    retryable: failure.retryable,
    nodeId: failure.node_id ?? "",
    attempt: failure.attempt ?? 0,
    details: optionalValue(failure.details),
  });
}

export function startRequestFromProto(request: StartRunRequest): StartRequest {
  return {
    workflowId: request.workflowId,
    version: request.version,
    vars: jsonObjectFromStruct(request.vars),
    labels: { ...request.labels },
    limits: limitsFromProto(request.limits),
    paused: request.paused,
    ...optionalFields({
      runId: request.runId,
      sessionId: request.sessionId,
      startAt: request.startAt && instantFromTimestamp(request.startAt),
    }),
  };
}

/** Limits left at 0 or empty are left out. */
function limitsFromProto(limits: Limits | undefined): CoreLimits {
  const { maxSteps, maxTokens, maxCostUsd, maxDepth, runTimeout, warnPercent } = limits ?? create(LimitsSchema);
  return optionalFields({ maxSteps, maxTokens, maxCostUsd, maxDepth, runTimeout, warnPercent });
}

export function runFilterFromProto(filter: RunFilter | undefined): EngineRunFilter {
  if (filter === undefined) return {};
  return {
    ...optionalFields({
      workflowId: filter.workflowId,
      version: filter.version,
      sessionId: filter.sessionId,
      actorId: filter.actorId,
      parentRunId: filter.parentRunId,
      rootRunId: filter.rootRunId,
      paused: filter.paused,
      createTimeAfter: filter.createTimeAfter && instantFromTimestamp(filter.createTimeAfter),
      createTimeBefore: filter.createTimeBefore && instantFromTimestamp(filter.createTimeBefore),
    }),
    ...optionalMembers({
      statuses: runStatusesFromProto(filter.statuses),
      labels: { ...filter.labels },
      waitingReasons: waitReasonsFromProto(filter.waitingReasons),
    }),
  };
}
