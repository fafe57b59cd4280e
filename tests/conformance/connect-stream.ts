/** Server streams by fetch: Connect's envelopes around JSON (https://connectrpc.com/docs/protocol#streaming-rpcs). */
import { type JsonObject, parseRefusal, type Refusal, serviceOf } from "./api.ts";

const FLAG_END = 0b10;
const HEAD_BYTES = 5;

/** How a stream ended: with a refusal, or with OK if that is missing. */
export type StreamEnd = { refusal?: Refusal };

/**
 * Yields a stream's messages and returns how it ended. Leaving the loop cancels it.
 * @param method a name, or a whole path
 */
export async function* watch(url: string, method: string, request: object): AsyncGenerator<JsonObject, StreamEnd> {
  const hangUp = new AbortController();
  const path = method.startsWith("/") ? method : `/${serviceOf(method)}/${method}`;
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: envelope(JSON.stringify(request)),
    signal: hangUp.signal,
  });
  if (response.body === null) throw new Error("the stream has no body");
  let seen = Buffer.alloc(0);
  try {
    for await (const chunk of response.body) {
      seen = Buffer.concat([seen, chunk]);
      while (seen.length >= HEAD_BYTES && seen.length >= HEAD_BYTES + seen.readUInt32BE(1)) {
        const flags = seen.readUInt8(0);
        const end = HEAD_BYTES + seen.readUInt32BE(1);
        const text = seen.subarray(HEAD_BYTES, end).toString();
        seen = seen.subarray(end);
        if ((flags & FLAG_END) !== 0) return endOf(text);
        yield JSON.parse(text) as JsonObject;
      }
    }
  } finally {
    hangUp.abort();
  }
  throw new Error("the stream broke off");
}

/** Returns all messages of a stream that ends by itself, and how it ended. */
export async function watchToEnd(
  ...[url, method, request]: Parameters<typeof watch>
): Promise<{ messages: JsonObject[]; end: StreamEnd }> {
  const stream = watch(url, method, request);
  const messages: JsonObject[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return { messages, end: next.value };
    messages.push(next.value);
  }
}

/** A message after the 5 bytes that precede it in streams of gRPC, gRPC-Web and Connect. */
export function envelope(message: string | Uint8Array, flags = 0): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(message);
  const framed = Buffer.alloc(HEAD_BYTES + bytes.length);
  framed.writeUInt8(flags);
  framed.writeUInt32BE(bytes.length, 1);
  bytes.copy(framed, HEAD_BYTES);
  return framed;
}

function endOf(text: string): StreamEnd {
  const { error } = JSON.parse(text) as { error?: object };
  return error === undefined ? {} : { refusal: parseRefusal({ status: 200, text: JSON.stringify(error) }) };
}
