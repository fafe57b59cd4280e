/**
 * A proxy for HTTP/2 that ends requests as proxies do: a request whose answer, or whose next piece of the answer, does
 * not come within the read timeout is ended in one of several ways.
 */
import { EventEmitter, once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";

/** How a request is ended. Before the answer has begun: with an HTML page, as nginx does, or without an answer. */
export type CutBy = "504" | "reset" | "calm" | "goaway" | "close" | "end";

export type CuttingProxy = {
  readonly url: string;
  /** Waits until requests to this method were cut so many times. */
  cut(method: string, times: number): Promise<void>;
  /** Waits until requests to this method were answered so many times. */
  answered(method: string, times: number): Promise<void>;
  /** Loses the next answer to this method: the server gets the request, the client gets what a cut gives. */
  loseNextAnswer(method: string): void;
  close(): Promise<void>;
};

/** @param target the server's URL, with cleartext HTTP/2 */
export async function openCuttingProxy(
  target: string,
  { readTimeoutMs, by }: { readTimeoutMs: number; by: CutBy },
): Promise<CuttingProxy> {
  let upstream: ClientHttp2Session | undefined;
  const connected = (): ClientHttp2Session => {
    if (upstream === undefined || upstream.closed || upstream.destroyed) {
      upstream = connect(target);
      upstream.on("error", () => undefined);
    }
    return upstream;
  };
  const counts = new Map<string, number>();
  const counted = new EventEmitter<{ count: [] }>();
  const count = (what: string): void => {
    counts.set(what, (counts.get(what) ?? 0) + 1);
    counted.emit("count");
  };
  const reached = async (what: string, times: number): Promise<void> => {
    while ((counts.get(what) ?? 0) < times) await once(counted, "count");
  };
  const lost = new Set<string>();
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session) => session.on("error", () => undefined));
  const closeConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  server.on("stream", (stream, { ":method": method = "", ":path": path = "", ...headers }) => {
    const { ":scheme": _scheme, ":authority": _authority, ...kept } = headers;
    const request = connected().request({ ...kept, ":method": method, ":path": path });
    const name = path.slice(path.lastIndexOf("/") + 1);
    const isLost = lost.delete(name);
    let timer: NodeJS.Timeout | undefined;
    const cut = (): void => {
      clearTimeout(timer);
      request.close(constants.NGHTTP2_CANCEL);
      if (by === "close") closeConnections();
      else endStream(stream, by);
      count(`cut ${name}`);
    };
    const arm = (): void => {
      clearTimeout(timer);
      timer = setTimeout(cut, readTimeoutMs);
    };
    arm();
    stream.on("error", () => undefined);
    request.on("error", () => undefined);
    stream.pipe(request);
    if (isLost) {
      request.once("response", cut);
      return;
    }
    let trailers: IncomingHttpHeaders = {};
    request.on("trailers", (more: IncomingHttpHeaders) => {
      trailers = more;
    });
    request.on("response", (answer) => {
      if (stream.destroyed) return;
      stream.respond({ ...answer }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    });
    request.on("data", (bytes: Buffer) => {
      arm();
      if (!stream.destroyed && stream.headersSent) stream.write(bytes);
    });
    request.once("end", () => {
      clearTimeout(timer);
      if (stream.destroyed || stream.writableEnded) return;
      stream.end();
      count(`answered ${name}`);
    });
    stream.once("close", () => {
      clearTimeout(timer);
      request.close(constants.NGHTTP2_CANCEL);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (method, times) => reached(`cut ${method}`, times),
    answered: (method, times) => reached(`answered ${method}`, times),
    loseNextAnswer: (method) => void lost.add(method),
    async close() {
      const closed = once(server, "close");
      server.close();
      closeConnections();
      upstream?.destroy();
      await closed;
    },
  };
}

function endStream(stream: ServerHttp2Stream, by: Exclude<CutBy, "close">): void {
  if (stream.destroyed) return;
  switch (by) {
    case "504":
      if (stream.headersSent) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      else answerHtml(stream, 504);
      return;
    case "reset":
      stream.close(constants.NGHTTP2_CANCEL);
      return;
    case "calm":
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    case "goaway":
      stream.session?.goaway(constants.NGHTTP2_NO_ERROR);
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    // The answer ends too soon, but in an orderly way: without its last message or its trailers.
    case "end":
      if (!stream.headersSent) {
        answerHtml(stream, 502);
        return;
      }
      stream.removeAllListeners("wantTrailers");
      stream.on("wantTrailers", () => stream.close());
      stream.end();
  }
}

function answerHtml(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ":status": status, "content-type": "text/html" });
  stream.end(`<html><h1>${status}</h1></html>`);
}
