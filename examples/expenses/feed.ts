/** Follows all runs of the demo through one feed, whose cursor is carried from server to server. */
import { setTimeout as sleep } from "node:timers/promises";

import { NoticeKind, type Notice } from "@abstractruntime/proto/notice_pb";
import type { Run } from "@abstractruntime/proto/run_pb";

import { isLost, type RuntimeClient } from "../support/connection.ts";

/** A restart takes a second or two; nobody should wait much longer than that for the first notice. */
const REOPEN_MS = 100;
/** Everything of these runs, from their start on. */
const BEGINNING = "beginning";

export type Feed = {
  /** Run ids of which a start, or an end, was told so far. */
  readonly started: ReadonlySet<string>;
  readonly ended: ReadonlySet<string>;
  /** What a cursor must never do, as it happened. */
  readonly problems: readonly string[];
  notices: () => number;
  /** How often the stream broke and went on from its cursor. */
  resumed: () => number;
  /** Waits until something that the feed tells holds. Rejects if the feed ends before. */
  until: (condition: () => boolean) => Promise<void>;
  /** Follows the feed until `signal` ends it. */
  follow: (signal: AbortSignal) => Promise<void>;
};

export function createFeed(options: {
  runtime: RuntimeClient;
  sessionId: string;
  /** Told each notice once, in order; must not throw. */
  onNotice: (kind: NoticeKind, run: Run) => void;
}): Feed {
  const { runtime, sessionId, onNotice } = options;
  const started = new Set<string>();
  const ended = new Set<string>();
  const noticeIds = new Set<string>();
  const problems: string[] = [];
  const waiting = new Set<{ condition: () => boolean; resolve: () => void; reject: (error: unknown) => void }>();
  let cursor = BEGINNING;
  let resumed = 0;

  function take(notice: Notice): void {
    const { run } = notice;
    if (run === undefined) return;
    if (noticeIds.has(notice.noticeId)) problems.push(`the feed told notice ${notice.noticeId} twice`);
    noticeIds.add(notice.noticeId);
    if (notice.kind === NoticeKind.STARTED) add(started, run.runId, "start");
    if (isEnd(notice.kind)) add(ended, run.runId, "end");
    onNotice(notice.kind, run);
    for (const waiter of waiting) {
      if (!waiter.condition()) continue;
      waiting.delete(waiter);
      waiter.resolve();
    }
  }

  function add(runs: Set<string>, runId: string, what: string): void {
    if (runs.has(runId)) problems.push(`the feed told the ${what} of ${runId} twice`);
    runs.add(runId);
  }

  return {
    started,
    ended,
    problems,
    notices: () => noticeIds.size,
    resumed: () => resumed,
    until: (condition) =>
      new Promise((resolve, reject) => {
        if (condition()) resolve();
        else waiting.add({ condition, resolve, reject });
      }),
    async follow(signal) {
      try {
        for (let broken = false; !signal.aborted; broken = true) {
          try {
            for await (const message of runtime.watchRuns({ filter: { sessionId }, cursor }, { signal })) {
              if (broken) resumed += 1;
              broken = false;
              cursor = message.cursor;
              if (message.event.case === "notice") take(message.event.value);
            }
          } catch (error) {
            if (signal.aborted) return;
            if (!isLost(error)) throw error;
          }
          await sleep(REOPEN_MS);
        }
      } catch (error) {
        for (const waiter of waiting) waiter.reject(error);
        throw error;
      } finally {
        for (const waiter of waiting) waiter.reject(signal.reason);
      }
    },
  };
}

function isEnd(kind: NoticeKind): boolean {
  return kind === NoticeKind.COMPLETED || kind === NoticeKind.FAILED || kind === NoticeKind.CANCELLED;
}
