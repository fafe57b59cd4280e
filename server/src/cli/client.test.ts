import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";

import { createRuntimeClient, pollUntil, resumeStream, serverUrl } from "./client.ts";
import { UsageError } from "./failure.ts";

const noPause = () => Promise.resolve();

/** A client of a service that fails the first `failures` requests with `code`; counts the requests. */
function failingClient(failures: number, code: Code) {
  const counts = { requests: 0, pauses: 0 };
  const attempt = () => {
    counts.requests += 1;
    if (counts.requests <= failures) throw new ConnectError("away", code);
    return {};
  };
  const service: Partial<ServiceImpl<typeof RuntimeService>> = {
    getRun: attempt,
    startRun: attempt,
    resumeRun: attempt,
    emitEvent: attempt,
    tickRun: attempt,
  };
  const transport = createRouterTransport((router) => router.service(RuntimeService, service));
  const pause = () => {
    counts.pauses += 1;
    return Promise.resolve();
  };
  return { counts, client: createRuntimeClient(transport, { deadlineMs: 5_000, pause }).runtime };
}

describe("requests are sent again", () => {
  it.each([
    ["that only read", (client: ReturnType<typeof failingClient>["client"]) => client.getRun({ runId: "r" })],
    [
      "that are idempotent",
      (client: ReturnType<typeof failingClient>["client"]) => client.resumeRun({ runId: "r", waitId: "w" }),
    ],
    [
      "that start with an id",
      (client: ReturnType<typeof failingClient>["client"]) => client.startRun({ runId: "r", workflowId: "w" }),
    ],
    [
      "that emit with an id",
      (client: ReturnType<typeof failingClient>["client"]) => client.emitEvent({ name: "e", eventId: "i" }),
    ],
  ])("%s", async (_what, send) => {
    const { client, counts } = failingClient(3, Code.Unavailable);
    await send(client);
    expect(counts).toEqual({ requests: 4, pauses: 3 });
  });

  it("four times at most", async () => {
    const { client, counts } = failingClient(10, Code.Unavailable);
    await expect(client.getRun({ runId: "r" })).rejects.toMatchObject({ code: Code.Unavailable });
    expect(counts.requests).toBe(4);
  });
});

describe("requests are sent once", () => {
  it.each([
    [
      "that start without an id",
      (client: ReturnType<typeof failingClient>["client"]) => client.startRun({ workflowId: "w" }),
    ],
    [
      "that emit without an id",
      (client: ReturnType<typeof failingClient>["client"]) => client.emitEvent({ name: "e" }),
    ],
    ["that tick", (client: ReturnType<typeof failingClient>["client"]) => client.tickRun({ runId: "r" })],
  ])("%s", async (_what, send) => {
    const { client, counts } = failingClient(1, Code.Unavailable);
    await expect(send(client)).rejects.toMatchObject({ code: Code.Unavailable });
    expect(counts).toEqual({ requests: 1, pauses: 0 });
  });

  it("that are refused", async () => {
    const { client, counts } = failingClient(1, Code.NotFound);
    await expect(client.getRun({ runId: "r" })).rejects.toMatchObject({ code: Code.NotFound });
    expect(counts.requests).toBe(1);
  });
});

describe("resumeStream", () => {
  async function* numbersUntil(from: number, to: number, code?: Code): AsyncGenerator<number> {
    for (let number = from + 1; number <= to; number++) yield number;
    if (code !== undefined) throw new ConnectError("cut off", code);
  }

  it("goes on where it stood, without a gap or a repeat", async () => {
    const opened: number[] = [];
    const lost: string[] = [];
    const ends: [number, Code?][] = [
      [2, Code.Unavailable],
      [2, Code.Canceled],
      [2, Code.Canceled],
      [4, Code.ResourceExhausted],
      [5],
    ];
    const numbers: number[] = [];
    const stream = resumeStream({
      open: (position: number) => {
        opened.push(position);
        const [to, code] = ends.shift()!;
        return numbersUntil(position, to, code);
      },
      start: 0,
      positionOf: (number) => number,
      signal: new AbortController().signal,
      pause: noPause,
      onLost: (error) => {
        lost.push(error.rawMessage);
        return Promise.resolve();
      },
    });
    for await (const number of stream) numbers.push(number);
    expect(numbers).toEqual([1, 2, 3, 4, 5]);
    expect(opened).toEqual([0, 2, 2, 2, 4]);
    // Three losses in a row are one that lasts. After the fourth the stream was opened again at once: proxies do that.
    expect(lost).toEqual(["cut off"]);
  });

  it.each([
    ["a refusal at once", Code.NotFound, 1],
    ["a server that stays away, in the end", Code.Unavailable, 61],
  ])("passes on %s", async (_what, code, opens) => {
    let opened = 0;
    const stream = resumeStream({
      open: () => {
        opened += 1;
        return numbersUntil(0, 0, code);
      },
      start: 0,
      positionOf: (number: number) => number,
      signal: new AbortController().signal,
      pause: noPause,
      onLost: noPause,
    });
    await expect(stream.next()).rejects.toMatchObject({ code });
    expect(opened).toBe(opens);
  });
});

describe("resumeStream that is ended", () => {
  it("is not opened again", async () => {
    const controller = new AbortController();
    let opened = 0;
    async function* cutOff(): AsyncGenerator<number> {
      opened += 1;
      yield 1;
      throw new ConnectError("cut off", Code.Canceled);
    }
    const stream = resumeStream({
      open: cutOff,
      start: 0,
      positionOf: (number) => number,
      signal: controller.signal,
      pause: noPause,
      onLost: noPause,
    });
    await stream.next();
    controller.abort();
    await expect(stream.next()).rejects.toMatchObject({ code: Code.Canceled });
    expect(opened).toBe(1);
  });
});

describe("pollUntil", () => {
  /** Answers as a server behind a proxy that cuts what takes longer than 7 s; its run rests after `restMs`. */
  function behindProxy(restMs: number) {
    let at = 0;
    const waits: number[] = [];
    const poll = pollUntil({
      send: async (waitMs) => {
        waits.push(Math.round(waitMs));
        if (Math.min(waitMs, restMs - at) > 7_000) {
          at += 7_000;
          throw new ConnectError("HTTP 504", Code.Unavailable);
        }
        at = Math.min(at + waitMs, Math.max(at, restMs));
        return { isAtRest: at >= restMs };
      },
      isAtRest: (reply) => reply.isAtRest,
      timeoutMs: Number.POSITIVE_INFINITY,
      now: () => at,
      pause: noPause,
    });
    return { poll, waits };
  }

  it("returns what takes longer than a proxy allows: shorter requests after a cut", async () => {
    const { poll, waits } = behindProxy(40_000);
    expect(await poll).toEqual({ isAtRest: true });
    expect(waits.slice(0, 4)).toEqual([25_000, 4_900, 4_900, 4_900]);
  });

  it("gives up after four losses in a row", async () => {
    let requests = 0;
    const poll = pollUntil({
      send: async () => {
        requests += 1;
        throw new ConnectError("away", Code.Unavailable);
      },
      isAtRest: () => true,
      timeoutMs: 1_000,
      now: () => 0,
      pause: noPause,
    });
    await expect(poll).rejects.toMatchObject({ code: Code.Unavailable });
    expect(requests).toBe(4);
  });
});

describe("serverUrl", () => {
  it.each([
    ["http://127.0.0.1:7400", "http://127.0.0.1:7400"],
    ["127.0.0.1:7400", "http://127.0.0.1:7400"],
    ["localhost:7400/", "http://localhost:7400"],
    ["https://ar.example.com", "https://ar.example.com"],
  ])("reads %s", (text, url) => expect(serverUrl(text)).toBe(url));

  it.each([["ftp://x"], ["http://"], [""], ["a b"]])("refuses %j", (text) => {
    expect(() => serverUrl(text)).toThrow(UsageError);
  });
});
