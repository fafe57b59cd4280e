/** A worker's stream over HTTP/2 by hand, so that a test can send anything at all, and stop reading. */
import { connect, type ClientHttp2Stream } from "node:http2";
import type { CustomTypeSchema, HandledWorkflowSchema, ToolSchema } from "@abstractruntime/proto/worker_pb";
import {
  type Job,
  type JobResultAck,
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from "@abstractruntime/proto/worker_service_pb";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { fieldsOf, readDetail, type Refusal } from "./api.ts";
import { envelope } from "./connect-stream.ts";

const HEAD_BYTES = 5;
/** How long a test waits for what must happen; reached only if it fails. */
const PATIENCE_MS = 60_000;

type Frame = NonNullable<MessageInitShape<typeof WorkRequestSchema>["frame"]>;
/** Fields as a plain object, so that a test can set some and change others. */
export type Hello = {
  workerSessionId?: string;
  tools?: MessageInitShape<typeof ToolSchema>[];
  workflows?: MessageInitShape<typeof HandledWorkflowSchema>[];
  customTypes?: MessageInitShape<typeof CustomTypeSchema>[];
  heldTokens?: string[];
  keptVarsBytes?: bigint;
};
type ServerFrame = WorkResponse["frame"];
type Case = NonNullable<ServerFrame["case"]>;
type FrameOf<C extends Case> = Extract<ServerFrame, { case: C }>["value"];

/** How a stream ended: gRPC's status, or -1 if it broke off without one, and the refusal. */
export type StreamEnd = Pick<Refusal, "reason" | "fields" | "descriptions" | "metadata"> & {
  code: number;
  message: string;
};

export type WireWorker = {
  readonly sessionId: string;
  /** Frames that arrived and were not taken, in order. */
  readonly frames: readonly ServerFrame[];
  readonly isEnded: boolean;
  send(frame: Frame): void;
  /** Sends a message of the stream with these bytes, whatever they are. */
  sendMessage(bytes: Uint8Array): void;
  /** Sends bytes without framing. */
  sendBytes(bytes: Uint8Array): void;
  /** Ends the worker's side of the stream. */
  endSending(): void;
  /** Takes the next frame of a kind. */
  take<C extends Case>(kind: C): Promise<FrameOf<C>>;
  /** Takes the next job that was offered. */
  job(): Promise<Job>;
  /** Takes the next acknowledgement of a token. */
  ack(token: string): Promise<JobResultAck>;
  /** Sends a result, and returns its acknowledgement. */
  result(token: string, outcome: Outcome): Promise<JobResultAck>;
  /** How many jobs have been offered so far. */
  readonly offered: number;
  /** Reads nothing for a while: the flow-control window of the stream closes, and then that of its connection. */
  stopReading(): void;
  readOn(): void;
  readonly ended: Promise<StreamEnd>;
  /** Drops the connection without ending the stream. */
  cut(): void;
};

type Outcome =
  | { output: string | Uint8Array }
  | { failure: { code?: string; message?: string; nonRetryable?: boolean } };

let lastId = 0;

export function freshSession(): string {
  lastId += 1;
  return `wire-${process.pid}-${lastId}`;
}

/**
 * Opens a stream, and sends a hello unless `hello` is missing.
 * @param onJob takes every offered job; if it is missing, jobs wait for `job()`
 */
export function openWireWorker(port: number, hello?: Hello, onJob?: (job: Job) => void): WireWorker {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": "/abstractruntime.v1.WorkerService/Work",
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
  const frames: ServerFrame[] = [];
  const jobs: Job[] = [];
  const acks: JobResultAck[] = [];
  let offered = 0;
  const wakers = new Set<() => void>();
  let end: StreamEnd | undefined;
  const wake = (): void => {
    for (const waker of wakers) waker();
  };

  readMessages(stream, (bytes) => {
    const { frame } = fromBinary(WorkResponseSchema, bytes);
    if (frame.case === "offer") {
      offered += frame.value.jobs.length;
      if (onJob === undefined) jobs.push(...frame.value.jobs);
      else for (const job of frame.value.jobs) onJob(job);
    } else if (frame.case === "ping") send({ case: "pong", value: { number: frame.value.number } });
    else if (frame.case === "resultAck") acks.push(...frame.value.acks);
    else frames.push(frame);
    wake();
  });
  const ended = endOf(stream).then((how) => {
    end = how;
    wake();
    session.destroy();
    return how;
  });

  async function until<T>(find: () => T | undefined, what: string): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (end !== undefined) throw new Error(`the stream ended before ${what}: ${JSON.stringify(end)}`);
      if (Date.now() >= deadline) throw new Error(`there was no ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        const waker = (): void => {
          clearTimeout(timer);
          wakers.delete(waker);
          resolve();
        };
        wakers.add(waker);
      });
    }
  }

  function takeFirst<T>(list: T[], matches: (item: T) => boolean): T | undefined {
    const index = list.findIndex(matches);
    return index === -1 ? undefined : list.splice(index, 1)[0];
  }

  const ack = (token: string): Promise<JobResultAck> =>
    until(() => takeFirst(acks, (one) => one.token === token), `acknowledgement of ${token.slice(0, 20)}`);
  const send = (frame: Frame): void => sendMessage(encodeFrame(frame));
  const sendMessage = (bytes: Uint8Array): void => sendBytes(envelope(bytes));
  const sendBytes = (bytes: Uint8Array): void => {
    if (!stream.destroyed && !stream.writableEnded) stream.write(bytes);
  };
  if (hello !== undefined) send({ case: "hello", value: hello });

  return {
    sessionId: hello?.workerSessionId ?? "",
    frames,
    get isEnded() {
      return end !== undefined;
    },
    send,
    sendMessage,
    sendBytes,
    endSending: () => stream.end(),
    take: async <C extends Case>(kind: C) => {
      const frame = await until(() => takeFirst(frames, (one) => one.case === kind), kind);
      return frame.value as FrameOf<C>;
    },
    job: () => until(() => jobs.shift(), "offer"),
    ack,
    result: (token, outcome) => {
      send({ case: "result", value: { results: [resultOf(token, outcome)] } });
      return ack(token);
    },
    get offered() {
      return offered;
    },
    stopReading: () => stream.pause(),
    readOn: () => stream.resume(),
    ended,
    cut: () => session.destroy(),
  };
}

/** A worker that runs every job with `run` until its stream ends; it has credit for `credit` jobs at once. */
export async function serveTools(
  port: number,
  toolNames: readonly string[],
  run: (job: Job) => Outcome = () => ({ output: "1" }),
  credit = 100,
): Promise<WireWorker & { readonly served: readonly Job[] }> {
  const served: Job[] = [];
  const onJob = (job: Job): void => {
    served.push(job);
    worker.send({ case: "accept", value: { tokens: [job.token] } });
    worker.send({ case: "result", value: { results: [resultOf(job.token, run(job))] } });
    worker.send({ case: "credit", value: { jobs: 1 } });
  };
  const hello = { workerSessionId: freshSession(), tools: toolNames.map((name) => ({ name })) };
  const worker = openWireWorker(port, hello, onJob);
  await worker.take("welcome");
  worker.send({ case: "credit", value: { jobs: credit } });
  return Object.assign(worker, { served });
}

export function encodeFrame(frame: Frame): Uint8Array {
  return toBinary(WorkRequestSchema, create(WorkRequestSchema, { frame }));
}

function resultOf(token: string, outcome: Outcome) {
  if ("failure" in outcome) return { token, outcome: { case: "failure" as const, value: outcome.failure } };
  const { output } = outcome;
  return {
    token,
    outcome: { case: "output" as const, value: typeof output === "string" ? Buffer.from(output) : output },
  };
}

function readMessages(stream: ClientHttp2Stream, onMessage: (bytes: Uint8Array) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    while (seen.length >= HEAD_BYTES && seen.length >= HEAD_BYTES + seen.readUInt32BE(1)) {
      const length = HEAD_BYTES + seen.readUInt32BE(1);
      onMessage(seen.subarray(HEAD_BYTES, length));
      seen = seen.subarray(length);
    }
  });
}

type Headers = { "grpc-status"?: string; "grpc-message"?: string; "grpc-status-details-bin"?: string };

async function endOf(stream: ClientHttp2Stream): Promise<StreamEnd> {
  const trailers = await new Promise<Headers | undefined>((resolve) => {
    let known: Headers | undefined;
    // A refusal without a message before it may be in the headers alone.
    stream.on("response", (headers) => {
      if (headers["grpc-status"] !== undefined) known = headers as Headers;
    });
    stream.on("trailers", (headers) => {
      known = headers as Headers;
    });
    stream.on("error", () => undefined);
    stream.on("close", () => resolve(known));
  });
  const end: StreamEnd = { code: -1, message: "", reason: "", fields: [], descriptions: [], metadata: {} };
  if (trailers?.["grpc-status"] === undefined) return end;
  end.code = Number(trailers["grpc-status"]);
  end.message = decodeURIComponent(trailers["grpc-message"] ?? "");
  const details = Buffer.from(trailers["grpc-status-details-bin"] ?? "", "base64");
  for (const [field, any] of fieldsOf(details)) {
    if (field !== 3) continue;
    const entry = new Map(fieldsOf(any));
    const type = entry.get(1)?.toString().split("/").at(-1) ?? "";
    readDetail(end as unknown as Refusal, type, entry.get(2) ?? Buffer.alloc(0));
  }
  return end;
}
