import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { completeUrl, DatabaseUrlError, parseAddress } from "./address.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "address-"));
afterAll(() => rmSync(folder, { recursive: true }));

const key = path.join(folder, "key.pem");
const cert = path.join(folder, "cert.pem");
const pair = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=db.example"];
execFileSync("openssl", ["req", "-x509", ...pair, "-keyout", key, "-out", cert], { stdio: "ignore" });

/** The options of a URL, as far as they differ from those of `postgres://u@h/d`. */
function optionsOf(url: string): object {
  const common = parseAddress("postgres://u@h/d").options as Record<string, unknown>;
  const own = Object.entries(parseAddress(url).options);
  return Object.fromEntries(own.filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(common[name])));
}

describe("what libpq takes is taken", () => {
  test.each<[string, object]>([
    ["postgresql://u@h/d", {}],
    ["postgres://h/d?user=u", {}],
    ["postgres://u:p%40%2F%23@h/d", { password: "p@/#" }],
    ["postgres://u:p@x#?@h/d".replace("?", "%3F"), { password: "p@x#?" }],
    ["postgres://u%40corp@h/d%2Fe", { user: "u@corp", database: "d/e" }],
    ["postgres:///d?host=h&user=u&password=a+b", { password: "a+b" }],
    ["postgres://u@/d?host=h&port=6000", { port: [6000] }],
    ["postgres://u@h:6000?dbname=e", { port: [6000], database: "e" }],
    ["postgres://d@h", { user: "d" }],
    ["postgres://u@[::1]:6000/d", { host: ["::1"], port: [6000], ssl: false }],
    ["postgres://u@[fe80::1]/d", { host: ["fe80::1"] }],
    [
      "postgres://u@a:1,b,[::2]:3/d",
      { host: ["a", "b", "::2"], port: [1, 5432, 3], target_session_attrs: "read-write" },
    ],
    ["postgres://u@a,b/d?port=7", { host: ["a", "b"], port: [7, 7], target_session_attrs: "read-write" }],
    [
      "postgres://u@a,b/d?target_session_attrs=primary",
      {
        host: ["a", "b"],
        port: [5432, 5432],
        target_session_attrs: "primary",
      },
    ],
    ["postgres://u@h/d?target_session_attrs=read-write", {}],
    ["postgres://u@h/d?hostaddr=10.0.0.1", { host: ["10.0.0.1"] }],
    ["postgres:///d?host=/run/pg&user=u", { host: ["/run/pg"], path: "/run/pg/.s.PGSQL.5432", ssl: false }],
    ["postgres://u@%2Frun%2Fpg:6000/d", { host: ["/run/pg"], port: [6000], path: "/run/pg/.s.PGSQL.6000", ssl: false }],
    ["postgres://u@h/d?sslmode=disable", { ssl: false }],
    ["postgres://u@h/d?sslmode=allow", {}],
    ["postgres://u@h/d?sslmode=prefer", {}],
    ["postgres://u@h/d?sslmode=require", { ssl: "require" }],
    ["postgres://u@h/d?ssl=true", { ssl: "require" }],
    ["postgres://u@h/d?channel_binding=prefer&gssencmode=prefer&sslcompression=0&client_encoding=utf8", {}],
    ["postgres://u@h/d?connect_timeout=10", { connect_timeout: 10 }],
    ["postgres://u@h/d?connect_timeout=1", { connect_timeout: 2 }],
    ["postgres://u@h/d?connect_timeout=0", {}],
    ["postgres://u@h/d?keepalives=0", { keep_alive: 0 }],
    ["postgres://u@h/d?keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3", { keep_alive: 30 }],
    ["postgres://u@h/d?application_name=shop", { connection: { application_name: "shop" } }],
    [
      "postgres://u@h/d?options=-c%20work_mem%3D8MB",
      {
        connection: { application_name: "abstractruntime", options: "-c work_mem=8MB" },
      },
    ],
    ["postgres://u@h/d?sslmode=", {}],
  ])("%s", (url, options) => {
    expect(optionsOf(url)).toEqual(options);
  });

  test("files of certificates, and which names are compared", () => {
    const tlsOf = (query: string) => parseAddress(`postgres://u@db.example,10.0.0.1/d?${query}`).options.ssl;
    expect(tlsOf(`sslmode=verify-ca&sslrootcert=${cert}`)).toMatchObject({ rejectUnauthorized: true });
    expect(tlsOf(`sslmode=require&sslrootcert=${cert}`)).toMatchObject({ rejectUnauthorized: true });
    expect(tlsOf(`sslmode=require&sslcert=${cert}&sslkey=${key}`)).toMatchObject({ rejectUnauthorized: false });
    expect(tlsOf("sslrootcert=system")).toMatchObject({ rejectUnauthorized: true });
    mkdirSync(path.join(folder, ".postgresql"));
    copyFileSync(cert, path.join(folder, ".postgresql/root.crt"));
    vi.stubEnv("HOME", folder);
    expect(tlsOf("sslmode=verify-ca")).toHaveProperty("ca");
    expect(tlsOf("sslrootcert=system")).not.toHaveProperty("ca");
    vi.unstubAllEnvs();
    const compare = (query: string, names: object) => {
      const tls = tlsOf(query) as { checkServerIdentity(name: string, certificate: object): Error | undefined };
      return tls.checkServerIdentity("localhost", names);
    };
    const stranger = { subject: { CN: "localhost" }, subjectaltname: "DNS:localhost" };
    expect(compare("sslmode=verify-full", stranger)).toBeInstanceOf(Error);
    expect(compare("sslmode=verify-ca", stranger)).toBeUndefined();
    const own = { subject: { CN: "x" }, subjectaltname: "DNS:x, IP Address:10.0.0.1" };
    expect(compare("sslmode=verify-full", own)).toBeUndefined();
  });

  test("variables and the file of passwords add what the URL lacks", () => {
    expect(completeUrl("postgres://u:p@h/d", { PATH: "/bin" })).toBe("postgres://u:p@h/d");
    const environment = { PGPASSWORD: "a&b", PGHOST: "other", PGPORT: "7", PGUSER: "v", PGSSLMODE: "require" };
    expect(optionsOf(completeUrl("postgres://u@h:5432/d", environment))).toEqual({ password: "a&b", ssl: "require" });
    expect(optionsOf(completeUrl("postgres:///d", environment))).toMatchObject({
      host: ["other"],
      port: [7],
      user: "v",
    });

    const passfile = path.join(folder, "passwords");
    writeFileSync(passfile, "# mine\nother:*:*:*:no\nh:5432:*:u:pa\\:ss\\\\word\n", { mode: 0o600 });
    expect(optionsOf(completeUrl(`postgres://u@h/d?passfile=${passfile}`, {}))).toEqual({ password: "pa:ss\\word" });
    expect(optionsOf(completeUrl(`postgres://u@h/d`, { PGPASSFILE: passfile }))).toEqual({ password: "pa:ss\\word" });
    expect(optionsOf(completeUrl(`postgres://u:q@h/d`, { PGPASSFILE: passfile }))).toEqual({ password: "q" });
    writeFileSync(path.join(folder, ".pgpass"), "*:*:*:*:home\n", { mode: 0o600 });
    expect(optionsOf(completeUrl("postgres://u@h/d", { HOME: folder }))).toEqual({ password: "home" });
    chmodSync(passfile, 0o644);
    expect(optionsOf(completeUrl(`postgres://u@h/d?passfile=${passfile}`, {}))).toEqual({});
  });
});

describe("parameters of Prisma", () => {
  test("schema is the search_path, and pgbouncer leaves it to the role", () => {
    expect(parseAddress('postgres://u@h/d?schema=my"app')).toMatchObject({
      schema: 'my"app',
      isPooled: false,
      options: { connection: { search_path: '"my""app"' } },
    });
    const pooled = parseAddress("postgres://u@h/d?schema=app&pgbouncer=true");
    expect(pooled).toMatchObject({ schema: "app", isPooled: true });
    expect(pooled.options.connection).not.toHaveProperty("search_path");
  });
});

describe("what is not understood is refused by name", () => {
  test.each([
    ["mysql://u@h/d", "must begin with postgres://"],
    ["postgresql+asyncpg://u@h/d", "must begin with postgres://"],
    ["jdbc:postgresql://h/d", "must begin with postgres://"],
    ["postgres://u:sec#ret/@h/d", "not a valid URL"],
    ["postgres://u:%zz@h/d", "password is not percent-encoded"],
    ["postgres://u@h:99999/d", "port"],
    ["postgres://u@h:x/d", "not a valid URL"],
    ["postgres://u@a,b,c/d?port=1,2", "port must name one for each host"],
    ["postgres://u@a/d?hostaddr=10.0.0.1,10.0.0.2", "hostaddr must name one for each host"],
    ["postgres://u@a/d?hostaddr=b", "hostaddr must be an IP address"],
    ["postgres://u@h/d?sslmode", "name=value"],
    ["postgres://u@h/d?sslmode=require&sslmode=disable", "sslmode is there twice"],
    ["postgres://u@h/d?sslmode=no-verify", "sslmode=no-verify"],
    ["postgres://u@h/d?sslmode=require&channel_binding=require", "channel_binding=require"],
    ["postgres://u@h/d?sslmode=verify-full&sslrootcert=/absent", "sslrootcert cannot be read"],
    ["postgres://u@h/d?sslmode=require&sslrootcert=system", "sslrootcert=system"],
    ["postgres://u@h/d?sslmode=require&sslkey=" + import.meta.filename, "sslkey"],
    ["postgres://u@h/d?sslmode=require&ssl_min_protocol_version=TLSv1", "ssl_min_protocol_version"],
    ["postgres://u@h/d?gssencmode=require", "gssencmode=require"],
    ["postgres://u@h/d?target_session_attrs=standby", "target_session_attrs=standby"],
    ["postgres://u@h/d?connect_timeout=soon", "connect_timeout"],
    ["postgres://u@h/d?pgbouncer=maybe", "pgbouncer=maybe"],
    ["postgres://u@h/d?connection_limit=5", "connection_limit"],
    ["postgres://u@h/d?require_auth=scram-sha-256", "require_auth"],
    ["postgres://u@h/d?service=shop", "service"],
    ["postgres://u@h/d?constructor=1", "constructor"],
    ["postgres://u@h/d?supa=base-pooler.x", "supa"],
    ["postgres://u@h/d?SSLMODE=require", "SSLMODE"],
  ])("%s", (url, message) => {
    const refused = (): unknown => parseAddress(url);
    expect(refused).toThrow(DatabaseUrlError);
    expect(refused).toThrow(message);
    expect(refused).not.toThrow(/sec#ret/);
  });
});
