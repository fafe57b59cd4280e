/** Sends requests of every protocol as drawn bytes, over connections that are kept, and reads only how they ended. */
import { Agent, type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";

export type RawRequest = {
  http: 1 | 2;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
};

/** `status` is 0 if the connection or stream was ended without a reply. `code` is gRPC's number; undefined if the reply
 *  has none, which is right for a reply outside the protocols. */
export type RawOutcome = { status: number; code: number | undefined };

const CODES: readonly string[] = [
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

export type RawSender = {
  /**
   * @param options.patienceMs how long the reply may take; then the outcome is undefined
   * @param options.isAlone uses a connection of its own, for a request whose connection the server may end
   */
  send(request: RawRequest, options: { patienceMs: number; isAlone: boolean }): Promise<RawOutcome | undefined>;
  close(): void;
};

export function createRawSender(url: string): RawSender {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  let session: ClientHttp2Session | undefined;

  const openSession = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    session = newSession();
    return session;
  };
  const newSession = (): ClientHttp2Session => {
    // Large bodies that wait must not make this side refuse its own streams.
    const opened = connect(url, { maxSessionMemory: 1_000 });
    opened.on("error", () => undefined);
    return opened;
  };

  const overHttp1 = ({ method, path, headers, body }: RawRequest, patienceMs: number) =>
    new Promise<RawOutcome | undefined>((resolve) => {
      // Without a length, node:http sends the body of a DELETE as if it were the next request.
      const framed = { ...headers, "content-length": String(body.length) };
      const request = httpRequest({ hostname, port, agent, method, path, headers: framed }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => resolve(undefined));
        response.on("end", () => resolve(outcomeOf(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))));
      });
      request.setTimeout(patienceMs, () => {
        resolve(undefined);
        request.destroy();
      });
      request.on("error", () => resolve({ status: 0, code: undefined }));
      request.end(body);
    });

  const overHttp2 = ({ method, path, headers, body }: RawRequest, patienceMs: number, over: ClientHttp2Session) =>
    new Promise<RawOutcome | undefined>((resolve) => {
      const stream = over.request({ ":method": method, ":path": path, ...headers }, { endStream: false });
      const chunks: Buffer[] = [];
      let known: IncomingHttpHeaders = {};
      const timer = setTimeout(() => {
        resolve(undefined);
        stream.close(8);
      }, patienceMs);
      stream.on("response", (fields) => (known = { ...known, ...fields }));
      stream.on("trailers", (fields) => (known = { ...known, ...(fields as IncomingHttpHeaders) }));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      // A server may reset a request that it has answered.
      stream.on("error", () => undefined);
      stream.on("close", () => {
        clearTimeout(timer);
        resolve(outcomeOf(Number(known[":status"] ?? 0), known, Buffer.concat(chunks)));
      });
      stream.end(body);
    });

  return {
    async send(request, { patienceMs, isAlone }) {
      if (request.http === 1) return await overHttp1(request, patienceMs);
      if (!isAlone) return await overHttp2(request, patienceMs, openSession());
      const own = newSession();
      try {
        return await overHttp2(request, patienceMs, own);
      } finally {
        own.destroy();
      }
    },
    close() {
      agent.destroy();
      session?.destroy();
    },
  };
}

function outcomeOf(status: number, headers: IncomingHttpHeaders, body: Buffer): RawOutcome {
  const type = headers["content-type"] ?? "";
  if (headers["grpc-status"] !== undefined) return { status, code: Number(headers["grpc-status"]) };
  if (type.startsWith("application/grpc-web")) return { status, code: webCode(body) };
  if (type.startsWith("application/connect+")) return { status, code: streamCode(body) };
  if (status === 200) return { status, code: type.startsWith("application/grpc") ? -1 : 0 };
  return { status, code: jsonCode(body.toString()) };
}

/** The last envelope, which has the status. */
function lastEnvelope(body: Buffer): string | undefined {
  for (let offset = 0; offset + 5 <= body.length;) {
    const end = offset + 5 + body.readUInt32BE(offset + 1);
    if ((body.readUInt8(offset) & 0b1000_0010) !== 0) return body.subarray(offset + 5, end).toString();
    offset = end;
  }
  return undefined;
}

function webCode(body: Buffer): number {
  return Number(/^grpc-status: *([0-9]+)/im.exec(lastEnvelope(body) ?? "")?.[1] ?? -1);
}

function streamCode(body: Buffer): number {
  const end = lastEnvelope(body);
  if (end === undefined) return -1;
  const { error } = JSON.parse(end) as { error?: { code?: string } };
  return error === undefined ? 0 : CODES.indexOf(error.code ?? "unknown");
}

function jsonCode(text: string): number | undefined {
  if (text === "") return undefined;
  const { code } = JSON.parse(text) as { code?: string };
  return code === undefined ? undefined : CODES.indexOf(code);
}
