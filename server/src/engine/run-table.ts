/**
 * The runs that this server holds: those that it computes now or has stimuli for. Operations on a run are done one at a
 * time. A parked run without stimuli has no entry, so waiting runs cost no memory.
 */
import { DomainError } from "../core/errors.ts";
import type { Deadline } from "./deadline.ts";
import type { RunKey } from "../store/contract/runs.ts";

/** The most operations that may wait for one run: far more than people and timers cause, and a bound for a flood. */
const OPERATIONS_PER_RUN_MAX = 1_000;

export type RunTable = {
  /**
   * Runs `work` after every earlier operation on the run has ended. If the deadline has passed by then, forgets it.
   * @throws {DomainError} OVERLOADED, and the deadline's
   */
  exclusive<T>(key: RunKey, work: () => Promise<T>, deadline?: Deadline): Promise<T>;
  /** The same, but never refused: for the run's own next step, without which it would not go on. */
  exclusiveAlways<T>(key: RunKey, work: () => Promise<T>): Promise<T>;
  /** Resolves when no operation is under way. */
  idle(): Promise<void>;
};

/** A text that is unique for each run, as a key of maps. Neither id may contain a slash. */
export function runKeyText(key: RunKey): string {
  return `${key.tenantId}/${key.runId}`;
}

/** @param interests retained while a run has operations */
export function createRunTable(interests: { retain(runText: string): void; release(runText: string): void }): RunTable {
  /** `operations`: the number of those that hold the run or wait for it. */
  const entries = new Map<string, { operations: number; tail: Promise<unknown> }>();
  const idleCallbacks: (() => void)[] = [];

  async function enqueue<T>(key: RunKey, work: () => Promise<T>, deadline?: Deadline): Promise<T> {
    const text = runKeyText(key);
    let entry = entries.get(text);
    if (entry === undefined) {
      entry = { operations: 0, tail: Promise.resolve() };
      entries.set(text, entry);
      interests.retain(text);
    }
    entry.operations++;
    const done = entry.tail.then(deadline === undefined ? work : unlessOver(work, deadline));
    entry.tail = done.catch(() => undefined);
    try {
      return await done;
    } finally {
      entry.operations--;
      if (entry.operations === 0) {
        entries.delete(text);
        interests.release(text);
        if (entries.size === 0) for (const callback of idleCallbacks.splice(0)) callback();
      }
    }
  }

  return {
    idle: () => (entries.size === 0 ? Promise.resolve() : new Promise((resolve) => idleCallbacks.push(resolve))),
    exclusive(key, work, deadline) {
      const operations = entries.get(runKeyText(key))?.operations ?? 0;
      if (operations < OPERATIONS_PER_RUN_MAX) return enqueue(key, work, deadline);
      const message = `Run ${key.runId} has too many pending operations; try again later.`;
      return Promise.reject(new DomainError("OVERLOADED", message, { retryAfterMs: 1_000 }));
    },
    exclusiveAlways: (key, work) => enqueue(key, work),
  };
}

/** Begins `work` only if there is time. What it holds is free as soon as there is none. */
function unlessOver<T>(work: () => Promise<T>, deadline: Deadline): () => Promise<T> {
  let pending: (() => Promise<T>) | undefined = work;
  const forget = deadline.onOver(() => (pending = undefined));
  return async () => {
    forget();
    if (pending === undefined) throw deadline.error!;
    return await pending();
  };
}
