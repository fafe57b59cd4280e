/** How long one request may wait at the server for news. Proxies end a request whose answer does not come for a while,
 *  7 to 60 s as they are usually set up, and nobody tells a client. So the client learns it: a request that was cut
 *  makes the next ones shorter, and after a while longer ones are tried again. */

export type Hold = {
  /** How long the next request may wait, in milliseconds. */
  readonly ms: number;
  /** A request waited for all of `waitedMs`, and was answered. */
  noteWhole(waitedMs: number): void;
  /** A request was cut after this time, without an answer. */
  noteCut(afterMs: number): void;
};

/** Below the 30 s after which several load balancers end a request. */
const LONGEST_MS = 25_000;
/** Two requests a second, for a proxy that allows less than a second. */
const SHORTEST_MS = 500;
/** Leaves room for the way to the server and back. */
const PART_OF_LIMIT = 0.7;
/** The cut may have been a crash of a server. So longer requests are tried again: at most one more cut a minute. */
const LONGER_AFTER_MS = 60_000;
const LONGER_BY = 1.5;

export function createHold(now: () => number = () => performance.now()): Hold {
  let ms = LONGEST_MS;
  let changedAt = now();
  return {
    get ms() {
      return ms;
    },
    noteWhole(waitedMs) {
      if (waitedMs < ms || ms === LONGEST_MS || now() - changedAt < LONGER_AFTER_MS) return;
      ms = Math.min(LONGEST_MS, ms * LONGER_BY);
      changedAt = now();
    },
    noteCut(afterMs) {
      // A connection that breaks at once says nothing about a limit.
      if (afterMs < SHORTEST_MS) return;
      ms = Math.max(SHORTEST_MS, Math.min(ms, afterMs) * PART_OF_LIMIT);
      changedAt = now();
    },
  };
}
