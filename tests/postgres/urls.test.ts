/** docs/postgres.md, "URLs" and "TLS". */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { findPrograms } from "../support/debian-programs.ts";
import { makeCertificate, PASSWORD, type RealPostgres, startPostgres } from "../support/real-servers.ts";
import { refusalOf, startOn } from "../support/started-server.ts";

const programs = await findPrograms("postgres");

/** Logins without a password, for those who come with a certificate. */
const ACCESS = `
hostssl all by_certificate 127.0.0.1/32 cert
hostssl all only_tls 127.0.0.1/32 scram-sha-256
host all only_tls all reject
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
`;

describe.skipIf(programs.missing !== undefined)("URLs", () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "urls-"));
  const file = (name: string, content: string): string => {
    writeFileSync(path.join(folder, name), content, { mode: 0o600 });
    return path.join(folder, name);
  };
  let server: RealPostgres;
  let plain: RealPostgres;
  let root: string;
  let stranger: string;
  let client: { cert: string; key: string; lockedKey: string };
  let revocations: { none: string; own: string };
  let database: string;

  beforeAll(async () => {
    [server, plain] = await Promise.all([startPostgres(programs), startPostgres(programs)]);
    const own = makeCertificate();
    const other = makeCertificate();
    const login = makeCertificate("by_certificate");
    root = file("root.crt", own.cert);
    stranger = file("stranger.crt", other.cert);
    client = {
      cert: file("client.crt", login.cert),
      key: file("client.key", login.key),
      lockedKey: path.join(folder, "locked.key"),
    };
    revocations = makeRevocations(own);
    const encrypt = ["pkcs8", "-topk8", "-in", client.key, "-passout", "pass:word", "-out", client.lockedKey];
    execFileSync("openssl", encrypt, { stdio: "ignore" });
    const tls = {
      ssl_cert_file: await server.write("server.crt", own.cert),
      ssl_key_file: await server.write("server.key", own.key),
      ssl_ca_file: await server.write("client-root.crt", login.cert),
    };
    const lines = Object.entries(tls).map(([name, value]) => `${name} = '${value}'`);
    await server.reload(["ssl = on", ...lines].join("\n"));
    await server.setAccess(ACCESS);
    await server.admin(
      `create role by_certificate login superuser; create role only_tls login superuser password 'secret'`,
    );
    database = await server.createDatabase();
  });
  afterAll(async () => {
    await Promise.all([server.stop(), plain.stop()]);
    rmSync(folder, { recursive: true });
  });

  /** Lists of revoked certificates of a root: an empty one, and one with its own certificate. */
  function makeRevocations({ cert, key }: { cert: string; key: string }): { none: string; own: string } {
    const certFile = file("ca.crt", cert);
    const config = file(
      "ca.cnf",
      `[ca]\ndefault_ca = x\n[x]\ndatabase = ${file("index.txt", "")}\ndefault_md = sha256\ndefault_crl_days = 30\n`,
    );
    const ca = ["ca", "-config", config, "-cert", certFile, "-keyfile", file("ca.key", key)];
    const list = (name: string): string => {
      const at = path.join(folder, name);
      execFileSync("openssl", [...ca, "-gencrl", "-out", at], { stdio: "ignore" });
      return at;
    };
    const none = list("none.crl");
    execFileSync("openssl", [...ca, "-revoke", certFile], { stdio: "ignore" });
    return { none, own: list("own.crl") };
  }

  /** Starts a server, and returns how its connections are encrypted. */
  async function encryptionOf(url: string, environment: Record<string, string> = {}, at = server): Promise<boolean[]> {
    const started = await startOn({ DATABASE_URL: url, ...environment });
    onTestFinished(() => started.stop());
    expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
    const rows = await at.admin(
      `select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid)
       where application_name = 'abstractruntime' and datname = '${new URL(url).pathname.slice(1) || database}'`,
    );
    return rows.map((row) => Boolean(row["ssl"]));
  }

  describe("What libpq takes is taken", () => {
    const login = `postgres:${PASSWORD}`;
    test.each<[what: string, url: () => string, environment?: () => Record<string, string>]>([
      [
        "a socket",
        () => `postgres:///${database}?host=${server.folder}&port=${server.port}&user=postgres&password=secret`,
      ],
      [
        "a socket in the place of the host",
        () => `postgres://${login}@${encodeURIComponent(server.folder)}:${server.port}/${database}`,
      ],
      [
        "everything as parameters",
        () => `postgres://?host=localhost&port=${server.port}&user=postgres&password=secret&dbname=${database}`,
      ],
      ["hostaddr", () => `postgres://${login}@db.example:${server.port}/${database}?hostaddr=127.0.0.1`],
      [
        "PGPASSWORD, PGUSER and PGPORT",
        () => `postgres://127.0.0.1/${database}`,
        () => ({ PGPASSWORD: PASSWORD, PGUSER: "postgres", PGPORT: String(server.port) }),
      ],
      [
        "passfile",
        () =>
          `postgres://postgres@127.0.0.1:${server.port}/${database}?passfile=${file("passwords", `*:*:*:postgres:${PASSWORD}\n`)}`,
      ],
      [
        "keepalives and timeouts",
        () =>
          `${server.url({ database })}?connect_timeout=10&keepalives=1&keepalives_idle=60&application_name=abstractruntime`,
      ],
      ["options", () => `${server.url({ database })}?options=-c%20work_mem%3D5MB%20--geqo%3Doff`],
    ])("%s", async (_what, url, environment) => {
      const started = await startOn({ DATABASE_URL: url(), ...environment?.() });
      onTestFinished(() => started.stop());
      expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
    });

    test("several hosts: the first that accepts writes", async () => {
      const own = await plain.createDatabase();
      await server.admin(`create database ${own}`);
      await server.admin(`alter database ${own} set default_transaction_read_only = on`);
      const hosts = [1, server.port, plain.port].map((port) => `127.0.0.1:${port}`).join(",");
      const started = await startOn({ DATABASE_URL: `postgres://${login}@${hosts}/${own}` });
      onTestFinished(() => started.stop());
      expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
      expect(await plain.admin("select to_regclass('runs')::text as runs", own)).toEqual([{ runs: "runs" }]);
    });
  });

  describe("TLS", () => {
    test.each<[mode: string, query: () => string, isEncrypted: boolean]>([
      ["sslmode=disable", () => "sslmode=disable", false],
      ["no sslmode, on this machine", () => "", false],
      ["sslmode=prefer", () => "sslmode=prefer", true],
      ["sslmode=require", () => "sslmode=require", true],
      ["sslmode=require with sslrootcert verifies", () => `sslmode=require&sslrootcert=${root}`, true],
      ["sslmode=verify-ca", () => `sslmode=verify-ca&sslrootcert=${root}`, true],
      ["sslmode=verify-full, by address", () => `sslmode=verify-full&sslrootcert=${root}`, true],
      ["versions", () => "sslmode=require&ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.3", true],
      ["sslcrl", () => `sslmode=verify-ca&sslrootcert=${root}&sslcrl=${revocations.none}`, true],
    ])("%s", async (_mode, query, isEncrypted) => {
      expect(await encryptionOf(server.url({ database, query: query() }))).toEqual([isEncrypted]);
    });

    test("sslmode=prefer does without TLS where there is none", async () => {
      const own = await plain.createDatabase();
      expect(await encryptionOf(plain.url({ database: own, query: "sslmode=prefer" }), {}, plain)).toEqual([false]);
    });

    test("sslcert and sslkey log in, with sslpassword if the key has one", async () => {
      const url = (key: string, rest = "") =>
        `postgres://by_certificate@127.0.0.1:${server.port}/${database}?sslmode=verify-full&sslrootcert=${root}` +
        `&sslcert=${client.cert}&sslkey=${key}${rest}`;
      expect(await encryptionOf(url(client.key))).toEqual([true]);
      expect(await encryptionOf(url(client.lockedKey, "&sslpassword=word"))).toEqual([true]);
      expect(await refusalOf({ DATABASE_URL: url(client.lockedKey, "&sslpassword=wrong") })).toMatch(/sslpassword/);
    });

    test.each<[what: string, url: () => string, message: RegExp]>([
      [
        "a certificate of another root",
        () => server.url({ database, query: `sslmode=verify-ca&sslrootcert=${stranger}` }),
        /self.signed certificate/,
      ],
      [
        "a certificate that was revoked",
        () => server.url({ database, query: `sslmode=verify-ca&sslrootcert=${root}&sslcrl=${revocations.own}` }),
        /revoked/,
      ],
      [
        "no root that is known",
        () => server.url({ database, query: "sslmode=verify-full" }),
        /self.signed certificate/,
      ],
      [
        "another name",
        () =>
          `postgres://postgres:secret@db.example:${server.port}/${database}?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=${root}`,
        /db\.example/,
      ],
      ["a database without TLS", () => plain.url({ query: "sslmode=require" }), /it offers no TLS/],
      [
        "a role that must use TLS",
        () => server.url({ user: "only_tls", database, query: "sslmode=disable" }),
        /no encryption.*write sslmode=require/,
      ],
    ])("What it cannot verify ends the start: %s", async (_what, url, message) => {
      expect(await refusalOf({ DATABASE_URL: url() })).toMatch(message);
    });
  });

  test.each([
    ["sslmode=require&channel_binding=require", /DATABASE_URL: channel_binding=require cannot be honoured/],
    ["connection_limit=5", /DATABASE_URL: the parameter connection_limit is not understood: set ABSTRACTRUNTIME_/],
    ["options=-c%20nonsense%3D1", /unrecognized configuration parameter "nonsense"/],
    ["options=-c%20work_mem%3Dmuch", /invalid value for parameter "work_mem"/],
    ["sslmode=verify-full&sslrootcert=/absent", /DATABASE_URL: sslrootcert cannot be read/],
  ])("What is not understood, or cannot be honoured, ends the start by name: %s", async (query, message) => {
    expect(await refusalOf({ DATABASE_URL: server.url({ database, query }) })).toMatch(message);
  });
});
