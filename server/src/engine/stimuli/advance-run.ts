/** Computes active runs in the background, until they park or end. */
import { isActive } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Reaction } from "../reactions.ts";
import { reportDamage } from "../report-damage.ts";
import { isGone, isTransient, retryUntilDone } from "../retry.ts";
import { runKeyText } from "../run-table.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";
import { advancing } from "../transition/run-ahead.ts";
import { failRun } from "./fail-run.ts";

/** How often a run whose data is damaged is looked at again: each time it is read, for as long as it is damaged. */
const DAMAGED_PAUSE_MS = 30_000;

export type Advancer = {
  /**
   * Takes a run forward by one transition, in the background; its commit requests the next one. Two requests before it
   * has begun count as one, so a run that is claimed twice is not computed twice.
   */
  advance(key: RunKey): void;
  /** Takes the next step of a run that is active after a commit. */
  readonly reaction: Reaction;
};

/** @param onGone called if the run belongs to another server or was deleted */
export function createAdvancer(
  parts: TransitionParts,
  options: { isStopping: () => boolean; onGone: (key: RunKey) => void },
): Advancer {
  const { runs, cache, log } = parts;
  const { isStopping, onGone } = options;
  /** Runs whose next transition was requested and has not begun. */
  const queue = new Set<string>();

  function advance(key: RunKey): void {
    const text = runKeyText(key);
    if (queue.has(text)) return;
    queue.add(text);
    const begin = () => {
      queue.delete(text);
      return advanceOnce(key, text);
    };
    // The run is free between attempts, so other requests for it fail because the database is unavailable instead of
    // waiting.
    retryUntilDone(isStopping, () => runs.exclusiveAlways(key, begin)).catch((error: unknown) => {
      queue.delete(text);
      log.error({ err: error, runId: key.runId }, "a run could not be advanced");
    });
  }

  /**
   * Returns whether nothing is left to do now: the step was taken, or belongs to another server, or the run was failed
   * or is damaged.
   */
  async function advanceOnce(key: RunKey, runText: string): Promise<boolean> {
    try {
      await perform(parts, key, advancing);
      return true;
    } catch (error) {
      cache.forget(runText);
      if (isGone(error)) {
        onGone(key);
        return true;
      }
      if (reportDamage(log, error)) {
        // The data may be repaired. Failing the run could not be undone, and needs data that cannot be read.
        setTimeout(() => advance(key), DAMAGED_PAUSE_MS).unref();
        return true;
      }
      return isTransient(error) ? false : await failRun(parts, key, error);
    }
  }

  return {
    advance,
    reaction: {
      committed({ key, run }) {
        if (isActive(run.state)) advance(key);
      },
    },
  };
}
