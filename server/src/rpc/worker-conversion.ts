/** Converts workers and the frames of their streams to and from the engine's types. */
import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import {
  type CustomType,
  CustomTypeSchema,
  type HandledWorkflow,
  type Tool,
  ToolSchema,
  type Worker,
  WorkerSchema,
} from "@abstractruntime/proto/worker_pb";
import {
  type Job,
  JobKind,
  type JobResult,
  JobSchema,
  type LargeVar,
  LargeVarSchema,
  ResultStatus,
  type WorkerHello,
  type WorkRequest,
  type WorkResponse,
  WorkResponseSchema,
} from "@abstractruntime/proto/worker_service_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DomainError } from "../core/errors.ts";
import { type Json, parseJson } from "../core/json/json.ts";
import type * as engine from "../engine/api.ts";
import { durationFromMs, timestampFromInstant } from "./time-conversion.ts";

export const JOB_KIND = {
  tool: JobKind.TOOL,
  handler: JobKind.HANDLER,
  custom: JobKind.CUSTOM,
} as const satisfies Record<engine.OfferedJob["kind"], JobKind>;

const DELIVERY = {
  at_least_once: Delivery.AT_LEAST_ONCE,
  at_most_once: Delivery.AT_MOST_ONCE,
} as const satisfies Record<engine.OfferedJob["delivery"], Delivery>;

const RESULT_STATUS = {
  accepted: ResultStatus.ACCEPTED,
  duplicate: ResultStatus.DUPLICATE,
  refused: ResultStatus.REFUSED,
} as const satisfies Record<engine.JobResultAck["status"], ResultStatus>;

/** A byte order mark stays in the text, and is refused as what it is in JSON: an unexpected character (RFC 8259). */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of a failure's details. */
const DETAILS_BYTES_MAX = 64 * 1024;
/** A larger output is refused without being decoded. */
const OUTPUT_BYTES_MAX = 2 * 1024 * 1024;

export function helloFromProto(hello: WorkerHello): engine.WorkerHello {
  return {
    workerSessionId: hello.workerSessionId,
    name: hello.name,
    tools: hello.tools.map(toolFromProto),
    workflows: hello.workflows.map(({ workflowId, versions }: HandledWorkflow) => ({ workflowId, versions })),
    customTypes: hello.customTypes.map(({ type, delivery, concurrency }: CustomType) => ({
      type,
      concurrency,
      ...deliveryFromProto(delivery),
    })),
    heldTokens: hello.heldTokens,
    keptVarsBytes: Number(hello.keptVarsBytes),
  };
}

function toolFromProto(tool: Tool, index: number): engine.StoredTool {
  const { name, version, description, concurrency } = tool;
  const inputSchema = textFromBytes(tool.inputSchema);
  if (inputSchema === undefined) {
    const problems = [{ path: `hello.tools[${index}].inputSchema`, message: "is not UTF-8" }];
    throw new DomainError("REQUEST_INVALID", "The hello is not valid.", { problems });
  }
  return { name, version, description, concurrency, inputSchema, ...deliveryFromProto(tool.delivery) };
}

function deliveryFromProto(delivery: Delivery): Pick<engine.StoredTool, "delivery"> {
  switch (delivery) {
    case Delivery.AT_LEAST_ONCE:
      return { delivery: "at_least_once" };
    case Delivery.AT_MOST_ONCE:
      return { delivery: "at_most_once" };
    default:
      return {};
  }
}

/** @throws {DomainError} REQUEST_INVALID if it is a second hello */
export function frameFromProto({ frame }: WorkRequest): engine.WorkerFrame {
  switch (frame.case) {
    case "credit":
      return { type: "credit", jobs: frame.value.jobs };
    case "accept":
    case "heartbeat":
      return { type: frame.case, tokens: frame.value.tokens };
    case "result":
      return { type: "result", results: frame.value.results.map(resultFromProto) };
    case "drain":
    case "goodbye":
    case "pong":
      return { type: frame.case };
    default:
      throw frameInvalid("hello", "may only be the first frame");
  }
}

export function frameInvalid(path: string, message: string): DomainError {
  return new DomainError("REQUEST_INVALID", "The frame is not valid here.", { problems: [{ path, message }] });
}

/** An output that is not UTF-8, or far too large, becomes a failure: it fails the job, not the stream. */
function resultFromProto({ token, outcome }: JobResult): engine.JobResult {
  if (outcome.case !== "failure") {
    const bytes = outcome.value ?? new Uint8Array();
    const output = bytes.length > OUTPUT_BYTES_MAX ? undefined : textFromBytes(bytes);
    return output === undefined ? { token, outcome: { failure: notText(bytes) } } : { token, outcome: { output } };
  }
  const { code, message, nonRetryable, details } = outcome.value;
  const known = detailsFromBytes(details);
  const failure = { code, message, nonRetryable, ...(known === undefined ? {} : { details: known }) };
  return { token, outcome: { failure } };
}

function notText(bytes: Uint8Array): { code: string; message: string; nonRetryable: boolean } {
  const isLarge = bytes.length > OUTPUT_BYTES_MAX;
  const message = isLarge ? `The result is too large: ${bytes.length} bytes.` : "The result is not UTF-8.";
  return { code: "RESULT_INVALID", message, nonRetryable: true };
}

function detailsFromBytes(bytes: Uint8Array): Json | undefined {
  if (bytes.length === 0 || bytes.length > DETAILS_BYTES_MAX) return undefined;
  try {
    return parseJson(textFromBytes(bytes) ?? "", { bytesMax: DETAILS_BYTES_MAX });
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
}

function textFromBytes(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function frameToProto(frame: engine.ServerFrame): WorkResponse {
  return create(WorkResponseSchema, { frame: initOf(frame) });
}

function initOf(frame: engine.ServerFrame): NonNullable<MessageInitShape<typeof WorkResponseSchema>["frame"]> {
  switch (frame.type) {
    case "welcome": {
      const { serverId, pingMs, silenceMs, acceptMs } = frame;
      return {
        case: "welcome",
        value: {
          serverId,
          pingInterval: durationFromMs(pingMs),
          silenceTimeout: durationFromMs(silenceMs),
          acceptTimeout: durationFromMs(acceptMs),
        },
      };
    }
    case "offer":
      return { case: "offer", value: { jobs: frame.jobs.map(jobToProto) } };
    case "start":
    case "cancel":
      return { case: frame.type, value: { tokens: [...frame.tokens] } };
    case "lease_lost":
      return { case: "leaseLost", value: { tokens: [...frame.tokens] } };
    case "pause":
      return { case: "pause", value: { tokens: [...frame.tokens], paused: frame.paused } };
    case "result_ack": {
      const acks = frame.acks.map(({ token, status, reason }) => ({
        token,
        status: RESULT_STATUS[status],
        reason: reason ?? "",
      }));
      return { case: "resultAck", value: { acks } };
    }
    case "ping":
      return { case: "ping", value: { number: BigInt(frame.number) } };
  }
}

function jobToProto(job: engine.OfferedJob): Job {
  const { token, name, runId, workflowId, version, nodeId, idempotencyKey, attempt, leaseNumber } = job;
  return create(JobSchema, {
    token,
    kind: JOB_KIND[job.kind],
    name,
    payload: Buffer.from(job.payload),
    runId,
    workflowId,
    version,
    nodeId,
    callId: job.callId ?? "",
    idempotencyKey,
    attempt,
    leaseNumber,
    timeout: durationFromMs(job.timeoutMs),
    ...(job.heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeout: durationFromMs(job.heartbeatTimeoutMs) }),
    delivery: DELIVERY[job.delivery],
    sessionId: job.sessionId ?? "",
    ...(job.largeVars === undefined ? {} : { largeVars: job.largeVars.map(largeVarToProto) }),
    ...(job.forgottenVars === undefined ? {} : { forgottenVars: job.forgottenVars.map(BigInt) }),
  });
}

function largeVarToProto({ name, id, text }: engine.OfferedVar): LargeVar {
  const value = text === undefined ? {} : { value: Buffer.from(text) };
  return create(LargeVarSchema, { name, id: BigInt(id), ...value });
}

export function workerToProto(worker: engine.WorkerView): Worker {
  const { workerSessionId, actorId, name, serverId, connectTime, draining, damage } = worker;
  return create(WorkerSchema, {
    workerSessionId,
    actorId: actorId ?? "",
    name,
    serverId,
    connectTime: timestampFromInstant(connectTime),
    draining,
    damage: damage?.message ?? "",
    tools: worker.tools.map((tool) =>
      create(ToolSchema, {
        name: tool.name,
        version: tool.version,
        description: tool.description,
        inputSchema: Buffer.from(tool.inputSchema),
        concurrency: tool.concurrency,
        ...(tool.delivery === undefined ? {} : { delivery: DELIVERY[tool.delivery] }),
      }),
    ),
    workflows: worker.workflows.map(({ workflowId, versions }) => ({ workflowId, versions: [...versions] })),
    customTypes: worker.customTypes.map(({ type, concurrency, delivery }) =>
      create(CustomTypeSchema, {
        type,
        concurrency,
        ...(delivery === undefined ? {} : { delivery: DELIVERY[delivery] }),
      }),
    ),
  });
}
