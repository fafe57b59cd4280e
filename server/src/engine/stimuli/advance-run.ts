/** Computing on active runs, in the background, until they park or end. */
import { isActive } from "../../core/run.ts";
import type { RunKey } from "../../store/contract/runs.ts";
import type { Reaction } from "../reactions.ts";
import { isGone, isTransient, retryUntilDone } from "../retry.ts";
import { runKeyText } from "../run-table.ts";
import { perform, type TransitionParts } from "../transition/perform.ts";
import { advancing } from "../transition/run-ahead.ts";
import { failRun } from "./fail-run.ts";

export type Advancer = {
  /**
   * Takes a run forward by one transition, in the background; the commit asks for the next one. Asked twice before it
   * has begun, it is done once: a run that is claimed again does not get a second life.
   */
  advance(key: RunKey): void;
  /** Takes the next step of a run that is active after a commit. */
  readonly reaction: Reaction;
};

/** @param onGone the run is another server's, or was deleted */
export function createAdvancer(
  parts: TransitionParts,
  options: { isStopping: () => boolean; onGone: (key: RunKey) => void },
): Advancer {
  const { runs, cache, log } = parts;
  const { isStopping, onGone } = options;
  /** Runs whose next transition was asked for and has not begun. */
  const queue = new Set<string>();

  function advance(key: RunKey): void {
    const text = runKeyText(key);
    if (queue.has(text)) return;
    queue.add(text);
    const begin = () => {
      queue.delete(text);
      return advanceOnce(key, text);
    };
    // Between attempts others get the run: who asks something of it is told that the database is away instead of
    // waiting.
    retryUntilDone(isStopping, () => runs.exclusiveAlways(key, begin)).catch((error: unknown) => {
      queue.delete(text);
      log.error({ err: error, runId: key.runId }, "a run could not be advanced");
    });
  }

  /** Says whether nothing is left to do: the step was made, or is somebody else's, or the run was failed. */
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
