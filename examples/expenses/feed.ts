/** Follows all runs of the demo through one feed, whose cursor survives the restarts of the server. */
import { setTimeout as sleep } from "node:timers/promises";

import { NoticeKind, type Notice } from "@abstractruntime/proto/notice_pb";
import type { Run } from "@abstractruntime/proto/run_pb";

import { isLost, type RuntimeClient } from "../support/connection.ts";

/** A restart takes a second or two; the first notice should not take much longer. */
const REOPEN_MS = 100;
/** All notices of these runs, from their start. */
const BEGINNING = "beginning";

export type Feed = {
  /** Run ids whose start, or end, has been reported. */
  readonly started: ReadonlySet<string>;
  readonly ended: ReadonlySet<string>;
  /** Violations of the feed's promises. */
  readonly problems: readonly string[];
  notices: () => number;
  /** How often the stream broke and was resumed from its cursor. */
  resumed: () => number;
  /** Waits until a condition on the feed holds. Rejects if the feed ends first. */
  until: (condition: () => boolean) => Promise<void>;
  /** Follows the feed until `signal` ends it. */
  follow: (signal: AbortSignal) => Promise<void>;
};

export function createFeed(options: {
  runtime: RuntimeClient;
  sessionId: string;
  /** Called for each notice once, in order; must not throw. */
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
    if (noticeIds.has(notice.noticeId)) problems.push(`the feed reported notice ${notice.noticeId} twice`);
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
    if (runs.has(runId)) problems.push(`the feed reported the ${what} of ${runId} twice`);
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
