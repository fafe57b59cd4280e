/** Writes replies at the pace of their readers. */
import type { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import type { Writable } from "node:stream";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

export type NodeResponse = ServerResponse | Http2ServerResponse;

type Outcome = "done" | "closed" | "stalled";

type WriteOptions = {
  /** How long a reader may take nothing before its stream is ended, milliseconds. */
  stallMs: number;
  /** Called once when that happens. It must make the body end soon: what it still says is written after what is waiting. */
  onStall: () => void;
};

/** Writes a reply to its end. The next part of the body is asked for only when the previous one has left the process, so that a
 *  slow reader costs one message; a reader that takes nothing for `stallMs` is given up, and cut off after as long again. */
export async function writeResponse(
  source: UniversalServerResponse,
  target: NodeResponse,
  options: WriteOptions,
): Promise<void> {
  const sink = sinkOf(target);
  // Failures show as `close`; without a listener they would end the process.
  sink.on("error", () => undefined);
  const body = source.body?.[Symbol.asyncIterator]();
  try {
    if (!(await writeBody(source, body, target, options))) return;
    if (source.trailer !== undefined) target.addTrailers(nodeHeaders(source.trailer));
    stopReading(target);
    target.end();
    if ((await settled(sink, "finish", options.stallMs)) === "stalled") options.onStall();
  } finally {
    body?.return?.()?.catch(() => undefined);
    if (!sink.writableFinished) sink.destroy();
  }
}

/** Lets a client that is still sending its request know, once it has the whole reply, that nobody reads on (RFC 9113, 8.1). */
function stopReading(target: NodeResponse): void {
  if (!("stream" in target)) return;
  const { stream } = target;
  // A turn after the trailers: a reset overtakes what was not written yet.
  stream.once("wantTrailers", () =>
    setImmediate(() => {
      if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    }),
  );
}

/** @returns whether the body was written to its end */
async function writeBody(
  source: UniversalServerResponse,
  body: AsyncIterator<Uint8Array> | undefined,
  target: NodeResponse,
  { stallMs, onStall }: WriteOptions,
): Promise<boolean> {
  const sink = sinkOf(target);
  // Headers go out with the first part: services may set headers until then.
  let part = await body?.next();
  if (sink.destroyed) return false;
  (target as ServerResponse).writeHead(source.status, nodeHeaders(source.header));
  let isStalled = false;
  while (body !== undefined && part !== undefined && part.done !== true) {
    writeTogether(target);
    if (!sink.write(part.value) && !isStalled) {
      const outcome = await settled(sink, "drain", stallMs);
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

/** Has what is written until everything is done that can be done now leave as one: the parts that follow would else wait until the first
 *  has left, and reach the reader as news of its own. Only of HTTP/2: a chunked body of node:http that ends meanwhile is malformed. */
function writeTogether(target: NodeResponse): void {
  if (!("stream" in target) || target.stream.writableCorked > 0) return;
  const { stream } = target;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** Waits for an event of the sink, unless it closes first or the time is over. */
function settled(sink: Writable, event: "drain" | "finish", stallMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    if (event === "finish" && sink.writableFinished) return resolve("done");
    if (sink.destroyed) return resolve("closed");
    const settle = (outcome: Outcome) => () => {
      clearTimeout(timer);
      sink.off(event, onEvent).off("close", onClose);
      resolve(outcome);
    };
    const onEvent = settle("done");
    const onClose = settle("closed");
    const timer = setTimeout(settle("stalled"), stallMs);
    sink.on(event, onEvent).on("close", onClose);
  });
}

/** What the bytes go through: it knows whether they have left. */
function sinkOf(target: NodeResponse): Writable {
  return "stream" in target ? target.stream : target;
}

function nodeHeaders(headers: Headers | undefined): Record<string, string> {
  return headers === undefined ? {} : Object.fromEntries(headers);
}
