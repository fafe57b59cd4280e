import { setTimeout as pause } from "node:timers/promises";

import postgres from "postgres";

import {
  type DatabaseLog,
  DatabaseSetupError,
  type DatabaseSetupReason,
  describeDatabaseError,
  errorCode,
} from "./embedded-postgres/database-error.ts";

export type WaitForDatabaseOptions = {
  log: DatabaseLog;
  /** Ends the wait; its reason is thrown. */
  signal?: AbortSignal;
  /** Gives up after this long. Default: never, because a database that is unavailable at the start usually comes up. */
  timeoutMs?: number;
};

/** First pause between attempts. It doubles up to `RETRY_MS_MAX`: a starting database is found soon, and an absent one
 *  costs little. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2_000;
/** How often the log repeats that the server waits. */
const REMINDER_MS = 5_000;
/** Time limit of one attempt: after a dropped packet, or with a silent proxy, the client would wait for ever. */
const ATTEMPT_MS_MAX = 10_000;
/** The oldest Postgres whose SQL the store uses. */
const SERVER_VERSION_MIN = 15;

/**
 * Waits until the database at `url` accepts connections and can serve as the store.
 * Logs a line when it has to wait, a reminder every few seconds, and a line when the database is available; never a
 * password.
 * Also waits for a standby that refuses writes: a failover makes it writable.
 * @throws {DatabaseSetupError} URL_INVALID, LOGIN_REFUSED, DATABASE_UNKNOWN, TLS_REFUSED, VERSION_UNSUPPORTED,
 *   ENCODING_UNSUPPORTED: waiting does not help with these. TIMED_OUT after `timeoutMs`.
 */
export async function waitForDatabase(url: string, options: WaitForDatabaseOptions): Promise<void> {
  const { log, signal, timeoutMs } = options;
  const place = databasePlace(url);
  const startedAt = performance.now();
  let remindedAt: number | undefined;
  for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
    signal?.throwIfAborted();
    const remainingMs = timeoutMs === undefined ? Infinity : timeoutMs - (performance.now() - startedAt);
    const obstacle = await probe(url, place, Math.min(ATTEMPT_MS_MAX, remainingMs), signal);
    const now = performance.now();
    if (obstacle === undefined) {
      if (remindedAt !== undefined) log.info(`the database at ${place} is available`);
      return;
    }
    if (timeoutMs !== undefined && now - startedAt >= timeoutMs) {
      throw new DatabaseSetupError("TIMED_OUT", `gave up waiting for the database at ${place}: ${obstacle}`);
    }
    if (remindedAt === undefined || now - remindedAt >= REMINDER_MS) {
      log.warn(`waiting for the database at ${place}: ${obstacle}`);
      remindedAt = now;
    }
    await pause(retryMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

/** The `host:port/database` of a database URL, without user and password.
 *  @throws {DatabaseSetupError} URL_INVALID */
function databasePlace(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new DatabaseSetupError("URL_INVALID", "DATABASE_URL must begin with postgres:// or postgresql://");
  }
  try {
    const { host, port, database, path } = postgres(url).options;
    const servers = host.map((name, index) => `${name}:${port[index] ?? port[0]}`).join(",");
    return `${path ? path : servers}/${database}`;
  } catch (cause) {
    // The client's own message may include the URL and its password.
    throw new DatabaseSetupError(
      "URL_INVALID",
      "DATABASE_URL is not a valid URL (special characters in the password must be percent-encoded)",
      { cause: cause instanceof Error ? cause.name : undefined },
    );
  }
}

/** One attempt. Returns undefined if the database can be used, else the obstacle. */
async function probe(
  url: string,
  place: string,
  boundMs: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const sql = postgres(url, { max: 1, fetch_types: false, prepare: false, connect_timeout: 5, onnotice: () => {} });
  const attempt = new AbortController();
  try {
    const cut = pause(boundMs, "no answer" as const, {
      signal: signal ? AbortSignal.any([signal, attempt.signal]) : attempt.signal,
    });
    const facts = sql<{ version: string; encoding: string; read_only: string }[]>`
      select current_setting('server_version_num') as version,
             current_setting('server_encoding') as encoding,
             current_setting('transaction_read_only') as read_only`;
    const answer = await Promise.race([facts, cut]);
    if (answer === "no answer") return answer;
    const row = answer[0];
    if (row === undefined) return "no answer";
    const major = Math.trunc(Number(row.version) / 10_000);
    if (major < SERVER_VERSION_MIN) {
      throw new DatabaseSetupError(
        "VERSION_UNSUPPORTED",
        `the database at ${place} is Postgres ${major}; version ${SERVER_VERSION_MIN} or later is required`,
      );
    }
    if (row.encoding !== "UTF8") {
      throw new DatabaseSetupError(
        "ENCODING_UNSUPPORTED",
        `the database at ${place} has the encoding ${row.encoding}; create it with ENCODING 'UTF8'`,
      );
    }
    return row.read_only === "on" ? "it is read-only (a standby?)" : undefined;
  } catch (error) {
    if (error instanceof DatabaseSetupError) throw error;
    signal?.throwIfAborted();
    const reason = incurable[errorCode(error)];
    if (reason !== undefined) {
      throw new DatabaseSetupError(reason, `the database at ${place} cannot be used: ${describeDatabaseError(error)}`);
    }
    return describeDatabaseError(error);
  } finally {
    attempt.abort();
    await sql.end({ timeout: 0 }).catch(() => {});
  }
}

/** SQLSTATEs and client errors that waiting does not resolve. */
const incurable: Record<string, DatabaseSetupReason> = {
  "28P01": "LOGIN_REFUSED", // invalid_password
  "28000": "LOGIN_REFUSED", // invalid_authorization_specification: no such role, no pg_hba.conf entry
  "42501": "LOGIN_REFUSED", // insufficient_privilege: the role may not connect to the database
  SASL_SIGNATURE_MISMATCH: "LOGIN_REFUSED",
  AUTH_TYPE_NOT_IMPLEMENTED: "LOGIN_REFUSED",
  "3D000": "DATABASE_UNKNOWN", // invalid_catalog_name
  DEPTH_ZERO_SELF_SIGNED_CERT: "TLS_REFUSED",
  SELF_SIGNED_CERT_IN_CHAIN: "TLS_REFUSED",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "TLS_REFUSED",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "TLS_REFUSED",
  CERT_HAS_EXPIRED: "TLS_REFUSED",
  ERR_TLS_CERT_ALTNAME_INVALID: "TLS_REFUSED",
};
