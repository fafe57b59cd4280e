/** Why a request was refused. `error_reason.proto` documents each; `rpc/error-mapping.ts` maps each to a gRPC code. */
export type ErrorReason =
  | "REQUEST_INVALID"
  | "PAYLOAD_INVALID"
  | "PAYLOAD_TOO_LARGE"
  | "PAYLOAD_TOO_DEEP"
  | "NUMBER_NOT_EXACT"
  | "WORKFLOW_INVALID"
  | "WORKFLOW_UNKNOWN"
  | "WORKFLOW_ARCHIVED"
  | "VERSION_UNKNOWN"
  | "VARS_INVALID"
  | "RUN_UNKNOWN"
  | "RUN_EXISTS"
  | "RUN_ENDED"
  | "RUN_NOT_ENDED"
  | "RUN_NOT_WAITING"
  | "RUN_NOT_PAUSED"
  | "WAIT_UNKNOWN"
  | "WAIT_ALREADY_ANSWERED"
  | "WAIT_NOT_ANSWERABLE"
  | "ANSWER_INVALID"
  | "STEP_RECORD_UNKNOWN"
  | "CURSOR_INVALID"
  | "CURSOR_EXPIRED"
  | "PAGE_TOKEN_INVALID"
  | "STREAM_TOO_SLOW"
  | "TRANSITION_REJECTED"
  | "TRANSITION_CONFLICT"
  | "OVERLOADED"
  | "DATABASE_UNAVAILABLE"
  | "DATABASE_MISCONFIGURED"
  | "DATA_DAMAGED"
  | "SHUTTING_DOWN"
  | "ORIGIN_REFUSED"
  | "HOST_REFUSED"
  | "RPC_UNKNOWN"
  | "JOB_UNKNOWN"
  | "JOB_LEASE_LOST"
  | "JOB_SETTLED"
  | "JOB_CANCELLED"
  | "WORKER_SESSION_REPLACED"
  | "WORKER_SILENT";

/** One problem of a request or a graph: its field path, such as `nodes.ask.askUser.prompt`, and what is wrong there. */
export type FieldProblem = { path: string; message: string };

/** A refusal: the caller can act on it. Everything else that is thrown is a bug or a database fault. */
export class DomainError extends Error {
  readonly reason: ErrorReason;
  /** Small strings for programs: ids, bounds. Never payloads. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every problem found, not only the first. */
  readonly problems: readonly FieldProblem[];
  /** How long to wait before trying again, milliseconds; only for limits. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: ErrorReason,
    message: string,
    options: { metadata?: Record<string, string>; problems?: FieldProblem[]; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.name = "DomainError";
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.problems = options.problems ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}
