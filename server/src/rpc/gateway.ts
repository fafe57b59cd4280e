/**
 * Handles a request in this order: admit it (access.ts); answer a preflight or a plain page; find its RPC; decode it
 * strictly (request-decoding.ts); hand it to connect; write the reply at the reader's pace (response-writing.ts).
 *
 * A refusal at any step is also handed to connect, which writes it in the client's protocol.
 */
import { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { Health } from "@abstractruntime/proto/grpc/health/v1/health_pb";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import {
  createAsyncIterable,
  type UniversalHandler,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import { type AccessRules, assertAccess, corsHeaders, preflightHeaders } from "./access.ts";
import {
  type BodyRoom,
  checkTimeout,
  type DecodedRequest,
  decodedRequestKey,
  decodeRequest,
  emptyBody,
  ENVELOPE_BYTES,
  readBody,
  REQUEST_BYTES_MAX,
  type RequestForm,
  requestForm,
} from "./request-decoding.ts";
import { isNativeGrpc } from "./error-mapping.ts";
import type { Serving } from "./health.ts";
import { type Outbox, outboxKey, type ReplyEncoder, withEncoded } from "./reply-encoding.ts";
import { type NodeResponse, writeResponse } from "./response-writing.ts";
import type { Turns } from "./turns.ts";

/** For orchestrators, load balancers and people; no protocol, no credentials. */
const HEALTH_PATHS: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/livez"]);

type NodeRequest = IncomingMessage | Http2ServerRequest;

/** How long a client may go on sending a request after its reply. */
const LATE_BODY_MS = 2_000;

/** Requests outside every RPC protocol receive refusals as Connect errors, which are JSON. */
const PLAIN_FORM = requestFormOf("application/json");

export type GatewayOptions = {
  handlers: readonly UniversalHandler[];
  access: AccessRules;
  log: Logger;
  /** `intake` is for what every request costs, `large` for large messages: small requests do not wait for those. */
  turns: { intake: Turns; large: Turns };
  replies: Pick<ReplyEncoder, "createOutbox">;
  serving: Pick<Serving, "isServing" | "problems">;
  requestTimeoutMs: number;
  streamStallMs: number;
};

export type Gateway = {
  /** The listener for requests of every protocol; resolves when the reply is written, never rejects. */
  handle(request: NodeRequest, response: NodeResponse): Promise<void>;
  /** Refuses new calls and aborts the current ones with `reason`: streams end, other calls finish unless they only
   *  wait. */
  stop(reason: ConnectError): void;
};

/** Everything about a request that the steps below share. */
type Call = { request: NodeRequest; response: NodeResponse; path: string; header: Headers; abort: AbortController };

export function createGateway(options: GatewayOptions): Gateway {
  const { access, log, streamStallMs, turns } = options;
  const handlers = new Map(options.handlers.map((handler) => [handler.requestPath, handler]));
  const refusers = refusersOf(handlers);
  const atWork = new Set<AbortController>();
  const room: BodyRoom = { bytes: 0 };
  let stopReason: ConnectError | undefined;

  const serve = async (call: Call): Promise<void> => {
    const { request, path, header } = call;
    const origin = header.get("origin") ?? undefined;
    const contentType = header.get("content-type") ?? "";
    const form = requestForm(contentType);
    try {
      assertAccess(access, { authorities: authoritiesOf(request), scheme: schemeOf(request), origin });
    } catch (error) {
      return await refuse(call, error, { status: 403 });
    }
    if (request.method === "OPTIONS") return await reply(call, preflightResponse(origin));
    for (const [name, value] of Object.entries(origin === undefined ? {} : corsHeaders(origin))) {
      call.response.setHeader(name, value);
    }
    if (HEALTH_PATHS.has(path)) return await reply(call, healthResponse(request.method, path, options.serving));
    const handler = handlers.get(path);
    if (handler === undefined) return await refuse(call, rpcUnknown(path), form === undefined ? { status: 404 } : {});
    if (request.method !== "POST") {
      return await refuse(call, requestInvalid("an RPC must be a POST"), { status: 405, header: { allow: "POST" } });
    }
    if (form === undefined || !handler.supportedContentType(contentType)) {
      const refusal = requestInvalid(`the content-type must be one of ${contentTypesOf(handler)}`);
      return await refuse(call, refusal, { status: 415, header: { "accept-post": contentTypesOf(handler) } });
    }
    if (stopReason !== undefined) return await refuse(call, stopReason);
    if (isStreamOfRequests(handler)) {
      try {
        checkTimeout(form, header);
      } catch (error) {
        return await refuse(call, error);
      }
      return await reply(call, await handler(universalRequest(call, request)));
    }
    const decoded = await decode(call, handler, form);
    const universal = decodedRequest(call, form, decoded);
    const outbox = options.replies.createOutbox();
    universal.contextValues?.set(outboxKey, outbox);
    try {
      await reply(call, encodedResponse(await handler(universal), outbox, form));
    } finally {
      outbox.close();
    }
  };

  const decode = async (call: Call, handler: UniversalHandler, form: RequestForm): Promise<DecodedRequest> => {
    try {
      checkTimeout(form, call.header);
      const bytesMax = REQUEST_BYTES_MAX + (form.isEnveloped ? ENVELOPE_BYTES : 0);
      const bounds = { bytesMax, timeoutMs: options.requestTimeoutMs, room };
      const body = await readBody(call.request, bounds);
      await turnOf(turns.intake);
      return { message: await decodeRequest(handler.method.input, form, call.header, body, turns.large) };
    } catch (refusal) {
      return { refusal };
    }
  };

  /** Writes a refusal in the client's protocol, or as JSON with an HTTP status if the request uses no protocol. */
  const refuse = async (
    call: Call,
    refusal: unknown,
    plain: { status?: number; header?: Record<string, string> } = {},
  ): Promise<void> => {
    const contentType = call.header.get("content-type") ?? "";
    const handler = plain.status === 404 ? undefined : refusers.find((each) => each.supportedContentType(contentType));
    const form = (handler === undefined ? undefined : requestForm(contentType)) ?? PLAIN_FORM;
    const refuser = handler ?? refusers[0];
    if (refuser === undefined) throw new Error("no RPC can carry a refusal");
    if (form === PLAIN_FORM) call.header.set("content-type", "application/json");
    const response = await refuser(decodedRequest(call, form, { refusal }));
    for (const [name, value] of Object.entries(plain.header ?? {})) response.header?.set(name, value);
    // gRPC clients read the trailers only if the HTTP status is 200.
    const { status } = isNativeGrpc(contentType) ? response : { ...response, ...plain };
    await reply(call, { ...response, status });
    // Discard the rest of a refused request, which would block the connection's next one.
    call.request.resume();
  };

  const universalRequest = (call: Call, body: NodeRequest | Uint8Array): UniversalServerRequest => ({
    httpVersion: call.request.httpVersion,
    method: "POST",
    // The host was checked already, or was refused and may be anything.
    url: `http://localhost${call.path.startsWith("/") ? call.path : "/"}`,
    header: call.header,
    body: body instanceof Uint8Array ? createAsyncIterable([body]) : partsOf(body),
    signal: call.abort.signal,
    contextValues: createContextValues(),
  });

  const decodedRequest = (call: Call, form: RequestForm, decoded: DecodedRequest): UniversalServerRequest => {
    for (const name of [form.encodingHeader, "content-length"]) call.header.delete(name);
    // A malformed or expired deadline would hide why the call was refused.
    if ("refusal" in decoded) call.header.delete(form.timeoutHeader);
    const universal = universalRequest(call, emptyBody(form));
    universal.contextValues?.set(decodedRequestKey, decoded);
    return universal;
  };

  const reply = async ({ response, abort }: Call, universal: UniversalServerResponse): Promise<void> => {
    const onStall = () => abort.abort(new DomainError("STREAM_TOO_SLOW", "the client read the stream too slowly"));
    await writeResponse(universal, response, { stallMs: streamStallMs, onStall });
  };

  const handle = async (request: NodeRequest, response: NodeResponse): Promise<void> => {
    const abort = new AbortController();
    atWork.add(abort);
    response.once("close", () => abort.abort(new ConnectError("the client is gone", Code.Canceled)));
    // An error also emits `close`; without a listener it would end the process.
    request.on("error", () => undefined);
    try {
      await turnOf(turns.intake);
      // A flood of requests that are reset at once costs little: most are gone before their turn comes.
      if (abort.signal.aborted) return;
      const path = request.url?.split("?", 1)[0] ?? "";
      await serve({ request, response, path, header: headerOf(request), abort });
    } catch (error) {
      log.error({ err: error }, "a request failed outside its RPC");
      if (!response.headersSent) response.statusCode = 500;
      response.end();
    } finally {
      atWork.delete(abort);
      if (request instanceof IncomingMessage && !request.complete) endAfter(request, LATE_BODY_MS);
    }
  };

  const stop = (reason: ConnectError): void => {
    stopReason = reason;
    for (const abort of atWork) abort.abort(reason);
  };

  return { handle, stop };
}

/** Ends an HTTP/1.1 connection whose client still sends a request that has been answered. Not at once: a client that
 *  cannot write any more might not read the reply. HTTP/2 resets the stream (response-writing.ts). */
function endAfter(request: IncomingMessage, ms: number): void {
  const timer = setTimeout(() => request.socket.destroy(), ms).unref();
  request.once("end", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
  request.resume();
}

/** Resolves in a turn of the event loop that has time for a request. */
async function turnOf(turns: Turns): Promise<void> {
  await turns.run(() => undefined, { isSheddable: false });
}

/** The response with its encoded messages in place of the empty ones that connect wrote. */
function encodedResponse(
  response: UniversalServerResponse,
  outbox: Outbox,
  { isEnveloped }: RequestForm,
): UniversalServerResponse {
  if (response.body === undefined) return response;
  // The length of the only message, unless it is an error.
  if (!isEnveloped && outbox.bytes > 0) response.header?.set("content-length", String(outbox.bytes));
  return { ...response, body: withEncoded(response.body, outbox, isEnveloped) };
}

/** The RPCs through which refusals are written, whatever the request was for: only their protocols are used. */
function refusersOf(handlers: ReadonlyMap<string, UniversalHandler>): UniversalHandler[] {
  return [Health.method.check, Health.method.watch].flatMap(
    (method) => handlers.get(`/${Health.typeName}/${method.name}`) ?? [],
  );
}

function requestFormOf(contentType: string): RequestForm {
  const form = requestForm(contentType);
  if (form === undefined) throw new Error(`${contentType} is not the content-type of a request`);
  return form;
}

function isStreamOfRequests({ method }: UniversalHandler): boolean {
  return method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
}

function contentTypesOf({ method }: UniversalHandler): string {
  const connect = method.methodKind === "unary" ? "application/" : "application/connect+";
  return `${connect}json, ${connect}proto, application/grpc, application/grpc-web`;
}

function requestInvalid(message: string): DomainError {
  return new DomainError("REQUEST_INVALID", message);
}

function rpcUnknown(path: string): DomainError {
  const [service = "", method = ""] = path.slice(1).split("/");
  return new DomainError("RPC_UNKNOWN", "the server has no such RPC", { metadata: { service, method } });
}

function preflightResponse(origin: string | undefined): UniversalServerResponse {
  return { status: 204, header: new Headers(origin === undefined ? { allow: "POST" } : preflightHeaders(origin)) };
}

/** Says what is wrong, on each of the paths. Only `/livez` says it with 200: a restart would mend none of it. */
function healthResponse(
  method: string | undefined,
  path: string,
  serving: GatewayOptions["serving"],
): UniversalServerResponse {
  if (method !== "GET" && method !== "HEAD") return { status: 405, header: new Headers({ allow: "GET" }) };
  const isServing = serving.isServing();
  const status = isServing ? "SERVING" : "NOT_SERVING";
  const body = Buffer.from(JSON.stringify({ status, problems: serving.problems() }));
  return {
    status: isServing || path === "/livez" ? 200 : 503,
    header: new Headers({ "content-type": "application/json", "cache-control": "no-store" }),
    body: createAsyncIterable(method === "HEAD" ? [] : [body]),
  };
}

function authoritiesOf({ headers }: NodeRequest): string[] {
  const named = [headers[":authority"], headers.host];
  return named.filter((authority): authority is string => typeof authority === "string" && authority !== "");
}

function schemeOf({ socket }: NodeRequest): "http" | "https" {
  return "encrypted" in socket && socket.encrypted ? "https" : "http";
}

function headerOf({ headers }: NodeRequest): Headers {
  const header = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) header.append(name, each);
  }
  return header;
}

/** The parts of a body. Unlike the request's own iterator, it has no `return`, which would destroy the connection
 *  before the reply is written. */
function partsOf(request: NodeRequest): AsyncIterable<Uint8Array> {
  const parts = request[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return { [Symbol.asyncIterator]: () => ({ next: () => parts.next() }) };
}
