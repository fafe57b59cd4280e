/** The HTTP/2 connection below a worker's stream: exactly one, which is never opened again. The transport's own session
 *  manager removes its listeners when it gives a session up. An error after that, for example from a server that speaks
 *  another protocol, would end the process. */
import { connect, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";

/** What `createGrpcTransport` takes as its `sessionManager`. */
export type WorkerConnection = {
  readonly authority: string;
  request(method: string, path: string, headers: OutgoingHttpHeaders, options: object): Promise<ClientHttp2Stream>;
  notifyResponseByteRead(stream: ClientHttp2Stream): void;
  /** Ends the connection and its streams at once. */
  destroy(): void;
};

/** Frames of many jobs should arrive in one piece; the default of 64 KiB is a fraction of one. */
const WINDOW_BYTES = 4 * 1024 * 1024;

export function openWorkerConnection(address: string): WorkerConnection {
  const authority = new URL(address).origin;
  const session = connect(authority, { settings: { initialWindowSize: WINDOW_BYTES } });
  // Listens as long as the session lives. The stream reports the error too.
  session.on("error", () => {});
  const connected = connectedSession(session);
  connected.catch(() => {});
  return {
    authority,
    async request(method, path, headers, options) {
      const open = await connected;
      return open.request({ ...headers, ":method": method, ":path": path }, options);
    },
    notifyResponseByteRead: () => {},
    destroy: () => session.destroy(),
  };
}

async function connectedSession(session: ClientHttp2Session): Promise<ClientHttp2Session> {
  await new Promise<void>((resolve, reject) => {
    session.once("connect", () => resolve());
    session.once("error", reject);
    session.once("close", () => reject(new Error("the connection was closed before it was open")));
  });
  session.setLocalWindowSize(WINDOW_BYTES);
  return session;
}
