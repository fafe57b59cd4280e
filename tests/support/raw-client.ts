/** Speaks every protocol byte by byte, for the tests of rpc: no client library would send what they send. */
import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { connect as connectHttp2, constants } from "node:http2";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode, BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export const PROTOCOLS = ["grpc", "grpc-json", "grpc-web", "grpc-web-json", "connect", "connect-json"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export type RawReply = {
  status: number;
  /** gRPC's number; 0 is OK. */
  code: number;
  message: string;
  reason?: string;
  domain?: string;
  metadata: Record<string, string>;
  fields: string[];
  retryDelayMs?: number;
  headers: Record<string, string>;
  body: Buffer;
  messages: Buffer[];
};

const CODES = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

const CONTENT_TYPES: Record<Protocol, string> = {
  grpc: "application/grpc",
  "grpc-json": "application/grpc+json",
  "grpc-web": "application/grpc-web+proto",
  "grpc-web-json": "application/grpc-web+json",
  connect: "application/proto",
  "connect-json": "application/json",
};

export function envelope(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

type HttpReply = { status: number; headers: Record<string, string>; trailers: Record<string, string>; body: Buffer };

/** Sends one message, as these bytes, and reads the reply. */
export async function rawCall(
  url: string,
  options: { protocol: Protocol; path: string; message: Uint8Array; headers?: Record<string, string>; flags?: number },
): Promise<RawReply> {
  const { protocol, path, message, flags } = options;
  const isConnect = protocol.startsWith("connect");
  const body = isConnect ? message : envelope(message, flags);
  const headers = { "content-type": CONTENT_TYPES[protocol], te: "trailers", ...options.headers };
  const isGrpc = protocol === "grpc" || protocol === "grpc-json";
  const reply = isGrpc ? await http2Post(url, path, headers, body) : await http1Post(url, path, headers, body);
  return isConnect ? connectReply(reply) : grpcReply(reply);
}

export function http1Post(
  url: string,
  path: string,
  headers: Record<string, string>,
  body: Uint8Array,
  method = "POST",
): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    // The target is sent as it is: paths may be malformed.
    const { hostname, port } = new URL(url);
    const request = httpRequest({ hostname, port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode = 0, headers: received, trailers } = response;
        resolve({ status: statusCode, headers: flat(received), trailers: flat(trailers), body: Buffer.concat(chunks) });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

export function http2Post(
  url: string,
  path: string,
  headers: Record<string, string>,
  body: Uint8Array,
): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(url);
    session.on("error", reject);
    const stream = session.request({ ":method": "POST", ":path": path, ...headers }, { endStream: false });
    const chunks: Buffer[] = [];
    let received: Record<string, string> = {};
    let trailers: Record<string, string> = {};
    stream.on("response", (fields) => (received = flat(fields)));
    stream.on("trailers", (fields) => (trailers = flat(fields as IncomingHttpHeaders)));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) return reject(new Error(`reset: ${stream.rstCode}`));
      resolve({ status: Number(received[":status"]), headers: received, trailers, body: Buffer.concat(chunks) });
    });
    stream.end(body);
  });
}

function flat(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function connectReply({ status, headers, body }: HttpReply): RawReply {
  const isError = status !== 200;
  const error = isError && body.length > 0 ? (JSON.parse(body.toString()) as ConnectErrorJson) : {};
  const details = (error.details ?? []).map(({ type, value }) => ({ type, value: base64Decode(value) }));
  return {
    status,
    code: isError ? CODES.indexOf(error.code ?? "unknown") : 0,
    message: error.message ?? "",
    headers,
    body,
    messages: isError ? [] : [body],
    ...detailsOf(details),
  };
}

type ConnectErrorJson = { code?: string; message?: string; details?: { type: string; value: string }[] };

function grpcReply({ status, headers, trailers, body }: HttpReply): RawReply {
  const messages: Buffer[] = [];
  const end = { ...headers, ...trailers };
  for (let offset = 0; offset + 5 <= body.length;) {
    const length = body.readUInt32BE(offset + 1);
    const part = body.subarray(offset + 5, offset + 5 + length);
    if ((body.readUInt8(offset) & 0x80) === 0) messages.push(part);
    else Object.assign(end, Object.fromEntries(part.toString().trim().split("\r\n").map(headerField)));
    offset += 5 + length;
  }
  const statusBytes = end["grpc-status-details-bin"];
  return {
    status,
    code: Number(end["grpc-status"] ?? 2),
    message: decodeURIComponent(end["grpc-message"] ?? ""),
    headers,
    body,
    messages,
    ...detailsOf(statusBytes === undefined ? [] : statusDetails(base64Decode(statusBytes))),
  };
}

function headerField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

type Detail = { type: string; value: Uint8Array };

/** The Anys of a google.rpc.Status, field 3. */
function statusDetails(bytes: Uint8Array): Detail[] {
  return fieldsOf(bytes)
    .filter(({ no }) => no === 3)
    .map(({ value }) => {
      const any = new Map(fieldsOf(value).map((field) => [field.no, field.value]));
      const type = Buffer.from(any.get(1) ?? []).toString();
      return { type: type.slice(type.lastIndexOf("/") + 1), value: any.get(2) ?? new Uint8Array() };
    });
}

function fieldsOf(bytes: Uint8Array): { no: number; value: Uint8Array }[] {
  const reader = new BinaryReader(bytes);
  const fields: { no: number; value: Uint8Array }[] = [];
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag();
    fields.push({ no, value: wireType === WireType.LengthDelimited ? reader.bytes() : reader.skip(wireType, no) });
  }
  return fields;
}

function detailsOf(details: Detail[]) {
  const find = (type: string) => details.find((detail) => detail.type === type)?.value;
  const info = find("google.rpc.ErrorInfo");
  const badRequest = find("google.rpc.BadRequest");
  const retryInfo = find("google.rpc.RetryInfo");
  const { reason, domain, metadata } = info === undefined ? { metadata: {} } : fromBinary(ErrorInfoSchema, info);
  const violations = badRequest === undefined ? [] : fromBinary(BadRequestSchema, badRequest).fieldViolations;
  const delay = retryInfo === undefined ? undefined : fromBinary(RetryInfoSchema, retryInfo).retryDelay;
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(domain === undefined ? {} : { domain }),
    metadata,
    fields: violations.map(({ field }) => field),
    ...(delay === undefined ? {} : { retryDelayMs: Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000 }),
  };
}
