/**
 * Shares the event loop among calls. Decoding a request or encoding a reply of 1 MB takes many milliseconds, and
 * hundreds may be due at once. So all calls together get `BUDGET_MS` of each turn of the loop; the rest waits for later
 * turns. Pings, leases and timers fall due in between.
 */
import { DomainError } from "../core/errors.ts";

/** Long enough that changing turns costs nothing; short compared with the second in which pings and leases matter. */
const BUDGET_MS = 10;
/** How long work may wait before its call is refused: less than common deadlines, so that clients learn why. */
const WAIT_MS_MAX = 10_000;

export type Turns = {
  /**
   * Runs `work` in this turn of the loop if there is time left, otherwise in a later turn, in the order of the calls.
   * @param options.isSheddable whether the call may be refused instead, because nothing has been changed yet
   * @throws {DomainError} OVERLOADED if it waited too long
   */
  run<T>(work: () => T, options: { isSheddable: boolean }): Promise<T>;
};

/** For tests: the clock, and how the next turn is scheduled. */
export type TurnClock = { now: () => number; nextTurn: (callback: () => void) => void };

const REAL_CLOCK: TurnClock = { now: () => performance.now(), nextTurn: setImmediate };

export function createTurns({ now, nextTurn }: TurnClock = REAL_CLOCK): Turns {
  type Waiting = { start: () => void; refuse: (error: DomainError) => void; expiresAt: number };
  const queue: Waiting[] = [];
  /** When this turn's first work began; undefined before it begins. */
  let beganAt: number | undefined;
  let isScheduled = false;

  const hasTime = () => beganAt === undefined || now() - beganAt < BUDGET_MS;

  const begin = (): void => {
    beganAt ??= now();
    if (isScheduled) return;
    isScheduled = true;
    nextTurn(() => {
      isScheduled = false;
      beganAt = undefined;
      startNext();
    });
  };

  const startNext = (): void => {
    if (queue.length === 0) return;
    begin();
    if (!hasTime()) return;
    const { start, refuse, expiresAt } = queue.shift()!;
    if (now() > expiresAt) refuse(overloaded());
    else start();
    // After the promises that this work settles: what follows from it counts in the same turn.
    process.nextTick(startNext);
  };

  return {
    run: (work, { isSheddable }) =>
      new Promise((resolve, reject) => {
        const start = () => resolve(outcomeOf(work));
        if (queue.length === 0 && hasTime()) {
          begin();
          return start();
        }
        queue.push({ start, refuse: reject, expiresAt: isSheddable ? now() + WAIT_MS_MAX : Infinity });
        begin();
      }),
  };
}

/** An error that `work` throws rejects the promise. */
async function outcomeOf<T>(work: () => T): Promise<T> {
  return work();
}

function overloaded(): DomainError {
  return new DomainError("OVERLOADED", "the server has more large requests and replies than it can process now");
}
