/** Clients that send floods, or hold what they do not use. */
import { connect as connectTcp, type Socket } from "node:net";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { createFakeEngine } from "../../../tests/support/fake-engine.ts";
import { connectRaw, FLAG, frame, FRAME, headerBlock, rpcFields, uint32 } from "../../../tests/support/raw-http2.ts";
import { createRpcServer, type RpcServerOptions } from "./server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(options: Pick<RpcServerOptions, "timing" | "connectionsMax"> = {}) {
  const engine = createFakeEngine();
  const server = createRpcServer({
    engine,
    config: { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] },
    log: pino({ level: "silent" }),
    ...options,
  });
  cleanups.push(() => server.close(0));
  const { url, port } = await server.listen();
  const client = createClient(RuntimeService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" }));
  return { engine, port, client };
}

const block = headerBlock(rpcFields(`/${RuntimeService.typeName}/GetRun`));
const open = (stream: number) => frame(FRAME.headers, { flags: FLAG.endHeaders, stream }, block);
const reset = (stream: number) => frame(FRAME.reset, { stream }, uint32(8));

/** Each ends its connection when it is sent often enough. */
const FLOODS: Record<string, (index: number) => Buffer> = {
  "rapid resets": (index) => Buffer.concat([open(2 * index + 1), reset(2 * index + 1)]),
  "resets of a stream that is closed": (index) => (index === 0 ? open(1) : reset(1)),
  pings: () => frame(FRAME.ping, {}, Buffer.alloc(8)),
  settings: () => frame(FRAME.settings, {}, Buffer.concat([Buffer.from([0, 3]), uint32(100)])),
  "empty data": (index) => (index === 0 ? open(1) : frame(FRAME.data, { stream: 1 })),
  continuations: (index) => (index === 0 ? frame(FRAME.headers, { stream: 1 }, block) : continuation("")),
  "headers without an end": (index) =>
    index === 0 ? frame(FRAME.headers, { stream: 1 }, block) : continuation("v".repeat(1_000)),
  priorities: (index) => frame(FRAME.priority, { stream: 2 * (index % 1_000) + 1 }, Buffer.alloc(5, 1)),
};

function continuation(value: string): Buffer {
  return frame(FRAME.continuation, { stream: 1 }, value === "" ? Buffer.alloc(0) : headerBlock({ "x-more": value }));
}

describe("floods of frames", () => {
  test.each(Object.entries(FLOODS))("%s end the connection, and others are served meanwhile", async (_name, flood) => {
    const { port, client, engine } = await start();
    const connection = await connectRaw(port);
    // A client that reads nothing makes the server's answers pile up.
    connection.socket.pause();
    let isClosed = false;
    connection.socket.once("close", () => (isClosed = true));
    for (let index = 0; index < 200_000 && !isClosed; index += 100) {
      await connection.write(Buffer.concat(Array.from({ length: 100 }, (_, more) => flood(index + more))));
      if (connection.socket.writableNeedDrain) connection.socket.resume();
    }
    connection.socket.resume();
    await connection.closed;
    expect((await client.getRun({ runId: "run-1" })).run?.runId).toBe("run-1");
    expect(engine.calls).toHaveLength(1);
  });

  test("resets as when all calls of a connection expire at once do not end it", async () => {
    const { port } = await start();
    const connection = await connectRaw(port);
    const streams = Array.from({ length: 256 }, (_, index) => 2 * index + 1);
    await connection.write(Buffer.concat(streams.map(open)));
    await connection.write(Buffer.concat(streams.map(reset)));
    const answered = new Promise<void>((resolve) => {
      connection.socket.on("data", () => connection.received.includes(FRAME.ping) && resolve());
    });
    await connection.write(frame(FRAME.ping, {}, Buffer.alloc(8)));
    await answered;
    expect(connection.received).not.toContain(FRAME.goAway);
    connection.socket.destroy();
  });
});

describe("requests that do not arrive", () => {
  const POST = `POST /${RuntimeService.typeName}/GetRun HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
  const opened = async (port: number): Promise<Socket> => {
    const socket = connectTcp(port, "127.0.0.1").setNoDelay(true);
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("connect", resolve));
    return socket;
  };

  test("a body that is dripped is refused long before its time limit, and its connection ends", async () => {
    const { port } = await start({ timing: { requestTimeoutMs: 60_000 / 50 } });
    const socket = await opened(port);
    const reply = new Promise<string>((resolve) => socket.once("data", (bytes: Buffer) => resolve(bytes.toString())));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(`${POST}content-length: 100000\r\n\r\n{`);
    const drip = setInterval(() => socket.write(" "), 50);
    cleanups.push(() => clearInterval(drip));
    expect(await reply).toContain("took too long to arrive");
    await closed;
    expect(socket.destroyed).toBe(true);
  });

  test("a body of a gRPC stream's single message that is dripped resets its stream", async () => {
    const { port } = await start({ timing: { requestTimeoutMs: 600 } });
    const connection = await connectRaw(port);
    const isReset = new Promise<void>((resolve) => {
      connection.socket.on("data", () => connection.received.includes(FRAME.reset) && resolve());
    });
    const stream = 1;
    const watch = headerBlock(rpcFields(`/${RuntimeService.typeName}/WatchRun`));
    await connection.write(frame(FRAME.headers, { flags: FLAG.endHeaders, stream }, watch));
    await connection.write(frame(FRAME.data, { stream }, Buffer.from([0, 0, 0, 0, 50, 1])));
    await isReset;
    expect(connection.received).toContain(FRAME.headers);
    connection.socket.destroy();
  });

  test("headers that are dripped end their connection", async () => {
    const { port } = await start({ timing: { requestTimeoutMs: 400 } });
    const socket = await opened(port);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    socket.write(POST);
    const drip = setInterval(() => socket.write("x"), 50);
    cleanups.push(() => clearInterval(drip));
    await closed;
    expect(socket.destroyed).toBe(true);
  });
});

test("more connections than are allowed are refused, and accepted when others have ended", async () => {
  const { port } = await start({ connectionsMax: 3 });
  const held = await Promise.all([1, 2, 3].map(() => connectRaw(port)));
  const refused = connectTcp(port, "127.0.0.1").resume();
  refused.on("error", () => undefined);
  await new Promise((resolve) => refused.once("close", resolve));
  const ended = held[0]!;
  ended.socket.destroy();
  await ended.closed;
  for (;;) {
    // The server notices the end of a connection a little later.
    const next = await connectRaw(port);
    const isServed = await Promise.race([
      next.closed.then(() => false),
      new Promise<boolean>((resolve) => next.socket.once("data", () => resolve(true))),
    ]);
    next.socket.destroy();
    if (!isServed) continue;
    expect(isServed).toBe(true);
    break;
  }
  for (const { socket } of held) socket.destroy();
});
