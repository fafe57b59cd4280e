/**
 * The same calls by three protocols: gRPC by grpc-js, Connect's JSON and gRPC-Web by fetch. Requests and replies are
 * plain JSON.
 */
import * as grpc from "@grpc/grpc-js";
import { fieldsOf, type Json, type JsonObject, parseRefusal, readDetail, type Refusal } from "./api.ts";
import { envelope, watch } from "./connect-stream.ts";
import type { Reflected } from "./reflected.ts";

export type Caller = {
  /** A unary call. If it is refused, it rejects with a Refused. */
  call(service: string, method: string, request: JsonObject): Promise<JsonObject>;
  /** A server stream. Leaving the loop cancels it. */
  watch(service: string, method: string, request: JsonObject): AsyncIterable<JsonObject>;
  close(): void;
};

export class Refused extends Error {
  readonly refusal: Pick<Refusal, "reason" | "domain" | "metadata" | "fields" | "message"> & { code: string };
  constructor(refusal: Refused["refusal"]) {
    super(`${refusal.reason}: ${refusal.message}`);
    this.name = "Refused";
    this.refusal = refusal;
  }
}

const FLAG_TRAILERS = 0x80;

export function createGrpcCaller(address: string, reflected: Reflected): Caller {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const refused = (error: grpc.ServiceError): Refused => {
    const [details] = error.metadata.get("grpc-status-details-bin");
    return new Refused(statusOf(error.code, error.details, details === undefined ? undefined : Buffer.from(details)));
  };
  return {
    call: (service, method, request) =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = methodOf(reflected, service, method);
        const done: grpc.requestCallback<object> = (error, reply) => {
          if (error === null && reply !== undefined) resolve(plain(reply as Json) as JsonObject);
          else reject(error === null ? new Error("no reply") : refused(error));
        };
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, wrapped(request) as object, done);
      }),
    async *watch(service, method, request) {
      const { path, requestSerialize, responseDeserialize } = methodOf(reflected, service, method);
      const stream = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        wrapped(request) as object,
      );
      // A stream that is cancelled reports that; nobody reads it any more.
      stream.on("error", () => undefined);
      try {
        for await (const message of stream as AsyncIterable<Json>) yield plain(message) as JsonObject;
      } catch (error) {
        throw refused(error as grpc.ServiceError);
      } finally {
        stream.cancel();
      }
    },
    close: () => client.close(),
  };
}

export function createConnectCaller(url: string): Caller {
  return {
    async call(service, method, request) {
      const response = await fetch(`${url}/${service}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      });
      const text = await response.text();
      if (response.status !== 200) throw new Refused(parseRefusal({ status: response.status, text }));
      return JSON.parse(text) as JsonObject;
    },
    async *watch(service, method, request) {
      const stream = watch(url, `/${service}/${method}`, request);
      try {
        for (;;) {
          const next = await stream.next();
          if (next.done !== true) yield next.value;
          else if (next.value.refusal === undefined) return;
          else throw new Refused(next.value.refusal);
        }
      } finally {
        await stream.return({});
      }
    },
    close: () => undefined,
  };
}

/** gRPC-Web in its binary form, framed by hand (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md). */
export function createGrpcWebCaller(url: string, reflected: Reflected): Caller {
  async function* messages(service: string, method: string, request: JsonObject): AsyncGenerator<JsonObject> {
    const { path, requestSerialize, responseDeserialize } = methodOf(reflected, service, method);
    const hangUp = new AbortController();
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
      body: envelope(requestSerialize(wrapped(request) as object)),
      signal: hangUp.signal,
    });
    if (response.status !== 200 || response.body === null) throw new Error(`gRPC-Web: HTTP ${response.status}`);
    // A refusal without any message may be in the headers alone.
    let trailers = response.headers.has("grpc-status") ? response.headers : undefined;
    let seen = Buffer.alloc(0);
    try {
      for await (const chunk of response.body) {
        seen = Buffer.concat([seen, chunk]);
        while (seen.length >= 5 && seen.length >= 5 + seen.readUInt32BE(1)) {
          const frame = seen.subarray(5, 5 + seen.readUInt32BE(1));
          const isTrailers = (seen.readUInt8(0) & FLAG_TRAILERS) !== 0;
          seen = seen.subarray(5 + frame.length);
          if (isTrailers) trailers = headersOf(frame.toString());
          else yield plain(responseDeserialize(frame) as Json) as JsonObject;
        }
      }
    } finally {
      hangUp.abort();
    }
    if (trailers === undefined) throw new Error("gRPC-Web: no trailers");
    const code = Number(trailers.get("grpc-status"));
    if (code === 0) return;
    const details = trailers.get("grpc-status-details-bin");
    const message = decodeURIComponent(trailers.get("grpc-message") ?? "");
    throw new Refused(statusOf(code, message, details === null ? undefined : Buffer.from(details, "base64")));
  }
  return {
    async call(service, method, request) {
      const replies: JsonObject[] = [];
      for await (const reply of messages(service, method, request)) replies.push(reply);
      const [reply] = replies;
      if (reply === undefined || replies.length > 1) throw new Error(`gRPC-Web: ${replies.length} replies`);
      return reply;
    },
    watch: messages,
    close: () => undefined,
  };
}

function methodOf(reflected: Reflected, service: string, method: string) {
  const found = reflected.methods(service)[method];
  if (found === undefined) throw new Error(`no method ${method}`);
  return found;
}

function headersOf(text: string): Headers {
  const lines = text.split("\r\n").filter((line) => line !== "");
  return new Headers(
    lines.map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** Reads google.rpc.Status, which has the details. */
function statusOf(code: number, message: string, bytes: Buffer | undefined): Refused["refusal"] {
  const refusal: Refusal = {
    httpStatus: 200,
    code: (grpc.status[code] ?? "").toLowerCase(),
    message,
    reason: "",
    domain: "",
    metadata: {},
    fields: [],
    descriptions: [],
  };
  for (const [field, value] of fieldsOf(bytes ?? Buffer.alloc(0))) {
    if (field !== 3) continue;
    const any = new Map(fieldsOf(value));
    const type = any.get(1)?.toString().split("/").at(-1) ?? "";
    readDetail(refusal, type, any.get(2) ?? Buffer.alloc(0));
  }
  return refusal;
}

/** Fields of the requests that are google.protobuf.Struct, those that are a Value, and those that are maps. */
const STRUCT_FIELDS = new Set(["vars", "values"]);
const VALUE_FIELDS = new Set(["payload", "output"]);
const MAP_FIELDS = new Set(["nodes", "labels"]);

/**
 * Turns a request into messages. Without generated code, protobufjs takes a map as its entries and fields by their
 * proto names, and does not know the JSON forms of Struct, Value and Duration.
 */
function wrapped(json: Json): Json {
  if (Array.isArray(json)) return json.map(wrapped);
  if (json === null || typeof json !== "object") return json;
  const wrap = ([name, value]: [string, Json]): [string, Json] => {
    const field = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (STRUCT_FIELDS.has(name)) return [field, structOf(value as JsonObject)];
    if (VALUE_FIELDS.has(name)) return [field, valueOf(value)];
    if (MAP_FIELDS.has(name)) return [field, entriesOf(value as JsonObject, wrapped)];
    if (name === "timeout" && typeof value === "string") return [field, { seconds: Number.parseInt(value, 10) }];
    return [field, wrapped(value)];
  };
  return Object.fromEntries(Object.entries(json).map(wrap));
}

function entriesOf(json: JsonObject, wrap: (value: Json) => Json): Json {
  return Object.entries(json).map(([key, value]) => ({ key, value: wrap(value) }));
}

function structOf(json: JsonObject): JsonObject {
  return { fields: entriesOf(json, valueOf) };
}

function valueOf(json: Json): JsonObject {
  if (json === null) return { null_value: "NULL_VALUE" };
  if (Array.isArray(json)) return { list_value: { values: json.map(valueOf) } };
  switch (typeof json) {
    case "string":
      return { string_value: json };
    case "number":
      return { number_value: json };
    case "boolean":
      return { bool_value: json };
    default:
      return { struct_value: structOf(json) };
  }
}

const SCALAR_VALUES = new Set(["string_value", "number_value", "bool_value"]);

/** The other way round, by the shape of what was received. */
function plain(message: Json): Json {
  if (Array.isArray(message)) return isMap(message) ? objectOf(message) : message.map(plain);
  if (message === null || typeof message !== "object") return message;
  const [entry, ...more] = Object.entries(message);
  if (entry !== undefined && more.length === 0) {
    const [name, value] = entry;
    if (name === "null_value") return null;
    if (SCALAR_VALUES.has(name)) return value;
    if (name === "struct_value" || name === "fields") return plain(value);
    if (name === "list_value") return plain((value as JsonObject)["values"] ?? []);
  }
  const camel = (name: string) => name.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(message).map(([name, value]) => [camel(name), plain(value)]));
}

type MapEntry = { key: string; value?: Json };

function isMap(list: Json[]): list is MapEntry[] {
  const isEntry = (item: Json) =>
    item !== null &&
    typeof item === "object" &&
    "key" in item &&
    Object.keys(item).every((name) => ["key", "value"].includes(name));
  return list.length > 0 && list.every(isEntry);
}

function objectOf(entries: MapEntry[]): JsonObject {
  return Object.fromEntries(entries.map(({ key, value = {} }) => [key, plain(value)]));
}
