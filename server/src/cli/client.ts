/** The connection to a server, with deadlines, and with retries if the contract says they are safe. */
import { setTimeout as sleep } from "node:timers/promises";

import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import {
  AwaitRunRequestSchema,
  EmitEventRequestSchema,
  RuntimeService,
  StartRunRequestSchema,
} from "@abstractruntime/proto/runtime_service_pb";
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { UsageError } from "./failure.ts";
import { createHold } from "./hold.ts";

export const SERVER_DEFAULT = "http://127.0.0.1:7400";
/** How long a request may take without --deadline: a healthy server answers in far less. */
export const DEADLINE_DEFAULT_MS = 15_000;

/** Tries of one request, including the first: about a second in total, enough for a server that restarts quickly. */
const TRIES_MAX = 4;
const BACKOFF_FIRST_MS = 150;
/** How long a stream may be silent before it is opened again; servers send something about every 10 s. */
const SILENCE_MAX_MS = 30_000;
/** How often a broken stream is reopened: 60 tries in a row with at most 2 s between them. */
const STREAM_TRIES_MAX = 60;
const STREAM_BACKOFF_MAX_MS = 2_000;
/** A connection that does not answer a ping in time is closed. */
const PING_INTERVAL_MS = 20_000;

export type RuntimeClient = {
  runtime: Client<typeof RuntimeService>;
  ledger: Client<typeof LedgerService>;
};

/** A transport, and how to close it so that the process can exit. */
export type Connection = { transport: Transport; close: () => void };
export type Connect = (server: string) => Connection;

/** Waits between tries; tests replace it. */
export type Pause = (ms: number) => Promise<void>;

export const pauseFor: Pause = (ms) => sleep(ms);

/** Connects over HTTP/2, also in cleartext. Connects at the first request.
 *  @throws {UsageError} if `server` is not a URL */
export function connectToServer(server: string): Connection {
  const url = serverUrl(server);
  const sessionManager = new Http2SessionManager(url, { pingIntervalMs: PING_INTERVAL_MS });
  return {
    transport: createConnectTransport({ baseUrl: url, httpVersion: "2", sessionManager }),
    close: () => sessionManager.abort(),
  };
}

/** The URL of a server. Users may also write `host:port`.
 *  @throws {UsageError} */
export function serverUrl(server: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(server) ? server : `http://${server}`;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new UsageError(`--server ${server}: must be a URL such as ${SERVER_DEFAULT}`);
  }
  return text.replace(/\/+$/, "");
}

export function createRuntimeClient(
  transport: Transport,
  options: { deadlineMs: number; pause: Pause },
): RuntimeClient {
  const patient = withDeadlineAndRetries(transport, options);
  return { runtime: createClient(RuntimeService, patient), ledger: createClient(LedgerService, patient) };
}

function withDeadlineAndRetries(
  transport: Transport,
  { deadlineMs, pause }: { deadlineMs: number; pause: Pause },
): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const triesMax = isRetrySafe(method, input) ? TRIES_MAX : 1;
      for (let tries = 1; ; tries++) {
        try {
          return await transport.unary(method, signal, timeoutMs ?? deadlineMs, header, input, contextValues);
        } catch (error) {
          if (tries >= triesMax || !isLost(error)) throw error;
          await pause(backoffMs(tries, BACKOFF_FIRST_MS * 2 ** TRIES_MAX));
        }
      }
    },
    // A stream has no deadline: a watch may last for ever.
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.stream(method, signal, timeoutMs, header, input, contextValues),
  };
}

/** Half of the pause is random, so that clients that lost the same server do not all reconnect at once. */
function backoffMs(tries: number, maxMs: number): number {
  const ms = Math.min(BACKOFF_FIRST_MS * 2 ** (tries - 1), maxMs);
  return Math.round(ms * (0.5 + Math.random() / 2));
}

/** Whether a retry is safe by the contract: the method is idempotent, or the request has an id. */
function isRetrySafe<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  input: MessageInitShape<I>,
): boolean {
  // Sent again by its caller, to wait for less time.
  if (method.input.typeName === AwaitRunRequestSchema.typeName) return false;
  if (method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN) return true;
  if (method.input.typeName === StartRunRequestSchema.typeName) {
    return create(StartRunRequestSchema, input as MessageInitShape<typeof StartRunRequestSchema>).runId !== "";
  }
  if (method.input.typeName === EmitEventRequestSchema.typeName) {
    return create(EmitEventRequestSchema, input as MessageInitShape<typeof EmitEventRequestSchema>).eventId !== "";
  }
  return false;
}

/** Reads a stream. Reopens it at the last position if the connection or the server is lost, or if the server ends it
 *  because this client is too slow. Returns when the stream ends.
 *  @throws {ConnectError} if the server refuses, and after 60 failures in a row */
export async function* resumeStream<Message, Position>(options: {
  open: (position: Position, signal: AbortSignal) => AsyncIterable<Message>;
  start: Position;
  /** The position of the stream after a message. */
  positionOf: (message: Message, before: Position) => Position;
  /** Ends it for good, without another try. */
  signal: AbortSignal;
  pause: Pause;
  /** Called once for each loss that lasts: the stream could not be opened again at the first try. */
  onLost: (error: ConnectError) => Promise<void>;
}): AsyncGenerator<Message> {
  let position = options.start;
  let failures = 0;
  for (;;) {
    const hangUp = new AbortController();
    const signal = AbortSignal.any([options.signal, hangUp.signal]);
    // A proxy may hold a stream open whose server is gone. Time in which nobody asks for more does not count.
    let silence = setTimeout(() => hangUp.abort(), SILENCE_MAX_MS);
    try {
      for await (const message of options.open(position, signal)) {
        clearTimeout(silence);
        position = options.positionOf(message, position);
        failures = 0;
        yield message;
        silence = setTimeout(() => hangUp.abort(), SILENCE_MAX_MS);
      }
      return;
    } catch (error) {
      if (options.signal.aborted || !isLost(error) || failures >= STREAM_TRIES_MAX) throw error;
      failures += 1;
      // Proxies cut idle streams all the time.
      if (failures === 2) await options.onLost(error);
      await options.pause(backoffMs(failures, STREAM_BACKOFF_MAX_MS));
    } finally {
      clearTimeout(silence);
    }
  }
}

/** Waits until `isAtRest` says so of the reply, or until `timeoutMs` is over. Each request waits for as long as the
 *  proxies on the way allow.
 *  @param send sends one request that waits for at most `waitMs`
 *  @throws {ConnectError} if the server refuses, and after four losses in a row */
export async function pollUntil<Reply>(options: {
  send: (waitMs: number) => Promise<Reply>;
  isAtRest: (reply: Reply) => boolean;
  timeoutMs: number;
  /** The time now, in milliseconds. */
  now: () => number;
  pause: Pause;
}): Promise<Reply> {
  const { send, isAtRest, timeoutMs, now, pause } = options;
  const hold = createHold(now);
  const endsAt = now() + timeoutMs;
  let losses = 0;
  for (;;) {
    const sentAt = now();
    const waitMs = Math.min(hold.ms, Math.max(0, endsAt - sentAt));
    try {
      const reply = await send(waitMs);
      losses = 0;
      if (isAtRest(reply) || now() >= endsAt) return reply;
      hold.noteWhole(waitMs);
    } catch (error) {
      losses += 1;
      if (!isLost(error) || losses >= TRIES_MAX) throw error;
      hold.noteCut(now() - sentAt);
      await pause(backoffMs(losses, BACKOFF_FIRST_MS * 2 ** TRIES_MAX));
    }
  }
}

/** Failures that another try may fix: no server (UNAVAILABLE); a broken connection in HTTP/2 (CANCELED or ABORTED); a
 *  lost race (ABORTED); a slow stream or an overloaded server (RESOURCE_EXHAUSTED). */
const LOST: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Canceled, Code.Aborted, Code.ResourceExhausted]);
/** What the transport says of a stream that was reset or that ends too soon, whatever code it gives it. */
const BROKEN_MESSAGE = /^(?:http\/2 stream closed with error code (?!HTTP_1_1_REQUIRED)|protocol error)/;

function isLost(error: unknown): error is ConnectError {
  if (!(error instanceof ConnectError)) return false;
  if (LOST.has(error.code) || BROKEN_MESSAGE.test(error.rawMessage)) return true;
  // An INTERNAL that a server sent has no cause here.
  return error.code === Code.Internal && error.cause !== undefined;
}
