import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createAsyncIterable } from "@connectrpc/connect/protocol";
import { expect, it } from "vitest";
import { writeResponse } from "./response-writing.ts";

it("parts that are ready together reach the reader together", async () => {
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
    const received: string[] = [];
    for await (const chunk of client.request({ ":path": "/" })) received.push(String(chunk));
    expect(received).toEqual(["abc"]);
  } finally {
    client.close();
    server.close();
  }
});
