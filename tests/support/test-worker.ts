/** A worker of a test: the engine's side of a stream in one process, with frames that the test writes and reads. */
import type { Json } from "../../server/src/core/json/json.ts";
import type {
  Caller,
  JobResultAck,
  OfferedJob,
  ServerFrame,
  WorkerConnection,
  WorkerHello,
} from "../../server/src/engine/api.ts";
import { freshId, type TestServer, within } from "./engine.ts";

export type TestWorker = {
  readonly sessionId: string;
  readonly connection: WorkerConnection;
  readonly frames: readonly ServerFrame[];
  /** What ended the stream; missing while it is open. */
  readonly ending: { error?: Error } | undefined;
  /** Returns the next offered job that it has not returned yet. */
  nextJob(): Promise<OfferedJob>;
  /** Resolves with the first frame that matches, counted from the first frame of the stream. */
  frame<T extends ServerFrame["type"]>(
    type: T,
    matches?: (frame: Extract<ServerFrame, { type: T }>) => boolean,
  ): Promise<Extract<ServerFrame, { type: T }>>;
  /** How many jobs were offered and not taken by `nextJob`. */
  readonly waiting: number;
  credit(jobs: number): void;
  accept(...jobs: OfferedJob[]): void;
  /** Sends a result, and returns its acknowledgement. */
  complete(job: OfferedJob, output: Json): Promise<JobResultAck>;
  fail(job: OfferedJob, code: string, options?: { nonRetryable?: boolean }): Promise<JobResultAck>;
  /** Ends the stream without a frame. */
  cut(): void;
};

export type WorkerFacts = Partial<WorkerHello> & { toolNames?: readonly string[] };

export function toolOf(name: string, facts: Partial<WorkerHello["tools"][number]> = {}): WorkerHello["tools"][number] {
  return { name, version: "", description: "", inputSchema: "", concurrency: 0, ...facts };
}

export async function connectTestWorker(
  server: TestServer,
  caller: Caller,
  { toolNames = [], ...facts }: WorkerFacts,
): Promise<TestWorker> {
  const hello: WorkerHello = {
    workerSessionId: freshId("worker"),
    name: "test",
    tools: toolNames.map((name) => toolOf(name)),
    workflows: [],
    customTypes: [],
    heldTokens: [],
    ...facts,
  };
  const frames: ServerFrame[] = [];
  const jobs: OfferedJob[] = [];
  const wakers = new Set<() => void>();
  let ending: { error?: Error } | undefined;
  const wake = (): void => {
    for (const waker of wakers) waker();
  };
  let onEnd = (): void => undefined;
  const link = {
    send(frame: ServerFrame) {
      frames.push(frame);
      if (frame.type === "offer") jobs.push(...frame.jobs);
      wake();
    },
    end(error?: Error) {
      ending ??= error === undefined ? {} : { error };
      onEnd();
      wake();
    },
  };
  const connection = await server.engine.connectWorker(caller, hello, link);
  // The connection is then closed, as after any end of a stream.
  onEnd = () => connection.close();
  if (ending !== undefined) onEnd();

  async function until<T>(find: () => T | undefined, what: string): Promise<T> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      const next = new Promise<void>((resolve) => {
        const waker = (): void => {
          wakers.delete(waker);
          resolve();
        };
        wakers.add(waker);
      });
      await within(next, `worker ${hello.workerSessionId} did not get: ${what}`);
    }
  }

  const result = async (
    token: string,
    outcome: { output: string } | { failure: { code: string; message: string; nonRetryable?: boolean } },
  ) => {
    const seen = frames.length;
    connection.receive({ type: "result", results: [{ token, outcome }] });
    const ackOf = () =>
      frames
        .slice(seen)
        .flatMap((frame) => (frame.type === "result_ack" ? frame.acks : []))
        .find((ack) => ack.token === token);
    return await until(ackOf, "an acknowledgement");
  };

  return {
    sessionId: hello.workerSessionId,
    connection,
    frames,
    get ending() {
      return ending;
    },
    get waiting() {
      return jobs.length;
    },
    nextJob: () => until(() => jobs.shift(), "a job"),
    frame: (type, matches = () => true) =>
      until(
        () =>
          frames.find(
            (frame): frame is Extract<ServerFrame, { type: typeof type }> =>
              frame.type === type && matches(frame as Extract<ServerFrame, { type: typeof type }>),
          ),
        type,
      ),
    credit: (count) => connection.receive({ type: "credit", jobs: count }),
    accept: (...accepted) => connection.receive({ type: "accept", tokens: accepted.map(({ token }) => token) }),
    complete: (job, output) => result(job.token, { output: JSON.stringify(output) }),
    fail: (job, code, options = {}) => result(job.token, { failure: { code, message: code, ...options } }),
    cut: () => connection.close(),
  };
}
