/**
 * Strict decoding of single-message requests: unknown fields are refused (docs/adr/0013-strict-decoding.md).
 *
 * connect decodes before its interceptors run, ignores unknown fields and fails without details. So the gateway decodes
 * here and passes connect an empty message in place of the body. An interceptor then inserts the decoded message or
 * throws the refusal, which connect writes in the client's protocol.
 */
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { type DescMessage, fromBinary, fromJson, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, type Interceptor } from "@connectrpc/connect";
import { createAsyncIterable } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { DomainError, type FieldProblem } from "../core/errors.ts";
import { type Json, parseJson } from "../core/json/json.ts";
import { refusalToConnectError } from "./error-mapping.ts";
import { jsonProblems } from "./json-shape.ts";
import { messageProblems } from "./message-check.ts";
import type { Turns } from "./turns.ts";

/** Standard gRPC clients accept at most 4 MiB; three payloads of 1 MiB fit. */
export const REQUEST_BYTES_MAX = 3 * 1024 * 1024;
/** A request up to this size is decoded at once. */
export const SMALL_REQUEST_BYTES_MAX = 16 * 1024;
/** A payload of 32 levels inside the deepest request, a workflow, with room to spare. */
const JSON_DEPTH_MAX = 48;
/** The envelope of gRPC, gRPC-Web and Connect streams: one byte of flags, then the length in four bytes. */
export const ENVELOPE_BYTES = 5;
const FLAG_COMPRESSED = 0b0000_0001;
/** The flags of a Connect stream's end and of gRPC-Web's trailers. Clients may send both; they are ignored. */
const FLAGS_END = 0b1000_0010;

export type RequestForm = {
  isJson: boolean;
  /** Whether messages are in envelopes. */
  isEnveloped: boolean;
  /** The header that names a request's compression. */
  encodingHeader: string;
  timeoutHeader: string;
  timeoutPattern: RegExp;
};

const MS_BY_UNIT: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
/** The longest time that a Node timer supports; it fires immediately if the time is longer. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Checks a call's deadline before connect does, and removes a deadline that timers do not support: more than 24 days.
 *  @throws {DomainError} REQUEST_INVALID */
export function checkTimeout(form: RequestForm, header: Headers): void {
  const text = header.get(form.timeoutHeader);
  if (text === null) return;
  if (!form.timeoutPattern.test(text)) throw invalid(`${form.timeoutHeader} is malformed`);
  const ms = Number.parseInt(text, 10) * (MS_BY_UNIT[text.slice(-1)] ?? 1);
  if (ms > TIMER_MS_MAX) header.delete(form.timeoutHeader);
}

/** Returns the form of a request with this content type; undefined if connect does not accept it. */
export function requestForm(contentType: string): RequestForm | undefined {
  const match = /^application\/(grpc-web|grpc|connect)?(\+?)(proto|json)?(?:;\s?charset=utf-?8)?$/i.exec(contentType);
  if (match === null) return undefined;
  const [, protocol, plus, codec] = match;
  const isConnect = protocol === undefined || protocol.toLowerCase() === "connect";
  if (isConnect && codec === undefined) return undefined;
  if ((plus === "+") !== (protocol !== undefined && codec !== undefined)) return undefined;
  const streamEncodingHeader = isConnect ? "connect-content-encoding" : "grpc-encoding";
  return {
    isJson: codec?.toLowerCase() === "json",
    isEnveloped: protocol !== undefined,
    encodingHeader: protocol === undefined ? "content-encoding" : streamEncodingHeader,
    timeoutHeader: isConnect ? "connect-timeout-ms" : "grpc-timeout",
    timeoutPattern: isConnect ? /^[0-9]{1,10}$/ : /^[0-9]{1,8}[HMSmun]$/,
  };
}

/** The outcome of decoding, passed through connect to the interceptor. */
export type DecodedRequest = { message: Message } | { refusal: unknown };

export const decodedRequestKey = createContextKey<DecodedRequest | undefined>(undefined, {
  description: "the strictly decoded request",
});

/** The body that connect receives in place of the decoded one: an empty message of the same form. */
export function emptyBody(form: RequestForm): Uint8Array {
  const message = form.isJson ? "{}" : "";
  if (!form.isEnveloped) return Buffer.from(message);
  return Buffer.from([0, 0, 0, 0, message.length, ...Buffer.from(message)]);
}

/** Replaces connect's message with the decoded one, or throws the refusal. Streams of requests are decoded by
 *  connect. */
export function decodedRequestInterceptor(): Interceptor {
  return (next) => async (request) => {
    const decoded = request.contextValues.get(decodedRequestKey);
    if (decoded === undefined) return await next(request);
    if ("refusal" in decoded) throw decoded.refusal;
    const { message } = decoded;
    if (request.stream) return await next({ ...request, message: createAsyncIterable([message]) });
    return await next({ ...request, message });
  };
}

/** The total memory for bodies that are arriving, from all clients together. */
const BODY_ROOM_BYTES_MAX = 256 * 1024 * 1024;

/** The bytes of the bodies that are being read. A body is decoded as soon as it is read, so that bodies do not pile
 *  up. */
export type BodyRoom = { bytes: number };

function noRoom(): DomainError {
  return new DomainError("OVERLOADED", "too many requests are arriving at once");
}

/** A body that arrives more slowly than this on average, after a sixth of its time limit, is refused. */
const BODY_BYTES_PER_SECOND_MIN = 1_024;
const RATE_CHECKS = 6;

/** Reads a whole body.
 *  @throws {DomainError} PAYLOAD_TOO_LARGE; REQUEST_INVALID if it takes longer than `timeoutMs`, arrives far too
 *  slowly, or breaks off */
export function readBody(
  request: IncomingMessage | Http2ServerRequest,
  bounds: { bytesMax: number; timeoutMs: number; room: BodyRoom },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (): void => {
      clearInterval(timer);
      bounds.room.bytes -= bytes;
      request.off("data", onData).off("end", onEnd).off("close", onClose);
    };
    const refuse = (error: DomainError): void => {
      stop();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      bounds.room.bytes += chunk.length;
      if (bounds.room.bytes > BODY_ROOM_BYTES_MAX) return refuse(noRoom());
      if (bytes > bounds.bytesMax) return refuse(requestTooLarge(bounds.bytesMax));
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      stop();
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
    };
    const onClose = (): void => refuse(invalid("the request ended early"));
    let checks = 0;
    const checkMs = bounds.timeoutMs / RATE_CHECKS;
    const timer = setInterval(() => {
      checks += 1;
      const bytesDue = (checks * checkMs * BODY_BYTES_PER_SECOND_MIN) / 1_000;
      if (checks === RATE_CHECKS || bytes < bytesDue) refuse(invalid("the request took too long to arrive"));
    }, checkMs);
    if (Number(request.headers["content-length"] ?? 0) > bounds.bytesMax)
      return refuse(requestTooLarge(bounds.bytesMax));
    request.on("data", onData).on("end", onEnd).on("close", onClose);
  });
}

/** Decodes the one message of a body; a large one in its turn.
 *  @throws {DomainError} REQUEST_INVALID with every problem and its path, PAYLOAD_INVALID, PAYLOAD_TOO_LARGE,
 *  PAYLOAD_TOO_DEEP, NUMBER_NOT_EXACT; OVERLOADED if its turn does not come
 *  @throws {ConnectError} UNIMPLEMENTED for an unknown compression, as the protocols demand */
export async function decodeRequest(
  desc: DescMessage,
  form: RequestForm,
  header: Headers,
  body: Uint8Array,
  turns: Turns,
): Promise<Message> {
  const bytes = await messageBytes(form, header.get(form.encodingHeader) ?? "identity", body);
  const decode = (): Message => {
    const message = form.isJson ? decodeJson(desc, bytes) : decodeBinary(desc, bytes);
    refuseProblems(messageProblems(desc, message));
    return message;
  };
  return bytes.length <= SMALL_REQUEST_BYTES_MAX ? decode() : await turns.run(decode, { isSheddable: true });
}

/** @throws {DomainError} REQUEST_INVALID if there is a problem */
export function refuseProblems(problems: FieldProblem[]): void {
  if (problems.length > 0) throw new DomainError("REQUEST_INVALID", "the request is invalid", { problems });
}

function invalid(message: string): DomainError {
  return new DomainError("REQUEST_INVALID", message);
}

function requestTooLarge(bytesMax: number): DomainError {
  return new DomainError("PAYLOAD_TOO_LARGE", `the request is larger than ${bytesMax} bytes`, {
    metadata: { bytes_max: String(bytesMax) },
  });
}

async function messageBytes(form: RequestForm, encoding: string, body: Uint8Array): Promise<Uint8Array> {
  if (encoding !== "identity" && encoding !== compressionGzip.name) throw unknownCompression(form, encoding);
  if (!form.isEnveloped) return encoding === "identity" ? body : await decompressed(body);
  const { flags, bytes } = singleEnvelope(body);
  if ((flags & FLAG_COMPRESSED) === 0) return bytes;
  if (encoding === "identity")
    throw invalid(`a message is compressed, but ${form.encodingHeader} names no compression`);
  return await decompressed(bytes);
}

function singleEnvelope(body: Uint8Array): { flags: number; bytes: Uint8Array } {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let single: { flags: number; bytes: Uint8Array } | undefined;
  for (let offset = 0; offset < body.length;) {
    if (offset + ENVELOPE_BYTES > body.length) throw invalid("an envelope is incomplete");
    const flags = view.getUint8(offset);
    const length = view.getUint32(offset + 1);
    offset += ENVELOPE_BYTES;
    if (length > REQUEST_BYTES_MAX) throw requestTooLarge(REQUEST_BYTES_MAX);
    if (offset + length > body.length) throw invalid("an envelope is incomplete");
    if ((flags & FLAGS_END) === 0) {
      if (single !== undefined) throw invalid("the request holds more than one message");
      single = { flags, bytes: body.subarray(offset, offset + length) };
    }
    offset += length;
  }
  if (single === undefined) throw invalid("the request holds no message");
  return single;
}

async function decompressed(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await compressionGzip.decompress(bytes, REQUEST_BYTES_MAX);
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.ResourceExhausted)
      throw requestTooLarge(REQUEST_BYTES_MAX);
    throw invalid("the request cannot be decompressed");
  }
}

function unknownCompression(form: RequestForm, encoding: string): ConnectError {
  const refusal = invalid(`the compression ${JSON.stringify(encoding.slice(0, 64))} is unknown: use gzip or identity`);
  const error = refusalToConnectError(refusal, { code: Code.Unimplemented });
  error.metadata.set(form.encodingHeader.replace("encoding", "accept-encoding").replace("content-", ""), "gzip");
  return error;
}

function decodeJson(desc: DescMessage, bytes: Uint8Array): Message {
  const json = parseRequestJson(bytes);
  refuseProblems(jsonProblems(desc, json));
  try {
    return fromJson(desc, json);
  } catch (error) {
    throw invalid(`the request cannot be decoded: ${(error as Error).message}`);
  }
}

function parseRequestJson(bytes: Uint8Array): Json {
  const text = decodeUtf8(bytes);
  try {
    return parseJson(text, { depthMax: JSON_DEPTH_MAX, bytesMax: REQUEST_BYTES_MAX });
  } catch (error) {
    // Text that is not JSON is a problem of the request, not of a payload.
    if (error instanceof DomainError && error.reason === "PAYLOAD_INVALID" && !isJsonText(text)) {
      throw new DomainError("REQUEST_INVALID", error.message, { metadata: { ...error.metadata } });
    }
    throw error;
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    // RFC 8259: JSON text has no byte order mark. It is refused here as in every other JSON text.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalid("the request is not UTF-8");
  }
}

function isJsonText(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function decodeBinary(desc: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(desc, bytes);
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("maximum recursion depth")) {
      throw new DomainError("PAYLOAD_TOO_DEEP", "the request is nested too deeply");
    }
    throw invalid(`the request cannot be decoded as ${desc.typeName}: ${message}`);
  }
}
