/** The proxy breaks connections as it promises: the conclusions of other tests depend on its faults. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

let server: Server;
let proxy: TcpProxy;
/** The server's ends of the connections, in order. */
let accepted: Socket[];

beforeEach(async () => {
  accepted = [];
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    accepted.push(socket);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await openTcpProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(async () => {
  await proxy.close();
  for (const socket of accepted) socket.destroy();
  server.close();
});

/** A client whose connection has carried a byte in both directions. */
async function openClient(): Promise<Socket> {
  const socket = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  await answered(socket, "hello");
  return socket;
}

async function answered(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let answer = "";
  while (answer.length < text.length) answer += String((await once(socket, "data"))[0]);
  expect(answer).toBe(text);
}

/** Resolves with the code of the error with which the socket closed. */
async function closed(socket: Socket): Promise<string | undefined> {
  let code: string | undefined;
  socket.once("error", (error: NodeJS.ErrnoException) => {
    code = error.code;
  });
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  return code;
}

test("carries bytes, even more than fit into its buffers, and the end of a side", async () => {
  const client = await openClient();
  const bytes = Buffer.alloc(8 * 1024 * 1024, "x");
  let received = 0;
  client.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  client.end(bytes);
  await once(client, "end");
  expect(received).toBe(bytes.length);
});

test("a reset reaches both sides; the other connections go on", async () => {
  const client = await openClient();
  const other = await openClient();
  const [connection] = proxy.connections;
  expect(connection!.isWhole).toBe(true);
  const codes = Promise.all([closed(client), closed(accepted[0]!)]);
  connection!.reset();
  expect(await codes).toEqual(["ECONNRESET", "ECONNRESET"]);
  expect(connection!.isWhole).toBe(false);
  await answered(other, "still here");
  expect(proxy.connections).toHaveLength(1);
  other.destroy();
});

test("a cut is an orderly end on both sides", async () => {
  const client = await openClient();
  const codes = Promise.all([closed(client), closed(accepted[0]!)]);
  proxy.connections[0]!.cut();
  expect(await codes).toEqual([undefined, undefined]);
});

test("bytes lost in one direction never arrive; the other direction goes on", async () => {
  const client = await openClient();
  const [connection] = proxy.connections;
  connection!.blackHole("up");
  expect(connection!.isWhole).toBe(false);
  client.write("lost");
  const news = once(client, "data");
  accepted[0]!.write("news");
  expect(String((await news)[0])).toBe("news");
  connection!.delay(0);
  client.write("lost as well");
  // Through another connection, so that the lost bytes would have arrived by now.
  const other = await openClient();
  expect(accepted[0]!.bytesRead).toBe("hello".length);
  other.destroy();
  client.destroy();
});

test("neither side of a black hole learns that the other has closed", async () => {
  const client = await openClient();
  const [connection] = proxy.connections;
  connection!.blackHole();
  client.destroy();
  await once(client, "close");
  const other = await openClient();
  expect(accepted[0]!.readyState).toBe("open");
  expect(proxy.connections).toContain(connection);
  other.destroy();
});

test("delayed bytes arrive later, in order, and before the end", async () => {
  const client = await openClient();
  const [connection] = proxy.connections;
  connection!.delay(60);
  const sentAt = performance.now();
  client.write("first ");
  client.end("second");
  let answer = "";
  client.on("data", (bytes: Buffer) => {
    answer += bytes.toString();
  });
  await once(client, "end");
  expect(answer).toBe("first second");
  // Delayed in both directions; timers may be a millisecond early.
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(2 * 59);
});

test("refuses new connections, and accepts them again at the same port", async () => {
  const before = await openClient();
  proxy.refuse();
  const refused = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  expect(await closed(refused)).toBe("ECONNREFUSED");
  await answered(before, "still here");
  await proxy.accept();
  const after = await openClient();
  before.destroy();
  after.destroy();
});

test("connections are reset if the target is away", async () => {
  server.close();
  const client = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  expect(await closed(client)).toBe("ECONNRESET");
});
