import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { Code } from "@connectrpc/connect";
import pino from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DomainError } from "../core/errors.ts";
import { assertAccess, hostOf, isLoopbackHost } from "./access.ts";
import { createFakeEngine } from "../../../tests/support/fake-engine.ts";
import { http1Post, rawCall } from "../../../tests/support/raw-client.ts";
import { createRpcServer, type RpcServer } from "./server.ts";

const PATH = `/${RuntimeService.typeName}/GetRun`;
const ALLOWED = "https://app.example.com";
const JSON_TYPE = { "content-type": "application/json" };
const body = Buffer.from('{"runId":"run-1"}');

const engine = createFakeEngine();
let server: RpcServer;
let url: string;
let port: number;

beforeAll(async () => {
  const config = { listen: { host: "127.0.0.1", port: 0 }, hosts: ["runtime.example.com"], origins: [ALLOWED] };
  server = createRpcServer({ engine, config, log: pino({ level: "silent" }) });
  ({ url, port } = await server.listen());
});
afterAll(() => server.close(0));
beforeEach(() => {
  engine.calls.length = 0;
});

describe("host", () => {
  test.each([
    "localhost",
    "LOCALHOST:7400",
    "127.0.0.1:1",
    "127.255.0.9",
    "[::1]:7400",
    "runtime.example.com",
    "Runtime.Example.com:443",
  ])("%s is answered", async (host) => {
    const reply = await http1Post(url, PATH, { ...JSON_TYPE, host }, body);
    expect(reply.status).toBe(200);
  });

  test.each([
    "evil.example.com",
    "localhost.evil.com",
    "127.0.0.1.evil.com",
    "127.0.0.256",
    "0.0.0.0",
    "192.168.0.1",
    "[::2]",
    "user@localhost",
    "localhost:99999999",
    "a b",
  ])("%s is refused", async (host) => {
    const reply = await http1Post(url, PATH, { ...JSON_TYPE, host }, body);
    expect(reply.status).toBe(403);
    expect(reply.body.toString()).toContain('"reason":"HOST_REFUSED"');
    expect(engine.calls).toEqual([]);
  });

  test.each(["GET", "OPTIONS"])("a rebound page gets nothing by %s either", async (method) => {
    for (const path of ["/healthz", "/", PATH]) {
      const reply = await http1Post(
        url,
        path,
        { host: "evil.example.com", origin: "http://evil.example.com" },
        Buffer.alloc(0),
        method,
      );
      expect(reply.status).toBe(403);
      expect(reply.headers).not.toHaveProperty("access-control-allow-origin");
    }
  });

  test("over gRPC, the refusal is a gRPC status", async () => {
    const reply = await rawCall(url, {
      protocol: "grpc",
      path: PATH,
      message: body,
      headers: { ":authority": "evil.com" },
    });
    expect(reply).toMatchObject({
      status: 200,
      code: Code.PermissionDenied,
      reason: "HOST_REFUSED",
      metadata: { host: "evil.com" },
    });
  });

  test("a request without a host is refused", () => {
    const request = { authorities: [], scheme: "http", origin: undefined } as const;
    expect(() => assertAccess({ hosts: [], origins: [] }, request)).toThrow(DomainError);
  });

  test("a second host besides :authority is also checked", () => {
    const request = { authorities: ["localhost", "evil.com"], scheme: "http", origin: undefined } as const;
    expect(() => assertAccess({ hosts: [], origins: [] }, request)).toThrow(DomainError);
  });
});

describe("origin", () => {
  test("a request without an origin is not from a page", async () => {
    expect((await http1Post(url, PATH, JSON_TYPE, body)).headers).not.toHaveProperty("access-control-allow-origin");
  });

  test("pages of the same or an allowed origin may read replies and refusals", async () => {
    for (const origin of [ALLOWED, `http://127.0.0.1:${port}`]) {
      for (const [path, status] of [
        [PATH, 200],
        [`${PATH}s`, 501],
        ["/healthz", 405],
      ] as const) {
        const reply = await http1Post(url, path, { ...JSON_TYPE, origin }, body);
        expect(reply).toMatchObject({ status, headers: { "access-control-allow-origin": origin, vary: "origin" } });
        expect(reply.headers["access-control-expose-headers"]?.toLowerCase()).toContain("grpc-status-details-bin");
      }
    }
  });

  test.each([
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.com",
    "http://localhost:1",
    "null",
    "",
  ])("%s is refused in every protocol", async (origin) => {
    for (const protocol of ["connect-json", "connect", "grpc-web", "grpc"] as const) {
      const reply = await rawCall(url, { protocol, path: PATH, message: body, headers: { origin } });
      expect(reply.status).toBe(protocol === "grpc" ? 200 : 403);
      expect(reply).toMatchObject({ code: Code.PermissionDenied, reason: "ORIGIN_REFUSED", metadata: { origin } });
      expect(reply.headers).not.toHaveProperty("access-control-allow-origin");
    }
    expect(engine.calls).toEqual([]);
  });

  test("the same host under another scheme is another origin", async () => {
    const reply = await http1Post(url, PATH, { ...JSON_TYPE, origin: `https://127.0.0.1:${port}` }, body);
    expect(reply.status).toBe(403);
  });
});

describe("preflight", () => {
  const preflight = (origin: string) =>
    http1Post(
      url,
      PATH,
      { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
      Buffer.alloc(0),
      "OPTIONS",
    );

  test("of an allowed origin", async () => {
    const reply = await preflight(ALLOWED);
    expect(reply).toMatchObject({
      status: 204,
      headers: { "access-control-allow-origin": ALLOWED, "access-control-allow-methods": "POST", vary: "origin" },
    });
    const allowed = reply.headers["access-control-allow-headers"]?.toLowerCase() ?? "";
    for (const name of ["content-type", "connect-protocol-version", "x-grpc-web", "grpc-timeout", "authorization"]) {
      expect(allowed.split(", ")).toContain(name);
    }
  });

  test("of another origin", async () => {
    const reply = await preflight("https://evil.example.com");
    expect(reply.status).toBe(403);
    expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

test.each([
  ["localhost", "localhost"],
  ["Example.COM:80", "example.com"],
  ["[::1]:7400", "::1"],
  ["[::1]", "::1"],
  ["::1", undefined],
  ["a@b", undefined],
  ["a/b", undefined],
  ["", undefined],
])("hostOf(%s)", (authority, host) => {
  expect(hostOf(authority)).toBe(host);
});

test.each([
  ["127.0.0.1", true],
  ["127.1.2.3", true],
  ["::1", true],
  ["localhost", true],
  ["127.1", false],
  ["128.0.0.1", false],
  ["0.0.0.0", false],
  ["mylocalhost", false],
])("isLoopbackHost(%s)", (host, isLoopback) => {
  expect(isLoopbackHost(host)).toBe(isLoopback);
});
