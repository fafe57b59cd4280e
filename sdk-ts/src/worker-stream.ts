/** One connection of a worker: one HTTP/2 connection with one stream. Any error ends it; the worker then opens the next
 *  one. */
import { ErrorInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import {
  type WorkerHello,
  WorkerService,
  type WorkerWelcome,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
} from "@abstractruntime/proto/worker_service_pb";
import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { given } from "./given.ts";
import { openWorkerConnection } from "./worker-connection.ts";
import type { Outbox } from "./worker-outbox.ts";

/** Why a connection ended. */
export type StreamEnd = {
  /** Whether the server had welcomed the worker. */
  welcomed: boolean;
  /** The name of an ErrorReason without its prefix. WORKER_SILENT also if this side gave up. Absent if the server sent
   *  no reason. */
  reason?: string;
  /** Absent if the server or the worker ended the stream without an error. */
  error?: ConnectError;
};

export type WorkerStream = {
  /** The outbox has something to send. */
  wake(): void;
  /** Gives the connection up. */
  abandon(): void;
  /** Never rejects. */
  readonly ended: Promise<StreamEnd>;
};

export type StreamOptions = {
  address: string;
  hello: WorkerHello;
  outbox: Outbox;
  onWelcome(welcome: WorkerWelcome): void;
  onFrame(frame: WorkResponse["frame"]): void;
  /** The connection has taken the frame. */
  onSent(frame: WorkRequest["frame"]): void;
  /** How long the server may take to answer the hello, connecting included. */
  welcomeTimeoutMs: number;
  /** How long the server may be silent, if the welcome does not say. */
  silenceTimeoutMs: number;
};

/** The server's frames have at most 3 MiB; larger frames are garbage. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** After a process was suspended, its timers fire before it reads what arrived meanwhile. This is the time that it gets
 *  to read. */
const CATCH_UP_MS = 1_000;
/** A timer that fires this much too late shows that the process was suspended. */
const STANDSTILL_MS = 500;

export function openWorkerStream(options: StreamOptions): WorkerStream {
  const { address, hello, outbox, welcomeTimeoutMs } = options;
  const connection = openWorkerConnection(address);
  const transport = createGrpcTransport({
    baseUrl: address,
    sessionManager: connection,
    readMaxBytes: FRAME_BYTES_MAX,
    // Frames are small and many; compressing them costs more than it saves.
    acceptCompression: [],
  });
  const closing = new AbortController();
  const welcome = Promise.withResolvers<void>();
  const watchdog = createWatchdog(welcomeTimeoutMs, () => abandon(silentError()));
  const standstill = createStandstillWatch(() =>
    abandon(new ConnectError("the process was suspended", Code.Unavailable)),
  );
  let welcomed = false;
  let wakeUp: (() => void) | undefined;

  function abandon(error?: ConnectError): void {
    closing.abort(error);
    // Ends the connection too, because the connection itself may be broken.
    connection.destroy();
  }

  async function* requests(): AsyncGenerator<WorkRequest> {
    yield create(WorkRequestSchema, { frame: { case: "hello", value: hello } });
    await welcome.promise;
    let hasAccepted = false;
    while (!closing.signal.aborted && !outbox.isFinished) {
      const woken = new Promise<void>((resolve) => {
        wakeUp = resolve;
      });
      // Waits for the rest of this turn of the event loop, so that its facts share frames. After an accept it waits
      // less: jobs that are done at once send their results right after their accepts.
      await new Promise((resolve) => (hasAccepted ? process.nextTick(resolve) : setImmediate(resolve)));
      const frame = outbox.takeFrame();
      hasAccepted = frame?.frame.case === "accept";
      if (frame === undefined) await woken;
      else {
        yield frame;
        options.onSent(frame.frame);
      }
    }
  }

  async function receive(): Promise<StreamEnd> {
    try {
      const client = createClient(WorkerService, transport);
      for await (const { frame } of client.work(requests(), { signal: closing.signal })) {
        if (closing.signal.aborted) break;
        watchdog.reset();
        if (frame.case === "welcome" && !welcomed) {
          welcomed = true;
          watchdog.setTimeoutMs(silenceTimeoutMs(frame.value, options.silenceTimeoutMs));
          standstill.start(acceptTimeoutMs(frame.value));
          options.onWelcome(frame.value);
          welcome.resolve();
        } else if (welcomed) options.onFrame(frame);
      }
      return { welcomed };
    } catch (thrown) {
      const cause: unknown = closing.signal.reason;
      const error = cause instanceof ConnectError ? cause : ConnectError.from(thrown);
      const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
      return { welcomed, error, ...given({ reason }) };
    } finally {
      watchdog.stop();
      standstill.stop();
      abandon();
      welcome.resolve();
      wakeUp?.();
    }
  }

  return { wake: () => wakeUp?.(), abandon: () => abandon(), ended: receive() };
}

/** These bounds prevent a wrong welcome from disabling the watchdog. */
const SILENCE_MS_MIN = 100;
const SILENCE_MS_MAX = 10 * 60_000;

function silenceTimeoutMs(welcome: WorkerWelcome, defaultMs: number): number {
  if (welcome.silenceTimeout === undefined) return defaultMs;
  return Math.min(Math.max(durationMs(welcome.silenceTimeout), SILENCE_MS_MIN), SILENCE_MS_MAX);
}

const ACCEPT_MS_DEFAULT = 5_000;

function acceptTimeoutMs({ acceptTimeout }: WorkerWelcome): number {
  return Math.max(acceptTimeout === undefined ? ACCEPT_MS_DEFAULT : durationMs(acceptTimeout), SILENCE_MS_MIN);
}

/** How many checks there are during the time that an offer is valid. */
const STANDSTILL_LOOKS = 10;

/**
 * Calls `onStandstill` if the process was suspended for about as long as an offer is valid. Offers that are still
 * unread may belong to other workers by then, and to begin one would do its work twice. Timers fire before received
 * frames are read, so none of them is begun.
 */
function createStandstillWatch(onStandstill: () => void) {
  let timer: NodeJS.Timeout | undefined;
  return {
    start(offerMs: number) {
      const lookMs = offerMs / STANDSTILL_LOOKS;
      let lookedAt = performance.now();
      timer = setInterval(() => {
        const now = performance.now();
        const stoodMs = now - lookedAt - lookMs;
        lookedAt = now;
        if (stoodMs >= offerMs - 2 * lookMs) onStandstill();
      }, lookMs);
    },
    stop: () => clearInterval(timer),
  };
}

function silentError(): ConnectError {
  const info = { reason: "WORKER_SILENT", domain: "abstractruntime" };
  return new ConnectError("the server was silent for too long", Code.Unavailable, undefined, [
    { desc: ErrorInfoSchema, value: info },
  ]);
}

/** Calls `onSilence` if `reset` is not called for the length of the timeout. Time in which the process was suspended
 *  does not count. */
function createWatchdog(timeoutMs: number, onSilence: () => void) {
  let silenceMs = timeoutMs;
  let timer: NodeJS.Timeout;
  let dueAt = 0;

  function arm(delayMs: number): void {
    dueAt = performance.now() + delayMs;
    timer = setTimeout(() => {
      if (performance.now() - dueAt > STANDSTILL_MS) arm(CATCH_UP_MS);
      else onSilence();
    }, delayMs);
  }

  arm(silenceMs);
  return {
    reset() {
      clearTimeout(timer);
      arm(silenceMs);
    },
    setTimeoutMs(value: number) {
      silenceMs = value;
      this.reset();
    },
    stop: () => clearTimeout(timer),
  };
}
