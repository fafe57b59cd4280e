/** WorkerService: decodes a worker's frames, hands them to the engine, and encodes the engine's frames. */
import type { WorkerService, WorkRequest, WorkResponse } from "@abstractruntime/proto/worker_service_pb";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { DomainError } from "../core/errors.ts";
import type { Engine, WorkerConnection } from "../engine/api.ts";
import { callerOf } from "./auth.ts";
import { createFrameQueue, type FrameQueue } from "./frame-queue.ts";
import { optionalFields } from "./optional-fields.ts";
import { untilAborted } from "./streams.ts";
import { frameFromProto, frameInvalid, frameToProto, helloFromProto, workerToProto } from "./worker-conversion.ts";

/** How long a stream may take to send its hello: as long as a worker may be silent later. */
const HELLO_TIMEOUT_MS = 30_000;

/** @param timing for tests, which would otherwise have to wait */
export function createWorkerService(
  engine: Engine,
  { helloTimeoutMs = HELLO_TIMEOUT_MS }: { helloTimeoutMs?: number } = {},
): ServiceImpl<typeof WorkerService> {
  return {
    work: (requests, context) => work(engine, requests, context, helloTimeoutMs),

    async listWorkers({ tool, pageSize, pageToken }, context) {
      const request = { pageSize, pageToken, ...optionalFields({ tool }) };
      const { workers, nextPageToken } = await engine.listWorkers(callerOf(context), request);
      return { workers: workers.map(workerToProto), nextPageToken };
    },
  };
}

async function* work(
  engine: Engine,
  requests: AsyncIterable<WorkRequest>,
  context: HandlerContext,
  helloTimeoutMs: number,
): AsyncGenerator<WorkResponse> {
  const frames = requests[Symbol.asyncIterator]();
  const first = await firstFrame(frames, helloTimeoutMs);
  if (first.done === true) return;
  const { frame } = first.value;
  if (frame.case !== "hello") throw frameInvalid("frame", "the first frame must be hello");
  const queue = createFrameQueue();
  const link = { send: queue.push, end: queue.end, isFull: queue.isFull };
  const hello = frame.value;
  const connection = await engine.connectWorker(callerOf(context, hello.actorId), helloFromProto(hello), link);
  try {
    void readFrames(frames, connection, queue).then(queue.end, queue.end);
    for await (const frame of untilAborted(queue.frames(), context.signal)) yield frameToProto(frame);
  } finally {
    connection.close();
  }
}

/** @throws {DomainError} WORKER_SILENT */
async function firstFrame(
  frames: AsyncIterator<WorkRequest>,
  timeoutMs: number,
): Promise<IteratorResult<WorkRequest, unknown>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const silent = new DomainError("WORKER_SILENT", `The worker sent no hello within ${timeoutMs} ms.`);
    timer = setTimeout(() => reject(silent), timeoutMs);
  });
  const first = frames.next();
  // Ignore a hello that arrives late.
  first.catch(() => undefined);
  try {
    return await Promise.race([first, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads until the worker ends its side. @throws {DomainError} REQUEST_INVALID if a frame is invalid */
async function readFrames(
  frames: AsyncIterator<WorkRequest>,
  connection: WorkerConnection,
  queue: FrameQueue,
): Promise<undefined> {
  for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
    connection.receive(frameFromProto(next.value));
    await queue.roomForReplies();
  }
  return undefined;
}
