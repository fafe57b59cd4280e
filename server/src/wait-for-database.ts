/** The wait for a database at the start: what passes is waited for, with a word; what stays ends the start by name. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import {
  type DatabaseLog,
  DatabaseSetupError,
  type DatabaseSetupReason,
  describeDatabaseError,
  errorCode,
} from "./embedded-postgres/database-error.ts";
import { type Address, DatabaseUrlError, parseAddress } from "./store/postgres/address.ts";
import { openClient, type Sql } from "./store/postgres/client.ts";

export type WaitForDatabaseOptions = {
  log: DatabaseLog;
  /** Ends the wait; its reason is thrown. */
  signal?: AbortSignal;
  /** Gives up after this long. Default: never, because a database that is unavailable at the start usually comes up. */
  timeoutMs?: number;
  /** The setting that has the URL. Default: DATABASE_URL. */
  setting?: string;
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
/** A statement of the store may take this long on a busy database. */
const STATEMENT_MS_MIN = 1_000;

/**
 * Logs what is waited for: at once if it is something new, else every few seconds.
 * @returns the function to call at each poll
 */
export function createWaitNotice(log: Pick<DatabaseLog, "warn">): (what: string) => void {
  let last = "";
  let saidAt = -Infinity;
  return (what) => {
    const now = performance.now();
    if (what === last && now - saidAt < REMINDER_MS) return;
    last = what;
    saidAt = now;
    log.warn(`waiting for ${what}`);
  };
}

/**
 * Waits until the database at `url` accepts connections and can serve as the store.
 * Logs a line when it has to wait, a reminder every few seconds, and a line when the database is available; never a
 * password.
 * Also waits for a standby that refuses writes: a failover makes it writable. Waits for an unknown host name: names
 * appear when their service starts.
 * @throws {DatabaseSetupError} URL_INVALID, LOGIN_REFUSED, DATABASE_UNKNOWN, TLS_REFUSED, VERSION_UNSUPPORTED,
 *   ENCODING_UNSUPPORTED, SETTING_UNSUITABLE: waiting does not help with these. TIMED_OUT after `timeoutMs`.
 */
export async function waitForDatabase(url: string, options: WaitForDatabaseOptions): Promise<void> {
  const { log, signal, timeoutMs, setting = "DATABASE_URL" } = options;
  const address = readAddress(url, setting);
  const place = address.name;
  const startedAt = performance.now();
  const say = createWaitNotice(log);
  let hasWaited = false;
  for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
    signal?.throwIfAborted();
    const remainingMs = timeoutMs === undefined ? Infinity : timeoutMs - (performance.now() - startedAt);
    const obstacle = await probe(url, address, { boundMs: Math.min(ATTEMPT_MS_MAX, remainingMs), log, signal });
    if (obstacle === undefined) {
      if (hasWaited) log.info(`the database at ${place} is available`);
      return;
    }
    if (timeoutMs !== undefined && performance.now() - startedAt >= timeoutMs) {
      throw new DatabaseSetupError("TIMED_OUT", `gave up waiting for the database at ${place}: ${obstacle}`);
    }
    say(`the database at ${place}: ${obstacle}`);
    hasWaited = true;
    await pause(retryMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

function readAddress(url: string, setting: string): Address {
  try {
    return parseAddress(url);
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    throw new DatabaseSetupError("URL_INVALID", `${setting}: ${error.message}`);
  }
}

type ProbeOptions = { boundMs: number; log: DatabaseLog; signal: AbortSignal | undefined };

/** One attempt. Returns undefined if the database can be used, else the obstacle. */
async function probe(
  url: string,
  address: Address,
  { boundMs, log, signal }: ProbeOptions,
): Promise<string | undefined> {
  const sql = openClient(url, { max: 1, prepare: false });
  const attempt = new AbortController();
  try {
    const cut = pause(boundMs, "no answer" as const, {
      signal: signal ? AbortSignal.any([signal, attempt.signal]) : attempt.signal,
    });
    const facts = readFacts(sql);
    // The attempt may have been cut before the answer.
    facts.catch(() => undefined);
    const answer = await Promise.race([facts, cut]);
    if (answer === "no answer") return answer;
    return judge(answer, address, log);
  } catch (error) {
    if (error instanceof DatabaseSetupError) throw error;
    signal?.throwIfAborted();
    const refusal = (await lacksTls(error, address)) ? TLS_ABSENT : lastingTrouble(error);
    if (refusal !== undefined) {
      const [reason, hint] = refusal;
      const what =
        reason === TLS_ABSENT[0] && hint === TLS_ABSENT[1] ? "it offers no TLS" : describeDatabaseError(error);
      throw new DatabaseSetupError(reason, `the database at ${address.name} cannot be used: ${what}${hint}`);
    }
    return describeDatabaseError(error);
  } finally {
    attempt.abort();
    await sql.end({ timeout: 0 }).catch(() => {});
  }
}

type Facts = {
  version: string;
  encoding: string;
  role: string;
  database: string;
  read_only: string;
  is_standby: boolean;
  /** Who has set `default_transaction_read_only`: `user`, `database` and the like if it is on purpose. */
  read_only_source: string;
  limits: { name: string; ms: number }[] | null;
  unsafe: string[] | null;
  /** Ways of reading tables that the planner may not use. The store's functions choose among them. */
  plans_off: string[] | null;
};

async function readFacts(sql: Sql): Promise<Facts> {
  const [row] = await sql<Facts[]>`
    select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding,
      current_user as role, current_database() as database,
      current_setting('transaction_read_only') as read_only, pg_is_in_recovery() as is_standby,
      (select source from pg_settings where name = 'default_transaction_read_only') as read_only_source,
      (
        select json_agg(json_build_object('name', name, 'ms', setting::int)) from pg_settings
        where name in ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')
          and setting::int between 1 and ${STATEMENT_MS_MIN - 1}
      ) as limits,
      (
        select json_agg(name) from pg_settings
        where name in ('synchronous_commit', 'fsync', 'full_page_writes') and setting = 'off'
      ) as unsafe,
      (
        select json_agg(name) from pg_settings where name like 'enable\_%' and boot_val = 'on' and setting = 'off'
      ) as plans_off`;
  if (row === undefined) throw new Error("the database did not return its settings");
  return row;
}

/** Sources of settings that somebody made for this role or database. Others are the whole server's, and may change. */
const OWN_SOURCES = new Set(["database", "user", "database user", "client", "global"]);

function judge(facts: Facts, { name: place }: Address, log: DatabaseLog): string | undefined {
  const { role, database } = facts;
  const major = Math.trunc(Number(facts.version) / 10_000);
  if (major < SERVER_VERSION_MIN) {
    throw new DatabaseSetupError(
      "VERSION_UNSUPPORTED",
      `the database at ${place} is Postgres ${major}; version ${SERVER_VERSION_MIN} or later is required`,
    );
  }
  if (facts.encoding !== "UTF8") {
    throw new DatabaseSetupError(
      "ENCODING_UNSUPPORTED",
      `the database at ${place} has the encoding ${facts.encoding}; create it with ENCODING 'UTF8'`,
    );
  }
  const limit = facts.limits?.[0];
  if (limit !== undefined) {
    throw new DatabaseSetupError(
      "SETTING_UNSUITABLE",
      `${limit.name} is ${limit.ms} ms for role ${role} in database ${database} at ${place}, which ends ordinary ` +
        `statements: set it to 0, or to ${STATEMENT_MS_MIN} ms or more`,
    );
  }
  if (facts.read_only === "on") {
    if (facts.is_standby || !OWN_SOURCES.has(facts.read_only_source)) return "it is read-only (a standby?)";
    throw new DatabaseSetupError(
      "SETTING_UNSUITABLE",
      `default_transaction_read_only is on for role ${role} in database ${database} at ${place}: ` +
        `alter role ${role} reset default_transaction_read_only, or use another role`,
    );
  }
  for (const name of facts.unsafe ?? []) {
    log.warn(`${name} is off in the database at ${place}: a crash of its machine may lose what was acknowledged`);
  }
  for (const name of facts.plans_off ?? []) {
    log.warn(`${name} is off for role ${role} in database ${database} at ${place}: statements may be very slow`);
  }
  return undefined;
}

type Trouble = readonly [reason: DatabaseSetupReason, hint: string];

const TLS_ABSENT: Trouble = ["TLS_REFUSED", ": let it have a certificate, or write sslmode=prefer"];

/** Classes of SQLSTATEs that pass (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const PASSING_CLASSES = new Set([
  "08", // connection exceptions
  "25", // invalid transaction state: a standby that refuses writes
  "40", // transaction rollback
  "53", // insufficient resources: too many connections, a full disk
  "55", // object not in prerequisite state: a database that accepts no connections now
  "57", // operator intervention: starting up, shutting down
  "58", // system errors
  "XX", // internal errors
]);

/** The others end the start: what was asked for is refused, and would be again. */
const LASTING_CLASSES: Readonly<Record<string, Trouble>> = {
  "28": ["LOGIN_REFUSED", ""], // invalid authorization: password, role, pg_hba.conf
  "3D": ["DATABASE_UNKNOWN", ""], // invalid_catalog_name
  "42501": ["LOGIN_REFUSED", ""], // insufficient_privilege: the role may not connect to the database
};

/** A pooler sends one SQLSTATE (08P01) for everything. Only its text says that the same would happen again. */
const POOLER_REFUSALS: readonly (readonly [RegExp, Trouble])[] = [
  [
    /unsupported startup parameter: (options|search_path)/,
    [
      "POOLER_UNSUITABLE",
      ": a pooler passes on neither options= nor schema=; add pgbouncer=true to the URL, " +
        "and give the role its settings with alter role … in database … set …",
    ],
  ],
  [/unsupported startup parameter/, ["POOLER_UNSUITABLE", ""]],
  [/no such database/, ["DATABASE_UNKNOWN", ""]],
  [/no such user|password authentication failed|auth failed|not allowed/i, ["LOGIN_REFUSED", ""]],
  [/SSL required|TLS required/i, ["LOGIN_REFUSED", ": write sslmode=require"]],
];

/** Errors of TLS itself: of certificates, and of OpenSSL. */
const TLS_CODES =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME)/;

/** Returns undefined for what passes by itself. */
function lastingTrouble(error: unknown): Trouble | undefined {
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : "";
  if (code === "08P01") return POOLER_REFUSALS.find(([pattern]) => pattern.test(text))?.[1];
  if (/^[0-9A-Z]{5}$/.test(code) && error instanceof Error && "severity" in error) {
    if (PASSING_CLASSES.has(code.slice(0, 2))) return undefined;
    const [reason, hint] = LASTING_CLASSES[code] ?? LASTING_CLASSES[code.slice(0, 2)] ?? ["SETTING_UNSUITABLE", ""];
    return [reason, /no encryption|SSL off/.test(text) ? ": write sslmode=require, if that is what it wants" : hint];
  }
  if (TLS_CODES.test(code)) return ["TLS_REFUSED", ""];
  if (code === "SASL_SIGNATURE_MISMATCH" || code === "AUTH_TYPE_NOT_IMPLEMENTED") return ["LOGIN_REFUSED", ""];
  // The socket's folder belongs to others.
  if (code === "EACCES" || code === "EPERM") return ["LOGIN_REFUSED", ""];
  // Errors of the system and of connections pass: a host that is away, a name that is unknown yet.
  if (/^(E[A-Z0-9]+|CONNECT(ION)?_[A-Z]+)$/.test(code)) return undefined;
  return ["START_FAILED", ""];
}

/** postgres.js begins TLS although the server has said that it has none, and then sees a closed connection. */
async function lacksTls(error: unknown, { needsTls, options }: Address): Promise<boolean> {
  if (!needsTls || !["ECONNRESET", "CONNECTION_CLOSED", "EPROTO"].includes(errorCode(error))) return false;
  const [host = "", port = 0] = [options.host[0], options.port[0]];
  const socket = connect({ host, port });
  try {
    const signal = AbortSignal.timeout(STATEMENT_MS_MIN);
    await once(socket, "connect", { signal });
    // The SSLRequest of the protocol. The answer is one letter.
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    const [answer] = (await once(socket, "data", { signal })) as [Buffer];
    return answer.toString("latin1") === "N";
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
