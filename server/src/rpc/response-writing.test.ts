import { once } from "node:events";
import { type ClientHttp2Session, connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createAsyncIterable } from "@connectrpc/connect/protocol";
import { expect, it } from "vitest";
import { writeResponse } from "./response-writing.ts";

/** Connects to a server that answers every request with three parts. */
async function useClient(use: (client: ClientHttp2Session) => Promise<void>): Promise<void> {
  const parts = ["a", "b", "c"].map((text) => Buffer.from(text));
  const server = createServer((_request, response) => {
    const source = { status: 200, header: new Headers(), body: createAsyncIterable(parts) };
    writeResponse(source, response, { stallMs: 10_000, onStall: () => undefined }).catch(() =>
      response.stream.destroy(),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    await use(client);
  } finally {
    client.close();
    server.close();
  }
}

it("parts that are ready together reach the reader together", async () => {
  await useClient(async (client) => {
    const received: string[] = [];
    for await (const chunk of client.request({ ":path": "/" })) received.push(String(chunk));
    expect(received).toEqual(["abc"]);
  });
});

it("a stream is closed after its reply, however much of the request is still to come, also for HEAD", async () => {
  await useClient(async (client) => {
    for (const method of ["POST", "GET", "HEAD"]) {
      const stream = client.request({ ":method": method, ":path": "/" }, { endStream: false });
      stream.resume().end(Buffer.alloc(1024 * 1024));
      await once(stream, "close");
      expect([method, stream.rstCode]).toEqual([method, 0]);
    }
  });
});
