/** Errors that a verb throws besides refusals. */
import { DomainError } from "../../core/errors.ts";

/** How long callers should wait before they try an unavailable database again. */
const UNAVAILABLE_RETRY_AFTER_MS = 1_000;

/** The database cannot be reached, or is starting or stopping. It is a refusal because callers can act on it: retry. */
export class StoreUnavailableError extends DomainError {
  /** @param why for the log; callers are not told how the database is reached */
  constructor(why: string, options: ErrorOptions = {}) {
    super("DATABASE_UNAVAILABLE", "The database cannot be reached now; retry.", {
      retryAfterMs: UNAVAILABLE_RETRY_AFTER_MS,
    });
    this.cause = options.cause ?? new Error(why);
  }
}

/** The connection died while a batch was being committed. Call `batches.resolve` before anything else. */
export class BatchOutcomeUnknownError extends Error {}

/** The lane's lease has ended. Nothing of this batch was committed or will be. */
export class LaneFencedError extends StoreUnavailableError {}

/** The database refuses this batch because of its content. Not transient. */
export class BatchRejectedError extends Error {}

/**
 * Nothing of the batch was committed: another transaction kept a lock that it needs (a channel's) for `lock_timeout`,
 * or the database ended it to resolve a deadlock. It may succeed if it is sent again, whole or in parts.
 */
export class BatchContendedError extends Error {}
