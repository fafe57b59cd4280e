import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@abstractruntime/proto/grpc/health/v1/health_pb";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "@abstractruntime/proto/grpc/reflection/v1/reflection_pb";
import { ServerReflection as ReflectionV1Alpha } from "@abstractruntime/proto/grpc/reflection/v1alpha/reflection_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { Engine, RunMessage } from "../engine/api.ts";
import { createFakeEngine, fakeRecord, fakeRun } from "../../../tests/support/fake-engine.ts";
import { envelope, http1Post, http2Post, rawCall } from "../../../tests/support/raw-client.ts";
import { createRpcServer, type RpcServerOptions } from "./server.ts";

const GET_RUN = `/${RuntimeService.typeName}/GetRun`;
const WATCH_RUN = `/${RuntimeService.typeName}/WatchRun`;
const runJson = Buffer.from('{"runId":"run-1"}');

/** A certificate made for this test: for 127.0.0.1, valid until 2125. It opens nothing. */
const TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUEQI2jIBxpxcwNQz0AayJ1Yr1ubkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzEwNDU0NFoYDzIxMjYxMDMw
MTA0NTQ0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR+fcvp7Ba+j0+atP3kl4ZH+xzBSPaeN93amIzvvhnQVwyJttvCx4cu
D33NZrmLccBI4WGE0R7s3ecfS6NdtYUZo2QwYjAdBgNVHQ4EFgQUKSjgb2WotKdu
EZCEMC2k2tL5EGowHwYDVR0jBBgwFoAUKSjgb2WotKduEZCEMC2k2tL5EGowDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IQDFjqZDBYJuKAh94EDKepxqTc2Iy+oM09QI/+mjTqfluwIgTybvITpldXbeV35s
1SYWkRUvrc52W6dXOzqvVM7PjqE=
-----END CERTIFICATE-----
`;
const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZLVOer5W0LlsVwEh
pu/+RhT+0a21gd+FuPaLI61N5KOhRANCAAR+fcvp7Ba+j0+atP3kl4ZH+xzBSPae
N93amIzvvhnQVwyJttvCx4cuD33NZrmLccBI4WGE0R7s3ecfS6NdtYUZ
-----END PRIVATE KEY-----
`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

type Setup = Partial<Pick<RpcServerOptions, "timing">> & { tls?: { cert: string; key: string } };

async function start(replaced: Partial<Engine> = {}, { timing, tls }: Setup = {}) {
  const engine = createFakeEngine(replaced);
  const server = createRpcServer({
    engine,
    config: { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [], ...(tls === undefined ? {} : { tls }) },
    log: pino({ level: "silent" }),
    ...(timing === undefined ? {} : { timing }),
  });
  cleanups.push(() => server.close(0));
  return { engine, server, ...(await server.listen()) };
}

/** A stream that never ends by itself: `pulled` counts the requested items, `released` resolves when the stream is
 *  released. */
function endlessWatch(message: RunMessage, options: { heedsSignal: boolean } = { heedsSignal: true }) {
  const released = Promise.withResolvers<void>();
  const state = { pulled: 0, released: released.promise };
  const watchRun: Engine["watchRun"] = async function* (_caller, { signal }) {
    try {
      while (!(options.heedsSignal && signal.aborted)) {
        state.pulled += 1;
        yield message;
      }
    } finally {
      released.resolve();
    }
  };
  return { state, watchRun };
}

/** A stream that yields one message and then waits to be aborted. */
const quietWatch: Engine["watchRun"] = async function* (_caller, { signal }) {
  yield { cursor: "1", stepRecord: fakeRecord() };
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
};

function clients(url: string) {
  const transports = {
    grpc: createGrpcTransport({ baseUrl: url }),
    "grpc-web over HTTP/1.1": createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" }),
    "connect over HTTP/1.1": createConnectTransport({ baseUrl: url, httpVersion: "1.1" }),
    "connect binary over HTTP/2": createConnectTransport({ baseUrl: url, httpVersion: "2", useBinaryFormat: true }),
  };
  return Object.entries(transports);
}

describe("one port", () => {
  test("serves every protocol, unary and streaming", async () => {
    const { url } = await start();
    for (const [, transport] of clients(url)) {
      const runtime = createClient(RuntimeService, transport);
      const { run } = await runtime.getRun({ runId: "run-7" });
      expect(run).toMatchObject({ runId: "run-7", vars: fakeRun().state.vars });
      const messages = [];
      for await (const message of runtime.watchRun({ runId: "run-1" })) messages.push(message.event.case);
      expect(messages).toEqual(["stepRecord", "heartbeat"]);
      const ledger = createClient(LedgerService, transport);
      const { stepRecord } = await ledger.getStepRecord({ runId: "run-1", seq: 4, includeProof: true });
      expect(stepRecord?.proof?.headerJson).toBe('{"v":1}');
    }
  });

  test("distinguishes HTTP/2 from HTTP/1.1 however the first bytes are split", async () => {
    const { port } = await start();
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
    const request = Buffer.from(
      "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    for (const [bytes, expected] of [
      [preface, "\0\0"],
      [request, "HTTP/1.1 404"],
    ] as const) {
      const socket = connectTcp(port, "127.0.0.1").setNoDelay(true);
      const first = new Promise<Buffer>((resolve) => socket.once("data", resolve));
      for (const byte of bytes) {
        await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
      }
      expect((await first).toString("latin1").startsWith(expected)).toBe(true);
      socket.destroy();
    }
  });

  test("serves all of it under TLS too", async () => {
    const tls = { cert: TEST_CERTIFICATE, key: TEST_KEY };
    const { url } = await start({}, { tls });
    expect(url).toMatch(/^https:/);
    const nodeOptions = { ca: tls.cert };
    const transports = [
      createGrpcTransport({ baseUrl: url, nodeOptions }),
      createConnectTransport({ baseUrl: url, httpVersion: "1.1", nodeOptions }),
    ];
    for (const transport of transports) {
      expect((await createClient(RuntimeService, transport).getRun({ runId: "r" })).run?.runId).toBe("r");
    }
  });

  test("fails to listen on a port that is in use", async () => {
    const { port } = await start();
    const config = { listen: { host: "127.0.0.1", port }, hosts: [], origins: [] };
    const second = createRpcServer({ engine: createFakeEngine(), config, log: pino({ level: "silent" }) });
    await expect(second.listen()).rejects.toMatchObject({ code: "EADDRINUSE" });
    await second.close(0);
  });
});

describe("plain requests", () => {
  test("/healthz and /readyz follow the engine and say what is wrong; /livez only says it", async () => {
    const { url, engine } = await start();
    const ask = async (path: string) => {
      const reply = await fetch(`${url}${path}`);
      return [reply.status, await reply.json()];
    };
    for (const path of ["/healthz", "/readyz", "/livez"]) {
      expect(await ask(path)).toEqual([200, { status: "SERVING", problems: [] }]);
    }
    engine.setServing(false);
    const unknown = { kind: "not_ready", message: expect.stringContaining("no lease") as string };
    expect(await ask("/healthz")).toEqual([503, { status: "NOT_SERVING", problems: [unknown] }]);
    const problem = { kind: "database_full", message: "no room", since: "2026-01-01T00:00:00.000Z" } as const;
    engine.problems = () => [problem];
    for (const path of ["/healthz", "/readyz"]) {
      expect(await ask(path)).toEqual([503, { status: "NOT_SERVING", problems: [problem] }]);
    }
    expect(await ask("/livez")).toEqual([200, { status: "NOT_SERVING", problems: [problem] }]);
    expect((await fetch(`${url}/healthz`, { method: "POST" })).status).toBe(405);
  });

  test.each([
    ["an unknown path", "GET", "/nope", {}, 404, "RPC_UNKNOWN"],
    ["the root", "GET", "/", {}, 404, "RPC_UNKNOWN"],
    ["metrics, which are not there yet", "GET", "/metrics", {}, 404, "RPC_UNKNOWN"],
    ["Connect GET", "GET", `${GET_RUN}?encoding=json&message=%7B%22runId%22%3A%22r%22%7D`, {}, 405, "REQUEST_INVALID"],
    ["another content type", "POST", GET_RUN, { "content-type": "text/plain" }, 415, "REQUEST_INVALID"],
    ["no content type", "POST", GET_RUN, {}, 415, "REQUEST_INVALID"],
    [
      "a stream's content type for a unary call",
      "POST",
      GET_RUN,
      { "content-type": "application/connect+json" },
      415,
      "REQUEST_INVALID",
    ],
    [
      "a unary call's content type for a stream",
      "POST",
      WATCH_RUN,
      { "content-type": "application/json" },
      415,
      "REQUEST_INVALID",
    ],
    ["a target that is no path", "POST", "*", { "content-type": "text/plain" }, 404, "RPC_UNKNOWN"],
  ])("%s", async (_name, method, path, headers, status, reason) => {
    const { url, engine } = await start();
    const reply = await http1Post(url, path, headers, Buffer.alloc(0), method);
    expect(reply.status).toBe(status);
    expect(reply.body.toString()).toContain(`"reason":"${reason}"`);
    expect(engine.calls).toEqual([]);
  });

  test.each(["grpc", "grpc-web", "connect", "connect-json"] as const)("an unknown RPC over %s", async (protocol) => {
    const { url } = await start();
    const path = `/${RuntimeService.typeName}/Nope`;
    const reply = await rawCall(url, { protocol, path, message: Buffer.alloc(0) });
    expect(reply).toMatchObject({
      code: Code.Unimplemented,
      reason: "RPC_UNKNOWN",
      metadata: { service: RuntimeService.typeName, method: "Nope" },
    });
  });

  test("an unknown streaming RPC over Connect", async () => {
    const { url } = await start();
    const path = `/${RuntimeService.typeName}/Nope`;
    const reply = await http1Post(
      url,
      path,
      { "content-type": "application/connect+json" },
      envelope(Buffer.from("{}")),
    );
    expect(reply.status).toBe(200);
    expect(reply.body.toString()).toContain('"code":"unimplemented"');
  });
});

describe("health", () => {
  test("checks and lists the services", async () => {
    const { url, engine } = await start();
    const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
    for (const service of ["", RuntimeService.typeName, LedgerService.typeName, WorkerService.typeName]) {
      expect((await health.check({ service })).status).toBe(Status.SERVING);
    }
    engine.setServing(false);
    expect((await health.check({})).status).toBe(Status.NOT_SERVING);
    expect(Object.keys((await health.list({})).statuses)).toEqual([
      "",
      RuntimeService.typeName,
      LedgerService.typeName,
      WorkerService.typeName,
    ]);
    await expect(health.check({ service: "nope" })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(health.check({ service: "x".repeat(70_000) })).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("Watch reports every change, and forgets a client that leaves", async () => {
    const { url, engine } = await start();
    const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
    const abort = new AbortController();
    const statuses: Status[] = [];
    const watching = (async () => {
      for await (const { status } of health.watch({}, { signal: abort.signal })) {
        statuses.push(status);
        if (statuses.length === 1) engine.setServing(false);
        else if (statuses.length === 2) engine.setServing(true);
        else abort.abort();
      }
    })();
    await expect(watching).rejects.toMatchObject({ code: Code.Canceled });
    expect(statuses).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
    await expect.poll(() => engine.listeners()).toBe(0);
  });

  test("Watch of an unknown service reports it and continues", async () => {
    const { url } = await start();
    const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
    const abort = new AbortController();
    const statuses = health.watch({ service: "nope" }, { signal: abort.signal })[Symbol.asyncIterator]();
    expect(await statuses.next()).toMatchObject({ value: { status: Status.SERVICE_UNKNOWN } });
    abort.abort();
    await expect(statuses.next()).rejects.toMatchObject({ code: Code.Canceled });
  });
});

describe("reflection, with a client that shares no code with the server", () => {
  /** Sends requests over @grpc/grpc-js, one after the other on one stream. */
  async function ask(port: number, service: string, questions: object[]) {
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    cleanups.push(() => client.close());
    const stream = client.makeBidiStreamRequest(
      `/${service}/ServerReflectionInfo`,
      (question: object) =>
        Buffer.from(toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, question))),
      (bytes: Buffer) => fromBinary(ServerReflectionResponseSchema, bytes),
    );
    for (const question of questions) stream.write(question);
    stream.end();
    const answers = [];
    for await (const answer of stream) answers.push((answer as ReturnType<typeof parse>).messageResponse);
    return answers;
  }
  const parse = (bytes: Buffer) => fromBinary(ServerReflectionResponseSchema, bytes);

  const files = (answer: Awaited<ReturnType<typeof ask>>[number] | undefined): FileDescriptorProto[] =>
    answer?.case === "fileDescriptorResponse"
      ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
      : [];

  test.each([ServerReflection.typeName, ReflectionV1Alpha.typeName])("%s answers every question", async (service) => {
    const { port } = await start();
    const [services, symbol, byName, extension, numbers, unknown] = await ask(port, service, [
      { messageRequest: { case: "listServices", value: "" } },
      { messageRequest: { case: "fileContainingSymbol", value: "abstractruntime.v1.RuntimeService.StartRun" } },
      { messageRequest: { case: "fileByFilename", value: "google/protobuf/struct.proto" } },
      {
        messageRequest: {
          case: "fileContainingExtension",
          value: { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 },
        },
      },
      { messageRequest: { case: "allExtensionNumbersOfType", value: "google.protobuf.MessageOptions" } },
      { messageRequest: { case: "fileContainingSymbol", value: "no.such.Thing" } },
    ]);
    expect(services?.case === "listServicesResponse" && services.value.service.map(({ name }) => name)).toEqual([
      RuntimeService.typeName,
      LedgerService.typeName,
      WorkerService.typeName,
      Health.typeName,
      ServerReflection.typeName,
      ReflectionV1Alpha.typeName,
    ]);
    const names = files(symbol).map(({ name }) => name);
    expect(names[0]).toBe("abstractruntime/v1/runtime_service.proto");
    expect(names).toEqual(expect.arrayContaining(["buf/validate/validate.proto", "google/protobuf/descriptor.proto"]));
    expect(files(byName).map(({ name }) => name)).toEqual(["google/protobuf/struct.proto"]);
    expect(files(extension)[0]?.name).toBe("buf/validate/validate.proto");
    expect(numbers?.case === "allExtensionNumbersResponse" && numbers.value.extensionNumber).toContain(1159);
    expect(unknown).toMatchObject({ case: "errorResponse", value: { errorCode: Code.NotFound } });
  });

  test("a client calls RPCs with only the descriptors that it received", async () => {
    const { port } = await start();
    const [answer] = await ask(port, ServerReflection.typeName, [
      { messageRequest: { case: "fileContainingSymbol", value: "abstractruntime.v1.RuntimeService" } },
    ]);
    const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files(answer) }));
    const definition = grpc.loadPackageDefinition(
      loadFileDescriptorSetFromBuffer(Buffer.from(set), { enums: String, keepCase: true }),
    );
    type Call = (
      request: object,
      done: (error: grpc.ServiceError | null, reply: { run: Record<string, unknown> }) => void,
    ) => void;
    const services = definition["abstractruntime"] as unknown as {
      v1: { RuntimeService: grpc.ServiceClientConstructor };
    };
    const client = new services.v1.RuntimeService(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    cleanups.push(() => client.close());
    const getRun = (client as unknown as { GetRun: Call }).GetRun.bind(client);
    const reply = await new Promise<{ run: Record<string, unknown> }>((resolve, reject) =>
      getRun({ run_id: "by-reflection" }, (error, value) => (error ? reject(error) : resolve(value))),
    );
    expect(reply.run).toMatchObject({ run_id: "by-reflection", status: "RUN_STATUS_RUNNING" });
    const refused = new Promise((resolve) => getRun({ run_id: "not an id" }, (error) => resolve(error)));
    expect(await refused).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: expect.stringContaining("runId") as string,
    });
  });

  test("a request with an unknown field is refused with details", async () => {
    const { url } = await start();
    const path = `/${ServerReflection.typeName}/ServerReflectionInfo`;
    const message = Buffer.from([0x3a, 0, 0xf8, 0x3e, 1]);
    const reply = await rawCall(url, { protocol: "grpc", path, message });
    expect(reply).toMatchObject({ code: Code.InvalidArgument, reason: "REQUEST_INVALID" });
    const broken = await rawCall(url, { protocol: "grpc", path, message: Buffer.from([0xff]) });
    expect(broken).toMatchObject({ code: Code.InvalidArgument, reason: "REQUEST_INVALID" });
  });
});

describe("streams", () => {
  const bigRecord = {
    cursor: "1",
    stepRecord: fakeRecord(1, { reason: "x".repeat(100_000) }),
  };

  test("a reader that reads nothing is ended with STREAM_TOO_SLOW, at a bounded number of messages", async () => {
    const { state, watchRun } = endlessWatch(bigRecord);
    const { url } = await start({ watchRun }, { timing: { streamStallMs: 300 } });
    const session = connectHttp2(url);
    cleanups.push(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": WATCH_RUN, "content-type": "application/grpc" });
    stream.end(envelope(Buffer.from([0x0a, 1, 0x72])));
    stream.pause();
    await state.released;
    // 64 KiB of window, 16 KiB of buffer, and what was in flight.
    expect(state.pulled).toBeLessThan(6);
    const trailers = new Promise<object>((resolve) => stream.once("trailers", resolve));
    stream.resume();
    expect(await trailers).toMatchObject({ "grpc-status": String(Code.ResourceExhausted) });
  });

  test("a reader that still reads nothing is disconnected", async () => {
    const { state, watchRun } = endlessWatch(bigRecord, { heedsSignal: false });
    const { port, server } = await start({ watchRun }, { timing: { streamStallMs: 50 } });
    const socket = connectTcp(port, "127.0.0.1").pause();
    cleanups.push(() => socket.destroy());
    const body = envelope(runJson);
    socket.write(`POST ${WATCH_RUN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n`);
    socket.write(`Content-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
    await state.released;
    // Waits for the call; its grace period is longer than this test waits.
    await server.close(600_000);
    expect(state.pulled).toBeGreaterThan(1);
  });

  test("a client that leaves frees the stream", async () => {
    for (const protocol of ["grpc", "connect over HTTP/1.1"]) {
      const { state, watchRun } = endlessWatch({ cursor: "1" });
      const { url } = await start({ watchRun });
      const transport = clients(url).find(([name]) => name === protocol)?.[1];
      if (transport === undefined) throw new Error(protocol);
      const abort = new AbortController();
      const messages = createClient(RuntimeService, transport).watchRun({ runId: "r" }, { signal: abort.signal });
      const read = async () => {
        for await (const message of messages) {
          expect(message.cursor).toBe("1");
          abort.abort();
        }
      };
      await expect(read()).rejects.toMatchObject({ code: Code.Canceled });
      await state.released;
    }
  });

  test.each(["grpc", "connect"])("an error in the middle of a stream over %s keeps its details", async (protocol) => {
    const { url } = await start({
      async *watchRun() {
        yield { cursor: "1" };
        throw new TypeError("a bug");
      },
    });
    const transport =
      protocol === "grpc"
        ? createGrpcTransport({ baseUrl: url })
        : createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
    const read = async () => {
      for await (const message of createClient(RuntimeService, transport).watchRun({ runId: "r" }))
        expect(message.cursor).toBe("1");
    };
    await expect(read()).rejects.toMatchObject({ code: Code.Internal, rawMessage: "internal error" });
  });

  test("a call's deadline ends a waiting call", async () => {
    const awaitRun: Engine["awaitRun"] = (_caller, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    const { url } = await start({ awaitRun });
    const call = createClient(RuntimeService, createGrpcTransport({ baseUrl: url })).awaitRun(
      { runId: "r" },
      { timeoutMs: 50 },
    );
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });
});

describe("a request that does not arrive", () => {
  test("is abandoned while its headers are missing", async () => {
    const { port } = await start({}, { timing: { requestTimeoutMs: 50 } });
    const socket = connectTcp(port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nHost: local");
    const reply = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(reply.toString()).toContain("408 Request Timeout");
    socket.destroy();
  });

  test("is abandoned while its body is missing", async () => {
    const { port } = await start({}, { timing: { requestTimeoutMs: 50 } });
    const socket = connectTcp(port, "127.0.0.1");
    socket.write(
      `POST ${GET_RUN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    );
    const reply = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(reply.toString()).toContain("took too long");
    socket.destroy();
  });

  test("a body that is too large is refused by its declared length, before it is sent", async () => {
    const { port, engine } = await start();
    const socket = connectTcp(port, "127.0.0.1");
    socket.write(
      `POST ${GET_RUN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n`,
    );
    const reply = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(reply.toString()).toContain("PAYLOAD_TOO_LARGE");
    expect(engine.calls).toEqual([]);
    socket.destroy();
  });

  test("headers beyond 16 KiB are refused by HTTP/1.1, beyond 64 KiB by HTTP/2", async () => {
    const { url, engine } = await start();
    const headers = { "content-type": "application/json", "x-big": "x".repeat(20_000) };
    expect((await http1Post(url, GET_RUN, headers, runJson)).status).toBe(431);
    const more = { ...headers, "x-bigger": "x".repeat(60_000) };
    const reply = await http2Post(url, GET_RUN, more, runJson).catch(() => undefined);
    expect(reply?.status).not.toBe(200);
    expect(engine.calls).toEqual([]);
  });
});

describe("close", () => {
  test("lets current calls finish, ends streams with SHUTTING_DOWN, refuses new calls", async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const getRun: Engine["getRun"] = async () => {
      entered.resolve();
      await gate.promise;
      return fakeRun();
    };
    const { url, server } = await start({ getRun, watchRun: quietWatch });
    const runtime = createClient(RuntimeService, createGrpcTransport({ baseUrl: url }));
    const unary = runtime.getRun({ runId: "r" });
    const stream = runtime.watchRun({ runId: "r" })[Symbol.asyncIterator]();
    expect(await stream.next()).toMatchObject({ value: { cursor: "1" } });
    await entered.promise;
    const closed = server.close(10_000);
    const ended = await stream.next().then(() => undefined, ConnectError.from);
    expect(ended).toMatchObject({ code: Code.Unavailable, rawMessage: "the server is stopping" });
    expect(ended?.details).toMatchObject([{ type: "google.rpc.ErrorInfo" }]);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow("fetch failed");
    gate.resolve();
    expect((await unary).run?.runId).toBe("run-1");
    await closed;
  });

  test("waits no longer than the grace period for a call that hangs", async () => {
    const entered = Promise.withResolvers<void>();
    const hang = new Promise<never>(() => undefined);
    const getRun: Engine["getRun"] = () => {
      entered.resolve();
      return hang;
    };
    const { url, server } = await start({ getRun });
    const call = createClient(RuntimeService, createGrpcTransport({ baseUrl: url })).getRun({ runId: "r" });
    const outcome = call.then(() => undefined, ConnectError.from);
    await entered.promise;
    await server.close(20);
    expect(await outcome).toBeInstanceOf(ConnectError);
  });

  test("does not wait for idle connections", async () => {
    const { url, server } = await start();
    const runtime = createClient(RuntimeService, createGrpcTransport({ baseUrl: url }));
    await runtime.getRun({ runId: "r" });
    expect((await fetch(`${url}/healthz`, { headers: { connection: "keep-alive" } })).status).toBe(200);
    await server.close(60_000);
  });
});
