/**
 * Sockets to a database, connected and encrypted. postgres.js could open them itself, but would not give them away, and
 * a connection that went silent can only be ended by destroying its socket.
 */
import { createConnection, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Address } from "./address.ts";

/** How long one of several hosts may take to accept a connection before the next one is tried. */
const HOST_TIMEOUT_MS = 1_500;

/** The message that asks a server for TLS, and its answer if it has it. */
const TLS_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const TLS_ACCEPTED = "S";

/**
 * Connects to one of the hosts, and returns which one it was.
 * @param unwanted a host to leave for the end: it has accepted a connection and was of no use
 * @param sockets where each socket is added as soon as it exists, so that the caller can destroy it at any moment
 */
export type Dial = (unwanted: number | undefined, sockets: Socket[]) => Promise<{ socket: Socket; host: number }>;

export function createDialer({ options }: Address): Dial {
  const { host: hosts, port: ports, path, ssl } = options;
  let preferred = 0;

  async function dialHost(index: number, sockets: Socket[]): Promise<Socket> {
    const host = hosts[index]!;
    const socket = createConnection(path === undefined ? { host, port: ports[index]! } : { path });
    sockets.push(socket);
    await until("connect", socket, hosts.length > 1 ? HOST_TIMEOUT_MS : undefined);
    return ssl === false ? socket : await encrypt(socket, host, ssl, sockets);
  }

  return async (unwanted, sockets) => {
    // Another connection may have found a better one meanwhile.
    const first = preferred === unwanted ? preferred + 1 : preferred;
    for (let tries = 1; ; tries++) {
      const index = (first + tries - 1) % hosts.length;
      try {
        const socket = await dialHost(index, sockets);
        preferred = index;
        return { socket, host: index };
      } catch (error) {
        if (tries >= hosts.length) throw error;
      }
    }
  };
}

/** https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL */
async function encrypt(
  plain: Socket,
  host: string,
  ssl: Exclude<Address["options"]["ssl"], false>,
  sockets: Socket[],
): Promise<Socket> {
  plain.write(TLS_REQUEST);
  const answer = await until("data", plain);
  // More than one byte could only come from somebody in between.
  if (String(answer) !== TLS_ACCEPTED) {
    if (ssl === "prefer" && String(answer) === "N") return plain;
    plain.destroy();
    throw Object.assign(new Error("the database does not offer TLS"), { code: "ERR_TLS_NOT_OFFERED" });
  }
  const settings = typeof ssl === "string" ? { rejectUnauthorized: false } : ssl;
  const socket = connectTls({ ...settings, socket: plain, ...(isIP(host) === 0 ? { servername: host } : {}) });
  sockets.push(socket);
  // What happens to it also happens to the encrypted one.
  plain.on("error", () => undefined);
  await until("secureConnect", socket);
  return socket;
}

/** Waits for an event of a socket, and returns what comes with it. Destroys a socket that fails or takes too long. */
function until(event: "connect" | "secureConnect" | "data", socket: Socket, limitMs?: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = limitMs === undefined ? undefined : setTimeout(() => socket.destroy(), limitMs);
    const settle = (): void => {
      clearTimeout(timer);
      socket.off(event, onEvent).off("error", onError).off("close", onClose);
    };
    const onEvent = (what: unknown): void => {
      settle();
      resolve(what);
    };
    const onError = (error: Error): void => {
      settle();
      socket.on("error", () => undefined).destroy();
      reject(error);
    };
    const onClose = (): void => {
      settle();
      reject(closedEarly());
    };
    socket.on(event, onEvent).on("error", onError).on("close", onClose);
  });
}

/** The error of a connection that was closed before it was ready. */
export function closedEarly(): Error {
  return Object.assign(new Error("the connection was closed before it was ready"), { code: "CONNECTION_CLOSED" });
}
