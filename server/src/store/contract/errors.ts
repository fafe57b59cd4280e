/** What a verb throws beside refusals. */
import { DomainError } from "../../core/errors.ts";

/** How long callers should leave a database that is away alone. */
const UNAVAILABLE_RETRY_AFTER_MS = 1_000;

/** The database cannot be reached, or is starting or stopping. A refusal, because callers can act on it: ask again. */
export class StoreUnavailableError extends DomainError {
  /** @param why for the log; callers are not told how the database is reached */
  constructor(why: string, options: ErrorOptions = {}) {
    super("DATABASE_UNAVAILABLE", "The database cannot be reached now; ask again.", {
      retryAfterMs: UNAVAILABLE_RETRY_AFTER_MS,
    });
    this.cause = options.cause ?? new Error(why);
  }
}

/** The connection died while a batch was being committed: ask `batches.resolve` before anything else. */
export class BatchOutcomeUnknownError extends Error {}

/** The lane's lease has ended: nothing of this batch was or will be committed. */
export class LaneFencedError extends StoreUnavailableError {}

/** The database refuses this batch for what is in it (not transient). */
export class BatchRejectedError extends Error {}

/**
 * Nothing of the batch was committed: for `lock_timeout` somebody held a lock that it needs (a channel's), or it was
 * given up for another in a deadlock. Again, or in parts, it may succeed.
 */
export class BatchContendedError extends Error {}
