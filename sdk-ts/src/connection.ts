/**
 * Calls to one of several servers. Servers are equal, so a call that one server does not answer goes to the next.
 *
 * A call is sent again only if the contract says that its retry is safe. Then every temporary failure is retried until
 * the deadline: broken connections, stopping servers, unavailable databases, contention, overload. Other refusals are
 * thrown at once.
 */
import { createAddressTransport } from "#transport";
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createHold } from "./hold.ts";
import { ConnectionError, isRefusal, RefusedError, refusalOf, type RefusalReason } from "./errors.ts";

export type CallOptions = {
  /** Ends the call; it then throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** How long the call may take including its retries, in milliseconds. Default: the client's. */
  deadlineMs?: number | undefined;
};

export type UnaryOptions = CallOptions & {
  /** Whether the contract says `Retry: safe` for this request. */
  retry: boolean;
  /** Called if an attempt failed but may have been carried out. */
  onUnknownOutcome?: () => void;
};

export type HoldOptions = CallOptions & {
  /** How long the server itself may wait before it answers, at most; added to the deadline. */
  waitMsMax: number;
};

export type FollowOptions = {
  signal: AbortSignal;
  /** Whether the server never ends the stream by itself, so that an end without an error means a broken stream. */
  endless: boolean;
};

export type Connection = {
  /** @throws {RefusedError | ConnectionError} or the signal's reason */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: UnaryOptions,
  ): Promise<MessageShape<O>>;
  /** A request that the server answers when there is news, or after the time that the request names. It may wait for as
   *  long as the proxies on the way allow, and is sent again, with a shorter time, if one of them cuts it.
   *  @param request makes the request; `waitMs` is how long this attempt may wait
   *  @throws {RefusedError | ConnectionError} or the signal's reason */
  hold<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (waitMs: number) => MessageInitShape<I>,
    options: HoldOptions,
  ): Promise<MessageShape<O>>;
  /** The messages of a stream. A broken stream is opened again, without limit, each time with what `request` then
   *  returns. Ends after the server ends the stream without an error.
   *  @throws {RefusedError | ConnectionError} or the signal's reason */
  follow<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: () => MessageInitShape<I>,
    options: FollowOptions,
  ): AsyncGenerator<MessageShape<O>>;
  /** Whether the connection was closed. */
  isClosed(): boolean;
  /** Ends all calls. */
  close(): void;
};

export type ConnectionOptions = {
  /** Base URLs; at least one. */
  addresses: readonly string[];
  /** Used instead of the addresses. */
  transport?: Transport | undefined;
  deadlineMs?: number | undefined;
  attemptTimeoutMs?: number | undefined;
  silenceTimeoutMs?: number | undefined;
};

/** Long enough for a server to restart or a database to fail over, short enough for a person who waits. */
const DEADLINE_MS = 30_000;
/** A server answers within milliseconds; if it takes this long, it or its network is down. */
const ATTEMPT_TIMEOUT_MS = 10_000;
/** Servers send something about every 10 s. */
const SILENCE_TIMEOUT_MS = 30_000;
/** Pauses between attempts double from the first to the longest. The actual pause is random, up to that length, so that
 *  clients that failed together do not come back together. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** The largest share by which a delay that the server named is lengthened. */
const DELAY_SPREAD = 0.2;

/** Temporary refusals that concern one server; another may accept the request. */
const PASSING_HERE: ReadonlySet<RefusalReason> = new Set(["SHUTTING_DOWN", "DATABASE_UNAVAILABLE", "STREAM_TOO_SLOW"]);
/** Temporary refusals that concern the run or the load. */
const PASSING: ReadonlySet<RefusalReason> = new Set(["TRANSITION_CONFLICT", "OVERLOADED"]);

/** The codes of a broken connection, if the error is not a refusal of a server. */
const BROKEN: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Unknown,
]);
/** Codes of node:net for connections that were never made. */
const NEVER_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);
/** Bounds the walk along a chain of causes, which is a few errors long. */
const CAUSES_MAX = 8;

type Failure = {
  /** The error to throw if there is no further attempt. */
  error: RefusedError | ConnectionError;
  /** Whether another attempt may succeed. */
  passes: boolean;
  /** Whether another server may succeed. */
  moves: boolean;
  /** Whether the request cannot have reached a server. */
  neverSent: boolean;
  /** Whether the way to the server was cut, perhaps by a proxy. */
  isCut: boolean;
  /** Whether the request may have been carried out. */
  outcomeUnknown: boolean;
};

export function createConnection(options: ConnectionOptions): Connection {
  const { addresses, deadlineMs = DEADLINE_MS, attemptTimeoutMs = ATTEMPT_TIMEOUT_MS } = options;
  const { silenceTimeoutMs = SILENCE_TIMEOUT_MS } = options;
  const targets =
    options.transport === undefined
      ? addresses.map(createAddressTransport)
      : [{ transport: options.transport, close: () => undefined }];
  if (targets.length === 0) throw new TypeError("a client needs at least one address");
  const closing = new AbortController();
  const hold = createHold();
  let current = 0;

  const leave = (index: number): void => {
    if (current === index) current = (index + 1) % targets.length;
  };
  const transportAt = (index: number): Transport => targets[index]!.transport;
  const failureOf = (cause: unknown): Failure => classify(cause, addresses);
  const pauseMs = (failure: Failure, failures: number): number => {
    const { error } = failure;
    if (error instanceof RefusedError && error.retryAfterMs !== undefined) {
      return error.retryAfterMs * (1 + Math.random() * DELAY_SPREAD);
    }
    // No pause before every server was asked once.
    if (failure.moves && failures < targets.length) return 0;
    const rounds = Math.floor(failures / targets.length);
    return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(rounds, 16));
  };

  async function call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (waitMs: number) => MessageInitShape<I>,
    { retry, signal, waitMsMax = 0, onUnknownOutcome, ...limits }: UnaryOptions & Partial<HoldOptions>,
  ): Promise<MessageShape<O>> {
    const endsAt = performance.now() + (limits.deadlineMs ?? deadlineMs) + Math.min(waitMsMax, hold.ms);
    const link = linkSignals(signal, closing.signal);
    try {
      for (let failures = 1; ; failures++) {
        link.signal.throwIfAborted();
        const index = current;
        const sentAt = performance.now();
        const waitMs = Math.min(waitMsMax, hold.ms);
        // A whole number, because the protocol takes no fractions of a millisecond.
        const timeoutMs = Math.max(1, Math.ceil(Math.min(attemptTimeoutMs + waitMs, endsAt - sentAt)));
        try {
          const reply = await transportAt(index).unary(method, link.signal, timeoutMs, undefined, request(waitMs));
          if (performance.now() - sentAt >= waitMs) hold.noteWhole(waitMs);
          return reply.message;
        } catch (cause) {
          link.signal.throwIfAborted();
          const failure = failureOf(cause);
          if (waitMs > 0 && failure.isCut) hold.noteCut(performance.now() - sentAt);
          if (failure.outcomeUnknown) onUnknownOutcome?.();
          if (failure.moves) leave(index);
          // To send a request that never left is not a retry, so it is allowed for every request.
          const isAllowed = retry || (failure.neverSent && failures < targets.length);
          const pause = pauseMs(failure, failures);
          if (!failure.passes || !isAllowed || performance.now() + pause >= endsAt) throw failure.error;
          await elapsed(pause, link.signal);
        }
      }
    } finally {
      link.unlink();
    }
  }

  return {
    unary: (method, request, options) => call(method, () => request, options),
    hold: (method, request, options) => call(method, request, { ...options, retry: true }),

    async *follow(method, request, { signal, endless }) {
      const link = linkSignals(signal, closing.signal);
      try {
        for (let failures = 1; ; failures++) {
          const index = current;
          try {
            for await (const message of attempt(transportAt(index), method, request(), link.signal, silenceTimeoutMs)) {
              failures = 0;
              yield message;
            }
            link.signal.throwIfAborted();
            if (!endless) return;
            throw new ConnectError("the stream was ended", Code.Unavailable);
          } catch (cause) {
            link.signal.throwIfAborted();
            const failure = failureOf(cause);
            if (!failure.passes) throw failure.error;
            if (failure.moves) leave(index);
            await elapsed(pauseMs(failure, Math.max(failures, 1)), link.signal);
          }
        }
      } finally {
        link.unlink();
      }
    },

    isClosed: () => closing.signal.aborted,

    close() {
      closing.abort(new ConnectionError("the client is closed", addresses));
      for (const target of targets) target.close();
    },
  };
}

/** One stream, until it ends or is silent for too long. Time in which the caller does not ask for more does not
 *  count. */
async function* attempt<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignal,
  silenceTimeoutMs: number,
): AsyncGenerator<MessageShape<O>> {
  const hangUp = new AbortController();
  const link = linkSignals(signal, hangUp.signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const arm = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => hangUp.abort(), silenceTimeoutMs);
  };
  try {
    arm();
    const stream = await transport.stream(method, link.signal, undefined, undefined, only(request));
    for await (const message of stream.message) {
      clearTimeout(timer);
      yield message;
      arm();
    }
  } finally {
    clearTimeout(timer);
    hangUp.abort();
    link.unlink();
  }
}

async function* only<T>(item: T): AsyncGenerator<T> {
  yield item;
}

function classify(cause: unknown, addresses: readonly string[]): Failure {
  const error = ConnectError.from(cause);
  if (isRefusal(error)) {
    const refusal = refusalOf(error);
    const moves = PASSING_HERE.has(refusal.reason);
    return {
      error: refusal,
      passes: moves || PASSING.has(refusal.reason),
      moves,
      neverSent: false,
      isCut: false,
      outcomeUnknown: refusal.reason === "DATABASE_UNAVAILABLE",
    };
  }
  if (!isBroken(error)) {
    const known = { passes: false, moves: false, neverSent: false, isCut: false, outcomeUnknown: true };
    return { error: refusalOf(error), ...known };
  }
  const neverSent = causesOf(error).some((each) => NEVER_CONNECTED.has(String((each as { code?: unknown }).code)));
  return {
    error: new ConnectionError(`no answer from ${addresses.join(", ")}: ${error.rawMessage}`, addresses, {
      cause: error,
    }),
    passes: true,
    moves: true,
    neverSent,
    isCut: !neverSent,
    outcomeUnknown: !neverSent,
  };
}

/** What a transport says of a stream that was reset or that ends too soon, whatever code it gives it. */
const BROKEN_MESSAGE = /^(?:http\/2 stream closed with error code (?!HTTP_1_1_REQUIRED)|protocol error)/;
/** Answers of a proxy that the same request would get again, such as 413 for a body that is too large for it. */
const HTTP_REFUSAL = /^HTTP 4(?!08|25|29)\d\d$/;

/** An INTERNAL that a server sent has no cause here; a broken stream has a cause, or a message of the transport. */
function isBroken(error: ConnectError): boolean {
  if (HTTP_REFUSAL.test(error.rawMessage)) return false;
  if (BROKEN.has(error.code) || BROKEN_MESSAGE.test(error.rawMessage)) return true;
  return error.code === Code.Internal && error.cause !== undefined;
}

function causesOf(error: unknown): object[] {
  const causes: object[] = [];
  for (let each = error; each instanceof Error && causes.length < CAUSES_MAX; each = each.cause) causes.push(each);
  return causes;
}

type Link = { signal: AbortSignal; unlink(): void };

/** A signal that aborts with the first of several. Not `AbortSignal.any`: the client's signal lives long and would hold
 *  on to every call. */
function linkSignals(...signals: (AbortSignal | undefined)[]): Link {
  const controller = new AbortController();
  const sources = signals.filter((signal) => signal !== undefined);
  const abort = (): void => controller.abort(sources.find((source) => source.aborted)?.reason);
  for (const source of sources) source.addEventListener("abort", abort, { once: true });
  if (sources.some((source) => source.aborted)) abort();
  return {
    signal: controller.signal,
    unlink: () => {
      for (const source of sources) source.removeEventListener("abort", abort);
    },
  };
}

/** @throws the signal's reason */
function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
  });
}
