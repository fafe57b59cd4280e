/**
 * A network that tests can break: a real TCP proxy whose connections can go silent, be delayed, be reset or be cut, one
 * by one or all at once.
 *
 * A connection consists of two sockets, one to the client and one to the server; `up` is what the client sends. A black
 * hole accepts bytes and reports nothing, not even that a side has closed, like a dead link. The accepted bytes are
 * lost, so the connection never works again: its two sides find out by themselves, or by `reset` and `cut`.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Direction = "up" | "down";

export type ProxiedConnection = {
  /** From now on loses everything, in one direction or in both. */
  blackHole(direction?: Direction): void;
  /**
   * From now on delays all bytes by this many milliseconds, in both directions. 0 ends the delay; delayed bytes still
   * arrive in order.
   */
  delay(delayMs: number): void;
  /** Sends RST to both sides. */
  reset(): void;
  /** Ends both sides in an orderly way, with FIN; delayed bytes are lost. */
  cut(): void;
  /** Whether both directions still carry bytes. */
  readonly isWhole: boolean;
};

export type TcpProxy = {
  /** The target's URL through the proxy. */
  readonly url: string;
  /** The connections that are open on either side, the oldest first. */
  readonly connections: readonly ProxiedConnection[];
  /** Accepts no new connections, as if nothing listened. Open ones go on. */
  refuse(): void;
  /** Accepts connections again, at the same port. */
  accept(): Promise<void>;
  /** Cuts all connections, and refuses new ones. */
  cut(): void;
  close(): Promise<void>;
};

/** One direction of a connection: bytes on their way from one socket to the other. */
type Flow = { blackHole(): void; delay(delayMs: number): void };

/** @param target a URL with host and port, of any protocol; the target may start to listen later */
export async function openTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const connections = new Set<ProxiedConnection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const remote = connect({ host: hostname, port: Number(targetPort), allowHalfOpen: true, noDelay: true });
    const connection = joinSockets(client, remote, () => connections.delete(connection));
    connections.add(connection);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const proxy: TcpProxy = {
    url: urlAt(target, port),
    get connections() {
      return [...connections];
    },
    refuse: () => void server.close(),
    async accept() {
      if (server.listening) return;
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    cut() {
      proxy.refuse();
      for (const connection of connections) connection.cut();
    },
    async close() {
      // Emitted with each `close` after which no connection is left.
      const closed = once(server, "close");
      proxy.refuse();
      for (const connection of connections) connection.reset();
      await closed;
    },
  };
  return proxy;
}

function urlAt(target: string, port: number): string {
  const url = Object.assign(new URL(target), { hostname: "127.0.0.1", port: String(port) });
  // Addresses of servers are written without a slash at the end, if they had none.
  return target.endsWith("/") || url.pathname !== "/" ? url.href : url.href.slice(0, -1);
}

function joinSockets(client: Socket, server: Socket, onGone: () => void): ProxiedConnection {
  const sockets = [client, server] as const;
  const lost = new Set<Direction>();
  let open = sockets.length;
  for (const socket of sockets) {
    // What an error means for the other side follows from `close`.
    socket.on("error", () => undefined);
    socket.once("close", () => {
      open -= 1;
      if (open === 0) onGone();
    });
  }
  const flows: Record<Direction, Flow> = { up: joinFlow(client, server), down: joinFlow(server, client) };
  const directions = ["up", "down"] as const;
  return {
    blackHole(direction) {
      for (const one of direction === undefined ? directions : [direction]) {
        lost.add(one);
        flows[one].blackHole();
      }
    },
    delay: (delayMs) => directions.forEach((direction) => flows[direction].delay(delayMs)),
    reset: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    cut: () => sockets.forEach((socket) => socket.destroy()),
    get isWhole() {
      return lost.size === 0 && sockets.every((socket) => !socket.destroyed);
    },
  };
}

/** Carries bytes, the end and errors of `from` to `to`. */
function joinFlow(from: Socket, to: Socket): Flow {
  /** What is held, and when to do it, on the clock of `performance`. */
  const held: { dueAt: number; act: () => void }[] = [];
  let delayMs = 0;
  let isLost = false;
  let timer: NodeJS.Timeout | undefined;

  function carry(act: () => void): void {
    if (isLost) return;
    if (delayMs === 0 && held.length === 0) {
      act();
      return;
    }
    // Never before earlier bytes.
    held.push({ dueAt: Math.max(performance.now() + delayMs, held.at(-1)?.dueAt ?? 0), act });
    timer ??= setTimeout(release, delayMs);
  }

  function release(): void {
    timer = undefined;
    while (held.length > 0 && held[0]!.dueAt <= performance.now()) held.shift()!.act();
    if (held.length > 0) timer = setTimeout(release, Math.ceil(held[0]!.dueAt - performance.now()));
  }

  from.on("data", (bytes: Buffer) =>
    carry(() => {
      if (!to.write(bytes)) from.pause();
    }),
  );
  to.on("drain", () => from.resume());
  from.once("end", () => carry(() => to.end()));
  from.once("close", (hadError) => carry(() => (hadError ? to.resetAndDestroy() : to.destroySoon())));
  to.once("close", () => {
    clearTimeout(timer);
    held.length = 0;
  });
  return {
    blackHole() {
      isLost = true;
      clearTimeout(timer);
      held.length = 0;
      // Bytes are still accepted, so that the sender's buffers do not fill up and show the fault.
      from.resume();
    },
    delay(value) {
      delayMs = value;
    },
  };
}
