/** A server for the worker's tests: each of its streams sends exactly what a test says. */
import { createServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";

import {
  type Job,
  JobKind,
  JobSchema,
  type WorkerHello,
  WorkerService,
  type WorkRequest,
  type WorkResponse,
  WorkResponseSchema,
} from "@abstractruntime/proto/worker_service_pb";
import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import { ErrorInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

type Frame = NonNullable<MessageInitShape<typeof WorkResponseSchema>["frame"]>;
type RequestFrame = WorkRequest["frame"];
type RequestCase = NonNullable<RequestFrame["case"]>;
type RequestValue<Case extends RequestCase> = Extract<RequestFrame, { case: Case }>["value"];

export type FakeStream = {
  readonly hello: WorkerHello;
  send(frame: Frame): void;
  welcome(options?: { silenceTimeoutMs?: number; acceptTimeoutMs?: number }): void;
  offer(...jobs: MessageInitShape<typeof JobSchema>[]): void;
  /** Waits for and takes the first frame of this kind that was not taken yet. Other frames stay. */
  take<Case extends RequestCase>(kind: Case): Promise<RequestValue<Case>>;
  /** Takes this many results, from as many frames as needed. */
  takeResults(count: number): Promise<{ token: string; output?: unknown; code?: string; message?: string }[]>;
  /** Frames that arrived and were not taken. */
  readonly received: readonly RequestFrame[];
  ack(...tokens: string[]): void;
  /** Ends the stream, with an error if one is given. */
  end(error?: ConnectError): void;
  /** Resolves when the worker has ended its side, or the connection is gone. */
  readonly left: Promise<void>;
};

export type FakeServer = {
  readonly url: string;
  /** The next stream whose hello has arrived. */
  nextStream(): Promise<FakeStream>;
  /** Ends all connections without a frame. */
  dropConnections(): void;
  close(): Promise<void>;
};

export type FakeServerOptions = {
  /** A refusal ends the stream; the test does not see that stream. */
  onHello?: (hello: WorkerHello) => ConnectError | undefined;
  port?: number;
  /** Whether a stream ends after the worker has ended its side. Default true. */
  endsWithWorker?: boolean;
};

export async function startFakeServer(options: FakeServerOptions = {}): Promise<FakeServer> {
  const streams = createQueue<FakeStream>();
  const sockets = new Set<Socket>();
  const handler = connectNodeAdapter({
    routes: (router) =>
      router.service(WorkerService, {
        async *work(requests): AsyncGenerator<WorkResponse> {
          const incoming = requests[Symbol.asyncIterator]();
          const first = await incoming.next();
          if (first.done === true || first.value.frame.case !== "hello")
            throw new Error("the first frame is not a hello");
          const hello = first.value.frame.value;
          const refusal = options.onHello?.(hello);
          if (refusal !== undefined) throw refusal;
          const outgoing = createQueue<Frame | { error: ConnectError | undefined }>();
          streams.put(openStream(hello, incoming, outgoing, options.endsWithWorker ?? true));
          while (true) {
            const frame = await outgoing.take();
            if ("error" in frame) {
              if (frame.error !== undefined) throw frame.error;
              return;
            }
            yield create(WorkResponseSchema, { frame });
          }
        },
      }),
  });
  const server = createServer(handler);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const dropConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    nextStream: () => streams.take(),
    dropConnections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        dropConnections();
      }),
  };
}

function openStream(
  hello: WorkerHello,
  incoming: AsyncIterator<WorkRequest>,
  outgoing: Queue<Frame | { error: ConnectError | undefined }>,
  endsWithWorker: boolean,
): FakeStream {
  const received: RequestFrame[] = [];
  let onReceived = Promise.withResolvers<void>();
  const read = async (): Promise<void> => {
    try {
      for (let next = await incoming.next(); next.done !== true; next = await incoming.next()) {
        received.push(next.value.frame);
        onReceived.resolve();
        onReceived = Promise.withResolvers();
      }
    } catch {
      // The connection is gone.
    }
    if (endsWithWorker) outgoing.put({ error: undefined });
  };
  const stream: FakeStream = {
    hello,
    received,
    left: read(),
    send: (frame) => outgoing.put(frame),
    welcome({ silenceTimeoutMs = 30_000, acceptTimeoutMs = 5_000 } = {}) {
      const [silenceTimeout, acceptTimeout] = [durationFromMs(silenceTimeoutMs), durationFromMs(acceptTimeoutMs)];
      stream.send({ case: "welcome", value: { serverId: "fake", silenceTimeout, acceptTimeout } });
    },
    offer(...jobs) {
      stream.send({ case: "offer", value: { jobs } });
    },
    async take(kind) {
      while (true) {
        const index = received.findIndex((frame) => frame.case === kind);
        if (index >= 0) return received.splice(index, 1)[0]?.value as RequestValue<typeof kind>;
        await onReceived.promise;
      }
    },
    async takeResults(count) {
      const results: Awaited<ReturnType<FakeStream["takeResults"]>> = [];
      while (results.length < count) {
        const frame = await stream.take("result");
        for (const { token, outcome } of frame.results) {
          if (outcome.case === "failure") {
            results.push({ token, code: outcome.value.code, message: outcome.value.message });
          } else {
            const text = outcome.case === "output" ? Buffer.from(outcome.value).toString() : "null";
            results.push({ token, output: JSON.parse(text) as unknown });
          }
        }
      }
      return results;
    },
    ack(...tokens) {
      stream.send({ case: "resultAck", value: { acks: tokens.map((token) => ({ token, status: 1 })) } });
    },
    end: (error) => outgoing.put({ error }),
  };
  return stream;
}

/** A job, of tool `echo` by default. */
export function fakeJob(token: string, fields: MessageInitShape<typeof JobSchema> & { args?: unknown } = {}): Job {
  const { args = {}, ...rest } = fields;
  return create(JobSchema, {
    token,
    kind: JobKind.TOOL,
    name: "echo",
    payload: Buffer.from(JSON.stringify(args)),
    runId: "run",
    workflowId: "flow",
    version: 1,
    nodeId: "node",
    callId: "call",
    idempotencyKey: `key-${token}`,
    attempt: 1,
    leaseNumber: 1,
    delivery: Delivery.AT_LEAST_ONCE,
    ...rest,
  });
}

export function refusal(reason: string, code: Code): ConnectError {
  const info = { reason, domain: "abstractruntime" };
  return new ConnectError(reason, code, undefined, [{ desc: ErrorInfoSchema, value: info }]);
}

type Queue<Item> = { put(item: Item): void; take(): Promise<Item> };

function createQueue<Item>(): Queue<Item> {
  const items: Item[] = [];
  const takers: ((item: Item) => void)[] = [];
  return {
    put(item) {
      const taker = takers.shift();
      if (taker === undefined) items.push(item);
      else taker(item);
    },
    take: () =>
      items.length > 0
        ? Promise.resolve(items.shift() as Item)
        : new Promise<Item>((resolve) => {
            takers.push(resolve);
          }),
  };
}
