import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Config, ConfigError, loadConfig } from "./config.ts";

const directory = mkdtempSync(join(tmpdir(), "config-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string): string {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
}

const cert = file("cert.pem", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n");
const key = file("key.pem", "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n");

const DEFAULTS: Config = {
  listen: { host: "127.0.0.1", port: 7400 },
  hosts: [],
  origins: [],
  dataDir: ".abstractruntime",
  insecure: false,
  attached: false,
  logLevel: "info",
  lanes: 2,
  databaseConnections: 12,
  workerTiming: { pingMs: 10_000, silenceMs: 30_000, acceptMs: 5_000, reconnectMs: 5_000, orphanMs: 35_000 },
};

test("the defaults; an empty variable is none", () => {
  expect(loadConfig({})).toEqual(DEFAULTS);
  expect(loadConfig({ DATABASE_URL: "", ABSTRACTRUNTIME_LISTEN: " " })).toEqual(DEFAULTS);
});

describe("accepted", () => {
  test.each<[Record<string, string>, Partial<Config>]>([
    [{ ABSTRACTRUNTIME_LISTEN: "localhost:0" }, { listen: { host: "localhost", port: 0 } }],
    [{ ABSTRACTRUNTIME_LISTEN: "[::1]:65535" }, { listen: { host: "::1", port: 65535 } }],
    [
      { ABSTRACTRUNTIME_LISTEN: "0.0.0.0:1", ABSTRACTRUNTIME_INSECURE: "true" },
      { listen: { host: "0.0.0.0", port: 1 }, insecure: true },
    ],
    [
      { ABSTRACTRUNTIME_HOSTS: "Example.com, [fd00::1] ,fd00::2,10.0.0.1" },
      { hosts: ["example.com", "fd00::1", "fd00::2", "10.0.0.1"] },
    ],
    [
      { ABSTRACTRUNTIME_ORIGINS: "https://a.example,http://localhost:3000" },
      { origins: ["https://a.example", "http://localhost:3000"] },
    ],
    [{ DATABASE_URL: "postgres://u:p@h/d" }, { databaseUrl: "postgres://u:p@h/d" }],
    [{ ABSTRACTRUNTIME_DATABASE_DIRECT_URL: "postgresql://h/d" }, { databaseDirectUrl: "postgresql://h/d" }],
    [{ ABSTRACTRUNTIME_DATA_DIR: "/x", ABSTRACTRUNTIME_TEMPORARY: "off" }, { dataDir: "/x" }],
    [{ ABSTRACTRUNTIME_ATTACHED: "on" }, { attached: true }],
    [{ ABSTRACTRUNTIME_LOG_LEVEL: "warn" }, { logLevel: "warn" }],
    [{ ABSTRACTRUNTIME_LANES: "64" }, { lanes: 64 }],
    [{ ABSTRACTRUNTIME_DATABASE_CONNECTIONS: "4" }, { databaseConnections: 4 }],
    [{ ABSTRACTRUNTIME_PREPARED_STATEMENTS: "OFF" }, { preparedStatements: false }],
    [
      {
        ABSTRACTRUNTIME_WORKER_PING_MS: "100",
        ABSTRACTRUNTIME_WORKER_SILENCE_MS: "101",
        ABSTRACTRUNTIME_WORKER_ACCEPT_MS: "600000",
        ABSTRACTRUNTIME_WORKER_RECONNECT_MS: "2000",
        ABSTRACTRUNTIME_WORKER_ORPHAN_MS: "3000",
      },
      { workerTiming: { pingMs: 100, silenceMs: 101, acceptMs: 600_000, reconnectMs: 2_000, orphanMs: 3_000 } },
    ],
  ])("%o", (environment, expected) => {
    expect(loadConfig(environment)).toEqual({ ...DEFAULTS, ...expected });
  });

  test("a temporary folder, which is no data directory of one's own", () => {
    const { dataDir: _, ...rest } = DEFAULTS;
    expect(loadConfig({ ABSTRACTRUNTIME_TEMPORARY: "on" })).toEqual(rest);
    const both = { ABSTRACTRUNTIME_TEMPORARY: "on", ABSTRACTRUNTIME_DATA_DIR: "/x" };
    expect(() => loadConfig(both)).toThrow(/^ABSTRACTRUNTIME_TEMPORARY: .*ABSTRACTRUNTIME_DATA_DIR/);
  });

  test("TLS, as the texts of the files", () => {
    const { tls } = loadConfig({ ABSTRACTRUNTIME_TLS_CERT: cert, ABSTRACTRUNTIME_TLS_KEY: key });
    expect(tls?.cert).toContain("BEGIN CERTIFICATE");
    expect(tls?.key).toContain("BEGIN PRIVATE KEY");
  });
});

describe("refused, naming the variable", () => {
  test.each<[string, string, string?]>([
    ["ABSTRACTRUNTIME_LISTEN", "7400"],
    ["ABSTRACTRUNTIME_LISTEN", "127.0.0.1"],
    ["ABSTRACTRUNTIME_LISTEN", "127.0.0.1:65536"],
    ["ABSTRACTRUNTIME_LISTEN", "::1:7400"],
    ["ABSTRACTRUNTIME_LISTEN", "http://127.0.0.1:7400"],
    ["ABSTRACTRUNTIME_LISTEN", "0.0.0.0:7400", "--insecure"],
    ["ABSTRACTRUNTIME_LISTEN", "[::]:7400", "--insecure"],
    ["ABSTRACTRUNTIME_LISTEN", "192.168.1.2:7400", "no authentication"],
    ["ABSTRACTRUNTIME_INSECURE", "maybe"],
    ["ABSTRACTRUNTIME_HOSTS", "example.com:80"],
    ["ABSTRACTRUNTIME_HOSTS", "[::1]:80"],
    ["ABSTRACTRUNTIME_HOSTS", "https://example.com"],
    ["ABSTRACTRUNTIME_HOSTS", "*"],
    ["ABSTRACTRUNTIME_ORIGINS", "example.com"],
    ["ABSTRACTRUNTIME_ORIGINS", "https://example.com/"],
    ["ABSTRACTRUNTIME_ORIGINS", "*"],
    ["ABSTRACTRUNTIME_ORIGINS", "null"],
    ["DATABASE_URL", "mysql://u:secret@h/d"],
    ["ABSTRACTRUNTIME_DATABASE_DIRECT_URL", "nope"],
    ["ABSTRACTRUNTIME_LOG_LEVEL", "loud"],
    ["ABSTRACTRUNTIME_LANES", "0"],
    ["ABSTRACTRUNTIME_LANES", "65"],
    ["ABSTRACTRUNTIME_LANES", "4.5"],
    ["ABSTRACTRUNTIME_DATABASE_CONNECTIONS", "3"],
    ["ABSTRACTRUNTIME_DATABASE_CONNECTIONS", "1001"],
    ["ABSTRACTRUNTIME_DATABASE_CONNECTIONS", "many"],
    ["ABSTRACTRUNTIME_PREPARED_STATEMENTS", "perhaps"],
    ["ABSTRACTRUNTIME_WORKER_PING_MS", "99"],
    ["ABSTRACTRUNTIME_WORKER_SILENCE_MS", "10000", "ABSTRACTRUNTIME_WORKER_PING_MS"],
    ["ABSTRACTRUNTIME_WORKER_ACCEPT_MS", "5s"],
    ["ABSTRACTRUNTIME_WORKER_RECONNECT_MS", "600001"],
    ["ABSTRACTRUNTIME_WORKER_ORPHAN_MS", "-1"],
    ["ABSTRACTRUNTIME_TLS_CERT", join(directory, "missing.pem")],
    ["ABSTRACTRUNTIME_TLS_CERT", key],
  ])("%s=%s", (variable, value, says = "") => {
    const load = () => loadConfig({ [variable]: value });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(new RegExp(`^${variable}: .*${says}`));
    expect(load).not.toThrow(/secret/);
  });

  test("a certificate without its key", () => {
    expect(() => loadConfig({ ABSTRACTRUNTIME_TLS_CERT: cert })).toThrow(/^ABSTRACTRUNTIME_TLS_KEY: /);
    expect(() => loadConfig({ ABSTRACTRUNTIME_TLS_KEY: key })).toThrow(/^ABSTRACTRUNTIME_TLS_CERT: /);
  });

  test("TLS alone is not enough beyond loopback", () => {
    const environment = {
      ABSTRACTRUNTIME_LISTEN: "0.0.0.0:1",
      ABSTRACTRUNTIME_TLS_CERT: cert,
      ABSTRACTRUNTIME_TLS_KEY: key,
    };
    expect(() => loadConfig(environment)).toThrow(/--insecure/);
  });
});
