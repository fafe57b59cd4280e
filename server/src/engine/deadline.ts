/**
 * The time that one request may take. A request carries its deadline (`Caller.deadline`) to everything that it waits
 * for: the run's turn, reads, the lane. When the time is up, the caller is told at once, and what was not sent to the
 * database yet is dropped. What was sent goes its way: the lane finds out what became of it.
 */
import { DomainError } from "../core/errors.ts";

/** A timer that fires later than this shows that the process stood still, so replies may have arrived unseen. */
const STANDSTILL_MS = 500;
/** What a request gets then, once: enough to take up the replies that have arrived. */
const CATCH_UP_MS = 1_000;

export type Deadline = {
  /** Why the request has ended; undefined while there is time. */
  readonly error: DeadlineError | undefined;
  /** Calls back when the time is up. Returns a function that forgets the callback. */
  onOver(callback: (error: DeadlineError) => void): () => void;
  /** Something that may change the database is being sent: from now on the request may have been carried out. */
  noteSent(): void;
  /** Waits for what the caller asked to wait for, such as the end of a run: only the rest of the work is bounded. */
  resting<T>(wait: Promise<T>): Promise<T>;
};

/** The time of a request is up. */
export class DeadlineError extends DomainError {
  /** Whether it was the caller's own deadline. */
  readonly isOfCaller: boolean;

  constructor(facts: { boundMs: number; isOfCaller: boolean; isDatabaseSilent: boolean; wasSent: boolean }) {
    const { boundMs, isOfCaller, isDatabaseSilent, wasSent } = facts;
    const what = isDatabaseSilent ? "The database did not answer" : "The server did not finish the request";
    const outcome = wasSent
      ? "It is not known whether the request was carried out; to ask again with the same ids is safe."
      : "Nothing was changed; ask again.";
    super(isDatabaseSilent ? "DATABASE_UNAVAILABLE" : "OVERLOADED", `${what} within ${boundMs} ms. ${outcome}`, {
      metadata: { kind: "timed_out" },
      retryAfterMs: 1_000,
    });
    this.isOfCaller = isOfCaller;
  }
}

type DeadlineOptions = {
  /** How long a request may take, apart from waits that the caller asked for. */
  boundMs: number;
  /** How long the caller waits at most; missing if it did not say. */
  callerMs?: number | undefined;
  /** Whether a call to the database has been waiting for an answer for so long that it is at fault. */
  isDatabaseSilent: (forMs: number) => boolean;
};

/**
 * Does `work` with a deadline, and tells the caller when that has passed.
 * @param onLate gets what `work` returned after that
 * @throws {DeadlineError}
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (deadline: Deadline) => Promise<T>,
  onLate?: (value: T) => void,
): Promise<T> {
  const { deadline, end } = createDeadline(options);
  try {
    const done = work(deadline);
    if (onLate !== undefined) {
      done.then((value) => deadline.error !== undefined && onLate(value)).catch(() => undefined);
    }
    return await until(deadline, done);
  } finally {
    end();
  }
}

/** Waits for `work` until the time is up. @throws {DeadlineError} */
export function until<T>(deadline: Deadline | undefined, work: Promise<T>): Promise<T> {
  if (deadline === undefined) return work;
  return new Promise((resolve, reject) => {
    // If the time is up already, this rejects at once; how `work` ends is then of no interest.
    const forget = deadline.onOver(reject);
    work.then(resolve, reject).finally(forget);
  });
}

function createDeadline(options: DeadlineOptions): { deadline: Deadline; end: () => void } {
  const { boundMs, callerMs = Number.POSITIVE_INFINITY, isDatabaseSilent } = options;
  const callerEndsAt = performance.now() + callerMs;
  const callbacks = new Set<(error: DeadlineError) => void>();
  let error: DeadlineError | undefined;
  let wasSent = false;
  let mayCatchUp = true;
  let isEnded = false;
  let timer: NodeJS.Timeout | undefined;

  function arm(ownMs: number): void {
    const callerLeftMs = callerEndsAt - performance.now();
    const leftMs = Math.min(ownMs, callerLeftMs);
    clearTimeout(timer);
    if (isEnded || leftMs === Number.POSITIVE_INFINITY) return;
    const dueAt = performance.now() + leftMs;
    timer = setTimeout(() => over(dueAt, callerLeftMs <= ownMs), leftMs);
  }

  function over(dueAt: number, isOfCaller: boolean): void {
    if (mayCatchUp && !isOfCaller && performance.now() - dueAt > STANDSTILL_MS) {
      mayCatchUp = false;
      return arm(CATCH_UP_MS);
    }
    const limitMs = isOfCaller ? Math.round(callerMs) : boundMs;
    const silent = isDatabaseSilent(Math.min(limitMs, boundMs) / 2);
    error = new DeadlineError({ boundMs: limitMs, isOfCaller, isDatabaseSilent: silent, wasSent });
    for (const callback of callbacks) callback(error);
    callbacks.clear();
  }

  arm(boundMs);
  return {
    deadline: {
      get error() {
        return error;
      },
      onOver(callback) {
        if (error !== undefined) callback(error);
        else callbacks.add(callback);
        return () => callbacks.delete(callback);
      },
      noteSent() {
        wasSent = true;
      },
      async resting(wait) {
        arm(Number.POSITIVE_INFINITY);
        try {
          return await wait;
        } finally {
          if (error === undefined) arm(boundMs);
        }
      },
    },
    end() {
      isEnded = true;
      clearTimeout(timer);
    },
  };
}
