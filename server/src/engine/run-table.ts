/**
 * The runs that this server has in hand: those it computes on now or has stimuli for. One operation at a time per run;
 * a parked run without stimuli has no entry, so waiting runs cost no memory.
 */
import { DomainError } from "../core/errors.ts";
import type { RunKey } from "../store/contract/runs.ts";

/** Operations that may wait for one run: far more than people and timers bring, and a bound for a flood. */
const OPERATIONS_PER_RUN_MAX = 1_000;

export type RunTable = {
  /** Runs `work` when every earlier operation on the run has ended. @throws {DomainError} OVERLOADED */
  exclusive<T>(key: RunKey, work: () => Promise<T>): Promise<T>;
  /** The same, never refused: for the run's own next step, without which it would stand still. */
  exclusiveAlways<T>(key: RunKey, work: () => Promise<T>): Promise<T>;
  /** Resolves when no operation is under way. */
  idle(): Promise<void>;
};

/** Text that is unique per run, for maps. Neither id may hold a slash. */
export function runKeyText(key: RunKey): string {
  return `${key.tenantId}/${key.runId}`;
}

/** @param interests told while a run has operations, and so is of interest */
export function createRunTable(interests: { retain(runText: string): void; release(runText: string): void }): RunTable {
  /** `operations`: those that hold or wait for the run. */
  const entries = new Map<string, { operations: number; tail: Promise<unknown> }>();
  const idleCallbacks: (() => void)[] = [];

  async function enqueue<T>(key: RunKey, work: () => Promise<T>): Promise<T> {
    const text = runKeyText(key);
    let entry = entries.get(text);
    if (entry === undefined) {
      entry = { operations: 0, tail: Promise.resolve() };
      entries.set(text, entry);
      interests.retain(text);
    }
    entry.operations++;
    const done = entry.tail.then(work);
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
    exclusive(key, work) {
      const operations = entries.get(runKeyText(key))?.operations ?? 0;
      if (operations < OPERATIONS_PER_RUN_MAX) return enqueue(key, work);
      const message = `Too much is asked of run ${key.runId} at once.`;
      return Promise.reject(new DomainError("OVERLOADED", message, { retryAfterMs: 1_000 }));
    },
    exclusiveAlways: enqueue,
  };
}
