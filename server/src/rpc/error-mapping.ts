/** Refusals on the wire: the gRPC code of each reason and the google.rpc details that are sent with it. */
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { type Refusal, RefusalSchema } from "@abstractruntime/proto/error_reason_pb";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { DomainError, type ErrorReason, type FieldProblem } from "../core/errors.ts";
import { DeadlineError } from "../engine/deadline.ts";
import { durationFromMs } from "./time-conversion.ts";
import { mapErrors } from "./streams.ts";

/** `domain` of every ErrorInfo. */
const ERROR_DOMAIN = "abstractruntime";

export const CODE_BY_REASON = {
  REQUEST_INVALID: Code.InvalidArgument,
  PAYLOAD_INVALID: Code.InvalidArgument,
  PAYLOAD_TOO_LARGE: Code.InvalidArgument,
  PAYLOAD_TOO_DEEP: Code.InvalidArgument,
  NUMBER_NOT_EXACT: Code.InvalidArgument,
  WORKFLOW_INVALID: Code.InvalidArgument,
  WORKFLOW_UNKNOWN: Code.NotFound,
  WORKFLOW_ARCHIVED: Code.FailedPrecondition,
  VERSION_UNKNOWN: Code.NotFound,
  VARS_INVALID: Code.InvalidArgument,
  RUN_UNKNOWN: Code.NotFound,
  RUN_EXISTS: Code.AlreadyExists,
  RUN_ENDED: Code.FailedPrecondition,
  RUN_NOT_ENDED: Code.FailedPrecondition,
  RUN_NOT_WAITING: Code.FailedPrecondition,
  RUN_NOT_PAUSED: Code.FailedPrecondition,
  WAIT_UNKNOWN: Code.NotFound,
  WAIT_ALREADY_ANSWERED: Code.FailedPrecondition,
  WAIT_NOT_ANSWERABLE: Code.FailedPrecondition,
  ANSWER_INVALID: Code.InvalidArgument,
  STEP_RECORD_UNKNOWN: Code.NotFound,
  CURSOR_INVALID: Code.InvalidArgument,
  CURSOR_EXPIRED: Code.FailedPrecondition,
  PAGE_TOKEN_INVALID: Code.InvalidArgument,
  STREAM_TOO_SLOW: Code.ResourceExhausted,
  TRANSITION_REJECTED: Code.InvalidArgument,
  TRANSITION_CONFLICT: Code.Aborted,
  OVERLOADED: Code.ResourceExhausted,
  DATABASE_UNAVAILABLE: Code.Unavailable,
  DATABASE_MISCONFIGURED: Code.FailedPrecondition,
  DATA_DAMAGED: Code.DataLoss,
  SHUTTING_DOWN: Code.Unavailable,
  ORIGIN_REFUSED: Code.PermissionDenied,
  HOST_REFUSED: Code.PermissionDenied,
  RPC_UNKNOWN: Code.Unimplemented,
  JOB_UNKNOWN: Code.FailedPrecondition,
  JOB_LEASE_LOST: Code.FailedPrecondition,
  JOB_SETTLED: Code.FailedPrecondition,
  JOB_CANCELLED: Code.FailedPrecondition,
  WORKER_SESSION_REPLACED: Code.Aborted,
  WORKER_SILENT: Code.Unavailable,
} as const satisfies Record<ErrorReason, Code>;

/** Temporary refusals: the delay in RetryInfo if the refusal has none of its own. */
const RETRY_AFTER_MS: Partial<Record<ErrorReason, number>> = {
  OVERLOADED: 1_000,
  STREAM_TOO_SLOW: 1_000,
};

/** How many problems the message names; all of them are in the details. */
const PROBLEMS_IN_MESSAGE = 3;
/** The message is sent percent-encoded in a header, where it may be three times as long. */
const MESSAGE_CHARS_MAX = 1_024;
/** gRPC sends details as base64 in a trailer, and standard clients accept at most 8 KiB of headers. */
const DETAIL_BYTES_MAX_GRPC = 4 * 1_024;
/** The other protocols send details in the body. */
const DETAIL_BYTES_MAX = 256 * 1_024;
/** Metadata values are ids and bounds. A longer value is a bug, which should not prevent the reply. */
const METADATA_CHARS_MAX = 256;

/** The message for people: what is wrong, and the first three problems. */
export function refusalMessage(error: DomainError): string {
  const { problems } = error;
  if (problems.length === 0) return shortened(error.message, MESSAGE_CHARS_MAX);
  const named = problems.slice(0, PROBLEMS_IN_MESSAGE).map(problemText).join("; ");
  const rest = problems.length - PROBLEMS_IN_MESSAGE;
  const more = rest > 0 ? `; and ${rest} more` : "";
  return shortened(`${error.message.replace(/[.:]$/, "")}: ${named}`, MESSAGE_CHARS_MAX - more.length) + more;
}

function problemText(problem: FieldProblem): string {
  return problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`;
}

/** Returns the error that connect sends for a refusal.
 *  @param options.inHeaders whether the details are sent in headers (gRPC), which have less room
 *  @param options.code the code, if a protocol requires another one than the reason's */
export function refusalToConnectError(
  error: DomainError,
  options: { inHeaders?: boolean; code?: Code } = {},
): ConnectError {
  const details: NonNullable<ConstructorParameters<typeof ConnectError>[3]> = [
    {
      desc: ErrorInfoSchema,
      value: { reason: error.reason, domain: ERROR_DOMAIN, metadata: metadataOf(error) },
    },
  ];
  const violations = fieldViolations(error.problems, options.inHeaders ? DETAIL_BYTES_MAX_GRPC : DETAIL_BYTES_MAX);
  if (violations.length > 0) details.push({ desc: BadRequestSchema, value: { fieldViolations: violations } });
  const retryAfterMs = error.retryAfterMs ?? RETRY_AFTER_MS[error.reason];
  if (retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs) } });
  }
  const code = options.code ?? CODE_BY_REASON[error.reason];
  return new ConnectError(refusalMessage(error), code, undefined, details, error);
}

/** Returns the refusal of one request of a batch, which is sent inside a reply. */
export function refusalToProto(error: DomainError): Refusal {
  return create(RefusalSchema, {
    code: CODE_BY_REASON[error.reason],
    reason: error.reason,
    message: refusalMessage(error),
    metadata: metadataOf(error),
  });
}

function metadataOf(error: DomainError): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(error.metadata)) metadata[key] = shortened(value, METADATA_CHARS_MAX);
  if (error.problems.length > 0) metadata["problems"] ??= String(error.problems.length);
  return metadata;
}

function fieldViolations(problems: readonly FieldProblem[], bytesMax: number) {
  const violations: { field: string; description: string; reason: string }[] = [];
  let bytes = 0;
  for (const { path, message } of problems) {
    const field = path.toWellFormed();
    const description = shortened(message, MESSAGE_CHARS_MAX);
    bytes += Buffer.byteLength(field) + Buffer.byteLength(description) + 8;
    if (bytes > bytesMax) break;
    violations.push({ field, description, reason: "" });
  }
  return violations;
}

/** Returns well-formed text of at most `charsMax` characters. gRPC percent-encodes it, which throws on a lone
 *  surrogate. */
function shortened(text: string, charsMax: number): string {
  return (text.length > charsMax ? `${text.slice(0, charsMax - 1)}…` : text).toWellFormed();
}

/** Returns the error that the caller receives for anything that was thrown. A bug becomes INTERNAL without its
 *  message; the cause is kept for the log. */
export function toConnectError(error: unknown, options: { inHeaders?: boolean } = {}): ConnectError {
  // gRPC has a code of its own for the caller's own deadline.
  if (error instanceof DeadlineError && error.isOfCaller) {
    return refusalToConnectError(error, { ...options, code: Code.DeadlineExceeded });
  }
  if (error instanceof DomainError) return refusalToConnectError(error, options);
  if (error instanceof ConnectError) return withShortMessage(error);
  return new ConnectError("internal error", Code.Internal, undefined, undefined, error);
}

/** The caller chooses what a message quotes, and gRPC sends it in a header: a long one ends the connection. */
function withShortMessage(error: ConnectError): ConnectError {
  const { rawMessage, code, metadata, details, cause } = error;
  const message = shortened(rawMessage, MESSAGE_CHARS_MAX);
  if (message === rawMessage) return error;
  return Object.assign(new ConnectError(message, code, metadata, undefined, cause), { details });
}

/** Maps errors that services throw, before and during streams. An aborted call fails with the reason of the abort:
 *  the client's deadline, a closed connection, a stopping server, or a slow reader. */
export function mapErrorsInterceptor(): Interceptor {
  return (next) => async (request) => {
    const inHeaders = isNativeGrpc(request.header.get("content-type") ?? "");
    const map = (error: unknown): ConnectError => {
      const isRefusal = error instanceof DomainError || error instanceof ConnectError;
      if (isRefusal || !request.signal.aborted) return toConnectError(error, { inHeaders });
      return abortToConnectError(request.signal.reason, { inHeaders });
    };
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapErrors(response.message, map) } : response;
    } catch (error) {
      throw map(error);
    }
  };
}

function abortToConnectError(reason: unknown, options: { inHeaders?: boolean }): ConnectError {
  if (reason instanceof DomainError) return refusalToConnectError(reason, options);
  return ConnectError.from(reason, Code.Canceled);
}

/** Whether a request is native gRPC, not gRPC-Web: its status is sent in trailers. */
export function isNativeGrpc(contentType: string): boolean {
  return contentType.startsWith("application/grpc") && !contentType.startsWith("application/grpc-web");
}
