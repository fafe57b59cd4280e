/** HTTP/2 frame by frame, for tests of the port: no client library would send what they send. */
import { connect, type Socket } from "node:net";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The types of frames (RFC 9113, 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { ack: 0x1, endStream: 0x1, endHeaders: 0x4 } as const;

export function frame(
  type: number,
  { flags = 0, stream = 0 }: { flags?: number; stream?: number },
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block of literals without indexing (RFC 7541, 6.2.2). */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]),
  );
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** An integer with a prefix of seven bits (RFC 7541, 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The fields of a request of an RPC in gRPC. */
export function rpcFields(path: string): Record<string, string> {
  return {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
  };
}

export type RawConnection = {
  socket: Socket;
  /** Writes bytes; resolves when the socket has room for more, or is closed. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when the server has ended the connection. */
  closed: Promise<void>;
  /** The types of the frames that were received. */
  received: number[];
};

/** Connects and sends the preface and empty settings. */
export async function connectRaw(port: number): Promise<RawConnection> {
  const socket = connect(port, "127.0.0.1").setNoDelay(true);
  const received: number[] = [];
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  // A reset connection is closed too.
  socket.on("error", () => undefined);
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9) {
      const size = 9 + rest.readUIntBE(0, 3);
      if (rest.length < size) break;
      received.push(rest.readUInt8(3));
      rest = rest.subarray(size);
    }
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (socket.destroyed || socket.write(bytes)) return;
    await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
  };
  await write(Buffer.concat([PREFACE, frame(FRAME.settings, {})]));
  return { socket, write, closed, received };
}
