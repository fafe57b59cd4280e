/**
 * What errors of Postgres and of the connection mean here. This file names every SQLSTATE that is transient
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
import {
  BatchContendedError,
  BatchOutcomeUnknownError,
  BatchRejectedError,
  LaneFencedError,
  StoreUnavailableError,
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

/** The connection could not be opened, so the statement was never sent. */
const NEVER_SENT = new Set([
  "CONNECT_TIMEOUT",
  "CONNECTION_ENDED", // the pool was already closed
  "ECONNREFUSED",
  "ENOENT", // no socket file
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "57P03", // cannot_connect_now: starting up or shutting down
  "53300", // too_many_connections
  "08001", // sqlclient_unable_to_establish_sqlconnection
  "08004", // sqlserver_rejected_establishment_of_sqlconnection
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
  "57P05", // idle_session_timeout
  "25P03", // idle_in_transaction_session_timeout
  "08000", // connection_exception
  "08003", // connection_does_not_exist
  "08006", // connection_failure
  "08007", // transaction_resolution_unknown
  "08P01", // protocol_violation: sent by a pooler that lost its server
]);

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

/**
 * A statement without a reply for this long is abandoned: the database hangs, or the network is cut. Far above the time
 * of any statement of this store, and far below the time that TCP takes to notice.
 */
const CALL_TIMEOUT_MS = 15_000;

/** A reply that did not arrive in time. */
class CallTimeoutError extends Error {}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Whether the statement lost against others, so that nothing of it was committed. */
function isContention(error: unknown): boolean {
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
  return error instanceof CallTimeoutError || LOST.has(codeOf(error));
}

/** Runs `work`, repeats it while it loses against others, and abandons it if there is no reply. */
export async function attempt<T>(work: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await withTimeout(work());
    } catch (error) {
      if (retry >= CONTENTION_RETRIES_MAX || !isContention(error)) throw error;
    }
  }
}

/** Abandons `work` if there is no reply. */
export async function withTimeout<T>(work: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    timeout.reject(new CallTimeoutError(`no reply from the database within ${CALL_TIMEOUT_MS} ms`));
  }, CALL_TIMEOUT_MS);
  try {
    return await Promise.race([work, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Maps the error of a statement other than a commit: refusals stay, and everything else is a failure of the database.
 */
export function storeErrorOf(error: unknown): Error {
  const code = codeOf(error);
  const isFault =
    NEVER_SENT.has(code) || isOutcomeUnknown(error) || isContention(error) || /^(25|53|55|57|58|XX)/.test(code);
  if (isFault) return unavailable(error);
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
  if (isOutcomeUnknown(error)) return new BatchOutcomeUnknownError(messageOf(error), options);
  if (isContention(error)) return new BatchContendedError(messageOf(error), options);
  if (DATA_CLASSES.has(code.slice(0, 2))) return new BatchRejectedError(messageOf(error), options);
  // In all other cases the database cannot work at all: a full disk, a standby, a missing migration. If that were taken
  // for a refusal of this batch, it would fail runs that have no fault.
  return unavailable(error);
}

function unavailable(error: unknown): StoreUnavailableError {
  return new StoreUnavailableError(`the database is unavailable: ${messageOf(error)}`, { cause: error });
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text === "" ? codeOf(error) : text;
}
