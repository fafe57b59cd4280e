/**
 * The server's one port: gRPC, gRPC-Web, Connect, health, reflection, /healthz, /readyz and /livez, over HTTP/2 and
 * HTTP/1.1, in clear text or TLS.
 *
 * In clear text, a connection that begins with HTTP/2's preface is HTTP/2, and any other is HTTP/1.1. Under TLS, the
 * client chooses.
 */
import { createServer as createHttp1Server, type Server as Http1Server } from "node:http";
import {
  createSecureServer,
  createServer as createHttp2Server,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { Health } from "@abstractruntime/proto/grpc/health/v1/health_pb";
import { ServerReflection as ReflectionV1 } from "@abstractruntime/proto/grpc/reflection/v1/reflection_pb";
import { ServerReflection as ReflectionV1Alpha } from "@abstractruntime/proto/grpc/reflection/v1alpha/reflection_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import { createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import type { Engine } from "../engine/api.ts";
import { authInterceptor } from "./auth.ts";
import { mapErrorsInterceptor, refusalToConnectError } from "./error-mapping.ts";
import { createGateway, type Gateway } from "./gateway.ts";
import { createHealth, type Serving } from "./health.ts";
import { createLedgerService } from "./ledger-service.ts";
import { loggingInterceptor } from "./logging.ts";
import { createReflectionIndex, reflect } from "./reflection.ts";
import { createReplyEncoder, type ReplyEncoder } from "./reply-encoding.ts";
import { decodedRequestInterceptor, REQUEST_BYTES_MAX } from "./request-decoding.ts";
import { createRuntimeService } from "./runtime-service.ts";
import { createTurns } from "./turns.ts";
import { validationInterceptor } from "./validation.ts";
import { createWorkerService } from "./worker-service.ts";

/** Room for a credential, a trace and what proxies add; Node's own default for HTTP/1.1. */
const HEADER_BYTES_MAX = 16 * 1024;
/** Far more than workers and clients need, and less than the usual limit of open files. */
const CONNECTIONS_MAX = 10_000;
/** A client with many goroutines or promises shares one connection. Each stream may hold a request of 3 MiB. */
const STREAMS_PER_CONNECTION_MAX = 256;
/** If more than this waits to be sent on a connection, node:http2 refuses new streams on it. */
const SESSION_MEMORY_MB_MAX = 64;
/** Streams that a client may reset at once, and per second afterwards, before its connection is ended. Twice as many as
 *  it may have open, because a client whose deadlines expire together resets all of them. */
const RESETS_MAX = 2 * STREAMS_PER_CONNECTION_MAX;
const RESETS_PER_SECOND = 50;
/** Flow-control window of a stream: a payload fits without waiting for the server to ask for more. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 4 * STREAM_WINDOW_BYTES;
/** An idle HTTP/1.1 connection is kept a little longer than most proxies keep theirs. */
const KEEP_ALIVE_MS = 65_000;
/** A connection that sends nothing must not keep a socket. */
const PREFACE_TIMEOUT_MS = 10_000;
/** How often an HTTP/2 connection is pinged, and how long its answer may take. */
const PING_INTERVAL_MS = 30_000;
const PING_TIMEOUT_MS = 20_000;
/** How long a request's headers, and its body, may take to arrive. */
const HEADERS_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 60_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long the client of a stream may read nothing. */
const STREAM_STALL_MS = 30_000;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export type RpcServer = {
  /** Starts to listen. `port` is the real port, even if the configuration says 0. */
  listen(): Promise<{ url: string; port: number }>;
  /** Refuses new calls, lets current ones finish for up to `graceMs`, and ends streams with SHUTTING_DOWN. */
  close(graceMs: number): Promise<void>;
};

/** The configuration of the transport. */
export type RpcConfig = {
  listen: { host: string; port: number };
  /** Host names that requests may use besides loopback. */
  hosts: readonly string[];
  /** Origins of web pages that may call the server. */
  origins: readonly string[];
  /** PEM texts. */
  tls?: { cert: string; key: string };
};

export type RpcServerOptions = {
  engine: Engine;
  config: RpcConfig;
  log: Logger;
  /** For tests: time limits that would make them wait, and more connections than they could open. */
  timing?: { requestTimeoutMs?: number; streamStallMs?: number };
  connectionsMax?: number;
};

export function createRpcServer({
  engine,
  config,
  log,
  timing = {},
  connectionsMax = CONNECTIONS_MAX,
}: RpcServerOptions): RpcServer {
  const requestTimeoutMs = timing.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  let isStopping = false;
  const calls = new Set<Promise<void>>();
  const serving: Serving = {
    isServing: () => !isStopping && engine.isServing(),
    problems() {
      const problems = engine.problems();
      if (isStopping) return [...problems, { kind: "stopping", message: "the server is stopping" }];
      if (problems.length > 0 || engine.isServing()) return problems;
      return [
        { kind: "not_ready", message: "the server has no lease, or no write to the database went through lately" },
      ];
    },
    onServingChange: (callback) => engine.onServingChange(callback),
  };
  const large = createTurns();
  const replies = createReplyEncoder(large);
  const gateway = createGateway({
    handlers: createHandlers(engine, serving, replies, log),
    turns: { intake: createTurns(), large },
    replies,
    access: { hosts: config.hosts, origins: config.origins },
    log,
    serving,
    requestTimeoutMs,
    streamStallMs: timing.streamStallMs ?? STREAM_STALL_MS,
  });
  const listener = createListener({ config, requestTimeoutMs, connectionsMax, log }, (request, response) => {
    const call = gateway.handle(request, response).finally(() => calls.delete(call));
    calls.add(call);
  });

  return {
    async listen() {
      const { host, port } = config.listen;
      await new Promise<void>((resolve, reject) => {
        listener.server.once("error", reject);
        listener.server.listen({ host, port }, () => {
          listener.server.off("error", reject);
          resolve();
        });
      });
      const address = listener.server.address();
      if (address === null || typeof address === "string") throw new Error("the server has no TCP address");
      const name = REACHABLE_AS[host] ?? (host.includes(":") ? `[${host}]` : host);
      const scheme = config.tls === undefined ? "http" : "https";
      return { url: `${scheme}://${name}:${address.port}`, port: address.port };
    },

    async close(graceMs) {
      isStopping = true;
      const closed = listener.stopAccepting();
      gateway.stop(refusalToConnectError(new DomainError("SHUTTING_DOWN", "the server is stopping")));
      await Promise.race([Promise.all(calls), elapsed(graceMs)]);
      listener.closeIdle();
      await Promise.race([closed, elapsed(CLOSE_FLUSH_MS)]);
      listener.destroyAll();
      await closed;
    },
  };
}

/** Wildcard addresses: bindable but not dialable. The server does not serve requests for these names either. */
const REACHABLE_AS: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" };

/** How long it may take to send the last frames of answered calls. */
const CLOSE_FLUSH_MS = 500;

function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** Every RPC that the server offers, in every protocol. */
function createHandlers(
  engine: Engine,
  serving: Serving,
  replies: ReplyEncoder,
  log: Logger,
): readonly UniversalHandler[] {
  const router = createConnectRouter({
    // Requests are already decompressed. Replies are not compressed: most peers are near, and gRPC clients offer gzip
    // by default, which costs several times as much as the call.
    acceptCompression: [],
    readMaxBytes: REQUEST_BYTES_MAX,
    jsonOptions: { ignoreUnknownFields: false },
    interceptors: [
      loggingInterceptor(log),
      mapErrorsInterceptor(),
      replies.interceptor(),
      decodedRequestInterceptor(),
      authInterceptor(),
      validationInterceptor(),
    ],
  });
  const services = [RuntimeService, LedgerService, WorkerService, Health, ReflectionV1, ReflectionV1Alpha];
  const index = createReflectionIndex(services);
  router.service(RuntimeService, createRuntimeService(engine, replies));
  router.service(LedgerService, createLedgerService(engine, replies));
  router.service(WorkerService, createWorkerService(engine));
  router.service(Health, createHealth(serving));
  router.service(ReflectionV1, { serverReflectionInfo: (requests) => reflect(index, requests) });
  router.service(ReflectionV1Alpha, { serverReflectionInfo: (requests) => reflect(index, requests) });
  return router.handlers;
}

type OnRequest = (...[request, response]: Parameters<Gateway["handle"]>) => void;

type Listener = {
  server: TcpServer;
  /** Accepts no more connections and asks HTTP/2 connections to end; resolves when all are closed. */
  stopAccepting(): Promise<void>;
  closeIdle(): void;
  destroyAll(): void;
};

type ListenerOptions = { config: RpcConfig; requestTimeoutMs: number; connectionsMax: number; log: Logger };

function createListener(options: ListenerOptions, onRequest: OnRequest): Listener {
  const { config, requestTimeoutMs } = options;
  const http2Options = {
    maxSessionMemory: SESSION_MEMORY_MB_MAX,
    streamResetBurst: RESETS_MAX,
    streamResetRate: RESETS_PER_SECOND,
    settings: {
      maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX,
      maxHeaderListSize: HEADER_BYTES_MAX,
      initialWindowSize: STREAM_WINDOW_BYTES,
    },
  };
  const http1Options = {
    maxHeaderSize: HEADER_BYTES_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: Math.min(requestTimeoutMs, HEADERS_TIMEOUT_MS),
    // request-decoding.ts limits the time of a body, with a refusal that says so. This is for requests that never get
    // there.
    requestTimeout: requestTimeoutMs * 10,
    connectionsCheckingInterval: Math.ceil(Math.min(requestTimeoutMs, HEADERS_TIMEOUT_MS) / 4),
  };
  if (config.tls !== undefined) {
    const { cert, key } = config.tls;
    const tlsOptions = { allowHTTP1: true, cert, key, handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
    const secure = createSecureServer({ ...http2Options, ...http1Options, ...tlsOptions }, onRequest);
    return trackConnections(options, secure, secure);
  }
  const http1 = createHttp1Server(http1Options, onRequest);
  const http2 = createHttp2Server(http2Options, onRequest);
  const tcp = createTcpServer({ noDelay: true }, (socket) => {
    sniffPreface(socket, (isHttp2) => (isHttp2 ? http2 : http1).emit("connection", socket));
  });
  // node:http enforces its timeouts only while it listens itself.
  tcp.once("listening", () => http1.emit("listening"));
  tcp.once("close", () => http1.close(() => undefined));
  return trackConnections(options, tcp, http2, http1);
}

/** Detects the protocol of a connection from its first bytes, and puts them back. */
function sniffPreface(socket: Socket, onKnown: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const onError = () => socket.destroy();
  const onData = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, PREFACE.length);
    const matches = seen.subarray(0, compared).equals(PREFACE.subarray(0, compared));
    if (matches && compared < PREFACE.length) return;
    clearTimeout(timer);
    socket.off("data", onData).off("error", onError);
    socket.pause();
    socket.unshift(seen);
    onKnown(matches);
    // node:http2 reads the bytes that were put back by itself; node:http waits until the socket is resumed.
    if (!matches) socket.resume();
  };
  const timer = setTimeout(onError, PREFACE_TIMEOUT_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.on("error", onError).on("data", onData);
}

function trackConnections(
  { connectionsMax, log }: Pick<ListenerOptions, "connectionsMax" | "log">,
  server: TcpServer,
  http2: Http2Server | Http2SecureServer,
  http1?: Http1Server,
): Listener {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  server.maxConnections = connectionsMax;
  server.on("drop", () => log.warn({ connectionsMax }, "a connection was refused: there are too many"));
  let isStopping = false;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    keepAlive(session);
    if (isStopping) session.close();
  });
  return {
    server,
    stopAccepting() {
      isStopping = true;
      const closed = new Promise<void>((resolve) => {
        if (!server.listening) return resolve();
        server.close(() => resolve());
      });
      for (const session of sessions) session.close();
      http1?.closeIdleConnections();
      return closed;
    },
    closeIdle: () => http1?.closeIdleConnections(),
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Ends a connection whose peer has vanished without closing it. */
function keepAlive(session: ServerHttp2Session): void {
  const interval = setInterval(() => {
    const overdue = setTimeout(() => session.destroy(), PING_TIMEOUT_MS).unref();
    session.ping(() => clearTimeout(overdue));
  }, PING_INTERVAL_MS).unref();
  session.once("close", () => clearInterval(interval));
}
