/** WorkerService: a worker's stream, decoded, handed to the engine, and answered frame by frame. */
import type { WorkerService, WorkRequest, WorkResponse } from "@abstractruntime/proto/worker_service_pb";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Engine, WorkerConnection } from "../engine/api.ts";
import { callerOf } from "./auth.ts";
import { createFrameQueue } from "./frame-queue.ts";
import { optionalField } from "./optional-field.ts";
import { untilAborted } from "./streams.ts";
import { frameFromProto, frameInvalid, frameToProto, helloFromProto, workerToProto } from "./worker-conversion.ts";

export function createWorkerService(engine: Engine): ServiceImpl<typeof WorkerService> {
  return {
    work: (requests, context) => work(engine, requests, context),

    async listWorkers({ tool, pageSize, pageToken }, context) {
      const request = { pageSize, pageToken, ...optionalField("tool", tool) };
      const { workers, nextPageToken } = await engine.listWorkers(callerOf(context), request);
      return { workers: workers.map(workerToProto), nextPageToken };
    },
  };
}

async function* work(
  engine: Engine,
  requests: AsyncIterable<WorkRequest>,
  context: HandlerContext,
): AsyncGenerator<WorkResponse> {
  const frames = requests[Symbol.asyncIterator]();
  const first = await frames.next();
  if (first.done === true) return;
  const { frame } = first.value;
  if (frame.case !== "hello") throw frameInvalid("frame", "the first frame is hello");
  const queue = createFrameQueue();
  const link = { send: queue.push, end: queue.end };
  const connection = await engine.connectWorker(callerOf(context), helloFromProto(frame.value), link);
  try {
    void readFrames(frames, connection).then(queue.end, queue.end);
    for await (const frame of untilAborted(queue.frames(), context.signal)) yield frameToProto(frame);
  } finally {
    connection.close();
  }
}

/** Reads until the worker ends its side. @throws what is wrong with a frame */
async function readFrames(frames: AsyncIterator<WorkRequest>, connection: WorkerConnection): Promise<undefined> {
  for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
    connection.receive(frameFromProto(next.value));
  }
  return undefined;
}
