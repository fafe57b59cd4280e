/**
 * What this server knows of runs without a read from the database. A run has an entry only while something has an
 * interest in it: operations under way (run-table.ts), handlers (workers/handler-runs.ts), jobs that workers of this
 * server have (`retainWatched`), and results of jobs that are being settled. A parked run without stimuli has no entry,
 * so waiting runs cost no memory.
 *
 * All of it can be lost and may be wrong: each commit is refused if the run has changed since. Entries are dropped in
 * one way only, by `forget`.
 */
import { isActive } from "../core/run.ts";
import type { StoredRun } from "../store/contract/runs.ts";
import type { NoticeHub } from "./notice-hub.ts";
import { runKeyText } from "./run-table.ts";

export type KnownRun = {
  readonly run: StoredRun;
  /**
   * "owned": the run was active when this server committed or read it, so only the owner of its lane changes it.
   * "guess": it was parked, so any server may have changed it since; a commit shows whether one did.
   */
  readonly certainty: "owned" | "guess";
};

/** Runs are named by their `runKeyText`: callers compute the text once. */
export type RunCache = {
  get(runText: string): KnownRun | undefined;
  /** Keeps the run as it was last committed or read, if anything has an interest in it. */
  put(runText: string, run: StoredRun): void;
  /** The run may have changed: drops what is known of it. */
  forget(runText: string): void;
  /** Begins an interest in a run; `release` ends it. */
  retain(runText: string): void;
  release(runText: string): void;
};

type Entry = { interests: number; known: KnownRun | undefined };

export function createRunCache(): RunCache {
  const entries = new Map<string, Entry>();

  return {
    get: (runText) => entries.get(runText)?.known,
    put(runText, run) {
      const entry = entries.get(runText);
      if (entry !== undefined) entry.known = { run, certainty: isActive(run.state) ? "owned" : "guess" };
    },
    forget(runText) {
      const entry = entries.get(runText);
      if (entry !== undefined) entry.known = undefined;
    },
    retain(runText) {
      const entry = entries.get(runText);
      if (entry === undefined) entries.set(runText, { interests: 1, known: undefined });
      else entry.interests += 1;
    },
    release(runText) {
      const entry = entries.get(runText);
      if (entry === undefined) return;
      entry.interests -= 1;
      if (entry.interests === 0) entries.delete(runText);
    },
  };
}

/** Watches runs through the hub, and has an interest in each for as long as it is watched. */
export function retainWatched(hub: NoticeHub, cache: RunCache): Pick<NoticeHub, "watchNamedRun"> {
  return {
    watchNamedRun(key, onNews) {
      const runText = runKeyText(key);
      cache.retain(runText);
      const unwatch = hub.watchNamedRun(key, (run) => {
        // Another server has changed it.
        if (run === undefined) cache.forget(runText);
        onNews(run);
      });
      return () => {
        unwatch();
        cache.release(runText);
      };
    },
  };
}
