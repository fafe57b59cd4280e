/**
 * What errors of Postgres and of the connection mean here. This file names every SQLSTATE that is not a refusal of the
 * statement's own data (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
import {
  BatchContendedError,
  BatchOutcomeUnknownError,
  BatchRejectedError,
  LaneFencedError,
  StoreUnavailableError,
  type TroubleKind,
} from "../contract/errors.ts";

/** Raised by `commit_batch`. */
const LANE_ENDED = "AR001";
const BATCH_DECIDED = "AR002";

/** The transaction was aborted in favour of another: nothing of it was committed, and it may succeed if repeated. */
const CONTENTION = new Set([
  "40001", // serialization_failure
  "40P01", // deadlock_detected
  "55P03", // lock_not_available: lock_timeout
]);

/** The connection was lost while the statement ran, so its outcome is unknown. */
const LOST = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P04", // database_dropped
  "57P05", // idle_session_timeout
  "25P03", // idle_in_transaction_session_timeout
  "25P04", // transaction_timeout
  "08000", // connection_exception
  "08003", // connection_does_not_exist
  "08006", // connection_failure
  "08007", // transaction_resolution_unknown
  "08P01", // protocol_violation: sent by a pooler that lost its server
]);

/** The kind of trouble behind an error, by SQLSTATE; all other states of a class are in `KINDS_BY_CLASS`. */
const KINDS: Readonly<Record<string, TroubleKind>> = {
  CONNECT_TIMEOUT: "unreachable",
  CONNECTION_ENDED: "unreachable", // the pool was already closed
  "57P03": "unreachable", // cannot_connect_now: starting up or shutting down
  "57014": "timed_out", // query_canceled: a statement_timeout of the role or the database
  "25006": "refuses_writes", // read_only_sql_transaction
  "53100": "disk_full",
  "53300": "no_connections", // too_many_connections
  "3D000": "login_refused", // invalid_catalog_name: the database is gone
  SASL_SIGNATURE_MISMATCH: "login_refused",
  AUTH_TYPE_NOT_IMPLEMENTED: "login_refused",
  "42501": "permission_denied",
  "42P01": "schema_missing", // undefined_table
  "42703": "schema_missing", // undefined_column
  "42883": "schema_missing", // undefined_function
  "3F000": "schema_missing", // invalid_schema_name
  "26000": "failing", // invalid_sql_statement_name: a pooler that keeps no prepared statements
  "42P05": "failing", // duplicate_prepared_statement: the same
};

const KINDS_BY_CLASS: Readonly<Record<string, TroubleKind>> = {
  "08": "unreachable", // connection exceptions
  "25": "failing", // invalid transaction state
  "28": "login_refused", // invalid authorization: password, role, pg_hba.conf
  "40": "contended",
  "53": "failing", // insufficient resources
  "55": "failing", // object not in prerequisite state
  "57": "unreachable", // operator intervention
  "58": "failing", // system errors: input and output
  F0: "failing", // configuration file
  XX: "failing", // internal errors: damaged data
};

/** PgBouncer has one code for everything. */
const POOLER_FULL = /no more connections allowed|client connections exceeded/;

/** Codes of the operating system and of TLS while a connection is opened or in use. */
const NETWORK = /^(E[A-Z]{3,}|ERR_(TLS|SSL)_\w+|UNABLE_TO_\w+|(DEPTH_ZERO_)?SELF_SIGNED_CERT\w*|CERT_\w+)$/;

/** Classes of errors in the data of the statement, not in the database. */
const DATA_CLASSES = new Set([
  "21", // cardinality violation
  "22", // data exception
  "23", // integrity constraint violation
  "44", // with check option violation
  "54", // program limit exceeded: an index entry that is too long
]);

/**
 * How often a statement that lost against others is repeated. Does not apply to commits: the lane knows which part of
 * one may be repeated.
 */
const CONTENTION_RETRIES_MAX = 3;

/** A reply that did not arrive in time. Its connection was destroyed, so the outcome of the statement is unknown. */
export class CallTimeoutError extends Error {}

/** A connection that could not be opened: the statement was never sent. */
export class NotConnectedError extends Error {
  readonly code: string;

  constructor(cause: unknown) {
    super(messageOf(cause), { cause });
    this.code = codeOf(cause);
  }
}

/** All connections that the call may use were in use until its time was up. The statement was never sent. */
export class NoRoomError extends Error {}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Returns the kind of the trouble that the database has, or undefined if the error says nothing about it. */
function troubleKindOf(error: unknown): TroubleKind | undefined {
  if (error instanceof CallTimeoutError) return "timed_out";
  if (error instanceof NoRoomError) return "busy";
  const code = codeOf(error);
  if (CONTENTION.has(code)) return "contended";
  if (code === "08P01" && POOLER_FULL.test(messageOf(error))) return "no_connections";
  if (LOST.has(code) || NETWORK.test(code)) return "unreachable";
  const kind = KINDS[code] ?? (code.length === 5 ? KINDS_BY_CLASS[code.slice(0, 2)] : undefined);
  return kind ?? (error instanceof NotConnectedError ? "unreachable" : undefined);
}

/** Whether the database refused to open another connection. */
export function isOutOfConnections(error: unknown): boolean {
  return troubleKindOf(error) === "no_connections";
}

/** Whether the connection of the statement cannot be used again. */
export function isConnectionLost(error: unknown): boolean {
  return troubleKindOf(error) === "unreachable";
}

/** Whether the statement lost against others, so that nothing of it was committed. */
export function isContention(error: unknown): boolean {
  return CONTENTION.has(codeOf(error));
}

/** Whether a statement failed because of what is in its data, such as text that is no JSON. */
export function isDataError(error: unknown): boolean {
  return codeOf(error).startsWith("22");
}

/** Whether a step record already exists at the place of a new one. */
export function isPlaceTaken(error: unknown): boolean {
  const constraint = (error as { constraint_name?: string } | null)?.constraint_name;
  return codeOf(error) === "23505" && constraint === "step_records_tenant_id_run_id_seq_pk";
}

/** Whether a lock was not granted within lock_timeout. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === "55P03";
}

/** Whether a statement may have been committed although it failed. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (error instanceof NotConnectedError) return false;
  return error instanceof CallTimeoutError || LOST.has(codeOf(error));
}

/** Runs `work`, and repeats it while it loses against others. */
export async function attempt<T>(work: () => Promise<T> | T): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await work();
    } catch (error) {
      if (retry >= CONTENTION_RETRIES_MAX || !isContention(error)) throw error;
    }
  }
}

/**
 * Maps the error of a statement other than a commit: refusals stay, and everything else is a failure of the database.
 */
export function storeErrorOf(error: unknown): Error {
  const kind = troubleKindOf(error);
  if (kind !== undefined) return unavailable(error, kind);
  return error instanceof Error ? error : new Error(String(error));
}

/** Maps the error of a failed `commit_batch` for its batch. */
export function commitErrorOf(error: unknown): Error {
  const code = codeOf(error);
  const options = { cause: error };
  if (code === LANE_ENDED) return new LaneFencedError("the lane's lease has ended", options);
  // This statement may have used it, or one before it: `batches.resolve` knows.
  if (code === BATCH_DECIDED)
    return new BatchOutcomeUnknownError("the batch number was already used or voided", options);
  if (isOutcomeUnknown(error)) {
    return new BatchOutcomeUnknownError(messageOf(error), { kind: troubleKindOf(error) ?? "unreachable", ...options });
  }
  if (isContention(error)) return new BatchContendedError(messageOf(error), options);
  if (DATA_CLASSES.has(code.slice(0, 2))) return new BatchRejectedError(messageOf(error), options);
  // In all other cases the database cannot work at all: a full disk, a standby, a missing migration. If that were taken
  // for a refusal of this batch, it would fail runs that have no fault.
  return unavailable(error, troubleKindOf(error) ?? "failing");
}

function unavailable(error: unknown, kind: TroubleKind): StoreUnavailableError {
  const code = codeOf(error);
  return new StoreUnavailableError(messageOf(error), { kind, ...(code === "" ? {} : { code }), cause: error });
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text === "" ? codeOf(error) : text;
}
