/** Errors that a verb throws besides refusals. */
import { DomainError } from "../../core/errors.ts";

/** How long callers should wait before they try an unavailable database again. */
const UNAVAILABLE_RETRY_AFTER_MS = 1_000;

/**
 * What kind of trouble a database has, with the sentence for callers. Those of the first group pass, so the caller is
 * asked to retry. Those of the second stay until an operator acts.
 */
const PASSING = {
  unreachable: "The database cannot be reached now; retry.",
  timed_out: "The database did not answer in time; retry.",
  refuses_writes: "The database accepts no writes now, because it is read-only or a standby; retry.",
  disk_full: "The database has no room on its disk; retry when there is some.",
  no_connections: "The database accepts no more connections now; retry.",
  contended: "Another transaction keeps a row locked that this request needs; retry.",
  no_lease: "The server has no lease on the database now; retry.",
  busy: "All connections of this server to its database are in use; retry.",
  failing: "The database failed; retry.",
} as const;
const LASTING = {
  login_refused: "The database refuses the server's login; its operator has to correct it.",
  permission_denied: "The database denies the server a permission; its operator has to grant it.",
  schema_missing: "The database lacks tables or functions of this server; its operator has to restart the server.",
} as const;

export type TroubleKind = keyof typeof PASSING | keyof typeof LASTING;

export type Trouble = {
  /** Default: unreachable. */
  kind?: TroubleKind;
  /** The SQLSTATE, or the code of the operating system or the client. */
  code?: string;
  cause?: unknown;
};

/**
 * The database cannot do what was asked, and the request is not at fault. It is a refusal because callers can act on
 * it: retry, or call an operator.
 */
export class StoreUnavailableError extends DomainError {
  readonly kind: TroubleKind;
  readonly code: string | undefined;

  /** @param why for the log; callers are not told how the database is reached */
  constructor(why: string, { kind = "unreachable", code, cause }: Trouble = {}) {
    const metadata = { kind, ...(code === undefined ? {} : { code }) };
    if (kind in LASTING) super("DATABASE_MISCONFIGURED", LASTING[kind as keyof typeof LASTING], { metadata });
    else {
      super("DATABASE_UNAVAILABLE", PASSING[kind as keyof typeof PASSING], {
        metadata,
        retryAfterMs: UNAVAILABLE_RETRY_AFTER_MS,
      });
    }
    this.kind = kind;
    this.code = code;
    this.cause = cause ?? new Error(why);
  }
}

/** The connection died while a batch was being committed. Call `batches.resolve` before anything else. */
export class BatchOutcomeUnknownError extends Error {
  readonly kind: TroubleKind;

  constructor(message: string, { kind = "unreachable", ...options }: Pick<Trouble, "kind" | "cause"> = {}) {
    super(message, options);
    this.kind = kind;
  }
}

/** The lane's lease has ended. Nothing of this batch was committed or will be. */
export class LaneFencedError extends StoreUnavailableError {
  constructor(why: string, trouble: Trouble = {}) {
    super(why, { kind: "no_lease", ...trouble });
  }
}

/** The database refuses this batch because of its content. Not transient. */
export class BatchRejectedError extends Error {}

/**
 * Nothing of the batch was committed: another transaction kept a lock that it needs (a channel's) for `lock_timeout`,
 * or the database ended it to resolve a deadlock. It may succeed if it is sent again, whole or in parts.
 */
export class BatchContendedError extends Error {}
