/** Connections: postgres.js with the bounds and the types that this store relies on. */
import postgres from "postgres";
import { type Instant, parseInstant } from "../../core/duration.ts";
import { parseAddress } from "./address.ts";

/** Microsecond instants and safe integers, instead of Date (milliseconds) and text. */
type Types = { bigint: number; instant: Instant; bytea: Buffer };
export type Sql = postgres.Sql<Types>;
/** A pool, or a transaction on one of its connections. */
export type AnySql = postgres.ISql<Types>;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** A database that does not answer within this time is unavailable; calls then fail instead of hanging. */
const CONNECT_TIMEOUT_S = 3;
/**
 * The pause before a lost connection is opened again. Constant, because a refused connection costs nothing, and each
 * call waits for it.
 */
const RECONNECT_PAUSE_S = 0.1;
/** Detects a peer that vanished silently (a pulled cable) while a connection is idle. */
const KEEP_ALIVE_S = 10;

export type ClientOptions = {
  /** The most connections; they are opened when needed. */
  max: number;
  /** False if a pooler in transaction mode cannot keep prepared statements. Default true. */
  prepare?: boolean;
  /** Closes a connection that was idle for this long. Default: never. */
  idleTimeoutS?: number;
};

type Settings = postgres.Options<{
  bigint: postgres.PostgresType<number>;
  instant: postgres.PostgresType<Instant>;
  bytea: postgres.PostgresType<Buffer>;
}>;

/** Opens a pool. It connects with the first statement. @throws DatabaseUrlError */
export function openClient(url: string, options: ClientOptions): Sql {
  const address = parseAddress(url);
  const settings: Omit<Settings, "host" | "port"> & { max_pipeline?: number; host: string[]; port: number[] } = {
    max: options.max,
    prepare: options.prepare ?? true,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_PAUSE_S,
    keep_alive: KEEP_ALIVE_S,
    // Without pipelining. A statement sent after a slow one on the same connection would wait for it, and if the
    // connection died, its outcome would be unknown as well. (`begin` of postgres.js needs pipelining, so transactions
    // use a client with one connection, where this makes no difference.)
    ...(options.max > 1 ? { max_pipeline: 0 } : {}),
    // Sets travel as JSON text, so no array types are needed.
    fetch_types: false,
    onnotice: () => {},
    ...(options.idleTimeoutS === undefined ? {} : { idle_timeout: options.idleTimeoutS }),
    ...address.options,
    // Besides the URL's own, only startup parameters that poolers let through.
    connection: { ...address.options.connection, TimeZone: "UTC", DateStyle: "ISO" },
    types: {
      bigint: { to: 20, from: [20], serialize: String, parse: Number },
      instant: { to: 1184, from: [1184], serialize: String, parse: instantFromTimestamptz },
      bytea: { to: 17, from: [17], serialize: (bytes: Buffer) => `\\x${bytes.toString("hex")}`, parse: parseBytea },
    },
  };
  // Its types lack the lists of hosts.
  return postgres(settings as unknown as Settings);
}

/** Parses bytes as Postgres writes them: as `\\x…`, or escaped if a role or database sets `bytea_output` so. */
function parseBytea(text: string): Buffer {
  if (text.startsWith("\\x")) return Buffer.from(text.slice(2), "hex");
  const unescaped = text.replaceAll(/\\(\\|[0-7]{3})/g, (_, escaped: string) =>
    escaped === "\\" ? escaped : String.fromCharCode(Number.parseInt(escaped, 8)),
  );
  return Buffer.from(unescaped, "latin1");
}

/** Parses a timestamptz as Postgres writes it in ISO style: `2026-01-02 03:04:05.678+00`. */
function instantFromTimestamptz(text: string): Instant {
  const [date, time] = [text.slice(0, 10), text.slice(11)];
  const offset = /([+-]\d\d)(:\d\d)?$/.exec(time);
  if (offset === null) throw new Error(`${JSON.stringify(text)} is not a time in ISO style`);
  return parseInstant(`${date}T${time}${offset[2] === undefined ? ":00" : ""}`);
}

/**
 * A set of rows as one parameter, to be read by `json_to_recordset(…::text::json)`. The double cast keeps postgres.js,
 * which knows the parameter's type, from encoding the text again.
 */
export function rowsParameter(rows: readonly object[]): string {
  return JSON.stringify(rows);
}

/**
 * Joined by a statement that may wait for a lock: sets lock_timeout for this statement's transaction only, and is
 * evaluated before the joined rows are locked. `commit_batch` sets its own.
 */
export function lockTimeout(sql: Sql): Fragment {
  return sql`(select set_config('lock_timeout', '1s', true)) as lock_timeout`;
}
