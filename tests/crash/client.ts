/**
 * A client that does not give up. It sends a call that was not acknowledged again, unchanged, to any running server,
 * until one acknowledges or refuses it. The replies are kept for the audit.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Method, parseRefusal, type Refusal, type Replies, serviceOf } from "../conformance/api.ts";

/** Refusals that ask to try again later. */
const TRY_AGAIN = new Set(["DATABASE_UNAVAILABLE", "SHUTTING_DOWN", "OVERLOADED", "TRANSITION_CONFLICT"]);
/** A server that is killed during a call closes the connection; only a hang takes this long. */
const ATTEMPT_MS_MAX = 40_000;
const PAUSE_MS = 50;

/** A call was refused finally. */
export class RefusedError extends Error {
  readonly refusal: Refusal;
  /** How often it was sent. If more than once, an earlier call may have taken effect. */
  readonly attempts: number;

  constructor(method: string, refusal: Refusal, attempts: number) {
    super(`${method}: ${refusal.reason}: ${refusal.message}`);
    this.name = "RefusedError";
    this.refusal = refusal;
    this.attempts = attempts;
  }
}

export type Client = {
  /** @throws {RefusedError}, @throws the signal's reason */
  call<M extends Method>(method: M, request: object): Promise<Replies[M]>;
  /** Notes a kill: the next acknowledged write that is sent after it ends the outage. */
  noteKill(): void;
  /** Milliseconds from each kill to the first acknowledged write that was sent after it. */
  readonly recoveriesMs: readonly number[];
  /** Waits until writes are acknowledged again after the last kill. */
  recovered(): Promise<void>;
  /** How often a call had to be sent again. */
  readonly retries: number;
  /** Refusals that no client should ever see. */
  readonly surprises: string[];
};

const WRITES: ReadonlySet<string> = new Set(["StartRun", "StartRuns", "ResumeRun", "EmitEvent"]);

export function createClient(options: { urls: () => string[]; signal: AbortSignal }): Client {
  const { urls, signal } = options;
  const recoveriesMs: number[] = [];
  const surprises: string[] = [];
  let retries = 0;
  let turn = 0;
  let killedAt: number | undefined;
  let recovered = Promise.withResolvers<void>();

  function noteAcknowledged(method: Method, sentAt: number): void {
    if (killedAt === undefined || sentAt < killedAt || !WRITES.has(method)) return;
    recoveriesMs.push(performance.now() - killedAt);
    killedAt = undefined;
    recovered.resolve();
  }

  async function attempt<M extends Method>(method: M, body: string): Promise<Replies[M] | Refusal | "no reply"> {
    const there = urls();
    const url = there[turn++ % there.length];
    if (url === undefined) return "no reply";
    const sentAt = performance.now();
    try {
      const response = await fetch(`${url}/${serviceOf(method)}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS_MAX)]),
      });
      const text = await response.text();
      if (response.status !== 200) return parseRefusal({ status: response.status, text });
      const reply = JSON.parse(text) as Replies[M];
      noteAcknowledged(method, sentAt);
      return reply;
    } catch {
      return "no reply";
    }
  }

  return {
    recoveriesMs,
    surprises,
    get retries() {
      return retries;
    },
    noteKill() {
      killedAt = performance.now();
      recovered = Promise.withResolvers();
    },
    recovered: () => (killedAt === undefined ? Promise.resolve() : recovered.promise),
    async call(method, request) {
      const body = JSON.stringify(request);
      for (let attempts = 1; ; attempts++) {
        signal.throwIfAborted();
        const reply = await attempt(method, body);
        if (reply !== "no reply") {
          if (!isRefusal(reply)) return reply;
          if (!TRY_AGAIN.has(reply.reason)) {
            if (reply.code === "internal" || reply.reason === "") surprises.push(`${method}: ${JSON.stringify(reply)}`);
            throw new RefusedError(method, reply, attempts);
          }
        }
        retries += 1;
        await sleep(PAUSE_MS);
      }
    },
  };
}

function isRefusal(reply: object): reply is Refusal {
  return "httpStatus" in reply;
}

/** Calls, and gives the reason instead of the reply if the call is refused for one of these reasons. */
export async function orRefused<T>(call: Promise<T>, ...reasons: string[]): Promise<T | string> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof RefusedError && reasons.includes(error.refusal.reason)) return error.refusal.reason;
    throw error;
  }
}
