/** What calls throw: a refusal of the server, a run that did not complete, or a server that cannot be reached. */
import type { ErrorReason } from "@abstractruntime/proto/error_reason_pb";
import { ErrorReason as Reasons } from "@abstractruntime/proto/error_reason_pb";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { Json } from "./json.ts";

/** Why a request was refused: the names of the contract's ErrorReason. `UNKNOWN`: a reason of a later release, or an
 *  error of the server without a reason; use the code. */
export type RefusalReason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED"> | "UNKNOWN";

/** The gRPC status of a refusal, in lower case. */
export type RefusalCode = (typeof CODE_NAMES)[Code];

/** What is wrong with one field of a request. */
export type FieldProblem = {
  /** Where, such as `nodes.ask.askUser.prompt`. */
  readonly path: string;
  readonly message: string;
};

const CODE_NAMES = {
  [Code.Canceled]: "canceled",
  [Code.Unknown]: "unknown",
  [Code.InvalidArgument]: "invalid_argument",
  [Code.DeadlineExceeded]: "deadline_exceeded",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "permission_denied",
  [Code.ResourceExhausted]: "resource_exhausted",
  [Code.FailedPrecondition]: "failed_precondition",
  [Code.Aborted]: "aborted",
  [Code.OutOfRange]: "out_of_range",
  [Code.Unimplemented]: "unimplemented",
  [Code.Internal]: "internal",
  [Code.Unavailable]: "unavailable",
  [Code.DataLoss]: "data_loss",
  [Code.Unauthenticated]: "unauthenticated",
} as const satisfies Record<Code, string>;

/** The server refused the request. The request changed nothing, unless the reason is DATABASE_UNAVAILABLE or
 *  UNKNOWN. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly reason: RefusalReason;
  readonly code: RefusalCode;
  /** Small strings for programs, such as `run_id`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with the fields of the request; empty if the refusal is not about fields. */
  readonly problems: readonly FieldProblem[];
  /** After how long to try again, if the server said. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: RefusalReason,
    message: string,
    details: {
      code: RefusalCode;
      metadata?: Readonly<Record<string, string>>;
      problems?: readonly FieldProblem[];
      retryAfterMs?: number | undefined;
      cause?: unknown;
    },
  ) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.reason = reason;
    this.code = details.code;
    this.metadata = details.metadata ?? {};
    this.problems = details.problems ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** The run ended FAILED. The failure is data of the run: asking again returns the same failure. */
export class RunFailedError extends Error {
  override readonly name: string = "RunFailedError";
  readonly runId: string;
  /** What failed, for programs. */
  readonly code: string;
  /** The node that failed. */
  readonly nodeId: string | undefined;
  /** What else is known. */
  readonly details: Json | undefined;

  constructor(
    runId: string,
    failure: { code: string; message: string; nodeId?: string | undefined; details?: Json | undefined },
  ) {
    super(failure.message === "" ? failure.code : failure.message);
    this.runId = runId;
    this.code = failure.code;
    this.nodeId = failure.nodeId;
    this.details = failure.details;
  }
}

/** The run was cancelled. Its `code` is CANCELLED. */
export class RunCancelledError extends RunFailedError {
  override readonly name = "RunCancelledError";

  constructor(runId: string) {
    super(runId, { code: "CANCELLED", message: "the run was cancelled" });
  }
}

/** No server could be reached in time, or the client is closed. A request that changes something may have been carried
 *  out. It is safe to call again with the same `runId`, `requestId` or `eventId`. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly addresses: readonly string[];

  constructor(message: string, addresses: readonly string[], options?: { cause?: unknown }) {
    super(message, options);
    this.addresses = addresses;
  }
}

/** The `domain` of every ErrorInfo of the contract. */
const ERROR_DOMAIN = "abstractruntime";

/** The refusal that an error carries. Its reason is UNKNOWN if the ErrorInfo is missing. */
export function refusalOf(error: ConnectError): RefusedError {
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === ERROR_DOMAIN);
  const [retry] = error.findDetails(RetryInfoSchema);
  const delay = retry?.retryDelay;
  const problems = error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations)
    .map(({ field, description }) => ({ path: field, message: description }));
  return new RefusedError(isReason(info?.reason) ? info.reason : "UNKNOWN", error.rawMessage, {
    code: CODE_NAMES[error.code],
    metadata: info?.metadata ?? {},
    problems,
    retryAfterMs: delay === undefined ? undefined : Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000,
    cause: error,
  });
}

/** Whether a server of the contract sent the error. Otherwise it comes from a broken connection or a proxy. */
export function isRefusal(error: ConnectError): boolean {
  return error.findDetails(ErrorInfoSchema).some(({ domain }) => domain === ERROR_DOMAIN);
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  const message: unknown = thrown instanceof Error ? thrown.message : thrown;
  return String(message);
}

function isReason(text: string | undefined): text is RefusalReason {
  return text !== undefined && text !== "UNSPECIFIED" && Object.hasOwn(Reasons, text);
}
