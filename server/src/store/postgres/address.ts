/**
 * The URL of a database, as people have it from `psql` and from other libraries: what libpq takes is taken
 * (https://www.postgresql.org/docs/current/libpq-connect.html), `schema` and `pgbouncer` are taken as Prisma does.
 * A parameter that is not understood is an error with its name: a server that passes over `channel_binding=require`
 * would connect less safely than it was told to.
 *
 * pg-connection-string reads one host only, and passes on what it does not know.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import os from "node:os";
import path from "node:path";
import { checkServerIdentity, type ConnectionOptions, createSecureContext } from "node:tls";
import type postgres from "postgres";
import { defined } from "../../core/defined.ts";

/** The URL cannot be used. The message names the parameter, and contains neither the URL nor a password. */
export class DatabaseUrlError extends Error {}

/** Where a database is, and how to log in to it. */
export type Address = {
  /** Hosts, ports and database for messages, without user and password. */
  readonly name: string;
  readonly user: string;
  readonly database: string;
  /** The schema that was asked for. If absent, the first of the role's search_path is used. */
  readonly schema?: string;
  /** Whether the URL says that a pooler in transaction mode is in between (`pgbouncer=true`). */
  readonly isPooled: boolean;
  /** Whether a connection without TLS is refused by this side. */
  readonly needsTls: boolean;
  /** Options of postgres.js; several hosts are lists of equal length. */
  readonly options: {
    readonly host: string[];
    readonly port: number[];
    /** The Unix socket, if it is one. Then `host` and `port` say nothing. */
    readonly path?: string;
    readonly user: string;
    readonly password: string;
    readonly database: string;
    readonly ssl: false | "prefer" | "require" | ConnectionOptions;
    readonly target_session_attrs?: NonNullable<postgres.Options<Record<string, never>>["target_session_attrs"]>;
    /** Seconds. */
    readonly connect_timeout?: number;
    /** Seconds; 0 is never. */
    readonly keep_alive?: number;
    readonly connection: Readonly<Record<string, string>>;
  };
};

const PORT_DEFAULT = "5432";
const SOCKET_FOLDERS = ["/var/run/postgresql", "/tmp"];
/** libpq does the same. */
const CONNECT_TIMEOUT_S_MIN = 2;

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/** Parameters that are taken, and the variable that libpq reads if the URL lacks one. */
const TAKEN: Readonly<Record<string, string | undefined>> = {
  host: "PGHOST",
  hostaddr: "PGHOSTADDR",
  port: "PGPORT",
  user: "PGUSER",
  password: "PGPASSWORD",
  passfile: "PGPASSFILE",
  dbname: "PGDATABASE",
  application_name: "PGAPPNAME",
  fallback_application_name: undefined,
  options: "PGOPTIONS",
  connect_timeout: "PGCONNECT_TIMEOUT",
  target_session_attrs: "PGTARGETSESSIONATTRS",
  sslmode: "PGSSLMODE",
  ssl: undefined,
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
  sslpassword: undefined,
  sslcrl: "PGSSLCRL",
  ssl_min_protocol_version: "PGSSLMINPROTOCOLVERSION",
  ssl_max_protocol_version: "PGSSLMAXPROTOCOLVERSION",
  keepalives: undefined,
  keepalives_idle: undefined,
  schema: undefined,
  pgbouncer: undefined,
};

/** Parameters with the values that need nothing: this client behaves so, or it makes no difference. */
const FIXED: Readonly<Record<string, { values: RegExp; instead: string; variable?: string }>> = {
  channel_binding: {
    values: /^(disable|prefer)$/,
    instead:
      "this client has no channel binding; sslmode=verify-full with sslrootcert keeps strangers out of the connection",
    variable: "PGCHANNELBINDING",
  },
  gssencmode: { values: /^(disable|prefer)$/, instead: "this client has no GSSAPI; use TLS", variable: "PGGSSENCMODE" },
  sslnegotiation: { values: /^postgres$/, instead: "write sslnegotiation=postgres, or leave it out" },
  sslcompression: { values: /^[01]$/, instead: "leave it out" },
  sslsni: { values: /^1$/, instead: "leave it out: the host's name is always sent" },
  sslcertmode: { values: /^(allow|disable)$/, instead: "leave it out, and give sslcert and sslkey" },
  client_encoding: {
    values: /^(utf-?8|auto)$/i,
    instead: "leave it out: it is always UTF8",
    variable: "PGCLIENTENCODING",
  },
  load_balance_hosts: { values: /^disable$/, instead: "leave it out: the hosts are tried in order" },
  replication: { values: /^(false|off|no|0)$/, instead: "leave it out" },
  // The system's values are used: Node cannot set them.
  keepalives_interval: { values: /^\d+$/, instead: "it must be a number of seconds" },
  keepalives_count: { values: /^\d+$/, instead: "it must be a number" },
  tcp_user_timeout: { values: /^\d+$/, instead: "it must be a number of milliseconds" },
};

/** What to write instead of parameters of other libraries, or of libpq that this client cannot honour. */
const INSTEAD: Readonly<Record<string, string>> = {
  connection_limit: "set ABSTRACTRUNTIME_DATABASE_CONNECTIONS",
  max: "set ABSTRACTRUNTIME_DATABASE_CONNECTIONS",
  pool_timeout: "leave it out: every call has a time limit of its own",
  socket_timeout: "leave it out: every call has a time limit of its own",
  statement_cache_size: "set ABSTRACTRUNTIME_PREPARED_STATEMENTS=off if a pooler keeps no prepared statements",
  prepare: "set ABSTRACTRUNTIME_PREPARED_STATEMENTS",
  prepareThreshold: "set ABSTRACTRUNTIME_PREPARED_STATEMENTS",
  currentSchema: "write schema=",
  search_path: "write schema=",
  statement_timeout: "write options=-c%20statement_timeout%3D…",
  sslaccept: "write sslmode=verify-full, or sslmode=require for any certificate",
  sslidentity: "write sslcert= and sslkey=",
  requiressl: "write sslmode=require",
  sslcrldir: "write sslcrl= with one file",
  requirepeer: "leave it out: this client cannot check the socket's owner",
  require_auth: "leave it out: this client cannot insist on a kind of login; the server's pg_hba.conf can",
  service: "write the service's parameters into the URL",
  servicefile: "write the service's parameters into the URL",
  krbsrvname: "leave it out: this client has no GSSAPI",
  gsslib: "leave it out: this client has no GSSAPI",
  gssdelegation: "leave it out: this client has no GSSAPI",
};

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Adds to a URL what it lacks and the environment has (PGPASSWORD, PGSSLMODE …, the file of passwords).
 * @throws DatabaseUrlError
 */
export function completeUrl(url: string, environment: Environment): string {
  const values = readValues(url);
  const added = new Map<string, string>();
  const variables = {
    ...TAKEN,
    ...Object.fromEntries(Object.entries(FIXED).map(([name, { variable }]) => [name, variable])),
  };
  for (const [name, variable] of Object.entries(variables)) {
    const value = variable === undefined ? undefined : environment[variable];
    if (value !== undefined && value !== "" && !values.has(name)) added.set(name, value);
  }
  // `ssl=true` and a host in the URL say what these variables would.
  if (values.has("ssl")) added.delete("sslmode");
  if (values.has("host")) added.delete("hostaddr");
  const all = new Map([...added, ...values]);
  if (!all.has("password")) {
    const password = passwordFromFile(all, environment);
    if (password !== undefined) added.set("password", password);
  }
  added.delete("passfile");
  if (added.size === 0) return url;
  const query = [...added].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `${url}${url.includes("?") ? "&" : "?"}${query}`;
}

/** @throws DatabaseUrlError naming what is not understood */
export function parseAddress(url: string): Address {
  const values = readValues(url);
  for (const [name, value] of values) assertUnderstood(name, value);
  const hosts = hostsOf(values);
  const user = values.get("user") ?? os.userInfo().username;
  const database = values.get("dbname") ?? user;
  const socket = hosts.length === 1 ? socketOf(hosts[0]!) : undefined;
  const ssl = socket === undefined ? tlsOf(values, hosts) : false;
  const schema = values.get("schema");
  const isPooled = parseSwitch("pgbouncer", values.get("pgbouncer")) ?? false;
  const places = hosts.map(({ name, port }) => (name.includes(":") ? `[${name}]:${port}` : `${name}:${port}`));
  return {
    name: `${socket ?? places.join(",")}/${database}`,
    user,
    database,
    ...defined({ schema }),
    isPooled,
    needsTls: ssl !== false && ssl !== "prefer",
    options: {
      host: hosts.map(({ address }) => address),
      port: hosts.map(({ port }) => port),
      user,
      database,
      password: values.get("password") ?? "",
      ssl,
      ...defined({
        path: socket,
        target_session_attrs: sessionAttributesOf(values, hosts.length),
        connect_timeout: connectTimeoutOf(values),
        keep_alive: keepAliveOf(values),
      }),
      connection: {
        application_name:
          values.get("application_name") ?? values.get("fallback_application_name") ?? "abstractruntime",
        ...defined({ options: values.get("options") }),
        // A pooler refuses this parameter, or drops it. There, the role's own search_path has to name the schema.
        ...(schema === undefined || isPooled ? {} : { search_path: `"${schema.replaceAll('"', '""')}"` }),
      },
    },
  };
}

/** The parts of the URL by the names of their parameters. */
function readValues(url: string): Map<string, string> {
  const [, authority = "", pathname, query] =
    /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url) ??
    unreadable("it must begin with postgres://");
  const values = new Map<string, string>();
  const set = (name: string, text: string | undefined): void => {
    if (text !== undefined && text !== "") values.set(name, decode(name, text));
  };
  const at = authority.lastIndexOf("@");
  const [, user, password] = /^([^:]*)(?::(.*))?$/s.exec(at < 0 ? "" : authority.slice(0, at)) ?? [];
  set("user", user);
  set("password", password);
  set("dbname", pathname);
  const hosts = authority.slice(at + 1);
  if (hosts !== "") {
    const parts = hosts.split(",").map((host) => /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(host) ?? invalidUrl());
    set("host", parts.map(([, host = ""]) => host.replace(/^\[(.*)\]$/, "$1")).join(","));
    if (parts.some(([, , port]) => port)) set("port", parts.map(([, , port]) => port || PORT_DEFAULT).join(","));
  }
  const given = new Set<string>();
  for (const pair of query === undefined || query === "" ? [] : query.split("&")) {
    const [, key = "", value] = /^([^=]+)=(.*)$/s.exec(pair) ?? unreadable("its parameters must be name=value");
    const name = decode("parameters", key);
    if (given.has(name)) throw new DatabaseUrlError(`the parameter ${name} is there twice`);
    given.add(name);
    set(name, value);
    if (value === "") values.delete(name);
  }
  return values;
}

function unreadable(why: string): never {
  throw new DatabaseUrlError(why);
}

function invalidUrl(): never {
  unreadable("it is not a valid URL (special characters in the password must be percent-encoded)");
}

function decode(name: string, text: string): string {
  try {
    const decoded = decodeURIComponent(text);
    if (!decoded.includes("\0")) return decoded;
  } catch {
    // Refused below.
  }
  throw new DatabaseUrlError(`${name} is not percent-encoded correctly`);
}

function assertUnderstood(name: string, value: string): void {
  const fixed = Object.hasOwn(FIXED, name) ? FIXED[name] : undefined;
  if (fixed !== undefined) {
    if (!fixed.values.test(value)) throw new DatabaseUrlError(`${name}=${value} cannot be honoured: ${fixed.instead}`);
  } else if (!Object.hasOwn(TAKEN, name)) {
    const instead = Object.hasOwn(INSTEAD, name) ? INSTEAD[name] : "remove it, or see docs/postgres.md";
    throw new DatabaseUrlError(`the parameter ${name} is not understood: ${instead}`);
  }
}

/** `name` is what a certificate is for; `address` is what is connected to. */
type Host = { name: string; address: string; port: number };

function hostsOf(values: Map<string, string>): Host[] {
  const addresses = values.get("hostaddr")?.split(",");
  const names = values.get("host")?.split(",") ?? addresses ?? [undefined];
  const ports = (values.get("port") ?? PORT_DEFAULT).split(",");
  if (ports.length !== 1 && ports.length !== names.length) invalidList("port");
  if (addresses !== undefined && addresses.length !== names.length) invalidList("hostaddr");
  return names.map((given, index) => {
    const port = portOf(ports[index] ?? ports[0]!);
    const name = given === undefined || given === "" ? hostDefault(port) : given;
    const address = addresses?.[index] || name;
    if (/[\s@]/.test(name))
      throw new DatabaseUrlError(`host ${JSON.stringify(name)} is not a name, an address or a path`);
    if (names.length > 1 && name.startsWith("/"))
      throw new DatabaseUrlError("a Unix socket cannot be one of several hosts");
    if (addresses !== undefined && isIP(address) === 0) throw new DatabaseUrlError("hostaddr must be an IP address");
    return { name, address, port };
  });
}

function invalidList(name: string): never {
  throw new DatabaseUrlError(`${name} must name one for each host`);
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new DatabaseUrlError(`port ${JSON.stringify(text)} must be from 1 to 65535`);
  return port;
}

/** As libpq: this machine's socket. Without one, its loopback. */
function hostDefault(port: number): string {
  return SOCKET_FOLDERS.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}

function socketOf({ address, port }: Host): string | undefined {
  return address.startsWith("/") ? `${address}/.s.PGSQL.${port}` : undefined;
}

function tlsOf(values: Map<string, string>, hosts: readonly Host[]): Address["options"]["ssl"] {
  const forced = parseSwitch("ssl", values.get("ssl")) === true ? "require" : undefined;
  const rootFile = values.get("sslrootcert");
  // Inside one machine, encryption would cost time and protect nothing.
  const fallback = hosts.every(({ address }) => isLoopback(address)) ? "disable" : "prefer";
  const mode = values.get("sslmode") ?? forced ?? (rootFile === "system" ? "verify-full" : fallback);
  if (!SSL_MODES.includes(mode)) {
    throw new DatabaseUrlError(`sslmode=${mode} is not understood: it must be one of ${SSL_MODES.join(", ")}`);
  }
  if (rootFile === "system" && mode !== "verify-full") {
    throw new DatabaseUrlError(`sslrootcert=system needs sslmode=verify-full: anyone can get a certificate of those`);
  }
  if (mode === "disable") return false;
  const files = defined({
    ca: rootFile === undefined || rootFile === "system" ? undefined : readFile("sslrootcert", rootFile),
    cert: readFile("sslcert", values.get("sslcert")),
    key: readFile("sslkey", values.get("sslkey")),
    crl: readFile("sslcrl", values.get("sslcrl")),
    passphrase: values.get("sslpassword"),
    minVersion: tlsVersionOf("ssl_min_protocol_version", values),
    maxVersion: tlsVersionOf("ssl_max_protocol_version", values),
  });
  // Without TLS if the server has none. `allow` differs only in what is tried first.
  if (mode === "allow" || mode === "prefer") return "prefer";
  const isVerified = mode.startsWith("verify") || files.ca !== undefined;
  if (!isVerified && Object.keys(files).length === 0) return "require";
  const root = files.ca ?? (isVerified && rootFile !== "system" ? userRoot() : undefined);
  const settings: ConnectionOptions = {
    ...files,
    ...defined({ ca: root }),
    rejectUnauthorized: isVerified,
    // postgres.js does not pass on an address that is no name, so Node would compare with `localhost`.
    checkServerIdentity: (_name, certificate) => {
      if (mode !== "verify-full") return undefined;
      const errors = hosts.map(({ name }) => checkServerIdentity(name, certificate));
      return errors.includes(undefined) ? undefined : errors[0];
    },
  };
  try {
    createSecureContext(settings);
  } catch (error) {
    throw new DatabaseUrlError(
      `sslcert, sslkey, sslpassword or sslrootcert cannot be used: ${(error as Error).message}`,
    );
  }
  return settings;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function userRoot(): Buffer | undefined {
  const file = path.join(os.homedir(), ".postgresql/root.crt");
  return existsSync(file) ? readFile("sslrootcert", file) : undefined;
}

function readFile(name: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new DatabaseUrlError(`${name} cannot be read: ${(error as Error).message}`);
  }
}

function tlsVersionOf(name: string, values: Map<string, string>): ConnectionOptions["minVersion"] {
  const version = values.get(name);
  if (version === undefined) return undefined;
  if (version === "TLSv1.2" || version === "TLSv1.3") return version;
  throw new DatabaseUrlError(`${name}=${version} cannot be honoured: it must be TLSv1.2 or TLSv1.3`);
}

function sessionAttributesOf(values: Map<string, string>, hosts: number): "read-write" | "primary" | undefined {
  const wanted = values.get("target_session_attrs") ?? "any";
  if (!["any", "read-write", "primary"].includes(wanted)) {
    throw new DatabaseUrlError(`target_session_attrs=${wanted} cannot be honoured: the server writes; use read-write`);
  }
  // Of one host it is found out at the start anyway, with a message that says so.
  if (hosts === 1) return undefined;
  return wanted === "primary" ? "primary" : "read-write";
}

function connectTimeoutOf(values: Map<string, string>): number | undefined {
  const text = values.get("connect_timeout");
  if (text === undefined) return undefined;
  if (!/^-?\d{1,6}$/.test(text)) throw new DatabaseUrlError("connect_timeout must be a number of seconds");
  const seconds = Number(text);
  // For libpq this is no limit. A server that waits without a limit waits without a word.
  return seconds <= 0 ? undefined : Math.max(seconds, CONNECT_TIMEOUT_S_MIN);
}

function keepAliveOf(values: Map<string, string>): number | undefined {
  if (parseSwitch("keepalives", values.get("keepalives")) === false) return 0;
  const idle = values.get("keepalives_idle");
  if (idle === undefined || idle === "0") return undefined;
  if (!/^\d{1,6}$/.test(idle)) throw new DatabaseUrlError("keepalives_idle must be a number of seconds");
  return Number(idle);
}

function parseSwitch(name: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (/^(true|on|yes|1)$/i.test(text)) return true;
  if (/^(false|off|no|0)$/i.test(text)) return false;
  throw new DatabaseUrlError(`${name}=${text} is not understood: it must be true or false`);
}

/** A line of the file is `host:port:database:user:password`; `*` fits anything. */
function passwordFromFile(values: Map<string, string>, environment: Environment): string | undefined {
  const home = environment["HOME"];
  const file = values.get("passfile") ?? (home === undefined ? undefined : path.join(home, ".pgpass"));
  if (file === undefined || !existsSync(file)) return undefined;
  // As libpq: a file that others may read is passed over.
  if ((statSync(file).mode & 0o077) !== 0) return undefined;
  const [host] = hostsOf(values);
  const user = values.get("user") ?? os.userInfo().username;
  const isSocket = host === undefined || SOCKET_FOLDERS.includes(host.name);
  const wanted = [isSocket ? "localhost" : host.name, String(host?.port), values.get("dbname") ?? user, user];
  for (const line of readFileSync(file, "utf8").split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map(([, field = ""]) =>
      field.replaceAll(/\\(.)/g, "$1"),
    );
    if (wanted.every((value, index) => fields[index] === "*" || fields[index] === value)) return fields[4];
  }
  return undefined;
}
