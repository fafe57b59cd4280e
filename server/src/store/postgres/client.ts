/** Connections: postgres.js with the bounds and the types that this store relies on. */
import postgres from "postgres";
import { type Instant, parseInstant } from "../../core/duration.ts";

/** Microsecond instants and safe integers instead of Date (milliseconds) and text. */
type Types = { bigint: number; instant: Instant };
export type Sql = postgres.Sql<Types>;
/** A pool, or a transaction on one of its connections. */
export type AnySql = postgres.ISql<Types>;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** A database that does not answer within this is away; a call then fails instead of hanging. */
const CONNECT_TIMEOUT_S = 3;
/** Pause before a lost connection is opened again. Constant: a refused connection costs nothing, and each call waits it out. */
const RECONNECT_PAUSE_S = 0.1;
/** Notices a peer that vanished without a word (a pulled cable) while a connection is idle. */
const KEEP_ALIVE_S = 10;

export type ClientOptions = {
  /** Connections at most; they are opened when needed. */
  max: number;
  /** False where a pooler in transaction mode cannot keep prepared statements. Default true. */
  prepare?: boolean;
  /** Closes a connection that was not used for so long. Default: never. */
  idleTimeoutS?: number;
};

/** Opens a pool; connects with the first statement. */
export function openClient(url: string, options: ClientOptions): Sql {
  const settings: postgres.Options<{
    bigint: postgres.PostgresType<number>;
    instant: postgres.PostgresType<Instant>;
  }> & {
    max_pipeline?: number;
  } = {
    max: options.max,
    prepare: options.prepare ?? true,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_PAUSE_S,
    keep_alive: KEEP_ALIVE_S,
    // A statement sent after a slow one on the same connection would wait for it, and its fate would be unknown with it.
    // (`begin` of postgres.js needs pipelining, so transactions take a client with one connection, which changes nothing there.)
    ...(options.max > 1 ? { max_pipeline: 0 } : {}),
    // Sets travel as JSON text, so no array types are needed.
    fetch_types: false,
    onnotice: () => {},
    ...(options.idleTimeoutS === undefined ? {} : { idle_timeout: options.idleTimeoutS }),
    // Poolers let these through.
    connection: { application_name: "abstractruntime", TimeZone: "UTC", DateStyle: "ISO" },
    types: {
      bigint: { to: 20, from: [20], serialize: String, parse: Number },
      instant: { to: 1184, from: [1184], serialize: String, parse: instantFromTimestamptz },
    },
  };
  return postgres(url, settings);
}

/** Reads a timestamptz as Postgres writes it in ISO style: `2026-01-02 03:04:05.678+00`. */
function instantFromTimestamptz(text: string): Instant {
  const [date, time] = [text.slice(0, 10), text.slice(11)];
  const offset = /([+-]\d\d)(:\d\d)?$/.exec(time);
  if (offset === null) throw new Error(`${JSON.stringify(text)} is not a time in ISO style`);
  return parseInstant(`${date}T${time}${offset[2] === undefined ? ":00" : ""}`);
}

/** A set of rows as one parameter; read by `json_to_recordset(…::text::json)`. The double cast keeps postgres.js, which knows
 *  the parameter's type, from encoding the text again. */
export function rowsParameter(rows: readonly object[]): string {
  return JSON.stringify(rows);
}

/** To be joined by a statement that may wait for a lock: lock_timeout for this statement's transaction. Evaluated before the rows
 *  it is joined to are locked; no session keeps it. `commit_batch` sets its own. */
export function lockTimeout(sql: Sql): Fragment {
  return sql`(select set_config('lock_timeout', '1s', true)) as lock_timeout`;
}
