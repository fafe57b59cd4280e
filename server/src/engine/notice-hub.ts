/**
 * Which watchers in this process wait for news of which run. The news itself is read from the store; this only says
 * when.
 */
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import { runKeyText } from "./run-table.ts";

/** News of a run: the run as it was just committed here, or undefined if another server committed something. */
export type RunNews = StoredRun | undefined;

export type NoticeHub = {
  /** Calls back on news of one run, until the returned function is called. */
  watchRun(key: RunKey, onNews: (news: RunNews) => void): () => void;
  /** The same, but only for news of this very run: for watchers of so many runs that they must not all read at once. */
  watchNamedRun(key: RunKey, onNews: (news: RunNews) => void): () => void;
  /** Calls back whenever the feed over all runs may have grown. */
  watchFeed(onNews: () => void): () => void;
  /** Notifies those who watch the run. */
  publish(key: RunKey, news: RunNews): void;
  /** Notifies those who watch the feed. */
  publishFeed(): void;
  /** Makes every watcher read again, except those of named runs: something may have been missed. */
  publishToAll(): void;
  readonly watchers: number;
};

export function createNoticeHub(): NoticeHub {
  type Callbacks = Map<string, Set<(news: RunNews) => void>>;
  const byRun: Callbacks = new Map();
  const byNamedRun: Callbacks = new Map();
  const feed = new Set<() => void>();

  function watchIn(watched: Callbacks, key: RunKey, onNews: (news: RunNews) => void): () => void {
    const text = runKeyText(key);
    const callbacks = watched.get(text) ?? new Set();
    watched.set(text, callbacks.add(onNews));
    return () => {
      callbacks.delete(onNews);
      if (callbacks.size === 0 && watched.get(text) === callbacks) watched.delete(text);
    };
  }

  return {
    get watchers() {
      return byRun.size + feed.size;
    },
    watchRun: (key, onNews) => watchIn(byRun, key, onNews),
    watchNamedRun: (key, onNews) => watchIn(byNamedRun, key, onNews),
    watchFeed(onNews) {
      feed.add(onNews);
      return () => feed.delete(onNews);
    },
    publish(key, news) {
      const text = runKeyText(key);
      for (const onNews of byRun.get(text) ?? []) onNews(news);
      for (const onNews of byNamedRun.get(text) ?? []) onNews(news);
    },
    publishFeed() {
      for (const onNews of feed) onNews();
    },
    publishToAll() {
      for (const callbacks of byRun.values()) for (const onNews of callbacks) onNews(undefined);
      for (const onNews of feed) onNews();
    },
  };
}

/** A flag for one waiter. Raising it while nobody waits is not lost, and several raises wake the waiter once. */
export type Signal = {
  raise(): void;
  /** Resolves when raised, after `timeoutMs`, or when `abort` fires. Returns whether it was raised. */
  wait(timeoutMs: number, abort: AbortSignal): Promise<boolean>;
};

export function createSignal(): Signal {
  let isRaised = false;
  let wake: (() => void) | undefined;
  return {
    raise() {
      isRaised = true;
      wake?.();
    },
    async wait(timeoutMs, abort) {
      if (!isRaised && !abort.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer);
            abort.removeEventListener("abort", done);
            wake = undefined;
            resolve();
          };
          const timer = setTimeout(done, timeoutMs);
          wake = done;
          abort.addEventListener("abort", done, { once: true });
        });
      }
      const wasRaised = isRaised;
      isRaised = false;
      return wasRaised;
    },
  };
}
