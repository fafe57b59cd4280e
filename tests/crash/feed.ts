/** A reader of WatchRuns that takes its cursor from server to server, over every kill. */
import { setTimeout as sleep } from "node:timers/promises";
import { watch } from "../conformance/connect-stream.ts";

const PAUSE_MS = 50;
const ENDS = new Set(["NOTICE_KIND_COMPLETED", "NOTICE_KIND_FAILED", "NOTICE_KIND_CANCELLED"]);

export type Notice = { noticeId: string; kind: string; runId: string };

export type FeedReader = {
  /** Everything that was received, repeats included. */
  readonly notices: readonly Notice[];
  /** How many streams it used. */
  readonly streams: number;
  /** The refusals with which servers ended streams. */
  readonly refusals: readonly string[];
  /** Waits until the ends of this many runs have been seen, and cancels the stream. */
  untilEnded(runs: number): Promise<void>;
};

/** Reads from the beginning of all that is kept. @param signal cancels the stream */
export function readFeed(options: { urls: () => string[]; signal: AbortSignal }): FeedReader {
  const { urls } = options;
  const notices: Notice[] = [];
  const ended = new Set<string>();
  const refusals: string[] = [];
  const hangUp = new AbortController();
  const signal = AbortSignal.any([options.signal, hangUp.signal]);
  let cursor = "beginning";
  let streams = 0;
  let wanted = Number.POSITIVE_INFINITY;
  const all = Promise.withResolvers<void>();
  options.signal.addEventListener("abort", () => all.reject(options.signal.reason as Error));
  all.promise.catch(() => undefined);

  async function readStream(url: string): Promise<void> {
    const stream = watch(url, "WatchRuns", { cursor });
    const leave = (): unknown => stream.return({});
    signal.addEventListener("abort", leave, { once: true });
    try {
      for (;;) {
        const next = await stream.next();
        if (next.done === true) {
          if (next.value.refusal !== undefined) refusals.push(next.value.refusal.reason);
          return;
        }
        const message = next.value as {
          cursor: string;
          notice?: { noticeId: string; kind: string; run: { runId: string } };
        };
        cursor = message.cursor;
        if (message.notice === undefined) continue;
        const { noticeId, kind, run } = message.notice;
        notices.push({ noticeId, kind, runId: run.runId });
        if (ENDS.has(kind)) ended.add(run.runId);
        if (ended.size >= wanted) return all.resolve();
      }
    } finally {
      signal.removeEventListener("abort", leave);
      await stream.return({});
    }
  }

  async function read(): Promise<void> {
    while (!signal.aborted && ended.size < wanted) {
      const there = urls();
      const url = there[streams % there.length];
      try {
        if (url !== undefined) {
          streams += 1;
          await readStream(url);
        }
      } catch {
        // The server was killed.
      }
      await sleep(PAUSE_MS);
    }
  }

  read().catch(all.reject);
  return {
    notices,
    get streams() {
      return streams;
    },
    refusals,
    async untilEnded(runs) {
      wanted = runs;
      if (ended.size >= wanted) all.resolve();
      await all.promise;
      // A stream without news notices with its next message, or when its server stops.
      hangUp.abort();
    },
  };
}
