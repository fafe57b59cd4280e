/** Writes replies at the pace of their readers. */
import type { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import type { Writable } from "node:stream";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

export type NodeResponse = ServerResponse | Http2ServerResponse;

type Outcome = "done" | "closed" | "stalled";

type WriteOptions = {
  /** How long a client may read nothing before its stream is ended, in milliseconds. */
  stallMs: number;
  /** Called once when that happens. It must end the body soon: its last parts are written after those that wait. */
  onStall: () => void;
};

/** Writes a whole reply. The next part of the body is requested only after the previous one has left the process, so
 *  that a slow reader costs the memory of one message. A client that reads nothing for `stallMs` is abandoned, and
 *  disconnected after the same time again. */
export async function writeResponse(
  source: UniversalServerResponse,
  target: NodeResponse,
  options: WriteOptions,
): Promise<void> {
  const sink = sinkOf(target);
  // Errors also emit `close`; without a listener they would end the process.
  sink.on("error", () => undefined);
  const body = source.body?.[Symbol.asyncIterator]();
  try {
    if (!(await writeBody(source, body, target, options))) return;
    if (source.trailer !== undefined) target.addTrailers(nodeHeaders(source.trailer));
    stopReading(target);
    target.end();
    if ((await waitForEvent(sink, "finish", options.stallMs)) === "stalled") options.onStall();
  } finally {
    body?.return?.()?.catch(() => undefined);
    if (!sink.writableFinished) sink.destroy();
  }
}

/** Tells a client that is still sending its request, after the whole reply, that the rest is not read (RFC 9113,
 *  8.1). */
function stopReading(target: NodeResponse): void {
  if (!("stream" in target)) return;
  const { stream } = target;
  // One turn after the trailers, because a reset overtakes unwritten data.
  const stop = (): void =>
    void setImmediate(() => {
      if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  // A reply to HEAD has no trailers.
  if (target.req.method === "HEAD") stop();
  else stream.once("wantTrailers", stop);
}

/** @returns whether the body was written to its end */
async function writeBody(
  source: UniversalServerResponse,
  body: AsyncIterator<Uint8Array> | undefined,
  target: NodeResponse,
  { stallMs, onStall }: WriteOptions,
): Promise<boolean> {
  const sink = sinkOf(target);
  // Headers are sent with the first part, because services may set headers until then.
  let part = await body?.next();
  if (sink.destroyed) return false;
  (target as ServerResponse).writeHead(source.status, nodeHeaders(source.header));
  // A reply to HEAD is its header: node:http2 ends the stream with it, and what is written afterwards never leaves.
  if (target.req.method === "HEAD") return true;
  let isStalled = false;
  while (body !== undefined && part !== undefined && part.done !== true) {
    writeTogether(target);
    if (!sink.write(part.value) && !isStalled) {
      const outcome = await waitForEvent(sink, "drain", stallMs);
      if (outcome === "stalled") {
        isStalled = true;
        onStall();
      }
    }
    if (sink.destroyed) return false;
    part = await body.next();
  }
  return !sink.destroyed;
}

/** Sends everything that is written during this turn as one. Otherwise later parts would wait until the first has
 *  left, and arrive separately. Only for HTTP/2: a chunked body of node:http that ends meanwhile would be malformed. */
function writeTogether(target: NodeResponse): void {
  if (!("stream" in target) || target.stream.writableCorked > 0) return;
  const { stream } = target;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** Waits for an event of the sink, until the sink closes or the time expires. */
function waitForEvent(sink: Writable, event: "drain" | "finish", stallMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    if (event === "finish" && sink.writableFinished) return resolve("done");
    if (sink.destroyed) return resolve("closed");
    const finish = (outcome: Outcome) => () => {
      clearTimeout(timer);
      sink.off(event, onEvent).off("close", onClose);
      resolve(outcome);
    };
    const onEvent = finish("done");
    const onClose = finish("closed");
    const timer = setTimeout(finish("stalled"), stallMs);
    sink.on(event, onEvent).on("close", onClose);
  });
}

/** The writable that the bytes pass through; it knows whether they have left. */
function sinkOf(target: NodeResponse): Writable {
  return "stream" in target ? target.stream : target;
}

function nodeHeaders(headers: Headers | undefined): Record<string, string> {
  return headers === undefined ? {} : Object.fromEntries(headers);
}
