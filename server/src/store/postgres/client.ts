/** Connections: postgres.js with the bounds and the types that this store relies on. */
import type { Socket } from "node:net";
import postgres from "postgres";
import { type Instant, parseInstant } from "../../core/duration.ts";
import { type Address, parseAddress } from "./address.ts";
import { closedEarly, createDialer } from "./dialer.ts";

/** Microsecond instants and safe integers, instead of Date (milliseconds) and text. */
type Types = { bigint: number; instant: Instant; bytea: Buffer };
export type Sql = postgres.Sql<Types>;
/** A pool, or a transaction on one of its connections. */
export type AnySql = postgres.ISql<Types>;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** How long a connection may take to open, where no pool watches it. */
const CONNECT_TIMEOUT_S = 3;
/**
 * The pause before a lost connection is opened again. Constant, because a refused connection costs nothing, and each
 * call waits for it.
 */
const RECONNECT_PAUSE_S = 0.1;
/** Detects a peer that vanished silently (a pulled cable) while a connection is idle. */
const KEEP_ALIVE_S = 10;
/** How long a closing connection may take to end in an orderly way. */
const END_TIMEOUT_S = 1;

type Settings = postgres.Options<{
  bigint: postgres.PostgresType<number>;
  instant: postgres.PostgresType<Instant>;
  bytea: postgres.PostgresType<Buffer>;
}>;

function settingsOf({ options }: Address, prepare: boolean) {
  return {
    prepare,
    backoff: () => RECONNECT_PAUSE_S,
    keep_alive: KEEP_ALIVE_S,
    // Sets travel as JSON text, so no array types are needed.
    fetch_types: false,
    onnotice: () => {},
    ...options,
    // Besides the URL's own, only startup parameters that poolers let through.
    connection: { ...options.connection, TimeZone: "UTC", DateStyle: "ISO" },
    types: {
      bigint: { to: 20, from: [20], serialize: String, parse: Number },
      instant: { to: 1184, from: [1184], serialize: String, parse: instantFromTimestamptz },
      bytea: { to: 17, from: [17], serialize: (bytes: Buffer) => `\\x${bytes.toString("hex")}`, parse: parseBytea },
    },
  };
}

export type ClientOptions = {
  /** The most connections; they are opened when needed. */
  max: number;
  /** False if a pooler in transaction mode cannot keep prepared statements. Default true. */
  prepare?: boolean;
};

/**
 * Opens a client without a watch over its connections, for work before the store is open. It connects when used.
 * @throws DatabaseUrlError
 */
export function openClient(url: string, { max, prepare = true }: ClientOptions): Sql {
  const address = parseAddress(url);
  return connectTo({
    connect_timeout: CONNECT_TIMEOUT_S,
    ...settingsOf(address, prepare),
    max,
    // Without pipelining. A statement sent after a slow one on the same connection would wait for it, and if the
    // connection died, its outcome would be unknown as well. (`begin` of postgres.js needs pipelining, so transactions
    // use a client with one connection, where this makes no difference.)
    ...(max > 1 ? { max_pipeline: 0 } : {}),
  });
}

/** The types of postgres.js lack some of its options. */
function connectTo(settings: object): Sql {
  return postgres(settings as Settings);
}

/** One connection: it is used until it closes, and never opened again. */
export type Connection = {
  readonly sql: Sql;
  readonly isClosed: boolean;
  /** Ends it in an orderly way: a statement under way may finish within a second. */
  end(): Promise<void>;
  /** Closes its socket at once; statements under way fail. For a connection that may be dead. */
  destroy(): void;
};

/** What a host reports at the start of a session if it is a standby or read-only. */
const REFUSES_WRITES: ReadonlySet<string> = new Set(["in_hot_standby", "default_transaction_read_only"]);

/** Where a database is, and how to open connections to it. */
export type Place = {
  /** Host, port and database, without user and password, for the log. */
  readonly name: string;
  /** How long a connection may take to open, if the URL says so. */
  readonly connectTimeoutS: number | undefined;
  /**
   * Opens a connection with the first statement, which must be limited in time by the caller.
   * @param onClose called when it is closed by whatever side
   * @param onNotice called with each notification that it receives
   */
  open(onClose: () => void, onNotice?: (channel: string, payload: string) => void): Connection;
};

/**
 * @param options.prepare false if a pooler in transaction mode cannot keep prepared statements
 * @throws DatabaseUrlError
 */
export function createPlace(url: string, { prepare = true }: { prepare?: boolean } = {}): Place {
  const address = parseAddress(url);
  const settings = settingsOf(address, prepare);
  const { host, port } = address.options;
  const dial = createDialer(address);

  return {
    name: address.name,
    connectTimeoutS: address.options.connect_timeout,
    open(onClose, onNotice) {
      const sockets: Socket[] = [];
      let isClosed = false;
      let dials = 0;
      let unwanted: number | undefined;
      // postgres.js ends a connection to a host that refuses writes (`target_session_attrs`), and the first statement
      // with it, unless it knows another host: then it asks for another socket.
      const known = { host: host.slice(0, 1), port: port.slice(0, 1) };
      const close = (): void => {
        if (isClosed) return;
        isClosed = true;
        onClose();
      };
      const sql = connectTo({
        ...settings,
        max: 1,
        // Each connection serves one call at a time, so nothing waits behind it.
        connect_timeout: null,
        idle_timeout: null,
        max_lifetime: null,
        onclose: close,
        // Its socket is connected and encrypted already.
        ssl: false,
        ...known,
        onparameter(name: string, value: string) {
          if (value === "on" && REFUSES_WRITES.has(name) && dials < host.length) known.host[1] = host[0]!;
        },
        ...(onNotice === undefined ? {} : { onnotify: onNotice }),
        async socket() {
          // postgres.js asks again if a server closed the connection before it was ready: each host gets one chance.
          dials += 1;
          if (isClosed || dials > host.length) throw closedEarly();
          known.host.length = 1;
          const dialled = await dial(unwanted, sockets);
          unwanted = dialled.host;
          return dialled.socket;
        },
      });
      return {
        sql,
        get isClosed() {
          return isClosed;
        },
        async end() {
          await sql.end({ timeout: END_TIMEOUT_S }).catch(() => undefined);
          destroy();
        },
        destroy,
      };

      function destroy(): void {
        close();
        // Statements under way fail when their socket is closed. `sql.end` would write to it once more.
        for (const socket of sockets.toReversed()) socket.destroy();
      }
    },
  };
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
