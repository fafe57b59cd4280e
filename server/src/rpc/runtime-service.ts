/** RuntimeService: decode, ask the engine, encode. Interceptors authenticate and validate requests and map errors. */
import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  AwaitRunResponseSchema,
  type EmitEventRequest,
  GetRunResponseSchema,
  type RuntimeService,
  type StartRunsResult,
  StartRunsResultSchema,
  type WatchRunResponse,
  WatchRunResponseSchema,
  type WatchRunsResponse,
  WatchRunsResponseSchema,
} from "@abstractruntime/proto/runtime_service_pb";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { DomainError } from "../core/errors.ts";
import type { ControlRequest, EmitRequest, Engine, RunMessage, RunsMessage, RunView } from "../engine/api.ts";
import { callerOf, claimedActor } from "./auth.ts";
import {
  NOTICE_KIND,
  noticeKindsFromProto,
  runOrderFromProto,
  runViewFromProto,
  scopeFromProto,
  waitReasonsFromProto,
} from "./enum-conversion.ts";
import { refusalToProto } from "./error-mapping.ts";
import { jsonFromValue } from "./json-conversion.ts";
import { optionalFields } from "./optional-fields.ts";
import { outboxKey, type ReplyEncoder } from "./reply-encoding.ts";
import { explanationToProto } from "./run-explanation-conversion.ts";
import { runFilterFromProto, runToProto, runToProtoBasic, startRequestFromProto } from "./run-conversion.ts";
import { recordsText, stepRecordToProto } from "./step-record-conversion.ts";
import { untilAborted } from "./streams.ts";
import { msFromDuration } from "./time-conversion.ts";
import { waitFilterFromProto, waitToProto } from "./wait-conversion.ts";
import { definitionFromProto, matchesWorkflowFilter, workflowToProto } from "./workflow-conversion.ts";

/** The default that `AwaitRunRequest.timeout` promises. */
const AWAIT_TIMEOUT_MS_DEFAULT = 30_000;
/** The meaning of 0 in TickRun. */
const TICK_STEPS_DEFAULT = 1;

export function createRuntimeService(
  engine: Engine,
  replies: Pick<ReplyEncoder, "share">,
): ServiceImpl<typeof RuntimeService> {
  return {
    async registerWorkflow({ workflow }, context) {
      if (workflow === undefined) throw new DomainError("REQUEST_INVALID", "workflow is required");
      const view = await engine.registerWorkflow(callerOf(context), definitionFromProto(workflow));
      return { workflow: workflowToProto(view) };
    },

    async getWorkflow({ workflowId, version }, context) {
      const view = await engine.getWorkflow(callerOf(context), workflowId, version);
      return { workflow: workflowToProto(view) };
    },

    async listWorkflows({ filter, pageSize, pageToken }, context) {
      const includeArchived = filter?.archived !== false;
      const request = { pageSize, pageToken, includeArchived, ...optionalFields({ workflowId: filter?.workflowId }) };
      const { workflows, nextPageToken } = await engine.listWorkflows(callerOf(context), request);
      const matching = workflows.filter((workflow) => matchesWorkflowFilter(workflow, filter));
      return { workflows: matching.map(workflowToProto), nextPageToken };
    },

    async setCurrentVersion({ workflowId, version }, context) {
      const view = await engine.setCurrentVersion(callerOf(context), workflowId, version);
      return { workflow: workflowToProto(view) };
    },

    async archiveWorkflow({ workflowId, unarchive }, context) {
      const view = await engine.setArchived(callerOf(context), workflowId, !unarchive);
      return { workflow: workflowToProto(view) };
    },

    async startRun(request, context) {
      const run = await engine.startRun(callerOf(context, request.actorId), startRequestFromProto(request));
      return { run: runToProto(run) };
    },

    async startRuns({ requests }, context) {
      const starts = requests.map((request) => ({
        ...claimedActor(request.actorId),
        request: startRequestFromProto(request),
      }));
      const results = await engine.startRuns(callerOf(context), starts);
      return { results: results.map(startResultToProto) };
    },

    async getRun({ runId, view }, context) {
      if (runViewFromProto(view) === "full") await roomForContent(context);
      const run = await engine.getRun(callerOf(context), runId, runViewFromProto(view));
      return await replies.share(`GetRun/${runText(run)}`, () =>
        create(GetRunResponseSchema, { run: runToProto(run) }),
      );
    },

    async explainRun({ runId }, context) {
      const explanation = await engine.explainRun(callerOf(context), runId);
      return { explanation: explanationToProto(explanation) };
    },

    async listRuns({ filter, order, pageSize, pageToken }, context) {
      const { runs, nextPageToken } = await engine.listRuns(callerOf(context), {
        filter: runFilterFromProto(filter),
        order: runOrderFromProto(order),
        view: "basic",
        pageSize,
        pageToken,
      });
      return { runs: runs.map(runToProtoBasic), nextPageToken };
    },

    async awaitRun({ runId, reasons, timeout }, context) {
      const run = await engine.awaitRun(callerOf(context), {
        runId,
        reasons: waitReasonsFromProto(reasons),
        timeoutMs: timeout === undefined ? AWAIT_TIMEOUT_MS_DEFAULT : msFromDuration(timeout),
        signal: context.signal,
        roomForRun: () => roomForContent(context),
      });
      return await replies.share(`AwaitRun/${runText(run)}`, () =>
        create(AwaitRunResponseSchema, { run: runToProto(run) }),
      );
    },

    async deleteRun({ runId }, context) {
      await engine.deleteRun(callerOf(context), runId);
      return {};
    },

    async listWaits({ filter, pageSize, pageToken }, context) {
      const request = { filter: waitFilterFromProto(filter), pageSize, pageToken };
      const { waits, nextPageToken } = await engine.listWaits(callerOf(context), request);
      return { waits: waits.map(waitToProto), nextPageToken };
    },

    async getWait({ waitId }, context) {
      const wait = await engine.getWait(callerOf(context), waitId);
      return { wait: waitToProto(wait) };
    },

    async resumeRun({ runId, waitId, payload, requestId, actorId }, context) {
      const run = await engine.resumeRun(callerOf(context, actorId), {
        runId,
        waitId,
        payload: jsonFromValue(payload),
        ...optionalFields({ requestId }),
      });
      return { run: runToProto(run) };
    },

    async emitEvent(request, context) {
      return await engine.emitEvent(callerOf(context, request.actorId), emitRequestFromProto(request));
    },

    async cancelRun(request, context) {
      const run = await engine.cancelRun(callerOf(context, request.actorId), controlRequestFromProto(request));
      return { run: runToProto(run) };
    },

    async pauseRun(request, context) {
      const run = await engine.pauseRun(callerOf(context, request.actorId), controlRequestFromProto(request));
      return { run: runToProto(run) };
    },

    async unpauseRun({ runId, actorId }, context) {
      const run = await engine.unpauseRun(callerOf(context, actorId), { runId });
      return { run: runToProto(run) };
    },

    async tickRun({ runId, maxSteps }, context) {
      const request = { runId, maxSteps: maxSteps === 0 ? TICK_STEPS_DEFAULT : maxSteps };
      return { run: runToProto(await engine.tickRun(callerOf(context), request)) };
    },

    async *watchRun({ runId, afterSeq }, context) {
      const messages = engine.watchRun(callerOf(context), { runId, afterSeq, signal: context.signal });
      for await (const message of untilAborted(messages, context.signal)) {
        const { stepRecord } = message;
        const text = stepRecord && recordsText([stepRecord]);
        if (text === undefined) yield runMessageToProto(message);
        else yield await replies.share(`WatchRun/${text}`, () => runMessageToProto(message));
      }
    },

    async *watchRuns({ filter, kinds, cursor }, context: HandlerContext) {
      const request = { filter: runFilterFromProto(filter), kinds: noticeKindsFromProto(kinds), cursor };
      const messages = engine.watchRuns(callerOf(context), { ...request, signal: context.signal });
      for await (const message of untilAborted(messages, context.signal)) yield runsMessageToProto(message);
    },
  };
}

/** Waits until a run with its vars may be read. A call inside the process has no outbox, and waits for nothing. */
async function roomForContent(context: HandlerContext): Promise<(() => void) | undefined> {
  return await context.values.get(outboxKey)?.roomForContent();
}

/** Names what a reply says of a run: a run at one seq is always the same. */
function runText({ state, view, blockedReason }: RunView): string {
  const { tenantId, runId, seq, updateTime, status, paused } = state;
  return [tenantId, runId, seq, updateTime, status, paused, view, blockedReason].join("/");
}

function startResultToProto(result: RunView | DomainError): StartRunsResult {
  return create(StartRunsResultSchema, {
    result:
      result instanceof DomainError
        ? { case: "error", value: refusalToProto(result) }
        : { case: "run", value: runToProtoBasic(result) },
  });
}

function emitRequestFromProto(request: EmitEventRequest): EmitRequest {
  return {
    name: request.name,
    scope: scopeFromProto(request.scope),
    scopeId: request.target.value ?? "",
    key: request.key,
    payload: jsonFromValue(request.payload),
    ...optionalFields({ eventId: request.eventId }),
  };
}

function controlRequestFromProto({ runId, reason }: { runId: string; reason: string }): ControlRequest {
  return { runId, ...optionalFields({ reason }) };
}

function runMessageToProto({ cursor, stepRecord }: RunMessage): WatchRunResponse {
  return create(WatchRunResponseSchema, {
    cursor,
    event:
      stepRecord === undefined
        ? { case: "heartbeat", value: { time: timestampNow() } }
        : { case: "stepRecord", value: stepRecordToProto(stepRecord, { withProof: false }) },
  });
}

function runsMessageToProto({ cursor, notice }: RunsMessage): WatchRunsResponse {
  return create(WatchRunsResponseSchema, {
    cursor,
    event:
      notice === undefined
        ? { case: "heartbeat", value: { time: timestampNow() } }
        : {
            case: "notice",
            value: { noticeId: notice.noticeId, kind: NOTICE_KIND[notice.kind], run: runToProtoBasic(notice.run) },
          },
  });
}
